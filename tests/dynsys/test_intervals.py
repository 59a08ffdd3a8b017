"""Interval arithmetic against exact numbers: what is enclosed must be inside, whatever the rounding."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from dynsys.readings import interval_functions
from dynsys.readings.interval_functions import exp_bounds, logistic_bounds, tanh_bounds
from dynsys.readings.intervals import Intervals

GENERATOR = np.random.default_rng(0)
MIXED = np.concatenate(
    [
        GENERATOR.uniform(-1, 1, 300),
        GENERATOR.uniform(-40, 40, 300),
        10.0 ** GENERATOR.uniform(-300, 2.8, 200) * GENERATOR.choice([-1, 1], 200),
        [0.0, -0.0, 1.0, -1.0, 0.34657359027997264, 0.5493061443340548],
        [700.0, -700.0, 709.5, -745.0, 800.0, -800.0, 5e-324],
    ]
)


def exact(a: float) -> Fraction:
    return Fraction(float(a))


def logistic(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    "exp": (exp_bounds, mpmath.exp),
    "expit": (logistic_bounds, logistic),
    "tanh": (tanh_bounds, mpmath.tanh),
}


def misses(name: str) -> int:
    """How many values, known to 400 bits, are outside their bounds."""
    bounds, function = FUNCTIONS[name]
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        low, high = bounds(MIXED)
    with mpmath.workprec(400):
        values = [function(mpmath.mpf(float(x))) for x in MIXED]
        return sum(not mpmath.mpf(a) <= v <= mpmath.mpf(b) for a, b, v in zip(low, high, values, strict=True))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_lie_within_their_bounds(name: str) -> None:
    assert misses(name) == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_bounds_are_tight(name: str) -> None:
    bounds, function = FUNCTIONS[name]
    low, high = bounds(MIXED[:600])
    truth = np.array([float(function(mpmath.mpf(x))) for x in MIXED[:600]])
    np.testing.assert_array_less(high - low, 2e-14 * np.maximum(np.abs(truth), 1e-300) + 5e-15 * (name == "tanh"))


def test_without_the_guard_the_exponential_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds are needed: with none, hundreds of values fall outside."""
    monkeypatch.setattr(interval_functions, "GUARD", 0.0)
    assert misses("exp") > 100


@pytest.mark.parametrize("operation", ["__add__", "__sub__", "__mul__", "__truediv__"])
def test_arithmetic_encloses_the_exact_result(operation: str) -> None:
    a, b = GENERATOR.standard_normal((2, 400)) * 10.0 ** GENERATOR.integers(-12, 12, (2, 400))
    out = getattr(Intervals.point(a), operation)(Intervals.point(b))
    rounded = getattr(a, operation)(b)
    wrong = 0
    for low, high, x, y, float_result in zip(out.low, out.high, a, b, rounded, strict=True):
        truth = getattr(exact(x), operation)(exact(y))
        assert exact(low) <= truth <= exact(high)
        wrong += truth != exact(float_result)
    assert wrong > 300  # plain floats would miss most of them
    assert ((out.high - out.low) <= 4.5e-16 * np.abs(rounded)).all()


def test_sums_that_are_exact_stay_exact() -> None:
    total = Intervals.point([0.5, 3.0, 1e16]) + Intervals.point([0.25, -3.0, 2.0])
    np.testing.assert_array_equal(total.low, total.high)


def test_products_over_intervals_contain_all_products() -> None:
    low, high = np.sort(GENERATOR.uniform(-2, 2, (2, 2, 200)), axis=0)
    a, b = Intervals(low[0], high[0]), Intervals(low[1], high[1])
    for s in np.linspace(0, 1, 5):
        for t in np.linspace(0, 1, 5):
            x, y = low[0] + s * (high[0] - low[0]), low[1] + t * (high[1] - low[1])
            product, square = a * b, a.square()
            assert ((product.low <= x * y) & (x * y <= product.high)).all()
            assert ((square.low <= x * x) & (x * x <= square.high)).all()


def test_division_by_an_interval_around_zero_is_unknown() -> None:
    out = Intervals.point(1.0) / Intervals(-1.0, 2.0)
    assert (out.low, out.high) == (-np.inf, np.inf)


def test_a_matrix_product_encloses_what_cancels() -> None:
    """1e16 + 1 - 1e16 is 1; in floats it is 0, and only the error bound knows better."""
    matrix = np.array([[1e16, 1.0, -1e16]])
    assert float((matrix @ np.ones(3))[0]) != 1.0 or float((matrix[:, ::-1] @ np.ones(3))[0]) != 1.0
    for row in (matrix, matrix[:, ::-1], matrix[:, [0, 2, 1]]):
        out = Intervals.point(np.ones((3, 1))).under(row)
        assert out.low[0, 0] <= 1.0 <= out.high[0, 0]


def test_a_matrix_product_encloses_the_exact_one() -> None:
    A, x = GENERATOR.standard_normal((20, 30)), GENERATOR.standard_normal((30, 2))
    radius = np.abs(GENERATOR.standard_normal((30, 2))) * 1e-3
    point, wide = Intervals.point(x).under(A), Intervals(x - radius, x + radius).under(A)
    plain = A @ x
    missed = 0
    for i in range(20):
        for b in range(2):
            truth = sum(exact(u) * exact(v) for u, v in zip(A[i], x[:, b], strict=True))
            reach = sum(exact(abs(u)) * exact(v) for u, v in zip(A[i], radius[:, b], strict=True))
            assert exact(point.low[i, b]) <= truth <= exact(point.high[i, b])
            # The ends are rounded x +- radius; a thousandth off makes room for that.
            assert exact(wide.low[i, b]) <= truth - reach * Fraction(999, 1000)
            assert exact(wide.high[i, b]) >= truth + reach * Fraction(999, 1000)
            missed += truth != exact(plain[i, b])
    assert missed > 30
    assert (point.high - point.low).max() < 1e-12


def test_what_is_not_a_number_is_unknown() -> None:
    out = Intervals.point([np.inf]) - Intervals.point([np.inf])
    assert (out.low[0], out.high[0]) == (-np.inf, np.inf)
