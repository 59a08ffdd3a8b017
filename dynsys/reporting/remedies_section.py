"""The report's section on remedies: what was changed on a copy of the network, what was predicted, what came of it."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from dynsys.reporting.document import Block, Figure, Paragraph, Section, Table
from dynsys.reporting.figures import GREY
from dynsys.reporting.study import Study
from dynsys.reporting.svg import COLOURS, drawing, figure_svg
from dynsys.reporting.wording import even, number, plural
from dynsys.treatment.remedy import Remedies, Remedy
from dynsys.treatment.sum_rule import Budget

WIDE = 20.0
"""Largest over smallest value from which a scale is logarithmic."""
MARKS = ("as it is", "predicted", "after, measured")
LARGE = 1024
"""Entries of an array above which it is left out of report.json."""


def remedies_section(study: Study, figure: Figure | None) -> Section | None:
    """The table and picture of all remedies, then each in words, then what asks for nothing."""
    result = study.remedies
    if result is None or study.trials is None:
        return None
    intro = (
        f"What would help if this network is trained further, for a task that asks to remember {result.task_lag} steps "
        f"(the length of a trial). Each change was made on a copy, its effect predicted by a formula and then "
        f"measured, on the first {plural(min(result.sequences, study.trials.count), 'trial')}; the network itself is "
        "untouched, and nothing was trained."
    )
    blocks: list[Block] = [Paragraph(intro)]
    if not len(result):
        blocks.append(Paragraph("No measurement passes its threshold: nothing to change."))
    else:
        blocks.append(_table(result))
        blocks += [] if figure is None else [figure]
        blocks += [Paragraph(_in_words(place, remedy)) for place, remedy in enumerate(result, 1)]
    if result.budget is not None:
        blocks.append(Paragraph(_budget(result.budget)))
    if result.healthy:
        fine = "; ".join(_plain(line) for line in result.healthy)
        blocks.append(Paragraph(f"Looked at, and nothing to change: {fine}."))
    return Section("remedies", "What would help training", tuple(blocks))


def _table(result: Remedies) -> Table:
    rows: list[tuple[str, ...]] = []
    for place, remedy in enumerate(result, 1):
        rows.append(
            (
                str(place),
                remedy.title,
                _plain(remedy.quantity),
                even(remedy.before),
                _predicted(remedy),
                even(remedy.after),
                "yes" if remedy.agrees else "no",
            )
        )
        times = remedy.ms(result.step_duration)
        if times is not None:
            rows.append(("", "", "the same in ms", *(even(t) for t in times), ""))
    return Table(
        caption="Remedies: what each changes, before, as predicted, and after.",
        header=("#", "remedy", "measured", "before", "predicted", "after", "agrees"),
        rows=tuple(rows),
        align="rllrrrl",
        note="Agrees: the value after lies within the tolerance (±), or below a predicted bound (≤).",
    )


def _predicted(remedy: Remedy) -> str:
    """The predicted value with its tolerance, or as a bound."""
    if remedy.tolerance == 0:
        return "≤ " + even(remedy.predicted)
    shown = even(remedy.predicted)
    return f"{shown} ± {number(remedy.tolerance, 2)}" if remedy.tolerance > 1e-6 * abs(remedy.predicted) else shown


def _in_words(place: int, remedy: Remedy) -> str:
    more = "; ".join(f"{name} {even(old)} → {even(new)}" for name, (old, new) in remedy.also.items())
    return (
        f"{place}. {remedy.title}. Because: {_plain(remedy.trigger)}. Do: {_plain(remedy.change)}. "
        f"Prediction: {_plain(remedy.basis)}."
        + (f" Besides: {_plain(more)}." if more else "")
        + ("" if remedy.agrees else " The prediction did not hold: do not rely on this change without trying it.")
        + f" Source: {remedy.source}."
    )


def _budget(budget: Budget) -> str:
    """Which part of the network contributes what to the sum of all exponents."""
    terms = "; ".join(f"{name.replace(' - ', ' − ')} {even(value)}" for name, value in budget.terms.items())
    return (
        f"What contracts: the sum of all exponents is {even(budget.total)} nats/step (the mean of log |det J| over "
        f"{budget.places} steps), of which: {terms}."
    )


def _plain(text: str) -> str:
    """A sentence of a remedy with the report's signs."""
    text = text.replace("+-", "±").replace("^2", "²").replace(" - ", " − ")
    return re.sub(r"(?<![\w)-])-(?=[\d/])|(?<=e)-(?=\d)", "−", text)  # hyphens between words stay


