"""The balls reading: every cell's values and Jacobians lie inside their enclosures, in both kinds of interval."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import MissingPackageError
from dynsys.proofs.evaluate import Unprovable, evaluate
from dynsys.readings import arb_arrays
from dynsys.readings.arb_arrays import Arbs
from dynsys.readings.intervals import Intervals

spec = importlib.util.spec_from_file_location("conformance", Path(__file__).with_name("test_conformance.py"))
assert spec is not None
assert spec.loader is not None
conformance = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conformance)  # its lists of cells and maps: a new one is checked here too
CELLS, MAPS = conformance.CELLS, conformance.MAPS

KINDS = [Intervals, pytest.param(Arbs, marks=pytest.mark.skipif(not arb_arrays.available(), reason="python-flint"))]
READABLE = {name: make for name, make in MAPS.items() if name != "function-by-differences"}
EVERY = [pytest.param(lambda make=make: dynsys.as_map(make(4, 2)), id=name) for name, make in CELLS.items()]
EVERY += [pytest.param(make, id=name) for name, make in READABLE.items()]


def inside(low: np.ndarray, x: Any, high: np.ndarray, room: float) -> bool:
    room = room * (1 + np.abs(x))
    return bool(((low - room <= x) & (x <= high + room)).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", EVERY)
def test_values_and_jacobians_are_enclosed(make: Callable[[], Any], kind: Any) -> None:
    """At a point the enclosures are as narrow as rounding, and agree with the tape."""
    f = make()
    generator = np.random.default_rng(1)
    x, u = generator.uniform(-0.8, 0.8, f.state_size), generator.uniform(-1, 1, f.input_size)
    there = evaluate(f, kind.point(x[:, np.newaxis]), u)
    low, high = (side[:, 0] for side in there.next.bounds())
    J_low, J_high = (side[:, 0] for side in there.slope.bounds())
    assert inside(low, f.step(x, u), high, 1e-14)
    assert inside(J_low, f.jacobian(x, u), J_high, 1e-13)
    assert (high - low).max() < 1e-12
    assert (J_high - J_low).max() < 1e-11


@pytest.mark.parametrize("make", EVERY)
def test_a_box_encloses_all_its_states(make: Callable[[], Any]) -> None:
    f = make()
    generator = np.random.default_rng(2)
    centre, u = generator.uniform(-0.5, 0.5, f.state_size), generator.uniform(-1, 1, f.input_size)
    there = evaluate(f, Intervals(centre - 0.3, centre + 0.3).reshape(-1, 1), u)
    samples = centre + generator.uniform(-0.3, 0.3, (200, f.state_size))
    low, high = there.next.bounds()
    assert inside(low.T, f.step(samples, u), high.T, 1e-13)
    J_low, J_high = (np.moveaxis(side, 1, 0) for side in there.slope.bounds())
    assert inside(J_low, f.jacobian(samples, u), J_high, 1e-12)
    assert np.isfinite(J_high).all()


def test_the_natural_extension_of_monotone_rows_is_exact() -> None:
    """tanh(U h + b) meets each state once per row: the least and the largest value are at corners."""
    cell = cells.Elman.random(3, 0, gain=2.0, seed=3)
    there = evaluate(dynsys.as_map(cell), Intervals(-np.ones((3, 1)), np.ones((3, 1))), np.zeros(0))
    reach = np.tanh(np.abs(cell.U).sum(axis=1))
    np.testing.assert_allclose(there.next.high[:, 0], reach, rtol=1e-14)
    np.testing.assert_allclose(there.next.low[:, 0], -reach, rtol=1e-14)


def test_a_gated_step_is_enclosed_to_fifty_digits() -> None:
    """Against mpmath at 50 digits: the true value of the float64 parameters, not the rounded one, is inside."""
    cell = cells.GRU.random(3, 0, gain=2.0, seed=5)
    x = np.array([0.3, -0.7, 0.1])
    with mpmath.workdps(50):

        def times(U: np.ndarray, h: list[Any]) -> list[Any]:
            return [sum(mpmath.mpf(float(a)) * b for a, b in zip(row, h, strict=True)) for row in U]

        h = [mpmath.mpf(float(v)) for v in x]
        z, r = ([1 / (1 + mpmath.exp(-a)) for a in times(U, h)] for U in (cell.U_z, cell.U_r))
        cand = [mpmath.tanh(a) for a in times(cell.U_h, [a * b for a, b in zip(r, h, strict=True)])]
        truth = [a * b + (1 - a) * c for a, b, c in zip(z, h, cand, strict=True)]
        for kind in (Intervals, Arbs) if arb_arrays.available() else (Intervals,):
            there = evaluate(dynsys.as_map(cell), kind.point(x[:, np.newaxis]), np.zeros(0))
            low, high = there.next.bounds()
            for a, value, b in zip(low[:, 0], truth, high[:, 0], strict=True):
                assert mpmath.mpf(float(a)) <= value <= mpmath.mpf(float(b))


def one(function: Any, low: float, high: float, kind: Any = Intervals) -> tuple[Any, ...]:
    """Value and slope bounds of a function of one variable over [low, high], and whether there is a kink."""
    box = kind.point(np.array([[low]])).hull(np.array([[high]]))
    there = evaluate(dynsys.as_map(function, 1), box, np.zeros(0))
    return (
        *(float(b[0, 0]) for b in there.next.bounds()),
        *(float(b[0, 0, 0]) for b in there.slope.bounds()),
        there.kink,
    )


def leaky(x: Any) -> Any:
    return np.where(x > 0, x, 0.1 * x)


KINKED: list[tuple[Callable[[Any], Any], float, float, float]] = [
    # function, where its kink is, slope on the left, slope on the right
    (lambda x: np.maximum(x, 0.0), 0.0, 0.0, 1.0),
    (np.abs, 0.0, -1.0, 1.0),
    (lambda x: np.clip(0.2 * x + 0.5, 0, 1), -2.5, 0.0, 0.2),
    (lambda x: np.minimum(2.0 * x, 1.0), 0.5, 2.0, 0.0),
    (lambda x: np.maximum(0.1 * x, x), 0.0, 0.1, 1.0),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("function", "at", "left", "right"), KINKED)
def test_kinks_give_the_hull_of_both_sides(
    function: Callable[[Any], Any], at: float, left: float, right: float, kind: Any
) -> None:
    for low, high, least, most, kink in (
        (at - 0.2, at - 0.1, left, left, False),
        (at + 0.1, at + 0.2, right, right, False),
        (at - 0.1, at + 0.1, min(left, right), max(left, right), True),
        (at, at, min(left, right), max(left, right), True),
    ):
        *_, slope_low, slope_high, met = one(function, low, high, kind)
        assert met == kink or (low == high and not met)
        if met == kink:
            assert (slope_low, slope_high) == pytest.approx((least, most), abs=1e-8)
            assert slope_low <= least <= most <= slope_high


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "function",
    [leaky, lambda x: np.where(x > 0, 1.0, 0.0) * x, lambda x: np.floor(x) + x, np.sign, lambda x: (x > 0) * x],
)
def test_where_the_function_may_jump_the_slope_is_unknown(function: Callable[[Any], Any], kind: Any) -> None:
    *_, slope_low, slope_high, kink = one(function, -0.1, 0.1, kind)
    assert (slope_low, slope_high, kink) == (-np.inf, np.inf, True)
    assert not one(function, 0.2, 0.3, kind)[-1]
    values = [float(dynsys.as_map(function, 1).step([x])[0]) for x in np.linspace(-0.1, 0.1, 41)]
    low, high = one(function, -0.1, 0.1, kind)[:2]
    assert low <= min(values)
    assert max(values) <= high


@pytest.mark.parametrize(
    "function",
    [
        np.exp, np.expm1, np.sin, np.cos, np.arctan, np.sinh, np.cosh, np.arcsinh, np.square, np.tanh,
        lambda x: np.log(2 + x), lambda x: np.sqrt(2 + x), lambda x: np.log1p(x * x), lambda x: x**3 - x**2,
        lambda x: 1 / (2 + x), lambda x: np.logaddexp(0.0, 3 * x), lambda x: np.arctanh(0.5 * x),
        lambda x: (2 + x) ** 1.7, np.tan, lambda x: np.log2(3 + x) - np.log10(3 + x), lambda x: (3 + x) ** -2,
    ],
)  # fmt: skip
@pytest.mark.skipif(not arb_arrays.available(), reason="python-flint")
def test_other_functions_are_enclosed(function: Callable[[Any], Any]) -> None:
    f = dynsys.as_map(function, 1)
    for kind in (Intervals, Arbs):
        low, high, slope_low, slope_high, _ = one(function, -0.4, 0.7, kind)
        for x in np.linspace(-0.4, 0.7, 23):
            assert low - 1e-14 <= f.step([x])[0] <= high + 1e-14
            assert slope_low - 1e-12 <= f.jacobian([x])[0, 0] <= slope_high + 1e-12
        low, high, slope_low, slope_high, _ = one(function, 0.3, 0.3, kind)
        assert high - low < 1e-13
        assert slope_high - slope_low < 1e-13


def test_parameters_are_rounded_too() -> None:
    """1 - a is no float64 for a = 1e-17: a step that forms it is enclosed as the real number."""

    class Slow(cells.Cell):
        def __init__(self) -> None:
            self.U, self.a = np.array([[1.0]]), 1e-17

        state_blocks = {"h": 1}  # noqa: RUF012
        input_size, hidden_size, parameters = 0, 1, {"U": np.array([[1.0]])}

        def step(self, h: Any, x: Any) -> Any:
            return (1 - self.a) * (self.U @ h)

    there = evaluate(dynsys.as_map(Slow()), Intervals.point([[1.0]]), np.zeros(0))
    assert there.next.low[0, 0] < 1.0


def test_equations_that_cannot_be_followed_say_so() -> None:
    f = dynsys.as_map(lambda x: np.cumsum(np.sin(x), axis=0), 2)
    with pytest.raises(Unprovable, match="cumsum"):
        evaluate(f, Intervals.point(np.zeros((2, 1))), np.zeros(0))


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "flint":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    arb_arrays.flint.cache_clear()
    try:
        with pytest.raises(MissingPackageError, match="pip install python-flint"):
            dynsys.certify(cells.Elman.random(2, 0), np.zeros(2), arithmetic="balls")
        # What needs no balls goes on without them.
        assert dynsys.certify(cells.Elman.random(2, 0), np.zeros(2)).status == ("proven",)
    finally:
        arb_arrays.flint.cache_clear()


@pytest.mark.skipif(not arb_arrays.available(), reason="python-flint")
def test_the_precision_is_put_back() -> None:
    context = arb_arrays.flint().ctx
    before = context.prec
    dynsys.certify(cells.Elman.random(2, 0), np.zeros(2), arithmetic="balls")
    assert context.prec == before
