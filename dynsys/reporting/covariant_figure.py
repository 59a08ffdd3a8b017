"""The picture of covariant Lyapunov vectors: how near to each other directions come that grow at different rates."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynsys.covariant import CovariantVectors
from dynsys.reporting.document import Figure
from dynsys.reporting.svg import COLOURS, drawing, figure_svg

BINS = 40
RIGHT_ANGLE = np.pi / 2


def angles(result: CovariantVectors) -> Figure:
    """Left: angles between neighbouring vectors; right: between what grows and what shrinks, else between all pairs."""
    with drawing(6.8, 2.7) as canvas:
        draw_angles(canvas, result)
        svg = figure_svg(canvas)
    split = result.splitting is not None
    return Figure(
        id="covariant-angles",
        svg=svg,
        alt=f"Angles between {result.k} covariant Lyapunov vectors over {result.steps} steps.",
        caption=(
            "Left: angle between each covariant vector and the next: median, 90 % of the steps (thick), and the whole "
            "range (thin). Right: "
            + (
                "how often the space of what grows and that of what shrinks are at which angle; near zero the orbit is "
                "not hyperbolic."
                if split
                else "the least angle of each pair anywhere in the window; all that are known grow, or all shrink."
            )
        ),
    )


def draw_angles(canvas: Any, result: CovariantVectors) -> None:
    """Both panels; one alone where there is a single vector."""
    planes = canvas.subplots(1, 2, squeeze=False)[0]
    _neighbours(planes[0], result)
    if result.splitting is not None:
        _splitting(planes[1], result.splitting)
    else:
        _pairs(canvas, planes[1], result)


def _neighbours(plane: Any, result: CovariantVectors) -> None:
    least, low, middle, high, most = result.angle_quantiles
    index = np.arange(1, result.k)
    plane.vlines(index, least, most, color=COLOURS[0], lw=0.9, alpha=0.7)
    plane.vlines(index, low, high, color=COLOURS[0], lw=3.0, alpha=0.45)
    plane.plot(index, middle, "o", ms=3.8 if result.k <= 40 else 2.2, color=COLOURS[0])
    unknown = [i for i in index if not (result.determined[i - 1] and result.determined[i])]
    if unknown:
        plane.plot(
            unknown, middle[np.array(unknown) - 1], "o", ms=6, mfc="none", color=COLOURS[1], label="not determined"
        )
        plane.legend(loc="best")
    plane.xaxis.get_major_locator().set_params(integer=True)
    plane.set_xlim(0.5, max(result.k, 2) - 0.5)
    _angle_axis(plane.yaxis, plane.set_ylim)
    plane.set_xlabel("index of the vector")
    plane.set_ylabel("angle to the next")


def _splitting(plane: Any, splitting: Any) -> None:
    plane.hist(splitting, bins=np.linspace(0, RIGHT_ANGLE, BINS + 1), color=COLOURS[0], alpha=0.6)
    plane.axvline(splitting.min(), color=COLOURS[1], lw=1.2, label=f"least, {splitting.min():.2g}")
    _angle_axis(plane.xaxis, plane.set_xlim)
    plane.set_xlabel("angle between growing and shrinking")
    plane.set_ylabel("steps")
    plane.legend(loc="best")


def _pairs(canvas: Any, plane: Any, result: CovariantVectors) -> None:
    shown = np.where(np.eye(result.k, dtype=bool), np.nan, result.pair_angles)
    edges = 0.5, result.k + 0.5
    image = plane.imshow(
        shown, vmin=0, vmax=RIGHT_ANGLE, cmap="viridis", extent=(*edges, *edges[::-1]), interpolation="nearest"
    )
    bar = canvas.colorbar(image, ax=plane, ticks=[0, RIGHT_ANGLE / 2, RIGHT_ANGLE], label="least angle")
    bar.ax.set_yticklabels(["0", "π/4", "π/2"])
    for axis in (plane.xaxis, plane.yaxis):
        axis.get_major_locator().set_params(integer=True)
    plane.set_xlabel("index of the vector")
    plane.set_ylabel("index of the vector")


def _angle_axis(axis: Any, limits: Any) -> None:
    limits(0, RIGHT_ANGLE)
    axis.set_ticks([0, RIGHT_ANGLE / 2, RIGHT_ANGLE], ["0", "π/4", "π/2"])
