"""Portraits at several inputs: the fixed points and cycles at each, and how they change from one to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from dynsys.cycles import Cycles
from dynsys.fixed_points import FixedPoints
from dynsys.read_only import read_only
from dynsys.tables import aligned

CYCLE_FIELDS = (
    "states", "residuals", "errors", "multipliers", "multiplier_errors", "right_modes", "left_modes", "n_unstable",
    "undecided", "kinds", "hits", "found_by", "jacobians",
)  # fmt: skip


@final
@read_only
@dataclass(frozen=True, eq=False)
class Portrait:
    """What was found at one constant input: fixed points, and cycles by period and proofs where they were asked for."""

    fixed_points: FixedPoints
    cycles: dict[int, Cycles] = field(default_factory=dict)
    certificates: Any = None
    cycle_certificates: dict[int, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The fixed points at top level, with the cycles under their own key."""
        out = self.fixed_points.to_dict()
        if self.cycles:
            out["cycles"] = {str(p): found.to_dict() for p, found in self.cycles.items()}
            for p, proofs in self.cycle_certificates.items():
                out["cycles"][str(p)]["certificates"] = proofs
        if self.certificates is not None:
            out["certificates"] = self.certificates
        return out

    def __str__(self) -> str:
        proofs = "" if self.certificates is None else f"\n{self.certificates}"
        cycles = [
            f"{found}\n{self.cycle_certificates[p]}" if len(found) and p in self.cycle_certificates else str(found)
            for p, found in self.cycles.items()
        ]
        return "\n\n".join([f"{self.fixed_points}{proofs}", *cycles])


def changes(portraits: list[Portrait]) -> list[dict[str, Any]]:
    """One row per input: how many of each kind there are, and how far the attractors of the first input have moved.

    `moved` is the median distance (Euclidean, model units) from an attractor of the first input to the nearest here;
    None where either has none.
    """
    rows = []
    for portrait in portraits:
        points = portrait.fixed_points.points
        stable = {p: int((np.asarray(found.n_unstable) == 0).sum()) for p, found in portrait.cycles.items()}
        rows.append(
            {
                "input": portrait.fixed_points.input,
                "fixed_points": len(points),
                **{f"{kind}s": points.kinds.count(kind) for kind in ("attractor", "saddle", "repeller")},
                "undecided": points.kinds.count("undecided"),
                "slow_points": len(portrait.fixed_points.slow),
                "cycles": {str(p): len(found) for p, found in portrait.cycles.items()},
                "stable_cycles": {str(p): count for p, count in stable.items()},
                "index_passed": portrait.fixed_points.completeness.index_passed,
                "moved": _moved(portraits[0], portrait),
            }
        )
    return rows


def _moved(first: Portrait, other: Portrait) -> float | None:
    old, new = (
        p.fixed_points.points.states[[kind == "attractor" for kind in p.fixed_points.points.kinds]]
        for p in (first, other)
    )
    if not len(old) or not len(new):
        return None
    apart = np.linalg.norm(old[:, np.newaxis] - new, axis=2)
    return float(np.median(apart.min(axis=1)))


def changes_text(portraits: list[Portrait]) -> str:
    """The rows of `changes` as a table."""
    rows = []
    periods = list(portraits[0].cycles)
    for row in changes(portraits):
        passed = {None: "-", True: "passed", False: "FAILED"}[row["index_passed"]]
        rows.append(
            [
                ",".join(f"{u:.4g}" for u in row["input"]) or "none",
                *(str(row[name]) for name in ("fixed_points", "attractors", "saddles", "repellers", "undecided")),
                str(row["slow_points"]),
                *(f"{row['cycles'][str(p)]} ({row['stable_cycles'][str(p)]})" for p in periods),
                passed,
                "-" if row["moved"] is None else f"{row['moved']:.3g}",
            ]
        )
    header = ["input", "points", "attractors", "saddles", "repellers", "undecided", "slow"]
    header += [f"{p}-cycles" for p in periods] + ["index test", "moved"]
    lines = [f"{portraits[0].fixed_points.map_name}: {len(portraits)} inputs", aligned(header, rows)]
    if periods:
        lines.append("Cycles: how many, and in brackets how many of them are stable.")
    lines.append("Moved: median distance from an attractor of the first input to the nearest one here.")
    return "\n".join(lines)


def arrays(portraits: list[Portrait]) -> dict[str, Any]:
    """For an `.npz` file: the fields of the points and cycles; with several inputs each name begins with `inputK/`."""
    import dataclasses

    out: dict[str, Any] = {}
    for k, portrait in enumerate(portraits):
        lead = "" if len(portraits) == 1 else f"input{k}/"
        points = portrait.fixed_points.points
        out[f"{lead}input"] = portrait.fixed_points.input
        for f in dataclasses.fields(points):
            out[f"{lead}{f.name}"] = np.asarray(getattr(points, f.name))
        for p, found in portrait.cycles.items():
            for name in CYCLE_FIELDS:
                out[f"{lead}cycles_{p}_{name}"] = np.asarray(getattr(found, name))
    return out
