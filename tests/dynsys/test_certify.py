"""Certificates against exact answers; and what must never be proven is not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError, ShapeError
from dynsys.proofs.spectrum import discs, index
from dynsys.readings import arb_arrays
from dynsys.readings.intervals import Intervals

needs_flint = pytest.mark.skipif(not arb_arrays.available(), reason="python-flint")
ARITHMETICS = ["floats", pytest.param("balls", marks=needs_flint)]


def linear(U: Any, b: Any) -> Any:
    return cells.Elman(U=np.asarray(U, dtype=float), b=np.asarray(b, dtype=float), activation="identity")


def one_unit(w: float, b: float) -> Any:
    return cells.Elman(U=np.array([[w]]), b=np.array([b]))


def logistic(r: float) -> Any:
    return dynsys.as_map(lambda x: r * x * (1 - x), 1)


# ---------------------------------------------------------------------------------------------- existence


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_the_true_point_lies_in_its_enclosure(arithmetic: str) -> None:
    """h = tanh(2 h + b): the root to 50 digits, by bisection in mpmath."""
    f = one_unit(2.0, 0.25)
    found = dynsys.find_fixed_points(f)
    proofs = dynsys.certify(f, found, arithmetic=arithmetic)
    assert proofs.status == ("proven",) * 3
    with mpmath.workdps(50):
        for x, low, high, radius in zip(found.states, proofs.low, proofs.high, proofs.radius, strict=True):
            root = mpmath.findroot(lambda h: mpmath.tanh(2 * h + mpmath.mpf(0.25)) - h, mpmath.mpf(float(x[0])))
            assert mpmath.mpf(float(low[0])) <= root <= mpmath.mpf(float(high[0]))
            assert abs(root - mpmath.mpf(float(x[0]))) <= mpmath.mpf(float(radius))
            slope = 2 * (1 - root**2)
            k = int(np.flatnonzero(found.states[:, 0] == x[0])[0])
            assert abs(slope - mpmath.mpf(float(proofs.multipliers[k, 0].real))) <= proofs.multiplier_radii[k, 0]
    assert proofs.radius.max() < 1e-13
    assert proofs.multiplier_radii.max() < 1e-12


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("distance", [1e-9, 1e-6, 1e-3, 0.1])
def test_a_perturbed_point_is_refuted_or_undecided(distance: float, arithmetic: str) -> None:
    f = cells.GRU.random(6, 2, gain=2.0, seed=1)
    x = dynsys.find_fixed_points(f).states[0]
    moved = x + distance * np.random.default_rng(0).choice([-1.0, 1.0], 6)
    proofs = dynsys.certify(f, moved, arithmetic=arithmetic)
    assert proofs.status[0] in ("refuted", "undecided")
    assert proofs.stability == ("undecided",)
    if distance < 1e-2:
        assert proofs.status == ("refuted",)
    # The claim is the caller's to make: within ten times the distance there is one.
    near = dynsys.certify(f, moved, claim=10 * distance, arithmetic=arithmetic)
    if distance < 1e-2:
        assert near.status == ("proven",)
        assert distance * (1 - 1e-6) <= near.radius[0] <= 1.5 * distance
    assert near.status[0] != "refuted"


def test_the_ball_of_uniqueness_holds_one_point_only() -> None:
    """Other fixed points, known exactly, lie outside of it; for decoupled units it nearly reaches half way."""
    f = cells.Elman(U=np.diag([2.0, 2.0]))
    found = dynsys.find_fixed_points(f)
    proofs = dynsys.certify(f, found)
    gaps = np.abs(found.states[:, None] - found.states).max(axis=2) + 10 * np.eye(9)
    assert (proofs.uniqueness < gaps.min(axis=1)).all()
    assert proofs.uniqueness.min() > 0.05


def test_small_residuals_are_not_proof() -> None:
    """A gate of 1 - 1e-9 makes |F(x) - x| tiny everywhere; the fixed point has candidate = h all the same."""
    gate = np.log(1e9)
    f = cells.GRU(
        U_z=np.zeros((1, 1)), U_r=np.zeros((1, 1)), U_h=np.array([[0.5]]), b_z=np.array([gate]), b_h=np.array([0.2])
    )
    for wrong in (0.5, 0.345, -0.2):
        assert np.abs(dynsys.as_map(f).step([wrong]) - wrong)[0] < 1e-9
        assert dynsys.certify(f, [wrong]).status[0] != "proven"


def test_states_that_rounding_alone_makes_fixed_are_not_proven() -> None:
    """Far outside the cube the update gate rounds to 1 and F(x) = x in floats; no real solution is there."""
    f = cells.GRU(U_z=np.array([[1.0]]), U_r=np.zeros((1, 1)), U_h=np.array([[0.5]]))
    x = np.array([60.0])
    assert dynsys.as_map(f).step(x)[0] == x[0]
    for arithmetic in ("floats", "auto"):
        assert dynsys.certify(f, x, arithmetic=arithmetic).status[0] != "proven"


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (linear(np.eye(2), [0, 0]), [0.3, 0.4]),  # every state is fixed
        (linear([[1.0, 0.0], [0.0, 0.5]], [0, 0]), [0.7, 0.0]),  # a line of fixed points
        (one_unit(1.0, 0.0), [0.0]),  # the pitchfork itself
        (one_unit(2.0, -(np.sqrt(2) - np.arctanh(np.sqrt(0.5)))), [np.sqrt(0.5)]),  # the fold, to rounding
        (logistic(1.0), [0.0]),
    ],
)
def test_singular_points_are_undecided(f: Any, x: list[float]) -> None:
    proofs = dynsys.certify(f, x)
    assert proofs.status == ("undecided",)
    assert proofs.n_unstable.tolist() == [-1]
    assert "singular" in proofs.reasons[0] or "no contraction" in proofs.reasons[0]
    assert str(proofs)


def test_equations_without_intervals_are_undecided() -> None:
    f = dynsys.as_map(lambda x: np.cumsum(0.3 * np.sin(x), axis=0), 2)
    proofs = dynsys.certify(f, np.zeros(2))
    assert proofs.status == ("undecided",)
    assert "cumsum" in proofs.reasons[0]


def test_states_beyond_numbers_are_undecided() -> None:
    f = dynsys.as_map(np.exp, 1)
    assert dynsys.certify(f, [800.0]).status[0] != "proven"


@needs_flint
def test_balls_decide_what_floats_cannot() -> None:
    """Two roots 2e-10 apart at a fold: rounding of x + ... alone moves them by more in float64."""
    f = dynsys.as_map(lambda x: x + (x - 0.25) * (x - 0.25) - 1e-20, 1)
    x = [0.25 + 1e-10]
    assert dynsys.certify(f, x, arithmetic="floats").status == ("undecided",)
    proofs = dynsys.certify(f, x)
    assert proofs.status == ("proven",)
    assert "Arb" in proofs.arithmetic[0]
    assert proofs.radius[0] < 1e-16
    assert 1e-12 < proofs.uniqueness[0] < 2e-10


def test_a_wide_map_is_proven_in_floats() -> None:
    f = cells.Elman.random(150, 0, gain=0.8, seed=0)
    proofs = dynsys.certify(f, np.zeros(150), arithmetic="floats")
    assert (proofs.status, proofs.stability) == (("proven",), ("stable",))


# --------------------------------------------------------------------------------------------- multipliers


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("unstable", range(5))
def test_the_index_of_linear_maps_is_that_of_the_diagonal(unstable: int, arithmetic: str) -> None:
    """Triangular matrices have their eigenvalues on the diagonal; a permutation hides them."""
    generator = np.random.default_rng(unstable)
    signs = generator.choice([-1, 1], unstable)
    values = np.concatenate([generator.uniform(1.1, 3, unstable) * signs, [0.9, 0.0, -0.7]])
    order = generator.permutation(len(values))
    U = (np.triu(generator.standard_normal((len(values),) * 2), 1) + np.diag(values))[np.ix_(order, order)]
    b = generator.standard_normal(len(values))
    x = np.linalg.solve(np.eye(len(values)) - U, b)
    proofs = dynsys.certify(linear(U, b), x, arithmetic=arithmetic)
    assert proofs.status == ("proven",)
    assert proofs.n_unstable.tolist() == [unstable]
    for value in values:
        assert (np.abs(proofs.multipliers[0] - value) <= proofs.multiplier_radii[0]).any()


@pytest.mark.parametrize("n", [2, 5, 12])
@pytest.mark.parametrize(("value", "unstable"), [(0.5, 0), (0.0, 0), (1.5, 1)])
def test_defective_matrices_have_an_index_too(value: float, unstable: int, n: int) -> None:
    """A Jordan block has no eigenbasis: the discs are useless, Stein's equation decides."""
    J = Intervals.point(value * np.eye(n) + np.diag(np.ones(n - 1), 1))
    assert index(J, discs(J)) == unstable * n


