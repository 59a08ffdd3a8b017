"""What a report says about networks that are Euler steps of an equation in continuous time."""

from __future__ import annotations

from collections.abc import Iterator

from dynsys.euler_rates import continuous_rates
from dynsys.reporting.document import Finding
from dynsys.reporting.study import Study
from dynsys.reporting.wording import number, plural


def continuous_time(study: Study) -> Iterator[Finding]:
    """The multipliers of a leaky network as rates, and which of them the Euler step made."""
    step = euler_step(study)
    points = study.fixed_points.points
    if step is None or not len(points):
        return
    rates = continuous_rates(points.multipliers, step)
    flips, grown = int(rates.alternating.sum()), int(rates.unstable_by_step.sum())
    slowest = float(rates.rates.real[rates.rates.real < 0].max(initial=-1e300))
    shown = f"time step {number(step)}" + (f", slowest decay {number(-1 / slowest)}" if slowest > -1e300 else "")
    counted = f"{plural(flips, 'negative multiplier')}, {plural(grown, 'mode')} unstable by the step alone"
    yield Finding(
        id="continuous-time",
        severity="info" if rates.faithful else "warning",
        title="Read in continuous time, no mode is an artefact of the Euler step"
        if rates.faithful
        else f"Artefacts of the Euler step: {counted}",
        value=flips + grown,
        uncertainty=None,
        shown=f"{shown} (times in units of the time constant)",
        method="A multiplier μ of an Euler step dt stands for the rate (μ − 1)/dt of the differential equation.",
        meaning=(
            "Fixed points are the same in discrete and in continuous time. A real negative multiplier alternates from "
            "step to step, which no mode of the equation does: there it decays without overshoot. A multiplier outside "
            "the unit circle whose rate has a negative real part is stable in continuous time."
        ),
        advice="Nothing to do."
        if rates.faithful
        else "Do not read these modes as oscillations of the modelled system; simulate it with a shorter time step.",
        section="fixed-points",
    )


def euler_step(study: Study) -> float | None:
    """dt of the one cell the map consists of, in units of its time constant; None where it is no Euler step."""
    f = getattr(study.f, "inner", study.f)
    return getattr(getattr(f, "cell", None), "euler_step", None)
