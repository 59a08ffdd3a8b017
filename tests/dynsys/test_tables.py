"""Results as plain text: columns line up, and the completeness statements say neither more nor less than is known."""

from __future__ import annotations

import numpy as np
import pytest

import cells
import dynsys
from dynsys.tables import aligned, complex_text


def test_columns_line_up_on_the_right() -> None:
    lines = aligned(["a", "number"], [["1", "2.5"], ["long one", "3"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [line[-3:] for line in lines[2:]] == ["2.5", "  3"]
    assert lines[2].startswith("       1")


def test_a_ragged_table_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        aligned(["a", "b"], [["1"]])


@pytest.mark.parametrize(
    ("z", "text"),
    [(0.93144 + 0j, "0.9314"), (0.5312 + 0.12j, "0.5312+0.1200i"), (0.5 - 0.25j, "0.5000-0.2500i"), (-1.5, "-1.5000")],
)
def test_multipliers_in_four_decimals(z: complex, text: str) -> None:
    assert complex_text(complex(z)) == text


@pytest.fixture(scope="module")
def pitchfork() -> dynsys.fixed_points.FixedPoints:
    return dynsys.find_fixed_points(cells.Elman(U=[[2.0]]), n_starts=64)


def test_text_lists_every_point_with_its_multiplier(pitchfork: dynsys.fixed_points.FixedPoints) -> None:
    text = str(pitchfork)
    assert "3 fixed points" in text.splitlines()[0]
    rows = [line.split() for line in text.splitlines() if line.strip()[:1].isdigit() and " start" not in line]
    assert [row[1] for row in rows[:3]] == list(pitchfork.kinds)
    assert [row[3] for row in rows[:3]] == [complex_text(z) for z in pitchfork.multipliers[:, 0]]


def test_a_mode_that_grows_says_so(pitchfork: dynsys.fixed_points.FixedPoints) -> None:
    """At the origin of tanh(2 h) differences grow by e in 1 / log 2 = 1.443 steps."""
    row = next(line for line in str(pitchfork).splitlines() if "repeller" in line and "2.0000" in line)
    assert row.split()[4:6] == ["grows", "1.443"]
    assert "-1.443" not in str(pitchfork)


def test_text_of_a_passed_index_test_does_not_promise_completeness(pitchfork: dynsys.fixed_points.FixedPoints) -> None:
    assert "not sufficient" in str(pitchfork)
    assert "complete " not in str(pitchfork)


def test_text_of_a_failed_index_test_says_so() -> None:
    """The origin alone of tanh(2 h) has sign -1: two points of sign +1 are missing."""
    alone = dynsys.find_fixed_points(cells.Elman(U=[[2.0]]), starts=[[0.0]], n_starts=0)
    assert alone.completeness.index_sum == -1
    assert "FAILED" in str(alone)
    assert "-1" in str(alone)


def test_text_where_the_index_test_does_not_apply_says_why() -> None:
    line = dynsys.find_fixed_points(dynsys.as_map(lambda h: 0.5 * h + 1, state_size=1), n_starts=16)
    assert "not applied" in str(line)


def test_long_lists_are_cut_and_the_rest_is_counted() -> None:
    """Four decoupled units at gain 2 have 81 fixed points."""
    found = dynsys.find_fixed_points(cells.Elman(U=2 * np.eye(4)), n_starts=1024)
    assert len(found) == 81
    assert "41 more" in str(found)


def test_no_points_make_no_table() -> None:
    found = dynsys.find_fixed_points(dynsys.as_map(lambda h: h + 1.0, state_size=1, box=(-1, 1)), n_starts=8)
    assert "0 fixed points" in str(found)
    assert "---" not in str(found)
