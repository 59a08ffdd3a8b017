"""Gradients through depth: Jacobians of the layers, gradients on their way back, exponents over layers."""

from __future__ import annotations

import math

import numpy as np

from dynsys.reporting.document import Block, Figure, Paragraph, Section, Table
from dynsys.reporting.graph_study import GraphStudy
from dynsys.reporting.wording import even, number, plural, small, with_error
from dynsys.types import Array, Integers

ROWS = 8  # layers of the table of singular values
TITLE = "Gradients through depth"


def gradients_section(study: GraphStudy, figures: dict[str, Figure]) -> Section:
    """The section, of what was measured."""
    run = study.propagation
    said = "A deep graph network is a recurrent map over layers, and its gradients behave as in recurrent networks."
    gains = run.jacobian_gain[1:][np.isfinite(run.jacobian_gain[1:])]
    mean = run.jacobian_rms[1:][np.isfinite(run.jacobian_rms[1:])]
    if len(gains):
        said += (
            f" The largest singular value of a layer's Jacobian is {_range(gains)}; the root mean square of all of "
            f"them is {_range(mean)}: typical gradients change by other factors than the largest."
        )
        if study.network is None:
            said += " Without weights they are the moduli of the eigenvalues of $A$, each once for every feature."
    blocks: list[Block] = [Paragraph(said)]
    table = _singular_values(study)
    if table is not None:
        blocks.append(table)
    if "gradients" in figures:
        blocks.append(figures["gradients"])
    else:
        text = "Not measured: a gradient through all layers would cost more than the rest of this report; "
        blocks.append(Paragraph(text + "`propagation(..., gradients=True)` does it."))
    return Section("gradients", TITLE, (*blocks, *_exponents(study, figures)))


def _range(values: Array) -> str:
    low, high = number(float(values.min())), number(float(values.max()))
    return low if low == high else f"between {low} and {high}"


def _singular_values(study: GraphStudy) -> Table | None:
    run = study.propagation
    known = np.flatnonzero(np.isfinite(run.jacobian_singular_values).all(axis=1))
    k = run.jacobian_singular_values.shape[1]
    if not k or not len(known):
        return None
    shown = _distinct(run.jacobian_singular_values, known)
    shown = shown[np.unique(np.linspace(0, len(shown) - 1, min(ROWS, len(shown))).round().astype(int))]
    rows = []
    for layer in shown.tolist():
        values = [even(float(v)) for v in run.jacobian_singular_values[layer]]
        rms = float(run.jacobian_rms[layer])
        rows.append((str(layer), *values, even(rms) if math.isfinite(rms) else "–"))
    worst = float(run.jacobian_singular_errors[shown].max())
    note = f"Equal values as often as they occur; errors up to {small(worst)}. RMS: over all singular values."
    if len(shown) < run.depth:
        note += " Layers between two rows either repeat the upper one or were not all measured or shown."
    return Table(
        caption=f"The {k} largest singular values of the Jacobian of a layer.",
        header=("layer", *(f"$\\sigma_{i}$" for i in range(1, k + 1)), "RMS"),
        rows=tuple(rows),
        align="r" * (k + 2),
        note=note,
    )


def _distinct(values: Array, known: Integers) -> Integers:
    """The layers whose values are not those of the one before."""
    kept = [known[0]]
    for at in known[1:]:
        if not np.array_equal(values[at], values[kept[-1]]):
            kept.append(at)
    return np.array(kept)


def _exponents(study: GraphStudy, figures: dict[str, Figure]) -> list[Block]:
    if not study.exponents:
        return [Paragraph("Lyapunov exponents over layers were left out; the findings say why.")]
    names = [run.name for run in study.exponents]
    said = (
        "Lyapunov exponents are the mean rates at which small differences of the signal grow or shrink from layer to "
        "layer, as along the steps of a recurrent network. The largest one belongs to differences that all nodes "
        "share; the largest outside the collapse subspace says whether nodes stay distinct."
    )
    if "tied" not in names:
        said += " No layer of the network keeps the number of features, so that none of them can be repeated."
    rows, lengths = [], []
    for run in study.exponents:
        found = run.measured
        rows.append(
            (
                run.what,
                with_error(float(found.exponents[0]), float(found.standard_errors[0])),
                _closed(run.leading),
                with_error(found.transverse, found.transverse_error),
                _closed(run.transverse),
            )
        )
        lengths.append(f"{plural(found.depth, 'layer')} after {found.discard} discarded")
    note = (
        f"Measured over {' and '.join(dict.fromkeys(lengths))}. Theory: $\\ln|\\lambda| + \\ln|\\mu|$ for eigenvalues "
        "$\\lambda$ of A and $\\mu$ of the weights that are repeated; for fresh Gaussian weights Newman's exponents of "
        "random products in place of $\\ln|\\mu|$. Activations and residual connections have no closed form."
    )
    table = Table(
        caption="Lyapunov exponents over layers, nats per layer.",
        header=("stack", "largest", "in theory", "outside $M$", "in theory"),
        rows=tuple(rows),
        align="lrrrr",
        note=note,
    )
    return [Paragraph(said), table, *([figures["exponents"]] if "exponents" in figures else [])]


def _closed(value: float) -> str:
    return "–" if math.isnan(value) else number(value)
