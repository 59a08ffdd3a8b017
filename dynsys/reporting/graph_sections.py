"""The evidence of a propagation report: one function per section."""

from __future__ import annotations

import math

import numpy as np

from dynsys.propagate.rates import tells_a_rate
from dynsys.reporting.document import Block, Equation, Figure, Paragraph, Section, Table
from dynsys.reporting.graph_gradients_section import gradients_section
from dynsys.reporting.graph_remedies import Remedy
from dynsys.reporting.graph_study import GraphStudy
from dynsys.reporting.wording import even, number, percent, plural, small, with_error

NATS = math.log(10)


def graph_sections(study: GraphStudy, figures: dict[str, Figure]) -> tuple[Section, ...]:
    """All sections, in reading order."""
    return (
        _graph(study, figures),
        _collapse(study, figures),
        _frequencies(study, figures),
        gradients_section(study, figures),
        _squashing(study, figures),
        _remedies(study, figures),
    )


def _picture(figures: dict[str, Figure], name: str) -> list[Block]:
    return [figures[name]] if name in figures else []


def _graph(study: GraphStudy, figures: dict[str, Figure]) -> Section:
    graph, ends = study.graph, study.spectrum
    sizes = np.bincount(graph.components)
    rows = [
        ("nodes, edges", f"{graph.n_nodes}, {graph.n_edges}"),
        ("components, isolated nodes", f"{graph.n_components} (largest {sizes.max()}), {len(graph.isolated)}"),
        ("self-loops", str(len(graph.self_loops))),
        ("degree: least, median, most", ", ".join(number(float(q)) for q in np.quantile(graph.degrees, (0, 0.5, 1)))),
        ("normalisation", ends.normalization),
        ("$\\lambda_2$", with_error(ends.lambda_2, float(ends.residuals[0]))),
        ("$\\lambda_{min}$", with_error(ends.lambda_min, float(ends.residuals[1]))),
        ("gap $1 - \\lambda^*$", f"{number(ends.gap)} (decided by the {ends.dominant} end)"),
    ]
    if study.homophily is not None:
        h = study.homophily
        rows.append(
            ("homophily: edges, nodes, adjusted", ", ".join(number(v, 3) for v in (h.edge, h.node, h.adjusted)))
        )
    matrix = {
        "sym+loops": "A = (D+I)^{-1/2} (A_G+I) (D+I)^{-1/2}",
        "sym": "A = D^{-1/2} A_G D^{-1/2}",
        "row+loops": "A = (D+I)^{-1} (A_G+I)",
    }
    blocks: list[Block] = [
        Paragraph(
            "A layer mixes the features $H$ (a row per node) over the graph and acts on each node, $H' = s(A H W + b)$."
            " The graph enters through the propagation matrix $A$, made of the adjacency matrix $A_G$ and the degrees "
            "$D$:"
        ),
        Equation(matrix[ends.normalization]),
        Table(
            caption="The graph, and the ends of the spectrum of its propagation matrix.",
            header=("quantity", "value"),
            rows=tuple(rows),
            align="ll",
            note="The exact eigenvalue 1 of each component is left out. Errors are residuals.",
        ),
        *_picture(figures, "graph"),
        *_picture(figures, "density"),
    ]
    return Section("graph", "The graph", tuple(blocks))


