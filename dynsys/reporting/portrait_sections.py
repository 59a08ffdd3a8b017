"""The sections on where orbits end: attractors and basins, the wiring of the memories, slow manifolds."""

from __future__ import annotations

import numpy as np

from dynsys.attractors import Attractor
from dynsys.reporting.document import Block, Figure, Paragraph, Section, Table
from dynsys.reporting.portrait_figures import node_name
from dynsys.reporting.study import Study
from dynsys.reporting.wording import number, percent, plural, small, with_error
from dynsys.unstable_branches import Wiring

MOST_ROWS = 40


def attractors_section(study: Study, figures: dict[str, Figure]) -> Section:
    """What orbits end on, and who borders whom."""
    met = study.attractors
    blocks: list[Block] = [
        Paragraph(
            f"Orbits from {met.n_starts} uniform starts in the box were followed for up to {met.steps} steps at the "
            "constant input, and each limit set was recognised for what it is. Shares come with Wilson's 95 % interval."
        )
    ]
    if len(met):
        blocks.append(_attractors_table(study))
    if met.unbounded:
        blocks.append(Paragraph(f"{percent(met.unbounded)} of the starts ran off to infinity."))
    if met.unvisited:
        rows = ", ".join(str(i + 1) for i in met.unvisited[:20]) + ", …" * (len(met.unvisited) > 20)
        blocks.append(Paragraph(f"Stable fixed points that drew in no start: {rows}."))
    blocks += _wiring(study, figures)
    return Section("attractors", "Where orbits end", tuple(blocks))


def _attractors_table(study: Study) -> Table:
    met = study.attractors.attractors
    rows = tuple(
        (
            str(i + 1),
            a.kind,
            str(a.period) if a.period else "–",
            "–" if a.listed is None else str(a.listed + 1),
            f"{percent(a.fraction)} ({100 * a.interval[0]:.1f} to {100 * a.interval[1]:.1f})",
            _exponent(a, 0),
            _exponent(a, 1),
        )
        for i, a in enumerate(met[:MOST_ROWS])
    )
    notes = [f"{i + 1}: {a.note}." for i, a in enumerate(met[:MOST_ROWS]) if a.note]
    left = len(met) - len(rows)
    return Table(
        caption="Limit sets of orbits, the largest basin first.",
        header=("#", "kind", "period", "in the list", "basin (95 %)", "$\\lambda_1$", "$\\lambda_2$"),
        rows=rows,
        align="llrrrrr",
        note=" ".join(
            [
                "In the list: its number in the table of fixed points (or of cycles). Exponents in nats per step, "
                "with standard errors where measured along an orbit; of points and cycles from the multipliers.",
                *notes,
                *([f"{left} more are in the data."] if left else []),
            ]
        ),
    )


def _exponent(a: Attractor, i: int) -> str:
    """With its standard error; that of a point or cycle comes from its multipliers and has none."""
    if len(a.exponents) <= i:
        return "–"
    return (
        with_error(float(a.exponents[i]), float(a.exponent_errors[i]))
        if a.exponent_errors[i]
        else number(float(a.exponents[i]))
    )


def _wiring(study: Study, figures: dict[str, Figure]) -> list[Block]:
    wired = study.wiring
    if not len(wired):
        return []
    said = (
        f"{plural(len(wired), 'saddle')} with exactly one unstable direction: from each, both branches of the unstable "
        f"manifold were followed to their ends. This gives {plural(len(wired.borders), 'border')} between attractors."
    )
    if wired.flips.any():
        said += (
            f" At {int(wired.flips.sum())} of them the unstable multiplier is negative: orbits hop between the two "
            "branches, and both end on the same attractor."
        )
    if wired.skipped:
        said += f" Left out, as their stability is undecided: {plural(len(wired.skipped), 'fixed point')}."
    blocks: list[Block] = [Paragraph(said)]
    if "wiring" in figures:
        blocks.append(figures["wiring"])
    rows = tuple(
        (_saddle(wired, i), *(_end(study, int(end)) for end in ends)) for i, ends in enumerate(wired.ends[:MOST_ROWS])
    )
    left = len(wired) - len(rows)
    blocks.append(
        Table(
            caption="Saddles with one unstable direction, and what their two branches end on.",
            header=("saddle", "one side", "other side"),
            rows=rows,
            align="rll",
            note=f"{left} more are in the data." if left else "",
        )
    )
    return blocks


def _saddle(wired: Wiring, i: int) -> str:
    """A saddle by its number in the table of fixed points, or in that of the cycles of its period."""
    period, number_ = int(wired.periods[i]), int(wired.saddles[i]) + 1
    return str(number_) if period == 1 else f"{period}-cycle {number_}"


def _end(study: Study, end: int) -> str:
    if end < 0:
        return "runs off"
    wired = study.wiring
    kind, row = wired.attractors[end].kind, wired.listed[end]
    if kind == "fixed point":
        return f"fixed point {row + 1}" if row is not None else "a fixed point that is not in the list"
    return kind if node_name(wired, end) == kind else node_name(wired, end)


def manifolds_section(study: Study, figures: dict[str, Figure]) -> Section | None:
    """Lines, rings and planes of slow states; None where there are none."""
    if not study.manifolds:
        return None
    rows = tuple(
        (
            m.kind,
            str(m.dimension),
            " × ".join(number(float(e), 3) for e in m.extents[:3]),
            percent(m.relative_extent),
            " / ".join(small(d) if d < 1e-3 else number(d, 2) for d in m.drift),
            m.direction,
            "yes" if m.attracting else "no",
            ", ".join(str(i + 1) for i in m.fixed_points[:6]) + "…" * (len(m.fixed_points) > 6) or "–",
        )
        for m in study.manifolds
    )
    widest = max(float(np.abs(m.multipliers - 1.0).max()) for m in study.manifolds)
    blocks: list[Block] = [
        Paragraph(
            "Connected sets of states along which the map hardly moves: continuous attractors, or what is left of "
            "them. Along each, as many multipliers are near 1 as it has dimensions; across it they are not. A number "
            "of points on such a set would only count the starts."
        ),
        Table(
            caption="Slow manifolds: extents in model units, drift per step (least, median, largest).",
            header=("kind", "dimension", "extent", "of the box", "drift", "direction", "attracting", "points on it"),
            rows=rows,
            align="lrrrrlll",
            note=f"Multipliers along these sets are within {number(widest, 2)} of 1.",
        ),
    ]
    if "drift" in figures:
        blocks.append(figures["drift"])
    return Section("slow-manifolds", "Slow manifolds", tuple(blocks))
