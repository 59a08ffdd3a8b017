"""One pass along an orbit for its Lyapunov exponents: frames, logarithms of R, and what checks them."""

from __future__ import annotations

from typing import final

import numpy as np

from dynsys import seeds
from dynsys.carried_frames import carried_frames
from dynsys.frames import Stretch, stretches
from dynsys.maps import Map
from dynsys.qr_interval import QRInterval
from dynsys.rank import RankLoss
from dynsys.types import Array, Progress

BLOCKS = 20  # batch means behind the standard errors
EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)
EVERY_STEP = 16  # state size up to which a QR costs so little that every step has one
LARGEST_SPAN = 16.0  # nats between the diagonal entries of one R
WANTED_SPAN = 12.0  # nats; rounding of a QR then leaves about 1e-10 of an exponent
CHECKED_TO_THE_END = 32  # state size up to which the second frame always goes all the way
CHECKED = 20  # beyond it goes along for one in so many steps
CHEAP = 1e9  # floating-point operations of the second frame that cost nothing to speak of: then it goes all the way
SAME = 1e-9  # sine of the angle between two frames from which on they stay together


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

    def __init__(
        self,
        f: Map,
        state: Array,
        driving: Array | None,
        k: int,
        align: int,
        steps: int,
        seed: int,
        progress: Progress | None,
        *,
        first: int = 0,
    ) -> None:
        self._f, self._k, self._steps = f, k, steps
        self.batch = state.shape[1]
        n = f.state_size
        self._frames = carried_frames(seeds.generator(seed), self.batch, n, k)
        self._since = 0  # steps since the last QR
        self._two = True
        self._work = 6.0 * n * n * k * steps * self.batch
        self._rule = QRInterval(WANTED_SPAN, LARGEST_SPAN, adapts=n > EVERY_STEP)
        self.blocks = np.zeros((BLOCKS, self.batch, k))
        self.block_steps = np.zeros(BLOCKS)
        self._difference = np.zeros((BLOCKS, self.batch, k))
        self.apart = np.zeros((self.batch, k))
        self.checked = steps
        self.log_det = np.zeros(self.batch)
        self.below = np.zeros((self.batch, k), dtype=bool)
        self.ranks = [RankLoss(n) for _ in range(self.batch)]
        t = -align
        for stretch in stretches(f, state, driving, align + steps, first=first):
            counted = max(0, -t)
            closed = self._watch(stretch, counted) if counted < stretch.count else True
            for i in range(stretch.count):
                logs = self._frames.advance(stretch, i, determinant=not closed and i >= counted)
                if logs is not None:
                    self.log_det += logs
                self._since += 1
                if self._due(t + i):
                    self._orthonormalise(t + i)
            t += stretch.count
            if progress is not None:
                progress(t + align, align + steps, "Lyapunov exponents")
        if self._two:
            self._compare(steps)

    @property
    def interval(self) -> int:
        """Steps between QRs."""
        return self._rule.steps

    def _due(self, t: int) -> bool:
        """Whether step t (negative while the frames align) ends with a QR."""
        if t in (-1, self._steps - 1) or self._since >= self._rule.steps:
            return True
        return t >= 0 and self._block(t) != self._block(t + 1)

    def _block(self, t: int) -> int:
        return min(BLOCKS - 1, t * BLOCKS // self._steps)

    def _watch(self, stretch: Stretch, first: int) -> bool:
        """Take in what rank and volume the steps from `first` on lose; False if their determinants are still wanted."""
        known = None if stretch.lost is None else stretch.lost[first:]
        begun = any(rank.follows_zeros for rank in self.ranks)
        if known is not None and not begun and stretch.steps.has_no_dead_rows_or_columns():
            for b, rank in enumerate(self.ranks):
                rank.watch_known(known[:, b])
        else:
            for piece in stretch.pieces(first):
                for b, rank in enumerate(self.ranks):
                    rank.watch(piece.jacobians[:, b], None if piece.lost is None else piece.lost[:, b])
        if self._k != self._f.state_size:
            return True
        closed = stretch.steps.log_abs_det()
        if closed is None:
            return False
        self.log_det += closed.reshape(stretch.count, self.batch)[first:].sum(axis=0)
        return True

    def _orthonormalise(self, t: int) -> None:
        diagonal, largest = self._frames.orthonormalise()
        floor = self._f.state_size * EPS * largest[..., np.newaxis]
        # -inf comes from structure, never from R: what is below rounding is floored, and not trusted.
        logs = np.log(np.maximum(diagonal, np.maximum(floor, TINY)))
        if t >= 0:
            self.below |= (diagonal <= floor).any(axis=1)
            block = self._block(t)
            self.blocks[block] += logs[:, 0]
            self.block_steps[block] += self._since
            if self._two:
                self._difference[block] += logs[:, 0] - logs[:, 1]
                self._meet(t)
        self._rule.learn(logs[:, 0], self._since)
        self._since = 0

    def _meet(self, t: int) -> None:
        """Drop the second frame where it has met the first, or, if it costs much, has gone along for long enough."""
        if t == self._steps - 1 or self._block(t) == self._block(t + 1):
            return
        costly = self._f.state_size > CHECKED_TO_THE_END and self._work > CHEAP
        long_enough = costly and (t + 1) * CHECKED >= self._steps
        if long_enough or self._frames.apart().max(initial=0.0) < SAME:
            self._compare(t + 1)
            self._frames.drop_second()
            self._two, self.checked = False, t + 1

    def _compare(self, taken: int) -> None:
        """How far the second frame's averages lie off; where it stopped early, as if its last difference went on."""
        last = self._block(taken - 1)
        rest = (self._steps - taken) / max(self.block_steps[last], 1.0)
        met = self._frames.apart() < SAME
        going_on = np.where(met, 0.0, np.abs(self._difference[last])) * rest
        self.apart = (np.abs(self._difference.sum(axis=0)) + going_on) / self._steps
