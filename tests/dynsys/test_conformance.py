"""What every cell and every map must obey: one list of each, one law per test. A new cell is one line in `CELLS`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
import pytest

import cells
import dynsys
from dynsys.readings.linear import with_parameters

SIZES = [(5, 3), (3, 5), (4, 0), (1, 1)]
BATCHES = [1, 2, 3, 300]


def with_biases(cell: Any, seed: int = 7) -> Any:
    """The cell with random biases and peepholes, so that no term of its equations is zero."""
    generator = np.random.default_rng(seed)
    biases = {k: 0.3 * generator.standard_normal(v.shape) for k, v in cell.parameters.items() if k[0] in "bp"}
    return dataclasses.replace(cell, **biases)


def elman(activation: str) -> Callable[[int, int], Any]:
    return lambda n, m: with_biases(dataclasses.replace(cells.Elman.random(n, m, gain=1.3), activation=activation))


def gated(kind: Any, **options: str) -> Callable[[int, int], Any]:
    return lambda n, m: with_biases(dataclasses.replace(kind.random(n, m, gain=1.3, seed=2), **options))


def on_graph(kind: Any, **options: Any) -> Callable[[int, int], Any]:
    return lambda n, m: with_biases(kind.random(n, gain=1.3, seed=4, A=cells.propagation_matrix(STAR), **options))


def convolution(**options: Any) -> Callable[[int, int], Any]:
    return lambda n, m: with_biases(cells.RecurrentConvolution.random(n, m, gain=1.3, seed=5, **options))


def random(kind: Any, **options: Any) -> Callable[[int, int], Any]:
    return lambda n, m: with_biases(kind.random(n, m, gain=1.3, seed=6, **options))


def layer_normed(kind: Any, **options: Any) -> Callable[[int, int], Any]:
    """With random scales too, so that none is one; and with a variance that stays away from zero."""

    def make(n: int, m: int) -> Any:
        n += 1  # a single unit has no norm
        cell = with_biases(kind.random(n, m, gain=1.3, seed=8, epsilon=0.1, **options))
        generator = np.random.default_rng(9)
        scales = {k: generator.uniform(0.5, 1.5, v.shape) for k, v in cell.parameters.items() if k[:5] == "gamma"}
        return dataclasses.replace(cell, **scales)

    return make


STAR = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])

CELLS: dict[str, Callable[[int, int], Any]] = {
    "elman-tanh": elman("tanh"),
    "elman-relu": elman("relu"),
    "elman-sigmoid": elman("sigmoid"),
    "elman-identity": elman("identity"),
    "gcn": on_graph(cells.GCN, activation="tanh"),
    "gcn-residual": on_graph(cells.GCN, activation="sigmoid", residual=0.7),
    "gcn-alternating": on_graph(cells.GCN, activation="sigmoid", residual=-0.7),
    "gcnii": on_graph(cells.GCNII, activation="tanh", alpha=0.2, beta=0.6),
    "implicit-gcn": on_graph(cells.ImplicitGCN, activation="tanh"),
    "convolution-torus": convolution(grid=(3, 2), side=3, padding="circular", activation="tanh"),
    "convolution-line": convolution(grid=(4,), side=2, padding="zeros", activation="sigmoid"),
    "lstm": gated(cells.LSTM),
    "gru": gated(cells.GRU),
    "gru-takes-new": gated(cells.GRU, update="takes-new"),
    "gru-reset-after": gated(cells.GRUResetAfter),
    "jordan": lambda n, m: with_biases(cells.Jordan.random(n, m, gain=1.3, seed=2, outputs=n + 1)),
    "jordan-bounded": lambda n, m: with_biases(cells.Jordan.random(n, m, gain=1.3, output_activation="sigmoid")),
    "deep-transition": lambda n, m: with_biases(cells.DeepTransition.random(n, m, gain=1.3, between=n + 2)),
    "gru-reset-after-takes-new": gated(cells.GRUResetAfter, update="takes-new"),
}

# Further cells, at fewer sizes.
MORE: dict[str, Callable[[int, int], Any]] = {
    "elman-hard-tanh": random(cells.Elman, activation="hard_tanh"),
    "elman-hard-sigmoid": random(cells.Elman, activation="hard_sigmoid"),
    "elman-hard-sigmoid-fifth": random(cells.Elman, activation="hard_sigmoid_fifth"),
    "elman-softplus": random(cells.Elman, activation="softplus"),
    "elman-softsign": random(cells.Elman, activation="softsign"),
    "elman-leaky-relu": random(cells.Elman, activation="leaky_relu"),
    "elman-elu": random(cells.Elman, activation="elu"),
    "irnn": lambda n, m: with_biases(cells.Elman.identity(n, m, spread=0.5)),
    "linear": random(cells.Linear),
    "lstm-functions": random(
        cells.LSTM, gate_activation="hard_sigmoid", activation="softsign", output_activation="sigmoid"
    ),
    "lstm-peepholes": random(cells.PeepholeLSTM),
    "lstm-coupled": random(cells.CoupledLSTM),
    "lstm-projected": random(cells.ProjectedLSTM),
    "lstm-projected-wider": random(cells.ProjectedLSTM, outputs=5),
    "lstm-gateless": random(cells.GatelessLSTM),
    "lstm-gateless-candidate": random(cells.GatelessLSTM, shows="candidate"),
    "gru-1": random(cells.ReducedGRU),
    "gru-2": random(cells.ReducedGRU, gates="state", update="takes-new"),
    "gru-3": random(cells.ReducedGRU, gates="bias"),
    "mgu": random(cells.MGU),
    "leaky-rates": random(cells.LeakyRNN, alpha=0.3),
    "leaky-currents": random(cells.LeakyRNN, alpha=0.3, equation="currents"),
    "leaky-dale": lambda n, m: with_biases(cells.LeakyRNN.dale(n, m, alpha=0.4, equation="currents")),
    "echo-state": random(cells.EchoState, alpha=0.7, density=0.8),
    "low-rank-currents": random(cells.LowRankRNN, rank=2, alpha=0.6),
    "low-rank-rates": random(cells.LowRankRNN, rank=2, equation="rates"),
    "latent": lambda n, m: with_biases(cells.LatentRNN.random(7, m, gain=1.3, rank=n, alpha=0.8)),
    "antisymmetric": random(cells.AntisymmetricRNN, epsilon=0.3, gamma=0.2),
    "orthogonal": random(cells.OrthogonalRNN),
    "orthogonal-modrelu": random(cells.OrthogonalRNN, activation="modrelu"),
    "chaos-free": random(cells.CFN),
    "piecewise-linear": random(cells.PLRNN),
    "diagonal-state-space": random(cells.DiagonalSSM),
    "context": random(cells.ContextRNN),
    "layer-norm-elman": layer_normed(cells.LayerNormElman),
    "layer-norm-elman-relu": layer_normed(cells.LayerNormElman, activation="relu"),
    "layer-norm-lstm": layer_normed(cells.LayerNormLSTM),
    "layer-norm-lstm-candidate": layer_normed(cells.LayerNormLSTM, normalized="g"),
    "layer-norm-gru": layer_normed(cells.LayerNormGRU),
    "layer-norm-gru-before": layer_normed(cells.LayerNormGRU, reset="before", normalized="h", update="takes-new"),
    "recurrent-mlp": random(cells.RecurrentMLP, second=3),
}
MORE_SIZES = [(4, 2), (1, 0)]
MADE = [
    (f"{name}-{n}-{m}", make, n, m)
    for group, sizes in ((CELLS, SIZES), (MORE, MORE_SIZES))
    for (name, make), (n, m) in itertools.product(group.items(), sizes)
]
KINKED = ("relu", "leaky_relu", "hard_tanh", "hard_sigmoid", "hard_sigmoid_fifth", "modrelu")
UNBOUNDED = (
    *(cells.Linear, cells.GatelessLSTM, cells.AntisymmetricRNN, cells.PLRNN, cells.DiagonalSSM, cells.PeepholeLSTM),
)


def henon(state: Any) -> Any:
    x, y = state
    return np.array([1 - 1.4 * x**2 + y, 0.3 * x])


def driven_function(state: Any, input: Any) -> Any:
    mixed = np.array([[0.5, -1.0], [2.0, 0.3]]) @ np.tanh(state) + np.array([[1.0], [-1.0]]) * input[0]
    return np.sin(mixed) + state * np.cos(input[1])


def unreadable(state: Any) -> Any:
    return np.cumsum(np.sin(state), axis=0)


def _matrix(rows: int, columns: int, seed: int = 3) -> np.ndarray:
    return 0.5 * np.random.default_rng(seed).standard_normal((rows, columns))


MAPS: dict[str, Callable[[], Any]] = {
    "drive": lambda: dynsys.drive(CELLS["gru"](4, 2), [0.4, -0.7]),
    "iterate": lambda: dynsys.iterate(CELLS["lstm"](3, 2), 3),
    "iterate-periodic-drive": lambda: dynsys.iterate(dynsys.drive(CELLS["gru"](4, 2), _matrix(3, 2)), 6),
    "close-loop-matrix": lambda: dynsys.close_loop(CELLS["lstm"](3, 2), (_matrix(2, 3), [0.1, -0.2])),
    "close-loop-function": lambda: dynsys.close_loop(CELLS["gru"](4, 2), lambda h: np.tanh(_matrix(2, 4) @ h) ** 2),
    "close-loop-of-stack": lambda: dynsys.close_loop(
        dynsys.stack(CELLS["gru"](3, 2), CELLS["lstm"](2, 3)), _matrix(2, 2)
    ),
    "stack": lambda: dynsys.stack(
        CELLS["lstm"](3, 2), CELLS["gru"](4, 3), CELLS["elman-tanh"](2, 4), CELLS["gru-reset-after"](3, 2)
    ),
    "iterate-of-stack": lambda: dynsys.iterate(dynsys.stack(CELLS["gru"](3, 2), CELLS["lstm"](2, 3)), 2),
    "stack-of-iterates": lambda: dynsys.stack(CELLS["lstm"](2, 3), dynsys.iterate(CELLS["gru"](3, 2), 2)),
    "function-identity": lambda: dynsys.as_map(lambda state: state, 3),
    "function-rows": lambda: dynsys.as_map(henon, 2),
    "function-with-input": lambda: dynsys.as_map(driven_function, 2, 2),
    "function-by-differences": lambda: dynsys.as_map(unreadable, 3),
}

ALL = [pytest.param(lambda make=make, n=n, m=m: dynsys.as_map(make(n, m)), id=name) for name, make, n, m in MADE] + [
    pytest.param(make, id=name) for name, make in MAPS.items()
]


@pytest.fixture(params=ALL)
def f(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture(params=[pytest.param((make, n, m), id=name) for name, make, n, m in MADE])
def cell(request: pytest.FixtureRequest) -> Any:
    make, n, m = request.param
    return make(n, m)


def near_kink(f: Any, states: np.ndarray, inputs: np.ndarray, h: float = 2e-3) -> np.ndarray:
    """Where a second difference of `step` is of the order of its step h, as at a kink, and not of h^2."""
    both = np.concatenate([states, inputs], axis=1)
    n = f.state_size

    def step(z: np.ndarray) -> np.ndarray:
        return np.asarray(f.step(z[:, :n], z[:, n:]))

    here, bad = step(both), np.zeros(len(both), dtype=bool)
    for move in h * np.eye(both.shape[1]):
        bad |= np.abs(step(both + move) + step(both - move) - 2 * here).max(axis=1) > 0.01 * h
    return bad


def places(f: Any, batch: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """States and inputs, drawn again where a difference quotient would straddle the kink of a ReLU."""
    generator = np.random.default_rng(seed)
    states, inputs = generator.standard_normal((batch, f.state_size)), generator.standard_normal((batch, f.input_size))
    inner = getattr(f, "cell", None)
    functions = [getattr(inner, name, "") for name in ("activation", "gate_activation", "output_activation")]
    if set(functions) & set(KINKED) or isinstance(inner, cells.PLRNN):
        while (bad := near_kink(f, states, inputs)).any():
            states[bad] = generator.standard_normal((int(bad.sum()), f.state_size))
    return states, inputs


def assert_equal_derivatives(one: np.ndarray, other: np.ndarray, tolerance: float) -> None:
    assert one.shape == other.shape
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * max(1.0, np.abs(other).max(initial=0.0)))


def accuracy(f: Any) -> float:
    return 1e-9 if "differences" in " ".join(f.notes) else 1e-12


def test_jacobian_is_the_derivative_of_step(f: Any, differences: Any) -> None:
    """Dense, by structure = central differences of `step`, at two states."""
    states, inputs = places(f, 2)
    for state, input in zip(states, inputs, strict=True):
        wanted = differences(lambda x, u=input: f.step(x, u), state)
        assert_equal_derivatives(f.jacobian(state, input), wanted, 1e-10)


def test_input_jacobian_is_the_derivative_by_the_input(f: Any, differences: Any) -> None:
    states, inputs = places(f, 2)
    if f.input_size == 0:
        assert f.input_jacobian(states[0]).shape == (f.state_size, 0)
        return
    for state, input in zip(states, inputs, strict=True):
        wanted = differences(lambda u, x=state: f.step(x, u), input)
        assert_equal_derivatives(f.input_jacobian(state, input), wanted, 1e-10)


@pytest.mark.parametrize("batch", BATCHES)
def test_dense_structure_is_the_jvps_of_unit_tangents(f: Any, batch: int) -> None:
    states, inputs = places(f, batch)
    dense = np.asarray(f.jacobian(states, inputs if f.input_size else None))
    for j, unit in enumerate(np.eye(f.state_size)):
        column = f.jvp(states, unit, inputs if f.input_size else None)
        assert_equal_derivatives(column, dense[..., j], accuracy(f))


@pytest.mark.parametrize("batch", [1, 3])
def test_dense_structure_is_the_vjps_of_unit_cotangents(f: Any, batch: int) -> None:
    states, inputs = places(f, batch)
    dense = np.asarray(f.jacobian(states, inputs if f.input_size else None))
    for i, unit in enumerate(np.eye(f.state_size)):
        row = f.vjp(states, unit, inputs if f.input_size else None)
        assert_equal_derivatives(row, dense[..., i, :], accuracy(f))


def test_steps_one_by_one_are_the_dense_jacobians(f: Any) -> None:
    """Written one sample at a time, or applied to a frame without being formed: the same matrices."""
    states, inputs = places(f, 4)
    linear = f.linearize(states, inputs if f.input_size else None)
    dense, steps, n = np.array(linear.dense()), linear.steps(), f.state_size
    frame = np.asfortranarray(np.random.default_rng(3).standard_normal((n, 2)))
    for sample in (2, 0, 3):
        filled, moved = np.full((n, n), np.nan, order="F"), np.full((n, 2), np.nan, order="F")
        steps.fill(sample, filled)
        steps.move(sample, frame, moved)
        assert_equal_derivatives(filled, dense[sample], 1e-13)
        given = steps.given(sample)
        if given is not None:
            np.testing.assert_array_equal(given, dense[sample])
        assert_equal_derivatives(moved, dense[sample] @ frame, 1e-13)
        steps.move_back(sample, frame, moved)
        assert_equal_derivatives(moved, dense[sample].T @ frame, 1e-13)
    closed = steps.log_abs_det()
    if closed is not None:
        # In closed form a singular matrix has -inf; the rounded product of its factors only comes near.
        np.testing.assert_allclose(np.exp(closed), np.abs(np.linalg.det(dense)), rtol=1e-9, atol=1e-13)
    zero = dense == 0
    if zero.all(axis=1).any() or zero.all(axis=2).any():
        assert not steps.has_no_dead_rows_or_columns()


def test_a_few_samples_at_a_time_are_moved_by_their_own_jacobians(f: Any) -> None:
    """Forward and back, a vector for each of some samples, where the structure is known."""
    states, inputs = places(f, 5)
    linear = f.linearize(states, inputs if f.input_size else None)
    steps, dense = linear.column_steps(), np.array(linear.dense())
    if steps is None:
        assert not hasattr(f, "cell")
        return
    vectors = np.random.default_rng(3).standard_normal((f.state_size, 2))
    for first in (0, 3):
        own = dense[first : first + 2]
        some = slice(first, first + 2)
        assert_equal_derivatives(steps.push(some, vectors), np.einsum("bij,jb->ib", own, vectors), 1e-13)
        assert_equal_derivatives(steps.pull(some, vectors), np.einsum("bij,ib->jb", own, vectors), 1e-13)


def test_jvp_adds_the_input_tangent(f: Any) -> None:
    """d step = J dx + B du."""
    states, inputs = places(f, 3)
    if f.input_size == 0:
        pytest.skip("no inputs")
    generator = np.random.default_rng(1)
    dx, du = generator.standard_normal(states.shape), generator.standard_normal(inputs.shape)
    together = f.jvp(states, dx, inputs, input_tangent=du)
    apart = np.einsum("bij,bj->bi", f.jacobian(states, inputs), dx)
    apart += np.einsum("bij,bj->bi", f.input_jacobian(states, inputs), du)
    assert_equal_derivatives(together, apart, accuracy(f))


def test_parameter_gradients_are_the_derivatives_by_the_parameters(cell: Any, differences: Any) -> None:
    """For a random cotangent, every parameter of every cell."""
    f = dynsys.as_map(cell)
    states, inputs = places(f, 2)
    cotangent = np.random.default_rng(5).standard_normal(states.shape)
    gradients = f.parameter_gradients(states, cotangent, inputs if f.input_size else None)
    assert set(gradients) == set(cell.parameters)
    for name, value in cell.parameters.items():
        if not value.size:
            assert gradients[name].shape == value.shape
            continue

        def loss(parameter: np.ndarray, name: str = name) -> np.ndarray:
            changed = dynsys.as_map(with_parameters(cell, {name: parameter}))  # also where a cell constrains it
            return np.sum(cotangent * changed.step(states, inputs if f.input_size else None))

        assert_equal_derivatives(gradients[name], differences(loss, value).reshape(value.shape), 1e-10)


@pytest.mark.parametrize("batch", BATCHES)
def test_a_batch_is_its_samples_one_by_one(f: Any, batch: int) -> None:
    states, inputs = places(f, batch)
    inputs = inputs if f.input_size else None
    together = f.step(states, inputs), np.asarray(f.jacobian(states, inputs)), f.input_jacobian(states, inputs)
    for b in {0, batch // 2, batch - 1}:
        u = None if inputs is None else inputs[b]
        alone = f.step(states[b], u), f.jacobian(states[b], u), f.input_jacobian(states[b], u)
        for many, one in zip(together, alone, strict=True):
            assert_equal_derivatives(many[b], one, accuracy(f))


def test_a_constant_input_serves_all_samples(f: Any) -> None:
    """(m,) is the same as the same row for every sample; None is the same as zeros."""
    states, inputs = places(f, 4)
    if f.input_size == 0:
        pytest.skip("no inputs")
    repeated = np.tile(inputs[0], (4, 1))
    np.testing.assert_allclose(f.step(states, inputs[0]), f.step(states, repeated), rtol=0, atol=1e-14)
    for method in (f.jacobian, f.input_jacobian):
        assert_equal_derivatives(np.asarray(method(states, inputs[0])), np.asarray(method(states, repeated)), 1e-13)
        zeros = np.zeros((4, f.input_size))
        assert_equal_derivatives(np.asarray(method(states)), np.asarray(method(states, zeros)), 1e-13)
    np.testing.assert_array_equal(f.step(states), f.step(states, np.zeros(f.input_size)))


@pytest.mark.parametrize("lead", [(), (3,), (4, 3), (0,)])
def test_shapes_are_time_first_and_state_last(f: Any, lead: tuple[int, ...]) -> None:
    n, m = f.state_size, f.input_size
    generator = np.random.default_rng(0)
    states = generator.standard_normal((*lead, n))
    for input in (None, generator.standard_normal(m), generator.standard_normal((*lead, m))):
        assert f.step(states, input).shape == (*lead, n)
        assert f.jacobian(states, input).shape == (*lead, n, n)
        assert f.input_jacobian(states, input).shape == (*lead, n, m)
        assert f.jvp(states, states, input).shape == (*lead, n)
        assert f.vjp(states, states, input).shape == (*lead, n)


def test_jacobians_of_a_leading_shape_are_those_of_the_flat_batch(f: Any) -> None:
    states, inputs = places(f, 12)
    inputs = inputs if f.input_size else None
    flat = f.jacobian(states, inputs)
    folded = None if inputs is None else inputs.reshape(4, 3, -1)
    np.testing.assert_array_equal(
        f.jacobian(states.reshape(4, 3, -1), folded).reshape(flat.shape), np.ascontiguousarray(flat)
    )


def test_one_state_with_many_inputs_gives_many_answers(f: Any) -> None:
    if f.input_size == 0:
        pytest.skip("no inputs")
    states, inputs = places(f, 3)
    many = f.step(states[0], inputs)
    np.testing.assert_allclose(many, [f.step(states[0], u) for u in inputs], rtol=0, atol=1e-14)


def test_same_arguments_same_answer_and_arguments_untouched(f: Any) -> None:
    states, inputs = places(f, 3)
    kept, kept_inputs = states.copy(), inputs.copy()
    given = inputs if f.input_size else None
    first = f.step(states, given), np.array(f.jacobian(states, given)), f.vjp(states, states, given)
    second = f.step(states, given), np.array(f.jacobian(states, given)), f.vjp(states, states, given)
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(states, kept)
    np.testing.assert_array_equal(inputs, kept_inputs)


def test_changing_an_answer_changes_nothing_else(f: Any) -> None:
    """Writing into what a method returned changes neither the caller's state nor the next answer."""
    states, _ = places(f, 1)
    state = states[0]
    kept, step, jacobian = state.copy(), f.step(state).copy(), np.array(f.jacobian(state))
    f.step(state)[...] = 9.0
    np.array(f.jacobian(state), copy=None)[...] = 9.0
    np.testing.assert_array_equal(state, kept)
    np.testing.assert_array_equal(f.step(state), step)
    np.testing.assert_array_equal(f.jacobian(state), jacobian)


