"""The pictures of a report, each from one study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dynsys.maps import Map
from dynsys.reporting.covariant_figure import angles
from dynsys.reporting.document import Figure
from dynsys.reporting.limit_set_marks import draw_limit_sets, draw_manifolds
from dynsys.reporting.spectra_figures import exponents, gains
from dynsys.reporting.study import Study
from dynsys.reporting.svg import COLOURS, drawing, figure_svg
from dynsys.reporting.wording import number, percent, plural
from dynsys.types import Array

GREY = COLOURS[5]
MOST_SHAPES = 3  # unstable directions that have a mark of their own
MANY = 2000  # marks above which they are drawn as pixels


def _looks(n_unstable: int, undecided: int) -> dict[str, Any]:
    """Filled is stable; the outline's colour and shape say how many directions are unstable."""
    if undecided:
        return {"marker": "D", "edgecolors": GREY, "facecolors": "none"}
    if n_unstable == 0:
        return {"marker": "o", "edgecolors": COLOURS[0], "facecolors": COLOURS[0]}
    colour = COLOURS[(2, 4, 1)[min(n_unstable, 3) - 1]]
    return {"marker": ("s", "^", "v")[min(n_unstable, 3) - 1], "edgecolors": colour, "facecolors": "none"}


def _class_name(study: Study, n_unstable: int, undecided: int) -> str:
    if undecided:
        return "undecided"
    if n_unstable == 0:
        return "attractor (stable)"
    more = n_unstable == MOST_SHAPES and (study.fixed_points.points.n_unstable > MOST_SHAPES).any()
    return f"{n_unstable}{' or more' if more else ''} unstable"


def _classes(study: Study) -> list[tuple[tuple[int, int], Array]]:
    """Points grouped by how they are drawn: ((n_unstable up to 3, undecided?), indices)."""
    points = study.fixed_points.points
    keys = [
        (int(min(u, MOST_SHAPES)), int(bool(d) and u == 0))
        for u, d in zip(points.n_unstable, points.undecided, strict=True)
    ]
    return [(key, np.array([i for i, other in enumerate(keys) if other == key])) for key in sorted(set(keys))]


def principal_axes(states: Array) -> tuple[Array, Array, Array]:
    """Mean (n,), principal directions (p, n) and their shares of the variance (p,) of states (k, n), p = min(3, n)."""
    mean = states.mean(axis=0)
    _, singular, directions = np.linalg.svd(states - mean, full_matrices=False)
    power = np.square(singular)
    keep = min(3, states.shape[1])
    total = power.sum()
    shares = power / total if total > 0 else np.zeros_like(power)
    return mean, directions[:keep], shares[:keep]


