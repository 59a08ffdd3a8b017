"""What is counted around each edge, on all cores: compiled where numba is installed, else as plain Python."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from dynsys.errors import InputError
from dynsys.graphs.edge_kernels import count_around, transport
from dynsys.graphs.operators import available_threads
from dynsys.types import Integers, Progress

PLAIN = 300_000  # inner steps up to which plain Python is done before a compiled kernel is loaded


def local_counts(
    simple: Any, edges: Integers, *, squares: bool, progress: Progress | None
) -> tuple[Integers, Integers]:
    """Triangles (k,) on each edge; and (3, k) the nodes beside u and beside v that lie on a 4-cycle of the edge without
    diagonals, and the largest number of such cycles through one of them.

    Args:
        simple: (n, n) CSR array of the graph without loops, sorted. edges: (2, k).
    """
    edges = np.array(edges, dtype=np.int64)
    degrees = np.diff(simple.indptr).astype(np.int64)
    reach = simple @ degrees
    n, k = simple.shape[0], edges.shape[1]
    counts = np.zeros((4, k), dtype=np.int64)
    work = degrees[edges].sum(axis=0) + (reach[edges].min(axis=0) if squares else 0)

    def part(kernel: Callable[..., None], arrays: Any, low: int, high: int, into: Any, plain: bool) -> None:
        kernel(*arrays, low, high, squares, *fresh(n, 2, plain), into)

    _shared(count_around, part, (simple.indptr, simple.indices, reach, *edges), work, counts, progress)
    return counts[0], counts[1:]


def transport_costs(simple: Any, edges: Integers, stays: int, unit: int, progress: Progress | None) -> Integers:
    """(k,) unit d_u d_v W1(mu_u, mu_v), where mu keeps the share stays / unit and spreads the rest over neighbours."""
    edges = np.array(edges, dtype=np.int64)
    degrees = np.diff(simple.indptr).astype(np.int64)
    largest = degrees[edges].astype(np.float64).prod(axis=0).max(initial=0.0) * unit
    if largest > 2.0**60:
        raise InputError("`alpha` with so many digits does not go with degrees that large; round it.")
    n, k = simple.shape[0], edges.shape[1]
    costs = np.zeros((1, k), dtype=np.int64)
    # A shortest augmenting path costs d_u d_v, and there are about d_u + d_v of them.
    work = degrees[edges].prod(axis=0) * (degrees[edges].sum(axis=0) + 8)

    def part(kernel: Callable[..., None], arrays: Any, low: int, high: int, into: Any, plain: bool) -> None:
        width = int(degrees[edges[:, low:high]].max(initial=0)) + 2
        tables = fresh(width * width, 2, plain)
        kernel(*arrays, low, high, stays, unit, width, *tables, *fresh(n, 2, plain), *fresh(width, 11, plain), into)

    _shared(transport, part, (simple.indptr, simple.indices, *edges), work, costs, progress)
    return np.asarray(costs[0])


def fresh(length: int, count: int, plain: bool) -> list[Any]:
    """Zeroed memory for a kernel: lists are quickest for plain Python, arrays for compiled code."""
    return [[0] * length if plain else np.zeros(length, dtype=np.int64) for _ in range(count)]


def _shared(
    kernel: Callable[..., None],
    part: Callable[..., None],
    arrays: tuple[Any, ...],
    work: Any,
    out: Any,
    progress: Progress | None,
) -> None:
    """Run the kernel over blocks of edges of equal work; `out` (rows, k) has each edge's answer in its column."""
    total, k = float(work.sum()), out.shape[1]
    compiled = compiled_version(kernel) if total > PLAIN else None
    if compiled is None:
        lists = [a.tolist() for a in arrays]
        into = [[0] * k for _ in range(len(out))]
        part(kernel, lists, 0, k, into, True)
        out[:] = into
        return
    arrays = tuple(_one_kind(a) for a in arrays)
    threads = available_threads()
    blocks = max(4 * threads, min(200, int(total / 2e8)))
    running = np.concatenate([[0], np.cumsum(work)])
    cuts = np.unique(np.searchsorted(running, np.linspace(0, running[-1], blocks + 1)))
    cuts[-1] = k
    with ThreadPoolExecutor(threads) as pool:
        jobs = [
            pool.submit(part, compiled, arrays, int(a), int(b), out, False)
            for a, b in itertools.pairwise([0, *cuts[1:]])
        ]
        for job, done in zip(jobs, cuts[1:], strict=True):
            job.result()
            if progress:
                progress(int(done), k, "edges")


def _one_kind(array: Any) -> Any:
    """Contiguous and read-only, so that a kernel is compiled once, not for every kind of array."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view


@functools.cache
def compiled_version(kernel: Callable[..., None]) -> Callable[..., None] | None:
    """The kernel as machine code, or None without numba."""
    try:
        from dynsys.graphs.compiled import compile_kernel
    except ImportError:
        return None
    return compile_kernel(kernel)