def test_blocks_cover_the_state_once_and_in_order(f: Any) -> None:
    ends = [part.stop for _, part in f.blocks]
    starts = [part.start for _, part in f.blocks]
    assert starts == [0, *ends[:-1]]
    assert ends[-1] == f.state_size


def test_wrong_state_size_is_refused_with_the_size_needed(f: Any) -> None:
    with pytest.raises(dynsys.errors.ShapeError, match=str(f.state_size)):
        f.step(np.zeros(f.state_size + 1))


def test_cells_are_frozen_and_their_parameters_read_only(cell: Any) -> None:
    for name, value in cell.parameters.items():
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(cell, name, value)
        with pytest.raises(ValueError, match="read-only"):
            value[...] = 0.0


def test_a_cell_keeps_its_own_copy_of_the_weights() -> None:
    U = np.eye(2)
    cell = cells.Elman(U=U)
    U[0, 0] = 9.0
    assert cell.U[0, 0] == 1.0


def test_the_reachable_box_is_carried_into_its_interior(cell: Any) -> None:
    """The promise the index test rests on, at the corners of the box, where it is tightest."""
    f = dynsys.as_map(cell)
    generator = np.random.default_rng(0)
    input = generator.standard_normal(f.input_size)
    box = f.box(input, input)
    if box is None:
        unbounded = ("relu", "identity", "leaky_relu", "softplus", "elu", "modrelu")
        assert isinstance(cell, UNBOUNDED) or cell.activation in unbounded
        return
    corners = np.where(generator.random((500, f.state_size)) < 0.5, box.low, box.high)
    images = f.step(corners, input if f.input_size else None)
    assert box.invariant
    assert (images > box.low).all()
    assert (images < box.high).all()


