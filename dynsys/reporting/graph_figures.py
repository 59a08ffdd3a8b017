"""The pictures of a propagation report, each from one study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dynsys.reporting.document import Figure
from dynsys.reporting.figures import GREY
from dynsys.reporting.graph_gradient_figures import by_layer, exponents, gradients, marks
from dynsys.reporting.graph_study import GraphStudy
from dynsys.reporting.svg import COLOURS, drawing, figure_svg
from dynsys.reporting.wording import minus, plural
from dynsys.types import Array, Integers

DRAWN = 400  # nodes of a drawing
NAMED, LONGEST_NAME = 30, 10  # nodes of a drawing that bears their names, and characters of a name
MARKED = 5  # at most one edge in so many is marked
NATS = float(np.log(10))


def graph_drawing(study: GraphStudy) -> Figure | None:
    """The graph, or a connected part of it; bottleneck edges marked."""
    import networkx as nx

    graph = study.graph
    if not graph.n_edges:
        return None
    keep = _part(study)
    part = graph.subgraph(keep)
    drawn = nx.Graph()
    drawn.add_nodes_from(range(part.n_nodes))
    drawn.add_edges_from(part.edges.T.tolist())
    places = nx.spring_layout(drawn, seed=study.seed % 2**32, iterations=60)
    at = np.array([places[i] for i in range(part.n_nodes)])
    narrow = _narrow(study, keep, part.n_edges)
    degrees = _coloured(study, keep)
    alike = float(np.ptp(degrees)) == 0.0  # every node has the same colour: no scale for it
    small = part.n_nodes <= NAMED
    with drawing(5.6, 4.4) as canvas:
        plane = canvas.add_subplot()
        from matplotlib.collections import LineCollection

        lines = [at[list(pair)] for pair in part.edges.T.tolist()]
        plane.add_collection(LineCollection(lines, colors=GREY, linewidths=1.0 if small else 0.4, alpha=0.6, zorder=1))
        if narrow:
            marked = [at[list(pair)] for pair in narrow]
            plane.add_collection(
                LineCollection(marked, colors=COLOURS[1], linewidths=1.8, zorder=2, label="lowest curvature")
            )
        looks: dict[str, Any] = {"color": COLOURS[0]} if alike else {"c": degrees, "cmap": "viridis"}
        dots = plane.scatter(*at.T, s=45 if small else 9, linewidths=0, zorder=3, **looks)
        if not alike:
            _scale(canvas, plane, dots, degrees)
        if small:
            for i, place in enumerate(at):
                name = str(graph.nodes[int(keep[i])])[:LONGEST_NAME]
                plane.annotate(name, place, (5, 4), textcoords="offset points", fontsize=8, zorder=4)
        if narrow:
            # Below the drawing: a node may be anywhere inside.
            canvas.legend(loc="outside lower center")
        plane.set_axis_off()
        plane.autoscale()
        plane.margins(0.08)
        svg = figure_svg(canvas)
    whole = part.n_nodes == graph.n_nodes
    shown = "The graph" if whole else f"{part.n_nodes} of {graph.n_nodes} nodes: a connected part around a bottleneck"
    return Figure(
        id="graph",
        svg=svg,
        width=0.8,
        alt=f"Drawing of {plural(part.n_nodes, 'node')} and {plural(part.n_edges, 'edge')} of the graph.",
        caption=f"{shown}, "
        + (f"every node of degree {degrees[0]:g}." if alike else "colour by degree.")
        + (
            " Marked edges have the lowest balanced Forman curvature of the whole graph, below zero: bottlenecks."
            if narrow
            else ""
        ),
    )


def _narrow(study: GraphStudy, keep: Integers, edges: int) -> set[tuple[int, int]]:
    """The edges to be marked among the nodes `keep`: negative in curvature, few enough to say something."""
    if study.narrow is None:
        return set()
    where = {int(node): i for i, node in enumerate(keep)}
    pairs = study.narrow.edges[:, study.narrow.curvature < 0].T.tolist()  # lowest first
    there = [(where[a], where[b]) for a, b in pairs if a in where and b in where]
    return set(there[: max(1, edges // MARKED)])


def _scale(canvas: Any, plane: Any, dots: Any, degrees: Array) -> None:
    """The colours of degrees; whole numbers where degrees are."""
    from matplotlib.ticker import MaxNLocator

    whole = bool((degrees == np.round(degrees)).all())
    canvas.colorbar(dots, ax=plane, shrink=0.7, label="degree", ticks=MaxNLocator(6, integer=whole))


def _part(study: GraphStudy) -> Integers:
    """Up to DRAWN nodes: all, or those nearest to the narrowest edge (else to the first node of the largest part)."""
    graph = study.graph
    if graph.n_nodes <= DRAWN:
        return np.arange(graph.n_nodes)
    if study.narrow is not None and study.narrow.edges.shape[1]:
        first = int(study.narrow.edges[0, 0])
    else:
        first = int(np.flatnonzero(graph.components == int(np.argmax(np.bincount(graph.components))))[0])
    A = graph.adjacency
    seen, order, i = {first}, [first], 0
    while i < len(order) and len(order) < DRAWN:
        node = order[i]
        # Few neighbours of each node, or one hub fills the picture.
        for other in A.indices[A.indptr[node] : A.indptr[node + 1]][:12].tolist():
            if other not in seen and len(order) < DRAWN:
                seen.add(other)
                order.append(other)
        i += 1
    return np.array(order)


def _coloured(study: GraphStudy, keep: Integers) -> Array:
    return np.asarray(study.graph.degrees[keep])


def spectrum_density(study: GraphStudy) -> Figure | None:
    """The density of eigenvalues with its error band, and the ends."""
    result = study.density
    if result is None or result.trivial_share == 1:
        return None
    with drawing(5.6, 2.7) as canvas:
        plane = canvas.add_subplot()
        grid, density = result.grid, result.density
        plane.fill_between(grid, density - 2 * result.errors, density + 2 * result.errors, color=COLOURS[0], alpha=0.25)
        plane.plot(grid, density, color=COLOURS[0])
        for value, colour, name in (
            (study.spectrum.lambda_2, COLOURS[1], "$\\lambda_2$"),
            (study.spectrum.lambda_min, COLOURS[2], "$\\lambda_{min}$"),
        ):
            if np.isfinite(value):
                plane.axvline(value, color=colour, lw=1.1, ls="--", label=f"{name} = {minus(f'{value:.4f}')}")
        plane.set_xlabel("eigenvalue of the propagation matrix")
        plane.set_ylabel("density")
        top = float(np.quantile(density, 0.99))
        plane.set_ylim(0, max(1.3 * top, 1e-3))
        plane.set_xlim(-1.02, 1.02)
        # Below the axes: the lines may stand anywhere inside.
        canvas.legend(loc="outside lower center", ncols=2)
        svg = figure_svg(canvas)
    return Figure(
        id="density",
        svg=svg,
        width=0.85,
        alt=f"Spectral density; lambda_2 is {study.spectrum.lambda_2:.4f}.",
        caption=(
            "Density of the eigenvalues, smoothed over the resolution of the method, with a band of two standard "
            "errors. A layer multiplies a signal along an eigenvector by its eigenvalue. Peaks higher than the frame "
            "are eigenvalues of many nodes, such as twins."
        ),
    )


def collapse(study: GraphStudy) -> Figure | None:
    """Distance and energy by layer against the bound."""
    run = study.propagation
    if run.log_norm[0] == -np.inf:
        return None
    layers = np.arange(run.depth + 1)
    with drawing(6.8, 3.0) as canvas:
        left, right = canvas.subplots(1, 2)
        _curve(left, layers, run.log_distance - run.log_norm[0], COLOURS[0], "distance $d_M$, measured", run.spread)
        bound = run.log_distance_bound - run.log_norm[0]
        seen = np.isfinite(bound) & (bound < 200)
        bounded = bool(seen[1:].any())
        if bounded:
            left.plot(layers[seen], bound[seen] / NATS, color=COLOURS[1], ls="--", lw=1.1, label="bound on $d_M$")
        _curve(left, layers, run.log_norm - run.log_norm[0], GREY, "size $|H|$", run.spread, "log_norm")
        by_layer(left)
        left.set_ylabel("log₁₀, first size = 0")
        left.legend(loc="best")
        shown = run.rayleigh
        dots = marks(run.depth)
        right.plot(layers, shown, color=COLOURS[2], label="Rayleigh quotient $E/|H|^2$", **dots)
        right.plot(layers, run.mad, color=COLOURS[3], label="MAD of neighbours", **dots)
        if np.isfinite(run.probe).any():
            right.plot(layers, run.probe, color=COLOURS[4], label="accuracy of a linear probe", **dots)
        by_layer(right)
        right.set_ylim(bottom=0)
        right.legend(loc="best")
        svg = figure_svg(canvas)
    return Figure(
        id="collapse",
        svg=svg,
        alt=f"Distance to the collapse subspace over {run.depth} layers; it changes by {run.rate:.4f} nats per layer.",
        caption=(
            "Left: distance to the collapse subspace and size of the signal, relative to the size of the input"
            + (", with what theory allows the distance" if bounded else "")
            + ". Right: what the layers do to smoothness and to similarity of neighbours"
            + (", and how well a linear classifier still reads the labels." if np.isfinite(run.probe).any() else ".")
        ),
    )


def _curve(
    plane: Any, x: Any, y: Array, colour: str, label: str, spread: dict[str, Array], name: str = "log_distance"
) -> None:
    finite = np.isfinite(y)
    plane.plot(x[finite], y[finite] / NATS, color=colour, label=label, **marks(len(x) - 1))
    if name in spread:
        wide = spread[name][finite]
        plane.fill_between(x[finite], (y[finite] - wide) / NATS, (y[finite] + wide) / NATS, color=colour, alpha=0.2)


def frequencies(study: GraphStudy) -> Figure | None:
    """Shares of the signal by band of eigenvalues, and ranks."""
    run = study.propagation
    known = np.isfinite(run.band_energy).all(axis=1) if run.band_energy.size else np.zeros(0, dtype=bool)
    ranked = np.isfinite(run.effective_rank)
    if not known.any() and not ranked.any():
        return None
    layers = np.arange(run.depth + 1)
    said = []
    both = known.any() and ranked.any()
    with drawing(6.8 if both else 4.6, 3.2 if known.any() else 2.6) as canvas:
        # A panel without data is left out.
        panels = [canvas.add_subplot(1, int(known.any()) + int(ranked.any()), 1)]
        if both:
            panels.append(canvas.add_subplot(1, 2, 2))
        if known.any():
            left = panels[0]
            labels = [f"{a:g} to {b:g}" for a, b in zip(run.bands, run.bands[1:], strict=False)]
            shares = np.clip(run.band_energy[known].T, 0, None)
            left.stackplot(layers[known], shares, labels=labels, colors=[COLOURS[k % 6] for k in (3, 1, 5, 2, 0)])
            left.set_ylim(0, 1)
            by_layer(left)
            left.set_ylabel("share of $|H|^2$")
            handles, names = left.get_legend_handles_labels()
            canvas.legend(handles, names, loc="outside lower center", ncols=5, title="eigenvalues of $A$")
            said.append(
                "which eigenvalues the signal is made of, through smooth windows that add up to one; eigenvalues near "
                "1 are low graph frequencies."
            )
        if ranked.any():
            right = panels[-1]
            right.plot(layers[ranked], run.effective_rank[ranked], "o-", color=COLOURS[0], label="effective rank")
            stable = np.isfinite(run.stable_rank)
            right.plot(layers[stable], run.stable_rank[stable], "s-", color=COLOURS[1], label="stable rank", mfc="none")
            _rank_axis(right, np.concatenate([run.effective_rank[ranked], run.stable_rank[stable]]))
            by_layer(right)
            right.legend(loc="best")
            said.append("how many directions the signal still has.")
        svg = figure_svg(canvas)
    return Figure(
        id="frequencies",
        svg=svg,
        width=1.0 if both else 0.7,
        alt="What the signal is made of, by layer: " + " ".join(said),
        caption=(f"Left: {said[0]} Right: {said[1]}" if len(said) == 2 else f"By layer: {said[0]}"),
    )


def _rank_axis(plane: Any, ranks: Array) -> None:
    """From zero where ranks are of one size, else logarithmic; with plain numbers in both cases."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    live = ranks[ranks > 0]
    if not len(live) or live.max() < 30.0 * live.min():
        plane.set_ylim(0, 1.08 * max(float(ranks.max(initial=0.0)), 1.0))
        return
    plane.set_yscale("log")
    plane.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if live.max() < 1e3 * live.min() else (1.0,)))
    plane.yaxis.set_major_formatter(ScalarFormatter())
    plane.yaxis.set_minor_formatter(NullFormatter())


