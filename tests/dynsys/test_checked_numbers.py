"""Numbers at the door: what is one is taken, what is none is the caller's mistake and said to be, by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.checked_numbers import finite_number, real_number, whole_number
from dynsys.errors import InputError

HENON = dynsys.as_map(lambda x: np.array([1 - 1.4 * x[0] ** 2 + 0.3 * x[1], x[0]]), 2, box=(-2, 2))


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3.0), np.array(3)])
def test_whole_numbers_of_any_kind_are_taken(value: Any) -> None:
    taken = whole_number("k", value, 1)
    assert taken == 3
    assert type(taken) is int


@pytest.mark.parametrize("value", [3.5, "3", None, True, np.nan, np.inf, 3j, [3], 0, 5])
def test_others_are_not(value: Any) -> None:
    with pytest.raises(InputError, match="`k` must be a whole number of steps from 1 to 4, got"):
        whole_number("k", value, 1, "of steps", most=4)


@pytest.mark.parametrize("value", ["3", None, 3j, [3], True, np.ones(2)])
def test_real_numbers_are_numbers(value: Any) -> None:
    with pytest.raises(InputError, match="`x` must be a number"):
        real_number("x", value)
    assert real_number("x", np.float32(0.5)) == 0.5
    with pytest.raises(InputError, match="`x` must be a finite number"):
        finite_number("x", np.inf)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("k", lambda: dynsys.covariant_vectors(HENON, k=1.5)),
        ("k", lambda: dynsys.covariant_vectors(HENON, k=3)),
        ("steps", lambda: dynsys.covariant_vectors(HENON, steps="a")),
        ("align", lambda: dynsys.covariant_vectors(HENON, align=-1)),
        ("step_duration", lambda: dynsys.find_fixed_points(HENON, step_duration="a")),
        ("step_duration", lambda: dynsys.gradient_spectrum(HENON, lags=[1], step_duration="a")),
        ("n_starts", lambda: dynsys.find_fixed_points(HENON, n_starts="a")),
        ("tol", lambda: dynsys.find_fixed_points(HENON, tol="a")),
        ("effort", lambda: dynsys.find_fixed_points(HENON, effort=None)),
        ("n_starts", lambda: dynsys.find_attractors(HENON, n_starts="a")),
        ("times", lambda: dynsys.iterate(HENON, "a")),
        ("state_size", lambda: dynsys.as_map(lambda x: x, "a")),
        ("max_boxes", lambda: dynsys.all_fixed_points(HENON, max_boxes=None)),
        ("task_lag", lambda: dynsys.remedies(cells.Elman.random(2, 1), np.ones((9, 1)), task_lag="a")),
        ("depth", lambda: dynsys.propagation(None, np.array([[0, 1], [1, 0]]), np.eye(2), "a")),
    ],
)
def test_public_functions_name_the_argument(name: str, call: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match=f"`{name}`"):
        call()
