"""Is there exactly one fixed point near this state? The theorem of Newton and Kantorovich in Krawczyk's form.

With G(x) = F(x) - x, a state x, any regular matrix R, and the box X of half width r around x: if
|R G(x)| <= Y and |I - R G'(X)| <= Z < 1 (largest row sums) and Y <= (1 - Z) r, then G has exactly one zero in X, and it
lies within Y / (1 - Z) of x. Z < 1 makes R regular by itself. Source: R. Krawczyk, Computing 4 (1969) 187-201;
S. M. Rump, Acta Numerica 19 (2010) 287-449, section 13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.maps import Map
from dynsys.proofs.evaluate import evaluate
from dynsys.readings.intervals import EPS, down, up
from dynsys.types import Array

WIDEST = 1.0  # uniqueness is looked for up to this half width, relative to 1 + max|x|


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Existence:
    """What was proven near one state.

    Attributes:
        proven: exactly one fixed point within `uniqueness` of the state, and it is within `radius`.
        refuted: no fixed point within the claimed distance.
        radius, uniqueness: inf and 0 where nothing is proven.
        low, high: (n,) the fixed point's enclosure. slope: its Jacobian's enclosure, intervals (n, n), or None.
        kink: whether the Jacobian may jump inside the enclosure. reason: why it is not proven, in words.
    """

    proven: bool
    refuted: bool
    radius: float
    uniqueness: float
    low: Array
    high: Array
    slope: Any
    kink: bool
    reason: str


@final
class _Neighbourhood:
    """One state with its approximate inverse: what Y and Z need."""

    def __init__(self, f: Map, state: Array, input: Array, kind: Any) -> None:
        self.f, self.input, self.kind = f, input, kind
        self.centre: Any = kind.point(state)
        self.inverse: Array | None = None
        there = evaluate(f, self.centre.reshape(-1, 1), input)
        low, high = there.slope[:, 0].bounds()
        middle = 0.5 * (low + high) - np.eye(len(state))
        if np.isfinite(middle).all():
            try:
                inverse = np.linalg.inv(middle)
            except np.linalg.LinAlgError:
                inverse = np.full_like(middle, np.inf)
            if np.isfinite(inverse).all():
                self.inverse = inverse
        self.residual: Any = there.next[:, 0] - self.centre

    def newton(self) -> Any:
        """R G(x), intervals (n,)."""
        assert self.inverse is not None
        return self.residual.under(self.inverse)

    def slope(self, radius: float) -> tuple[Any, bool]:
        """The Jacobian over the box of half width `radius`, intervals (n, n), and whether it may jump there."""
        size = np.full(self.centre.shape, radius)
        around = self.centre + (type(self.centre).point(-size)).hull(size)
        there = evaluate(self.f, around.reshape(-1, 1), self.input)
        return there.slope[:, 0], there.kink

    def remainder(self, slope: Any) -> Array:
        """Upper bounds of |I - R (J - I)|, (n, n), for every J in `slope`."""
        assert self.inverse is not None
        identity = np.eye(len(self.inverse))
        low, high = (identity - (slope - identity).under(self.inverse)).bounds()
        return largest(low, high)


def largest(low: Array, high: Array) -> Array:
    """max |x| over [low, high]."""
    return np.asarray(np.maximum(np.abs(low), np.abs(high)))


def row_sum(matrix: Array) -> float:
    """An upper bound of the largest row sum of a matrix of upper bounds."""
    if not np.isfinite(matrix).all():
        return np.inf
    return float(up(matrix.sum(axis=1).max() * (1 + (matrix.shape[1] + 2) * EPS)))


def existence(f: Map, state: Array, input: Array, claim: float, kind: Any, *, refine: bool = False) -> Existence:
    """Prove or refute that exactly one fixed point lies within `claim` of `state` (n,).

    Args:
        kind: `Intervals` or `Arbs`. refine: move the centre by Newton in the arithmetic of `kind` first.

    Raises: Unprovable where the equations cannot be followed.
    """
    there = _Neighbourhood(f, state, input, kind)
    moved = np.zeros(len(state))
    if refine and there.inverse is not None:
        moved = _refined(there, state)
    if there.inverse is None:
        return _open(state, "J - I is numerically singular: a bifurcation, or a continuum of fixed points, is near")
    low, high = there.newton().bounds()
    first = largest(low, high)
    Y = float(first.max(initial=0.0))
    if not np.isfinite(Y):
        return _open(state, "the map or its Jacobian is not finite at the state")
    least = float(up(np.nextafter(4 * Y, np.inf) + 4 * EPS * (np.abs(state).max(initial=0.0) + 1e-300) * (not refine)))
    least = max(least, 1e-300)
    slope, kink = there.slope(least)
    remainder = there.remainder(slope)
    Z = row_sum(remainder)
    contracts = _closes(Y, Z, least)
    if contracts:
        radius = float(up(up(Y / float(np.nextafter(1 - Z, 0))))) if Y else 0.0
        centre_low, centre_high = there.centre.bounds()
        if Y == 0:  # the centre solves the equation exactly
            own, enclosure = np.zeros(len(state)), (centre_low, centre_high)
        else:
            own = up(up(first + up((remainder @ np.full(len(state), radius)) * (1 + 2 * len(state) * EPS))))
            enclosure = down(centre_low - own), up(centre_high + own)
        away = float(up(moved + own).max(initial=0.0)) if moved.any() or Y else 0.0
        if away <= claim:
            widest = _widest(there, Y, least, WIDEST * (1 + float(np.abs(state).max(initial=0.0))))
            unique = max(float(np.nextafter(widest - moved.max(initial=0.0), -np.inf)), 0.0)
            tight, kink = there.slope(radius)
            return Existence(
                proven=True, refuted=False, radius=away, uniqueness=unique, low=enclosure[0], high=enclosure[1],
                slope=tight, kink=kink, reason="",
            )  # fmt: skip
    if not refine and _none_within(there, low, high, claim):
        words = f"no fixed point within {claim:.1e} of the state"
        if contracts:
            words += f"; there is one within {away:.1e}"
        return _open(state, words, refuted=True)
    if contracts:
        return _open(state, f"a fixed point exists, but only within {away:.1e} of the state, not {claim:.1e}")
    why = "over the smallest useful box" + (", which contains a kink," if kink else "")
    return _open(state, f"no contraction {why} (bound {Z:.2g}, residual step {Y:.2g}): J - I is too close to singular")


def _closes(step: float, bound: float, radius: float) -> bool:
    """Whether |R G(x)| <= Y, |I - R G'| <= Z make the box of this half width go into itself: Y <= (1 - Z) r."""
    return bound < 1 and step <= (1 - bound) * radius * (1 - 4 * EPS)


