"""The tape: every derivative rule, every way to write an equation, and what it does with what it cannot follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special

import dynsys
from dynsys.errors import InputError, ShapeError
from dynsys.readings.derivatives import PIECEWISE_CONSTANT, RULES

BATCHES = [1, 2, 3, 300]

# name -> (how mpmath writes it, points). Every rule of one argument.
UNARY: dict[str, tuple[Callable[[Any], Any], list[float]]] = {
    "negative": (lambda x: -x, [-1.3, 0.4]),
    "positive": (lambda x: x, [-1.3, 0.4]),
    "square": (lambda x: x**2, [-1.3, 0.4]),
    "sqrt": (mpmath.sqrt, [0.3, 7.0]),
    "cbrt": (lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), [-2.0, 0.3, 7.0]),
    "reciprocal": (lambda x: 1 / x, [-0.3, 2.0]),
    "absolute": (abs, [-0.3, 2.0]),
    "fabs": (abs, [-0.3, 2.0]),
    "exp": (mpmath.exp, [-30.0, 1.0, 20.0]),
    "exp2": (lambda x: mpmath.mpf(2) ** x, [-3.0, 1.5]),
    "expm1": (mpmath.expm1, [-1e-9, 1.5]),
    "log": (mpmath.log, [1e-5, 3.0]),
    "log2": (lambda x: mpmath.log(x, 2), [0.2, 3.0]),
    "log10": (mpmath.log10, [0.2, 3.0]),
    "log1p": (mpmath.log1p, [-0.5, 1e-9, 3.0]),
    "sin": (mpmath.sin, [-1.0, 0.4]),
    "cos": (mpmath.cos, [-1.0, 0.4]),
    "tan": (mpmath.tan, [-1.0, 0.4, 1.5]),
    "arcsin": (mpmath.asin, [-0.9, 0.4]),
    "arccos": (mpmath.acos, [-0.9, 0.4]),
    "arctan": (mpmath.atan, [-50.0, 0.4]),
    "sinh": (mpmath.sinh, [-3.0, 0.4]),
    "cosh": (mpmath.cosh, [-3.0, 0.4]),
    "tanh": (mpmath.tanh, [-35.0, -2.0, 0.4, 20.0, 150.0]),
    "arcsinh": (mpmath.asinh, [-3.0, 0.4]),
    "arctanh": (mpmath.atanh, [-0.9, 0.4]),
    "expit": (lambda x: 1 / (1 + mpmath.exp(-x)), [-700.0, -35.0, 0.4, 35.0, 300.0]),
    "log_expit": (lambda x: -mpmath.log(1 + mpmath.exp(-x)), [-35.0, 0.4, 35.0, 300.0]),
    "erf": (mpmath.erf, [-4.0, 0.4]),
}

# Every rule of two arguments.
BINARY: dict[str, tuple[Callable[[Any, Any], Any], list[tuple[float, float]]]] = {
    "add": (lambda x, y: x + y, [(0.3, -2.0)]),
    "subtract": (lambda x, y: x - y, [(0.3, -2.0)]),
    "multiply": (lambda x, y: x * y, [(0.3, -2.0)]),
    "divide": (lambda x, y: x / y, [(0.3, -2.0), (-4.0, 0.5)]),
    "power": (lambda x, y: x**y, [(0.3, -2.0), (4.0, 0.5), (2.0, 3.0)]),
    "float_power": (lambda x, y: x**y, [(0.3, -2.0), (4.0, 0.5)]),
    "logaddexp": (lambda x, y: mpmath.log(mpmath.exp(x) + mpmath.exp(y)), [(0.3, -2.0), (50.0, -50.0)]),
    "arctan2": (mpmath.atan2, [(0.3, -2.0), (-1.0, 0.5), (-1.0, -0.5)]),
    "hypot": (mpmath.hypot, [(0.3, -2.0), (3.0, 4.0)]),
    "maximum": (max, [(0.3, -2.0), (-1.0, 0.5)]),
    "minimum": (min, [(0.3, -2.0), (-1.0, 0.5)]),
    "fmax": (max, [(0.3, -2.0), (-1.0, 0.5)]),
    "fmin": (min, [(0.3, -2.0), (-1.0, 0.5)]),
    "remainder": (lambda x, y: x - y * mpmath.floor(x / y), [(7.3, 2.0), (-7.3, 2.0), (0.3, 1.0)]),
    "fmod": (
        lambda x, y: x - y * (mpmath.floor(x / y) if x / y > 0 else mpmath.ceil(x / y)),
        [(7.3, 2.0), (-7.3, 2.0)],
    ),
}


def numpy_function(name: str) -> Any:
    return getattr(np, name) if hasattr(np, name) else getattr(scipy.special, name)


def test_every_rule_is_tested_here() -> None:
    assert set(UNARY) | set(BINARY) == set(RULES)


@pytest.mark.parametrize(("name", "x"), [(k, x) for k, (_, points) in UNARY.items() for x in points])
def test_rule_of_one_argument(name: str, x: float) -> None:
    """To 1e-12 of itself, also where the function saturates."""
    with mpmath.workdps(400):
        wanted = float(mpmath.diff(UNARY[name][0], mpmath.mpf(x), h=mpmath.mpf(10) ** -100))
    function = numpy_function(name)
    (got,) = RULES[name](np.float64(x), function(np.float64(x)))
    assert float(got) == pytest.approx(wanted, rel=1e-12, abs=0)


@pytest.mark.parametrize(("name", "at"), [(k, p) for k, (_, points) in BINARY.items() for p in points])
def test_rule_of_two_arguments(name: str, at: tuple[float, float]) -> None:
    exact, (x, y) = BINARY[name][0], at
    with mpmath.workdps(200):
        h = mpmath.mpf(10) ** -50
        a, b = mpmath.mpf(x), mpmath.mpf(y)
        wanted = [
            float((exact(a + h, b) - exact(a - h, b)) / (2 * h)),
            float((exact(a, b + h) - exact(a, b - h)) / (2 * h)),
        ]
    x, y = np.float64(x), np.float64(y)
    got = [float(d) for d in RULES[name](x, y, numpy_function(name)(x, y))]
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-40)


def test_integer_powers_of_negative_numbers() -> None:
    f = dynsys.as_map(lambda h: h**3 + h**2, 1)
    np.testing.assert_allclose(f.jacobian([-0.7]), [[3 * 0.49 - 1.4]], rtol=1e-14)


@pytest.mark.parametrize("name", sorted(PIECEWISE_CONSTANT))
def test_steps_have_no_slope(name: str) -> None:
    function = numpy_function(name)
    two = function.nin == 2
    f = dynsys.as_map(lambda h: 2.0 * h + (function(h, 0.3) if two else function(h)), 1)
    assert f.notes == ()
    np.testing.assert_allclose(f.jacobian([0.8]), [[2.0]])


# Ways to write a map: each must be read by the tape, and right

W = np.array([[0.5, -1.0], [2.0, 0.3]])
V = np.array([[1.0, 0.2], [-0.4, 0.7]])
C = np.array([[0.3], [-0.6]])


def unpacked(h: Any) -> Any:
    x, y = h
    return [x * y, x / (1 + y**2)]


def shared(h: Any) -> Any:
    s = W @ np.tanh(V @ h)
    return np.concatenate([s[:1], s[1:] * np.sin(s[:1])])


WRITTEN: dict[str, Callable[[Any], Any]] = {
    "rows-in-a-list": lambda h: [np.sin(h[0]) * h[1], h[0] - h[1] ** 2],
    "rows-in-a-tuple": lambda h: (np.sin(h[0]) * h[1], h[0] - h[1] ** 2),
    "rows-in-an-array": lambda h: np.array([np.sin(h[0]) * h[1], h[0] - h[1] ** 2]),
    "rows-unpacked": unpacked,
    "rows-with-a-constant": lambda h: [h[0] * h[1], 0.25],
    "rows-with-a-slice": lambda h: np.concatenate([h[1:], np.tanh(h[:1]) * h[1:]]),
    "rows-by-a-list-of-indices": lambda h: np.cos(h[[1, 0]]) + h,
    "rows-repeated": lambda h: h[[1, 1]] * h,
    "last-row": lambda h: np.stack([h[-1], h[0] * h[-1]]),
    "rows-with-a-full-slice": lambda h: np.stack([h[0, :] ** 2, h[1, ...] * h[0, :]]),
    "vstack": lambda h: np.vstack([h[1], h[0] * h[1]]),
    "where": lambda h: np.where(h > 0.1, np.sin(h), h**2),
    "where-with-constants": lambda h: np.where(h > 0.1, 1.0, h**2) * h,
    "clip": lambda h: np.clip(2 * h, -0.5, 0.7) + 0.1 * h,
    "clip-one-side": lambda h: np.clip(2 * h, None, 0.7) + 0.1 * h,
    "sum": lambda h: np.tanh(h) + h.sum(axis=0),
    "sum-keepdims": lambda h: h * np.sum(h**2, axis=0, keepdims=True),
    "mean": lambda h: h - np.mean(h * h, axis=0),
    "softmax": lambda h: np.exp(h) / np.exp(h).sum(axis=0, keepdims=True),
    "layer-norm": lambda h: (h - h.mean(axis=0)) / np.sqrt(((h - h.mean(axis=0)) ** 2).mean(axis=0) + 0.1),
    "dot": lambda h: np.dot(W, np.tanh(h)),
    "matrix-of-integers": lambda h: np.array([[1, 2], [0, 3]]) @ np.tanh(h),
    "indicator": lambda h: (h > 0) * h + (h < 2) * h,
    "constant-chain": lambda h: W @ (V @ (C * h)),
    "constant-chain-then-tanh": lambda h: np.tanh(W @ (2.0 * (V @ h)) + C),
    "scaled-columns": lambda h: W @ (C * (V @ h)) + np.sin(W @ h),
    "nested-once": lambda h: W @ np.tanh(V @ h),
    "nested-twice": lambda h: W @ np.tanh(V @ np.tanh(W @ h)),
    "nested-thrice": lambda h: np.sin(h) * (W @ np.tanh(V @ np.tanh(W @ (h * np.tanh(V @ h))))),
    "nested-and-direct": lambda h: np.tanh(W @ h) * (V @ np.sin(h)) + h * (W @ h),
    "two-nested": lambda h: W @ np.tanh(h) * 0.5 + np.cos(h) * (V @ np.exp(-(h**2))),
    "nested-shared": shared,
    "row-broadcast": lambda h: h[0] * (W @ np.tanh(h)),
    "row-broadcast-of-a-nested": lambda h: (V @ np.tanh(W @ h))[:1] * h,
    "sum-of-a-nested": lambda h: h + (W @ np.tanh(V @ h)).sum(axis=0),
    "constant": lambda h: np.zeros_like(h) + C,
    "identity": lambda h: h,
    "reversed": lambda h: h[::-1] ** 2,
    "zero": lambda h: 0 * h,
}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("way", WRITTEN)
def test_every_way_to_write_a_map_is_read_and_right(way: str, batch: int, differences: Any) -> None:
    """No note, and dense = differences, JVP = dense v, VJP = v dense, for every size of batch."""
    f = dynsys.as_map(WRITTEN[way], 2)
    assert f.notes == ()
    generator = np.random.default_rng(4)
    states = generator.uniform(0.15, 0.9, (batch, 2)) * np.where(generator.random((batch, 2)) < 0.5, -1, 1)
    states = np.where(np.abs(np.abs(states) - 0.35) < 0.01, 0.4, states)  # 2h meets the clip at 0.7
    states = np.where(np.abs(states + 0.25) < 0.01, -0.3, states)  # and at -0.5
    dense = np.asarray(f.jacobian(states))
    tangents = generator.standard_normal((batch, 2))
    for b in {0, batch // 2, batch - 1}:
        np.testing.assert_allclose(dense[b], differences(f.step, states[b]), rtol=0, atol=1e-10)
    jvp, vjp = f.jvp(states, tangents), f.vjp(states, tangents)
    np.testing.assert_allclose(jvp, np.einsum("bij,bj->bi", dense, tangents), rtol=0, atol=1e-12)
    np.testing.assert_allclose(vjp, np.einsum("bi,bij->bj", tangents, dense), rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch", BATCHES)
def test_large_nested_products_in_pieces(batch: int) -> None:
    """n = 60: the products are formed piece by piece; each sample is diag(d1) U1 diag(d2) U2 diag(d3) U3."""
    generator = np.random.default_rng(0)
    U1, U2, U3 = generator.standard_normal((3, 60, 60)) / 8
    f = dynsys.as_map(lambda h: np.tanh(U1 @ np.tanh(U2 @ np.tanh(U3 @ h))), 60)
    states = generator.standard_normal((batch, 60))
    dense = np.asarray(f.jacobian(states))
    a = states @ U3.T
    b = np.tanh(a) @ U2.T
    c = np.tanh(b) @ U1.T
    for s in {0, batch // 3, batch - 1}:
        chain = np.diag(1 - np.tanh(c[s]) ** 2) @ U1 @ np.diag(1 - np.tanh(b[s]) ** 2) @ U2
        wanted = chain @ np.diag(1 - np.tanh(a[s]) ** 2) @ U3
        np.testing.assert_allclose(dense[s], wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("batch", BATCHES)
def test_one_nested_product_shared_by_two_output_blocks(batch: int) -> None:
    """A cell whose two blocks both show U2 @ tanh(U1 h): each product once, both blocks right."""
    generator = np.random.default_rng(1)
    U1, U2 = generator.standard_normal((2, 3, 3))

    class TwoBlocks:
        state_blocks = {"h": 3, "c": 3}  # noqa: RUF012 (a stand-in for a cell, read only)
        input_size, hidden_size, outputs = 0, 3, "h"
        parameters: dict[str, np.ndarray] = {}  # noqa: RUF012

        def step(self, h: Any, c: Any, x: Any) -> Any:
            shared = U2 @ np.tanh(U1 @ h + c)
            return np.sin(c) * shared, shared

        def range(self, low: Any, high: Any) -> None:
            return None

    f = dynsys.as_map(TwoBlocks())
    states = generator.standard_normal((batch, 6))
    dense = np.asarray(f.jacobian(states))
    for j, unit in enumerate(np.eye(6)):
        np.testing.assert_allclose(dense[..., j], f.jvp(states, unit), rtol=0, atol=1e-13)
    h, c = states[-1, :3], states[-1, 3:]
    inner = U2 @ np.diag(1 - np.tanh(U1 @ h + c) ** 2)
    np.testing.assert_allclose(dense[-1, 3:], np.hstack([inner @ U1, inner]), atol=1e-12)


def test_where_takes_no_slope_from_the_branch_not_taken() -> None:
    """sqrt(max(h, 0)) has infinite slope at h <= 0, where -h is taken: the slope there is -1."""
    f = dynsys.as_map(lambda h: np.where(h > 0, np.sqrt(np.maximum(h, 0.0)), -h), 1, box=(0.1, 1.0))
    np.testing.assert_allclose(np.asarray(f.jacobian([[-1.0], [4.0], [0.25]])).ravel(), [-1, 0.25, 1])


def test_rectifier_at_its_kink_has_slope_zero() -> None:
    """As in PyTorch."""
    f = dynsys.as_map(lambda h: np.maximum(h, 0.0), 1)
    assert np.asarray(f.jacobian([[0.0], [-1.0], [1.0]])).ravel().tolist() == [0, 0, 1]


def test_constant_rows_alone_make_a_constant_map() -> None:
    """Three numbers, for any number of samples, also three."""
    f = dynsys.as_map(lambda h: [0.1, 0.2, 0.3], 3)
    for batch in (1, 2, 3, 4):
        states = np.ones((batch, 3))
        np.testing.assert_array_equal(f.step(states), [[0.1, 0.2, 0.3]] * batch)
        np.testing.assert_array_equal(f.linearize(states).next_state.T, [[0.1, 0.2, 0.3]] * batch)
        np.testing.assert_array_equal(f.jacobian(states), np.zeros((batch, 3, 3)))


# What it cannot follow

UNREADABLE: dict[str, Callable[[Any], Any]] = {
    "cumsum": lambda h: np.cumsum(np.sin(h), axis=0),
    "unknown-ufunc": lambda h: scipy.special.j0(h) * np.sin(h),
    "conversion": lambda h: np.asarray(h, dtype=np.float64) ** 2,
    "branch": lambda h: np.concatenate(
        [np.sin(h[:, [b]]) if h[0, b] > 0 else np.cos(h[:, [b]]) for b in range(h.shape[1])], 1
    ),
    "length": lambda h: h * len(h),
    "copy": lambda h: np.sin(h.copy()),
    "in-place": lambda h: np.multiply(h, h, out=np.empty(h.shape)),
    "einsum": lambda h: np.einsum("ij,jb->ib", W, np.sin(h)),
    "sort": lambda h: np.sort(h, axis=0) * 2,
}


@pytest.mark.parametrize("way", UNREADABLE)
def test_what_the_tape_cannot_follow_is_done_by_differences_and_said(way: str, differences: Any) -> None:
    f = dynsys.as_map(UNREADABLE[way], 2)
    assert len(f.notes) == 1
    assert "differences" in f.notes[0]
    for state in ([0.4, -0.3], [-0.7, 0.6]):
        np.testing.assert_allclose(f.jacobian(state), differences(f.step, np.array(state)), rtol=0, atol=1e-9)


def test_the_note_travels_with_the_map() -> None:
    f = dynsys.as_map(UNREADABLE["cumsum"], 2)
    for built in (dynsys.iterate(f, 2), dynsys.stack(f), dynsys.find_fixed_points(f, n_starts=8)):
        assert any("differences" in note for note in built.notes)


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "mixes-samples-by-a-sum": (lambda h: h / (1 + h.sum() ** 2), "mixes its samples"),
    "mixes-samples-by-centring": (lambda h: h - h.mean(axis=1, keepdims=True), "mixes its samples"),
    "mixes-samples-by-order": (lambda h: h[:, ::-1], "mixes its samples"),
    "output-and-state": (lambda h: (h, h, h), "tuple of 3"),
    "too-few-rows": (lambda h: h[:1], "shape"),
    "too-many-rows": (lambda h: np.concatenate([h, h]), "shape"),
    "a-list-of-too-many": (lambda h: [h[0], h[1], h[0]], "shape|tuple|3"),
    "one-number": (lambda h: 3.0, "shape"),
    "nothing": (lambda h: None, "numbers"),
    "complex": (lambda h: h + 1j, "numbers|real"),
    "flat-bias": (lambda h: W @ h + np.array([1.0, 2.0]), r"\(n, 1\)"),
    "one-sample-only": (lambda h: np.array([float(h[0]), 0.0]), r"\(n, 1\)|columns"),
}


@pytest.mark.parametrize("way", REFUSED)
def test_functions_that_are_not_maps_of_columns_are_refused_at_the_door(way: str) -> None:
    function, message = REFUSED[way]
    with pytest.raises(InputError, match=message):
        dynsys.as_map(function, 2)


def test_wrong_shapes_are_shape_errors() -> None:
    with pytest.raises(ShapeError):
        dynsys.as_map(lambda h: h[:1], 2)


def test_input_of_a_function_reaches_it_and_its_derivative(differences: Any) -> None:
    f = dynsys.as_map(lambda h, x: np.tanh(W @ h * x[0]) + x[1:], 2, 3)
    state, x = np.array([0.3, -0.2]), np.array([0.7, 0.1, -0.4])
    np.testing.assert_allclose(f.input_jacobian(state, x), differences(lambda u: f.step(state, u), x), atol=1e-10)
    np.testing.assert_allclose(f.jacobian(state, x), differences(lambda s: f.step(s, x), state), atol=1e-10)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("first", ["nested-twice", "softmax", "vstack", "row-broadcast"])
@pytest.mark.parametrize("second", ["nested-once", "softmax", "rows-in-a-list", "row-broadcast-of-a-nested"])
def test_chain_rule(first: str, second: str, batch: int) -> None:
    """The Jacobian of g(f(x)), written as one function, is the product of theirs."""
    f, g = (dynsys.as_map(WRITTEN[k], 2) for k in (first, second))
    both = dynsys.as_map(lambda h: WRITTEN[second](WRITTEN[first](h)), 2)
    states = np.random.default_rng(2).standard_normal((batch, 2))
    product = np.asarray(g.jacobian(f.step(states))) @ np.asarray(f.jacobian(states))
    assert both.notes == ()
    np.testing.assert_allclose(both.jacobian(states), product, rtol=0, atol=1e-12 * max(1, np.abs(product).max()))
