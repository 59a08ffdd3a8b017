"""The report's words on the worst that inputs can do."""

from __future__ import annotations

from dynsys.reporting.wording import number, plural
from dynsys.worst import WorstCase


def worst_case_text(found: WorstCase, sequences: int) -> str:
    """One paragraph: what is bounded, what was measured, and what follows."""
    proven = (
        f"no step from a reachable state stretches a difference by more than {number(found.bound, 3)} ($|J|_2$)"
        if found.bound < 1e300
        else "nothing in the equations bounds how much a step can stretch a difference"
    )
    weighted = (
        "" if found.scaled_bound is None else f", in a weighted norm by no more than {number(found.scaled_bound, 3)}"
    )
    if found.vanishing == "guaranteed":
        follows = "Below one: every gradient vanishes, whatever inputs from this range follow each other."
    else:
        follows = "A bound above one says nothing: no state need reach it."
    condition = ""
    if found.sigma_1 is not None and found.steepest is not None:
        side = "below" if found.sigma_1 < 1 / found.steepest else "not below"
        condition = (
            f" $\\sigma_1(U)$ is {number(found.sigma_1, 3)}, {side} {number(1 / found.steepest, 3)}, the sufficient "
            "condition of Pascanu et al. for vanishing gradients."
        )
    return (
        f"Worst case, over all inputs within the range of the trials: {proven}{weighted}. Within the range of the "
        f"states visited, which they may leave, by no more than {number(found.visited_bound, 3)}; measured, on the "
        f"first {plural(sequences, 'trial')}: at most {number(found.largest_norm, 3)}, median "
        f"{number(found.median_norm, 3)}. {follows}{condition}"
    )
