"""Propagation reports: a graph, a signal on it and the layers it goes through, in one document."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import dynsys
from dynsys.errors import InputError
from dynsys.propagate.network import GraphNetwork
from dynsys.propagate.rates import tells_a_rate
from dynsys.propagate.signals import Signals
from dynsys.reporting import FORMATS, Report, _ready, _require_typst, _write
from dynsys.reporting.assemble import FINDING_FIELDS, SCHEMA_VERSION, analysis_date
from dynsys.reporting.document import Document, Figure, Finding
from dynsys.reporting.findings_on_graphs import graph_findings
from dynsys.reporting.graph_figures import FIGURES
from dynsys.reporting.graph_sections import graph_sections
from dynsys.reporting.graph_study import GraphStudy, run_graph_study
from dynsys.reporting.wording import number, percent
from dynsys.types import Progress

REFERENCES = (
    "T. N. Kipf and M. Welling, Semi-supervised classification with graph convolutional networks, ICLR 2017, "
    "arXiv:1609.02907.",
    "K. Oono and T. Suzuki, Graph neural networks exponentially lose expressive power for node classification, ICLR "
    "2020, arXiv:1905.10947.",
    "C. Cai and Y. Wang, A note on over-smoothing for graph neural networks, arXiv:2006.13318.",
    "T. K. Rusch, M. M. Bronstein and S. Mishra, A survey on oversmoothing in graph neural networks, arXiv:2303.10993.",
    "J. Topping, F. Di Giovanni, B. P. Chamberlain, X. Dong and M. M. Bronstein, Understanding over-squashing and "
    "bottlenecks on graphs via curvature, ICLR 2022, arXiv:2111.14522.",
    "K. Karhadkar, P. K. Banerjee and G. Montúfar, FoSR: first-order spectral rewiring for addressing oversquashing in "
    "GNNs, ICLR 2023, arXiv:2210.11790.",
)


def propagation_report(
    graph: Any,
    network: GraphNetwork | None,
    signals: Signals,
    out: str | Path | None,
    formats: Sequence[str] = FORMATS,
    *,
    title: str,
    depth: int | None = None,
    normalization: str = "sym+loops",
    budget_seconds: float | None = None,
    seed: int = 0,
    command: str = "",
    progress: Progress | None = None,
) -> Report:
    """Analyse propagation on a graph and write the report; arguments as for `run_graph_study` and `dynsys.report`."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise InputError(f"unknown report formats {unknown}; there are {', '.join(FORMATS)}.")
    if "pdf" in formats and out is not None:
        _require_typst()
    folder = None if out is None else _ready(out, formats)
    study = run_graph_study(
        graph, network, signals, depth=depth, normalization=normalization, budget_seconds=budget_seconds, seed=seed,
        progress=progress,
    )  # fmt: skip
    document = graph_document(study, title, command)
    return Report(document, study, {} if folder is None else _write(document, folder, formats))


def graph_document(study: GraphStudy, title: str, command: str) -> Document:
    """The whole report, ready to be rendered."""
    figures: dict[str, Figure] = {}
    for name, draw in FIGURES.items():
        figure = draw(study)
        if figure is not None:
            figures[name] = figure
    findings = graph_findings(study)
    verdict = verdict_of(study, findings)
    reproducibility = _reproducibility(study, command)
    return Document(
        title=title,
        subtitle=f"Propagation report: {study.propagation.name}",
        verdict=verdict,
        severity=findings[0].severity if findings else "info",
        findings=findings,
        facts=_facts(study),
        sections=graph_sections(study, figures),
        methods=_methods(study),
        references=REFERENCES,
        reproducibility=reproducibility,
        data=_data(study, verdict, findings, reproducibility),
        date=analysis_date(),
    )


