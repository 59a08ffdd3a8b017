"""Limit sets recognised for what they are, against sets that are known exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.attractors import Attractors

EXAMPLES = Path(__file__).parents[2] / "examples"


def rotation(angle: float) -> Any:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def met(obj: Any, n_starts: int = 24, steps: int = 1500, **options: Any) -> Attractors:
    return dynsys.find_attractors(dynsys.as_map(obj), n_starts=n_starts, steps=steps, **options)


def plane(step: Any, low: float, high: float) -> dynsys.Map:
    return dynsys.as_map(step, state_size=2, box=(low, high))


@pytest.mark.parametrize(("alpha", "angle"), [(1.03, 1.0), (1.1, 0.5 + np.pi)])
def test_beyond_its_neimark_sacker_point_the_ring_is_one_invariant_circle(alpha: float, angle: float) -> None:
    """h' = tanh(alpha Rot(phi) h): a circle for alpha > 1, of mean square radius about 4 (alpha - 1)."""
    found = met(cells.Elman(U=alpha * rotation(angle)))
    assert found.kinds == ("invariant circle",)
    assert found[0].fraction == 1.0
    assert abs(found[0].exponents[0]) < 5e-4
    assert found[0].exponents[1] < -0.01
    # Next to leading order in alpha - 1; the exact value at alpha = 1.01 is 2 % below it.
    assert np.square(found[0].states).sum(axis=1).mean() == pytest.approx(4 * (alpha - 1), rel=0.25)


def test_exponents_of_the_ring_are_the_published_ones() -> None:
    """alpha = 1.1, phi = 0.5: exponents 0 and -0.1971693."""
    found = met(cells.Elman(U=1.1 * rotation(0.5)), n_starts=4)
    np.testing.assert_allclose(found[0].exponents, [0.0, -0.1971693], atol=2e-4)


def test_orbits_that_come_to_a_circle_slowly_are_not_taken_for_circles_of_their_own() -> None:
    """alpha = 1.003: distances to the circle shrink by 0.6 % a step, so that after 40 steps orbits are all over."""
    found = met(cells.Elman(U=1.003 * rotation(0.5)), n_starts=12, steps=40)
    assert found.kinds == ("invariant circle",)
    assert found[0].fraction == 1.0


def test_below_its_neimark_sacker_point_the_ring_rests() -> None:
    found = met(cells.Elman(U=0.9 * rotation(0.5)))
    assert found.kinds == ("fixed point",)
    np.testing.assert_allclose(found[0].exponents, np.log([0.9, 0.9]), atol=1e-9)


def test_henon_is_chaotic_and_the_rest_runs_off() -> None:
    henon = plane(lambda x: [1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]], -0.5, 0.5)
    found = met(henon, n_starts=64, steps=300)
    assert found.kinds == ("chaos",)
    assert found[0].exponents[0] == pytest.approx(0.419, abs=0.03)
    assert found[0].fraction + found.unbounded == pytest.approx(1.0)
    assert (found.ends[found.ends < 0] == -2).all()


@pytest.mark.parametrize("gain", [1.004, 1.005, 1.01])
def test_orbits_that_leave_slowly_are_said_to_leave(gain: float) -> None:
    """x' = 0.98 x, y' = gain y passes 10^8 only after some ln(10^8) / ln(gain) steps, up to 5000 here, but it does."""
    found = met(cells.Elman(U=np.diag([0.98, gain]), activation="identity"), n_starts=64, steps=600)
    assert found.kinds == ()
    assert found.unbounded == 1.0


def test_exponents_are_shown_with_their_errors_where_they_have_one() -> None:
    """That of a stable point is the logarithm of its multiplier; that of chaos is measured."""
    henon = met(plane(lambda x: [1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]], -0.5, 0.5), n_starts=16, steps=300)
    value, error = henon[0].exponents[0], henon[0].exponent_errors[0]
    assert f"{value:.4g} +- {error:.1g}" in str(henon)
    assert "+-" not in str(met(cells.Elman(U=[[0.5]]), n_starts=8))


def test_delayed_logistic_is_chaotic_at_2_27_and_a_circle_at_2_05() -> None:
    def delayed(r: float) -> dynsys.Map:
        return plane(lambda x: [r * x[0] * (1 - x[1]), x[0]], 0.3, 0.6)

    chaotic = met(delayed(2.27))
    assert chaotic.kinds == ("chaos",)
    assert chaotic[0].exponents[0] == pytest.approx(0.1831, abs=0.02)
    assert met(delayed(2.05)).kinds == ("invariant circle",)


def test_chaos_needs_ten_thousand_steps() -> None:
    henon = plane(lambda x: [1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]], -0.2, 0.2)
    found = met(henon, n_starts=8, steps=300, exponent_steps=2000)
    assert found.kinds == ("unresolved",)
    assert "10 000" in found[0].note


