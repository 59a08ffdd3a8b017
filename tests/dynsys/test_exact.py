"""Exact answers against textbook formulas, published values, and the numerical search."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import sympy

import cells
import dynsys
from dynsys.errors import AnalysisError, InputError
from dynsys.exact import SymbolicMap

X, Y = sympy.symbols("x y", real=True)
HENON = sympy.Lambda((X, Y), (1 - sympy.Rational(7, 5) * X**2 + Y, sympy.Rational(3, 10) * X))


def unit(w: float, b: float = 0.0, activation: str = "tanh") -> Any:
    return cells.Elman(U=[[w]], b=[b], activation=activation)


def number(value: Any) -> float:
    return float(sympy.N(value, 30))


def without_recurrence(cell: Any, **values: Any) -> Any:
    zeros = {name: np.zeros_like(v) for name, v in cell.parameters.items() if name.startswith("U")}
    return dataclasses.replace(cell, **zeros, **values)


# One unit: notes of the pitchfork, the fold and the flip


@pytest.mark.parametrize(("b", "count"), [(0.0, 3), (0.53, 3), (-0.53, 3), (0.5329, 1), (-0.5329, 1), (5.0, 1)])
def test_one_tanh_unit_has_three_fixed_points_between_its_folds(b: float, count: int) -> None:
    """h = tanh(2 h + b): folds at |b| = 0.5328399753536."""
    points = dynsys.symbolic(unit(2.0, b)).fixed_points()
    assert len(points) == count
    for p in points:
        h = sympy.N(p.state[0], 45)
        assert abs(h - sympy.tanh(2 * h + sympy.Rational(str(b)))) < 1e-44
        assert p.multipliers is not None
        assert abs(p.multipliers[0] - 2 * (1 - h**2)) < 1e-44


def test_the_folds_and_the_flip_of_one_tanh_unit_are_the_published_ones() -> None:
    folds = dynsys.symbolic(unit(2.0), symbols=["b"]).bifurcations("b")
    assert {f.kind for f in folds} == {"fold"}
    assert sorted(number(f.value) for f in folds) == pytest.approx([-0.5328399753536, 0.5328399753536], abs=1e-13)
    assert sorted(number(f.state[0]) for f in folds) == pytest.approx([-(0.5**0.5), 0.5**0.5], abs=1e-15)
    flips = dynsys.symbolic(unit(-2.0), symbols=["b"]).bifurcations("b")
    assert {f.kind for f in flips} == {"flip"}
    assert max(number(f.value) for f in flips) == pytest.approx(2.295587149393, abs=1e-12)
    along = {(b.kind, b.value, b.state) for b in dynsys.symbolic(unit(2.0), symbols=["U"]).bifurcations("U")}
    assert along == {("branch-point", 1, (0,)), ("flip", -1, (0,))}


def test_the_fold_as_a_formula_of_the_weight() -> None:
    """b = -+(w h - artanh h) with h = sqrt(1 - 1/w), for every w > 1."""
    w = sympy.Symbol("U", real=True)
    found = [b for b in dynsys.symbolic(unit(2.0), symbols="all").bifurcations("b") if b.kind == "fold"]
    for value in (1.5, 2.0, 7.0):
        h = math.sqrt(1 - 1 / value)
        wanted = value * h - math.atanh(h)
        got = sorted(number(f.value.subs(w, value)) for f in found)
        assert got == pytest.approx([-wanted, wanted], abs=1e-13)
        assert all(f.condition.subs(w, value) == sympy.true for f in found)
    assert all(f.condition.subs(w, sympy.Rational(1, 2)) == sympy.false for f in found)


@pytest.mark.parametrize(("w", "b"), [(6.0, -3.0), (6.0, -2.9), (3.9, -2.0), (12.0, -5.0), (-7.0, 3.0), (4.0, -2.0)])
def test_the_logistic_unit_agrees_with_the_search(w: float, b: float) -> None:
    f = unit(w, b, "sigmoid")
    points = dynsys.symbolic(f).fixed_points()
    if (w, b) == (4.0, -2.0):  # the pitchfork of h = sigmoid(w h - w / 2) itself
        assert [p.state for p in points] == [(sympy.Rational(1, 2),)]
        assert points[0].multipliers == (1,)
        return
    found = dynsys.find_fixed_points(f, n_starts=64)
    np.testing.assert_allclose([number(p.state[0]) for p in points], np.sort(found.states[:, 0]), atol=1e-12)


# Linear and ReLU units


def test_the_two_linear_examples() -> None:
    """0.8 h + 1 rests stably at 5, 1.4 h + 1 unstably at -2.5."""
    for w, state, multiplier in ((0.8, 5, "4/5"), (1.4, sympy.Rational(-5, 2), "7/5")):
        (point,) = dynsys.symbolic(unit(w, 1.0, "identity")).fixed_points()
        assert point.state == (state,)
        assert point.multipliers == (sympy.Rational(multiplier),)
        assert point.exact
    assert dynsys.symbolic(unit(1.0, 1.0, "identity")).fixed_points() == ()
    (whole_line,) = dynsys.symbolic(unit(1.0, 0.0, "identity")).fixed_points()
    assert whole_line.state == dynsys.symbolic(unit(1.0, 0.0, "identity")).state


def test_relu_units_are_solved_piece_by_piece() -> None:
    states = {p.state: p.multipliers for p in dynsys.symbolic(unit(2.0, -1.0, "relu")).fixed_points()}
    assert states == {(0,): (0,), (1,): (2,)}
    pair = cells.Elman(U=[[0.0, 2.0], [2.0, 0.0]], b=[-1.0, -1.0], activation="relu")
    found = {p.state: set(p.multipliers or ()) for p in dynsys.symbolic(pair).fixed_points()}
    assert found == {(0, 0): {0}, (1, 1): {2, -2}}
    (ray,) = dynsys.symbolic(unit(1.0, 0.0, "relu")).fixed_points()  # every h >= 0; the origin is one of them
    assert ray.condition == (ray.state[0] >= 0)


@pytest.mark.parametrize("seed", range(4))
def test_random_relu_networks_agree_with_the_search(seed: int) -> None:
    generator = np.random.default_rng(seed)
    U, b = np.round(generator.standard_normal((3, 3)) * 1.5, 2), np.round(generator.standard_normal(3), 2)
    cell = cells.Elman(U=U, b=b, activation="relu")
    exact = {tuple(round(number(v), 9) + 0.0 for v in p.state) for p in dynsys.symbolic(cell).fixed_points()}
    found = dynsys.find_fixed_points(dynsys.as_map(cell, box=(-20, 20)), n_starts=512)
    assert {tuple(row) for row in np.round(found.states, 9) + 0.0} <= exact
    f = dynsys.as_map(cell)
    for state in exact:
        np.testing.assert_allclose(f.step(np.array(state)), state, atol=1e-7)


# Gated cells


def test_the_lstm_without_recurrence_forgets_with_its_forget_gate() -> None:
    """c* = i g / (1 - f), h* = o tanh(c*); multipliers f and 0: time constant -1 / log f."""
    cell = without_recurrence(cells.LSTM.random(1, 1, seed=3), b_f=[[1.5]], b_g=[[0.5]])
    (point,) = dynsys.symbolic(cell, input=[0.5]).fixed_points()
    i, f, o = (1 / (1 + math.exp(-(cell_weight(cell, k) * 0.5 + cell_bias(cell, k)))) for k in "ifo")
    g = math.tanh(cell_weight(cell, "g") * 0.5 + 0.5)
    c = i * g / (1 - f)
    assert [number(v) for v in point.state] == pytest.approx([o * math.tanh(c), c], abs=1e-14)
    assert point.multipliers is not None
    assert [number(v) for v in point.multipliers] == pytest.approx([f, 0.0], abs=1e-14)
    assert point.exact


def cell_weight(cell: Any, gate: str) -> float:
    return float(getattr(cell, f"W_{gate}")[0, 0])


def cell_bias(cell: Any, gate: str) -> float:
    return float(getattr(cell, f"b_{gate}")[0, 0])


@pytest.mark.parametrize("kind", [cells.GRU, cells.GRUResetAfter])
@pytest.mark.parametrize("update", ["keeps-old", "takes-new"])
def test_the_gru_without_recurrence_forgets_with_its_update_gate(kind: Any, update: str) -> None:
    base = kind.random(2, 1, seed=1)
    update = update if update == "takes-new" else base.update
    cell = without_recurrence(base, b_z=[[1.0], [-0.5]], update=update)
    (point,) = dynsys.symbolic(cell, input=[0.5]).fixed_points()
    z = 1 / (1 + np.exp(-(cell.W_z[:, 0] * 0.5 + cell.b_z[:, 0])))
    kept = 1 - z if update == "takes-new" else z
    assert point.multipliers is not None
    assert [number(v) for v in point.multipliers] == pytest.approx(sorted(kept, reverse=True), abs=1e-14)
    np.testing.assert_allclose(
        [number(v) for v in point.state], np.tanh(cell.W_h[:, 0] * 0.5 + cell.b_h[:, 0]), atol=1e-14
    )


def test_the_update_gate_does_not_move_the_fixed_points_of_a_gru_unit() -> None:
    """h = z h + (1 - z) tanh(3 h / 2) holds where h = tanh(3 h / 2), whatever z(h) in (0, 1) is."""
    one = dynsys.symbolic(cells.GRU(U_z=[[0.7]], U_r=[[0.0]], U_h=[[3.0]]))
    states = [number(p.state[0]) for p in one.fixed_points()]
    h = states[-1]
    assert h == pytest.approx(math.tanh(1.5 * h), abs=1e-15)
    assert states == pytest.approx([-h, 0.0, h], abs=1e-15)
    for p in one.fixed_points():
        J = dynsys.as_map(cells.GRU(U_z=[[0.7]], U_r=[[0.0]], U_h=[[3.0]])).jacobian([number(p.state[0])])
        assert p.multipliers is not None
        assert number(p.multipliers[0]) == pytest.approx(J[0, 0], abs=1e-14)


# Polynomial maps


def test_henon_has_its_two_fixed_points_and_their_multipliers() -> None:
    points = dynsys.symbolic(dynsys.as_map(HENON)).fixed_points()
    values = [[number(v) for v in p.state] for p in points]
    np.testing.assert_allclose(
        values,
        [[-1.1313544770895048, -0.3394063431268514], [0.6313544770895047, 0.1894063431268514]],
        atol=1e-15,
    )
    eigenvalues = [[number(v) for v in p.multipliers or ()] for p in points]
    np.testing.assert_allclose(
        eigenvalues, [[3.259822097891, -0.092029562041], [-1.923738858153, 0.155946322303]], atol=1e-12
    )


def test_the_generalised_henon_map_folds_and_flips_where_theory_says() -> None:
    """x' = y, y' = alpha - beta x - y^2: fold alpha = -(1 + beta)^2 / 4, flip alpha = 3 (1 + beta)^2 / 4."""
    alpha, beta = sympy.symbols("alpha beta", real=True)
    f = SymbolicMap("Henon", (X, Y), (), (Y, alpha - beta * X - Y**2), {})
    found = {b.kind: b.value for b in f.bifurcations("alpha")}
    assert found.keys() == {"fold", "flip"}
    assert sympy.simplify(found["fold"] + (1 + beta) ** 2 / 4) == 0
    assert sympy.simplify(found["flip"] - 3 * (1 + beta) ** 2 / 4) == 0
    assert sympy.expand(f.bifurcation_conditions()["neimark-sacker"]) == beta - 1
    mu = sympy.Symbol("mu")
    assert sympy.expand(f.characteristic_polynomial() - (mu**2 + 2 * Y * mu + beta)) == 0


def test_the_logistic_maps() -> None:
    r = sympy.Symbol("r", real=True)
    logistic = SymbolicMap("logistic", (X,), (), (r * X * (1 - X),), {})
    found = {(b.kind, b.value, b.state) for b in logistic.bifurcations("r")}
    third = (sympy.Rational(2, 3),)
    assert found == {("branch-point", 1, (0,)), ("flip", -1, (0,)), ("flip", 3, third)}
    assert {p.state[0] for p in logistic.fixed_points()} == {0, (r - 1) / r}
    delayed = SymbolicMap("delayed", (X, Y), (), (r * X * (1 - Y), X), {})
    (torus,) = [b for b in delayed.bifurcations("r") if b.kind == "neimark-sacker"]
    assert (torus.value, torus.state) == (2, (sympy.Rational(1, 2), sympy.Rational(1, 2)))


def test_the_multiplier_of_the_two_cycle_of_the_logistic_map() -> None:
    """r = 3.3: -0.29, from the map applied twice."""
    f = dynsys.as_map(sympy.Lambda((X,), (sympy.Rational(33, 10) * X * (1 - X),)))
    points = dynsys.symbolic(dynsys.iterate(f, 2)).fixed_points()
    cycle = [p for p in points if p.multipliers == (sympy.Rational(-29, 100),)]
    assert [number(p.state[0]) for p in cycle] == pytest.approx([0.479427019824, 0.823603283206], abs=1e-12)


# Formulas as maps, and maps as formulas


def test_sympy_formulas_are_maps() -> None:
    f = dynsys.as_map(HENON)
    assert (f.state_size, f.input_size, f.notes) == (2, 0, ())
    np.testing.assert_allclose(f.step([0.1, 0.2]), [1 - 1.4 * 0.01 + 0.2, 0.03], atol=1e-15)
    np.testing.assert_allclose(f.jacobian([0.1, 0.2]), [[-0.28, 1.0], [0.3, 0.0]], atol=1e-15)
    u = sympy.Symbol("u")
    driven = dynsys.as_map(sympy.Lambda((X, Y, u), (sympy.tanh(X + u * Y), sympy.Max(0, X - u))))
    assert (driven.state_size, driven.input_size, driven.notes) == (2, 1, ())
    np.testing.assert_allclose(driven.step([0.5, 2.0], [0.1]), [math.tanh(0.7), 0.4], atol=1e-15)
    np.testing.assert_allclose(driven.input_jacobian([0.5, 2.0], [0.1])[1], [-1.0], atol=1e-15)
    listed = dynsys.as_map(sympy.Matrix([X * Y, X - Y]))
    np.testing.assert_allclose(listed.step([2.0, 3.0]), [6.0, -1.0])
    assert len(dynsys.find_fixed_points(dynsys.as_map(HENON, box=(-2, 2)), n_starts=64).states) == 2


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        ([X * sympy.Symbol("a")], "Lambda"),
        (sympy.Lambda((X,), (X * sympy.Symbol("a"),)), "no argument"),
        (sympy.Lambda((X,), (X, X)), "at least 2"),
    ],
)
def test_formulas_that_make_no_map_are_refused(obj: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dynsys.as_map(obj)


EVERY_CELL = [
    cells.Elman.random(3, 2),
    cells.LSTM.random(2, 1),
    cells.GRU.random(2, 2),
    cells.GRUResetAfter.random(2, 2),
    cells.GCN.random(2, activation="tanh", residual=0.3),
    cells.GCNII.random(2, activation="sigmoid"),
    cells.RecurrentConvolution.random(1, 1, grid=(3,), activation="relu"),
]


@pytest.mark.parametrize("cell", EVERY_CELL, ids=lambda c: type(c).__name__)
def test_formulas_and_numbers_agree(cell: Any) -> None:
    """The formulas of `step` and of its Jacobian, evaluated, are the map's own numbers; parameters may stay symbols."""
    f = dynsys.as_map(cell)
    generator = np.random.default_rng(0)
    state, given = generator.standard_normal(f.state_size), np.round(generator.standard_normal(f.input_size), 3)
    input = given if f.input_size else None
    plain = dynsys.symbolic(cell, input)
    at = dict(zip(plain.state, (sympy.Float(float(v), 30) for v in state), strict=True))
    np.testing.assert_allclose([number(v.subs(at)) for v in plain.step], f.step(state, input), atol=1e-13)
    if f.state_size < 7:
        J = [[number(v.subs(at)) for v in row] for row in plain.jacobian().tolist()]
        np.testing.assert_allclose(J, f.jacobian(state, input), atol=1e-13)
    named = dynsys.symbolic(cell, input, symbols="all")
    assert named.parameters
    values = [number(v.subs(named.parameters).subs(at)) for v in named.step]
    np.testing.assert_allclose(values, f.step(state, input), atol=1e-13)
    back = dynsys.as_map(named)
    np.testing.assert_allclose(back.step(state), f.step(state, input), atol=1e-13)


