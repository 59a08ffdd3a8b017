"""Bounds over inputs: no state in the box exceeds them, and where there is a closed form they are it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import AnalysisError, InputError, ShapeError
from dynsys.joint_spectral import joint_spectral_radius
from dynsys.norm_bounds import Box, _by_entries, _by_gates

GOLDEN = (1 + math.sqrt(5)) / 2


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# The joint spectral radius


def test_the_golden_ratio() -> None:
    """|A|_2 and rho(A B)^(1/2) are both the golden ratio for these two shears."""
    found = joint_spectral_radius([[[1, 1], [0, 1]], [[1, 0], [1, 1]]])
    assert found.lower == pytest.approx(GOLDEN, rel=1e-12)
    assert found.upper == pytest.approx(GOLDEN, rel=1e-12)
    assert sorted(found.product) == [0, 1]


def test_gripenbergs_example() -> None:
    """Published in section 4 of his paper: between 0.6596789 and 0.6596924."""
    A = np.array([[[3, 0], [1, 3]], [[3, -3], [0, -1]]]) / 5
    found = joint_spectral_radius(A, gap=1e-3, most=50_000)
    assert found.lower == pytest.approx(0.6596789, abs=1e-7)
    assert 0.6596789 < found.upper < 0.67
    product = np.eye(2)
    for i in found.product:
        product = product @ A[i]
    radius = np.abs(np.linalg.eigvals(product)).max() ** (1 / len(found.product))
    assert radius == pytest.approx(found.lower, rel=1e-10)


def test_of_one_matrix_it_is_the_spectral_radius() -> None:
    A = noise(5, 5)
    found = joint_spectral_radius([A])
    radius = np.abs(np.linalg.eigvals(A)).max()
    assert found.lower == pytest.approx(radius, rel=1e-10)
    assert found.lower <= found.upper


def test_of_rotations_it_is_one_and_of_scales_the_largest() -> None:
    Q = [np.linalg.qr(noise(4, 4, seed=s))[0] for s in range(3)]
    found = joint_spectral_radius(Q)
    assert found.lower == pytest.approx(1.0, rel=1e-12)
    assert found.upper == pytest.approx(1.0, rel=1e-12)
    assert joint_spectral_radius(1e-200 * np.array([np.diag([3.0, 1.0]), np.diag([1.0, 2.0])])).upper < 3.01e-200
    assert joint_spectral_radius(np.zeros((2, 3, 3))).upper == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_the_bracket_holds_what_long_products_do(seed: int) -> None:
    """Among random products of 200 factors none grows faster than the upper bound, and some word reaches the lower."""
    A = noise(3, 4, 4, seed=seed)
    found = joint_spectral_radius(A, gap=0.01)
    generator = np.random.default_rng(seed)
    for _ in range(20):
        v, log = np.ones(4), 0.0
        for i in generator.integers(0, 3, 200):
            v = A[i] @ v
            log += math.log(np.linalg.norm(v))
            v = v / np.linalg.norm(v)
        assert log / 200 < math.log(found.upper) + math.log(100) / 200
    with pytest.raises(ShapeError):
        joint_spectral_radius(A[0])
    with pytest.raises(InputError):
        joint_spectral_radius(A, gap=2.0)


# Bounds over boxes

CELLS: dict[str, Callable[[], Any]] = {
    "elman": lambda: cells.Elman.random(6, 2, gain=1.5, seed=1),
    "elman-sigmoid": lambda: cells.Elman.random(6, 2, gain=3.0, seed=1, activation="sigmoid"),
    "elman-softsign": lambda: cells.Elman.random(6, 2, seed=1, activation="softsign"),
    **{
        f"elman-{name}": lambda name=name: cells.Elman.random(5, 2, seed=2, activation=name)  # type: ignore[misc]
        for name in ("relu", "leaky_relu", "elu", "softplus", "hard_tanh", "hard_sigmoid", "hard_sigmoid_fifth")
    },
    "orthogonal": lambda: cells.OrthogonalRNN.random(5, 2, seed=1, gain=1.0),
    "orthogonal-sigmoid": lambda: replace(cells.OrthogonalRNN.random(5, 2, seed=1), activation="sigmoid", gain=2.0),
    "orthogonal-modrelu": lambda: replace(
        cells.OrthogonalRNN.random(5, 2, seed=1), activation="modrelu", b=-np.full((5, 1), 0.1), gain=0.9
    ),
    "lstm": lambda: cells.LSTM.random(5, 2, gain=1.2, seed=1),
    "gru": lambda: cells.GRU.random(5, 2, gain=1.5, seed=1),
    "gru-takes-new": lambda: cells.GRU.random(5, 2, gain=1.5, seed=2, update="takes-new"),
    "gru-reset-after": lambda: replace(cells.GRUResetAfter.random(5, 2, gain=1.5, seed=1), b_hn=0.4 * noise(5, 1)),
    "gru-hard-gates": lambda: cells.GRU.random(5, 2, seed=1, gate_activation="hard_sigmoid"),
    "stack": lambda: dynsys.stack(cells.GRU.random(4, 2, seed=0), cells.LSTM.random(3, 4, seed=1)),
}


@pytest.mark.parametrize("bias", [0.0, 3.0])
@pytest.mark.parametrize("name", CELLS)
def test_no_state_in_the_box_exceeds_any_bound(name: str, bias: float) -> None:
    f = dynsys.as_map(CELLS[name]())
    reach = f.box(np.full(2, bias - 1.0), np.full(2, bias + 1.0))
    n = f.state_size
    low, high = (-np.ones(n), np.ones(n)) if reach is None else (reach.low, reach.high)
    box = Box(low, high, np.full(2, bias - 1.0), np.full(2, bias + 1.0))
    generator = np.random.default_rng(0)
    # Uniform states and inputs, and corners of the box, where slopes and gates are extreme.
    x = np.concatenate([generator.uniform(low, high, (500, n)), np.where(generator.random((500, n)) < 0.5, low, high)])
    u = np.concatenate([generator.uniform(bias - 1, bias + 1, (500, 2)), bias + generator.choice([-1, 1], (500, 2))])
    worst = np.linalg.norm(f.jacobian(x, u), 2, axis=(1, 2)).max()
    bounds = [found for found in (_by_gates(f, box), _by_entries(f, box)) if found is not None]
    assert bounds
    for bound, _ in bounds:
        assert worst <= bound
    assert worst > 0.02 * min(bound for bound, _ in bounds)  # neither is it a bound of nothing


@pytest.mark.parametrize("n", [1, 4])
def test_linear_networks_are_bounded_by_what_they_do(n: int) -> None:
    """h' = U h + W x: every Jacobian is U, with its norm, its radius and its products."""
    U = 0.9 * noise(n, n)
    found = dynsys.worst_case(cells.Elman(U=U, W=noise(n, 2), activation="identity"), low=-0.1, high=0.1, lags=(1, 3))
    s, r = np.linalg.norm(U, 2), np.abs(np.linalg.eigvals(U)).max()
    assert found.bound == pytest.approx(s, rel=1e-12)
    assert found.largest_norm == pytest.approx(s, rel=1e-12)
    assert found.largest_norm <= found.bound
    np.testing.assert_allclose(found.norms, [s, np.linalg.norm(U @ U @ U, 2) ** (1 / 3)], rtol=1e-10)
    np.testing.assert_allclose(found.radii, r, rtol=1e-10)
    assert found.joint.lower == pytest.approx(r, rel=1e-8)
    assert found.sigma_1 == pytest.approx(s, rel=1e-12)