def _collapse(study: GraphStudy, figures: dict[str, Figure]) -> Section:
    run = study.propagation
    if not tells_a_rate(run.rate, run.rate_error, run.depth):
        bound = ": these are too few layers for a rate"
    elif run.bound_reason:
        bound = f". No bound on the rate: {run.bound_reason}"
    else:
        bound = f"; the bound is {number(run.rate_bound)}"
    blocks: list[Block] = [
        Paragraph(
            f"{run.name[0].upper()}{run.name[1:]}, {plural(run.depth, 'layer')}, on {study.signals.origin}. The "
            "collapse subspace $M$ holds the signals that all nodes of a component share, up to the square root of "
            "their degree; "
            "$d_M$ is the distance to it, and $E$ the Dirichlet energy."
        ),
        Equation("d_M(H) = \\| (I - \\Pi) H \\|_F, \\quad E(H) = \\operatorname{tr} H^T (I - A) H"),
        *_picture(figures, "collapse"),
        Paragraph(
            f"From layer {run.rate_from} on $\\ln d_M$ changes by {with_error(run.rate, run.rate_error)} per layer"
            f"{bound}."
            if math.isfinite(run.rate)
            else "The distance becomes exactly zero."
        ),
        _layers_table(study),
    ]
    if study.linear is not None:
        lin = study.linear
        said = f"Propagation of the same features without weights: {number(lin.rate)} nats per layer"
        if np.isfinite(lin.probe).any():
            best, last = percent(float(np.nanmax(lin.probe))), percent(float(lin.probe[-1]))
            said += f"; a probe reads {best} at best, {last} at the end"
        blocks.append(Paragraph(said + "."))
    return Section("collapse", "Collapse with depth", tuple(blocks))


def _layers_table(study: GraphStudy) -> Table:
    run = study.propagation
    shown = sorted({0, run.depth, *(k for k in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if k < run.depth)})
    header = ["layer", "$E$", "$E/|H|^2$", "$d_M$", "$d_M/|H|$", "MAD", "effective rank"]
    probed = bool(np.isfinite(run.probe).any())
    rows = []
    for k in shown:
        values = (run.rayleigh[k], run.relative_distance[k], run.mad[k], run.effective_rank[k])
        ratio, apart, mad, rank = ("–" if math.isnan(v) else even(float(v)) if v < 999.5 else number(v) for v in values)
        row = [str(k), _power(run.log_energy[k]), ratio, _power(run.log_distance[k]), apart, mad, rank]
        if probed:
            row.append(percent(float(run.probe[k])) if math.isfinite(run.probe[k]) else "–")
        rows.append(tuple(row))
    if probed:
        header.append("probe")
    notes = ["MAD: mean of one minus the cosine between neighbours; it is no norm."]
    if probed:
        notes.append(
            "Probe: accuracy of a ridge classifier, learnt on the nodes of `train`, tested on those of `test`."
        )
    return Table(
        caption=f"The signal by layer, normalisation {run.normalization}.",
        header=tuple(header),
        rows=tuple(rows),
        align="r" * len(header),
        note=" ".join(notes),
    )


def _power(log: float) -> str:
    """exp(log), also where it does not fit into a float."""
    if math.isnan(log):
        return "–"
    if math.isinf(log):
        return "0" if log < 0 else "∞"
    if -680 < log < 680:
        return even(math.exp(log)) if log < math.log(999.5) else number(math.exp(log))
    exponent = math.floor(log / NATS)
    return small(10 ** (log / NATS - exponent)).replace("10⁰", f"10^{exponent}")


def _frequencies(study: GraphStudy, figures: dict[str, Figure]) -> Section:
    run = study.propagation
    words = {
        "low": "low graph frequencies: neighbours are alike",
        "high": "high graph frequencies: neighbours differ as much as they can",
        "mixed": "no end of the spectrum",
        "none": "nothing, for the signal is zero",
    }
    said = f"At the last layer the Rayleigh quotient is {number(float(run.rayleigh[-1]))} of at most "
    said += f"{number(1 - run.lambda_min)}: the signal is made of {words[run.frequency]}."
    if run.frequency_predicted is not None:
        said += f" In the long run the repeated layer favours the {run.frequency_predicted} end."
    return Section("frequencies", "Frequencies and ranks", (Paragraph(said), *_picture(figures, "frequencies")))


