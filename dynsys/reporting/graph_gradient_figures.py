"""The pictures of gradients and exponents over layers in a propagation report."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynsys.reporting.document import Figure
from dynsys.reporting.figures import GREY
from dynsys.reporting.graph_study import GraphStudy
from dynsys.reporting.svg import COLOURS, drawing, figure_svg
from dynsys.reporting.wording import number

NATS = float(np.log(10))


def by_layer(plane: Any, label: str = "layer") -> None:
    """Whole numbers only on the axis of layers (or hops)."""
    plane.set_xlabel(label)
    plane.xaxis.get_major_locator().set_params(integer=True)


def marks(depth: int) -> dict[str, Any]:
    """Dots where the layers are few, so that it shows that nothing is measured in between."""
    return {"marker": "o", "ms": 3.5} if depth <= 12 else {}


def gradients(study: GraphStudy) -> Figure | None:
    """A gradient on its way back, for signals and for weights, and how much of it tells nodes apart."""
    run = study.propagation
    if not np.isfinite(run.log_gradient_norm).any():
        return None
    layers = np.arange(run.depth + 1)
    with drawing(6.8, 2.9) as canvas:
        left, right = canvas.subplots(1, 2)
        finite = np.isfinite(run.log_gradient_norm)
        left.plot(
            layers[finite],
            run.log_gradient_norm[finite] / NATS,
            color=COLOURS[0],
            label="for the signal $H_l$",
            **marks(run.depth),
        )
        weights, dots = run.log_weight_gradient, marks(run.depth)
        live = np.isfinite(weights)
        if live.any():
            shown = (weights[live] - weights[live].max()) / NATS
            left.plot(
                layers[live], shown, color=COLOURS[2], ls="-.", label="for the weights $W_l$, largest set to 0", **dots
            )
            left.legend(loc="best")
        left.axhline(0, color=GREY, lw=0.8)
        by_layer(left, "layer (the gradient comes from the right)")
        left.set_ylabel("size of the gradient, log₁₀")
        right.plot(layers, run.gradient_collapse, color=COLOURS[1], label="gradient: $d_M$ / size")
        right.plot(layers, run.relative_distance, color=COLOURS[0], ls="--", label="signal: $d_M$ / size")
        by_layer(right)
        right.set_ylim(0, 1.05)
        right.legend(loc="best")
        svg = figure_svg(canvas)
    return Figure(
        id="gradients",
        svg=svg,
        alt=f"A gradient of size 1 at the last layer has size {number(float(run.gradient_norm[0]), 3)} at the input.",
        caption=(
            "A random gradient of size 1 at the last layer, carried back to the input. Left: its size for the signal "
            "at each layer, and for the weights of each layer (where a layer has none, for W = I). Right: how much of "
            "it, and of the signal, lies outside the collapse subspace."
        ),
    )


def exponents(study: GraphStudy) -> Figure | None:
    """The Lyapunov spectra over layers, beside what theory says."""
    if not study.exponents:
        return None
    with drawing(6.8 if len(study.exponents) > 1 else 4.6, 2.9) as canvas:
        planes = canvas.subplots(1, len(study.exponents), squeeze=False)[0]
        for plane, run in zip(planes, study.exponents, strict=True):
            found = run.measured
            index = np.arange(1, found.k + 1)
            live = np.isfinite(found.exponents)
            plane.axhline(0, color=GREY, lw=0.9)
            if np.isfinite(run.exact).any():
                plane.plot(index, run.exact, "_", color=COLOURS[1], ms=11, mew=1.6, label="closed form")
            plane.errorbar(
                index[live], found.exponents[live], yerr=2 * found.standard_errors[live], fmt="o", ms=3.8,
                color=COLOURS[0], elinewidth=1.0, capsize=2, label="measured",
            )  # fmt: skip
            if np.isfinite(found.transverse):
                label = "outside the collapse subspace"
                plane.axhline(found.transverse, color=COLOURS[2], lw=1.1, ls="--", label=label)
            plane.set_title({"tied": "one layer repeated", "random": "fresh random weights"}[run.name])
            by_layer(plane, "index")
        planes[0].set_ylabel("exponent (nats per layer)")
        named: dict[str, Any] = {}
        for plane in planes:
            handles, names = plane.get_legend_handles_labels()
            named |= dict(zip(names, handles, strict=True))
        canvas.legend(named.values(), named.keys(), loc="outside lower center", ncols=3)
        svg = figure_svg(canvas)
    return Figure(
        id="exponents",
        svg=svg,
        width=1.0 if len(study.exponents) > 1 else 0.7,
        alt="Lyapunov exponents over layers: "
        + "; ".join(f"{run.what}: {number(float(run.measured.exponents[0]))}" for run in study.exponents),
        caption=(
            "Lyapunov exponents over layers, with bars of two standard errors: above zero small differences grow from "
            "layer to layer, below it they die out. "
            + " ".join(
                f"{side}: {run.what}." for side, run in zip(_sides(len(study.exponents)), study.exponents, strict=True)
            )
        ),
    )


def _sides(count: int) -> tuple[str, ...]:
    return ("Left", "Right") if count == 2 else ("Here",)
