"""Single numbers that a caller passes, checked at the door: whole ones and real ones."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from dynsys.errors import InputError


def whole_number(name: str, value: Any, least: int | None = None, what: str = "", most: int | None = None) -> int:
    """`value` as an int, from `least` to `most` where given; 3.0 is a whole number, True, "3" and 3.5 are none.

    `what` is a word on what it counts, for the message: "of steps". Raises InputError.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        whole = int(value) if isinstance(value, (float, np.floating)) and value.is_integer() else operator.index(value)
    except TypeError:
        whole = None
    if whole is None or (least is not None and whole < least) or (most is not None and whole > most):
        limits = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
        raise InputError(f"`{name}` must be a whole number{what and ' '}{what}{limits}, got {value!r}.")
    return whole


def real_number(name: str, value: Any) -> float:
    """`value` as a float: a number, or an array of one; strings, None and complex numbers are none. May be inf or NaN.

    Raises: InputError.
    """
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"`{name}` must be a number, got {value!r}.") from None


def finite_number(name: str, value: Any) -> float:
    """The same, and finite."""
    number = real_number(name, value)
    if not math.isfinite(number):
        raise InputError(f"`{name}` must be a finite number, got {value!r}.")
    return number
