"""Lags that a caller asks for, checked at the door."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from dynsys.checked_numbers import whole_number
from dynsys.errors import InputError

LONGEST = 10_000_000  # steps; a typing mistake, not a plan


def increasing_lags(lags: Any) -> list[int]:
    """`lags` as whole numbers of steps, at least 1, each larger than the one before; else InputError."""
    try:
        wanted = [whole_number("lags", lag) for lag in lags] if not isinstance(lags, str) else []
    except (TypeError, InputError):
        wanted = []
    if not wanted or wanted[0] < 1 or any(b <= a for a, b in itertools.pairwise(wanted)):
        shown = list(lags)[:10] if isinstance(lags, Iterable) and not isinstance(lags, str) else lags
        raise InputError(f"`lags` must be increasing whole numbers of steps, at least 1, got {shown!r}.")
    if wanted[-1] > LONGEST:
        raise InputError(f"the largest lag is {wanted[-1]}; lags beyond {LONGEST} are refused.")
    return wanted