def test_an_orthogonal_network_stretches_nothing() -> None:
    Q = np.linalg.qr(noise(5, 5))[0]
    found = dynsys.worst_case(cells.Elman(U=Q, W=noise(5, 1), activation="identity"), low=-1, high=1)
    for value in (found.bound, found.scaled_bound, found.largest_norm, *found.norms, *found.radii, found.joint.lower):
        assert value == pytest.approx(1.0, rel=1e-10)
    assert found.vanishing == "not guaranteed"


@pytest.mark.parametrize("n", [4, 16])
@pytest.mark.parametrize(("activation", "gain", "bias"), [("tanh", 1, 0), ("tanh", 0.7, 0), ("modrelu", 1, -0.1)])
def test_orthogonal_cells_stretch_by_their_gain_at_most(n: int, activation: str, gain: float, bias: float) -> None:
    """|diag(s') gain U|_2 <= gain, whatever the states; and no smaller box has a larger bound."""
    cell = replace(cells.OrthogonalRNN.random(n, 2, seed=1), activation=activation, gain=gain, b=np.full((n, 1), bias))
    found = dynsys.worst_case(cell, low=-1, high=1)
    assert found.bound == pytest.approx(gain, rel=1e-10)
    assert found.largest_norm <= found.visited_bound <= found.bound
    assert found.vanishing == ("guaranteed" if gain < 1 else "not guaranteed")


def test_modrelu_that_jumps_has_no_such_bound() -> None:
    """b > 0: h' = sign(a) (|a| + b) parts what is near a = 0 by 2 b, however near it is."""
    cell = replace(cells.OrthogonalRNN.random(4, 2, seed=1), activation="modrelu", b=np.full((4, 1), 0.1))
    found = dynsys.worst_case(cell, low=-1, high=1)
    assert "modReLU" not in found.bound_method


@pytest.mark.parametrize("name", CELLS)
def test_the_bound_over_visited_states_is_no_larger(name: str) -> None:
    """They are some of the reachable ones; from starts outside these it may be."""
    found = dynsys.worst_case(CELLS[name](), low=-1.0, high=1.0)
    assert found.largest_norm <= found.visited_bound <= found.bound


def test_starts_outside_the_reachable_states_have_their_own_bound() -> None:
    """h' = sigmoid(4 h - 20), h in (0, 1) after a step: slope 4 sech^2(..)/4 there, and 1 at h = 5."""
    cell = cells.Elman(U=[[4.0]], W=[[0.0]], b=[-20.0], activation="sigmoid")
    found = dynsys.worst_case(cell, low=0, high=0, start=[5.0])
    assert found.bound < 1e-5
    assert found.largest_norm == pytest.approx(1.0, rel=1e-12)
    assert found.visited_bound >= found.largest_norm


