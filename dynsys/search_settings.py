"""The settings that searches for fixed points and for cycles share, checked at the door."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynsys.completeness import EPS
from dynsys.durations import checked_duration
from dynsys.errors import InputError


def checked_settings(n_starts: Any, given: int, tol: float, effort: float, step_duration: float | None) -> int:
    """`n_starts` as a whole number; `given` is how many starts the caller gave.

    Raises: InputError where nothing is left to start from, or a setting is out of range.
    """
    if int(n_starts) != n_starts:
        raise InputError(f"`n_starts` must be a whole number, got {n_starts!r}.")
    if n_starts < 0 or (n_starts == 0 and not given):
        raise InputError(f"nothing to start from: n_starts={n_starts} and {given} starts given.")
    checked_duration(step_duration)
    if not 0 < effort < np.inf:
        raise InputError(f"`effort` must be positive (1 is the default amount of work), got {effort}.")
    if not EPS <= tol < np.inf:
        why = "residuals are not known better than to rounding" if 0 < tol < EPS else "it is a largest residual"
        raise InputError(f"`tol` must be a number >= {EPS:.1e} ({why}), got {tol}.")
    return int(n_starts)
