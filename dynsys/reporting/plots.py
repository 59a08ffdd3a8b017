"""The pictures of a portrait as SVG files, without a whole report."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.attractors import Attractors, find_attractors
from dynsys.basins import Basins, basins_of
from dynsys.errors import InputError
from dynsys.fixed_points import FixedPoints
from dynsys.maps import Map
from dynsys.orbits import simulate
from dynsys.slow_sets import SlowManifold, slow_manifolds
from dynsys.types import Array, Progress
from dynsys.unstable_branches import Wiring, wiring

ORBITS, STEPS = 48, 80
PLOTS = ("portrait", "multipliers", "hits", "wiring", "drift")


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Pictured:
    """What the pictures of a portrait are drawn from; a part of what a report's study has, under the same names."""

    f: Map
    fixed_points: FixedPoints
    visited: Array
    attractors: Attractors
    basins: Basins
    wiring: Wiring
    manifolds: tuple[SlowManifold, ...]
    trials: Any = None
    cycles: Any = field(default=None)


def pictured(
    f: Map, found: FixedPoints, cycles: Any = None, visited: Array | None = None, seed: int = 0,
    progress: Progress | None = None,
) -> Pictured:  # fmt: skip
    """Follow orbits and saddles around the fixed points `found`, for their pictures."""
    if visited is None:
        starts = seeds.generator(seed).uniform(found.box.low, found.box.high, (ORBITS, f.state_size))
        with np.errstate(all="ignore"):
            visited = simulate(f, starts, np.broadcast_to(found.input, (STEPS, 1, f.input_size)))
        visited = visited[:, np.isfinite(visited).all(axis=(0, 2)) & (np.abs(visited).max(axis=(0, 2)) < 1e6)]
    attractors = find_attractors(f, fixed_points=found, cycles=cycles, seed=seed + 1, progress=progress)
    return Pictured(
        f=f,
        fixed_points=found,
        visited=visited,
        attractors=attractors,
        basins=basins_of(attractors, len(found)),
        wiring=wiring(f, found, cycles=cycles, attractors=attractors, seed=seed),
        manifolds=slow_manifolds(f, found, seed=seed),
        cycles=cycles,
    )


def plot_folder(folder: Path) -> None:
    """Make sure that pictures can be written to `folder`, before they are drawn."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"cannot write plots to {str(folder)!r}: {error.strerror or error}.") from None


def save_plots(study: Any, folder: Path, lead: str = "") -> list[Path]:
    """Write every picture that the study has something for to `folder`, as `LEADname.svg`."""
    from dynsys.reporting.figures import FIGURES
    from dynsys.reporting.portrait_figures import PORTRAIT_FIGURES

    drawn = {name: (FIGURES | PORTRAIT_FIGURES)[name](study) for name in PLOTS}
    files = []
    plot_folder(folder)
    try:
        for name, figure in drawn.items():
            if figure is not None:
                files.append(folder / f"{lead}{name}.svg")
                files[-1].write_text(figure.svg, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write plots to {str(folder)!r}: {error.strerror or error}.") from None
    return files
