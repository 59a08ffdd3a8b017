"""Fixed points against algebra, published values, and networks whose portrait is known."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError
from dynsys.homotopy import from_states
from dynsys.root_search import polish

EXAMPLES = Path(__file__).parents[2] / "examples"
PITCHFORK = {1.5: (0.8585596366, 0.3943130255), 2.0: (0.9575040241, 0.1663720878), 3.0: (0.9949015285, 0.0305128460)}


def unit(w: float, b: float = 0.0) -> cells.Elman:
    """h' = tanh(w h + b)."""
    return cells.Elman(U=[[w]], b=[b])


def henon(state: Any) -> Any:
    x, y = state
    return [1 - 1.4 * x**2 + y, 0.3 * x]


def as_set(states: np.ndarray) -> np.ndarray:
    """The states in one order, so that two lists can be compared."""
    return states[np.lexsort(states.round(6).T)]


def test_contracting_line_has_one_attractor() -> None:
    """h' = 0.8 h + 1: h* = 1 / (1 - 0.8) = 5, multiplier 0.8."""
    result = dynsys.find_fixed_points(cells.Elman(U=[[0.8]], b=[1.0], activation="identity"))
    np.testing.assert_allclose(result.states, [[5.0]], rtol=1e-12)
    np.testing.assert_allclose(result.multipliers, [[0.8]], rtol=1e-14)
    assert result.kinds == ("attractor",)


def test_expanding_line_has_one_repeller() -> None:
    """h' = 1.4 h + 1: h* = 1 / (1 - 1.4) = -2.5, multiplier 1.4; no orbit stays near it, Newton finds it."""
    result = dynsys.find_fixed_points(cells.Elman(U=[[1.4]], b=[1.0], activation="identity"))
    np.testing.assert_allclose(result.states, [[-2.5]], rtol=1e-12)
    assert result.kinds == ("repeller",)
    assert result.n_unstable.tolist() == [1]


@pytest.mark.parametrize(("w", "expected"), PITCHFORK.items())
def test_supercritical_pitchfork_of_one_tanh_unit(w: float, expected: tuple[float, float]) -> None:
    """Beyond w = 1 there are 0 and +-h*, with multiplier w (1 - h*^2) at +-h*."""
    state, multiplier = expected
    result = dynsys.find_fixed_points(unit(w))
    np.testing.assert_allclose(np.sort(result.states[:, 0]), [-state, 0, state], atol=1e-10)
    np.testing.assert_allclose(result.multipliers[:, 0], [multiplier, multiplier, w], atol=1e-10)
    assert result.kinds == ("attractor", "attractor", "repeller")


@pytest.mark.parametrize(("w", "fold"), [(1.5, 0.2075464553), (2.0, 0.5328399754), (3.0, 1.3032739080)])
def test_two_fixed_points_vanish_at_the_fold(w: float, fold: float) -> None:
    """h' = tanh(w h + b) has three fixed points for |b| < w h* - artanh h*, h* = sqrt(1 - 1/w), and one beyond."""
    assert fold == pytest.approx(w * math.sqrt(1 - 1 / w) - math.atanh(math.sqrt(1 - 1 / w)), abs=1e-9)
    for sign in (1, -1):
        assert len(dynsys.find_fixed_points(unit(w, sign * (fold - 1e-5)))) == 3
        assert len(dynsys.find_fixed_points(unit(w, sign * (fold + 1e-5)))) == 1


@pytest.mark.parametrize(("w", "flip"), [(-1.5, 1.5245043522), (-2.0, 2.2955871494)])
def test_multiplier_passes_minus_one_at_the_flip(w: float, flip: float) -> None:
    """|b_PD| = artanh h* + |w| h*, h* = sqrt(1 - 1/|w|): repelling inside, attracting outside."""
    inside, outside = (dynsys.find_fixed_points(unit(w, flip + shift)) for shift in (-1e-4, 1e-4))
    assert inside.kinds == ("repeller",)
    assert outside.kinds == ("attractor",)
    at = dynsys.find_fixed_points(unit(w, flip))
    np.testing.assert_allclose(at.multipliers, [[-1.0]], atol=1e-9)


def test_at_the_bifurcation_nothing_is_claimed() -> None:
    """w = -1: the multiplier of 0 is exactly -1; its stability is not decided by the linear part."""
    result = dynsys.find_fixed_points(unit(-1.0))
    assert result.kinds == ("undecided",)
    assert result.undecided.tolist() == [1]