def squashing(study: GraphStudy) -> Figure | None:
    """Influence by distance, and the narrow edges."""
    result = study.influence
    if result is None or not np.isfinite(result.reach):
        return None
    with drawing(6.8, 2.7) as canvas:
        left, right = canvas.subplots(1, 2)
        left.bar(result.hops, result.shares, color=COLOURS[0], width=0.7)
        by_layer(left, "distance (hops)")
        left.set_ylabel("share of all influence")
        finite = np.isfinite(result.log_total)
        per_node, bound = result.log_per_node, result.log_bound - np.log(result.nodes_at)
        right.plot(result.hops[finite], per_node[finite] / NATS, "o-", color=COLOURS[0], label="measured")
        right.plot(result.hops, bound / NATS, "--", color=COLOURS[1], label="topological bound")
        by_layer(right, "distance (hops)")
        right.set_ylabel("influence of one node, log₁₀")
        right.legend(loc="best")
        svg = figure_svg(canvas)
    return Figure(
        id="squashing",
        svg=svg,
        alt=f"Influence comes from {result.reach:.2f} hops away on average, after {result.depth} layers.",
        caption=(
            f"Left: from how far the output at a node is influenced after {plural(result.depth, 'layer')}. Right: the "
            "influence of a single node at each distance, and what the graph alone allows"
            + ("; without weights and activations the two are equal." if study.network is None else ".")
        ),
    )


