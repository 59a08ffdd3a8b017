"""The report's section on a training run that was watched."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynsys.reporting.document import Block, Figure, Paragraph, Section
from dynsys.reporting.figures import GREY
from dynsys.reporting.svg import COLOURS, drawing, figure_svg
from dynsys.reporting.wording import number, plural
from dynsys.training_log import TrainingLog

PANELS = (
    ("loss", "loss", True),
    ("gradient_norm", "gradient norm", True),
    ("exponent", "exponent (nats/step)", False),
    ("horizon", "horizon (steps)", False),
    ("gate_median", "gate time constant (steps)", True),
    ("gate_saturated", "share of gates saturated", False),
)
"""What is drawn: the record's key, the axis in words, whether the axis is logarithmic."""


def training_section(log: TrainingLog | None) -> Section | None:
    """The timeline, and in words what changed from the first record to the last."""
    if log is None:
        return None
    first, last = log.records[0], log.records[-1]
    header = log.header
    text = (
        f"{plural(len(log.records), 'record')} of {header.get('model', 'the network')}, from step {first['step']} to "
        f"{last['step']}, on the same {header.get('probe_sequences')} sequences of {header.get('probe_steps')} steps "
        f"each time ({log.origin})."
    )
    changes = [f"{words} {number(old, 3)} → {number(new, 3)}" for words, old, new in _ends(log)]
    blocks: list[Block] = [
        Paragraph(text + (" From the first to the last: " + "; ".join(changes) + "." if changes else ""))
    ]
    failed = [r for r in log.records if "failure" in r]
    if failed:
        blocks.append(Paragraph(f"From step {failed[0]['step']} on nothing could be measured: {failed[0]['failure']}"))
    if log.broken:
        blocks.append(Paragraph(f"{plural(log.broken, 'line')} of the file could not be read and was left out."))
    blocks += [figure for figure in (_timeline(log), _by_lag(log)) if figure is not None]
    return Section("training", "Training", tuple(blocks))


def _ends(log: TrainingLog) -> list[tuple[str, float, float]]:
    found = []
    for name, words, _ in PANELS:
        _, values = log.series(name)
        if len(values) > 1:
            found.append((words, values[0], values[-1]))
    return found


def _timeline(log: TrainingLog) -> Figure | None:
    drawn = [(name, words, scale) for name, words, scale in PANELS if len(log.series(name)[0]) > 1]
    if not drawn:
        return None
    rows = (len(drawn) + 1) // 2
    with drawing(6.4, 1.7 * rows) as canvas:
        for place, (name, words, logarithmic) in enumerate(drawn):
            plane: Any = canvas.add_subplot(rows, 2, place + 1)
            steps, values = log.series(name)
            plane.plot(steps, values, color=COLOURS[place % 5], marker="." if len(steps) < 40 else None)
            if logarithmic and min(values) > 0:
                plane.set_yscale("log")
            if name == "exponent":
                plane.axhline(0, color=GREY, lw=0.8)
            plane.set_title(words)
            plane.set_xlabel("training step" if place >= len(drawn) - 2 else "")
        svg = figure_svg(canvas)
    return Figure(
        id="timeline",
        svg=svg,
        alt=f"{len(drawn)} quantities over training from step {log.records[0]['step']} to {log.records[-1]['step']}.",
        caption=(
            "The network as it was trained. Exponent: mean growth of a random difference over the probe, above zero it "
            "grows; horizon: the largest lag at which at least 1/100 of a random gradient is left (none drawn where it "
            "is beyond the probe); a gate is saturated if it keeps less than 5 % or more than 95 %."
        ),
    )


def _by_lag(log: TrainingLog) -> Figure | None:
    with_lags = [r for r in log.records if "lags" in r]
    if len(with_lags) < 2:
        return None
    chosen = [with_lags[i] for i in np.linspace(0, len(with_lags) - 1, min(6, len(with_lags))).round().astype(int)]
    from dynsys.training_log import number as parsed

    with drawing(5.2, 2.8) as canvas:
        plane = canvas.add_subplot()
        for place, record in enumerate(chosen):
            share = place / max(len(chosen) - 1, 1)
            values = [parsed(v) for v in record["log_gradient"]]
            plane.plot(
                record["lags"], values, color=COLOURS[0], alpha=0.25 + 0.75 * share, label=f"step {record['step']}"
            )
        plane.axhline(np.log(0.01), color=COLOURS[1], lw=0.9, ls=":")
        plane.set_xscale("log")
        plane.set_xlabel("lag (steps)")
        plane.set_ylabel("log gradient (nats)")
        plane.legend(loc="lower left")
        svg = figure_svg(canvas)
    return Figure(
        id="gradients-over-training",
        svg=svg,
        width=0.85,
        alt="Log norm of a gradient by lag at several training steps.",
        caption="A random gradient of the last state on its way back, darker later in training. Dotted: 1/100 is left.",
    )