def portrait(study: Study) -> Figure | None:
    """Trajectories, fixed points and other limit sets in the plane of most variance of the trajectories."""
    states = study.visited.reshape(-1, study.f.state_size)
    if study.f.state_size < 2 or len(states) < 3 or not (len(study.fixed_points) or len(study.attractors)):
        return None
    mean, axes, shares = principal_axes(states)
    panels = [(0, 1), (0, 2)] if len(axes) > 2 else [(0, 1)]
    with drawing(6.8 if len(panels) > 1 else 4.2, 3.5) as canvas:
        for column, pair in enumerate(panels):
            plane = canvas.add_subplot(1, len(panels), column + 1)
            _portrait_panel(plane, study, (study.visited - mean) @ axes[list(pair)].T, mean, axes[list(pair)])
            plane.set_xlabel(f"PC {pair[0] + 1} ({percent(shares[pair[0]])} of variance)")
            plane.set_ylabel(f"PC {pair[1] + 1} ({percent(shares[pair[1]])})")
        handles, labels = canvas.axes[0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
        svg = figure_svg(canvas)
    where = "the trials" if study.trials else "free orbits"
    return Figure(
        id="portrait",
        svg=svg,
        alt=(
            f"{plural(len(study.fixed_points), 'fixed point')} in the principal plane of the states visited on {where}."
        ),
        caption=(
            f"The state space as the network uses it: principal components fitted on the states of {where} (grey), "
            "fixed "
            "points projected into it. Filled circles are stable; open marks are unstable, their short lines the "
            "directions in which they are left." + _also_drawn(study)
        ),
    )


def _also_drawn(study: Study) -> str:
    """What else is in the picture, for its caption."""
    kinds = set(study.attractors.kinds)
    said = []
    if "cycle" in kinds:
        said.append("cycles are closed polygons")
    if kinds & {"invariant circle", "invariant torus", "chaos"}:
        said.append("small dots are states on limit sets without a period")
    if study.manifolds:
        said.append("broad lines (or dots) are slow manifolds")
    text = "; ".join(said)
    return f" {text[0].upper()}{text[1:]}." if text else ""


def _portrait_panel(plane: Any, study: Study, paths: Array, mean: Array, axes: Array) -> None:
    for path in paths.swapaxes(0, 1)[:24]:
        plane.plot(path[:, 0], path[:, 1], color=GREY, lw=0.5, alpha=0.45, zorder=1)
    draw_manifolds(plane, study.manifolds, mean, axes)
    draw_limit_sets(plane, study.attractors, mean, axes)
    points = study.fixed_points.points
    at = (points.states - mean) @ axes.T
    reach = 0.09 * max(float(np.ptp(np.concatenate([paths.reshape(-1, 2), at]), axis=0).max()), 1e-9)
    for (unstable, open_), rows in _classes(study):
        looks = _looks(unstable, open_)
        for k in rows:
            for i in np.flatnonzero(np.abs(points.multipliers[k]) > 1.0)[:3] if not open_ else []:
                way = points.right_modes[k, :, i].real @ axes.T
                size = float(np.linalg.norm(way))
                step = reach * way / size if size > 1e-12 else np.zeros(2)
                ends = np.stack([at[k] - step, at[k] + step])
                plane.plot(ends[:, 0], ends[:, 1], color=looks["edgecolors"], lw=1.1, zorder=2)
        plane.scatter(*at[rows].T, s=34, linewidths=1.3, zorder=3, label=_class_name(study, unstable, open_), **looks)


def spectrum(study: Study) -> Figure | None:
    """Every multiplier of every fixed point, with the unit circle."""
    points = study.fixed_points.points
    if not len(points):
        return None
    angle = np.linspace(0, 2 * np.pi, 361)
    with drawing(4.4, 4.2) as canvas:
        plane = canvas.add_subplot()
        plane.plot(np.cos(angle), np.sin(angle), color=GREY, lw=1.0, zorder=1)
        plane.axhline(0, color=GREY, lw=0.4, zorder=0)
        plane.axvline(0, color=GREY, lw=0.4, zorder=0)
        for (unstable, open_), rows in _classes(study):
            z = points.multipliers[rows].ravel()
            looks = _looks(unstable, open_)
            plane.scatter(
                z.real, z.imag, s=16, linewidths=0.9, label=_class_name(study, unstable, open_), alpha=0.85, zorder=2,
                rasterized=len(z) > MANY, **looks,
            )  # fmt: skip
        far = max(1.15, float(np.abs(points.multipliers).max()) * 1.08)
        plane.set_xlim(-far, far)
        plane.set_ylim(-far, far)
        plane.set_aspect("equal")
        plane.set_xlabel("real part")
        plane.set_ylabel("imaginary part")
        plane.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0), handletextpad=0.2)
        svg = figure_svg(canvas)
    largest = float(np.abs(points.multipliers).max())
    return Figure(
        id="multipliers",
        svg=svg,
        width=0.6,
        alt=f"{points.multipliers.size} multipliers around the unit circle; the largest modulus is {largest:.3f}.",
        caption=(
            "Multipliers (Jacobian eigenvalues) of every fixed point, marked by its kind. Inside the circle a "
            "perturbation dies out, outside it grows; an angle means rotation."
        ),
    )


