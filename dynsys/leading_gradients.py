"""The leading singular values of long products, without the others: sweeps along the orbit and back.

A frame carried forward through the Jacobians ends near the leading left vectors of their product; carried back through
the transposed ones it ends near the leading right vectors. One round trip is a step of block power iteration on P^T P,
and the product applied to the right frame, kept graded (`log_svd.py`), has the values.
Source: G. H. Golub, K. Solna & P. Van Dooren, SIAM Journal on Matrix Analysis 22 (2000) 1-19 (products); Y. Saad,
Numerical Methods for Large Eigenvalue Problems, 2nd edition (2011), chapter 5 (subspace iteration).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import final

import numpy as np

from dynsys.checked_product import agreeing, distance
from dynsys.errors import AnalysisError
from dynsys.frames import Stretch, stretch_length
from dynsys.graded_frame import GradedFrame
from dynsys.growth_order import GrowthOrder
from dynsys.maps import Map
from dynsys.orbits import of_sequence, orbit_columns
from dynsys.qr_interval import QRInterval
from dynsys.rank import RankLoss
from dynsys.reflectors import Reflectors
from dynsys.types import Array, Integers, Progress

MORE = 8  # columns carried beyond those asked for: they make the others converge
TRIPS = 12  # round trips at most, for one lag
SHORT_WORK = 600  # steps of a short lag's trips: what is near in size there needs many, and they cost little
SETTLED = 1e-9  # nats, by which no value changes any more
SPAN = 10.0  # nats between two QRs


@final
class Leading:
    """Leading values and vectors of one orbit, lag by lag.

    Attributes:
        values: (n_lags, k) nats. changes: (n_lags, k) nats, by how much the last round trip changed them.
        lost: (n_lags,) dimensions that the product has lost exactly. left, right: (n_lags, n, k).
        turned: the first lag at which the order of growth had turned, or None.
    """

    def __init__(
        self,
        f: Map,
        state: Array,
        driving: Array | None,
        lags: Sequence[int],
        k: int,
        generator: np.random.Generator,
        progress: Progress | None,
    ) -> None:
        """`state` (n, 1); `driving` (T, 1, m) or None."""
        n = f.state_size
        self._f, self._driving, self._width = f, driving, min(n, k + MORE)
        self._length = stretch_length(f, state, driving)
        self._orbit = orbit_columns(f, state, driving, lags[-1])
        if not np.isfinite(self._orbit).all():
            raise AnalysisError(
                "the orbit leaves floating-point range: it runs off to infinity. Start within reach of an attractor."
            )
        self.values = np.empty((len(lags), k))
        self.changes = np.empty((len(lags), k))
        self.lost = np.zeros(len(lags), dtype=np.int64)
        self.left, self.right = np.empty((2, len(lags), n, k))
        self.turned: int | None = None
        work, done = 2 * sum(lags) + lags[-1], 0
        start = np.asfortranarray(np.linalg.qr(generator.standard_normal((n, self._width)))[0])
        ends = self._first_sweep(start, lags)
        for at, lag in enumerate(lags):
            frame, before = ends[at], np.full(k, np.inf)
            for trip in range(max(TRIPS, SHORT_WORK // lag)):
                right = self._back(frame, lag)
                graded = self._forward(right, lag)
                values = graded.log_singular_values()[:k]
                self.changes[at] = distance(values, before)
                before = values
                frame = graded.columns()
                if trip and self.changes[at].max(initial=0.0) <= SETTLED:
                    break
            self.values[at] = values
            _, left, right_in = graded.leading(k)
            self.left[at], self.right[at] = left, right_in
            self.values[at, max(0, n - int(self.lost[at])) :] = -np.inf
            done += 2 * lag
            if progress is not None:
                progress(min(done, work), work, "leading gradients by lag")

    def _stretches(self, steps: int, *, back: bool = False) -> Iterator[Stretch]:
        length = self._length
        begins = range(0, steps, length)
        for begin in reversed(begins) if back else begins:
            end = min(begin + length, steps)
            part = None if self._driving is None else self._driving[begin:end]
            yield Stretch(self._f, self._orbit[begin:end], part, begin)

    def _first_sweep(self, frame: Array, lags: Sequence[int]) -> list[Array]:
        """Where a random frame is carried to by each lag; rank lost and order of growth on the way."""
        order = GrowthOrder()
        graded = GradedFrame(frame, span=SPAN, order=order)
        rank = RankLoss(self._f.state_size)
        jacobian = np.empty((self._f.state_size, self._f.state_size), order="F")
        ends: list[Array] = []
        t = 0
        for stretch in self._stretches(lags[-1]):
            regular = stretch.lost is not None and stretch.steps.has_no_dead_rows_or_columns()
            for i in range(stretch.count):
                t += 1
                if regular and stretch.lost is not None and not rank.follows_zeros:
                    rank.watch_known(stretch.lost[i])
                else:
                    stretch.steps.fill(i, jacobian)
                    rank.watch(jacobian[np.newaxis], None if stretch.lost is None else stretch.lost[i])
                graded.extend(stretch.steps, i)
                if order.turned and self.turned is None:
                    self.turned = t
                if t in lags:
                    self.lost[len(ends)] = rank.lost
                    ends.append(graded.columns())
        return ends

    def _forward(self, frame: Array, lag: int) -> GradedFrame:
        graded = GradedFrame(frame, span=SPAN)
        for stretch in self._stretches(lag):
            for i in range(stretch.count):
                graded.extend(stretch.steps, i)
        return graded

    def _back(self, frame: Array, lag: int) -> Array:
        """The orthonormal frame that the transposed Jacobians carry `frame` back to."""
        interval, since = QRInterval(SPAN, SPAN + 4.0), 0
        room = np.empty_like(frame)
        for stretch in self._stretches(lag, back=True):
            for i in reversed(range(stretch.count)):
                stretch.steps.move_back(i, frame, room)
                frame, room = room, frame
                since += 1
                if since >= interval.steps:
                    factor = Reflectors(frame)
                    interval.learn(np.log(np.maximum(np.abs(factor.diagonal), np.finfo(np.float64).tiny)), since)
                    frame, since = factor.orthogonal(), 0
                    room = np.empty_like(frame)
        return Reflectors(frame).orthogonal() if since else frame


def leading_spectra(
    f: Map,
    state: Array,
    driving: Array | None,
    lags: list[int],
    k: int,
    vectors: int,
    generator: np.random.Generator,
    progress: Progress | None,
) -> tuple[Array, Integers, Integers, Array]:
    """Log singular values (B, n_lags, k); trusted and lost counts (n_lags,); vectors (2, B, n_lags, n, vectors)."""
    batch = state.shape[1]
    found = [
        Leading(
            f, state[:, b : b + 1], None if driving is None else of_sequence(driving, b), lags, k, generator, progress
        )
        for b in range(batch)
    ]
    trusted = np.full(len(lags), k)
    for one in found:
        for at, lag in enumerate(lags):
            trusted[at] = min(trusted[at], agreeing(one.changes[at]))
            if one.turned is not None and lag >= one.turned:
                trusted[at] = 0
    return (
        np.array([one.values for one in found]),
        trusted,
        np.max([one.lost for one in found], axis=0),
        np.array([[side[:, :, :vectors] for side in (one.left, one.right)] for one in found]).swapaxes(0, 1),
    )
