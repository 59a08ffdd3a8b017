"""What a report says of lines of slow states, of circles and of the wiring, where these are known exactly."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.reporting import Report
from dynsys.reporting.document import Figure, Table


def rotation(angle: float) -> Any:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def made(cell: cells.Elman) -> Report:
    return dynsys.report(cell, None, n_starts=64)


def figures(report: Report) -> set[str]:
    return {b.id for section in report.document.sections for b in section.blocks if isinstance(b, Figure)}


def finding(report: Report, id_: str) -> Any:
    return next(f for f in report.findings if f.id == id_)


@pytest.fixture(scope="module")
def line() -> Report:
    v = np.ones(10) / np.sqrt(10)
    return made(cells.Elman(U=1.02 * np.outer(v, v)))


@pytest.fixture(scope="module")
def square() -> Report:
    return made(cells.Elman(U=2 * np.eye(2)))


@pytest.fixture(scope="module")
def circle() -> Report:
    return made(cells.Elman(U=1.1 * rotation(0.5)))


def test_a_line_of_slow_states_is_one_finding_with_its_drift(line: Report) -> None:
    f = finding(line, "slow-manifold")
    assert "line of slow states (1-dimensional)" in f.title
    assert f.uncertainty[0] <= f.value <= f.uncertainty[1] < 0.01
    assert "3 listed fixed points lie on it" in f.meaning
    assert "slow line" in line.verdict
    assert {"drift", "wiring"} <= figures(line)
    (m,) = line.document.data["slow_manifolds"]
    assert (m.dimension, m.fixed_points) == (1, (0, 1, 2))


def test_a_line_section_says_where_the_points_are(line: Report) -> None:
    section = next(s for s in line.document.sections if s.id == "slow-manifolds")
    table = next(b for b in section.blocks if isinstance(b, Table))
    assert table.rows[0][0] == "line"
    assert table.rows[0][-1] == "1, 2, 3"


def test_memories_of_two_decoupled_units_border_each_other_in_a_square(square: Report) -> None:
    f = finding(square, "wiring")
    assert f.value == 4
    assert "each borders 2 others" in f.title
    assert "slow-manifold" not in {f.id for f in square.findings}
    assert len(square.document.data["wiring"]["borders"]) == 4
    section = next(s for s in square.document.sections if s.id == "attractors")
    saddles = next(b for b in section.blocks if isinstance(b, Table) and b.header[0] == "saddle")
    assert len(saddles.rows) == 4
    assert all(re.fullmatch(r"fixed point [1-4]", cell) for row in saddles.rows for cell in row[1:])


def test_an_oscillation_without_a_period_is_called_so(circle: Report) -> None:
    f = finding(circle, "quasiperiodic")
    assert f.value == 1.0
    assert "invariant circle" in f.title
    assert "every orbit ends on an invariant circle" in circle.verdict
    assert {"chaotic-attractor", "all-orbits-settle", "orbits-not-at-rest"}.isdisjoint(f.id for f in circle.findings)
    assert circle.study.basins.circles == 1.0


def test_the_attractors_are_in_the_json(circle: Report, square: Report) -> None:
    from dynsys.jsonable import jsonable

    data = jsonable(circle.document.data)
    assert [a["kind"] for a in data["attractors"]["attractors"]] == ["invariant circle"]
    data = jsonable(square.document.data)
    assert sorted(a["listed"] for a in data["attractors"]["attractors"]) == [0, 1, 2, 3]
    assert data["slow_manifolds"] == []
