"""Row blocks that fit the cache, worked on by a few threads: NumPy lets go of the interpreter inside its loops."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from dynsys.graphs.operators import available_threads

BLOCK = 1 << 17  # entries: 1 MiB in float64


def blocks(rows: int, columns: int) -> list[slice]:
    """Slices of the rows of an array (rows, columns), each of about BLOCK entries."""
    step = max(1, BLOCK // max(1, columns))
    return [slice(a, min(a + step, rows)) for a in range(0, rows, step)]


def few_blocks(rows: int) -> list[slice]:
    """Slices of the rows for compiled passes, which need no cache: some for each thread, so that none waits long."""
    count = max(1, min(rows, 4 * available_threads()))
    cuts = [rows * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]


def compiled_kernels() -> Any:
    """The module of compiled passes, or None without numba."""
    try:
        from dynsys.propagate import compiled
    except ImportError:
        return None
    return compiled


def over(work: Callable[[Any], Any], pieces: list[Any]) -> list[Any]:
    """`work` on every piece, the answers in order; in threads where there are many pieces."""
    if len(pieces) <= 4:
        return [work(piece) for piece in pieces]
    return list(_pool().map(work, pieces))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=available_threads(), thread_name_prefix="dynsys")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has the pool, but not its threads
