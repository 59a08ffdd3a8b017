"""Maps made of maps obey what every map obeys, and are what their definitions say."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError, ShapeError
from dynsys.proofs.evaluate import evaluate
from dynsys.readings.intervals import Intervals


def matrix(rows: int, columns: int, seed: int = 3, scale: float = 0.5) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal((rows, columns))


def gru(n: int, m: int, seed: int = 1) -> Any:
    return cells.GRU.random(n, m, gain=1.4, seed=seed)


PATH = np.diag(np.ones(2), 1) + np.diag(np.ones(2), -1)
PERIODS = [1, 2, 3]

MAPS: dict[str, Callable[[], Any]] = {
    "mixing": lambda: dynsys.close_loop(gru(4, 2), (matrix(2, 4), [0.1, -0.2]), mixing=0.3),
    "open-loop": lambda: dynsys.close_loop(gru(4, 2), matrix(2, 4), mixing=0.0),
    "loop-into-some": lambda: dynsys.close_loop(gru(4, 3), matrix(2, 4), into=[2, 0]),
    "mixing-into-some": lambda: dynsys.close_loop(
        cells.LSTM.random(3, 3), cells.Dense(W=matrix(2, 3)), into=[2, 0], mixing=0.6
    ),
    "stack-with-skips": lambda: dynsys.stack(
        gru(3, 2), cells.LSTM.random(2, 5), cells.Elman.random(4, 4), skip=True, show="all"
    ),
    "stack-with-residuals": lambda: dynsys.stack(
        gru(3, 2), cells.LSTM.random(3, 3), cells.Elman.random(3, 3), residual=True, show="all"
    ),
    "deep-input": lambda: dynsys.deepen(gru(4, 3), input=[cells.Dense.random(5, 2), cells.Dense.random(3, 5)]),
    "deep-transition": lambda: dynsys.deepen(
        cells.LSTM.random(3, 2), transition=cells.Dense(W=matrix(5, 3), V=matrix(3, 5), residual=1.0)
    ),
    "deep-both": lambda: dynsys.deepen(
        gru(4, 3), input=(matrix(3, 2), [0.1, 0.2, 0.3]), transition=lambda h: np.sin(h) * h
    ),
    "clockwork-step": lambda: dynsys.clockwork(cells.LSTM.random(4, 2), [1, 2]).at(1),
    "clockwork-turn": lambda: dynsys.iterate(dynsys.clockwork(gru(6, 2), PERIODS), 6),
    "clockwork-in-a-stack": lambda: dynsys.iterate(dynsys.stack(gru(3, 2), dynsys.clockwork(gru(2, 3), [2])), 2),
    "clockwork-driven": lambda: dynsys.iterate(dynsys.drive(dynsys.clockwork(gru(4, 2), [1, 2]), matrix(3, 2)), 6),
    "clockwork-loop": lambda: dynsys.iterate(dynsys.close_loop(dynsys.clockwork(gru(4, 2), [1, 2]), matrix(2, 4)), 2),
    "coupled": lambda: dynsys.couple(
        gru(4, 2),
        cells.LSTM.random(3, 1),
        cells.Elman.random(2, 0),
        links={(0, 1): matrix(2, 3), (0, 2): matrix(2, 2), (1, 0): matrix(1, 4), (1, 1): matrix(1, 3)},
    ),
    "over-graph": lambda: dynsys.over_graph(gru(2, 2), PATH),
    "over-graph-own-inputs": lambda: dynsys.over_graph(
        cells.LSTM.random(2, 3), PATH, message=(matrix(1, 2), [0.3]), normalization="row+loops"
    ),
    "over-graph-message": lambda: dynsys.over_graph(
        gru(2, 3), [[0, 1, 2], [1, 2, 3]], message=cells.Dense(W=matrix(3, 2)), normalization="sym"
    ),
    "layer": lambda: dynsys.layers(cells.Dense(W=matrix(3, 4)), cells.Dense(W=matrix(2, 3))).at(1),
    "all-layers": lambda: dynsys.iterate(
        dynsys.layers(cells.Dense(W=matrix(3, 4)), (matrix(5, 3), np.ones(5)), cells.Elman.random(5, 0)), 3
    ),
}


@pytest.fixture(params=[pytest.param(make, id=name) for name, make in MAPS.items()])
def f(request: pytest.FixtureRequest) -> Any:
    return request.param()


def places(f: Any, batch: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.standard_normal((batch, f.state_size)), generator.standard_normal((batch, f.input_size))


def assert_equal(one: Any, other: Any, tolerance: float) -> None:
    assert np.shape(one) == np.shape(other)
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * max(1.0, np.abs(other).max(initial=0.0)))


def test_derivatives_by_four_roads_agree(f: Any, differences: Any) -> None:
    """Structure = differences to 1e-10, = JVP = VJP to 1e-12; state and input."""
    states, inputs = places(f, 3)
    J, B = np.asarray(f.jacobian(states, inputs)), np.asarray(f.input_jacobian(states, inputs))
    for b in range(3):
        assert_equal(J[b], differences(lambda x, b=b: f.step(x, inputs[b]), states[b]), 1e-10)
        if f.input_size:
            assert_equal(B[b], differences(lambda u, b=b: f.step(states[b], u), inputs[b]), 1e-10)
    for i, unit in enumerate(np.eye(f.state_size)):
        assert_equal(f.jvp(states, unit, inputs), J[..., i], 1e-12)
        assert_equal(f.vjp(states, unit, inputs), J[..., i, :], 1e-12)
    dx, du = np.ones(states.shape), np.ones(inputs.shape)
    both = np.einsum("bij,bj->bi", J, dx) + np.einsum("bij,bj->bi", B, du)
    assert_equal(f.jvp(states, dx, inputs, input_tangent=du), both, 1e-12)


def test_input_cotangents_are_the_input_jacobian(f: Any) -> None:
    states, inputs = places(f, 3)
    pulled = f.linearize(states, inputs).pull(np.ones((f.state_size, 3, 1)))
    wanted = np.asarray(f.input_jacobian(states, inputs)).sum(axis=1)
    assert_equal(pulled.input[..., 0].T, wanted, 1e-12)
    alone = f.linearize(states, inputs).pull(np.ones((f.state_size, 3, 1)), input=False)
    assert_equal(alone.state, pulled.state, 1e-13)


def test_only_the_input_moves(f: Any) -> None:
    """A push of an input tangent alone is the input Jacobian's column."""
    if not f.input_size:
        pytest.skip("no inputs")
    states, inputs = places(f, 3)
    B = np.asarray(f.input_jacobian(states, inputs))
    pushed = f.linearize(states, inputs).push(None, np.ones((f.input_size, 3, 1)))
    assert_equal(pushed[..., 0].T, B.sum(axis=2), 1e-12)