# Saturation


def _mp_sech_squared(a: float) -> mpmath.mpf:
    return mpmath.sech(mpmath.mpf(a)) ** 2


def _mp_logistic_derivative(a: float) -> mpmath.mpf:
    s = 1 / (1 + mpmath.exp(-mpmath.mpf(a)))
    return s * (1 / (1 + mpmath.exp(mpmath.mpf(a))))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("a", [-30.0, -19.5, -3.0, 0.0, 5.0, 30.0, 300.0])
@pytest.mark.parametrize(("activation", "exact"), [("tanh", _mp_sech_squared), ("sigmoid", _mp_logistic_derivative)])
def test_derivatives_keep_their_digits_in_saturation(activation: str, exact: Any, a: float, batch: int) -> None:
    """1 - tanh^2 is exactly 0 beyond 19; sech^2(30) is 3.5e-26 and must be right to 1e-12 of itself."""
    f = dynsys.as_map(cells.Elman(U=[[1.0]], b=[a], activation=activation))
    with mpmath.workdps(60):
        wanted = float(exact(a))
    state = np.zeros((batch, 1))
    np.testing.assert_allclose(np.asarray(f.jacobian(state)).ravel(), wanted, rtol=1e-12)
    np.testing.assert_allclose(f.jvp(state, [1.0]).ravel(), wanted, rtol=1e-12)


