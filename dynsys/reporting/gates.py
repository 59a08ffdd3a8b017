"""The report's words and picture on gates: how long each unit keeps what it holds."""

from __future__ import annotations

import numpy as np

from dynsys.gate_times import GateTimes
from dynsys.reporting.document import Figure
from dynsys.reporting.svg import COLOURS, drawing, figure_svg
from dynsys.reporting.wording import number, percent, plural


def gates_text(times: GateTimes) -> str:
    """One paragraph, with the extremes and their intervals."""
    if not len(times.units):
        return "No unit keeps anything of its own past directly: all memory goes through the recurrent weights."
    order = np.argsort(times.time_constants)
    least, most = order[0], order[-1]
    middle = number(float(np.median(times.time_constants)), 3)
    if times.step_duration is not None:
        middle += f" ({number(1e3 * times.step_duration * float(np.median(times.time_constants)), 3)} ms)"
    names = ", ".join(f"`{name}`" for name in dict.fromkeys(times.blocks))
    closed = float((times.spread[:, 2] < 0.5).mean())
    ends = (
        f"{_with_interval(times, least)} (variable {times.units[least]}) to {_with_interval(times, most)} steps "
        f"(variable {times.units[most]})"
    )
    tail = f" {percent(closed)} of these units never keep more than half." if closed > 0.2 else ""
    return (
        f"Gates: the factor by which a unit's own last value enters the next one, without passing a weight matrix, for "
        f"{plural(len(times.units), 'unit')} ({names}). As time constants, −1 over the mean logarithm: {ends}, "
        f"median {middle}; intervals at 95 %.{tail} Recurrent weights can make the network's memory longer or shorter "
        "than its gates."
    )


def _with_interval(times: GateTimes, at: int) -> str:
    low, high = times.interval[at]
    value = number(float(times.time_constants[at]), 3)
    return value if not np.isfinite([low, high]).any() else f"{value} [{number(low, 3)}, {number(high, 3)}]"


def gates_figure(times: GateTimes | None, horizon: int | None) -> Figure | None:
    """Time constants in order of size, with their intervals, against the memory horizon."""
    if times is None or len(times.units) < 2:
        return None
    from matplotlib.ticker import FuncFormatter, LogLocator

    finite = np.isfinite(times.time_constants)
    if not finite.any():
        return None
    order = np.argsort(times.time_constants[finite])
    tau = times.time_constants[finite][order]
    low, high = times.interval[finite][order].T
    with drawing(5.6, 2.6) as canvas:
        plane = canvas.add_subplot()
        place = np.arange(1, len(tau) + 1)
        known = np.isfinite(low) & np.isfinite(high)
        plane.vlines(place[known], low[known], high[known], color=COLOURS[5], lw=1.0, alpha=0.7)
        plane.plot(place, tau, "o", color=COLOURS[0], ms=3.0, label="time constant, 95 % interval")
        if horizon:
            plane.axhline(horizon, color=COLOURS[1], lw=1.1, label=f"memory horizon, {plural(horizon, 'step')}")
        plane.set_yscale("log")
        plane.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        # Between the powers of ten only 2 and 5 have room for a number.
        plane.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        plane.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        plane.xaxis.get_major_locator().set_params(integer=True)
        plane.set_xlabel("unit, in order of its time constant")
        plane.set_ylabel("steps")
        plane.legend(loc="best")
        svg = figure_svg(canvas)
    return Figure(
        id="gates",
        svg=svg,
        width=0.85,
        alt=f"Time constants of {len(tau)} gated units, {tau[0]:.3g} to {tau[-1]:.3g} steps.",
        caption="Time constants of the units' gates along the orbits of this section, in order of size.",
    )