def test_a_stack_is_written_in_formulas() -> None:
    f = dynsys.stack(cells.Elman(U=[[2.0]], W=[[1.0]]), unit_with_input(0.5))
    points = dynsys.symbolic(f).fixed_points()
    lower = [number(p.state[0]) for p in points]
    assert [number(p.state[1]) for p in points] == pytest.approx([2 * h for h in lower], abs=1e-15)
    assert len(points) == 3


def unit_with_input(w: float) -> Any:
    return cells.Elman(U=[[w]], W=[[1.0]], activation="identity")


def test_what_has_no_closed_form_is_said() -> None:
    with pytest.raises(AnalysisError, match="find_fixed_points"):
        dynsys.symbolic(cells.GRU.random(2, 0, seed=3)).fixed_points()
    with pytest.raises(AnalysisError, match="neither"):
        dynsys.symbolic(cells.GRU.random(2, 0, seed=3), symbols=["b_z"]).bifurcations("b_z1")
    with pytest.raises(InputError, match="no parameter q"):
        dynsys.symbolic(unit(1.0), symbols=["q"])
    with pytest.raises(InputError, match="U"):
        dynsys.symbolic(unit(2.0), symbols=["U"]).bifurcations("b")
    with pytest.raises(InputError, match="up to 64"):
        dynsys.symbolic(cells.Elman.random(65, 0))
    with pytest.raises(AnalysisError, match="formula"):
        dynsys.symbolic(lambda_map())


def lambda_map() -> Any:
    return dynsys.as_map(np.arcsinh, 1)