# PyTorch


def _torch_module(torch: Any, kind: str, n: int, m: int, **options: Any) -> Any:
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(m, n, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64))
    return module


def _arrays(module: Any) -> Iterator[list[np.ndarray]]:
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        yield list(getattr(module, name).detach().numpy())


def from_torch(module: Any, nonlinearity: str = "tanh") -> Any:
    """The cell with a PyTorch module's weights; rows of gates: RNN none, LSTM i f g o, GRU r z n."""
    W, U, b, c = (np.array(rows) for rows in _arrays(module))
    letters = {1: "", 4: "ifgo", 3: "rzh"}[len(U) // U.shape[1]]
    if not letters:
        return cells.Elman(W=W, U=U, b=b + c, activation=nonlinearity)
    split = {
        f"{field}_{gate}": rows
        for field, whole in (("W", W), ("U", U), ("b", b + c))
        for gate, rows in zip(letters, np.split(whole, len(letters)), strict=True)
    }
    if letters == "ifgo":
        return cells.LSTM(**split)
    return cells.GRUResetAfter(**(split | {"b_h": np.split(b, 3)[2], "b_hn": np.split(c, 3)[2]}))


@pytest.mark.parametrize(("n", "m"), [(5, 3), (3, 5)])
@pytest.mark.parametrize("kind", ["RNN-tanh", "RNN-relu", "LSTM", "GRU"])
def test_steps_and_jacobians_are_those_of_pytorch(kind: str, n: int, m: int) -> None:
    """Values and state Jacobians by torch.autograd, float64, to 1e-12."""
    torch = pytest.importorskip("torch")
    name, _, nonlinearity = kind.partition("-")
    options = {"nonlinearity": nonlinearity} if nonlinearity else {}
    module = _torch_module(torch, name, n, m, **options)
    f = dynsys.as_map(from_torch(module, nonlinearity or "tanh"))
    states, inputs = places(f, 4)

    def step(state: Any, input: Any) -> Any:
        parts = tuple(p.reshape(1, 1, n) for p in state.split(n))
        _, last = module(input.reshape(1, 1, m), parts if name == "LSTM" else parts[0])
        return torch.cat([p.reshape(-1) for p in (last if name == "LSTM" else (last,))])

    for state, input in zip(states, inputs, strict=True):
        x, u = torch.tensor(state), torch.tensor(input)
        np.testing.assert_allclose(f.step(state, input), step(x, u).detach().numpy(), rtol=0, atol=1e-12)
        by_state, by_input = torch.autograd.functional.jacobian(step, (x, u))
        assert_equal_derivatives(f.jacobian(state, input), by_state.numpy(), 1e-12)
        assert_equal_derivatives(f.input_jacobian(state, input), by_input.numpy(), 1e-12)
