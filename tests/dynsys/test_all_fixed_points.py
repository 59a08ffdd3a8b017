"""Every fixed point, proven: counts against exact answers, and honesty where the proof does not close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError
from dynsys.proofs.krawczyk import narrow

FOLD = np.sqrt(2) - np.arctanh(np.sqrt(0.5))  # |b| = w h - artanh h at h = sqrt(1 - 1 / w), w = 2


@pytest.mark.parametrize("beyond", [1e-9, 1e-4, 0.1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_one_unit_on_either_side_of_its_fold(sign: int, beyond: float) -> None:
    for b, count in ((FOLD - beyond, 3), (FOLD + beyond, 1)):
        every = dynsys.all_fixed_points(cells.Elman(U=np.array([[2.0]]), b=np.array([sign * b])))
        assert (every.complete, len(every)) == (True, count)
        assert set(every.certificates.status) == {"proven"}


@pytest.mark.parametrize(
    ("u", "count"),
    [((0, 0), 9), ((0, 0.5), 9), ((0, FOLD + 1e-6), 3), ((0, FOLD - 1e-6), 9), ((0.6, 0.6), 1), ((-0.54, 0.3), 3)],
)
def test_two_decoupled_units(u: tuple[float, float], count: int) -> None:
    every = dynsys.all_fixed_points(cells.Elman(U=np.diag([2.0, 2.0]), b=np.array(u)))
    assert (every.complete, len(every), set(every.certificates.status)) == (True, count, {"proven"})


def test_the_count_changes_by_two_across_a_fold_of_two_coupled_units() -> None:
    """A point of the exact fold curve d2 = (1 - w11 d1) / (w22 - d1 D), crossed along the left null vector."""
    W = np.array([[2.0, -1.5], [1.5, 0.5]])
    h1 = 0.5
    d1 = 1 - h1**2
    d2 = (1 - W[0, 0] * d1) / (W[1, 1] - d1 * np.linalg.det(W))
    h = np.array([h1, np.sqrt(1 - d2)])
    u = np.arctanh(h) - W @ h
    J = np.diag(1 - h**2) @ W
    left = np.linalg.svd(np.eye(2) - J)[0][:, -1]
    step = 1e-5 * left  # another fold is 2e-4 away
    counts = []
    for side in (u - step, u + step):
        every = dynsys.all_fixed_points(cells.Elman(U=W, b=side))
        assert every.complete
        counts.append(len(every))
    assert abs(counts[0] - counts[1]) == 2


def test_indices_of_a_complete_list_add_up_to_one() -> None:
    """Lefschetz and Hopf: the signs of det(I - J) over all fixed points of a map of the cube into itself."""
    for seed in range(4):
        f = cells.Elman.random(2, 0, gain=3.0, seed=seed)
        every = dynsys.all_fixed_points(f)
        assert every.complete
        assert np.sign(np.linalg.det(np.eye(2) - dynsys.as_map(f).jacobian(every.states))).sum() == 1


@pytest.mark.parametrize("kind", [cells.GRU, cells.GRUResetAfter, cells.LSTM])
def test_gated_cells(kind: Any) -> None:
    """The search proves nothing but should find no more; each of its points is among the proven ones."""
    f = kind.random(2 if kind is not cells.LSTM else 1, 0, gain=4.0, seed=1)
    every, found = dynsys.all_fixed_points(f), dynsys.find_fixed_points(f)
    assert every.complete
    assert len(every) == len(found)
    assert np.abs(found.states[:, None] - every.states).max(axis=2).min(axis=1).max() < 1e-10


def test_points_that_no_search_offered_are_found() -> None:
    """Started from nothing, bisection alone finds all nine."""
    every = dynsys.all_fixed_points(cells.Elman(U=np.diag([2.0, 2.0])), starts=np.zeros((0, 2)))
    assert (every.complete, len(every)) == (True, 9)


def test_points_on_the_border_of_the_box_are_found() -> None:
    """Logistic, r = 3.3 on [0, 1]: 0 and 1 - 1/r; on [0.1, 0.5] there is none."""
    f = dynsys.as_map(lambda x: 3.3 * x * (1 - x), 1)
    every = dynsys.all_fixed_points(f, box=(0, 1))
    assert every.complete
    np.testing.assert_allclose(np.sort(every.states[:, 0]), [0, 1 - 1 / 3.3], atol=1e-14)
    none = dynsys.all_fixed_points(f, box=(0.1, 0.5))
    assert (none.complete, len(none)) == (True, 0)
    assert "no fixed point" in str(none)


def test_the_henon_map_in_the_plane() -> None:
    henon = dynsys.as_map(lambda x: np.array([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]]), 2)
    every = dynsys.all_fixed_points(henon, box=(-10, 10))
    assert (every.complete, len(every)) == (True, 2)
    np.testing.assert_allclose(np.sort(every.states[:, 0]), [-1.1313544770895048, 0.6313544770895047], rtol=1e-14)


def test_piecewise_linear_networks() -> None:
    """Each activation pattern of a ReLU net is a linear system: all four solved by hand."""
    U, b = np.array([[2.0, -3.0], [1.5, -0.5]]), np.array([-0.4, 0.2])
    expected = []
    for pattern in np.ndindex(2, 2):
        D = np.diag(pattern).astype(float)
        x = np.linalg.solve(np.eye(2) - D @ U, D @ b)
        if ((U @ x + b > 0) == np.array(pattern, dtype=bool)).all():
            expected.append(x)
    every = dynsys.all_fixed_points(cells.Elman(U=U, b=b, activation="relu"), box=(0, 20))
    assert every.complete
    assert len(every) == len(expected) >= 1
    assert np.abs(np.array(expected)[:, None] - every.states).max(axis=2).min(axis=1).max() < 1e-12


@pytest.mark.parametrize(
    "f", [dynsys.as_map(lambda x: 1.0 * x, 1, box=(0, 1)), cells.Elman(U=np.array([[1.0]])), cells.Elman(U=np.eye(2))]
)
def test_what_cannot_be_decided_is_said_to_be_open(f: Any) -> None:
    """A continuum of fixed points, and pitchforks: whatever is left, a fixed point lies in it."""
    every = dynsys.all_fixed_points(f, box=(0, 1), max_boxes=3000)
    assert not every.complete
    assert "NOT complete" in str(every)
    low, high = every.undecided_low, every.undecided_high
    assert ((low <= 1e-6) & (high >= -1e-6)).all(axis=1).any()
    assert every.to_dict()["complete"] is False


def test_too_few_boxes_are_reported() -> None:
    f = cells.Elman.random(3, 0, gain=3.0, seed=2)
    every = dynsys.all_fixed_points(f, starts=np.zeros((0, 3)), max_boxes=5)
    assert not every.complete
    assert "raise `max_boxes`" in every.reason


def test_no_box_with_a_fixed_point_is_called_empty() -> None:
    """Boxes drawn around true fixed points, in any position: none is pruned, none is cut away."""
    f = dynsys.as_map(cells.Elman.random(3, 0, gain=2.5, seed=7))
    points = dynsys.find_fixed_points(f).states
    generator = np.random.default_rng(0)
    for x in points:
        width = 10.0 ** generator.uniform(-12, 0.3, 300)
        low = x[:, None] - width * generator.random((3, 300)) - 1e-15
        high = x[:, None] + width * generator.random((3, 300)) + 1e-15
        said = narrow(f, low, high, np.zeros(0))
        assert not said.empty.any()
        assert ((said.low <= x[:, None] + 1e-15) & (said.high >= x[:, None] - 1e-15)).all()
        assert said.single.any()


def test_proving_the_list_of_a_search() -> None:
    """From one start the search has one point of nine; the proof adds the others, and says so."""
    f = cells.Elman(U=np.diag([2.0, 2.0]))
    plain = dynsys.find_fixed_points(f)
    assert plain.completeness.proven is False
    assert dynsys.find_fixed_points(f, prove=True).completeness.proven is True
    few = dynsys.find_fixed_points(f, starts=[[0.0, 0.0]], n_starts=0, prove=True)
    assert (len(few), few.completeness.found, few.completeness.index_sum, few.completeness.proven) == (9, 9, 1, True)
    assert few.found_by.count("proof") == 8
    assert "no other fixed points" in str(few)


def test_large_maps_are_left_unproven_with_a_reason() -> None:
    found = dynsys.find_fixed_points(cells.Elman.random(20, 0, gain=0.5), n_starts=16, prove=True)
    assert found.completeness.proven is False
    assert any("no proof of completeness" in note for note in found.notes)


def test_an_open_proof_leaves_the_list_unproven() -> None:
    found = dynsys.find_fixed_points(cells.Elman(U=np.array([[1.0]])), n_starts=16, prove=True)
    assert found.completeness.proven is False
    assert any("not proven complete" in note for note in found.notes)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dynsys.all_fixed_points(dynsys.as_map(lambda x: 2 * x, 1)), "pass `box"),
        (lambda: dynsys.all_fixed_points(cells.Elman.random(2, 0), max_boxes=0), "max_boxes"),
        (lambda: dynsys.all_fixed_points(cells.Elman.random(2, 0), box=(1, 0)), "low < high"),
    ],
)
def test_mistakes_are_named(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
