"""x' = A s(w x + b) + k x + g with one saturating s: its fixed points by number, and its folds and flips as formulas.

With y = s(u) and (1 - k) x = A y + g, a fixed point solves s^-1(y) = W y + B, W = w A / (1 - k), B = b + w g / (1 - k):
u - W s(u) is monotone between the points where W s'(u) = 1, which are known in closed form.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import mpmath
import sympy

from dynsys.readings.expressions import logistic

DIGITS = 50
"""Decimal digits to which a root without a closed form is given."""
GUARD = 25
"""Digits more than that in the working precision, for comparisons next to a fold."""


@dataclass(frozen=True)
class Saturating:
    """A saturating function: its derivative as a polynomial of its value y, its inverse, its symmetric point."""

    slope: tuple[int, int, int]
    """(p0, p1, p2): s' = p0 + p1 y + p2 y^2."""
    middle: Any
    """s(0), the point of symmetry."""
    low: int
    high: int

    def derivative(self, y: Any) -> Any:
        """s' where s is y."""
        return self.slope[0] + self.slope[1] * y + self.slope[2] * y**2

    def discriminant(self, slope: Any) -> Any:
        """Positive where s' takes the value `slope` at two places."""
        return sympy.simplify(self.slope[1] ** 2 - 4 * self.slope[2] * (self.slope[0] - slope))

    def values_of_slope(self, slope: Any) -> list[Any]:
        """The values y, exact, at which s' = slope; both, whether real or not."""
        root = sympy.sqrt(self.discriminant(slope))
        return [(-self.slope[1] + sign * root) / (2 * self.slope[2]) for sign in (1, -1)]


SATURATING: dict[Any, Saturating] = {
    sympy.tanh: Saturating((1, 0, -1), sympy.Integer(0), -1, 1),
    logistic: Saturating((0, 1, -1), sympy.Rational(1, 2), 0, 1),
}


def inverse(function: Any, y: Any) -> Any:
    """u with function(u) = y."""
    return sympy.atanh(y) if function is sympy.tanh else sympy.log(y / (1 - y))


@dataclass(frozen=True)
class OneUnit:
    """The parts of the formula, see the head of this file."""

    function: Any
    A: Any
    w: Any
    b: Any
    k: Any
    g: Any

    @property
    def weight(self) -> Any:
        """W, the slope of the line that s^-1 is cut with."""
        return sympy.simplify(self.w * self.A / (1 - self.k))

    @property
    def bias(self) -> Any:
        """B, the height of that line."""
        return sympy.simplify(self.b + self.w * self.g / (1 - self.k))

    def state(self, y: Any) -> Any:
        """The x at which s has the value y, on a fixed point."""
        return (self.A * y + self.g) / (1 - self.k)


def one_unit(formula: Any, x: Any) -> OneUnit | None:
    """The parts of `formula` if it has this form in x, else None."""
    atoms = [a for a in formula.atoms(*SATURATING) if x in a.free_symbols]
    if len(atoms) != 1:
        return None
    inside = sympy.Poly(atoms[0].args[0], x) if atoms[0].args[0].is_polynomial(x) else None
    y = sympy.Dummy("y", real=True)
    outside = sympy.expand(formula.subs(atoms[0], y))
    if inside is None or inside.degree() != 1 or not outside.is_polynomial(x, y):
        return None
    whole = sympy.Poly(outside, x, y)
    if whole.total_degree() != 1:
        return None
    w, b = inside.coeff_monomial(x), inside.coeff_monomial(1)
    parts = OneUnit(type(atoms[0]), whole.coeff_monomial(y), w, b, whole.coeff_monomial(x), whole.coeff_monomial(1))
    return None if (1 - parts.k).is_zero else parts


def fixed_values(unit: OneUnit) -> list[tuple[Any, bool]]:
    """The values y of s at the fixed points, in order, each with whether it is exact; the parameters are numbers."""
    kind = SATURATING[unit.function]
    W, B = unit.weight, unit.bias
    found: list[tuple[Any, bool]] = []
    with mpmath.workdps(DIGITS + GUARD):
        slope, height = (mpmath.mpf(sympy.N(v, DIGITS + GUARD)) for v in (W, B))
        half = mpmath.mpf(sympy.N(kind.middle, DIGITS + GUARD))

        def s(u: Any) -> Any:
            return mpmath.tanh(u) if unit.function is sympy.tanh else 1 / (1 + mpmath.exp(-u))

        def gap(u: Any) -> Any:
            return u - slope * s(u) - height

        reach = abs(height) + abs(slope) + 1
        turns = _turns(kind, W, unit.function)
        edges = [-reach, *turns, reach]
        tiny = mpmath.mpf(10) ** (-DIGITS - GUARD // 2)
        folds = [u for u in turns if abs(gap(u)) < tiny]
        centred = sympy.simplify(B + W * kind.middle).is_zero
        for low, high in itertools.pairwise(edges):
            if low in folds or high in folds or gap(low) * gap(high) > 0:
                continue
            u = _root(gap, low, high)
            is_middle = bool(centred) and abs(s(u) - half) < tiny
            found.append((kind.middle, True) if is_middle else (_rounded(s(u)), False))
        found += [(_rounded(s(u)), False) for u in folds]  # double roots
    return sorted(set(found), key=lambda pair: pair[0])


def _turns(kind: Saturating, W: Any, function: Any) -> list[Any]:
    """Where u - W s(u) turns round, in order, as numbers."""
    if not W.is_positive:
        return []
    values = [sympy.N(y, DIGITS + GUARD) for y in kind.values_of_slope(1 / W)]
    # One repeated value is the pitchfork's: the slope vanishes there and does not change its sign.
    inner = {y for y in values if y.is_real and kind.low < y < kind.high}
    if len(inner) < 2:
        return []
    return sorted(mpmath.mpf(sympy.N(inverse(function, y), DIGITS + GUARD)) for y in inner)


def _root(gap: Any, low: Any, high: Any) -> Any:
    """The root between two ends of opposite sign, by bisection: the function is monotone there."""
    if gap(low) == 0:
        return low
    rising = gap(high) > 0
    while high - low > mpmath.mpf(10) ** (-DIGITS - GUARD + 5) * max(1, abs(low)):
        middle = (low + high) / 2
        if gap(middle) == 0:
            return middle
        if (gap(middle) > 0) == rising:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def _rounded(value: Any) -> Any:
    return sympy.Float(mpmath.nstr(value, DIGITS + 5), DIGITS)