def test_two_chaotic_sets_are_two() -> None:
    """Two decoupled variables: one bistable, one chaotic."""
    f = dynsys.as_map(
        lambda x: np.array([np.tanh(2 * x[0]), 3.9 * x[1] * (1 - x[1])]), state_size=2, box=([-1, 0.1], [1, 0.9])
    )
    found = met(f, n_starts=40, steps=300)
    assert found.kinds == ("chaos", "chaos")
    heights = sorted(float(a.states[:, 0].mean()) for a in found)
    np.testing.assert_allclose(heights, [-0.957504, 0.957504], atol=1e-5)


def test_two_incommensurate_circles_make_a_torus() -> None:
    ring, other = 1.1 * rotation(0.5), 1.2 * rotation(np.sqrt(2.0))
    found = met(cells.Elman(U=np.block([[ring, np.zeros((2, 2))], [np.zeros((2, 2)), other]])), n_starts=8)
    assert found.kinds == ("invariant torus",)
    assert (np.abs(found[0].exponents[:2]) < 5e-4).all()


def test_a_neutral_rotation_attracts_nothing() -> None:
    found = met(cells.Elman(U=rotation(0.3), activation="identity"), n_starts=4, steps=50)
    assert set(found.kinds) == {"unresolved"}


def test_a_slow_drift_is_not_a_circle() -> None:
    """h' = tanh(h) falls like sqrt(3 / 2 t): still on its way after any number of steps."""
    found = met(cells.Elman(U=np.diag([1.0, 0.5])), n_starts=8)
    assert set(found.kinds) <= {"unresolved"}


def test_every_state_of_an_exact_line_stays() -> None:
    found = met(cells.Elman(U=np.diag([1.0, 0.5]), activation="identity"))
    assert found.kinds == ("continuum",)
    assert np.ptp(found[0].states[:, 0]) > 0.5


def test_orbits_find_stable_points_that_no_list_has_and_match_those_that_it_has() -> None:
    f = dynsys.as_map(cells.Elman(U=2 * np.eye(2)))
    listed = dynsys.find_fixed_points(f)
    matched = dynsys.find_attractors(f, fixed_points=listed, n_starts=64)
    assert sorted(a.listed for a in matched) == [0, 1, 2, 3]  # type: ignore[type-var]
    assert matched.unvisited == ()
    alone = dynsys.find_attractors(f, n_starts=64, seed=1)
    assert [a.listed for a in alone] == [None] * 4
    for a, b in zip(alone, matched, strict=True):
        np.testing.assert_allclose(a.states, b.states, atol=1e-12)
        assert a.fraction == b.fraction


def test_a_listed_attractor_that_draws_in_nothing_is_named() -> None:
    f = dynsys.as_map(cells.Elman(U=[[2.0]]))
    listed = dynsys.find_fixed_points(f)
    found = dynsys.find_attractors(f, starts=[[0.5], [0.1]], fixed_points=listed)
    assert len(found) == 1
    assert len(found.unvisited) == 1
    assert listed.states[found.unvisited[0], 0] < 0


def test_two_memories_kept_in_two_cycles() -> None:
    """Decoupled tanh(2 h) and tanh(-2 h): two 2-cycles, multiplier (2 (1 - h^2))^2 along each unit."""
    found = met(cells.Elman(U=np.diag([2.0, -2.0])), n_starts=64)
    assert [(a.kind, a.period) for a in found] == [("cycle", 2)] * 2
    h = 0.9575040241
    np.testing.assert_allclose(found[0].exponents, 2 * [np.log(2 * (1 - h * h))], atol=1e-6)


def test_a_long_cycle_has_its_minimal_period() -> None:
    """The logistic map in its window of period 5, and doubled: 3.74 has 5, 3.7425 has 10."""
    f = dynsys.as_map(lambda x: 3.7387 * x * (1 - x), state_size=1, box=(0.1, 0.9))
    assert [(a.kind, a.period) for a in met(f, n_starts=8, steps=3000)] == [("cycle", 5)]


def test_the_digits_network_oscillates_without_a_period_at_zero_input() -> None:
    """Two exponents tell a circle from a torus and from chaos; no orbit returns within 256 steps."""
    found = met(dynsys.load(EXAMPLES / "digits_lstm.safetensors"), n_starts=6, exponent_steps=2000)
    assert found.kinds == ("invariant circle",)
    assert found[0].exponents[1] == pytest.approx(-0.0096, abs=0.002)


def test_wrong_calls_say_what_is_needed() -> None:
    f = dynsys.as_map(cells.Elman(U=[[2.0]]))
    listed = dynsys.find_fixed_points(f, n_starts=16)
    with pytest.raises(dynsys.errors.InputError, match="another map"):
        dynsys.find_attractors(cells.Elman(U=np.eye(2)), fixed_points=listed)
    with pytest.raises(dynsys.errors.InputError, match="n_starts"):
        dynsys.find_attractors(f, n_starts=0)
    with pytest.raises(dynsys.errors.InputError, match="starts"):
        dynsys.find_attractors(f, starts=[[1.0, 2.0]])
    with pytest.raises(dynsys.errors.InputError, match="steps"):
        dynsys.find_attractors(f, steps=0)