def test_a_batch_is_its_samples_and_a_constant_input_serves_all(f: Any) -> None:
    states, inputs = places(f, 4)
    for b in range(4):
        assert_equal(f.step(states, inputs)[b], f.step(states[b], inputs[b]), 1e-13)
        assert_equal(f.step(states, inputs[0])[b], f.step(states[b], inputs[0]), 1e-13)
        assert_equal(np.asarray(f.jacobian(states, inputs[0]))[b], f.jacobian(states[b], inputs[0]), 1e-12)
        assert_equal(f.step(states)[b], f.step(states[b], np.zeros(f.input_size)), 1e-13)
    assert f.step(states[:0], inputs[:0]).shape == (0, f.state_size)
    assert np.shape(f.jacobian(states[:0], inputs[:0])) == (0, f.state_size, f.state_size)


def test_parameter_gradients_follow_the_parameters(f: Any) -> None:
    """Every parameter that is named has a gradient of its shape, from one pull."""
    states, inputs = places(f, 2)
    gradients = f.parameter_gradients(states, np.ones(states.shape), inputs)
    assert {name: g.shape for name, g in gradients.items()} == {name: p.shape for name, p in f.parameters.items()}


def test_blocks_cover_the_state_and_arguments_stay_as_they_are(f: Any) -> None:
    assert [rows.start for _, rows in f.blocks] == [0, *(rows.stop for _, rows in f.blocks)][:-1]
    assert f.blocks[-1][1].stop == f.state_size
    states, inputs = places(f, 2)
    kept = states.copy(), inputs.copy()
    f.step(states, inputs), f.jacobian(states, inputs), f.vjp(states, states, inputs)
    np.testing.assert_array_equal(states, kept[0])
    np.testing.assert_array_equal(inputs, kept[1])


