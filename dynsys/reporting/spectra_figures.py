"""Pictures of Lyapunov and gradient spectra, for reports and for the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dynsys.covariant import CovariantVectors
from dynsys.gradients import GradientSpectrum
from dynsys.lyapunov import LyapunovSpectrum
from dynsys.reporting.covariant_figure import draw_angles
from dynsys.reporting.document import Figure
from dynsys.reporting.svg import COLOURS, drawing, figure_svg, style
from dynsys.reporting.wording import plural

GREY = COLOURS[5]
FOLLOWED = 4  # leading exponents whose running estimates are drawn
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


def exponents(result: LyapunovSpectrum) -> Figure:
    """The Lyapunov spectrum with its error bars, and how the leading estimates settled."""
    with drawing(6.8, 2.7) as canvas:
        _draw_exponents(canvas, result)
        svg = figure_svg(canvas)
    settled = len(result.running) > 1
    return Figure(
        id="exponents",
        svg=svg,
        alt=f"{result.k} Lyapunov exponents; the largest is {result.exponents[0]:.4f} nats per step.",
        caption=(
            ("Left: " if settled else "")
            + "Lyapunov exponents, bars of two standard errors. Above zero nearby orbits part, below it they meet."
            + (f" {result.lost} exponents are −∞ and not drawn." if result.lost else "")
            + (
                f" Right: the leading {min(FOLLOWED, result.k)} as estimated up to each moment; one that still moves "
                "at the right edge has not settled."
                if settled
                else ""
            )
        ),
    )


def _draw_exponents(canvas: object, result: LyapunovSpectrum) -> None:
    finite = np.isfinite(result.exponents)
    index = np.arange(1, result.k + 1)
    settled = len(result.running) > 1
    planes = canvas.subplots(1, 2 if settled else 1, squeeze=False)[0]  # type: ignore[attr-defined]
    planes[0].axhline(0, color=GREY, lw=0.9)
    planes[0].errorbar(
        index[finite], result.exponents[finite], yerr=2 * result.standard_errors[finite], fmt="o",
        ms=3.8 if result.k <= 40 else 2.2, color=COLOURS[0], ecolor=COLOURS[0], elinewidth=1.0, capsize=2,
    )  # fmt: skip
    planes[0].xaxis.get_major_locator().set_params(integer=True)
    planes[0].set_xlabel("index")
    planes[0].set_ylabel("exponent (nats per step)")
    if not settled:
        return
    for i in range(min(FOLLOWED, result.k)):
        if finite[i]:
            planes[1].plot(result.running_steps, result.running[:, i], color=COLOURS[i % len(COLOURS)], lw=1.2)
            planes[1].annotate(
                str(i + 1), (result.running_steps[-1], result.running[-1, i]), xytext=(4, -3),
                textcoords="offset points", color=COLOURS[i % len(COLOURS)], fontsize=8,
            )  # fmt: skip
    planes[1].set_xlabel("steps averaged over")
    planes[1].set_ylabel("estimate (nats per step)")


def gains(result: GradientSpectrum) -> Figure | None:
    """The singular values of the transfer by lag: how much of a gradient is left."""
    if not np.isfinite(result.log_singular_values).any():
        return None
    with drawing(5.6, 3.0) as canvas:
        _draw_gains(canvas, result)
        svg = figure_svg(canvas)
    whole = result.log_singular_values.shape[1] == result.n
    return Figure(
        id="gains",
        svg=svg,
        width=0.85,
        alt=f"Log gain by lag; the largest is {result.log_singular_values[-1, 0]:.2f} nats at lag {result.lags[-1]}.",
        caption=(
            "Singular values of the state-to-state transfer by lag: "
            + ("the whole range" if whole else f"the leading {result.log_singular_values.shape[1]} of {result.n}")
            + " (light), the middle half (darker), the median and the largest. Dotted: a gain of 1/100, below which a "
            "gradient is taken as lost."
        ),
    )


def _draw_gains(canvas: object, result: GradientSpectrum) -> None:
    found = result.log_singular_values
    lowest = float(found[np.isfinite(found)].min(initial=0.0))
    values, lags = np.maximum(found, lowest), result.lags  # −∞ is drawn at the lower edge
    plane = canvas.add_subplot()  # type: ignore[attr-defined]
    low, high = values[:, -1], values[:, 0]
    plane.fill_between(lags, low, high, color=COLOURS[0], alpha=0.14, lw=0)
    quarter, half, three = np.percentile(values, (25, 50, 75), axis=1)
    plane.fill_between(lags, quarter, three, color=COLOURS[0], alpha=0.28, lw=0)
    plane.plot(lags, half, color=COLOURS[0], lw=1.0, ls="--", label="median")
    plane.plot(lags, high, color=COLOURS[0], label="largest")
    plane.axhline(0, color=GREY, lw=0.9)
    plane.axhline(np.log(0.01), color=COLOURS[1], lw=0.9, ls=":")
    if result.horizon:
        plane.axvline(result.horizon, color=COLOURS[1], lw=1.1, label=f"horizon, {plural(result.horizon, 'step')}")
    plane.set_xscale("log")
    ticks = [t for t in TICKS if t <= lags[-1]]
    plane.set_xticks(ticks, [str(t) for t in ticks])
    plane.minorticks_off()
    plane.set_xlabel("lag (steps)")
    plane.set_ylabel("log gain (nats)")
    plane.set_ylim(max(lowest, min(-12.0, 2.2 * float(np.min(high)))), max(1.0, float(np.max(high)) * 1.1))
    plane.legend(loc="lower left")


def check(path: Path) -> None:
    """Raises InputError for a picture that could not be written, before hours of work rather than after."""
    from dynsys.errors import InputError
    from dynsys.outputs import require_writable_file

    if path.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise InputError(f"a picture is written as .svg, .png or .pdf, got {path.name!r}.")
    require_writable_file(path)


def save(result: LyapunovSpectrum | GradientSpectrum | CovariantVectors, path: Path) -> None:
    """The picture of a result as SVG, PNG or PDF, by the file's name, on white."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    from dynsys.errors import InputError

    check(path)
    with matplotlib.rc_context(style() | {"figure.facecolor": "white", "savefig.facecolor": "white"}):
        canvas = Canvas(figsize=(6.8, 3.0), layout="constrained")
        if isinstance(result, LyapunovSpectrum):
            _draw_exponents(canvas, result)
        elif isinstance(result, CovariantVectors):
            draw_angles(canvas, result)
        else:
            _draw_gains(canvas, result)
        try:
            canvas.savefig(path, dpi=160)
        except OSError as error:
            raise InputError(f"cannot write {str(path)!r}: {error.strerror or error}.") from None
