"""One pass along an orbit for its Lyapunov exponents: frames, logarithms of R, and what checks them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys import seeds
from dynsys.batched_frames import BatchedFrames
from dynsys.carried_frames import Carried, CarriedFrames, by_length
from dynsys.frames import Stretch, random_frames, stretches
from dynsys.maps import Map
from dynsys.product_frames import ProductFrames
from dynsys.qr_interval import QRInterval
from dynsys.rank import RankLoss
from dynsys.readings.steps import FORMED
from dynsys.step_frames import StepFrames
from dynsys.types import Array, Progress

BLOCKS = 20  # batch means behind the standard errors
EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)
SMALL, SMALL_SQUARE, SEVERAL = 32, 12, 4
"""State sizes up to which the frames of several sequences go together: a few columns each, and square ones."""
SPANS = {16: (8.0, 11.0), math.inf: (12.0, 16.0)}
"""By state size: nats that the growth between two QRs spans on average, and nats that it never does over several steps.

Rounding leaves about 1e-10 of an exponent at 12 nats, 1e-12 at 8: small systems can afford that.
"""
CHECKED_TO_THE_END = 32  # state size up to which the second frame always goes all the way
CHECKED = 20  # beyond it goes along for one in so many steps
CHEAP, CHEAP_FEW = 1e9, 2e10
"""Floating-point operations of the second frame up to which it goes all the way: of all columns, and of a few."""
REMAINS = (
    3.0  # nats; what two frames still differed by in all, once one in `CHECKED` steps was over (measured, at most)
)
SOUND = 1e-6  # nats, to which the logarithms of a QR must add up to the determinant where some are below rounding
SAME = 1e-9  # sine of the angle between two frames from which on they stay together


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What a pass is asked for.

    Attributes:
        state: (n, B), where it starts. driving: (T, B or 1, m) from there on, or None. first: t of its first step.
        k: exponents. align: steps in which the frames align, before the `steps` that are averaged over.
        seed: of the frames.
    """

    f: Map
    state: Array
    driving: Array | None
    k: int
    align: int
    steps: int
    seed: int
    progress: Progress | None
    first: int = 0

    def frames(self) -> Array:
        """(B, 2, n, k): two random orthonormal frames for each sequence."""
        n, batch = self.state.shape
        return random_frames(seeds.generator(self.seed), 2 * batch, n, self.k).reshape(batch, 2, n, self.k)


