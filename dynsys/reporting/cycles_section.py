"""Cycles in a report: their search, their section and its picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynsys.attractors import Attractors
from dynsys.cycles import Cycles, find_cycles
from dynsys.maps import Map
from dynsys.reporting.document import Block, Figure, Paragraph, Section, Table
from dynsys.reporting.figures import GREY, principal_axes
from dynsys.reporting.svg import COLOURS, drawing, figure_svg
from dynsys.reporting.wording import multiplier, percent, plural, small, time_constant
from dynsys.tables import completeness_text
from dynsys.types import Array

LONGEST = 16  # cycles that orbits ended on are looked for up to this period
MOST_ROWS = 40
MOST_DRAWN = 12  # orbits drawn, the stable ones first


def report_cycles(
    f: Map, input: Array, attractors: Attractors, longest: int, n_starts: int, seed: int, step_duration: float | None
) -> dict[int, Cycles]:
    """Cycles of the periods that orbits were seen to end on, and of all periods up to `longest`."""
    seen = {a.period: a.states for a in attractors.attractors if a.kind == "cycle" and a.period is not None}
    periods = sorted({p for p in seen if 2 <= p <= LONGEST} | set(range(2, longest + 1)))
    if not periods:
        return {}
    states = [np.zeros((0, f.state_size)), *(a.states for a in attractors.attractors)]
    near = np.concatenate(states)
    near = near[:: max(1, len(near) // 256)]
    return find_cycles(f, periods, input, near, n_starts, seed=seed, step_duration=step_duration)


def cycles_figure(study: Any) -> Figure | None:
    """Orbits in the principal plane of the visited states, and all multipliers with the unit circle."""
    chosen = [(found, i) for found in study.cycles.values() for i in range(len(found))]
    if not chosen:
        return None
    chosen.sort(key=lambda one: int(one[0].n_unstable[one[1]]))
    n = study.f.state_size
    states = study.visited.reshape(-1, n)
    if n > 1 and len(states) < 3:
        states = np.concatenate([found.states.reshape(-1, n) for found in study.cycles.values()])
    angle = np.linspace(0, 2 * np.pi, 361)
    with drawing(6.8, 3.4) as canvas:
        plane, circle = canvas.subplots(1, 2)
        mean, axes, shares = principal_axes(states) if n > 1 else (np.zeros(1), np.eye(1), np.ones(1))
        for rank, (found, i) in enumerate(chosen[:MOST_DRAWN]):
            at = (found.states[i] - mean) @ axes[:2].T
            if n == 1:  # one variable: where it goes next, over where it is
                at = np.stack([at[:, 0], np.roll(at[:, 0], -1)], axis=1)
            stable = found.n_unstable[i] == 0 and not found.undecided[i]
            closed = np.concatenate([at, at[:1]])
            colour = COLOURS[rank % 5]
            plane.plot(closed[:, 0], closed[:, 1], color=colour, lw=0.9, alpha=0.7, ls="-" if stable else ":")
            plane.scatter(*at.T, s=20, edgecolors=colour, facecolors=colour if stable else "none", zorder=3)
        plane.set_xlabel(f"PC 1 ({percent(shares[0])} of variance)" if n > 1 else "$x_t$")
        plane.set_ylabel(f"PC 2 ({percent(shares[1])})" if n > 1 else "$x_{t+1}$")
        circle.plot(np.cos(angle), np.sin(angle), color=GREY, lw=1.0, zorder=1)
        every = [found.multipliers.ravel() for found in study.cycles.values() if len(found)]
        for rank, (p, z) in enumerate(zip((p for p, c in study.cycles.items() if len(c)), every, strict=True)):
            circle.scatter(
                z.real, z.imag, s=16, linewidths=0.9, facecolors="none", edgecolors=COLOURS[rank % 5],
                label=f"period {p}", rasterized=len(z) > 2000,
            )  # fmt: skip
        largest = max(float(np.abs(z).max()) for z in every)
        far = max(1.15, (1.08 if largest < 9.0 else 1.6) * largest)
        circle.set_xlim(-far, far)
        circle.set_ylim(-far, far)
        if far > 10.0:
            circle.set_xscale("symlog", linthresh=1.0)
            circle.set_yscale("symlog", linthresh=1.0)
        circle.set_aspect("equal")
        circle.set_xlabel("real part")
        circle.set_ylabel("imaginary part")
        circle.legend(loc="upper left", handletextpad=0.2)
        svg = figure_svg(canvas)
    count = min(MOST_DRAWN, len(chosen))
    where = "the principal plane of the visited states" if n > 1 else "the plane of $x_{t+1}$ over $x_t$"
    return Figure(
        id="cycles",
        svg=svg,
        alt=f"{plural(count, 'cycle')} in {where}, and their multipliers; the largest modulus is {largest:.3f}.",
        caption=(
            f"Left: {'the cycles' if count == len(chosen) else f'{count} of the cycles'} in {where}; filled and "
            "solid ones are stable, open and dotted ones unstable. Right: the multipliers of all cycles, once around "
            "the orbit, with the unit circle" + (" (symmetric logarithmic axes beyond 1)." if far > 10.0 else ".")
        ),
    )


def cycles_section(study: Any, figure: Figure | None) -> Section | None:
    """What was found for each period."""
    cycles: dict[int, Cycles] = study.cycles
    if not cycles:
        return None
    blocks: list[Block] = [
        Paragraph(
            "Cycles: orbits with $F^p(x) = x$ that do not close earlier, each listed once. All states of an orbit are "
            "solved for at once; the multipliers are those of one whole turn, $J_p \\cdots J_1$."
        )
    ]
    for p, found in cycles.items():
        blocks.append(Paragraph(f"Period {p}: {plural(len(found), 'cycle')}. {completeness_text(found)}"))
        blocks += [Paragraph(f"{note[0].upper()}{note[1:]}.") for note in found.notes if note not in study.f.notes]
    if any(len(found) for found in cycles.values()):
        blocks.append(_table(cycles))
    if figure is not None:
        blocks.append(figure)
    return Section("cycles", "Cycles", tuple(blocks))


def _table(cycles: dict[int, Cycles]) -> Table:
    every = [(found, i) for found in cycles.values() for i in range(len(found))]
    rows = tuple(
        (
            str(found.period),
            str(i + 1),
            found.kinds[i] + (f" ({found.n_unstable[i]})" if found.kinds[i] == "saddle" else ""),
            multiplier(found.multipliers[i, 0]),
            time_constant(float(found.time_constants[i, 0])),
            small(float(found.residuals[i])),
            small(float(found.errors[i])),
            str(found.hits[i]),
        )
        for found, i in every[:MOST_ROWS]
    )
    left = len(every) - len(rows)
    return Table(
        caption="Cycles. In brackets: unstable directions of a saddle.",
        header=("period $p$", "#", "kind", "leading multiplier", "$\\tau$ (steps)", "residual", "error", "hits"),
        rows=rows,
        align="rllrrrrr",
        note=(
            "Multiplier: per turn. $\\tau$: steps in which the mode decays, or grows where it says so, by a factor e, "
            "$p/|\\ln|\\mu||$. Residual: largest "
            "$|F(x_t) - x_{t+1}|$; error: distance to the true orbit, to first order; hits: uniform starts that ended "
            "here." + (f" {left} more are in the data." if left else "")
        ),
    )
