"""Reading things as maps, building maps from maps, following orbits: shapes, meanings, and the caller's mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError, ShapeError


@pytest.fixture
def gru() -> cells.GRU:
    return cells.GRU.random(4, 2, gain=1.5, seed=1)


def states_of(n: int, *lead: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((*lead, n))


# simulate


def test_an_orbit_begins_at_the_start_and_follows_step(gru: Any) -> None:
    """inputs[t] drives state t to t + 1."""
    f, inputs, start = dynsys.as_map(gru), states_of(2, 6), states_of(4)
    orbit = dynsys.simulate(gru, start, inputs=inputs)
    assert orbit.shape == (7, 4)
    np.testing.assert_array_equal(orbit[0], start)
    for t in range(6):
        np.testing.assert_allclose(orbit[t + 1], f.step(orbit[t], inputs[t]), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("start", "inputs", "steps", "shape"),
    [
        ((4,), None, 5, (6, 4)),
        ((3, 4), None, 5, (6, 3, 4)),
        ((2, 3, 4), None, 5, (6, 2, 3, 4)),
        ((4,), (5, 2), None, (6, 4)),
        ((4,), (5, 2), 5, (6, 4)),
        ((3, 4), (5, 2), None, (6, 3, 4)),
        ((4,), (5, 3, 2), None, (6, 3, 4)),
        ((3, 4), (5, 3, 2), None, (6, 3, 4)),
        ((4,), (5, 1, 2), None, (6, 1, 4)),
        ((1, 4), (5, 1, 2), None, (6, 1, 4)),
        (None, (5, 2), None, (6, 4)),
        (None, (5, 3, 2), None, (6, 3, 4)),
        ((4,), None, 0, (1, 4)),
        ((4,), (0, 2), None, (1, 4)),
    ],
)
def test_shapes_of_orbits(gru: Any, start: Any, inputs: Any, steps: Any, shape: tuple[int, ...]) -> None:
    given = None if start is None else states_of(4, *start[:-1])
    driving = None if inputs is None else states_of(2, *inputs[:-1])
    assert dynsys.simulate(gru, given, inputs=driving, steps=steps).shape == shape


def test_each_sequence_of_a_batch_is_its_own_orbit(gru: Any) -> None:
    inputs, starts = states_of(2, 6, 3), states_of(4, 3)
    together = dynsys.simulate(gru, starts, inputs=inputs)
    for b in range(3):
        alone = dynsys.simulate(gru, starts[b], inputs=inputs[:, b])
        np.testing.assert_allclose(together[:, b], alone, rtol=0, atol=1e-14)


def test_no_inputs_are_zero_inputs(gru: Any) -> None:
    start = states_of(4)
    np.testing.assert_array_equal(
        dynsys.simulate(gru, start, steps=5), dynsys.simulate(gru, start, inputs=np.zeros((5, 2)))
    )


def test_no_start_is_zeros_or_the_models_own(gru: Any) -> None:
    np.testing.assert_array_equal(dynsys.simulate(gru, None, steps=1)[0], np.zeros(4))
    f = dynsys.as_map(gru)
    f.initial_state = np.arange(4.0)
    np.testing.assert_array_equal(dynsys.simulate(f, None, steps=1)[0], np.arange(4.0))


def test_the_initial_state_goes_through_combinators() -> None:
    first, second = dynsys.as_map(cells.Elman.random(2, 1)), dynsys.as_map(cells.Elman.random(3, 2))
    second.initial_state = np.array([1.0, 2.0, 3.0])
    stacked = dynsys.stack(first, second)
    np.testing.assert_array_equal(dynsys.simulate(stacked, None, steps=0)[0], [0, 0, 1, 2, 3])
    for built in (
        dynsys.drive(second, [1.0, 1.0]),
        dynsys.iterate(second, 2),
        dynsys.close_loop(second, np.ones((2, 3))),
    ):
        np.testing.assert_array_equal(dynsys.simulate(built, None, steps=0)[0], [1, 2, 3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "how long"),
        ({"steps": -1}, "negative"),
        ({"inputs": np.zeros((5, 2)), "steps": 4}, "5 steps"),
        ({"inputs": np.zeros((5, 3))}, "m = 2"),
        ({"inputs": np.zeros(2)}, "m = 2"),
        ({"inputs": np.zeros((5, 3, 2)), "start": np.zeros((2, 4))}, "3 input sequences"),
        ({"start": np.zeros(3), "steps": 1}, "4"),
        ({"start": "abc", "steps": 1}, "numbers"),
    ],
)
def test_mistakes_in_simulate_are_named(gru: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dynsys.simulate(gru, **({"start": None} | arguments))


# as_map


def test_a_map_is_returned_as_it_is(gru: Any) -> None:
    f = dynsys.as_map(gru)
    assert dynsys.as_map(f) is f


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3.0,), "float"),
        ((None,), "NoneType"),
        ((np.tanh,), "state_size"),
        ((np.tanh, 2, 0, (1.0, -1.0)), "low < high"),
        ((np.tanh, 2, 0, (0.0, np.inf)), "finite"),
        ((np.tanh, 2, 0, ([0.0] * 3, [1.0] * 3)), "length 2"),
        ((np.tanh, 2, 0, None, True), "box"),
        ((cells.GRU,), "instance|random"),
        (("model.pt",), "load"),
    ],
)
def test_what_is_not_a_map_is_refused_with_the_way_out(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dynsys.as_map(*arguments)


@pytest.mark.parametrize(
    ("state", "input", "message"),
    [
        (np.zeros(3), None, "4"),
        (np.zeros((4, 2)), None, "columns"),
        (3.0, None, "4"),
        (np.zeros(4), np.zeros(3), "2"),
        (np.zeros((3, 4)), np.zeros((2, 2)), "go together"),
        (np.zeros(4) * 1j, None, "real numbers"),
        ([None] * 4, None, "numbers"),
    ],
)
def test_states_and_inputs_of_another_shape_are_refused(gru: Any, state: Any, input: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dynsys.as_map(gru).step(state, input)


@pytest.mark.parametrize("method", ["jvp", "vjp", "parameter_gradients"])
def test_directions_of_another_shape_are_refused(gru: Any, method: str) -> None:
    with pytest.raises(ShapeError, match=r"\(3, 4\)"):
        getattr(dynsys.as_map(gru), method)(np.zeros((3, 4)), np.zeros((2, 4)))


@pytest.mark.parametrize("method", ["step", "jacobian", "input_jacobian"])
@pytest.mark.parametrize("lead", [(), (1,), (3,), (0,), (2, 3)])
def test_inputs_of_size_zero_may_be_given(method: str, lead: tuple[int, ...]) -> None:
    """(..., 0) is an input of a network without inputs."""
    f = dynsys.as_map(cells.GRU.random(4, 0))
    states = states_of(4, *lead)
    np.testing.assert_array_equal(getattr(f, method)(states, np.zeros((*lead, 0))), getattr(f, method)(states))


def test_integers_and_single_precision_are_read_as_float64(gru: Any) -> None:
    f = dynsys.as_map(gru)
    assert f.step(np.array([1, 0, 0, 1])).dtype == np.float64
    assert f.jacobian(np.ones(4, dtype=np.float32)).dtype == np.float64


# Combinators


def test_iterating_is_stepping_many_times(gru: Any) -> None:
    f, state, input = dynsys.as_map(gru), states_of(4), states_of(2)
    thrice = f.step(f.step(f.step(state, input), input), input)
    np.testing.assert_array_equal(dynsys.iterate(f, 3).step(state, input), thrice)


def test_driving_fixes_the_input(gru: Any) -> None:
    f, state, input = dynsys.as_map(gru), states_of(4, 3), states_of(2)
    driven = dynsys.drive(f, input)
    assert driven.input_size == 0
    np.testing.assert_array_equal(driven.step(state), f.step(state, input))
    np.testing.assert_array_equal(driven.jacobian(state), f.jacobian(state, input))


def test_a_whole_period_is_one_step_of_the_stroboscopic_map(gru: Any) -> None:
    period, state = states_of(2, 3), states_of(4)
    f = dynsys.iterate(dynsys.drive(gru, period), 6)
    np.testing.assert_allclose(
        f.step(state), dynsys.simulate(gru, state, inputs=np.tile(period, (2, 1)))[-1], atol=1e-15
    )


def test_a_periodic_drive_has_no_single_step_and_says_so(gru: Any) -> None:
    driven = dynsys.drive(gru, states_of(2, 3))
    with pytest.raises(InputError, match="iterate"):
        driven.step(states_of(4))
    with pytest.raises(InputError, match="multiple"):
        dynsys.iterate(driven, 4)


def test_closing_the_loop_feeds_the_readout_back(gru: Any) -> None:
    V, c, state = states_of(4, 2), states_of(2), states_of(4)
    closed = dynsys.close_loop(gru, (V, c))
    assert closed.input_size == 0
    np.testing.assert_allclose(closed.step(state), dynsys.as_map(gru).step(state, V @ state + c), atol=1e-15)


def test_only_the_output_block_is_read_out() -> None:
    lstm, V, state = cells.LSTM.random(3, 2), states_of(3, 2), states_of(6)
    closed = dynsys.close_loop(lstm, V)
    np.testing.assert_allclose(closed.step(state), dynsys.as_map(lstm).step(state, V @ state[:3]), atol=1e-15)


def test_a_stack_reads_the_layer_below_at_the_same_time() -> None:
    below, above = cells.LSTM.random(3, 2, seed=1), cells.GRU.random(4, 3, seed=2)
    state, input = states_of(10), states_of(2)
    first = dynsys.as_map(below).step(state[:6], input)
    second = dynsys.as_map(above).step(state[6:], first[:3])
    np.testing.assert_allclose(
        dynsys.stack(below, above).step(state, input), np.concatenate([first, second]), atol=1e-15
    )


def test_blocks_of_a_stack_are_named_from_the_input_side() -> None:
    stacked = dynsys.stack(cells.LSTM.random(3, 2), cells.GRU.random(4, 3))
    assert stacked.blocks == (("layer0.h", slice(0, 3)), ("layer0.c", slice(3, 6)), ("layer1.h", slice(6, 10)))
    assert stacked.output == slice(6, 10)
    assert stacked.input_size == 2


def test_parameters_of_a_stack_are_named_by_layer() -> None:
    below = cells.Elman.random(2, 1)
    parameters = dynsys.stack(below, cells.Elman.random(3, 2)).parameters
    assert set(parameters) == {f"layer{k}.{name}" for k in (0, 1) for name in ("U", "W", "b")}
    np.testing.assert_array_equal(parameters["layer0.U"], below.U)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda f: dynsys.drive(f, [1.0]), "m = 2"),
        (lambda f: dynsys.drive(f, np.zeros((0, 2))), "p, m"),
        (lambda f: dynsys.iterate(f, 0), "at least 1"),
        (dynsys.close_loop, "no readout"),
        (lambda f: dynsys.close_loop(f, np.zeros((3, 4))), "equal"),
        (lambda f: dynsys.close_loop(f, np.zeros(4)), r"\(r, n\)"),
        (lambda f: dynsys.close_loop(f, (np.zeros((2, 4)), np.zeros(3))), "3"),
        (lambda f: dynsys.stack(f, f), "takes 2 inputs"),
    ],
)
def test_maps_that_do_not_fit_are_refused(gru: Any, build: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(gru)


def test_a_stack_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        dynsys.stack()


def test_the_box_of_a_stack_bounds_what_its_upper_layers_hear() -> None:
    """An LSTM above a tanh layer hears inputs in (-1, 1); its box is carried into itself for all of them."""
    stacked = dynsys.stack(cells.Elman.random(3, 1, seed=1), cells.LSTM.random(2, 3, seed=2))
    box = stacked.box(np.zeros(1), np.zeros(1))
    corners = np.where(np.random.default_rng(0).random((400, 7)) < 0.5, box.low, box.high)
    images = stacked.step(corners)
    assert box.invariant
    assert ((images > box.low) & (images < box.high)).all()