def test_an_invariant_box_is_carried_into_its_interior(f: Any) -> None:
    generator = np.random.default_rng(0)
    input = generator.standard_normal(f.input_size)
    box = f.box(input, input)
    if box is None or not box.invariant:
        return
    corners = np.where(generator.random((300, f.state_size)) < 0.5, box.low, box.high)
    images = f.step(corners, input)
    assert ((images > box.low) & (images < box.high)).all()


def test_intervals_go_through_it(f: Any) -> None:
    """Enclosures of step and Jacobian at a point hold the numbers and are narrow: proofs work on it."""
    states, inputs = places(f, 3)
    enclosed = evaluate(f, Intervals.point(states.T), inputs[0])
    for value, wanted in (
        (enclosed.next, f.step(states, inputs[0]).T),
        (enclosed.slope, np.asarray(f.jacobian(states, inputs[0])).swapaxes(0, 1)),
    ):
        assert (value.low <= wanted + 1e-13).all()
        assert (value.high >= wanted - 1e-13).all()
        assert (value.high - value.low).max(initial=0.0) < 1e-11


def test_analyses_run_on_it(f: Any) -> None:
    """Fixed points solve the equation; exponents and gains over one lag agree with the Jacobians."""
    found = dynsys.find_fixed_points(f, n_starts=32)
    if len(found):
        np.testing.assert_allclose(f.step(found.states), found.states, atol=1e-10)
    start = 0.1 * np.ones(f.state_size)
    gains = dynsys.gradient_spectrum(f, start, None, [1])
    wanted = np.linalg.svd(f.jacobian(start), compute_uv=False)
    known = wanted > 1e-9 * wanted[0]
    np.testing.assert_allclose(np.exp(gains.log_singular_values[0][known]), wanted[known], rtol=1e-9)
    spectrum = dynsys.lyapunov_spectrum(f, start, steps=12, discard=2)
    assert spectrum.residual is None or spectrum.residual < 1e-8


# Closing the loop


def test_teacher_forcing_open_closed_and_mixed() -> None:
    """x = mixing * own output + (1 - mixing) * reference."""
    cell, V, h, y = gru(4, 2), matrix(2, 4), matrix(1, 4)[0], matrix(1, 2, seed=5)[0]
    f = dynsys.as_map(cell)
    for mixing in (0.0, 0.3, 0.8):
        mixed = dynsys.close_loop(cell, V, mixing=mixing)
        np.testing.assert_allclose(mixed.step(h, y), f.step(h, mixing * V @ h + (1 - mixing) * y), atol=1e-15)
    np.testing.assert_array_equal(dynsys.close_loop(cell, V, mixing=0.0).step(h, y), f.step(h, y))
    np.testing.assert_array_equal(dynsys.close_loop(cell, V).step(h), f.step(h, V @ h))


def test_open_and_closed_loops_have_different_fixed_points_unless_the_reference_is_their_own() -> None:
    """A closed loop's fixed point h* is one of the open loop at the reference y = V h*, and of every mixture there."""
    cell, V = cells.Elman(U=[[0.5]], W=[[1.0]]), np.array([[2.0]])
    closed, open_loop = dynsys.close_loop(cell, V), dynsys.close_loop(cell, V, mixing=0.0)
    upper = dynsys.find_fixed_points(closed)
    assert len(upper) == 3
    assert len(dynsys.find_fixed_points(open_loop)) == 1
    for state in upper.states:
        for mixing in (0.0, 0.5):
            at = dynsys.close_loop(cell, V, mixing=mixing)
            np.testing.assert_allclose(at.step(state, V @ state), state, atol=1e-12)
    multipliers = [dynsys.close_loop(cell, V, mixing=a).jacobian([0.0], [0.0])[0, 0] for a in (0.0, 0.5, 1.0 - 1e-16)]
    np.testing.assert_allclose(multipliers, [0.5, 1.5, 2.5])