@pytest.mark.parametrize(("activation", "limit"), [("tanh", 1.0), ("sigmoid", 4.0)])
def test_pascanus_condition(activation: str, limit: float) -> None:
    """sigma_1(U) below 1 for tanh, below 4 for the logistic function: every gradient vanishes."""
    Q = np.linalg.qr(noise(6, 6))[0]
    below = dynsys.worst_case(cells.Elman(U=0.99 * limit * Q, W=noise(6, 1), activation=activation), low=-1, high=1)
    assert below.vanishing == "guaranteed"
    assert below.sigma_1 is not None
    assert below.steepest is not None
    assert below.sigma_1 < 1 / below.steepest == limit
    assert below.largest_norm <= below.bound < 1
    above = dynsys.worst_case(cells.Elman(U=1.05 * limit * Q, W=noise(6, 1), activation=activation), low=-1, high=1)
    assert above.vanishing == "not guaranteed"


def test_saturating_inputs_make_the_bound_small() -> None:
    """One unit, x between 3 and 4: |h'| slopes are at most u sech^2(3 - u)."""
    u = 0.8
    found = dynsys.worst_case(cells.Elman(U=[[u]], W=[[1.0]]), low=3, high=4)
    assert found.bound == pytest.approx(u / math.cosh(3 - u) ** 2, rel=1e-12)
    assert found.visited_bound < found.bound


def test_a_weighted_norm_sees_through_a_shear() -> None:
    """U far from normal: steps may stretch tenfold, products of many shrink, and the weighted bound proves it."""
    U = np.array([[0.5, 10.0], [0.001, 0.5]])
    found = dynsys.worst_case(cells.Elman(U=U, W=[[1.0], [0.5]]), low=-0.1, high=0.1)
    assert found.bound > 10
    assert found.scaled_bound == pytest.approx(0.6, rel=1e-8)  # rho(U) = 0.5 + sqrt(0.01), met by the Perron weights
    assert found.vanishing == "guaranteed"


def test_unbounded_networks_and_given_sequences() -> None:
    cell = cells.Elman(U=0.5 * np.eye(3), W=np.ones((3, 1)), activation="relu")
    found = dynsys.worst_case(cell, noise(30, 2, 1))
    assert found.bound == pytest.approx(0.5)
    assert "bound none" in found.box_origin
    assert found.drive.startswith("measured along 2 given")
    assert found.to_dict()["joint"].upper >= found.to_dict()["joint"].lower
    assert "vanishing gradients for all inputs: guaranteed" in str(found)
    open_ = dynsys.worst_case(dynsys.as_map(lambda h: 0.5 * h * h, state_size=1), np.zeros((5, 0)), start=[0.1])
    assert open_.bound == math.inf
    assert open_.vanishing == "not guaranteed"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "which inputs"),
        ({"low": 0.0}, "together"),
        ({"low": 1.0, "high": 0.0}, "nowhere above"),
        ({"low": [0.0, 0.0, 0.0], "high": 1.0}, "length 2"),
        ({"inputs": 2 * np.ones((4, 2)), "low": 0.0, "high": 1.0}, "leave the box"),
        ({"low": 0.0, "high": 1.0, "lags": (5, 2)}, "lags"),
        ({"low": 0.0, "high": 1.0, "lags": (1.5, 5)}, "lags"),
        ({"low": 0.0, "high": 1.0, "lags": "abc"}, "lags"),
        ({"inputs": np.ones((4, 2)), "lags": (5,)}, "within the 4 steps"),
        ({"inputs": np.ones((0, 2))}, "T = 0"),
        ({"inputs": np.ones((0, 2)), "low": 0.0, "high": 1.0}, "T = 0"),
    ],
)
def test_what_is_wrong_is_said(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        dynsys.worst_case(cells.GRU.random(3, 2), **settings)


def test_an_orbit_that_runs_off_is_refused() -> None:
    cell = cells.Elman(U=[[9.0]], W=[[1.0]], activation="identity")
    with pytest.raises(AnalysisError, match="infinity"):
        dynsys.worst_case(cell, np.ones((400, 1)))


def test_maps_that_change_with_time_are_bounded_at_every_step() -> None:
    """The slow unit, |U| = 3, moves at every second step only: the bound is about that step too."""
    f = dynsys.clockwork(cells.Elman(U=np.diag([0.5, 3.0]), W=np.ones((2, 1)), activation="identity"), [1, 2])
    found = dynsys.worst_case(f, np.zeros((6, 1)), start=[0.1, 0.1], lags=(1,))
    assert found.largest_norm == pytest.approx(3.0)
    assert found.bound == pytest.approx(3.0)
    turned = dynsys.clockwork(cells.Elman(U=np.diag([0.5, 0.9]), W=np.ones((2, 1)), activation="identity"), [1, 2])
    resting = dynsys.worst_case(turned, np.zeros((6, 1)), lags=(1,))
    assert resting.bound == pytest.approx(1.0)  # at the steps it rests, the slow unit keeps its state
    assert resting.vanishing == "not guaranteed"
