"""Findings on where orbits end: circles, chaos, what the search missed, the wiring, and slow manifolds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dynsys.reporting.document import Finding
from dynsys.reporting.study import Study
from dynsys.reporting.wording import number, percent, plural, small, with_error


def moving(study: Study) -> Iterator[Finding]:
    """Sets on which the state moves for ever without a period."""
    met = study.attractors
    method = (
        f"{met.n_starts} uniform starts followed for up to {met.steps} steps; leading Lyapunov exponents of one orbit "
        "on each set, over 10 000 steps."
    )
    chaos = [a for a in met.attractors if a.kind == "chaos"]
    if chaos:
        first = chaos[0]
        yield Finding(
            id="chaotic-attractor",
            severity="warning",
            title=f"Orbits end on {'a chaotic set' if len(chaos) == 1 else f'{len(chaos)} chaotic sets'}",
            value=met.share("chaos"),
            uncertainty=first.interval if len(chaos) == 1 else None,
            shown=f"{percent(met.share('chaos'))} of starts; λ₁ = {_first(first)} nats/step",
            method=method,
            meaning="At this input the state moves for ever without repeating, and nearby states part.",
            advice="Differences are lost after a few times 1/λ₁ steps: nothing can be held there without input.",
            section="attractors",
        )
    for kind, name in (("invariant circle", "an invariant circle"), ("invariant torus", "an invariant torus")):
        sets = [a for a in met.attractors if a.kind == kind]
        if sets:
            one = len(sets) == 1
            yield Finding(
                id="quasiperiodic",
                severity="info",
                title=f"Orbits end on {name if one else plural(len(sets), kind)}: quasiperiodic, not chaotic",
                value=met.share(kind),
                uncertainty=sets[0].interval if one else None,
                shown=f"{percent(met.share(kind))} of starts; λ₁ = {_first(sets[0])} nats/step",
                method=method,
                meaning=(
                    "At this input the network oscillates for ever without a period: the phase of the oscillation is "
                    "remembered, everything else is forgotten."
                ),
                advice="An input that resets the phase sets what is remembered. Try other inputs with `--input`.",
                section="attractors",
            )


def _first(attractor: object) -> str:
    exponents, errors = attractor.exponents, attractor.exponent_errors  # type: ignore[attr-defined]
    return with_error(float(exponents[0]), float(errors[0]))


def cross_check(study: Study) -> Iterator[Finding]:
    """What orbits and the search know of each other."""
    met = study.attractors
    new = [a for a in met.attractors if a.kind == "fixed point" and a.listed is None]
    if new:
        yield Finding(
            id="unlisted-attractors",
            severity="warning",
            title=f"Orbits found {plural(len(new), 'stable fixed point')} that the search had missed",
            value=len(new),
            uncertainty=None,
            shown=f"{percent(sum(a.fraction for a in new))} of starts end there",
            method=f"{met.n_starts} uniform starts followed; ends polished by Newton and compared with the list.",
            meaning="The list of fixed points is not complete.",
            advice="Raise `--starts`; their states are in report.json under `attractors`.",
            section="attractors",
        )
    if met.unvisited:
        bound = 3.0 / met.n_starts
        yield Finding(
            id="small-basins",
            severity="info",
            title=f"{plural(len(met.unvisited), 'attractor')} that no orbit came to",
            value=len(met.unvisited),
            uncertainty=bound,
            shown=f"each draws in less than {percent(bound)} of the box (95 %)",
            method=f"{met.n_starts} uniform starts followed for up to {met.steps} steps.",
            meaning="They are stable, but noise or a slight change of input will usually lead to another state.",
            advice="If they should be memories, see how far the nearest saddle is from them.",
            section="attractors",
        )


def borders(study: Study) -> Iterator[Finding]:
    """Which memories border which."""
    import networkx as nx

    wired = study.wiring
    if not wired.borders:
        return
    graph = nx.Graph(sorted(wired.borders))
    degrees = [d for _, d in graph.degree]
    listed = sum(row is not None for row in wired.listed)
    parts = nx.number_connected_components(graph) + max(0, listed - graph.number_of_nodes())
    each = (
        f"each borders {degrees[0]} others" if min(degrees) == max(degrees) > 1
        else f"each borders {min(degrees)} to {max(degrees)} others" if max(degrees) > 1
        else "they border each other"
    )  # fmt: skip
    yield Finding(
        id="wiring",
        severity="info",
        title=f"{plural(len(wired.borders), 'border')} between {plural(graph.number_of_nodes(), 'attractor')}: {each}",
        value=len(wired.borders),
        uncertainty=None,
        shown=f"{plural(len(wired), 'saddle')} with one unstable direction",
        method="Both branches of the unstable manifold of each such saddle, followed to their attractors.",
        meaning=(
            "A decision between two memories that border each other falls at the saddle between them; between others "
            "the state passes through a third, or over a higher saddle."
            + ("" if parts == 1 else f" The wiring falls into {parts} parts: not all borders run through such saddles.")
        ),
        advice="Compare with what the task asks for: memories that should be confused least should not be neighbours.",
        section="attractors",
    )


def manifolds(study: Study) -> Iterator[Finding]:
    """Continuous attractors."""
    if not study.manifolds:
        return
    first = study.manifolds[0]
    low, middle, high = first.drift
    held = first.crossing_time
    lasting = f"the median drift crosses it in {number(held, 3)} steps" if np.isfinite(held) and held < 1e12 else (
        "no drift above rounding"
    )  # fmt: skip
    many = len(study.manifolds)
    members = len({i for m in study.manifolds for i in m.fixed_points})
    yield Finding(
        id="slow-manifold",
        severity="info",
        title=(
            f"{plural(many, 'slow manifold')}, the longest "
            if many > 1
            else f"A{'n attracting' if first.attracting else ''} "
        )
        + f"{first.kind} of slow states ({first.dimension}-dimensional)",
        value=middle,
        uncertainty=[low, high],
        shown=(
            f"{percent(first.relative_extent)} of the box; drift {small(low)} to {small(high)} per step, "
            f"{first.direction}"
        ),
        method=(
            "Traced from near-marginal states along the modes whose multipliers are near 1, corrected across them; "
            f"{lasting}."
        ),
        meaning=(
            "A continuous value can be held along it for as long as the drift allows: an integrator."
            + (
                f" {plural(members, 'listed fixed point')} lie{'s' * (members == 1)} on it: places where the drift "
                "stops, not separate memories."
                if members
                else ""
            )
            + ("" if first.attracting else " It does not attract: states next to it leave it.")
        ),
        advice="See which inputs drive the slow mode. Noise or a change of weights moves or breaks such a set.",
        section="slow-manifolds",
    )