def test_a_loop_into_some_inputs_leaves_the_others() -> None:
    cell, V = gru(4, 3), matrix(2, 4)
    looped, h, u = dynsys.close_loop(cell, V, into=[2, 0]), matrix(1, 4)[0], 0.7
    heard = V @ h
    np.testing.assert_allclose(looped.step(h, [u]), dynsys.as_map(cell).step(h, [heard[1], u, heard[0]]), atol=1e-15)


def test_a_jordan_network_is_a_loop_closed_around_its_output() -> None:
    """y' = s_y(V s_h(W x + U y + b) + c) is the readout of the Elman map whose input is y and which forgets h."""
    jordan = cells.Jordan.random(5, 2, outputs=3, output_activation="tanh", seed=4)
    forgetful = cells.Elman(U=np.zeros((5, 5)), W=np.hstack([jordan.U, jordan.W]), b=jordan.b)
    readout = cells.Dense(W=jordan.V, b=jordan.c, activation="tanh")
    closed = dynsys.close_loop(forgetful, readout, into=range(3))
    inputs, y = matrix(6, 2), matrix(1, 3)[0]
    by_output = dynsys.simulate(jordan, y, inputs=inputs)
    h = dynsys.as_map(forgetful).step(np.zeros(5), np.concatenate([y, inputs[0]]))
    by_hidden = dynsys.simulate(closed, h, inputs=inputs[1:])
    np.testing.assert_allclose(dynsys.close_loop(forgetful, readout, into=range(3)).readout(by_hidden), by_output[1:])


def test_a_jordan_step_is_the_equation_written_out() -> None:
    jordan = cells.Jordan(
        U=[[2.0]],
        V=[
            [0.5],
        ],
        W=[[1.0]],
        b=[0.1],
        c=[-0.3],
        output_activation="tanh",
    )
    assert dynsys.as_map(jordan).step([0.4], [0.2])[0] == pytest.approx(
        np.tanh(0.5 * np.tanh(0.2 + 2.0 * 0.4 + 0.1) - 0.3), abs=1e-15
    )


# Depth


def test_a_stack_with_skips_hears_the_input_in_every_layer() -> None:
    below, above = gru(3, 2), cells.Elman.random(4, 5, seed=2)
    deep, state, u = dynsys.stack(below, above, skip=True), matrix(1, 7)[0], matrix(1, 2)[0]
    first = dynsys.as_map(below).step(state[:3], u)
    second = dynsys.as_map(above).step(state[3:], np.concatenate([first, u]))
    np.testing.assert_allclose(deep.step(state, u), np.concatenate([first, second]), atol=1e-15)
    assert deep.output == slice(3, 7)
    assert dynsys.stack(below, above, skip=True, show="all").output == slice(0, 7)


def test_deep_input_and_transition_are_compositions() -> None:
    cell, before, after = gru(4, 3), cells.Dense.random(3, 2), cells.Dense.random(4, 4, seed=3)
    deep, h, x = dynsys.deepen(cell, input=before, transition=[after, np.sin]), matrix(1, 4)[0], matrix(1, 2)[0]
    inner = dynsys.as_map(cell).step(h, before(x[:, np.newaxis])[:, 0])
    np.testing.assert_allclose(deep.step(h, x), np.sin(after(inner[:, np.newaxis])[:, 0]), atol=1e-15)


