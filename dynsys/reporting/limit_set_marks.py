"""Limit sets and slow manifolds drawn into a plane of state space."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynsys.attractors import Attractors
from dynsys.reporting.svg import COLOURS
from dynsys.slow_sets import SlowManifold
from dynsys.types import Array

CYCLE, CLOUD, SLOW = COLOURS[3], COLOURS[3], COLOURS[1]
MOST_CYCLES = 12
CLOUD_STATES = 400


def draw_limit_sets(plane: Any, attractors: Attractors, mean: Array, axes: Array) -> None:
    """Cycles as closed polygons, other sets that are not points as dots, each kind once in the legend."""
    named: set[str] = set()
    cycles = [a for a in attractors.attractors if a.kind == "cycle"][:MOST_CYCLES]
    for a in cycles:
        at = (np.concatenate([a.states, a.states[:1]]) - mean) @ axes.T
        plane.plot(
            *at.T, color=CYCLE, lw=0.8, marker="o", ms=3.2, zorder=3.5, label=None if "cycle" in named else "cycle"
        )
        named.add("cycle")
    for a in attractors.attractors:
        if a.kind in ("invariant circle", "invariant torus", "chaos"):
            at = (a.states[:: max(1, len(a.states) // CLOUD_STATES)] - mean) @ axes.T
            label = {"chaos": "chaotic set"}.get(a.kind, a.kind)
            plane.scatter(*at.T, s=2.5, color=CLOUD, lw=0, zorder=2.5, rasterized=True)
            if label not in named:
                plane.scatter([], [], s=14, color=CLOUD, lw=0, label=label)
            named.add(label)


def draw_manifolds(plane: Any, manifolds: tuple[SlowManifold, ...], mean: Array, axes: Array) -> None:
    """Lines and rings as curves, larger sets as the states that were traced."""
    for i, m in enumerate(manifolds):
        at = (m.states - mean) @ axes.T
        label = "slow manifold" if i == 0 else None
        if m.dimension == 1:
            at = np.concatenate([at, at[:1]]) if m.kind == "ring" else at
            plane.plot(*at.T, color=SLOW, lw=2.6, alpha=0.65, solid_capstyle="round", zorder=2.2, label=label)
        else:
            plane.scatter(*at.T, s=7, color=SLOW, alpha=0.65, lw=0, zorder=2.2, label=label)
