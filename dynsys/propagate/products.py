"""The product A H by the fastest sparse kernel at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse


def product_with(matrix: Any, dtype: Any = np.float64) -> Callable[..., Any]:
    """H -> matrix @ H for arrays (n, d) of this type."""
    held = scipy.sparse.csr_array(matrix, dtype=dtype)

    def product(H: Any) -> Any:
        return held @ H

    return product
