"""The evidence of a report: one function per section."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dynsys.maps import Map
from dynsys.reporting.certificates_section import certificates_section
from dynsys.reporting.cycles_section import cycles_section
from dynsys.reporting.document import Block, Equation, Figure, Paragraph, Section, Table
from dynsys.reporting.exact_section import exact_section
from dynsys.reporting.function_equations import DIGITS, function_equations
from dynsys.reporting.portrait_sections import attractors_section, manifolds_section
from dynsys.reporting.remedies_section import remedies_section
from dynsys.reporting.spectra_sections import gradients_section, lyapunov_section
from dynsys.reporting.study import Study
from dynsys.reporting.wording import even, multiplier, number, percent, plural, small, time_constant
from dynsys.stability import TransientGrowth
from dynsys.tables import completeness_text

MOST_ROWS = 60
MODE_ROWS = 24


def sections_of(study: Study, figures: dict[str, Figure]) -> tuple[Section, ...]:
    """All sections, in reading order."""
    exact = exact_section(study.exact)
    slow = manifolds_section(study, figures)
    proofs = certificates_section(study.certificates, study.fixed_points)
    cycles = cycles_section(study, figures.get("cycles"))
    helpful = remedies_section(study, figures.get("remedies"))
    return (
        _model(study),
        _fixed_points(study, figures),
        attractors_section(study, figures),
        *(() if cycles is None else (cycles,)),
        *(() if slow is None else (slow,)),
        *(() if exact is None else (exact,)),
        *(() if proofs is None else (proofs,)),
        _stability(study, figures),
        _modes(study, figures),
        lyapunov_section(study, figures),
        gradients_section(study, figures),
        *(() if helpful is None else (helpful,)),
    )


def cells_of(f: Map) -> list[Any]:
    """The cells a map is made of, from the input side; empty for a plain function."""
    if hasattr(f, "cell"):
        return [f.cell]
    return [cell for part in f.parts for cell in cells_of(part)]


def _model(study: Study) -> Section:
    from dynsys.readings.symbols import equations
    from dynsys.readings.wiring import compositions

    cells = cells_of(study.f)
    blocks: list[Block] = []
    shown: list[tuple[str, ...]] = []
    together = list(compositions(study.f))
    what = "Part" if any(f.blocks[0][0].startswith("part") for f in together) else "Layer"
    for layer, cell in enumerate(cells):
        lines = tuple(equations(cell))
        where = f"{what} {layer}: " if len(cells) > 1 else ""
        convention = "".join(f", {words}" for words in getattr(cell, "conventions", ()))
        title = f"{where}`{type(cell).__name__}`, {cell.hidden_size} units, {cell.input_size} inputs{convention}."
        if lines and lines in shown:
            blocks.append(Paragraph(f"{title} Same equations as above."))
        elif lines:
            blocks.append(Paragraph(title))
            blocks += [Equation(line) for line in lines]
            shown.append(lines)
        else:
            blocks.append(Paragraph(f"{title} Its equations could not be typeset."))
    for k, whole in enumerate(together):
        blocks.append(Paragraph(f"{'Within it' if k else 'Put together as'} {whole.name}:"))
        blocks += [Equation(line) for line in whole.wiring]
    if together:
        blocks.append(
            Paragraph(
                "There $\\mathbf{x}$ is what a part hears, $\\mathbf{h}$ its output, $F$ its step; $\\mathbf{z}$ "
                "stands for what a function is given. A state is that of all parts, one after the other."
            )
        )
    if cells:
        blocks.append(
            Paragraph(
                "Here $\\odot$ is the product entry by entry, $\\sigma$ the logistic function; parameters that are "
                "absent "
                "or zero are left out. The state is read as a discrete map, one time step per application."
            )
        )
    else:
        blocks += _function(study.f)
    named = study.f.blocks
    parts = [f"`{name}` {at.start}" + f" to {at.stop - 1}" * (at.stop - at.start > 1) for name, at in named]
    blocks.append(Paragraph(f"State variables, in order: {', '.join(parts)}."))
    return Section("model", "The model", tuple(blocks))


def _function(f: Map) -> list[Block]:
    lines = function_equations(f)
    named = "A function" if f.name == "a function" else f"{f.name}: a function"
    said = f"{named} of {plural(f.state_size, 'state variable')}, given as code"
    if not lines:
        return [Paragraph(f"{said}.")]
    driven = ", $u$ the input" if f.input_size else ""
    note = f"The prime marks the next state{driven}. Numbers are shown to {DIGITS} digits."
    return [Paragraph(f"{said}, which does:"), *(Equation(line) for line in lines), Paragraph(note)]


def _fixed_points(study: Study, figures: dict[str, Figure]) -> Section:
    result = study.fixed_points
    points = result.points
    where = (
        "the zero input"
        if not result.input.any()
        else "the constant input " + ", ".join(number(u) for u in result.input[:8])
    )
    blocks: list[Block] = [
        Paragraph(
            f"Fixed points at {where}: states with $F(x) = x$. They were searched from {result.n_starts} uniform "
            "starts in "
            f"the box, from visited states, and from mixtures of the points found. {completeness_text(result)}"
        )
    ]
    if len(points):
        blocks.append(_points_table(study))
    blocks += [figures[name] for name in ("hits", "portrait", "speeds") if name in figures]
    if len(result.slow) or result.stalled or result.rejected:
        blocks.append(
            Paragraph(
                f"Apart from these: {plural(len(result.slow), 'slow point')} (local minima of the speed); "
                f"{result.stalled} "
                f"starts stalled; {result.rejected} ended at states whose equation is satisfied by rounding alone, "
                "or that "
                "are out of reach, and were not counted."
            )
        )
    return Section("fixed-points", "Fixed points", tuple(blocks))


def _points_table(study: Study) -> Table:
    result, basins = study.fixed_points, study.basins
    points = result.points
    shown = range(min(len(points), MOST_ROWS))
    rows = tuple(
        (
            str(i + 1),
            points.kinds[i] + (f" ({points.n_unstable[i]})" if points.kinds[i] == "saddle" else ""),
            multiplier(points.multipliers[i, 0]),
            small(float(np.square(points.speeds[i]) / 2)),
            small(float(points.residuals[i])),
            small(float(points.errors[i])),
            str(points.hits[i]),
            percent(float(basins.fractions[i])) if basins.fractions[i] else "–",
        )
        for i in shown
    )
    left = len(points) - len(rows)
    return Table(
        caption="Fixed points. In brackets: unstable directions of a saddle. Basin: share of orbits that end here.",
        header=("#", "kind", "leading multiplier", "$q$", "residual", "error", "hits", "basin"),
        rows=rows,
        align="llrrrrrr",
        note=(
            "$q = |F(x) - x|_2^2/2$; residual $= \\max_i |F(x)_i - x_i|$; error: distance to the true point, to "
            "first order; "
            f"hits: of {result.n_starts} uniform starts of the search."
            + (f" {left} more are in the data." if left else "")
        ),
    )


def _stability(study: Study, figures: dict[str, Figure]) -> Section:
    points = study.fixed_points.points
    blocks: list[Block] = [
        Paragraph(
            "A multiplier $\\mu$ multiplies its mode at every step: inside the unit circle the mode decays by "
            "a factor e in $\\tau = -1/\\ln|\\mu|$ steps, outside it grows by one in $1/\\ln|\\mu|$, and its angle "
            "turns it once in $2\\pi/|\\operatorname{arg}\\mu|$ steps."
        )
    ]
    if "multipliers" in figures:
        blocks.append(figures["multipliers"])
    if len(points):
        blocks.append(_time_table(study))
    return Section("stability", "Stability and time scales", tuple(blocks))


def _time_table(study: Study) -> Table:
    points, duration = study.fixed_points.points, study.step_duration
    header = ["#", "kind", "leading $|\\mu|$", "$\\tau$ (steps)", "rotation (steps)", "non-normality", "growth"]
    if duration is not None:
        header.insert(4, "$\\tau$ (ms)")
    rows = []
    worst = float(points.multiplier_errors[:, 0].max())
    for i in range(min(len(points), MOST_ROWS)):
        growth = study.growth[i]
        tau, turn = float(points.time_constants[i, 0]), float(points.rotation_periods[i, 0])
        row = [
            str(i + 1),
            points.kinds[i],
            f"{np.abs(points.multipliers[i, 0]):.6f}",
            time_constant(tau),
            even(turn) if math.isfinite(turn) else "–",
            f"{points.henrici[i]:.2f}",
            _growth_text(growth),
        ]
        if duration is not None:
            row.insert(4, time_constant(1e3 * duration * tau))
        rows.append(tuple(row))
    return Table(
        caption="The slowest or most unstable mode of each fixed point, and how far its Jacobian is from normal.",
        header=tuple(header),
        rows=tuple(rows),
        align="ll" + "r" * (len(header) - 2),
        note=(
            f"The errors of $|\\mu|$ are at most {small(worst)}. $\\tau$: the mode decays, or grows where it says so, "
            "by a factor e in that many steps; it doubles in 0.69 of them. Non-normality: Henrici's departure, 0 "
            "normal, towards 1 strongly non-normal. Growth: the largest "
            "$|J^k|_2$ above 1 and the step where it is reached; none if perturbations only shrink."
        ),
    )


def _growth_text(growth: TransientGrowth) -> str:
    if growth.at is None:
        return "∞"
    if growth.at == 0:
        return "none"
    return f"{'' if growth.settled else '≥ '}{number(growth.peak, 3)} at {growth.at}"


def _modes(study: Study, figures: dict[str, Figure]) -> Section:
    points, alignment = study.fixed_points.points, study.alignment
    blocks: list[Block] = [
        Paragraph(
            "A left mode says what is integrated: its overlap with a column of $\\partial F/\\partial u$ is how "
            "strongly that "
            "input drives the mode. A right mode says what is shown: its overlap with a row of the readout is how "
            "visible "
            "the mode is in that output."
        )
    ]
    rows = [
        (k, i)
        for k in range(len(points))
        for i in range(max(1, int(points.n_unstable[k])))
        if points.multipliers[k, i].imag > -1e-12
    ]
    rows.sort(key=lambda pair: -int(points.n_unstable[pair[0]]))
    left_out, rows = max(0, len(rows) - MODE_ROWS), rows[:MODE_ROWS]
    if rows and (alignment.inputs.shape[2] or alignment.outputs is not None):
        blocks.append(_modes_table(study, rows, left_out))
    if "overlaps" in figures:
        blocks.append(figures["overlaps"])
    if len(blocks) == 1:
        blocks.append(Paragraph("There is nothing to compare with here: no input, no readout, or no point."))
    return Section("modes", "What is integrated, and what is shown", tuple(blocks))


def _modes_table(study: Study, rows: list[tuple[int, int]], left_out: int) -> Table:
    points, alignment = study.fixed_points.points, study.alignment
    header = ["#", "multiplier"]
    if alignment.inputs.shape[2]:
        header.append("inputs that drive it")
    if alignment.outputs is not None:
        header.append("outputs that show it")

    def strongest(letter: str, values: Any) -> str:
        order = np.argsort(-values)[:3]
        return ", ".join(f"{letter}{j} {values[j]:.2f}" for j in order)

    cells = []
    for k, i in rows:
        row = [str(k + 1), multiplier(points.multipliers[k, i])]
        if alignment.inputs.shape[2]:
            row.append(strongest("u", alignment.inputs[k, i]))
        if alignment.outputs is not None:
            row.append(strongest("y", alignment.outputs[k, i]))
        cells.append(tuple(row))
    return Table(
        caption=(
            "Leading and unstable modes, the most unstable points first: cosines with input and readout directions."
        ),
        header=tuple(header),
        rows=tuple(cells),
        align="rr" + "l" * (len(header) - 2),
        note=(
            "The three largest cosines; u0 is the first input, y0 the first output. By chance alone a cosine stays "
            "below "
            f"{number(alignment.chance, 2)} 95 % of the time."
            + (f" {left_out} more modes are in the data." if left_out else "")
        ),
    )