def test_henon_has_its_two_fixed_points() -> None:
    """x = (b - 1 +- sqrt((1-b)^2 + 4a)) / 2a at a = 1.4, b = 0.3; both saddles, multipliers of known value."""
    result = dynsys.find_fixed_points(dynsys.as_map(henon, 2))
    states = np.array([[-1.1313544770895048, -0.3394063431268514], [0.6313544770895047, 0.1894063431268514]])
    np.testing.assert_allclose(as_set(result.states), states, atol=1e-13)
    by_x = result.multipliers[np.argsort(result.states[:, 0])]
    wanted = [[3.259822097891, -0.092029562041], [-1.923738858153, 0.155946322303]]
    np.testing.assert_allclose(by_x, wanted, atol=1e-11)
    assert result.kinds == ("saddle", "saddle")


@pytest.mark.parametrize("n", [3, 6])
def test_decoupled_units_have_every_combination(n: int) -> None:
    """tanh(2 h) in each of n units: 3^n points, those with k zeros have k unstable directions. Default settings."""
    result = dynsys.find_fixed_points(cells.Elman(U=2.0 * np.eye(n)))
    h = 0.9575040240772687
    wanted = np.array(list(itertools.product([-h, 0.0, h], repeat=n)))
    np.testing.assert_allclose(as_set(result.states), as_set(wanted), atol=1e-10)
    np.testing.assert_array_equal(result.n_unstable, (np.abs(result.states) < 0.5).sum(axis=1))
    assert result.completeness.index_passed is True


@pytest.mark.parametrize(("b", "count"), [((0.0, 0.0), 9), ((0.0, 0.54), 3), ((0.0, -0.54), 3), ((0.54, -0.6), 1)])
def test_two_tanh_units_lose_points_at_the_folds(b: tuple[float, float], count: int) -> None:
    """diag(2, 2): 9 fixed points without bias, 3 with one bias beyond 0.53284, 1 with both."""
    assert len(dynsys.find_fixed_points(cells.Elman(U=2.0 * np.eye(2), b=b))) == count


@pytest.mark.parametrize("update", ["keeps-old", "takes-new"])
@pytest.mark.parametrize("kind", [cells.GRU, cells.GRUResetAfter])
def test_two_unit_gru_with_open_gates_has_nine_points(kind: Any, update: str) -> None:
    """U_z = U_r = 0: h' = h/2 + tanh(1.5 h)/2. Fixed points of tanh(1.5 h), 4 stable, 4 saddles, 1 source."""
    zero = np.zeros((2, 2))
    result = dynsys.find_fixed_points(kind(U_z=zero, U_r=zero, U_h=3.0 * np.eye(2), update=update))
    h = 0.8585596366
    wanted = np.array(list(itertools.product([-h, 0.0, h], repeat=2)))
    np.testing.assert_allclose(as_set(result.states), as_set(wanted), atol=1e-9)
    assert result.n_unstable.tolist() == [0] * 4 + [1] * 4 + [2]
    np.testing.assert_allclose(result.multipliers[:4], 0.6971565127, atol=1e-9)
    np.testing.assert_allclose(result.multipliers[4:8], [[1.25, 0.6971565127]] * 4, atol=1e-9)
    np.testing.assert_allclose(result.multipliers[8], 1.25, atol=1e-9)


def test_rank_one_network_lives_on_a_line() -> None:
    """h' = tanh(a (a.h)): fixed points solve s = a . tanh(a s) with s = a.h; three, by one-dimensional roots."""
    a = np.array([0.9, -0.7, 0.8])
    result = dynsys.find_fixed_points(cells.Elman(U=np.outer(a, a)))
    with mpmath.workdps(30):
        s = float(mpmath.findroot(lambda s: mpmath.fsum(x * mpmath.tanh(x * s) for x in a) - s, 1.2))
    wanted = np.stack([-np.tanh(a * s), np.zeros(3), np.tanh(a * s)])
    np.testing.assert_allclose(as_set(result.states), as_set(wanted), atol=1e-12)
    np.testing.assert_allclose(np.abs(result.multipliers[:, 1:]), 0, atol=1e-12)


