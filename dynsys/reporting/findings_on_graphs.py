"""What a reader should know about propagation on a graph: ranked findings, each with its number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from dynsys.propagate.rates import tells_a_rate
from dynsys.propagate.result import Propagation
from dynsys.reporting.document import Finding
from dynsys.reporting.findings import RANK
from dynsys.reporting.graph_study import GraphStudy
from dynsys.reporting.wording import number, percent, plural, small, with_error

DROP = 0.05  # loss of accuracy, at most, that counts as "barely moves"
ORDERS = 2.0  # orders of magnitude of energy that make a fall worth naming
FADED, GROWN = math.log(1e-2), math.log(1e2)  # size of a gradient at the input
NARROW = 0.2  # conductance of a cut below which it counts as narrow
LOCAL = 0.5  # of the mean distance of the nodes within reach, below which influence counts as local
NATS = math.log(10)


def graph_findings(study: GraphStudy) -> tuple[Finding, ...]:
    """All findings, gravest first."""
    found = [finding for rule in RULES for finding in rule(study)]
    # What is not about the model in hand comes after all that is.
    return tuple(sorted(found, key=lambda finding: (finding.id == "without-weights", RANK[finding.severity])))


def _collapse(study: GraphStudy) -> Iterator[Finding]:
    run = study.propagation
    left = float(run.relative_distance[-1])
    if run.log_norm[-1] == -math.inf:
        yield Finding(
            id="signal-dies",
            severity="critical",
            title="The signal becomes exactly zero",
            value=int(np.argmax(run.log_norm == -math.inf)),
            uncertainty=None,
            shown=f"from layer {int(np.argmax(run.log_norm == -math.inf))} on",
            method="The signal followed through the layers in two parts with scales of their own.",
            meaning="All units are switched off on all nodes: nothing after this layer depends on the input.",
            advice="Larger weights, a residual connection, or another activation.",
            section="collapse",
        )
        return
    if not study.graph.n_edges:
        yield Finding(
            id="nothing-propagates",
            severity="warning",
            title="The graph has no edges: nothing is propagated",
            value=0,
            uncertainty=None,
            shown=f"{plural(study.graph.n_nodes, 'node')}, no edge",
            method="",
            meaning="Every node is a component of its own, and sees only itself: there is nothing to become alike.",
            advice="Check how the graph was made; an edge of weight 0 is no edge.",
            section="graph",
        )
        return
    if run.effective_depth is not None:
        yield Finding(
            id="signal-collapses",
            severity="warning",
            title="Nodes become alike: the signal collapses",
            value=run.effective_depth,
            uncertainty=None,
            shown=f"d_M/|H| below {run.collapse_tol:g} from layer {run.effective_depth} of {run.depth} on",
            method=f"Distance to the collapse subspace over the size of the signal, normalisation {run.normalization}.",
            meaning=(
                "From there on all nodes of a component carry, but for their degree, the same features up to "
                f"{percent(run.collapse_tol)}. Directions may still be told apart by a classifier: see the probe, "
                "where there are labels."
            ),
            advice=_best_remedy(study),
            section="collapse",
        )
    else:
        yield Finding(
            id="signal-survives",
            severity="good",
            title="Nodes stay distinct over all layers",
            value=left,
            uncertainty=None,
            shown=f"d_M/|H| = {number(left, 3)} at layer {run.depth}",
            method=f"Distance to the collapse subspace over the size of the signal, normalisation {run.normalization}.",
            meaning="What tells nodes apart is still a visible part of the signal at the last layer.",
            advice="Nothing to do.",
            section="collapse",
        )


def _best_remedy(study: GraphStudy) -> str:
    known = [r for r in study.remedies if r.id != "shallower" and math.isfinite(r.log_relative_distance[1])]
    better = [r for r in known if r.log_relative_distance[1] > r.log_relative_distance[0] + 0.01]
    if not better:
        return "Fewer layers, or a residual connection from the first layer."
    best = max(better, key=lambda r: r.log_relative_distance[1])
    before, after = (number(math.exp(v), 2) for v in best.log_relative_distance)
    return f"Measured here: {best.what} raises d_M/|H| at the last layer from {before} to {after}."


def _rate(study: GraphStudy) -> Iterator[Finding]:
    run = study.propagation
    if not math.isfinite(run.rate):
        return
    bound = f"bound {number(run.rate_bound)}" if not run.bound_reason else f"no bound on the rate: {run.bound_reason}"
    if not run.bound_holds:
        yield Finding(
            id="bound-exceeded",
            severity="critical",
            title="The distance exceeds what theory allows",
            value=float((run.log_distance - run.log_distance_bound).max()),
            uncertainty=None,
            shown="",
            method="Oono and Suzuki's bound with the measured spectral gap.",
            meaning="This cannot be: the gap is not that of this matrix, or the measurement is wrong.",
            advice="Please report it, with the graph.",
            section="collapse",
        )
    told = tells_a_rate(run.rate, run.rate_error, run.depth)
    half = f", half of it lost every {number(math.log(2) / -run.rate, 3)} layers" if told and run.rate < 0 else ""
    grows = "The distance to collapse " + ("falls" if run.rate < 0 else "grows") + " exponentially"
    yield Finding(
        id="smoothing-rate",
        severity="info",
        title=grows if told else "Too few layers for a rate of collapse",
        value=run.rate,
        uncertainty=run.rate_error,
        shown=f"{with_error(run.rate, run.rate_error)} nats per layer"
        + (f"; {bound}" if told else f" over {plural(run.depth, 'layer')}: no exponential law can be told from that"),
        method=f"Slope of ln d_M over layers {run.rate_from} to {run.depth}; bound: mean of ln(s λ* + |r|).",
        meaning=f"λ* = {number(run.lambda_star, 6)} ± {small(run.lambda_error)}{half}.",
        advice="Compare with the task: labels that depend on what varies slowly over the graph survive longer.",
        section="collapse",
    )


def _frequency(study: GraphStudy) -> Iterator[Finding]:
    run = study.propagation
    if run.frequency != "high":
        return
    yield Finding(
        id="high-frequency",
        severity="info",
        title="The signal ends at high graph frequencies",
        value=float(run.rayleigh[-1]),
        uncertainty=None,
        shown=f"Rayleigh quotient {number(float(run.rayleigh[-1]))} of at most {number(1 - run.lambda_min)}",
        method="E(H)/|H|² at the last layer.",
        meaning="Neighbours are driven apart instead of together: the layers sharpen. Good for heterophilous labels.",
        advice="Nothing, if that is wanted; else a smaller residual weight, or weights with positive eigenvalues.",
        section="frequencies",
    )


def _probe(study: GraphStudy) -> Iterator[Finding]:
    run = study.propagation
    if not np.isfinite(run.probe).any():
        return
    orders, best, last = _energy_and_labels(run)
    if last < best - DROP:
        yield Finding(
            id="labels-fade",
            severity="warning",
            title="A linear classifier loses the labels with depth",
            value=best - last,
            uncertainty=_binomial(best, study),
            shown=f"accuracy {percent(best)} at layer {int(np.nanargmax(run.probe))}, {percent(last)} at the last",
            method=_probe_method(study, run.name),
            meaning="What the classes differ in is smoothed away, or sinks below what the classifier can use.",
            advice=f"Read out at layer {int(np.nanargmax(run.probe))}.",
            section="collapse",
        )
    elif orders >= ORDERS:
        yield Finding(
            id="energy-falls-labels-stay",
            severity="info",
            title="Energy falls by orders of magnitude, the labels stay readable",
            value=orders,
            uncertainty=None,
            shown=(
                f"energy by {number(orders, 2)} orders of magnitude over {plural(run.depth, 'layer')}, accuracy from "
                f"{percent(best)} at best to {percent(last)}"
            ),
            method=_probe_method(study, run.name),
            meaning=(
                "Dirichlet energy measures size and smoothness, not information: over-smoothing in the sense of "
                "falling energy is not the same thing as lost accuracy."
            ),
            advice="Do not choose the depth by the energy alone.",
            section="collapse",
        )


def _energy_and_labels(run: Propagation) -> tuple[float, float, float]:
    """(orders of magnitude by which the energy falls, best accuracy of the probe, accuracy at the last layer)."""
    with np.errstate(invalid="ignore"):
        orders = (run.log_energy[0] - run.log_energy[-1]) / NATS
    return float(orders), float(np.nanmax(run.probe)), float(run.probe[-1])


def _without_weights(study: GraphStudy) -> Iterator[Finding]:
    """Plain propagation beside a model: what the graph alone does to the labels."""
    run = study.linear
    if run is None or not np.isfinite(run.probe).any():
        return
    orders, best, last = _energy_and_labels(run)
    kept = last >= best - DROP
    if kept and orders < ORDERS:
        return
    yield Finding(
        id="without-weights",
        severity="info",
        title="For comparison, propagation without weights: the labels " + ("stay readable" if kept else "fade"),
        value=best - last,
        uncertainty=_binomial(best, study),
        shown=(
            f"accuracy {percent(best)} at best, {percent(last)} after {plural(run.depth, 'layer')}; energy falls by "
            f"{number(orders, 2)} orders of magnitude"
        ),
        method=_probe_method(study, run.name),
        meaning="This is about the graph and the features, not about the model: its weights and biases are left out.",
        advice="Compare with the probe on the model's own layers.",
        section="collapse",
    )


def _probe_method(study: GraphStudy, name: str) -> str:
    train = len(np.asarray(study.signals.train))
    said = f"{name[0].upper()}{name[1:]}. Ridge classifier on each layer, learnt on {plural(train, 'node')}"
    return f"{said} of the split `train`, tested on `test`."


def _binomial(accuracy: float, study: GraphStudy) -> float | None:
    test = study.signals.test
    return None if test is None else math.sqrt(accuracy * (1 - accuracy) / max(len(np.asarray(test)), 1))


def _gradients(study: GraphStudy) -> Iterator[Finding]:
    run = study.propagation
    first = float(run.log_gradient_norm[0])
    if math.isnan(first) or FADED <= first <= GROWN:
        return
    fades = first < FADED
    yield Finding(
        id="gradients-fade-with-depth" if fades else "gradients-grow-with-depth",
        severity="warning",
        title="Gradients " + ("fade" if fades else "grow") + " on their way back through the layers",
        value=first,
        uncertainty=None,
        shown=f"size 10^{number(first / NATS, 3)} at the input, 1 at the last layer",
        method="One random gradient, carried back exactly through all layers.",
        meaning="The first layers learn " + ("slowly, or not at all." if fades else "in jumps."),
        advice="A residual connection keeps gains near 1." if fades else "Smaller weights, or clipped gradients.",
        section="gradients",
    )


def _influence(study: GraphStudy) -> Iterator[Finding]:
    result = study.influence
    if result is None or not math.isfinite(result.reach) or len(result.hops) < 3:
        return
    # What the graph allows: on a small graph layers soon reach everything, and everything is near.
    within = float(result.hops @ result.nodes_at / result.nodes_at.sum())
    if result.reach < LOCAL * within:
        yield Finding(
            id="influence-is-local",
            severity="info",
            title="Nodes are influenced from much nearer than the nodes within reach",
            value=result.reach,
            uncertainty=result.reach_error,
            shown=(
                f"{with_error(result.reach, result.reach_error)} hops on average, over {plural(result.depth, 'layer')}"
                f"; nodes within reach are {number(within, 3)} hops away on average, {int(result.hops[-1])} at most"
            ),
            method=f"|d h_v / d h_u|₁ of {plural(len(result.sources), 'node')} v, summed by distance.",
            meaning="Information from farther away arrives, but is squashed into little influence.",
            advice="If the task needs distant nodes: more layers help slowly; shortcuts or rewiring help more.",
            section="squashing",
        )


def _narrow(study: GraphStudy) -> Iterator[Finding]:
    result = study.narrow
    if result is None or not len(result.curvature):
        return
    lowest = float(result.curvature[0])
    within = " of the largest component" if study.graph.n_components > 1 else ""
    # Without a narrow cut, low curvature is only that of neighbourhoods that branch: an expander has it everywhere.
    if lowest < -1 and not result.conductance >= NARROW:
        yield Finding(
            id="bottleneck-edges",
            severity="info",
            title="Some edges are bottlenecks",
            value=lowest,
            uncertainty=None,
            shown=(
                f"lowest curvature {number(lowest)}; best cut{within} has conductance {number(result.conductance, 3)}"
            ),
            method="Balanced Forman curvature of all edges, effective resistance of the lowest, spectral sweep cut.",
            meaning="Much of what passes between two parts of the graph goes through few edges.",
            advice="See the table of edges, and what rewiring changes.",
            section="squashing",
        )


def _parts(study: GraphStudy) -> Iterator[Finding]:
    graph = study.graph
    if graph.n_components > 1:
        yield Finding(
            id="disconnected-graph",
            severity="info",
            title="The graph is not connected",
            value=graph.n_components,
            uncertainty=None,
            shown=f"{plural(graph.n_components, 'component')}, {plural(len(graph.isolated), 'isolated node')}",
            method="Breadth-first search.",
            meaning="Each component collapses to a state of its own; nothing passes between them.",
            advice="Nothing, if it is meant; the collapse subspace here has one dimension for each component.",
            section="graph",
        )


def _notes(study: GraphStudy) -> Iterator[Finding]:
    notes = [*study.propagation.notes, *study.spectrum.notes, *study.signals.notes]
    if notes:
        yield Finding(
            id="propagation-note",
            severity="info",
            title="How graph and network were read",
            value=None,
            uncertainty=None,
            shown="",
            method="",
            meaning=" ".join(
                note[0].upper() + note[1:] + ("" if note.endswith(".") else ".") for note in dict.fromkeys(notes)
            ),
            advice="Nothing to do if this is what you meant.",
            section="graph",
        )
    if study.left_out:
        yield Finding(
            id="part-left-out",
            severity="info",
            title="Parts of the report were left out",
            value=None,
            uncertainty=None,
            shown="",
            method="",
            meaning=" ".join(f"{reason[0].upper()}{reason[1:]}." for reason in study.left_out),
            advice="A larger --budget-seconds, where it was the time; else the function that is named, in Python.",
            section="graph",
        )


RULES: tuple[Callable[[GraphStudy], Iterator[Finding]], ...] = (
    _collapse,
    _probe,
    _rate,
    _frequency,
    _gradients,
    _influence,
    _narrow,
    _without_weights,
    _parts,
    _notes,
)