def remedies(study: GraphStudy) -> Figure | None:
    """What each change did to the relative distance at the last layer."""
    known = [r for r in study.remedies if np.isfinite(r.log_relative_distance).all()]
    if not known:
        return None
    names = ["as it is", *(r.name for r in known)]
    values = np.array([known[0].log_relative_distance[0], *(r.log_relative_distance[1] for r in known)]) / NATS
    with drawing(5.6, 0.5 + 0.33 * len(names)) as canvas:
        plane = canvas.add_subplot()
        low = min(float(values.min()), -0.05)
        plane.barh(names[::-1], values[::-1] - 1.05 * low, left=1.05 * low, color=[COLOURS[0]] * len(known) + [GREY])
        plane.set_xlim(1.05 * low, 0)
        plane.set_xlabel("log₁₀ of $d_M/|H|$ at the last layer (0: no collapse at all)")
        svg = figure_svg(canvas)
    return Figure(
        id="remedies",
        svg=svg,
        width=0.85,
        alt="Relative distance at the last layer for each change.",
        caption="What is left of the differences between nodes at the last layer, as it is and with each change.",
    )


FIGURES: dict[str, Callable[[GraphStudy], Figure | None]] = {
    "graph": graph_drawing,
    "density": spectrum_density,
    "collapse": collapse,
    "frequencies": frequencies,
    "gradients": gradients,
    "exponents": exponents,
    "squashing": squashing,
    "remedies": remedies,
}