def test_constant_input_moves_the_points() -> None:
    """W x acts as a bias; None is zero."""
    cell = cells.Elman(U=[[2.0]], W=[[1.0]])
    assert len(dynsys.find_fixed_points(cell)) == 3
    driven = dynsys.find_fixed_points(cell, input=[0.6])
    np.testing.assert_allclose(driven.states, dynsys.find_fixed_points(unit(2.0, 0.6)).states, atol=1e-12)
    np.testing.assert_allclose(driven.input, [0.6])
    np.testing.assert_allclose(driven.input_jacobians[0], 1 - driven.states[0] ** 2 * np.ones((1, 1)), atol=1e-12)


def test_a_time_varying_input_is_refused_and_the_way_out_works() -> None:
    cell = cells.Elman(U=[[0.5]], W=[[1.0]])
    period = np.array([[1.0], [-0.5]])
    with pytest.raises(InputError, match="iterate"):
        dynsys.find_fixed_points(cell, input=period)
    result = dynsys.find_fixed_points(dynsys.iterate(dynsys.drive(cell, period), 2))
    orbit = dynsys.simulate(cell, result.states[0], inputs=np.tile(period, (3, 1)))
    np.testing.assert_allclose(orbit[::2], np.broadcast_to(result.states[0], (4, 1)), atol=1e-12)


# Networks whose points can be counted by other means


def relu_fixed_points(U: np.ndarray, b: np.ndarray) -> np.ndarray:
    """All fixed points of relu(U h + b): the linear equation of each of the 2^n activity patterns, where it fits."""
    found = []
    for pattern in itertools.product([0.0, 1.0], repeat=len(b)):
        active = np.diag(pattern)
        x = np.linalg.solve(np.eye(len(b)) - active @ U, active @ b)
        if ((U @ x + b > 0) == np.array(pattern, dtype=bool)).all():
            found.append(x)
    return np.array(found).reshape(-1, len(b))


@pytest.mark.parametrize("seed", [4, 9, 14, 21])
def test_relu_networks_by_enumeration(seed: int) -> None:
    """Kinks, no box: the points are those of the 2^6 linear pieces, and the index test is not applied."""
    generator = np.random.default_rng(seed)
    U, b = 1.6 * generator.standard_normal((6, 6)) / math.sqrt(6), generator.standard_normal(6)
    result = dynsys.find_fixed_points(cells.Elman(U=U, b=b, activation="relu"))
    np.testing.assert_allclose(as_set(result.states), as_set(relu_fixed_points(U, b)), atol=1e-9)
    assert result.completeness.index_passed is None


@pytest.mark.parametrize("far", [30.0, 1e4])
def test_points_far_outside_the_guessed_box_are_reached(far: float) -> None:
    """h' = 1.4 h + b repels: no orbit stays, and the only point lies at -b / 0.4."""
    result = dynsys.find_fixed_points(cells.Elman(U=[[1.4]], b=[far], activation="identity"))
    np.testing.assert_allclose(result.states, [[-far / 0.4]], rtol=1e-12)


def test_two_points_next_to_a_fold_are_two() -> None:
    """x' = x + x^2 - e^2: fixed points +-e, 2e apart, with multipliers 1 +- 2e."""
    for e in (1e-3, 1e-4, 1e-5):
        f = dynsys.as_map(lambda x, e=e: x + x**2 - e**2, 1, box=(-1, 1))
        result = dynsys.find_fixed_points(f, n_starts=64)
        np.testing.assert_allclose(np.sort(result.states[:, 0]), [-e, e], rtol=1e-5)


