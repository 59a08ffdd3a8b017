"""All fixed points in a box, proven: branch and prune over intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.checked_numbers import whole_number
from dynsys.combinators import as_map
from dynsys.composed_maps import Boxed
from dynsys.errors import InputError
from dynsys.fixed_points import find_fixed_points
from dynsys.limits import one_blas_thread
from dynsys.maps import Map, SearchBox, given_box
from dynsys.proofs.certificates import Certificates
from dynsys.proofs.evaluate import Unprovable
from dynsys.proofs.existence import Existence, existence
from dynsys.proofs.krawczyk import narrow
from dynsys.proofs.local import certify
from dynsys.read_only import read_only
from dynsys.readings.intervals import Intervals
from dynsys.types import Array, ArrayLike

CHUNK = 512  # boxes per pass: enough to make NumPy's own cost small
CUT = 127 / 256  # off centre, so that symmetric points do not lie on the cuts
MARGIN = 1e-6  # the box is searched this much wider (relative): points on its border are then inside
SMALLEST = 1e-9  # boxes narrower than this (relative to 1 + max|x|) are left undecided


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class AllFixedPoints:
    """Every fixed point of a map in a box, as far as it was proven.

    Attributes:
        certificates: of the points found. complete: whether it is proven that the box holds no others.
        box: (low, high) as asked for; it was searched a millionth wider. undecided_low, undecided_high: (u, n) the
            boxes in which more points may lie; none where complete.
        examined: boxes looked at. reason: why it is not complete, in words.
    """

    certificates: Certificates
    complete: bool
    box: SearchBox
    undecided_low: Array
    undecided_high: Array
    examined: int
    reason: str

    @property
    def states(self) -> Array:
        """(k, n), the points found."""
        return self.certificates.states

    def __len__(self) -> int:
        return len(self.certificates)

    def to_dict(self) -> dict[str, Any]:
        """The certificates' fields, and how the search for all ended."""
        return self.certificates.to_dict() | {
            "complete": self.complete,
            "box": {"low": self.box.low, "high": self.box.high, "origin": self.box.origin},
            "undecided_low": self.undecided_low,
            "undecided_high": self.undecided_high,
            "examined": self.examined,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        count = len(self)
        number = {0: "no fixed point", 1: "exactly one fixed point"}.get(count, f"exactly {count} fixed points")
        head = f"Proven: the box holds {number}" if self.complete else f"NOT complete, {count} found: {self.reason}"
        where = f"box: {self.box.origin}; {self.examined} boxes examined"
        return f"{head} ({where}).\n{self.certificates}"

    __repr__ = __str__


def all_fixed_points(
    f: Any,
    input: ArrayLike | None = None,
    *,
    box: tuple[Any, Any] | None = None,
    starts: ArrayLike | None = None,
    max_boxes: int = 200_000,
) -> AllFixedPoints:
    """All fixed points of `f` in a box, with a proof that there are no others. For about 4 state variables or fewer.

    Points that a search finds are proven first, each alone in a neighbourhood; the rest of the box is bisected until
    every part is proven empty, or proven to hold one point. What `max_boxes` leaves open is reported, not guessed.

    Args:
        f: the map (anything `as_map` reads). input: (m,) constant input; None is the zero vector.
        box: (low, high), numbers or (n,); None is the reachable box of the equations, which holds all fixed points.
        starts: (k, n) states to prove first, e.g. of a search already done; None runs `find_fixed_points`.
        max_boxes: boxes to look at before giving up; each costs some 20 us times n^2.

    Returns: AllFixedPoints; read `complete` first.
    Raises: InputError where nothing bounds the map and no box is given.
    """
    f = as_map(f)
    vector = f.input_vector(input)
    where = f.box(vector, vector) if box is None else given_box(box, False, f.state_size)
    if where is None:
        raise InputError(f"nothing in the equations of {f.name} bounds its states: pass `box=(low, high)`.")
    max_boxes = whole_number("max_boxes", max_boxes, 1)
    search = _Search(f, vector, where)
    with one_blas_thread(), np.errstate(all="ignore"):
        try:
            search.know(_first(f, vector, where, starts))
            search.run(int(max_boxes))
        except Unprovable as error:
            search.fail(str(error))
    known = np.array([x for x, _ in search.known]).reshape(-1, f.state_size)
    # Found in the margin but proven to lie outside of what was asked for:
    outside = [bool(((e.high < where.low) | (e.low > where.high)).any()) for _, e in search.known]
    certificates = certify(f, known[~np.array(outside, dtype=bool)], vector)
    left_low, left_high = search.left()
    return AllFixedPoints(
        certificates=certificates,
        complete=not search.reason and not len(left_low),
        box=where,
        undecided_low=left_low,
        undecided_high=left_high,
        examined=search.examined,
        reason=search.reason or (f"{len(left_low)} boxes are undecided" if len(left_low) else ""),
    )


def _first(f: Map, input: Array, where: SearchBox, starts: ArrayLike | None) -> Array:
    """Candidates by a search that proves nothing."""
    if starts is not None:
        return np.asarray(starts, dtype=np.float64).reshape(-1, f.state_size)
    inside = Boxed(f, SearchBox(where.low, where.high, False, where.origin))
    return find_fixed_points(inside, input, n_starts=256).points.states


@final
class _Search:
    """The boxes still to look at, and the points already proven."""

    def __init__(self, f: Map, input: Array, where: SearchBox) -> None:
        self.f, self.input = f, input
        room = MARGIN * (where.high - where.low)
        self.waiting = [((where.low - room)[:, np.newaxis], (where.high + room)[:, np.newaxis])]
        self.given_up: list[tuple[Array, Array]] = []
        self.known: list[tuple[Array, Existence]] = []
        self.examined, self.reason = 0, ""

    def know(self, states: Array) -> None:
        """Prove candidate states (k, n), and keep what is new among the proven ones."""
        for candidate in states:
            if np.isfinite(candidate).all():
                state = self._newton(candidate)
                self._keep(state, existence(self.f, state, self.input, np.inf, Intervals))

    def _keep(self, state: Array, found: Existence) -> bool:
        """Whether a proven point is in the list, now or before; False where it cannot be told from another."""
        if not found.proven:
            return False
        for x, other in self.known:
            if ((found.low >= x - other.uniqueness) & (found.high <= x + other.uniqueness)).all():
                return True
            if ((found.low <= other.high) & (found.high >= other.low)).all():
                return False
        self.known.append((state, found))
        return True

    def run(self, most: int) -> None:
        while self.waiting:
            if self.examined >= most:
                self.reason = f"{self.open_boxes()} boxes are left after {self.examined}; raise `max_boxes`"
                return
            low, high = self._next()
            self.examined += low.shape[1]
            self._look(low, high)

    def fail(self, reason: str) -> None:
        self.reason = reason

    def open_boxes(self) -> int:
        return sum(low.shape[1] for low, _ in self.waiting)

    def left(self) -> tuple[Array, Array]:
        """(u, n) bounds of what is undecided."""
        pieces = [*self.given_up, *self.waiting]
        if not pieces:
            return np.zeros((0, self.f.state_size)), np.zeros((0, self.f.state_size))
        return np.concatenate([p[0] for p in pieces], axis=1).T, np.concatenate([p[1] for p in pieces], axis=1).T

    def _next(self) -> tuple[Array, Array]:
        """Up to CHUNK boxes, the latest first: memory stays small."""
        lows, highs, count = [], [], 0
        while self.waiting and count < CHUNK:
            low, high = self.waiting.pop()
            take = CHUNK - count
            if low.shape[1] > take:
                self.waiting.append((low[:, take:], high[:, take:]))
                low, high = low[:, :take], high[:, :take]
            lows.append(low)
            highs.append(high)
            count += low.shape[1]
        return np.concatenate(lows, axis=1), np.concatenate(highs, axis=1)

    def _look(self, low: Array, high: Array) -> None:
        low, high = self._outside_known(low, high)
        if not low.shape[1]:
            return
        said = narrow(self.f, low, high, self.input)
        for at in np.flatnonzero(said.single):
            if not self._accounted(said.low[:, at], said.high[:, at]):
                # Exactly one point is in there, but it could not be pinned down: it stays open.
                self.given_up.append((low[:, [at]], high[:, [at]]))
        go_on = ~said.empty & ~said.single
        new_low, new_high, pull = (part[:, go_on] for part in (said.low, said.high, said.pull))
        if not new_low.shape[1]:
            return
        width = new_high - new_low
        size = 1 + np.maximum(np.abs(new_low), np.abs(new_high)).max(axis=0)
        small = width.max(axis=0) <= SMALLEST * size
        if small.any():
            self._pin_down(new_low[:, small], new_high[:, small])
        self._halve(new_low[:, ~small], new_high[:, ~small], pull[:, ~small])

    def _outside_known(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Without the boxes inside the ball of uniqueness of a proven point: its only point is known."""
        keep = np.ones(low.shape[1], dtype=bool)
        for x, e in self.known:
            radius = np.nextafter(e.uniqueness * (1 - 1e-15), 0)
            inner_low, inner_high = np.nextafter(x - radius, np.inf), np.nextafter(x + radius, -np.inf)
            keep &= ~((low >= inner_low[:, np.newaxis]) & (high <= inner_high[:, np.newaxis])).all(axis=0)
        return low[:, keep], high[:, keep]

    def _accounted(self, low: Array, high: Array) -> bool:
        """Pin down the one point that a box is proven to hold; False where that fails."""
        state = self._newton(0.5 * low + 0.5 * high)
        found = existence(self.f, state, self.input, np.inf, Intervals)
        inside = ((found.low >= low) & (found.high <= high)).all()
        # An enclosure may stick out of the box by rounding; then the box must lie where the point is the only one.
        alone = ((low >= state - found.uniqueness) & (high <= state + found.uniqueness)).all()
        return bool(found.proven and (inside or alone)) and self._keep(state, found)

    def _pin_down(self, low: Array, high: Array) -> None:
        """Boxes too small to divide: known now, or undecided for good."""
        if len(self.given_up) < 64:
            self.know((0.5 * low + 0.5 * high).T[:8])
        low, high = self._outside_known(low, high)
        if low.shape[1]:
            self.given_up.append((low, high))

    def _newton(self, x: Array) -> Array:
        for _ in range(6):
            step = self.f.linearize(x[np.newaxis], self.input)
            try:
                move = np.linalg.solve(np.eye(len(x)) - np.array(step.dense()[0]), step.next_state[:, 0] - x)
            except np.linalg.LinAlgError:
                return x
            if not np.isfinite(move).all():
                return x
            x = x + move
        return x

    def _halve(self, low: Array, high: Array, pull: Array) -> None:
        if not low.shape[1]:
            return
        width = high - low
        # A coordinate that a box is thin in already is not halved, however strongly it acts.
        widest = np.where(width > 0.01 * width.max(axis=0), pull, -1.0).argmax(axis=0)
        column = np.arange(low.shape[1])
        at = low[widest, column] + CUT * (high - low)[widest, column]
        upper_low, lower_high = low.copy(), high.copy()
        lower_high[widest, column], upper_low[widest, column] = at, at
        self.waiting += [(low, lower_high), (upper_low, high)]
