"""Pictures of where orbits end: hits of the search, the wiring of the memories, the drift along slow manifolds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dynsys.reporting.document import Figure
from dynsys.reporting.figures import GREY, principal_axes
from dynsys.reporting.svg import COLOURS, drawing
from dynsys.reporting.wording import number, plural
from dynsys.types import Array
from dynsys.unstable_branches import Wiring

MOST_NODES = 64  # attractors above which a wiring is a table, not a drawing
NAMED = 30  # fixed points above which their numbers are left out
KIND_COLOURS = {"attractor": COLOURS[0], "saddle": COLOURS[2], "repeller": COLOURS[1], "undecided": GREY}


def hits(study: Any) -> Figure | None:
    """How often uniform starts met each fixed point."""
    points = study.fixed_points.points
    count = len(points)
    if count < 2 or not points.hits.any():
        return None
    order = np.argsort(-points.hits, kind="stable")
    with drawing(5.6, 2.5) as canvas:
        plane = canvas.add_subplot()
        for kind in dict.fromkeys(points.kinds):
            at = [k for k, i in enumerate(order) if points.kinds[i] == kind]
            plane.bar(at, np.maximum(points.hits[order[at]], 0.0), color=KIND_COLOURS[kind], width=0.75, label=kind)
        plane.axhline(1, color=GREY, lw=0.8, ls=":")
        plane.set_xlim(-0.7, max(count, 10) - 0.3)
        plane.set_yscale("symlog", linthresh=1.0)
        ticks = [t for t in (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000) if t <= points.hits.max() * 1.3]
        plane.set_yticks(ticks, [str(t) for t in ticks])
        plane.minorticks_off()
        if count <= NAMED:
            plane.set_xticks(range(count), [str(i + 1) for i in order], fontsize=7)
        plane.set_xlabel("fixed point" if count <= NAMED else "fixed points, most often met first")
        plane.set_ylabel("uniform starts")
        plane.legend(loc="upper right", ncols=4)
        svg = figure_svg_of(canvas)
    least = int(points.hits.min())
    return Figure(
        id="hits",
        svg=svg,
        width=0.8,
        alt=f"Hits of {plural(count, 'fixed point')} by uniform starts, from {points.hits.max()} down to {least}.",
        caption=(
            "How many uniform starts of the search ended at each fixed point. Points met once (dotted) or never say "
            "that there may be more; those met never were found from mixtures of the others."
        ),
    )


def figure_svg_of(canvas: Any) -> str:
    """The canvas as SVG text."""
    from dynsys.reporting.svg import figure_svg

    return figure_svg(canvas)


def wiring(study: Any) -> Figure | None:
    """Which memories border which: branches in state space, and the graph they make."""
    wired: Wiring = study.wiring
    nodes = _nodes(wired)
    if not len(wired) or not 0 < len(nodes) <= MOST_NODES:
        return None
    flat = study.f.state_size < 2 or len(nodes) < 3
    with drawing(4.4 if flat else 7.0, 3.3) as canvas:
        if not flat:
            _branches(canvas.add_subplot(1, 2, 1), study, wired, nodes)
        _graph(canvas.add_subplot(1, 1 if flat else 2, 1 if flat else 2), study, wired, nodes)
        svg = figure_svg_of(canvas)
    ends = f"{plural(len(wired), 'saddle')} between {plural(len(nodes), 'attractor')}"
    left = (
        ""
        if flat
        else "Left: the branches in the plane of most variance of attractors and saddles. Right: the graph they make. "
    )
    return Figure(
        id="wiring",
        svg=svg,
        width=0.65 if flat else 1.0,
        alt=f"The wiring of the memories: {ends}, {plural(len(wired.borders), 'border')}.",
        caption=(
            f"The wiring of the memories. From each saddle with one unstable direction (squares) both branches are "
            f"followed to the attractors at their ends (discs, larger for larger basins). {left}Numbers are those of "
            f"the table of fixed points{_of_cycles(wired)}."
        ),
    )


def _of_cycles(wired: Wiring) -> str:
    """How cycles are named in the picture, for its caption, if there are any in it."""
    there = [int(p) for p in wired.periods if p > 1]
    return f"; {there[0]}:1 is the saddle that is cycle 1 of period {there[0]}" if there else ""


def _nodes(wired: Wiring) -> list[int]:
    """Attractors that are drawn: those with a branch, and the listed ones without."""
    reached = {int(end) for end in wired.ends.ravel() if end >= 0}
    return [i for i, row in enumerate(wired.listed) if i in reached or row is not None]


def node_name(wired: Wiring, i: int) -> str:
    """An attractor's number in the table of fixed points or of the cycles of its period, or what it is."""
    kind, row = wired.attractors[i].kind, wired.listed[i]
    if kind == "fixed point":
        return "new" if row is None else str(row + 1)
    period = wired.attractors[i].period
    if period:
        return f"{period}-cycle" if row is None else f"{period}-cycle {row + 1}"
    return {"invariant circle": "circle", "invariant torus": "torus"}.get(kind, kind)