def test_a_map_that_is_not_finite_in_places() -> None:
    """x' = sqrt(x) + 0.1 on [-1, 2]: half the starts are outside its domain; the one point is (sqrt(1.4) + 1)^2 / 4."""

    def step(x: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return np.sqrt(x) + 0.1

    f = dynsys.as_map(step, 1, box=(-1, 2))
    result = dynsys.find_fixed_points(f, n_starts=64)
    np.testing.assert_allclose(result.states, [[(math.sqrt(1.4) + 1) ** 2 / 4]], atol=1e-12)


def test_a_map_that_is_nowhere_finite_has_no_points() -> None:
    f = dynsys.as_map(lambda x: x * np.nan, 2, box=(-1, 1))
    result = dynsys.find_fixed_points(f, n_starts=32)
    assert (len(result), len(result.slow)) == (0, 0)


def test_a_large_random_network_beyond_its_pitchfork() -> None:
    """h' = tanh(g W h), n = 100, g = 1.5: 0 is unstable; other points come in pairs +-h, solved to rounding."""
    cell = cells.Elman.random(100, 0, gain=1.5, seed=2)
    result = dynsys.find_fixed_points(cell, n_starts=8, effort=0.05)
    assert len(result) >= 3
    assert result.residuals.max() < 1e-14
    sizes = np.linalg.norm(result.states, axis=1)
    assert (sizes > 1).sum() >= 2
    for state in result.states:
        assert np.abs(result.states + state).max(axis=1).min() < 1e-6


def test_effort_buys_starts_in_large_networks() -> None:
    cell = cells.Elman.random(96, 0, gain=0.8, seed=0)
    little, more = (dynsys.find_fixed_points(cell, n_starts=200, effort=effort) for effort in (0.005, 0.02))
    assert little.n_starts < more.n_starts <= 200
    assert any("uniform starts asked for" in note for note in little.notes)
    assert little.hits.sum() == little.n_starts


def test_progress_is_told_stage_by_stage() -> None:
    seen: list[tuple[int, int, str]] = []
    dynsys.find_fixed_points(unit(2.0), n_starts=50, progress=lambda *told: seen.append(told))
    done = [told[0] for told in seen]
    assert done == sorted(done)
    assert "uniform starts" in seen[0][2]
    assert "3 fixed points" in seen[-1][2]


# Fields


@pytest.fixture(scope="module")
def lstm_points() -> tuple[Any, Any]:
    cell = cells.LSTM.random(4, 2, gain=4.0, seed=3)
    return cell, dynsys.find_fixed_points(cell, input=[0.3, -0.2], n_starts=256)


def test_every_field_is_what_its_name_says(lstm_points: tuple[Any, Any]) -> None:
    cell, found = lstm_points
    f = dynsys.as_map(cell)
    assert len(found) >= 1
    for k in range(len(found)):
        x, J = found.states[k], f.jacobian(found.states[k], [0.3, -0.2])
        F = f.step(x, [0.3, -0.2]) - x
        assert found.residuals[k] == pytest.approx(np.abs(F).max(), abs=1e-13)
        assert found.speeds[k] == pytest.approx(np.linalg.norm(F), abs=1e-13)
        assert found.errors[k] == pytest.approx(np.abs(np.linalg.solve(np.eye(8) - J, F)).max(), abs=1e-13)
        np.testing.assert_allclose(found.jacobians[k], J, atol=1e-13)
        np.testing.assert_allclose(found.input_jacobians[k], f.input_jacobian(x, [0.3, -0.2]), atol=1e-13)
        R, L, mu = found.right_modes[k], found.left_modes[k], found.multipliers[k]
        np.testing.assert_allclose(J @ R, R * mu, atol=1e-12)
        np.testing.assert_allclose(L.conj().T @ J, mu[:, np.newaxis] * L.conj().T, atol=1e-10)
        np.testing.assert_allclose(L.conj().T @ R, np.eye(8), atol=1e-11)
        assert (np.diff(np.abs(mu)) <= 1e-13).all()


def test_rows_are_sorted_by_unstable_directions_then_residual() -> None:
    result = dynsys.find_fixed_points(cells.Elman(U=2.0 * np.eye(3)))
    order = np.lexsort((result.residuals, result.n_unstable))
    np.testing.assert_array_equal(order, np.arange(27))


def test_hits_count_uniform_starts_only() -> None:
    """Three basins of tanh(2 h): every uniform start that ends is counted once, given starts and mixtures never."""
    result = dynsys.find_fixed_points(unit(2.0), starts=[[0.9], [-0.9]], n_starts=100)
    assert result.hits.sum() + result.stalled + result.rejected == 100
    only_given = dynsys.find_fixed_points(unit(2.0), starts=[[0.9], [0.91]], n_starts=0)
    assert only_given.hits.tolist() == [0]
    assert only_given.found_by == ("given start",)
    assert only_given.completeness.estimate is None


def test_the_seed_decides_the_starts_and_the_global_generator_is_left_alone() -> None:
    before = np.random.mtrand._rand.get_state()[1].copy()
    one, again, other = (dynsys.find_fixed_points(unit(2.0), n_starts=200, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one.hits, again.hits)
    assert one.hits.tolist() != other.hits.tolist()
    np.testing.assert_array_equal(np.random.mtrand._rand.get_state()[1], before)


def test_tol_decides_what_counts() -> None:
    """Slopes of 40 at states up to 40: float64 states there solve the equation to some 1e-13, few of them to 1e-15."""
    f = dynsys.as_map(lambda h: np.cos(h) * 40 + 0.1, 1, box=(-50, 50))
    assert len(dynsys.find_fixed_points(f)) >= 1
    assert len(dynsys.find_fixed_points(f, tol=1e-15)) < len(dynsys.find_fixed_points(f))


@pytest.mark.parametrize("tol", [0.0, -1e-9, 1e-17, np.inf, np.nan])
def test_a_tolerance_that_no_residual_can_meet_is_refused(tol: float) -> None:
    with pytest.raises(InputError, match="`tol` must be a number"):
        dynsys.find_fixed_points(unit(2.0), tol=tol)
    with pytest.raises(InputError, match="`tol` must be a number"):
        dynsys.find_cycles(unit(-2.0), 2, tol=tol)


def test_where_starts_stall_paths_find_what_the_network_has() -> None:
    """A random GRU of gain 5: few uniform starts arrive. 256 paths of its own, far longer ones, find no point more."""
    f = dynsys.as_map(cells.GRU.random(10, 0, gain=5.0, seed=3))
    found = dynsys.find_fixed_points(f)
    assert found.hits.sum() < 0.5 * found.n_starts
    generator, input = np.random.default_rng(11), np.zeros(0)
    ends, _ = from_states(f, generator.uniform(-1, 1, (256, 10)), input, 2000, 400)
    reached = polish(f, np.clip(ends, -1, 1), input)
    residuals = np.abs(f.step(reached) - reached).max(axis=1)
    reached = reached[(residuals < 1e-13) & (np.abs(reached) <= 1).all(axis=1)]
    distances = np.abs(reached[:, np.newaxis] - found.states).max(axis=2).min(axis=1)
    assert len(reached) > 100
    assert (distances < 1e-6).all()
    assert found.completeness.index_passed


def test_a_search_that_ends_while_paths_still_meet_new_points_says_so() -> None:
    found = dynsys.find_fixed_points(cells.GRU.random(72, 0, gain=5.0, seed=0), effort=0.2)
    assert any("more of them exist" in note for note in found.notes)


def test_multipliers_do_not_depend_on_the_coordinates() -> None:
    """x -> P x: the same multipliers, the states multiplied by P."""
    generator = np.random.default_rng(4)
    U, P = 1.6 * generator.standard_normal((3, 3)) / math.sqrt(3), np.eye(3) + 0.3 * generator.standard_normal((3, 3))
    Q = np.linalg.inv(P)
    plain = dynsys.find_fixed_points(dynsys.as_map(lambda h: np.tanh(U @ h), 3), n_starts=400)
    turned = dynsys.find_fixed_points(dynsys.as_map(lambda y: P @ np.tanh(U @ (Q @ y)), 3), n_starts=400)
    np.testing.assert_allclose(as_set(turned.states @ Q.T), as_set(plain.states), atol=1e-9)
    for x, mu in zip(plain.states, plain.multipliers, strict=True):
        k = np.abs(turned.states @ Q.T - x).max(axis=1).argmin()
        np.testing.assert_allclose(np.sort_complex(turned.multipliers[k]), np.sort_complex(mu), atol=1e-9)


# What is not a fixed point


@pytest.mark.parametrize("closed", [1e-9, 1e-12, 1e-15])
@pytest.mark.parametrize("n_starts", [0, 256])
def test_a_closed_update_gate_makes_no_fixed_points(closed: float, n_starts: int) -> None:
    """h' - h = (1-z)(candidate - h): tiny wherever the gate is shut. The one true point is candidate = h."""
    bias = math.log1p(-closed) - math.log(closed)
    zero = np.zeros((2, 2))
    U_h = np.array([[0.4, 0.1], [-0.2, 0.3]])
    cell = cells.GRU(U_z=zero, U_r=zero, U_h=U_h, b_z=[bias, bias], b_r=[50.0, 50.0], b_h=[0.7, -0.3])
    starts = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    result = dynsys.find_fixed_points(cell, starts=starts, n_starts=n_starts)
    true = np.zeros(2)
    for _ in range(300):
        true = np.tanh(U_h @ true + [0.7, -0.3])
    assert len(result) <= 1
    assert np.abs(result.states - true).max(initial=0.0) < 1e-5
    assert (result.errors <= 1e-6 * (1 + np.abs(result.states).max(axis=1, initial=0.0))).all()


def test_one_closed_gate_among_open_ones_makes_no_fixed_points() -> None:
    zero = np.zeros((2, 2))
    cell = cells.GRU(U_z=zero, U_r=zero, U_h=0.5 * np.eye(2), b_z=[40.0, 0.0], b_h=[0.7, -0.3])
    result = dynsys.find_fixed_points(cell)
    assert len(result) <= 1
    for x in result.states:
        np.testing.assert_allclose(np.tanh(0.5 * 0.5 * x + [0.7, -0.3]), x, atol=1e-5)


@pytest.mark.parametrize("starts", [None, np.zeros((1, 2)), np.array([[0.3, 0.4]])])
def test_the_identity_map_has_no_count_and_raises_nothing(starts: Any) -> None:
    """Every state is fixed: I - J = 0, no isolated point can be located."""
    result = dynsys.find_fixed_points(cells.Elman(U=np.eye(2), activation="identity"), starts=starts)
    assert len(result) == 0
    assert result.rejected > 0
    assert result.completeness.index_passed is None


def test_a_line_of_fixed_points_has_no_count() -> None:
    """U = diag(1, 1/2): every (h, 0) is fixed."""
    result = dynsys.find_fixed_points(cells.Elman(U=np.diag([1.0, 0.5]), activation="identity"))
    assert len(result) == 0
    assert result.rejected > 0


def test_a_ring_of_fixed_points_has_no_count() -> None:
    """A circle |x| = 1 of fixed points; only the origin, a repeller, is isolated."""
    f = dynsys.as_map(lambda x: x * (1.5 - 0.5 * (x[0] ** 2 + x[1] ** 2)), 2, box=(-2, 2))
    result = dynsys.find_fixed_points(f)
    assert (np.linalg.norm(result.states, axis=1) < 1e-9).all()


def test_a_translation_has_no_fixed_points() -> None:
    """x' = x + 1: no fixed point; |F| = 1 everywhere."""
    result = dynsys.find_fixed_points(cells.Elman(U=[[1.0]], b=[1.0], activation="identity"))
    assert len(result) == 0
    np.testing.assert_allclose(result.slow.speeds, 1.0)


def test_a_ghost_behind_a_fold_is_a_slow_point_not_a_fixed_point() -> None:
    """x' = x + x^2 + e has no real fixed point for e > 0; its speed has a minimum e at 0."""
    f = dynsys.as_map(lambda x: x + x**2 + 1e-4, 1, box=(-1, 1))
    result = dynsys.find_fixed_points(f, n_starts=64)
    assert len(result) == 0
    assert len(result.slow) == 1
    np.testing.assert_allclose(result.slow.speeds, 1e-4, rtol=1e-3)
    np.testing.assert_allclose(result.slow.states, 0, atol=1e-4)


def test_far_starts_warn_about_nothing() -> None:
    """A start where the map overflows is a stalled start, not a warning or an exception."""
    result = dynsys.find_fixed_points(dynsys.as_map(henon, 2), starts=[[1e200, 0.0]])
    assert len(result) == 2


def test_points_with_infinite_slope_are_left_out_without_an_exception() -> None:
    """x' = cbrt(x): fixed points -1, 0, 1; at 0 the slope is infinite."""
    result = dynsys.find_fixed_points(dynsys.as_map(np.cbrt, 1, box=(-2.0, 2.1)), starts=[[0.0]])
    assert {-1.0, 1.0} <= set(result.states[:, 0].round(9))


def test_closing_the_loop_of_an_lstm_searches_without_warnings() -> None:
    """The zero state of an unbiased LSTM is fixed, with the loop closed too."""
    result = dynsys.find_fixed_points(dynsys.close_loop(cells.LSTM.random(2, 2), np.eye(2)), n_starts=64)
    assert np.abs(result.states).max(axis=1).min() < 1e-9


# The example network


@pytest.fixture(scope="module")
def reference() -> Any:
    with np.load(EXAMPLES / "flipflop_gru_fixed_points.npz") as file:
        return {name: file[name] for name in file}


@pytest.mark.parametrize("seed", range(20))
def test_flip_flop_network_has_all_27_points(flipflop: Any, reference: Any, seed: int) -> None:
    """Every one of the published 27, nothing else, whatever the seed; all inside the reachable cube."""
    result = dynsys.find_fixed_points(cells.GRUResetAfter(**flipflop), seed=seed)
    assert len(result) == 27
    distances = np.abs(result.states[:, np.newaxis] - reference["fixed_points"]).max(axis=2)
    assert distances.min(axis=0).max() < 1e-6
    nearest = distances.argmin(axis=1)
    assert sorted(nearest) == list(range(27))
    np.testing.assert_array_equal(result.n_unstable, reference["n_unstable"][nearest])
    assert np.abs(result.states).max() < 1
    assert result.completeness.index_passed is True


def test_multipliers_of_the_flip_flop_network(flipflop: Any, reference: Any) -> None:
    result = dynsys.find_fixed_points(cells.GRUResetAfter(**flipflop))
    nearest = np.abs(result.states[:, np.newaxis] - reference["fixed_points"]).max(axis=2).argmin(axis=1)
    for mine, published in zip(result.multipliers, reference["eigenvalues"][nearest], strict=True):
        np.testing.assert_allclose(np.sort(np.abs(mine)), np.sort(np.abs(published)), atol=1e-6)


def test_visited_states_alone_find_8_of_27_and_the_index_test_sees_it(flipflop: Any) -> None:
    """States of the trials lie near the attractors: the other 19 are missed, and the signs add up to 8, not 1."""
    with np.load(EXAMPLES / "flipflop_gru_trials.npz") as trials:
        visited = trials["hidden"][:, 32::8].reshape(-1, 16).astype(np.float64)
    result = dynsys.find_fixed_points(cells.GRUResetAfter(**flipflop), starts=visited, n_starts=0)
    assert result.kinds == ("attractor",) * 8
    assert result.completeness.index_passed is False


def test_attractors_reached_by_the_network_itself_are_8(flipflop: Any) -> None:
    """The network let go from states it visited: 8 attractors; searched from there alone, the index is 8."""
    f = dynsys.as_map(cells.GRUResetAfter(**flipflop))
    with np.load(EXAMPLES / "flipflop_gru_trials.npz") as trials:
        visited = trials["hidden"][:, 63].astype(np.float64)
    ends = dynsys.simulate(f, visited, steps=500)[-1]
    result = dynsys.find_fixed_points(f, starts=ends, n_starts=0)
    assert result.kinds == ("attractor",) * 8
    assert (result.completeness.index_sum, result.completeness.index_expected) == (8, 1)
    assert result.completeness.index_passed is False


def test_far_states_that_rounding_makes_fixed_are_not_returned(flipflop: Any, reference: Any) -> None:
    """z rounds to 1 there: F(x) = x to 2e-11 with nothing fixed."""
    starts = reference["not_fixed_points"]
    assert np.abs(starts).max() > 1
    result = dynsys.find_fixed_points(cells.GRUResetAfter(**flipflop), starts=starts, n_starts=0)
    distance = np.abs(result.states[:, np.newaxis] - starts).max(axis=2)
    assert (distance > 1e-3).all()
    assert np.abs(result.states).max(initial=0.0) < 1


def test_widening_a_bias_changes_the_portrait(flipflop: Any) -> None:
    """Sanity of the test above: a candidate bias of 5 everywhere leaves fewer points."""
    cell = dataclasses.replace(cells.GRUResetAfter(**flipflop), b_h=np.full(16, 5.0))
    assert len(dynsys.find_fixed_points(cell)) < 27


# The caller's mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_starts": 0}, "nothing to start from"),
        ({"n_starts": -1}, "nothing to start from"),
        ({"starts": [[1.0, 2.0]]}, r"\(k, 1\)"),
        ({"starts": [[math.nan]]}, "finite"),
        ({"tol": 0.0}, "tol"),
        ({"effort": 0.0}, "effort"),
        ({"input": [1.0, 2.0]}, "inputs"),
        ({"input": "abc"}, "numbers"),
    ],
)
def test_mistakes_are_named(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dynsys.find_fixed_points(unit(2.0), **arguments)