def verdict_of(study: GraphStudy, findings: tuple[Finding, ...]) -> str:
    """One sentence: whether nodes stay distinct, how fast they become alike, and what that means for labels."""
    run = study.propagation
    ids = {finding.id for finding in findings}
    if "nothing-propagates" in ids:
        return "The graph has no edges: nothing is propagated."
    if "signal-dies" in ids:
        return "The signal dies: from some layer on it is exactly zero."
    if run.effective_depth is None:
        parts = [
            f"Nodes stay distinct over {run.depth} layers (d_M/|H| = {number(float(run.relative_distance[-1]), 3)})"
        ]
    else:
        parts = [f"Nodes become alike: the signal is collapsed from layer {run.effective_depth} of {run.depth} on"]
    if not tells_a_rate(run.rate, run.rate_error, run.depth):
        pass
    elif run.rate < 0:
        parts.append(f"the distance falls by {number(-run.rate, 3)} nats per layer, λ* = {number(run.lambda_star, 4)}")
    else:
        parts.append(f"the distance grows by {number(run.rate, 3)} nats per layer")
    if study.network is not None and math.isfinite(run.probe[-1]) and "labels-fade" not in ids:
        parts.append(f"a linear probe reads {percent(float(run.probe[-1]))} of the labels at the last layer")
    if "energy-falls-labels-stay" in ids:
        parts.append("labels stay readable all the same")
    if "labels-fade" in ids:
        parts.append("a linear classifier loses the labels with depth")
    if "gradients-fade-with-depth" in ids:
        parts.append("gradients fade on their way back")
    return "; ".join(parts) + "."


def _facts(study: GraphStudy) -> tuple[tuple[str, str], ...]:
    run = study.propagation
    facts = [
        ("Nodes", f"{study.graph.n_nodes:,}".replace(",", " ")),
        ("Edges", f"{study.graph.n_edges:,}".replace(",", " ")),
        ("Features", "→".join(str(w) for w in _changes(run.widths))),
        ("Layers", str(run.depth)),
        ("Normalisation", run.normalization),
        ("Precision", run.dtype),
    ]
    return tuple(facts)


def _changes(widths: tuple[int, ...]) -> list[int]:
    kept = [widths[0]]
    for width in widths[1:]:
        if width != kept[-1]:
            kept.append(width)
    return kept


def _methods(study: GraphStudy) -> tuple[str, ...]:
    run = study.propagation
    ends = study.spectrum
    paragraphs = [
        f"Propagation was analysed with dynsys {dynsys.__version__} under the normalisation {run.normalization} [1]. "
        "The signal was carried in two parts, inside and outside the exact eigenvalue-1 space of the propagation "
        "matrix, each with its own scale, so that distances keep their relative accuracy at any depth. Rates are "
        "slopes of the logarithm of the distance to that space; the bound is Oono and Suzuki's [2] with the measured "
        f"spectral gap ({ends.method}); energies are Dirichlet energies of the normalised Laplacian [3, 4].",
        "Influence by distance is exact for the sampled nodes. Curvature is the balanced Forman curvature [5] of all "
        "edges. Rewirings add the edges that widen the spectral gap most to first order [6]; every change was measured "
        "again.",
    ]
    if study.signals.train is not None:
        paragraphs.append(
            "The linear probe is a ridge regression on one-hot labels, centred, with a penalty of "
            f"{percent(0.01)} of the mean squared size of the training rows, fitted on the nodes of `train` and tested "
            "on those of `test` of the file."
        )
    return tuple(paragraphs)


def _reproducibility(study: GraphStudy, command: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    if study.network is not None:
        pairs += [("Model file", study.network.source.path), ("SHA-256", study.network.source.sha256)]
    pairs.append(("Signal", study.signals.origin))
    if command:
        pairs.append(("Command", command))
    pairs += [("Seed", str(study.seed)), ("dynsys", dynsys.__version__)]
    for package in ("numpy", "scipy", "matplotlib", "numba"):
        try:
            pairs.append((package, version(package)))
        except PackageNotFoundError:
            continue
    pairs.append(("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"))
    return tuple(pairs)


def _data(
    study: GraphStudy, verdict: str, findings: tuple[Finding, ...], reproducibility: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """Everything shown, as report.json holds it."""
    from dynsys.jsonable import jsonable

    data: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "verdict": verdict,
        "findings": [{name: getattr(finding, name) for name in FINDING_FIELDS} for finding in findings],
        "graph": study.graph.to_dict(),
        "spectrum": study.spectrum,
        "propagation": study.propagation,
        "remedies": list(study.remedies),
        "environment": dict(reproducibility),
    }
    optional = {
        "linear_propagation": study.linear,
        "influence": study.influence,
        "density": study.density,
        "bottlenecks": study.narrow,
        "homophily": study.homophily,
        "layer_exponents": {run.name: run for run in study.exponents} or None,
    }
    data |= {name: value for name, value in optional.items() if value is not None}
    if study.left_out:
        data["left_out"] = list(study.left_out)
    return jsonable(data)  # type: ignore[no-any-return]
