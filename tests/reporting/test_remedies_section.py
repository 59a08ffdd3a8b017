"""The section on remedies says what `remedies` found: the same numbers, in the table, the findings, and JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError
from dynsys.reporting.document import Figure, Table
from dynsys.reporting.remedies_section import remedies_section


def noise(*shape: int, size: float = 1.0) -> Any:
    return size * np.random.default_rng(0).standard_normal(shape)


def forgetful() -> Any:
    """Gates that are their biases: tau before is 1/ln 2, and the single time scale is known to be met exactly."""
    zero = {name: np.zeros((3, 3)) for name in ("U_i", "U_f", "U_o", "U_g")}
    return cells.LSTM(**zero, W_g=np.ones((3, 2)))


def section_of(report: Any) -> Any:
    (section,) = [s for s in report.document.sections if s.id == "remedies"]
    return section


def test_table_findings_and_json_say_the_same(tmp_path: Path) -> None:
    report = dynsys.report(
        forgetful(), tmp_path, ["html", "json"], inputs=noise(40, 4, 2), n_starts=32, step_duration=0.01
    )
    section = section_of(report)
    (table,) = [b for b in section.blocks if isinstance(b, Table)]
    (row,) = [r for r in table.rows if r[1] == "Raise the gates' biases to one time scale"]
    tau = -1 / math.log(1 - 1 / 40)
    assert row[3:] == ("1.44", f"{tau:.1f} ± {tau / 4:.1f}", f"{tau:.1f}", "yes")
    (ms,) = [r for before, r in zip(table.rows, table.rows[1:], strict=False) if before == row]
    assert ms[2:6] == ("the same in ms", "14.4", f"{10 * tau:.0f}", f"{10 * tau:.0f}")
    assert any(isinstance(b, Figure) and b.id == "remedies" for b in section.blocks)
    found = {f.id: f for f in report.findings}
    assert found["remedies"].value["forget-bias-single"][1] == pytest.approx(tau)
    assert "Tried on a copy: raise the gates' biases" in found["vanishing-gradients"].advice
    data = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["remedies"]
    assert data["ms"]["forget-bias-single"]["after"] == pytest.approx(10 * tau)
    assert {r["id"] for r in data["remedies"]} == set(found["remedies"].value)


def test_targets_bring_the_rules_on_gradients() -> None:
    cell = cells.Elman.random(6, 2, gain=0.9, seed=1)
    f = dynsys.as_map(cell)
    f.readout = dynsys.combinators.as_readout(noise(3, 6))  # type: ignore[attr-defined]
    inputs, classes = noise(12, 16, 2), np.random.default_rng(1).integers(0, 3, (11, 16))
    report = dynsys.report(f, None, inputs=inputs, targets=classes, loss="cross-entropy", n_starts=16)
    lines = report.study.remedies.healthy + tuple(r.id for r in report.study.remedies)
    assert any("gradient norms: the largest is" in line or line == "clip-gradients" for line in lines)
    without = dynsys.report(f, None, inputs=inputs, n_starts=16).study.remedies
    assert any("there are no targets" in line for line in without.skipped)
    with pytest.raises(InputError, match="together"):
        dynsys.report(f, None, inputs=inputs, targets=classes, n_starts=16)


def test_none_without_trials_or_where_they_are_not_wanted() -> None:
    cell = cells.GRU.random(3, 2)
    assert dynsys.report(cell, None, n_starts=16).study.remedies is None
    left_out = dynsys.report(cell, None, inputs=noise(20, 2, 2), remedies=False, n_starts=16)
    assert "remedies" not in {s.id for s in left_out.document.sections}
    assert "remedies" not in left_out.document.data


def test_a_network_that_needs_nothing_is_told_so() -> None:
    """An orthogonal linear network keeps everything: no rule fires, and the finding is a good one."""
    U = np.linalg.qr(noise(5, 5))[0]
    report = dynsys.report(cells.Elman(U=U, W=noise(5, 2), activation="identity"), None, inputs=noise(20, 3, 2))
    assert {"nothing-to-change"} == {f.id for f in report.findings if f.section == "remedies"}
    assert "nothing to change" in section_of(report).blocks[1].text


@pytest.mark.parametrize("f", [cells.Elman.random(4, 0, gain=2.0, seed=1), cells.LSTM.random(3, 0, seed=1)])
def test_networks_without_inputs_have_trials_of_a_length_alone(f: Any) -> None:
    report = dynsys.report(f, None, inputs=np.zeros((20, 2, 0)), n_starts=16)
    assert section_of(report).blocks


def test_values_beyond_all_scales_are_drawn() -> None:
    """Growth by e^700 beside growth by two."""
    report = dynsys.report(cells.Elman.random(20, 1, gain=8.0, seed=1), None, inputs=noise(900, 1, 1), n_starts=16)
    force = next(r for r in report.study.remedies if r.id == "force-sparsely")
    assert force.before > 1e100
    assert remedies_section(report.study, None) is not None


def test_a_network_that_contracts_for_all_inputs_is_said_to() -> None:
    """sigma_1(U) = 0.8 and tanh: proven; 1.2: not."""
    Q, x = np.linalg.qr(noise(4, 4))[0], noise(20, 3, 2)
    report = dynsys.report(cells.Elman(U=0.8 * Q, W=noise(4, 2)), None, inputs=x, n_starts=16)
    (finding,) = [f for f in report.findings if f.id == "contracts-for-all-inputs"]
    assert finding.value <= 0.8 * (1 + 1e-12)
    (section,) = [s for s in report.document.sections if s.id == "gradients"]
    said = " ".join(getattr(b, "text", "") for b in section.blocks)
    assert "every gradient vanishes" in said
    assert "below 1, the sufficient condition" in said
    open_ = dynsys.report(cells.Elman(U=1.2 * Q, W=noise(4, 2)), None, inputs=x, n_starts=16)
    assert "contracts-for-all-inputs" not in {f.id for f in open_.findings}
    assert open_.study.worst_case.largest_norm <= open_.study.worst_case.bound