def test_rotations_are_undecided_and_still_exist() -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    proofs = dynsys.certify(linear([[c, -s], [s, c]], [0.0, 0.0]), [0.0, 0.0])
    assert (proofs.status, proofs.stability) == (("proven",), ("undecided",))
    assert "unit circle" in proofs.reasons[0]
    just = dynsys.certify(linear(0.999999 * np.array([[c, -s], [s, c]]), [0.0, 0.0]), [0.0, 0.0])
    assert just.stability == ("stable",)


def test_discs_contain_the_spectrum_of_every_matrix() -> None:
    generator = np.random.default_rng(4)
    middle = generator.standard_normal((8, 8)) / 2
    for width in (0.0, 1e-9, 1e-3):
        J = Intervals(middle - width, middle + width)
        found = discs(J)
        for _ in range(20):
            values = np.linalg.eigvals(middle + width * generator.uniform(-1, 1, (8, 8)))
            distance = np.abs(values[:, None] - found.centres)
            assert (distance <= found.radii + 1e-13).any(axis=1).all()
        assert found.radii.max() < 1e-12 + 500 * width


def test_a_matrix_that_straddles_the_circle_has_no_index() -> None:
    J = Intervals(np.array([[0.99]]), np.array([[1.01]]))
    assert index(J, discs(J)) is None
    wide = Intervals(np.full((2, 2), -np.inf), np.full((2, 2), np.inf))
    assert index(wide, discs(wide)) is None


