"""One long pass along an orbit of a small map for its Lyapunov exponents, in machine code."""

from __future__ import annotations

import importlib.util
from typing import final

import numpy as np

from dynsys.carried_frames import sines
from dynsys.compiled_orbits import SmallOrbit, compiled, source, straight_line
from dynsys.errors import AnalysisError
from dynsys.frames import stretches
from dynsys.lyapunov_run import BLOCKS, SAME, Task
from dynsys.orbits import of_sequence
from dynsys.rank import RankLoss
from dynsys.readings.straight_line import StraightLine

WORTHWHILE = 30_000  # steps of all sequences from which compiling pays
SAMPLE = 64  # steps on whose Jacobians exact loss of rank is looked for


@final
class SmallRun:
    """The attributes of `lyapunov_run.Run`, of which every QR follows a single step and nothing is below rounding."""

    interval, decomposition = 1, "QR"

    def __init__(self, task: Task, code: StraightLine) -> None:
        f, driving, k, align, steps, progress = task.f, task.driving, task.k, task.align, task.steps, task.progress
        n, self.batch = task.state.shape
        frames = task.frames()
        self.blocks = np.zeros((BLOCKS, self.batch, k))
        self.block_steps = np.zeros(BLOCKS)
        self.log_det = np.zeros(self.batch)
        self.apart = np.zeros((self.batch, k))
        self.below = np.zeros((self.batch, k), dtype=bool)
        self.ranks = [RankLoss(n) for _ in range(self.batch)]
        self.checked = 0
        self.usable = True
        run = compiled(source(code, k, 0 if driving is None else f.input_size))
        ends = [-(-(block + 1) * steps // BLOCKS) for block in range(BLOCKS)]
        for b in range(self.batch):
            given = (
                np.zeros((0, f.input_size)) if driving is None else np.ascontiguousarray(of_sequence(driving, b)[:, 0])
            )
            pair = [SmallOrbit(run, code.constants, task.state[:, b], frame) for frame in frames[b]]
            for orbit in pair:
                orbit.advance(align, given[:align])
            pair = _unless_met(pair)
            done = 0
            for block, end in enumerate(ends):
                part = given[align + done : align + end]
                sums = np.array([orbit.advance(end - done, part) for orbit in pair])
                self.blocks[block, b] = sums[0, :k]
                self.log_det[b] += sums[0, k]
                self.block_steps[block] = end - done
                if len(pair) > 1:
                    self.apart[b] += sums[0, :k] - sums[1, :k]
                    self.checked = max(self.checked, end)
                    pair = _unless_met(pair)
                done = end
                if progress is not None:
                    progress(b * steps + end, self.batch * steps, "Lyapunov exponents")
            if not np.isfinite(pair[0].state).all():
                raise AnalysisError(
                    "the orbit leaves floating-point range: it runs off to infinity. Start near an attractor."
                )
            self.usable &= pair[0].low == 0 and bool(np.isfinite(self.blocks[:, b]).all())
        self.apart = np.abs(self.apart) / steps
        self.checked = self.checked or steps  # they had met before the average began


def _unless_met(pair: list[SmallOrbit]) -> list[SmallOrbit]:
    """The first orbit alone, once the second frame has met its frame."""
    if len(pair) < 2:
        return pair
    return pair[:1] if sines(pair[0].frame, pair[1].frame).max(initial=0.0) < SAME else pair


def small_run(task: Task) -> SmallRun | None:
    """The pass in machine code; None where it does not pay, numba is missing, or the map needs more care.

    More care: equations with a kink or a choice, exact loss of rank, exponents below rounding.
    """
    f, state, steps = task.f, task.state, task.align + task.steps
    if state.shape[1] * steps < WORTHWHILE or importlib.util.find_spec("numba") is None:
        return None
    code = straight_line(f, state[:, 0], task.driving)
    if code is None:
        return None
    rank = RankLoss(f.state_size)
    first = None if task.driving is None else of_sequence(task.driving, 0)
    piece = next(next(stretches(f, state[:, :1], first, min(SAMPLE, steps))).pieces())
    rank.watch(piece.jacobians[:, 0], None if piece.lost is None else piece.lost[:, 0])
    if rank.lost or rank.follows_zeros:
        return None
    run = SmallRun(task, code)
    return run if run.usable else None