def _branches(plane: Any, study: Any, wired: Wiring, nodes: list[int]) -> None:
    saddles = wired.states
    # Cycles by all their states: the mean of one lies where the orbit never is.
    drawn = [a.states if (a := wired.attractors[i]).period else a.states.mean(axis=0, keepdims=True) for i in nodes]
    centres, sizes = np.concatenate(drawn), np.repeat(_sizes(study, wired, nodes), [len(states) for states in drawn])
    mean, axes, _ = principal_axes(np.concatenate([centres, saddles]))
    axes = axes[:2]
    for pair in wired.paths:
        for path in pair:
            plane.plot(*((path - mean) @ axes.T).T, color=COLOURS[2], lw=0.9, alpha=0.8, zorder=1)
    plane.scatter(*((saddles - mean) @ axes.T).T, marker="s", s=24, facecolors="none", edgecolors=COLOURS[2], zorder=3)
    plane.scatter(*((centres - mean) @ axes.T).T, s=sizes, color=COLOURS[0], zorder=4)
    plane.set_xlabel("PC 1")
    plane.set_ylabel("PC 2")


def _sizes(study: Any, wired: Wiring, nodes: list[int]) -> Array:
    shares = [study.basins.fractions[wired.listed[i]] if wired.listed[i] is not None and
              wired.attractors[i].period == 1 else 0.0 for i in nodes]  # fmt: skip
    return np.asarray(40.0 + 260.0 * np.sqrt(np.array(shares)))


def _graph(plane: Any, study: Any, wired: Wiring, nodes: list[int]) -> None:
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(nodes)
    edges: dict[tuple[int, int], list[str]] = {}
    loops: dict[int, list[str]] = {}
    for saddle, period, (a, b) in zip(wired.saddles, wired.periods, wired.ends, strict=True):
        if min(a, b) < 0:
            continue
        name = str(saddle + 1) if period == 1 else f"{period}:{saddle + 1}"
        if a == b:
            loops.setdefault(int(a), []).append(name)
        else:
            edges.setdefault((int(min(a, b)), int(max(a, b))), []).append(name)
    graph.add_edges_from(edges)
    where = _layout(graph)
    labels: list[Array] = []
    for (a, b), saddles in edges.items():
        line = np.array([where[a], where[b]])
        plane.plot(*line.T, color=COLOURS[2], lw=1.1, zorder=1)
        labels.append(_free_place(line, labels))
        _label(plane, labels[-1], saddles)
    for a, saddles in loops.items():
        plane.annotate(
            ", ".join(saddles[:4]) + "…" * (len(saddles) > 4), where[a], textcoords="offset points",
            xytext=(0, 15), ha="center", fontsize=6.5, color=COLOURS[2],
        )  # fmt: skip
    at = np.array([where[i] for i in nodes])
    plane.scatter(*at.T, s=np.maximum(_sizes(study, wired, nodes), 150.0), color=COLOURS[0], zorder=3)
    for i in nodes:
        name = node_name(wired, i)
        inside = len(name) < 3
        plane.annotate(
            name, where[i], ha="center", va="center", fontsize=7.5 if inside else 6.5, zorder=4,
            color="#ffffff" if inside else "#000000", textcoords="offset points", xytext=(0, 0 if inside else -14),
        )  # fmt: skip
    plane.margins(0.16)
    plane.set_axis_off()


