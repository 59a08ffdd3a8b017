"""What a search may have missed: Chao1 by hand and by simulation, and when the index test speaks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.collection import Collection
from dynsys.completeness import chao1, index_signs
from dynsys.search_stages import uniform_starts


def counts(once: int, twice: int, often: list[int]) -> np.ndarray:
    return np.array([1] * once + [2] * twice + often)


def test_bias_corrected_chao1_by_hand() -> None:
    """f1 = 4, f2 = 2, six species seen often (60 hits), N = 68: S = 12 + (67/68) 4 * 3 / (2 * 3) = 13.9706."""
    estimate, (low, high) = chao1(counts(4, 2, [10] * 6))
    unseen = 67 / 68 * 2
    assert estimate == pytest.approx(12 + unseen, abs=1e-12)
    share = 67 / 68
    variance = unseen + share**2 * 4 * 49 / (4 * 9) + share**2 * 16 * 2 * 9 / (4 * 81)
    factor = math.exp(1.96 * math.sqrt(math.log(1 + variance / unseen**2)))
    assert low == pytest.approx(12 + unseen / factor, abs=1e-12)
    assert high == pytest.approx(12 + unseen * factor, abs=1e-12)


def test_bias_corrected_chao1_without_doubletons_by_hand() -> None:
    """f1 = 5, f2 = 0, N = 25: S = 9 + (24/25) 5 * 4 / 2 = 18.6."""
    assert chao1(counts(5, 0, [5, 5, 5, 5]))[0] == pytest.approx(18.6)


def test_nothing_unseen_without_singletons() -> None:
    """f1 = 0: the estimate is what was seen; P = exp(-N/S), upper end S/(1-P) + 1.96 sqrt(S P)/(1-P)."""
    estimate, (low, high) = chao1(counts(0, 3, [2]))
    p = math.exp(-2)
    assert (estimate, low) == (4.0, 4.0)
    assert high == pytest.approx(4 / (1 - p) + 1.96 * math.sqrt(4 * p) / (1 - p))


def test_nothing_seen_says_nothing() -> None:
    assert chao1(np.zeros(3, dtype=int)) == (0.0, (0.0, math.inf))


def test_points_without_hits_do_not_count() -> None:
    assert chao1(np.array([3, 0, 1, 0])) == chao1(np.array([3, 1]))


def test_intervals_cover_the_truth_and_the_estimate_stays_below_on_average() -> None:
    """30 equally likely points, 60 draws, 400 times: covered in 95 % up to binomial noise; Chao1 is a lower bound."""
    generator = np.random.default_rng(0)
    covered, estimates = 0, []
    for _ in range(400):
        hits = np.bincount(generator.integers(0, 30, 60), minlength=30)
        estimate, (low, high) = chao1(hits)
        covered += low <= 30 <= high
        estimates.append(estimate)
    assert covered / 400 > 0.9
    assert abs(np.mean(estimates) - 30) < 1


def test_hits_of_a_search_cover_the_729_points_of_six_units() -> None:
    """tanh(2 h) in six units, 205 uniform starts: their hits alone, 24 times, give an interval around 729 as a rule."""
    f = dynsys.as_map(cells.Elman(U=2.0 * np.eye(6)))
    box = f.box(np.zeros(0), np.zeros(0))
    assert box is not None
    covered = 0
    for seed in range(24):
        found = Collection(f, np.zeros(0), box, box, 1e-12)
        uniform_starts(found, 205, np.random.default_rng(seed))
        assert found.hits.sum() == 205
        low, high = chao1(found.hits)[1]
        covered += low <= 729 <= high
    assert covered >= 20


def test_unequal_basins_make_it_a_lower_bound() -> None:
    """Basins falling like 0.7^k: most points are never met, and the estimate stays below the truth."""
    generator = np.random.default_rng(0)
    share = 0.7 ** np.arange(40)
    estimates = [
        chao1(np.bincount(generator.choice(40, 100, p=share / share.sum()), minlength=40))[0] for _ in range(200)
    ]
    assert np.mean(estimates) < 40


@pytest.mark.parametrize(("J", "sign"), [(0.5, 1), (1.5, -1), (-3.0, 1)])
def test_index_signs_of_one_unit(J: float, sign: int) -> None:
    signs, clear = index_signs(np.array([[[J]]]))
    assert signs.tolist() == [sign]
    assert clear.tolist() == [True]


def test_index_sign_is_not_clear_where_the_determinant_is_rounding() -> None:
    J = np.eye(2) - np.array([[1.0, 1.0], [1.0, 1.0 + 1e-15]])
    assert index_signs(J[np.newaxis])[1].tolist() == [False]


@pytest.mark.parametrize("seed", range(5))
def test_signs_of_all_points_add_up_to_one(seed: int) -> None:
    """Lefschetz-Hopf on the cube, for networks whose points can be counted by hand or not."""
    cell = cells.Elman.random(4, 0, gain=2.5, seed=seed)
    completeness = dynsys.find_fixed_points(cell).completeness
    assert completeness.index_expected == 1
    assert completeness.index_sum == 1


def test_index_test_is_not_applied_to_unbounded_maps() -> None:
    completeness = dynsys.find_fixed_points(cells.Elman(U=[[0.5]], b=[1.0], activation="relu")).completeness
    assert completeness.index_expected is None
    assert completeness.index_passed is None
    assert "not applied" in completeness.index_note


def logistic(x: Any) -> Any:
    return 3.3 * x * (1 - x)


def test_index_test_is_not_applied_with_a_point_on_the_boundary() -> None:
    """Logistic 3.3 on [0, 1]: 0 is fixed and on the boundary (the caller's assertion was wrong): no verdict."""
    f = dynsys.as_map(logistic, 1, box=(0.0, 1.0), invariant=True)
    result = dynsys.find_fixed_points(f)
    np.testing.assert_allclose(np.sort(result.states[:, 0]), [0, 1 - 1 / 3.3], atol=1e-12)
    assert result.completeness.index_passed is None
    assert "boundary" in result.completeness.index_note


def test_index_test_is_not_applied_to_a_box_nobody_vouched_for() -> None:
    f = dynsys.as_map(logistic, 1, box=(0.1, 0.9))
    assert dynsys.find_fixed_points(f).completeness.index_passed is None


def test_asserted_invariance_makes_the_index_test_apply() -> None:
    """x' = 3.3 x (1 - x) carries [0.3, 0.9] into [0.297, 0.825]: nearly; cos carries [0, 1.5] into (0.07, 1]."""
    f = dynsys.as_map(np.cos, 1, box=(0.0, 1.5), invariant=True)
    assert dynsys.find_fixed_points(f).completeness.index_passed is True


def test_unseen_mass_bound_is_the_rule_of_three() -> None:
    completeness = dynsys.find_fixed_points(cells.Elman(U=[[2.0]]), n_starts=300).completeness
    assert completeness.singletons == 0
    assert completeness.unseen_mass_bound == pytest.approx(0.01)


def test_nothing_is_ever_called_proven() -> None:
    assert not dynsys.find_fixed_points(cells.Elman(U=[[2.0]])).completeness.proven
