"""`dynsys fixed-points --certify`, and the proofs in a report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner

import cells
import dynsys
from dynsys.cli import main
from dynsys.reporting.certificates_section import certificates_section
from dynsys.reporting.document import Paragraph, Table

MODEL = str(Path(__file__).parents[1] / "examples" / "one_unit.npz")


def test_json_has_the_certificates() -> None:
    out = CliRunner().invoke(main, ["fixed-points", MODEL, "--certify", "--starts", "32", "--json"])
    assert out.exit_code == 0, out.output
    data = json.loads(out.stdout)
    assert data["completeness"]["proven"] is True
    proofs = data["certificates"]
    assert proofs["status"] == ["proven"] * 3
    assert sorted(proofs["n_unstable"]) == [0, 0, 1]
    assert "real arithmetic with the loaded float64 parameters and the stated input" in proofs["statement"]
    np.testing.assert_allclose(proofs["low"], proofs["high"], atol=1e-12)


def test_without_the_option_nothing_is_proven() -> None:
    data = json.loads(CliRunner().invoke(main, ["fixed-points", MODEL, "--starts", "32", "--json"]).stdout)
    assert "certificates" not in data
    assert data["completeness"]["proven"] is False


def test_cycles_are_certified_too(tmp_path: Path) -> None:
    """h' = tanh(-2 h) flips between two values: a stable 2-cycle."""
    file = tmp_path / "flip.npz"
    dynsys.save_npz(cells.Elman(U=np.array([[-2.0]])), str(file))
    arguments = ["fixed-points", str(file), "--certify", "--cycles", "2", "--starts", "32", "--json"]
    data = json.loads(CliRunner().invoke(main, arguments).stdout)
    assert data["certificates"]["kinds"] == ["repeller"]
    assert data["cycles"]["2"]["certificates"]["stability"] == ["stable"]
    text = CliRunner().invoke(main, arguments[:-1]).stdout
    assert "Certificates for cycles of period 2" in text


def test_the_section_says_what_is_and_what_is_not_proven() -> None:
    f = cells.Elman(U=np.diag([2.0, 2.0]))
    found = dynsys.find_fixed_points(f, n_starts=64, prove=True)
    section = certificates_section(dynsys.certify(f, found), found)
    assert section is not None
    text = " ".join(block.text for block in section.blocks if isinstance(block, Paragraph))
    assert "9 proven" in text
    assert "no others" in text
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert len(table.rows) == 9
    pitchfork = cells.Elman(U=np.array([[1.0]]))
    open_ = certificates_section(dynsys.certify(pitchfork, [0.0]), found)
    assert open_ is not None
    assert "Not proven" in " ".join(block.text for block in open_.blocks if isinstance(block, Paragraph))
    assert certificates_section(None, found) is None