def speeds(study: Study) -> Figure | None:
    """How fast the map moves the states that were visited, at the constant input of the search."""
    states = study.visited.reshape(-1, study.f.state_size)
    if not len(states):
        return None
    values = state_speeds(study.f, states, study.fixed_points.input)
    logs = np.log10(np.maximum(values, 1e-18))
    with drawing(5.2, 2.5) as canvas:
        plane = canvas.add_subplot()
        plane.hist(logs, bins=40, color=COLOURS[0], alpha=0.8)
        slow = study.fixed_points.slow
        if len(slow):
            for value in np.log10(slow.speeds[:50]):
                plane.axvline(value, color=COLOURS[1], lw=0.8)
        plane.set_xlabel(r"$\log_{10}$ speed $|F(x)-x|_2$ (model units per step)")
        plane.set_ylabel("visited states")
        svg = figure_svg(canvas)
    middle = float(np.median(values))
    return Figure(
        id="speeds",
        svg=svg,
        width=0.8,
        alt=f"Histogram of the speed of {len(states)} visited states; the median is {middle:.2g} per step.",
        caption=(
            f"Speed of the {len(states)} visited states under the input of the search (median {number(middle, 2)} per "
            "step). States far to the left sit close to fixed or slow points."
            + (" Vertical lines: slow points found." if len(slow) else "")
        ),
    )


def state_speeds(f: Map, states: Array, input: Array) -> Array:
    """(k,) |F(x) - x|_2 of states (k, n) at the constant input."""
    return np.asarray(np.linalg.norm(f.step(states, input) - states, axis=1))


def overlaps(study: Study) -> Figure | None:
    """What modes listen to, and what they show, against how slow they are."""
    points, alignment = study.fixed_points.points, study.alignment
    panels = [("strongest input overlap", alignment.inputs)]
    if alignment.outputs is not None:
        panels.append(("strongest readout overlap", alignment.outputs))
    panels = [(label, values) for label, values in panels if values.size]
    if not len(points) or not panels or study.f.state_size < 2:
        return None
    with drawing(6.4 if len(panels) > 1 else 3.6, 2.9) as canvas:
        for column, (label, values) in enumerate(panels):
            plane = canvas.add_subplot(1, len(panels), column + 1)
            strongest = values.max(axis=2)
            for (unstable, open_), rows in _classes(study):
                x, y = np.abs(points.multipliers[rows]).ravel(), strongest[rows].ravel()
                plane.scatter(x, y, s=12, linewidths=0.8, rasterized=len(x) > MANY, **_looks(unstable, open_))
            plane.axhline(alignment.chance, color=GREY, ls="--", lw=0.9)
            plane.axvline(1.0, color=GREY, lw=0.7)
            plane.set_ylim(0, 1.02)
            plane.set_xlabel("modulus of the multiplier")
            plane.set_ylabel(label)
        svg = figure_svg(canvas)
    return Figure(
        id="overlaps",
        width=1.0 if len(panels) == 2 else 0.55,
        svg=svg,
        alt="Overlap of modes with input and readout directions against the modulus of their multiplier.",
        caption=(
            f"{_overlap_caption(study, len(panels))}, against the modulus of its multiplier: left "
            "of 1 it decays, right of 1 it grows. Dashed: what "
            f"one random direction stays below 95 % of the time ({number(alignment.chance, 2)})."
        ),
    )


def _overlap_caption(study: Study, panels: int) -> str:
    listens = "What each mode listens to (cosine between its left mode and the best input direction)"
    shows = "hat each mode shows (cosine between its right mode and the best readout row)"
    if panels == 2:
        return f"Left: w{listens[1:]}. Right: w{shows}"
    return "W" + shows if study.alignment.outputs is not None else listens


FIGURES: dict[str, Callable[[Study], Figure | None]] = {
    "portrait": portrait,
    "multipliers": spectrum,
    "speeds": speeds,
    "overlaps": overlaps,
    "exponents": lambda study: None if study.lyapunov is None else exponents(study.lyapunov),
    "covariant-angles": lambda study: None if study.covariant is None else angles(study.covariant),
    "gains": lambda study: None if study.gradients is None else gains(study.gradients),
}