def test_the_deep_transition_cell_is_an_elman_step_and_a_dense_layer() -> None:
    """Without shortcut: the first layer forgets nothing of h but its width; of equal widths it is `deepen`."""
    cell = cells.DeepTransition.random(4, 2, shortcut=False, seed=5)
    first = cells.Elman(U=cell.U_1, W=cell.W, b=cell.b_1)
    deep = dynsys.deepen(first, transition=cells.Dense(W=cell.U_2, b=cell.b_2))
    h, x = matrix(3, 4), matrix(3, 2)
    np.testing.assert_allclose(dynsys.as_map(cell).step(h, x), deep.step(h, x), atol=1e-15)


def test_gradients_of_a_deep_network_follow_its_own_parameters(differences: Any) -> None:
    before, after = cells.Dense.random(3, 2), cells.Dense.random(4, 4, seed=3)
    h, x = matrix(2, 4), matrix(2, 2)
    gradients = dynsys.deepen(gru(4, 3), input=before, transition=after).parameter_gradients(h, np.ones((2, 4)), x)

    def loss(W: np.ndarray) -> np.ndarray:
        return dynsys.deepen(gru(4, 3), input=cells.Dense(W=W), transition=after).step(h, x).sum()

    np.testing.assert_allclose(gradients["input.W"], differences(loss, before.W).reshape(3, 2), atol=1e-9)


def test_bptt_trains_a_deep_readout(differences: Any) -> None:
    """The gradient of the loss by the weights of a `Dense` readout is the difference quotient's."""
    cell, inputs, targets = gru(3, 2), matrix(6, 2), matrix(6, 2, seed=9)
    V = matrix(2, 3)

    def loss(W: np.ndarray) -> np.ndarray:
        return np.array(dynsys.bptt(cell, cells.Dense(W=W), inputs, targets, "squared").loss)

    gradients = dynsys.bptt(cell, cells.Dense(W=V), inputs, targets, "squared").readout
    np.testing.assert_allclose(gradients["W"], differences(loss, V).reshape(2, 3), atol=1e-9)


# Clocks


def test_each_group_moves_when_its_period_divides_the_step() -> None:
    f = dynsys.clockwork(cells.Elman.random(6, 1, gain=1.5), PERIODS)
    orbit = dynsys.simulate(f, np.linspace(-1, 1, 6), inputs=np.ones((12, 1)))
    for t, (group, period) in itertools.product(range(12), enumerate(PERIODS)):
        rows = slice(2 * group, 2 * group + 2)
        assert np.array_equal(orbit[t + 1, rows], orbit[t, rows]) == (t % period != 0)
    assert f.period == 6


def test_a_whole_turn_of_the_clocks_is_one_step_of_the_iterate() -> None:
    f, start, inputs = dynsys.clockwork(gru(6, 2), PERIODS), matrix(1, 6)[0], np.tile([0.3, -0.2], (12, 1))
    turn = dynsys.iterate(f, 6)
    twice = turn.step(turn.step(start, inputs[0]), inputs[0])
    np.testing.assert_allclose(dynsys.simulate(f, start, inputs=inputs)[-1], twice, atol=1e-14)


@pytest.mark.parametrize("length", [5, 12, 40])
def test_spectra_of_a_clockwork_are_those_of_the_product_of_its_steps(length: int) -> None:
    """Chunks, burn-in and phases all keep time: the gains are those of J_t of the right steps."""
    f, start = dynsys.clockwork(cells.Elman.random(4, 0, gain=1.4), [1, 3]), np.full(4, 0.4)
    orbit, product = dynsys.simulate(f, start, steps=length), np.eye(4)
    for t in range(length):
        product = f.at(t).jacobian(orbit[t]) @ product
    gains = dynsys.gradient_spectrum(f, start, None, [length]).log_singular_values[0]
    wanted = np.linalg.svd(product, compute_uv=False)
    assert gains[0] == pytest.approx(np.log(wanted[0]), abs=1e-9)


