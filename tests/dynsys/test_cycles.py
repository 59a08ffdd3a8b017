"""Cycles against algebra, counts known from theory, and published values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError, ShapeError


def henon(state: Any) -> Any:
    x, y = state
    return [1 - 1.4 * x**2 + y, 0.3 * x]


def logistic(r: float, invariant: bool = False) -> dynsys.Map:
    return dynsys.as_map(lambda x: r * x * (1 - x), 1, box=(0, 1), invariant=invariant)


def necklaces(p: int) -> int:
    """Cycles of minimal period p of a map whose f^p has 2^p fixed points: (1/p) sum of mobius(p/d) 2^d."""
    moebius = {1: 1, 2: -1, 3: -1, 4: 0, 5: -1, 6: 1, 7: -1, 8: 0}
    return sum(moebius[p // d] * 2**d for d in range(1, p + 1) if p % d == 0) // p


@pytest.fixture(scope="module")
def of_henon() -> dict[int, Any]:
    return dynsys.find_cycles(dynsys.as_map(henon, 2, box=(-2, 2)), range(1, 9), n_starts=128)


def test_henon_has_as_many_cycles_as_known(of_henon: dict[int, Any]) -> None:
    """a = 1.4, b = 0.3: Biham and Wenzel's sign sequences give these counts in the whole plane."""
    assert {p: len(c) for p, c in of_henon.items()} == {1: 2, 2: 1, 3: 0, 4: 1, 5: 0, 6: 2, 7: 4, 8: 7}


def test_the_two_cycle_of_henon(of_henon: dict[int, Any]) -> None:
    """Published: x = 0.975800051175 and -0.475800051175; multipliers -3.01010067, -0.02989933."""
    cycle = of_henon[2]
    np.testing.assert_allclose(cycle.states[0, :, 0], [-0.475800051175, 0.975800051175], atol=1e-11)
    np.testing.assert_allclose(cycle.multipliers[0], [-3.01010067, -0.02989933], atol=1e-8)
    assert cycle.kinds == ("saddle",)


def test_every_orbit_closes_after_its_period_and_not_before(of_henon: dict[int, Any]) -> None:
    for p, cycle in of_henon.items():
        x = cycle.states
        for t in range(p):
            stepped = dynsys.as_map(henon, 2).step(x[:, t])
            np.testing.assert_allclose(stepped, x[:, (t + 1) % p], atol=1e-12)
        for d in range(1, p):
            assert (np.abs(np.roll(x, d, axis=1) - x).max(axis=(1, 2), initial=0.0) > 1e-3).all()


def test_multipliers_multiply_to_the_volume_change(of_henon: dict[int, Any]) -> None:
    """det J = -b at every step, so the product of the multipliers of a cycle of period p is (-b)^p."""
    for p, cycle in of_henon.items():
        np.testing.assert_allclose(cycle.multipliers.prod(axis=1), (-0.3) ** p, rtol=1e-11)


def test_multipliers_are_of_the_product_in_the_right_order() -> None:
    """The eigenvalues of J_3 J_2 J_1 written out; those of J_1 J_2 J_3 differ (2 by 2 would not tell: same trace)."""
    f = cells.Elman.random(hidden=3, inputs=0, gain=5.0, seed=6)
    found = dynsys.find_cycles(f, 3, n_starts=128)
    assert len(found)
    told_apart = False
    for states, multipliers in zip(found.states, found.multipliers, strict=True):
        J = [np.diag(1 - np.tanh(f.U @ x) ** 2) @ f.U for x in states]
        right, wrong = np.linalg.eigvals(J[2] @ J[1] @ J[0]), np.linalg.eigvals(J[0] @ J[1] @ J[2])
        np.testing.assert_allclose(np.sort(np.abs(multipliers)), np.sort(np.abs(right)), rtol=1e-6, atol=1e-12)
        told_apart |= not np.allclose(np.sort(np.abs(multipliers)), np.sort(np.abs(wrong)), rtol=1e-3)
    assert told_apart


