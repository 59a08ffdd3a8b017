"""The settings that searches for fixed points and for cycles share, checked at the door."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynsys.checked_numbers import real_number, whole_number
from dynsys.completeness import EPS
from dynsys.durations import checked_duration
from dynsys.errors import InputError


def checked_settings(n_starts: Any, given: int, tol: float, effort: float, step_duration: float | None) -> int:
    """`n_starts` as a whole number; `given` is how many starts the caller gave.

    Raises: InputError where nothing is left to start from, or a setting is out of range.
    """
    starts = whole_number("n_starts", n_starts)
    if starts < 0 or (starts == 0 and not given):
        raise InputError(f"nothing to start from: n_starts={starts} and {given} starts given.")
    checked_duration(step_duration)
    if not 0 < real_number("effort", effort) < np.inf:
        raise InputError(f"`effort` must be positive (1 is the default amount of work), got {effort}.")
    if not EPS <= real_number("tol", tol) < np.inf:
        why = "residuals are not known better than to rounding" if 0 < tol < EPS else "it is a largest residual"
        raise InputError(f"`tol` must be a number >= {EPS:.1e} ({why}), got {tol}.")
    return starts