def test_points_on_a_kink_exist_but_have_no_multipliers() -> None:
    f = cells.Elman(U=np.array([[0.4, -0.3], [0.2, 0.5]]), activation="relu")
    proofs = dynsys.certify(f, [0.0, 0.0])
    assert (proofs.status, proofs.stability) == (("proven",), ("undecided",))
    assert "kink" in proofs.reasons[0]
    away = cells.Elman(U=np.array([[0.4, -0.3], [0.2, 0.5]]), b=np.array([1.0, -2.0]), activation="relu")
    proofs = dynsys.certify(away, dynsys.find_fixed_points(away, n_starts=64))
    assert (proofs.status, proofs.stability) == (("proven",), ("stable",))


def test_the_trained_flip_flop_network(flipflop: dict[str, np.ndarray]) -> None:
    """27 points as a cube has corners (index 0), edges (1), faces (2) and a middle (3)."""
    f = cells.GRUResetAfter(**flipflop)
    found = dynsys.find_fixed_points(f)
    proofs = dynsys.certify(f, found)
    assert proofs.counts == {"proven": 27, "refuted": 0, "undecided": 0}
    assert np.bincount(proofs.n_unstable).tolist() == [8, 12, 6, 1]
    for i, j in itertools.combinations(range(27), 2):  # no point counted twice
        assert ((proofs.low[i] > proofs.high[j]) | (proofs.high[i] < proofs.low[j])).any()


# -------------------------------------------------------------------------------------------------- cycles


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_the_two_cycle_of_the_logistic_map(arithmetic: str) -> None:
    """At r = 3.3 its points solve r^2 x^2 - r (r + 1) x + r + 1 = 0; the multiplier is 4 + 2 r - r^2 = -0.29."""
    r = 3.3
    root = np.sqrt((r - 3) * (r + 1))
    orbit = np.array([[(r + 1 - root) / (2 * r)], [(r + 1 + root) / (2 * r)]])
    proofs = dynsys.certify(logistic(r), orbit[np.newaxis], arithmetic=arithmetic)
    assert (proofs.status, proofs.stability, proofs.period) == (("proven",), ("stable",), 2)
    assert abs(proofs.multipliers[0, 0] - (4 + 2 * r - r**2)) <= proofs.multiplier_radii[0, 0] + 1e-14
    assert proofs.multiplier_radii[0, 0] < 1e-12


def test_a_fixed_point_twice_is_no_cycle() -> None:
    x = 1 - 1 / 3.3
    proofs = dynsys.certify(logistic(3.3), np.full((1, 2, 1), x))
    assert proofs.status == ("undecided",)
    assert "minimal period" in proofs.reasons[0]


def test_cycles_of_the_henon_map() -> None:
    """Multipliers of a cycle of period p multiply to (-0.3)^p."""
    henon = dynsys.as_map(lambda x: np.array([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]]), 2, box=(-3, 3))
    for period, count in ((2, 1), (4, 1), (6, 2)):
        cycles = dynsys.find_cycles(henon, period, n_starts=256)
        proofs = dynsys.certify(henon, cycles)
        assert proofs.counts["proven"] == count == len(cycles)
        np.testing.assert_allclose(proofs.multipliers.prod(axis=1), (-0.3) ** period, rtol=1e-8)
        assert (proofs.n_unstable == cycles.n_unstable).all()


# ---------------------------------------------------------------------------------------------------- door


def test_inputs_are_taken_from_the_search() -> None:
    f = cells.Elman.random(3, 2, gain=1.5, seed=0)
    found = dynsys.find_fixed_points(f, [0.5, -0.2])
    assert set(dynsys.certify(f, found).status) == {"proven"}
    assert set(dynsys.certify(f, found, [0.5, 0.2]).status) == {"refuted"}
    np.testing.assert_array_equal(dynsys.certify(f, found).input, [0.5, -0.2])


def test_an_empty_list_has_no_certificates() -> None:
    f = cells.Elman.random(3, 0)
    proofs = dynsys.certify(f, np.zeros((0, 3)))
    assert len(proofs) == 0
    assert "nothing to prove" in str(proofs)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda f: dynsys.certify(f, np.zeros(4)), ShapeError, "got shape"),
        (lambda f: dynsys.certify(f, np.full(3, np.nan)), InputError, "not finite"),
        (lambda f: dynsys.certify(f, np.zeros(3), claim=0.0), InputError, "positive"),
        (lambda f: dynsys.certify(f, np.zeros(3), arithmetic="exact"), InputError, "one of"),
        (lambda f: dynsys.certify(f, np.zeros(3), np.zeros((2, 0))), InputError, "constant input"),
        (lambda f: dynsys.certify(f, "no"), InputError, "array of real numbers"),
    ],
)
def test_mistakes_are_named(call: Callable[[Any], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(cells.Elman.random(3, 0))
