"""Multipliers of Euler steps as rates in continuous time."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError
from dynsys.reporting.findings_on_time import continuous_time


@pytest.mark.parametrize("alpha", [0.05, 0.5])
def test_rates_are_the_eigenvalues_of_the_differential_equation(alpha: float) -> None:
    """tau dh/dt = -h + tanh(U h) at zero: mu(U) - 1 in units of 1 / tau, whatever the step."""
    cell = cells.LeakyRNN.random(6, 0, gain=1.3, seed=1, alpha=alpha)
    multipliers = np.linalg.eigvals(dynsys.as_map(cell).jacobian(np.zeros(6)))
    result = dynsys.continuous_rates(multipliers, alpha)
    wanted = np.linalg.eigvals(cell.U) - 1
    order, other = np.lexsort((result.rates.imag, result.rates.real)), np.lexsort((wanted.imag, wanted.real))
    np.testing.assert_allclose(result.rates[order], wanted[other], atol=1e-12)
    np.testing.assert_allclose(result.time_constants, -1 / result.rates.real)


def test_artefacts_of_the_step_are_told_from_motion() -> None:
    """-0.5 alternates; -1.5 grows as well; 0.8 + 0.7i turns outwards, though it decays in continuous time."""
    result = dynsys.continuous_rates([0.5, -0.5, -1.5, 0.8 + 0.7j, 1.2, 1.0], 0.1)
    assert result.alternating.tolist() == [False, True, True, False, False, False]
    assert result.unstable_by_step.tolist() == [False, False, True, True, False, False]
    np.testing.assert_allclose(result.time_constants, [0.2, 0.1 / 1.5, 0.04, 0.5, -0.5, np.inf])
    assert not result.faithful
    assert "2 alternate, 2 grow" in repr(result)
    assert dynsys.continuous_rates([0.5, 0.9 + 0.1j], 0.1).faithful
    assert result.to_dict()["time_constants"][-1] == "inf"


@pytest.mark.parametrize(
    ("multipliers", "step", "words"),
    [([np.nan], 0.1, "finite"), (["a"], 0.1, "finite"), ([0.5], 0.0, "time_step"), ([0.5], True, "time_step")],
)
def test_what_is_no_step_is_refused(multipliers: Any, step: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dynsys.continuous_rates(multipliers, step)


@pytest.mark.parametrize(("weight", "severity"), [(0.5, "info"), (-3.0, "warning")])
def test_the_report_names_artefacts(weight: float, severity: str) -> None:
    """The multiplier 0.5 + 0.5 w at zero is -1 for w = -3: alternating. A plain map has no such finding."""
    f = dynsys.as_map(cells.LeakyRNN(U=[[weight]], alpha=0.5))
    study: Any = types.SimpleNamespace(f=f, fixed_points=dynsys.find_fixed_points(f, n_starts=64))
    (finding,) = continuous_time(study)
    assert finding.severity == severity
    study.f = dynsys.as_map(cells.LeakyRNN(U=[[weight]], alpha=1.0))
    assert not list(continuous_time(study))
