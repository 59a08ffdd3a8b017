"""Building cells: what is accepted, what is refused and in which words, and what a random cell is."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import cells

KINDS = [cells.Elman, cells.LSTM, cells.GRU, cells.GRUResetAfter]


def parameters(kind: Any, n: int = 3, m: int = 2) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in kind.random(n, m).parameters.items()}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


# What is accepted


def test_a_bias_may_be_flat_or_a_column(kind: Any) -> None:
    """(n,) and (n, 1) are the same cell."""
    given = parameters(kind)
    name = next(k for k in given if k[0] == "b")
    flat, column = (kind(**(given | {name: b})) for b in (np.arange(3.0), np.arange(3.0)[:, np.newaxis]))
    assert getattr(flat, name).shape == (3, 1)
    np.testing.assert_array_equal(getattr(flat, name), getattr(column, name))


def test_biases_left_out_are_zero_and_input_weights_left_out_mean_no_inputs(kind: Any) -> None:
    given = {name: value for name, value in parameters(kind).items() if name[0] == "U"}
    cell = kind(**given)
    assert cell.input_size == 0
    assert all((cell.parameters[name] == 0).all() for name in cell.parameters if name[0] == "b")
    assert all(cell.parameters[name].shape == (3, 0) for name in cell.parameters if name[0] == "W")


def test_one_input_matrix_left_out_among_others_is_zero() -> None:
    given = parameters(cells.GRU)
    del given["W_r"]
    np.testing.assert_array_equal(cells.GRU(**given).W_r, np.zeros((3, 2)))


def test_lists_and_integers_are_read_as_float64() -> None:
    cell = cells.Elman(U=[[1, 2], [3, 4]], b=[1, 2])
    assert cell.U.dtype == cell.b.dtype == np.float64


def test_sizes_are_those_of_the_parameters(kind: Any) -> None:
    cell = kind.random(5, 3)
    assert (cell.hidden_size, cell.input_size) == (5, 3)
    assert cell.state_size == (10 if kind is cells.LSTM else 5)
    assert cell.state_blocks == ({"h": 5, "c": 5} if kind is cells.LSTM else {"h": 5})


def test_field_names_are_those_of_the_textbook() -> None:
    assert set(cells.Elman.shapes()) == {"W", "U", "b"}
    assert set(cells.LSTM.shapes()) == {f"{letter}_{gate}" for letter in "WUb" for gate in "ifog"}
    assert set(cells.GRU.shapes()) == {f"{letter}_{gate}" for letter in "WUb" for gate in "zrh"}
    assert set(cells.GRUResetAfter.shapes()) == set(cells.GRU.shapes()) | {"b_hn"}


def test_replace_makes_another_checked_cell(kind: Any) -> None:
    cell = kind.random(3, 2)
    name = next(k for k in cell.parameters if k[0] == "U")
    assert getattr(dataclasses.replace(cell, **{name: np.eye(3)}), name)[0, 0] == 1.0
    with pytest.raises(cells.ParameterError):
        dataclasses.replace(cell, **{name: np.eye(4)})


# What is refused, and in which words: what came, what is needed, and the fix


def test_wrong_shapes_say_what_came_and_what_is_needed(kind: Any) -> None:
    for name in parameters(kind):
        with pytest.raises(cells.ParameterError) as caught:
            kind(**(parameters(kind) | {name: np.zeros((7, 5))}))
        message = str(caught.value)
        assert kind.__name__ in message
        assert "needs" in message
        assert "(7, 5)" in message


def test_a_recurrent_matrix_that_is_not_square_is_refused_by_name() -> None:
    with pytest.raises(cells.ParameterError, match=r"Elman\.U has shape \(3, 2\), needs \(n, n\) with n = 3"):
        cells.Elman(U=np.zeros((3, 2)))


@pytest.mark.parametrize("kind_and_field", [(cells.Elman, "W"), (cells.LSTM, "W_o"), (cells.GRU, "W_h")])
def test_a_transposed_input_matrix_is_recognised(kind_and_field: tuple[Any, str]) -> None:
    kind, name = kind_and_field
    given = parameters(kind)
    with pytest.raises(cells.ParameterError, match=rf"{name} .*transposed: pass its \.T"):
        kind(**(given | {name: given[name].T}))


def test_a_row_bias_is_recognised_as_transposed() -> None:
    with pytest.raises(cells.ParameterError, match=r"\.T"):
        cells.Elman(U=np.eye(3), b=np.zeros((1, 3)))


def test_the_transposed_hint_is_not_given_where_it_would_not_help() -> None:
    with pytest.raises(cells.ParameterError) as caught:
        cells.Elman(U=np.eye(3), W=np.zeros((4, 2)))
    assert "transposed" not in str(caught.value)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_counted_and_located(kind: Any, bad: float) -> None:
    name = next(k for k in kind.shapes() if k[0] == "U")
    value = np.eye(3)
    value[1, 2] = value[2, 0] = bad
    with pytest.raises(cells.ParameterError, match=rf"{name} has 2 values that are not finite .*\[1, 2\]"):
        kind(**(parameters(kind) | {name: value}))


@pytest.mark.parametrize("value", ["weights", [[1.0], [2.0, 3.0]], {"a": 1}, [[1 + 2j]]])
def test_what_is_not_numbers_is_refused(value: Any) -> None:
    with pytest.raises(cells.ParameterError, match=r"Elman\.U must be an array of numbers, got"):
        cells.Elman(U=value)


@pytest.mark.parametrize(
    ("name", "value", "wanted"), [("U", [1.0, 2.0], "matrix"), ("b", [[[1.0]]], r"\(n,\) or \(n, 1\)")]
)
def test_wrong_numbers_of_axes_are_refused(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(cells.ParameterError, match=wanted):
        cells.Elman(**({"U": np.eye(1)} | {name: value}))


def test_a_cell_without_any_size_is_refused() -> None:
    with pytest.raises(cells.ParameterError, match="at least one recurrent weight matrix"):
        cells.Elman(U=None)


@pytest.mark.parametrize("name", ["Tanh", "gelu", "", None])
def test_unknown_activations_list_the_known_ones(name: Any) -> None:
    with pytest.raises(cells.ParameterError, match="'tanh', 'sigmoid', 'relu', 'identity'"):
        cells.Elman(U=np.eye(2), activation=name)


@pytest.mark.parametrize("kind", [cells.GRU, cells.GRUResetAfter])
def test_unknown_update_conventions_list_the_known_ones(kind: Any) -> None:
    with pytest.raises(cells.ParameterError, match="'keeps-old', 'takes-new'"):
        dataclasses.replace(kind.random(2, 1), update="keras")


def test_a_parameter_error_is_a_value_error() -> None:
    assert issubclass(cells.ParameterError, ValueError)


# Random cells


def test_a_seed_gives_the_same_cell_and_another_seed_another(kind: Any) -> None:
    one, again, other = (kind.random(4, 2, seed=s) for s in (3, 3, 4))
    for name in one.parameters:
        np.testing.assert_array_equal(one.parameters[name], again.parameters[name])
    assert any((one.parameters[name] != other.parameters[name]).any() for name in one.parameters)


def test_the_global_generator_is_left_alone(kind: Any) -> None:
    before = np.random.mtrand._rand.get_state()[1].copy()
    kind.random(4, 2)
    np.testing.assert_array_equal(np.random.mtrand._rand.get_state()[1], before)


def test_gain_scales_the_recurrent_weights_alone(kind: Any) -> None:
    one, two = kind.random(4, 2, gain=1.0), kind.random(4, 2, gain=2.0)
    for name, value in one.parameters.items():
        factor = 2.0 if name[0] == "U" else 1.0
        np.testing.assert_allclose(two.parameters[name], factor * value)


def test_scales_of_random_weights() -> None:
    """Recurrent N(0, gain^2 / n), input N(0, 1 / m), zero biases: standard deviations to 5 of their errors."""
    cell = cells.Elman.random(300, 50, gain=1.5)
    assert cell.U.std() == pytest.approx(1.5 / math.sqrt(300), rel=5 / math.sqrt(2 * 300 * 300))
    assert cell.W.std() == pytest.approx(1 / math.sqrt(50), rel=5 / math.sqrt(2 * 300 * 50))
    assert (cell.b == 0).all()


def test_spectral_radius_tends_to_the_gain() -> None:
    """Circular law."""
    U = cells.Elman.random(400, 1, gain=1.5).U
    assert np.abs(np.linalg.eigvals(U)).max() == pytest.approx(1.5, rel=0.06)


@pytest.mark.parametrize(("hidden", "inputs"), [(0, 1), (-1, 1), (1, -1)])
def test_impossible_sizes_are_refused(kind: Any, hidden: int, inputs: int) -> None:
    with pytest.raises(cells.ParameterError, match="hidden >= 1 and inputs >= 0"):
        kind.random(hidden, inputs)