def test_exponents_of_a_clockwork_are_a_turn_s_divided_by_its_length() -> None:
    """At a fixed point of the whole turn: log|multipliers| / period, with any burn-in."""
    f = dynsys.clockwork(cells.Elman.random(4, 0, gain=0.7, seed=3), [1, 2])
    multipliers = np.linalg.eigvals(dynsys.iterate(f, 2).jacobian(np.zeros(4)))
    wanted = np.sort(np.log(np.abs(multipliers)) / 2)[::-1]
    for discard in (100, 101, 103):
        found = dynsys.lyapunov_spectrum(f, 1e-3 * np.ones(4), steps=400, discard=discard, seed=1)
        np.testing.assert_allclose(found.exponents, wanted, atol=5e-3)


def test_bptt_keeps_the_clocks(differences: Any) -> None:
    start, inputs, targets = matrix(1, 4)[0], matrix(7, 2), matrix(7, 1, seed=8)
    V = matrix(1, 4)

    def loss(U: np.ndarray) -> np.ndarray:
        f = dynsys.clockwork(cells.Elman(U=U, W=matrix(4, 2, seed=2)), [1, 3])
        return np.array(dynsys.bptt(f, V, inputs, targets, "squared", start=start).loss)

    f = dynsys.clockwork(cells.Elman(U=matrix(4, 4), W=matrix(4, 2, seed=2)), [1, 3])
    gradients = dynsys.bptt(f, V, inputs, targets, "squared", start=start)
    np.testing.assert_allclose(gradients.parameters["U"], differences(loss, matrix(4, 4)).reshape(4, 4), atol=1e-9)


def test_a_map_that_changes_with_time_names_the_way_out() -> None:
    f = dynsys.clockwork(gru(4, 0), [1, 3])
    for analysis in (dynsys.find_fixed_points, lambda f: f.step(np.zeros(4)), lambda f: f.jacobian(np.zeros(4))):
        with pytest.raises(InputError, match=r"iterate\(f, 3\)"):
            analysis(f)
    with pytest.raises(InputError, match="multiple"):
        dynsys.iterate(f, 4)


# Side by side


def test_coupled_parts_hear_each_other_one_step_later() -> None:
    one, two = gru(4, 2), cells.LSTM.random(3, 1)
    C, D = matrix(2, 3), matrix(1, 4)
    f = dynsys.couple(one, two, links={(0, 1): C, (1, 0): D})
    state, u = matrix(1, 10)[0], matrix(1, 3)[0]
    first = dynsys.as_map(one).step(state[:4], u[:2] + C @ state[4:7])
    second = dynsys.as_map(two).step(state[4:], u[2:] + D @ state[:4])
    np.testing.assert_allclose(f.step(state, u), np.concatenate([first, second]), atol=1e-15)
    assert dict(f.blocks)["part1.c"] == slice(7, 10)


def test_a_loop_closed_through_couple_is_close_loop() -> None:
    V = matrix(2, 4)
    state = matrix(1, 4)[0]
    by_link = dynsys.couple(gru(4, 2), links={(0, 0): V})
    np.testing.assert_allclose(by_link.step(state), dynsys.close_loop(gru(4, 2), V).step(state), atol=1e-15)


def test_linear_cells_over_a_graph_are_a_kronecker_sum() -> None:
    """J = kron(I, U) + kron(A, W), to rounding."""
    U, W = matrix(3, 3), matrix(3, 3, seed=6)
    f = dynsys.over_graph(cells.Elman(U=U, W=W, activation="identity"), PATH)
    A = cells.propagation_matrix(PATH)
    wanted = np.kron(np.eye(3), U) + np.kron(A, W)
    np.testing.assert_allclose(f.jacobian(np.ones(9)), wanted, atol=1e-14)
    np.testing.assert_allclose(f.step(np.arange(9.0)), wanted @ np.arange(9.0), atol=1e-13)


