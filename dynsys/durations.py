"""The length of a step in seconds, where it is known: times in steps get times in ms beside them."""

from __future__ import annotations

import math

from dynsys.errors import InputError


def checked_duration(step_duration: float | None) -> float | None:
    """Seconds per step, or None. Raises InputError unless positive and finite."""
    if step_duration is not None and not 0 < step_duration < math.inf:
        raise InputError(f"`step_duration` must be positive (seconds per step), got {step_duration}.")
    return None if step_duration is None else float(step_duration)