def _refined(there: _Neighbourhood, state: Array) -> Array:
    """Move the centre by a few Newton steps; returns how far, per coordinate, (n,) rounded up."""
    assert there.inverse is not None
    mids = there.centre
    for _ in range(4):
        mids = type(mids).middles(mids - there.newton())
        there.centre = mids
        there.residual = evaluate(there.f, mids.reshape(-1, 1), there.input).next[:, 0] - mids
    low, high = (mids - state).bounds()
    return largest(low, high)


def _widest(there: _Neighbourhood, Y: float, least: float, most: float) -> float:
    """The largest half width on a ladder of doublings over which the contraction still holds."""
    steps = max(0, int(np.ceil(np.log2(most / least)))) if least < most else 0
    good, bad = 0, steps + 1
    while bad - good > 1:
        rung = (good + bad) // 2
        radius = min(least * 2.0**rung, most) if rung < steps else most
        Z = row_sum(there.remainder(there.slope(radius)[0]))
        if _closes(Y, Z, radius):
            good = rung
        else:
            bad = rung
    return least if good == 0 else min(least * 2.0**good, most)


def _none_within(there: _Neighbourhood, low: Array, high: Array, claim: float) -> bool:
    """Whether R G(x) + R G'(X) (X - x) misses zero in some coordinate, X the box of half width `claim`."""
    assert there.inverse is not None
    slope, _ = there.slope(claim)
    identity = np.eye(len(there.inverse))
    s_low, s_high = (slope - identity).under(there.inverse).bounds()
    size = largest(s_low, s_high)
    if not np.isfinite(size).all():
        return False
    reach = up(up(size.sum(axis=1) * (1 + (size.shape[1] + 2) * EPS)) * claim)
    return bool(((low > reach) | (high < -reach)).any())


def _open(state: Array, reason: str, *, refuted: bool = False) -> Existence:
    everywhere = np.full(len(state), np.inf)
    return Existence(
        proven=False, refuted=refuted, radius=np.inf, uniqueness=0.0, low=-everywhere, high=everywhere, slope=None,
        kink=False, reason=reason,
    )  # fmt: skip