@pytest.mark.parametrize("normalization", ["sym+loops", "sym", "row+loops", "none"])
def test_multipliers_of_a_synchronous_state_split_by_the_graph_s_eigenvalues(normalization: str) -> None:
    """Master stability function: at equal states of all nodes, eig(J) = eig(J_h + lambda_k J_x) over the lambda_k."""
    cell = cells.GRU.random(2, 2, gain=1.3, seed=4)
    A = cells.propagation_matrix(PATH, normalization)
    f, h = dynsys.over_graph(cell, PATH, normalization=normalization), np.zeros(2)
    one = dynsys.as_map(cell)
    split = [np.linalg.eigvals(one.jacobian(h) + k * one.input_jacobian(h)) for k in np.linalg.eigvals(A)]
    whole = np.linalg.eigvals(f.jacobian(np.zeros(6)))
    np.testing.assert_allclose(
        np.sort_complex(np.round(whole, 10)), np.sort_complex(np.round(np.concatenate(split), 10)), atol=1e-9
    )


def test_relabelling_the_nodes_permutes_the_answer() -> None:
    order = [2, 0, 1]
    E = np.array([[0, 1, 0], [1, 0, 2.0], [0, 2.0, 0]])
    states = matrix(3, 2)
    f, g = (dynsys.over_graph(gru(2, 2), A) for A in (E, E[np.ix_(order, order)]))
    np.testing.assert_allclose(
        g.step(states[order].ravel()).reshape(3, 2), f.step(states.ravel()).reshape(3, 2)[order], atol=1e-15
    )


def test_a_graph_may_come_as_matrix_sparse_matrix_networkx_or_edges() -> None:
    import networkx
    import scipy.sparse

    state = matrix(1, 6)[0]
    graphs = [PATH, scipy.sparse.csr_array(PATH), networkx.path_graph(3), [[0, 1, 1], [1, 2, 0]]]
    answers = [dynsys.over_graph(gru(2, 2), graph) for graph in graphs]
    for f in answers[1:]:
        np.testing.assert_allclose(f.step(state), answers[0].step(state), atol=1e-15)
        np.testing.assert_allclose(f.jacobian(state), answers[0].jacobian(state), atol=1e-15)


def test_an_edge_of_a_directed_graph_carries_its_tail_s_message() -> None:
    import networkx

    f = dynsys.over_graph(
        cells.Elman(U=[[0.0]], W=[[1.0]], activation="identity"), networkx.DiGraph([(0, 1)]), normalization="none"
    )
    np.testing.assert_array_equal(f.step([3.0, 5.0]), [0.0, 3.0])


# Layers


def test_orthogonal_layers_keep_every_gradient() -> None:
    """Exact truth: all log singular values and exponents of a deep linear orthogonal net are zero."""
    Q = [np.linalg.qr(matrix(5, 5, seed=k))[0] for k in range(30)]
    f, x = dynsys.layers(*Q), np.ones(5)
    gains = dynsys.gradient_spectrum(f, x, None, [1, 10, 30])
    np.testing.assert_allclose(gains.log_singular_values, 0.0, atol=1e-12)
    spectrum = dynsys.lyapunov_spectrum(f, x, steps=30, discard=0)
    np.testing.assert_allclose(spectrum.exponents, 0.0, atol=1e-12)


def test_linear_layers_have_the_singular_values_of_their_product() -> None:
    rotations = [np.linalg.qr(matrix(3, 3, seed=k))[0] for k in range(41)]
    scales = np.array([1.1, 0.9, 0.5])
    steps = [rotations[k + 1] @ np.diag(scales) @ rotations[k].T for k in range(40)]
    gains = dynsys.gradient_spectrum(dynsys.layers(*steps), np.ones(3), None, [40])
    np.testing.assert_allclose(gains.log_singular_values[0], 40 * np.log(scales), atol=1e-10)


def test_residual_layers_let_gradients_through_where_plain_ones_do_not() -> None:
    """60 layers: s(W h) at gain 1/2 loses half of the gradient or more each, h + V s(W h) with small V next to none."""
    plain = [cells.Dense.random(8, 8, gain=0.5, seed=k) for k in range(60)]
    residual = [cells.Dense(W=p.W, V=matrix(8, 8, k, 0.1), residual=1.0) for k, p in enumerate(plain)]
    x = matrix(1, 8)[0]
    lost = [
        dynsys.gradient_spectrum(dynsys.layers(*net), x, None, [60]).log_singular_values[0] for net in (plain, residual)
    ]
    assert lost[0][0] < -30 * np.log(2)
    assert np.abs(lost[1]).max() < 5