def test_the_two_cycle_of_the_logistic_map() -> None:
    """r = 3.3: {0.479427019824, 0.823603283206}, multiplier 4 + 2 r - r^2 = -0.29 exactly."""
    found = dynsys.find_cycles(logistic(3.3), 2)
    np.testing.assert_allclose(found.states[0, :, 0], [0.479427019824, 0.823603283206], atol=1e-11)
    np.testing.assert_allclose(found.multipliers, [[-0.29]], rtol=1e-13)
    assert found.kinds == ("attractor",)
    np.testing.assert_allclose(found.time_constants, [[-2 / math.log(0.29)]], rtol=1e-12)


@pytest.mark.parametrize("p", range(1, 9))
def test_the_full_logistic_map_has_all_cycles_with_multiplier_two_to_the_p(p: int) -> None:
    """r = 4 is conjugate to the tent map: necklaces(p) cycles, |multiplier| = 2^p; the fixed point 0 has 4."""
    found = dynsys.find_cycles(logistic(4.0), p, n_starts=512)
    assert len(found) == necklaces(p)
    expected = np.full((len(found), 1), 2.0**p)
    if p == 1:
        expected[np.abs(found.states[:, 0, 0]) < 1e-9] = 4.0
    np.testing.assert_allclose(np.abs(found.multipliers), expected, rtol=1e-8)


