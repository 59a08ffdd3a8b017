"""Cycles where users meet them: the command line, its files, and the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cells
import dynsys
from dynsys.cli import main


@pytest.fixture
def flipping(tmp_path: Path) -> Path:
    """Two units h' = tanh(-2 h): (3^2 - 1) / 2 = 4 cycles of period 2, two of them stable; nothing of period 3."""
    path = tmp_path / "flipping.npz"
    dynsys.save_npz(cells.Elman(U=-2.0 * np.eye(2)), path)
    return path


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_the_command_lists_cycles_in_json_and_in_the_file(flipping: Path, tmp_path: Path) -> None:
    out = tmp_path / "points.npz"
    ran = run("fixed-points", flipping, "--cycles", 3, "--starts", 128, "--out", out, "--json")
    assert ran.exit_code == 0, ran.output
    data = json.loads(ran.stdout)
    assert {p: c["completeness"]["found"] for p, c in data["cycles"].items()} == {"2": 4, "3": 0}
    with np.load(out) as file:
        assert file["states"].shape == (1, 2)
        assert file["cycles_2_states"].shape == (4, 2, 2)
        assert file["cycles_2_multipliers"].shape == (4, 2)
        assert file["cycles_3_states"].shape == (0, 3, 2)


def test_the_command_prints_a_table_per_period(flipping: Path) -> None:
    ran = run("fixed-points", flipping, "--cycles", 2, "--starts", 128)
    assert "4 cycles of period 2 (2 attractors, 2 saddles)" in ran.stdout
    assert "cycles" not in run("fixed-points", flipping, "--starts", 128).stdout


def test_a_report_of_a_network_that_keeps_its_memories_in_cycles() -> None:
    """Four units: 2^4 / 2 = 8 stable 2-cycles, and no stable fixed point; found because orbits end there."""
    made = dynsys.report(cells.Elman(U=-2.0 * np.eye(4)), None, n_starts=512)
    assert "no stable fixed point; 8 stable 2-cycles" in made.verdict
    finding = next(f for f in made.findings if f.id == "cycles")
    assert finding.title == "No stable fixed point; 8 stable 2-cycles"
    assert finding.value == {"2": 40}
    assert made.document.data["cycles"]["2"]["completeness"].found == 40
    section = next(s for s in made.document.sections if s.id == "cycles")
    assert [block.id for block in section.blocks if hasattr(block, "svg")] == ["cycles"]


def test_a_report_without_cycles_has_no_such_section() -> None:
    made = dynsys.report(cells.Elman(U=[[0.5]]), None, n_starts=32)
    assert "cycles" not in made.document.data
    assert "cycles" not in [section.id for section in made.document.sections]


def test_a_report_says_what_was_asked_for_and_not_there() -> None:
    made = dynsys.report(cells.Elman(U=[[0.5]]), None, n_starts=32, cycles=2)
    assert made.document.data["cycles"]["2"]["completeness"].found == 0
    assert "cycles" not in [finding.id for finding in made.findings]
