"""One BLAS thread while many small matrices are worked on.

NumPy and SciPy carry an OpenBLAS each, whose idle threads spin: with two pools at two threads each, small
factorisations have been seen to take 10 to 1000 times as long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit every BLAS pool to one thread inside the block, and restore them after it."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
