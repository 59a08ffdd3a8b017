"""Overlaps of modes with inputs and readouts: cosines, whatever the units of modes and inputs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import cells
import dynsys
from dynsys.alignment import Alignment, mode_alignment


def points_of(U: np.ndarray, W: np.ndarray) -> dynsys.fixed_points.Points:
    """The origin of h' = U h + W x."""
    return dynsys.find_fixed_points(cells.Elman(U=U, W=W, activation="identity"), n_starts=8).points


@pytest.fixture(scope="module")
def gru() -> tuple[dynsys.fixed_points.Points, np.ndarray]:
    found = dynsys.find_fixed_points(cells.GRU.random(6, 3, gain=2.0, seed=0), n_starts=64)
    return found.points, np.random.default_rng(1).standard_normal((2, 6))


def test_decoupled_units_hear_their_own_input() -> None:
    """U = diag(.9, .5, .1), W = I: mode i hears input i and no other; so with the readout."""
    alignment = mode_alignment(points_of(np.diag([0.9, 0.5, 0.1]), np.eye(3)), np.eye(3))
    np.testing.assert_allclose(alignment.inputs[0], np.eye(3), atol=1e-14)
    assert alignment.outputs is not None
    np.testing.assert_allclose(alignment.outputs[0], np.eye(3), atol=1e-14)


def test_input_overlaps_belong_to_left_modes_and_output_overlaps_to_right_modes() -> None:
    """U = [[.5, 1], [0, .2]]: left modes (3, 10)/|.|, (0, 1); right modes (1, 0), (-10, 3)/|.|."""
    alignment = mode_alignment(points_of(np.array([[0.5, 1.0], [0.0, 0.2]]), np.eye(2)), np.eye(2))
    slanted = np.array([3.0, 10.0]) / np.hypot(3.0, 10.0)
    np.testing.assert_allclose(alignment.inputs[0], [slanted, [0.0, 1.0]], atol=1e-12)
    assert alignment.outputs is not None
    np.testing.assert_allclose(alignment.outputs[0], [[1.0, 0.0], slanted[::-1]], atol=1e-12)


def test_overlaps_lie_between_0_and_1(gru: tuple[dynsys.fixed_points.Points, np.ndarray]) -> None:
    alignment = mode_alignment(*gru)
    for values in (alignment.inputs, alignment.outputs):
        assert values is not None
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-12


def test_overlaps_do_not_depend_on_the_lengths_of_modes_inputs_or_readouts(
    gru: tuple[dynsys.fixed_points.Points, np.ndarray],
) -> None:
    points, V = gru
    longer = dataclasses.replace(
        points,
        left_modes=points.left_modes * (2 - 3j),
        right_modes=points.right_modes * 0.1j,
        input_jacobians=points.input_jacobians * [1.0, 5.0, 1e3],
    )
    one, other = mode_alignment(points, V), mode_alignment(longer, -7 * V)
    np.testing.assert_allclose(one.inputs, other.inputs, rtol=1e-12)
    np.testing.assert_allclose(one.outputs, other.outputs, rtol=1e-12)


def test_an_input_that_nothing_hears_has_overlap_0() -> None:
    alignment = mode_alignment(points_of(np.diag([0.5, 0.2]), np.array([[1.0, 0.0], [1.0, 0.0]])))
    np.testing.assert_array_equal(alignment.inputs[0][:, 1], 0.0)


def test_a_readout_of_some_rows_sees_these_rows_only() -> None:
    """A readout of unit 1 alone shows the mode of unit 1 and not that of unit 0."""
    points = points_of(np.diag([0.5, 0.2]), np.eye(2))
    alignment = mode_alignment(points, np.array([[2.0]]), slice(1, 2))
    assert alignment.outputs is not None
    np.testing.assert_allclose(alignment.outputs[0], [[0.0], [1.0]], atol=1e-14)


def test_without_a_readout_there_are_no_output_overlaps() -> None:
    assert mode_alignment(points_of(np.eye(2) / 2, np.eye(2))).outputs is None


def test_without_points_and_inputs_the_shapes_stand() -> None:
    found = dynsys.find_fixed_points(dynsys.as_map(lambda h: h + 1.0, state_size=3, box=(-1, 1)), n_starts=8)
    alignment: Alignment = mode_alignment(found.points, np.ones((2, 3)))
    assert alignment.inputs.shape == (0, 3, 0)
    assert alignment.outputs is not None
    assert alignment.outputs.shape == (0, 3, 2)


@pytest.mark.parametrize("n", [2, 3, 16, 96])
def test_chance_is_the_95th_percentile_of_a_random_direction(n: int) -> None:
    directions = np.random.default_rng(n).standard_normal((100_000, n))
    cosines = np.abs(directions[:, 0]) / np.linalg.norm(directions, axis=1)
    points = points_of(0.5 * np.eye(n), np.ones((n, 1)))
    assert mode_alignment(points).chance == pytest.approx(np.quantile(cosines, 0.95), rel=0.02)


def test_in_one_dimension_every_direction_is_the_same() -> None:
    assert mode_alignment(points_of(np.array([[0.5]]), np.array([[1.0]]))).chance == 1.0