def _free_place(line: Array, taken: list[Array]) -> Array:
    """The middle of an edge (2, 2), or where that is taken by one that crosses it, a place beside it."""
    places = [line[0] + share * (line[1] - line[0]) for share in (0.5, 0.38, 0.62, 0.3, 0.7)]
    near = 0.1 * float(np.linalg.norm(line[1] - line[0]))
    free = (at for at in places if all(np.linalg.norm(at - other) > near for other in taken))
    return np.asarray(next(free, places[0]))


def _label(plane: Any, at: Array, saddles: list[str]) -> None:
    plane.scatter(*at, marker="s", s=20, facecolors="#ffffff", edgecolors=COLOURS[2], zorder=2)
    said = ", ".join(saddles[:2]) + "…" * (len(saddles) > 2)
    plane.annotate(said, at, textcoords="offset points", xytext=(5, 4), fontsize=6.5, color=COLOURS[2], zorder=5)


def _layout(graph: Any) -> dict[int, Array]:
    """Positions of the nodes: by path lengths, connected parts side by side."""
    import networkx as nx

    where: dict[int, Array] = {}
    offset = 0.0
    for part in sorted(nx.connected_components(graph), key=len, reverse=True):
        sub = graph.subgraph(sorted(part))
        placed = nx.kamada_kawai_layout(sub) if len(part) > 2 else nx.circular_layout(sub)
        width = max(1.0, np.sqrt(len(part)))
        for node, place in placed.items():
            where[node] = np.asarray(place) * (width / 2.0 if len(part) > 1 else 0.0) + np.array([offset, 0.0])
        offset += width + 0.6
    return where


def drift(study: Any) -> Figure | None:
    """The drift along lines and rings of slow states."""
    lines = [m for m in study.manifolds if m.dimension == 1 and len(m.states) > 2]
    if not lines:
        return None
    with drawing(5.6, 2.5) as canvas:
        plane = canvas.add_subplot()
        plane.axhline(0, color=GREY, lw=0.9)
        for m, colour in zip(lines[:5], COLOURS, strict=False):
            hops = np.linalg.norm(np.diff(m.states, axis=0), axis=1)
            along = np.concatenate([[0.0], np.cumsum(hops)])
            signed = np.einsum("kn,kn->k", m.velocities, m.tangents[:, :, 0])
            plane.plot(
                along, signed, color=colour, marker=".", ms=3, lw=1.0, label=f"{m.kind}, length {m.extents[0]:.3g}"
            )
        plane.set_xlabel("distance along it (model units)")
        plane.set_ylabel("drift per step")
        plane.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        plane.legend(loc="best")
        svg = figure_svg_of(canvas)
    first = lines[0]
    return Figure(
        id="drift",
        svg=svg,
        width=0.8,
        alt=f"Drift along a {first.kind} of slow states, up to {first.drift[2]:.2g} per step.",
        caption=(
            "Drift of the state along each line or ring of slow states, at the constant input: positive is forwards "
            f"along it. Where the curve falls through zero the drift comes to rest. Largest: "
            f"{number(first.drift[2], 2)} model units per step."
        ),
    )


PORTRAIT_FIGURES: dict[str, Callable[[Any], Figure | None]] = {"hits": hits, "wiring": wiring, "drift": drift}