def _squashing(study: GraphStudy, figures: dict[str, Figure]) -> Section:
    blocks: list[Block] = []
    result = study.influence
    if result is not None and not math.isfinite(result.reach):
        blocks.append(Paragraph(f"After {plural(result.depth, 'layer')} no node is influenced by any."))
    elif result is not None:
        blocks.append(
            Paragraph(
                "The influence of node $u$ on node $v$ is the sum of the moduli of $\\partial h_v / \\partial h_u$. "
                f"After {plural(result.depth, 'layer')} it comes from "
                f"{with_error(result.reach, result.reach_error)} hops away on average "
                f"({plural(len(result.sources), 'node')} sampled)."
            )
        )
    blocks += _picture(figures, "squashing")
    if study.narrow is not None and len(study.narrow.curvature):
        blocks.append(_narrow_table(study))
    if not blocks:
        blocks.append(Paragraph("Not measured: the graph has no edges, or the time was used up."))
    return Section("squashing", "Squashing and bottlenecks", tuple(blocks))


def _narrow_table(study: GraphStudy) -> Table:
    narrow = study.narrow
    assert narrow is not None
    rows = []
    crossed = bool(narrow.in_cut.any())
    for k in range(len(narrow.curvature)):
        one, other = (str(study.graph.nodes[int(i)])[:24] for i in narrow.edges[:, k])
        degrees = ", ".join(number(float(study.graph.degrees[int(i)])) for i in narrow.edges[:, k])
        row = (
            f"{one} – {other}",
            degrees,
            even(float(narrow.curvature[k])),
            _measured(float(narrow.resistance[k]), float(narrow.resistance_errors[k])),
        )
        rows.append((*row, "yes" if narrow.in_cut[k] else "no") if crossed else row)
    parts = study.graph.n_components
    where = f" of the largest of {plural(parts, 'component')}" if parts > 1 else ""
    return Table(
        caption="The edges of lowest balanced Forman curvature.",
        header=("edge", "degrees", "curvature", "resistance", *(["in the best cut"] if crossed else [])),
        rows=tuple(rows),
        align="llrrl" if crossed else "llrr",
        note=(
            "Effective resistance 1 (for weight 1): a bridge, the only way across. The best sweep cut"
            f"{where} has conductance {number(narrow.conductance, 3)}"
            + ("." if crossed else "; it goes through none of these edges.")
        ),
    )


def _measured(value: float, error: float) -> str:
    """With its error where that is more than rounding."""
    return with_error(value, error) if error > 1e-9 else f"{value:.4f}"


def _remedies(study: GraphStudy, figures: dict[str, Figure]) -> Section:
    if not study.remedies:
        return Section("remedies", "What would change it", (Paragraph("No change was tried."),))
    probed = any(math.isfinite(r.probe[1]) for r in study.remedies)
    header = ["change", "$d_M/|H|$ at the end", "rate (nats/layer)", "gap"] + (["probe"] if probed else [])
    width = study.features.shape[1]
    first = study.remedies[0]
    rows = [_remedy_row("as it is", [pair[0] for pair in _pairs(first)], probed)]
    rows += [_remedy_row(r.what, [pair[1] for pair in _pairs(r)], probed) for r in study.remedies]
    blocks: list[Block] = [
        Paragraph(
            "Each change was made and the same signal measured again. Which is worth it depends on the task: distinct "
            "nodes are not yet nodes that are told apart for the right reason."
        ),
        Table(
            caption="Changes, and what they did.",
            header=tuple(header),
            rows=tuple(rows),
            align="l" + "r" * (len(header) - 1),
            note=(
                "Everything else as before, weights included: they were not trained again. A wider gap makes it easier "
                "for information to pass and, by the same token, nodes alike in fewer layers."
                + (f" Measured on {study.columns} of {width} columns of the signal." if study.columns < width else "")
            ),
        ),
        *_picture(figures, "remedies"),
    ]
    return Section("remedies", "What would change it", tuple(blocks))


def _pairs(r: Remedy) -> tuple[tuple[float, float], ...]:
    return r.log_relative_distance, r.rate, r.gap, r.probe


def _remedy_row(what: str, values: list[float], probed: bool) -> tuple[str, ...]:
    distance, rate, gap, probe = values
    cells = (what, _power(distance), number(rate), even(gap))
    return (*cells, percent(probe) if math.isfinite(probe) else "–") if probed else cells