@pytest.mark.parametrize("n", [1, 3, 4])
def test_decoupled_flipping_units_hold_their_memories_in_two_cycles(n: int) -> None:
    """h' = tanh(-2 h): each unit of f^2 rests at 0 or +-a, so there are (3^n - 1) / 2 cycles of period 2, 2^(n-1)
    of them stable, and the origin is the only fixed point. All multipliers are products of 4 sech^4."""
    found = dynsys.find_cycles(cells.Elman(U=-2.0 * np.eye(n)), 2)
    assert (len(found), found.kinds.count("attractor")) == ((3**n - 1) // 2, 2 ** (n - 1))
    assert found.shorter == {1: 1}
    a = 0.9575040240772688  # a = tanh 2a
    np.testing.assert_allclose(np.abs(found.states[: 2 ** (n - 1)]), a, rtol=1e-12)
    np.testing.assert_allclose(found.multipliers[: 2 ** (n - 1)], (2 * (1 - a * a)) ** 2, rtol=1e-11)
    assert found.completeness.index_passed is True


def test_the_index_of_the_second_iterate_flags_a_missing_orbit() -> None:
    """From one given start only the test does not apply; the sum over a list that lacks an orbit is not 1."""
    from dynsys import seeds
    from dynsys.periodic.pool import Pool
    from dynsys.search_box import search_box

    f = dynsys.as_map(cells.Elman(U=[[-2.0]]))
    pool = Pool(f, np.zeros(0), search_box(f, np.zeros(0), np.zeros((0, 1)), 0), 1e-12, 64, seeds.generator(0))
    pool.of(1).merge(np.zeros((1, 1, 1)), np.array([1]), ["known"])
    assert pool.index(2)[0] == -1
    pool.of(2).merge(np.array([[[-0.9575040240772688], [0.9575040240772688]]]), np.array([1]), ["known"])
    assert pool.index(2)[0] == 1


def test_a_relabelled_network_has_the_same_cycles() -> None:
    """x -> Px permutes units; the cycles are permuted with them, the multipliers stay."""
    f = cells.Elman.random(hidden=3, inputs=0, gain=5.0, seed=3)
    order = np.array([2, 0, 1])
    g = cells.Elman(U=f.U[np.ix_(order, order)])
    ours, theirs = (dynsys.find_cycles(h, 2, n_starts=256) for h in (f, g))
    assert len(ours) == len(theirs) > 0
    everything = np.sort(np.abs(ours.multipliers[:, 0]))
    np.testing.assert_allclose(everything, np.sort(np.abs(theirs.multipliers[:, 0])), rtol=1e-8)


def test_each_orbit_is_listed_once_and_starts_at_its_least_state() -> None:
    found = dynsys.find_cycles(logistic(4.0), 5, starts=np.linspace(0.01, 0.99, 200)[:, np.newaxis])
    firsts = found.states[:, 0, 0]
    assert len(np.unique(firsts.round(9))) == len(found) == 6
    np.testing.assert_array_equal(firsts, found.states[:, :, 0].min(axis=1))


TENT = {"U": [[2.0, -4.0], [2.0, -4.0]], "b": [0.0, -0.5]}


@pytest.mark.parametrize(
    "f", [cells.Elman(**TENT, activation="relu"), cells.PLRNN(A=[0.0, 0.0], **TENT)], ids=["Elman", "PLRNN"]
)
def test_the_tent_map_as_a_relu_network_is_searched_exactly(f: Any) -> None:
    """x = 2a - 4b with a = relu(x), b = relu(x - 1/2) is the tent map: necklaces(p) cycles with |multiplier| 2^p."""
    found = dynsys.find_cycles(f, range(2, 7), n_starts=32)
    for p, cycles in found.items():
        assert len(cycles) == necklaces(p)
        np.testing.assert_allclose(np.abs(cycles.multipliers), [[2.0**p, 0.0]] * len(cycles), rtol=1e-9)
        assert "sequences of activation patterns" in cycles.notes[-1]


def test_patterns_find_what_starts_do_not() -> None:
    """Every cycle of the tent map comes out of the linear equations alone."""
    from dynsys.periodic.pieces import exact_orbits, piecewise_form

    f = dynsys.as_map(cells.Elman(U=[[2.0, -4.0], [2.0, -4.0]], b=[0.0, -0.5], activation="relu"))
    form = piecewise_form(f, np.zeros(0))
    assert form is not None
    exact = exact_orbits(form, 4)
    assert exact is not None
    # Orbits of f^4 = id: each once per phase that begins with its least pattern; states within the interval [0, 1].
    stepped = exact.orbits
    for t in range(4):
        np.testing.assert_allclose(f.step(stepped[:, t]), stepped[:, (t + 1) % 4], atol=1e-12)
    x = 2 * stepped[:, 0, 0] - 4 * stepped[:, 0, 1]
    least = np.array([np.sort(2 * o[:, 0] - 4 * o[:, 1])[0] for o in stepped])
    assert len(np.unique(least.round(9))) == 2 + 1 + 3
    assert x.min() >= -1e-12


def test_small_multipliers_survive_beside_large_ones() -> None:
    """J_k = Q_k+1 T_k Q_k^T with triangular T_k: the multipliers are the products of their diagonals, here 1e+8 to
    1e-24, where the product alone knows nothing below 1e-8."""
    from dynsys.periodic.multipliers import around

    generator = np.random.default_rng(0)
    p, diagonal = 8, np.array([10.0, 1.0, 0.03, 1e-3])
    Q = [np.linalg.qr(generator.standard_normal((4, 4)))[0] for _ in range(p)]
    T = [np.triu(generator.standard_normal((4, 4)), 1) + np.diag(diagonal) for _ in range(p)]
    J = np.stack([Q[(k + 1) % p] @ T[k] @ Q[k].T for k in range(p)])
    turn = around(J[np.newaxis])
    np.testing.assert_allclose(turn.multipliers[0], diagonal**p, rtol=1e-7)
    assert (np.abs(turn.multipliers[0] - diagonal**p) <= turn.errors[0]).all()


def test_lost_dimensions_are_exact_zeros() -> None:
    """A unit that hears nothing has multiplier exactly 0."""
    found = dynsys.find_cycles(cells.Elman(U=[[-2.0, 0.0], [0.7, 0.0]]), 2)
    assert len(found) == 1
    assert (found.multipliers[:, 1] == 0.0).all()


def test_a_continuum_of_two_cycles_is_not_counted() -> None:
    """h' = -h: every state but 0 has period 2, none is isolated."""
    found = dynsys.find_cycles(cells.Elman(U=-np.eye(2), activation="identity"), 2, n_starts=64)
    assert len(found) == 0
    assert found.rejected > 32


def test_at_the_flip_itself_there_is_no_cycle_yet() -> None:
    """Logistic r = 3: the 2-cycle is just being born at 2/3; just beyond (r = 3 + 1e-6) it is there."""
    assert len(dynsys.find_cycles(logistic(3.0), 2)) == 0
    found = dynsys.find_cycles(logistic(3.0 + 1e-6), 2)
    assert len(found) == 1
    r = 3.0 + 1e-6
    np.testing.assert_allclose(found.multipliers, [[4 + 2 * r - r * r]], rtol=1e-9)


def test_period_one_is_the_fixed_points() -> None:
    f = cells.Elman(U=[[2.0]])
    points, cycles = dynsys.find_fixed_points(f), dynsys.find_cycles(f, 1)
    np.testing.assert_allclose(np.sort(cycles.states[:, 0, 0]), np.sort(points.states[:, 0]), atol=1e-14)
    assert cycles.completeness.index_passed is True


def test_given_starts_alone() -> None:
    found = dynsys.find_cycles(logistic(3.3), 2, starts=[[0.5]], n_starts=0)
    assert found.found_by == ("given start",)
    assert found.completeness.index_expected is None
    whole = dynsys.find_cycles(logistic(3.3), 2, starts=[[[0.45], [0.85]]], n_starts=0)
    np.testing.assert_allclose(whole.states, found.states, atol=1e-12)


def test_the_same_seed_gives_the_same_list_and_another_seed_other_hits() -> None:
    first, again, other = (dynsys.find_cycles(logistic(4.0), 4, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.states, again.states)
    np.testing.assert_array_equal(first.hits, again.hits)
    assert first.hits.tolist() != other.hits.tolist()


def test_the_input_shifts_the_cycles() -> None:
    """h' = tanh(-2 h + x): the 2-cycle {a, b} satisfies a = tanh(-2 b + x), b = tanh(-2 a + x)."""
    found = dynsys.find_cycles(cells.Elman(U=[[-2.0]], W=[[1.0]]), 2, [0.5])
    a, b = found.states[0, :, 0]
    assert a == pytest.approx(math.tanh(-2 * b + 0.5), abs=1e-14)
    assert b == pytest.approx(math.tanh(-2 * a + 0.5), abs=1e-14)
    assert a + b != pytest.approx(0.0, abs=1e-2)


@pytest.mark.parametrize("period", [0, -1, 1.5, "2", [], [0], True, [[1]]])
def test_a_period_must_be_a_whole_number(period: Any) -> None:
    with pytest.raises(InputError, match="period"):
        dynsys.find_cycles(logistic(3.3), period)


def test_mistakes_are_refused_at_the_door() -> None:
    with pytest.raises(ShapeError, match="starts"):
        dynsys.find_cycles(logistic(3.3), 2, starts=[[1.0, 2.0]])
    with pytest.raises(InputError, match="nothing to start from"):
        dynsys.find_cycles(logistic(3.3), 2, n_starts=0)
    with pytest.raises(InputError, match="tol"):
        dynsys.find_cycles(logistic(3.3), 2, tol=0.0)
    with pytest.raises(InputError, match="not finite"):
        dynsys.find_cycles(logistic(3.3), 2, starts=[[math.nan]])
    with pytest.raises(InputError, match="constant input"):
        dynsys.find_cycles(cells.Elman(U=[[2.0]], W=[[1.0]]), 2, np.zeros((3, 1)))


def test_orbits_that_leave_are_dropped_in_silence() -> None:
    """x' = x^2 - 2 on a box far too wide: cycles lie in [-2, 2], all else overflows; warnings would be errors here."""
    found = dynsys.find_cycles(dynsys.as_map(lambda x: x * x - 2.0, 1, box=(-1e5, 1e5)), 3, n_starts=256)
    assert len(found) <= 2
    assert np.isfinite(found.states).all()
    narrow = dynsys.find_cycles(dynsys.as_map(lambda x: x * x - 2.0, 1, box=(-2, 2)), 3)
    assert len(narrow) == 2


def test_results_print_and_turn_into_json(of_henon: dict[int, Any]) -> None:
    from dynsys.jsonable import dumps

    text = dumps(of_henon[4].to_dict())
    assert '"period": 4' in text
    assert "1 cycle of period 4 (1 saddle)" in str(of_henon[4])
    assert "0 cycles of period 3" in str(of_henon[3])
