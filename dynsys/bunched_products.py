"""Long products of small matrices, many of one size at a time: groups of units that do not touch each other.

What `log_svd.GradedProduct` does for one product, in NumPy's batched routines for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np

from dynsys.checked_product import distance
from dynsys.frames import random_frames, signed_qr
from dynsys.graded_triangle import EPS, log_singular_values, singular_vectors
from dynsys.log_svd import independent
from dynsys.rank import deficiency
from dynsys.types import Array, Integers


@final
class Bunch:
    """Products of c groups of g units each, of one rank r, kept twice: P = Q exp(L) X Q0^T.

    Attributes:
        units: (c, g), which units of the network they are. size: g.

    The second of each is shaken by one rounding error per step, and starts from another frame. Axes: the two, groups,
    then rows and columns: Q (2, c, g, r), L (2, c, r), X (2, c, r, g).
    """

    def __init__(self, units: Integers, start: Array, q: Array, log: Array, x: Array, shake: Array) -> None:
        self.units, self.size = units, int(units.shape[1])
        self._start, self._q, self._log, self._x, self._shake = start, q, log, x, shake
        self._pattern: Array | None = None
        self._missing: Integers | None = None

    @classmethod
    def begun(cls, units: Integers, generator: np.random.Generator) -> Bunch:
        """With P = Q0, random orthonormal frames."""
        count, size = units.shape
        frames = random_frames(generator, 2 * count, size, size).reshape(2, count, size, size)
        x = np.broadcast_to(np.eye(size), frames.shape).copy()
        shake = EPS * generator.standard_normal((count, size, size))
        return cls(units, frames, frames, np.zeros((2, count, size)), x, shake)

    @property
    def lost(self) -> int:
        """Dimensions lost exactly so far, in all groups."""
        return len(self.units) * int(self.size - self._log.shape[2])

    def extended(self, jacobian: Array, known: Integers | None, regular: bool) -> list[Bunch]:
        """The products times the network's Jacobian (n, n): this bunch, or its parts where some have lost rank.

        `known`, `regular`: as for `UncoupledProduct.extend`.
        """
        parts = jacobian[self.units[:, :, np.newaxis], self.units[:, np.newaxis]]
        ranks = self._ranks(parts, known, regular)
        now = self._log.shape[2]
        if (ranks == now).all():
            self._extend(parts)
            return [self]
        bunches = []
        for rank in np.unique(ranks):
            chosen = np.flatnonzero(ranks == rank)
            part = self._of(chosen)
            part._extend(parts[chosen]) if rank == now else part._narrow(parts[chosen], int(rank))
            bunches.append(part)
        return bunches

    def _ranks(self, parts: Array, known: Integers | None, regular: bool) -> Integers:
        """(c,) bounds of the ranks after this step: by zeros, and by singular factors where the map tells of some."""
        rank = np.full(len(parts), self._log.shape[2])
        if not regular or self._pattern is not None:
            nonzero = parts != 0
            dead = ~(nonzero.any(axis=1).all(axis=1) & nonzero.any(axis=2).all(axis=1))
            if dead.any() or self._pattern is not None:
                running = np.eye(self.size) if self._pattern is None else self._pattern
                self._pattern = np.minimum(nonzero.astype(np.float64) @ running, 1.0)
                alive = [(self._pattern.max(axis=axis) > 0).sum(axis=1) for axis in (1, 2)]
                rank = np.minimum(rank, np.minimum(*alive))
        if known is None:  # what the weights lack they lack at every step
            missing = deficiency(parts)
            self._missing = missing if self._missing is None else np.minimum(missing, self._missing)
            rank = np.minimum(rank, self.size - self._missing)
        elif known.any():
            rank = np.minimum(rank, self.size - deficiency(parts))
        return rank

    def _of(self, chosen: Integers) -> Bunch:
        """Some of the groups."""
        own = (self._start[:, chosen], self._q[:, chosen], self._log[:, chosen], self._x[:, chosen])
        part = Bunch(self.units[chosen], *own, self._shake[chosen])
        part._pattern = None if self._pattern is None else self._pattern[chosen]
        part._missing = None if self._missing is None else self._missing[chosen]
        return part

    def _extend(self, parts: Array) -> None:
        self._q, r = signed_qr(parts @ self._q)
        self._absorb(r, self._log)
        self._shake_second()

    def _narrow(self, parts: Array, rank: int) -> None:
        """The same where rank is lost: what depends least on the columns before it is kept (`log_svd.py`)."""
        moved = parts @ self._q
        _, r = signed_qr(moved)
        pivots = np.array([[independent(own, rank) for own in both] for both in r], dtype=np.int64)
        pivots = pivots.reshape(*moved.shape[:2], rank)
        self._q, kept = signed_qr(np.take_along_axis(moved, pivots[:, :, np.newaxis], axis=3))
        stairs = np.where(np.arange(r.shape[3]) >= pivots[..., np.newaxis], np.swapaxes(self._q, -1, -2) @ moved, 0.0)
        np.put_along_axis(stairs, np.broadcast_to(pivots[:, :, np.newaxis], kept.shape), kept, axis=3)
        self._absorb(stairs, np.take_along_axis(self._log, pivots, axis=2), pivots)
        self._shake_second()

    def _absorb(self, r: Array, own: Array, pivots: Integers | None = None) -> None:
        """R exp(L) X as exp(L') X', row i of R beginning at its pivot, whose L is `own`; else on the diagonal."""
        if not r.shape[2]:
            self._log, self._x = own, self._x[:, :, :0]
            return
        at = np.broadcast_to(np.arange(r.shape[2]), own.shape) if pivots is None else pivots
        d = np.take_along_axis(r, at[..., np.newaxis], axis=3)
        least = np.maximum(np.abs(r).max(axis=(2, 3), keepdims=True), np.finfo(np.float64).tiny)
        d = np.where(d > 0, d, EPS * least)
        factors = r / d
        factors *= np.exp(np.minimum(self._log[:, :, np.newaxis] - own[..., np.newaxis], 700.0))
        np.put_along_axis(factors, at[..., np.newaxis], 1.0, axis=3)
        self._x, self._log = factors @ self._x, own + np.log(d[..., 0])

    def _shake_second(self) -> None:
        self._shake = np.roll(self._shake, 1, axis=1)
        self._q[1] += self._shake[:, :, : self._q.shape[3]]

    def log_singular_values(self) -> tuple[Array, Array]:
        """(c g,) nats, group by group, -inf for what is lost; and how far apart the two are."""
        lost = np.full(self.size - self._log.shape[2], -np.inf)
        one, two = (
            [np.concatenate([log_singular_values(x, log), lost]) for x, log in zip(*both, strict=True)]
            for both in zip(self._x, self._log, strict=True)
        )
        return np.concatenate(one), distance(np.concatenate(one), np.concatenate(two))

    def leading(self, k: int) -> Iterator[tuple[Integers, Array, Array, Array]]:
        """By group: its units, values (at most k,), left and right vectors (g, as many) of what is not lost."""
        for units, start, q, log, x in zip(
            self.units, self._start[0], self._q[0], self._log[0], self._x[0], strict=True
        ):
            values, left, right = singular_vectors(x, log)
            order = np.argsort(-values, kind="stable")[:k]
            yield units, values[order], q @ left[:, order], start @ right[:, order]
