"""One pass along an orbit for its Lyapunov exponents: frames, logarithms of R, and what checks them."""

from __future__ import annotations

from typing import final

import numpy as np

from dynsys import seeds
from dynsys.frames import Stretch, jacobians_along, random_frames, signed_qr
from dynsys.maps import Map
from dynsys.rank import RankLoss
from dynsys.types import Array, Progress

BLOCKS = 20  # batch means behind the standard errors
EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)
EVERY_STEP = 64  # state size up to which a QR costs so little that every step has one
LARGEST_SPAN = 16.0  # nats between the diagonal entries of one R


@final
class Run:
    """One pass along the orbit with two random frames per sequence."""

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
        frames = random_frames(seeds.generator(seed), 2 * self.batch, n, k).reshape(self.batch, 2, n, k)
        self._frames = frames
        self._since = 0  # steps since the last QR
        self.interval = 1
        self.blocks = np.zeros((BLOCKS, self.batch, 2, k))
        self.block_steps = np.zeros(BLOCKS)
        self.log_det = np.zeros(self.batch)
        self.below = np.zeros((self.batch, 2, k), dtype=bool)
        self.ranks = [RankLoss(n) for _ in range(self.batch)]
        self._growth_while_aligning: list[Array] = []
        t = 0
        for stretch in jacobians_along(f, state, driving, align + steps, first=first):
            for jacobian in stretch.jacobians:
                self._step(jacobian, t - align)
                t += 1
            counted = max(0, align - (t - len(stretch.jacobians)))
            if counted < len(stretch.jacobians):
                self._watch(stretch, counted)
            if progress is not None:
                progress(t, align + steps, "Lyapunov exponents")
        if self._since:
            self._orthonormalise(steps - 1)

    def _watch(self, stretch: Stretch, first: int) -> None:
        jacobians = stretch.jacobians[first:]
        for b, rank in enumerate(self.ranks):
            rank.watch(jacobians[:, b], None if stretch.lost is None else stretch.lost[first:, b])
        if self._k == self._f.state_size:
            with np.errstate(divide="ignore"):
                self.log_det += np.linalg.slogdet(jacobians)[1].sum(axis=0)

    def _step(self, jacobian: Array, t: int) -> None:
        self._frames = jacobian[:, np.newaxis] @ self._frames
        self._since += 1
        if t == -1:
            self._orthonormalise(t)
            self._choose_interval()
        elif t < 0 or self._since >= self.interval or (t + 1) % max(1, self._steps // BLOCKS) == 0:
            self._orthonormalise(t)

    def _orthonormalise(self, t: int) -> None:
        self._frames, r = signed_qr(self._frames)
        diagonal = np.diagonal(r, axis1=-2, axis2=-1)
        floor = self._f.state_size * EPS * np.abs(r).max(axis=(-2, -1))[..., np.newaxis]
        if t >= 0:
            self.below |= diagonal <= floor
        # -inf comes from structure, never from R: what is below rounding is floored, and not trusted.
        logs = np.log(np.maximum(diagonal, np.maximum(floor, TINY)))
        if t < 0:
            self._growth_while_aligning = [*self._growth_while_aligning[-49:], logs]
        else:
            block = min(BLOCKS - 1, t * BLOCKS // self._steps)
            self.blocks[block] += logs
            self.block_steps[block] += self._since
            if self.interval > 1 and np.ptp(logs) > LARGEST_SPAN:
                self.interval //= 2
        self._since = 0

    def _choose_interval(self) -> None:
        """As many steps between QRs as keep the columns apart: s gap <= 12 leaves an error of about 1e-10."""
        if self._f.state_size <= EVERY_STEP:
            return
        mean = np.mean(self._growth_while_aligning[-50:], axis=(0, 1, 2))
        gap = float(np.ptp(mean))
        self.interval = 100 if gap < 0.12 else max(1, int(12.0 / gap))

    def complete_by_determinant(self, per_frame: Array, lost: int) -> None:
        """A single exponent below rounding is what log|det J| leaves to it."""
        if self._k != self._f.state_size or lost or not np.isfinite(self.log_det).all():
            return
        for b, frame in np.argwhere(self.below.sum(axis=-1) == 1):
            i = int(np.flatnonzero(self.below[b, frame])[0])
            others = per_frame[b, frame].sum() - per_frame[b, frame, i]
            per_frame[b, frame, i] = self.log_det[b] / self._steps - others
        self.below &= self.below.sum(axis=-1, keepdims=True) > 1