def test_layers_of_different_width_are_the_product_of_their_rectangular_jacobians() -> None:
    wide = [cells.Dense.random(4, 3), cells.Dense.random(6, 4, seed=1), cells.Dense.random(2, 6, seed=2)]
    f, x = dynsys.layers(*wide), np.array([0.3, -0.2, 0.5])
    start = np.concatenate([x, np.zeros(3)])
    orbit = dynsys.simulate(f, start, steps=3)
    h, product = x[:, np.newaxis], np.eye(3)
    for layer in wide:
        J = np.diag(1 - np.tanh(layer.W @ h)[:, 0] ** 2) @ layer.W
        h, product = layer(h), J @ product
    np.testing.assert_allclose(orbit[3, :2], h[:, 0], atol=1e-15)
    assert (orbit[3, 2:] == 0).all()
    gains = dynsys.gradient_spectrum(f, start, None, [3]).log_singular_values[0]
    np.testing.assert_allclose(gains[:2], np.log(np.linalg.svd(product, compute_uv=False)), atol=1e-10)
    assert (gains[2:] == -np.inf).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: dynsys.close_loop(gru(4, 2), matrix(2, 4), mixing=1.5), "between 0"),
        (lambda: dynsys.close_loop(gru(4, 2), matrix(1, 4), into=[2]), "0 to 1"),
        (lambda: dynsys.close_loop(gru(4, 2), matrix(2, 4), into=[0]), "equal"),
        (lambda: dynsys.stack(gru(3, 2), gru(3, 3), skip=True), "and the input 2, 5"),
        (lambda: dynsys.stack(gru(3, 2), show="some"), "all"),
        (lambda: dynsys.deepen(gru(3, 2), input=np.sin), "cells.Dense"),
        (lambda: dynsys.deepen(gru(3, 2), input=matrix(3, 2)), "takes 2 inputs"),
        (lambda: dynsys.deepen(gru(3, 2), transition=matrix(2, 3)), "3 values"),
        (lambda: dynsys.clockwork(gru(4, 0), [1, 2, 3]), "4 units"),
        (lambda: dynsys.clockwork(gru(4, 0), [0, 1]), "at least 1"),
        (lambda: dynsys.clockwork(gru(4, 0), [1.5, 2]), "whole"),
        (lambda: dynsys.couple(gru(4, 2), links={(0, 1): matrix(2, 4)}), "parts 0 to 0"),
        (lambda: dynsys.couple(gru(4, 2), links={(0, 0): matrix(4, 2)}), r"\(2, 4\)"),
        (lambda: dynsys.couple(links={}), "at least one"),
        (lambda: dynsys.over_graph(gru(3, 2), PATH), "at least as many"),
        (lambda: dynsys.over_graph(gru(2, 2), PATH, normalization="rows"), "row\\+loops"),
        (lambda: dynsys.over_graph(gru(2, 2), np.zeros((3, 4))), "edge list"),
        (lambda: dynsys.over_graph(gru(2, 2), [[0.5], [1]]), "whole numbers"),
        (dynsys.layers, "at least one"),
        (lambda: dynsys.layers(np.sin), "width"),
        (lambda: dynsys.layers(matrix(3, 2), matrix(3, 2)), "layer 1"),
        (lambda: dynsys.layers(gru(3, 1)), "takes 1 inputs"),
        (lambda: dynsys.gradient_spectrum(dynsys.layers(matrix(2, 2)), [1, 1], None, [2]), "at most 1"),
        (lambda: cells.Dense(W=matrix(3, 2), residual=1.0), "same size"),
        (lambda: dynsys.find_fixed_points(dynsys.layers(matrix(2, 2), matrix(2, 2))), "fewer layers"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_way_out(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert isinstance(caught.value, (InputError, ShapeError, cells.ParameterError))
