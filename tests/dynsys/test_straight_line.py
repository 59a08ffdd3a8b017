"""Small maps as straight-line code: the same step and Jacobian, the same exponents, and the arrays where it ends."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys import lyapunov_small
from dynsys.compiled_orbits import equations_of, straight_line
from dynsys.readings.straight_line import NotStraight, StraightLine, evaluate


def rotating(state: Any) -> Any:
    """A delayed logistic map with a few functions more, as rows."""
    x, y = state
    return [1.9 * x * (1 - y) + 0.1 * np.sin(y) / (2 + np.cos(x)), x - 0.05 * np.sqrt(1 + y**2) + 0.01 * np.exp(-x)]


CASES: dict[str, Any] = {
    "Elman": lambda: cells.Elman.random(3, 2, gain=2.0, seed=1),
    "Elman, one unit": lambda: cells.Elman(U=[[1.5]], b=[0.2]),
    "LSTM": lambda: cells.LSTM.random(3, 1, gain=2.0, seed=1),
    "GRU": lambda: cells.GRU.random(3, 1, gain=3.0, seed=1),
    "GRUResetAfter": lambda: cells.GRUResetAfter.random(4, 1, gain=3.0, seed=1),
    "CFN": lambda: cells.CFN.random(3, 1, gain=2.0, seed=1),
    "a function": lambda: dynsys.as_map(rotating, 2),
    "driven": lambda: dynsys.drive(cells.GRU.random(2, 1, gain=3.0, seed=2), [0.4]),
}


@pytest.fixture(params=CASES)
def f(request: pytest.FixtureRequest) -> dynsys.Map:
    return dynsys.as_map(CASES[request.param]())


def test_the_lines_are_the_step_and_its_jacobian(f: dynsys.Map) -> None:
    generator = np.random.default_rng(0)
    driven = f.input_size > 0
    code = StraightLine(equations_of(f), f.state_size, f.input_size, driven=driven)
    for _ in range(3):
        state, input = generator.uniform(-2, 2, f.state_size), generator.standard_normal(f.input_size)
        after, jacobian = evaluate(code, state, input)
        np.testing.assert_allclose(after, f.step(state, input if driven else None), rtol=0, atol=1e-14)
        np.testing.assert_allclose(jacobian, f.jacobian(state, input if driven else None), rtol=0, atol=1e-13)


def test_machine_code_and_arrays_have_the_same_exponents(f: dynsys.Map, monkeypatch: pytest.MonkeyPatch) -> None:
    """All exponents, driven by noise where there are inputs, two sequences: equal to rounding; and k = 1."""
    inputs = 0.5 * np.random.default_rng(1).standard_normal((600, 2, f.input_size)) if f.input_size else None
    start = np.full((2, f.state_size), 0.1)
    start[1] += 0.05
    for k in {f.state_size, 1}:
        settings: dict[str, Any] = {"inputs": inputs, "k": k, "steps": 500, "discard": 100}
        arrays = dynsys.lyapunov_spectrum(f, start, **settings)
        with monkeypatch.context() as patch:
            patch.setattr(lyapunov_small, "WORTHWHILE", 0)
            code = dynsys.lyapunov_spectrum(f, start, **settings)
        tolerance = 1e-10 if k == f.state_size else 1e-6
        np.testing.assert_allclose(code.by_sequence, arrays.by_sequence, rtol=0, atol=tolerance)
        np.testing.assert_allclose(code.running, arrays.running, rtol=0, atol=1e-6)
        assert (code.residual is None) == (k < f.state_size)
        assert code.residual is None or code.residual < 1e-11


@pytest.mark.parametrize(
    "cell", [cells.Elman(U=[[0.5]], activation="relu"), cells.PLRNN.random(3, 0), cells.Elman.random(9, 0)]
)
def test_kinks_and_larger_maps_are_left_to_the_arrays(cell: Any) -> None:
    f = dynsys.as_map(cell)
    assert straight_line(f, np.full(f.state_size, 0.1), None) is None


def test_what_has_no_rule_says_so() -> None:
    f = dynsys.as_map(lambda x: np.arctanh(0.5 * x) ** 2.5, 1)
    with pytest.raises(NotStraight, match="arctanh"):
        StraightLine(equations_of(f), 1, 0, driven=False)


def test_published_exponents_over_a_million_steps() -> None:
    """Henon: 0.41919(7) and -1.62317(7) over 4 x 10^7 steps, sum ln 0.3; logistic map at r = 4: ln 2."""
    henon = dynsys.as_map(lambda s: [1 - 1.4 * s[0] ** 2 + s[1], 0.3 * s[0]], 2)
    result = dynsys.lyapunov_spectrum(henon, [0.1, 0.1], steps=1_000_000, discard=1000)
    np.testing.assert_allclose(result.exponents, [0.41919, -1.62317], atol=3e-4)
    assert result.exponents.sum() == pytest.approx(math.log(0.3), abs=1e-12)
    assert result.chaotic
    logistic = dynsys.as_map(lambda x: 4 * x * (1 - x), 1)
    result = dynsys.lyapunov_spectrum(logistic, [0.3], steps=1_000_000, discard=100)
    assert result.exponents[0] == pytest.approx(math.log(2), abs=1e-4)


def test_a_long_runaway_orbit_is_an_error() -> None:
    f = dynsys.as_map(lambda s: [1 - 2.5 * s[0] ** 2 + s[1], 0.3 * s[0]], 2)
    with pytest.raises(dynsys.errors.AnalysisError, match="infinity"):
        dynsys.lyapunov_spectrum(f, [0.1, 0.1], steps=100_000, discard=0)
