"""The length of a step in seconds, where it is known: times in steps get times in ms beside them."""

from __future__ import annotations

import math

from dynsys.checked_numbers import real_number
from dynsys.errors import InputError


def checked_duration(step_duration: float | None) -> float | None:
    """Seconds per step, or None. Raises InputError unless positive and finite."""
    if step_duration is None:
        return None
    duration = real_number("step_duration", step_duration)
    if not 0 < duration < math.inf:
        raise InputError(f"`step_duration` must be positive (seconds per step), got {step_duration}.")
    return duration
