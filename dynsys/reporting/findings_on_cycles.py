"""Findings on cycles: which there are, how many hold a memory, and what may be missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dynsys.cycles import Cycles
from dynsys.reporting.document import Finding


def stable_counts(cycles: dict[int, Cycles]) -> dict[int, int]:
    """{period: stable cycles listed}, those with any."""
    counts = {p: found.kinds.count("attractor") for p, found in cycles.items()}
    return {p: count for p, count in counts.items() if count}


def stable_text(cycles: dict[int, Cycles]) -> str:
    """ "8 stable 2-cycles and 1 stable 4-cycle"; empty where none is stable."""
    said = [f"{count} stable {p}-cycle" + ("" if count == 1 else "s") for p, count in stable_counts(cycles).items()]
    return " and ".join(said)


def cycle_findings(study: Any) -> Iterator[Finding]:
    """Which cycles there are, and what may be missing among them."""
    cycles: dict[int, Cycles] = study.cycles
    if not any(len(found) for found in cycles.values()):
        return
    stable = stable_text(cycles)
    at_rest = "attractor" in study.fixed_points.points.kinds
    listed = [f"{len(found)} of period {p}" for p, found in cycles.items()]
    yield Finding(
        id="cycles",
        severity="info",
        title=(stable or "No stable cycle") if at_rest or not stable else f"No stable fixed point; {stable}",
        value={str(p): len(found) for p, found in cycles.items()},
        uncertainty=None,
        shown=", ".join(listed),
        method=next(iter(cycles.values())).method + ".",
        meaning=(
            "A stable cycle holds a memory as a fixed point does: which cycle the state is on is kept for ever. Its "
            "phase keeps time."
            if stable
            else "The cycles are left again along their unstable modes; orbits only pass near them."
        ),
        advice="Read a readout over a whole period, or look at `dynsys.iterate(f, p)`, where each phase is at rest."
        if stable
        else "Nothing to do.",
        section="cycles",
    )
    wrong = [p for p, found in cycles.items() if found.completeness.index_passed is False]
    if wrong:
        yield Finding(
            id="cycle-index-failed",
            severity="warning",
            title="The list of cycles is wrong or incomplete",
            value={str(p): cycles[p].completeness.index_sum for p in wrong},
            uncertainty=None,
            shown=", ".join(f"period {p}: index sum {cycles[p].completeness.index_sum}, must be 1" for p in wrong),
            method="Lefschetz-Hopf for f composed p times: the signs of det(I − P) add up to 1.",
            meaning="An orbit of that period, or of a divisor, is missing, false, or counted twice.",
            advice="Raise `--starts`.",
            section="cycles",
        )