def remedies_figure(study: Study) -> Figure | None:
    """One scale per remedy: where the network is, where the change was to bring it, and where it did."""
    if study.remedies is None:
        return None
    drawn = [(i, r) for i, r in enumerate(study.remedies, 1) if math.isfinite(r.before) and math.isfinite(r.after)]
    if not drawn:
        return None
    with drawing(6.4, 0.5 + 0.78 * len(drawn)) as canvas:
        planes = np.atleast_1d(canvas.subplots(len(drawn), 1))
        for plane, (place, remedy) in zip(planes, drawn, strict=True):
            _scale(plane, remedy)
            plane.set_title(f"{place}. {remedy.title}: {_plain(remedy.quantity)}", fontsize=8.5, pad=7)
        marks = {label: handle for handle, label in zip(*planes[0].get_legend_handles_labels(), strict=True)}
        shown = [name for name in MARKS if name in marks]
        canvas.legend([marks[name] for name in shown], shown, loc="outside lower center", ncols=3)
        svg = figure_svg(canvas)
    held = sum(r.agrees for _, r in drawn)
    return Figure(
        id="remedies",
        svg=svg,
        alt=f"{plural(len(drawn), 'remedy').replace('remedys', 'remedies')}, {held} of them as predicted.",
        caption=(
            "Each remedy on its own scale. Open circle: the network as it is. Shaded: where the change was to "
            "bring it, within the stated tolerance (left of the line for a bound). Filled: measured on the copy."
        ),
    )


def _scale(plane: Any, remedy: Remedy) -> None:
    """One axis from the value before to the value after; logarithmic where they are far apart."""
    values = [remedy.before, remedy.after, *([remedy.predicted] if math.isfinite(remedy.predicted) else [])]
    logarithmic = min(values) > 0 and max(values) / min(values) > WIDE

    def place(value: float) -> float:
        return math.log10(max(value, 1e-300)) if logarithmic else value

    low, high = place(min(values)), place(max(values))
    room = 0.12 * max(high - low, 1e-9 + 0.05 * abs(high))
    left, right = low - room, high + room
    plane.set_xlim(left, right)
    if logarithmic:
        ticks = _ticks(left, right)
        plane.set_xticks([place(value) for value in ticks], [number(value) for value in ticks])
    if math.isfinite(remedy.predicted):
        below, above = place(remedy.predicted - remedy.tolerance), place(remedy.predicted + remedy.tolerance)
        if remedy.tolerance == 0:
            below = left
        plane.axvspan(max(below, left), min(above, right), color=COLOURS[4], alpha=0.25, lw=0, label=MARKS[1])
        plane.axvline(place(remedy.predicted), color=COLOURS[4], lw=1.2)
    before, after = place(remedy.before), place(remedy.after)
    arrow = {"arrowstyle": "->", "color": GREY, "shrinkA": 4, "shrinkB": 4}
    plane.annotate("", (after, 0), (before, 0), arrowprops=arrow)
    plane.plot([before], [0], "o", mfc="none", color=GREY, ms=6, label=MARKS[0], ls="none")
    plane.plot([after], [0], "o", color=COLOURS[0], ms=6, label=MARKS[2], ls="none")
    plane.set_yticks([])
    plane.spines["left"].set_visible(False)
    plane.set_ylim(-1, 1)


def _ticks(left: float, right: float) -> list[float]:
    """Powers of ten between 10^left and 10^right, six at most; over few of them twice and five times as much too."""
    decades = range(math.floor(left), min(math.ceil(right), 307) + 1)  # 10^308 is the last that float64 holds
    leads = (1, 2, 5) if len(decades) < 4 else (1,)
    found = [lead * 10.0**d for d in decades[:: max(1, len(decades) // 6)] for lead in leads]
    return [value for value in found if left <= math.log10(value) <= right]


def remedies_data(result: Remedies) -> dict[str, Any]:
    """For report.json: everything but the large arrays among the settings, which `dynsys remedies --json` has."""
    out = result.to_dict()
    kept = []
    for remedy in result:
        fields = remedy.to_dict()
        fields["settings"] = {k: v for k, v in remedy.settings.items() if np.size(v) <= LARGE}
        kept.append(fields)
    return out | {"remedies": kept}
