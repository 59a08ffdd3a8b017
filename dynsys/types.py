"""The array types that signatures use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
AnyArray = NDArray[Any]
Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is being done)."""
Keep = Callable[[str, Array, Callable[[], Any]], Any]
"""Called with the name of a stage of a search, its starts, and what computes its result; returns what came of it."""

__all__ = ["AnyArray", "Array", "ArrayLike", "Booleans", "Complex", "Integers", "Keep", "Progress"]
