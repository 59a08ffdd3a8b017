"""Random generators from explicit seeds; the global random state is never touched."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynsys.errors import InputError


def generator(seed: Any) -> np.random.Generator:
    """NumPy's default generator for `seed`, a whole number >= 0."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"`seed` must be a whole number >= 0, got {seed!r}.")
    return np.random.default_rng(int(seed))