@final
class Run:
    """One pass along the orbit with two random frames per sequence.

    The second frame shows which exponents the start frame still decides. It is dropped when all its columns have met
    those of the first, since they stay together from then on, and in large systems after a part of the time.

    Attributes:
        blocks: (BLOCKS, B, k) sums of logarithms, nats, of the first frame; block_steps: (BLOCKS,).
        apart: (B, k) nats per step, by how much the second frame's answer differs, or at most can.
        checked: steps of the average that the second frame took part in.
        below: (B, k), whether an exponent was below rounding somewhere. log_det: (B,) sums of log|det J|, nats.
        ranks: what rank each sequence's product lost.
    """

    def __init__(self, task: Task) -> None:
        f, k, steps = task.f, task.k, task.steps
        self._f, self._k, self._steps = f, k, steps
        self.batch = task.state.shape[1]
        n = f.state_size
        self._frames = _carried_frames(task.frames())
        self._two = True
        self._decompositions = 0
        self._work = 6.0 * n * n * k * steps * self.batch
        wanted, self._limit = next(spans for size, spans in SPANS.items() if n <= size)
        self._rule = QRInterval(wanted, self._limit)
        self.blocks = np.zeros((BLOCKS, self.batch, k))
        self.block_steps = np.zeros(BLOCKS)
        self._difference = np.zeros((BLOCKS, self.batch, k))
        self.apart = np.zeros((self.batch, k))
        self.checked = steps
        self.log_det = np.zeros(self.batch)
        self.below = np.zeros((self.batch, k), dtype=bool)
        self.ranks = [RankLoss(n) for _ in range(self.batch)]
        t = -task.align
        for stretch in stretches(f, task.state, task.driving, task.align + steps, first=task.first):
            counted = max(0, -t)
            if counted < stretch.count:
                self._watch(stretch, counted)
            self._pass(stretch, t)
            t += stretch.count
            if task.progress is not None:
                task.progress(t + task.align, task.align + steps, "Lyapunov exponents")
        if self._two:
            self._compare(steps)

    def _pass(self, stretch: Stretch, t: int) -> None:
        """Carry the frames through a stretch that begins with step t."""
        whole = self._k == self._f.state_size
        known = stretch.log_abs_det() if whole else None
        i = 0
        while i < stretch.count:
            at = t + i
            left = self._end(at) - at
            lengths = self._rule.plan(min(left, stretch.count - i), self._frames.at_once)
            carried = self._frames.carry(
                stretch,
                i,
                lengths,
                exact=sum(lengths) == left,
                limit=self._limit,
                determinant=whole and known is None and at >= 0,
            )
            taken = lengths[: len(carried.diagonals)]
            if taken:
                self._take(at, taken, carried, carried.log_det if known is None else by_length(known[i:], taken))
            if carried.wide:
                self._rule.shorten(lengths[len(taken)])
            i += sum(taken)

    @property
    def decomposition(self) -> str:
        """What is done at each interval."""
        between = self._k == self._f.state_size and not isinstance(self._frames, BatchedFrames)
        return f"LU (QR after each of {BLOCKS} stretches)" if between else "QR"

    @property
    def interval(self) -> int:
        """Steps between decompositions, on average over what counts."""
        return max(1, round(self._steps / max(1, self._decompositions)))

    def _end(self, t: int) -> int:
        """Where the block of time that step t belongs to ends, with a QR; steps t < 0 align the frames."""
        return 0 if t < 0 else -(-(self._block(t) + 1) * self._steps // BLOCKS)

    def _block(self, t: int) -> int:
        return min(BLOCKS - 1, t * BLOCKS // self._steps)

    def _watch(self, stretch: Stretch, first: int) -> None:
        """Take in what rank the steps from `first` on lose."""
        known = None if stretch.lost is None else stretch.lost[first:]
        begun = any(rank.follows_zeros for rank in self.ranks)
        if known is not None and not begun and stretch.steps.has_no_dead_rows_or_columns():
            for b, rank in enumerate(self.ranks):
                rank.watch_known(known[:, b])
        else:
            for piece in stretch.pieces(first):
                for b, rank in enumerate(self.ranks):
                    rank.watch(piece.jacobians[:, b], None if piece.lost is None else piece.lost[:, b])

    def _take(self, t: int, lengths: list[int], carried: Carried, log_det: Array | None) -> None:
        """Take in QRs after `lengths` steps from step t on; `log_det` (QRs, B) of what they took in, where known."""
        with np.errstate(divide="ignore"):
            logs = np.log(carried.diagonals)
        floor = self._f.state_size * EPS * carried.largest[..., np.newaxis]
        low = carried.diagonals <= floor
        if low.any():
            if log_det is not None:
                # Small against the others, and still right where whole rows are small (saturated units), as the
                # determinant shows.
                with np.errstate(invalid="ignore"):  # both are -inf where rank is lost
                    sound = np.abs(logs.sum(axis=-1) - log_det[..., np.newaxis]) < SOUND
                low &= ~sound[..., np.newaxis]
            # -inf comes from structure, never from R: what is below rounding is floored, and not trusted.
            logs = np.where(low, np.log(np.maximum(floor, TINY)), logs)
        if t >= 0:
            taken = sum(lengths)
            if log_det is not None:
                self.log_det += log_det.sum(axis=0)
            self.below |= low.any(axis=(0, 2))
            self._decompositions += len(lengths)
            block = self._block(t)
            self.blocks[block] += logs[:, :, 0].sum(axis=0)
            self.block_steps[block] += taken
            if self._two:
                self._difference[block] += (logs[:, :, 0] - logs[:, :, 1]).sum(axis=0)
                if t + taken == self._end(t) < self._steps:
                    self._meet(t + taken)
        self._rule.learn_all(logs[:, :, 0], lengths)

    def _meet(self, taken: int) -> None:
        """Drop the second frame where it has met the first, or, if it costs much, has gone along for long enough."""
        n = self._f.state_size
        costly = n > CHECKED_TO_THE_END and self._work > (CHEAP if self._k == n else CHEAP_FEW)
        long_enough = costly and taken * CHECKED >= self._steps
        if long_enough or self._frames.apart().max(initial=0.0) < SAME:
            self._compare(taken)
            self._frames.drop_second()
            self._two, self.checked = False, taken

    def _compare(self, taken: int) -> None:
        """How far the second frame's averages lie off; where it stopped early, as if its last difference went on.

        But for no longer than frames take to align: until then they come to differ by a few nats in all.
        """
        last = self._block(taken - 1)
        rest = (self._steps - taken) / max(self.block_steps[last], 1.0)
        met = self._frames.apart() < SAME
        going_on = np.minimum(np.where(met, 0.0, np.abs(self._difference[last])) * rest, REMAINS)
        self.apart = (np.abs(self._difference.sum(axis=0)) + going_on) / self._steps


def _carried_frames(frames: Array) -> CarriedFrames:
    """Frames (B, 2, n, k), kept in the way that suits their size."""
    batch, _, n, k = frames.shape
    together = n <= SMALL_SQUARE and batch >= SEVERAL if n == k else n <= SMALL and batch > 1
    if together:
        return BatchedFrames(frames)
    return ProductFrames(frames) if n == k and n <= FORMED else StepFrames(frames)
