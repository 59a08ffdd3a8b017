"""A study as a document, and as the content of report.json."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

import dynsys
from dynsys.reporting.cycles_section import cycles_figure
from dynsys.reporting.document import Document, Figure
from dynsys.reporting.figures import FIGURES, principal_axes, state_speeds
from dynsys.reporting.findings import findings_of
from dynsys.reporting.gates import gates_figure
from dynsys.reporting.methods import methods_of
from dynsys.reporting.portrait_figures import PORTRAIT_FIGURES
from dynsys.reporting.remedies_section import remedies_data, remedies_figure
from dynsys.reporting.sections import sections_of
from dynsys.reporting.study import Study
from dynsys.reporting.training import training_section
from dynsys.reporting.verdict import verdict_of
from dynsys.reporting.wording import number, plural
from dynsys.training_log import TrainingLog

SCHEMA_VERSION = "1.0"
FINDING_FIELDS = (
    "id", "severity", "title", "value", "uncertainty", "shown", "method", "meaning", "advice", "section",
)  # fmt: skip


def document_of(study: Study, title: str, command: str, training: TrainingLog | None = None) -> Document:
    """The whole report, ready to be rendered."""
    figures: dict[str, Figure] = {}
    for name, draw in (FIGURES | PORTRAIT_FIGURES).items():
        figure = draw(study)
        if figure is not None:
            figures[name] = figure
    gates = gates_figure(study.gate_times, None if study.gradients is None else study.gradients.horizon)
    if gates is not None:
        figures["gates"] = gates
    helpful = remedies_figure(study)
    if helpful is not None:
        figures["remedies"] = helpful
    orbits = cycles_figure(study)
    if orbits is not None:
        figures["cycles"] = orbits
    findings = findings_of(study)
    methods, references = methods_of(study, dynsys.__version__)
    reproducibility = _reproducibility(study, command)
    verdict = verdict_of(study, findings)
    data = _data(study, verdict, findings, reproducibility)
    watched = training_section(training)
    if training is not None:
        data["training"] = {"header": training.header, "records": list(training.records), "broken": training.broken}
    return Document(
        title=title,
        subtitle=f"Stability report: {study.f.name}",
        verdict=verdict,
        severity=findings[0].severity if findings else "info",
        findings=findings,
        facts=_facts(study),
        sections=(*sections_of(study, figures), *(() if watched is None else (watched,))),
        methods=methods,
        references=references,
        reproducibility=reproducibility,
        data=data,
        date=analysis_date(),
    )


def analysis_date() -> str:
    """Today, or the day of SOURCE_DATE_EPOCH where that is set, as an ISO date."""
    stamp = os.environ.get("SOURCE_DATE_EPOCH", "")
    seconds = float(stamp) if stamp.isdigit() else time.time()
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _facts(study: Study) -> tuple[tuple[str, str], ...]:
    f = study.f
    count = sum(p.size for p in f.parameters.values())
    facts = [("State variables", str(f.state_size)), ("Inputs", str(f.input_size))]
    if count:
        facts.append(("Recurrent parameters", f"{count:,}".replace(",", " ")))
    if study.trials is not None:
        facts.append(("Trials", f"{study.trials.count} of {plural(study.trials.length, 'step')}"))
    input = study.fixed_points.input
    facts.append(("Input of the search", "zero" if not input.any() else ", ".join(number(u) for u in input[:6])))
    if study.step_duration is not None:
        facts.append(("Step", f"{number(1e3 * study.step_duration)} ms"))
    return tuple(facts)


def _reproducibility(study: Study, command: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    source = getattr(study.f, "source", None)
    if source is not None:
        pairs += [
            ("Model file", source.path),
            ("SHA-256", source.sha256),
            ("Stored as", f"{source.format}, {source.dtype}"),
        ]
    if study.trials is not None:
        pairs.append(("Trials", study.trials.origin))
    if command:
        pairs.append(("Command", command))
    pairs.append(("Seed", str(study.seed)))
    pairs.append(("dynsys", dynsys.__version__))
    for package in ("numpy", "scipy", "matplotlib"):
        try:
            pairs.append((package, version(package)))
        except PackageNotFoundError:
            continue
    pairs.append(("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"))
    return tuple(pairs)


def _data(
    study: Study, verdict: str, findings: tuple[Any, ...], reproducibility: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """Everything shown, as report.json holds it."""
    f = study.f
    data: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "verdict": verdict,
        "findings": [{name: getattr(finding, name) for name in FINDING_FIELDS} for finding in findings],
        "model": {
            "name": f.name,
            "state_size": f.state_size,
            "input_size": f.input_size,
            "blocks": {name: [rows.start, rows.stop] for name, rows in f.blocks},
            "parameters": {name: list(p.shape) for name, p in f.parameters.items()},
            "source": getattr(f, "source", None),
            "notes": list(f.notes),
        },
        "fixed_points": study.fixed_points.to_dict()
        | {
            "basins": study.basins,
            "input_overlaps": study.alignment.inputs,
            "readout_overlaps": study.alignment.outputs,
            "overlap_by_chance": study.alignment.chance,
            "henrici": study.fixed_points.points.henrici,
            "transient_growth": list(study.growth),
        },
        "attractors": study.attractors.to_dict(),
        "wiring": study.wiring.to_dict(),
        "slow_manifolds": list(study.manifolds),
        "portrait": _portrait_data(study),
        "environment": dict(reproducibility),
    }
    if study.certificates is not None:
        data["certificates"] = study.certificates
    if study.cycles:
        data["cycles"] = {str(p): found.to_dict() for p, found in study.cycles.items()}
    if study.lyapunov is not None:
        data["lyapunov"] = study.lyapunov
    if study.covariant is not None:
        data["covariant"] = study.covariant.summary()
    if study.gradients is not None:
        data["gradients"] = study.gradients
    if study.gate_times is not None:
        data["gate_time_constants"] = study.gate_times
    if study.worst_case is not None:
        data["worst_case"] = study.worst_case
    if study.remedies is not None:
        data["remedies"] = remedies_data(study.remedies)
    if study.exact is not None:
        formulas, points = study.exact
        data["exact"] = {"state": [str(s) for s in formulas.state], "step": [str(s) for s in formulas.step]}
        data["exact"]["fixed_points"] = list(points)
    if study.replay is not None:
        data["model"]["replay_deviation"] = study.replay
    if study.failures:
        data["failures"] = list(study.failures)
    return data


def _portrait_data(study: Study) -> dict[str, Any]:
    states = study.visited.reshape(-1, study.f.state_size)
    if len(states) < 3:
        return {}
    mean, axes, shares = principal_axes(states)
    moved = state_speeds(study.f, states, study.fixed_points.input)
    return {
        "variance_shares": shares,
        "principal_axes": axes,
        "mean": mean,
        "fixed_points": (study.fixed_points.points.states - mean) @ axes.T,
        "speed_quantiles": dict(
            zip(("5", "25", "50", "75", "95"), np.quantile(moved, (0.05, 0.25, 0.5, 0.75, 0.95)), strict=True)
        ),
    }
