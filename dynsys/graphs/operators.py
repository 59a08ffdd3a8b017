"""Sparse matrix times many columns, on all cores: what every layer of a graph network spends its time in."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from typing import Any, final

import numpy as np
import scipy.sparse

from dynsys.errors import InputError, MissingPackageError, ShapeError
from dynsys.types import AnyArray

SMALL = 400_000  # entries times columns up to which one thread and SciPy are quickest
COMPILED = 20_000_000  # beyond which one product pays for loading the compiled kernels


@final
class SparseOperator:
    """X -> M X for a sparse matrix M.

    The rows of M are shared out to threads in blocks of equal work. The blocks are worked on by compiled kernels where
    numba is installed, else by SciPy's, which release the interpreter lock too. Both add up the entries of a row in
    their order: the result is the same to the last bit whatever the kernels and the number of threads.

    Args:
        matrix: (r, n) scipy CSR array; kept, not copied, where it has this dtype already.
        dtype: float64 or float32, of M, X and the result.
        threads: None for all the cores this process may use. kernels: "numba", "scipy", or None for the faster.
    """

    def __init__(
        self, matrix: Any, *, dtype: Any = np.float64, threads: int | None = None, kernels: str | None = None
    ) -> None:
        if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise InputError(f"`dtype` is float64 or float32, got {np.dtype(dtype)}.")
        if kernels not in (None, "numba", "scipy"):
            raise InputError(f"`kernels` is 'numba', 'scipy' or None, got {kernels!r}.")
        if threads is not None and threads < 1:
            raise InputError(f"`threads` must be at least 1, got {threads}.")
        self.dtype = np.dtype(dtype)
        self.matrix = scipy.sparse.csr_array(matrix, dtype=self.dtype, copy=False)
        self.shape: tuple[int, int] = self.matrix.shape
        self.threads = threads or available_threads()
        self._kernels = kernels
        self._done = 0

    @property
    def nnz(self) -> int:
        """Stored entries of M."""
        return int(self.matrix.nnz)

    def __call__(self, X: AnyArray, out: AnyArray | None = None) -> AnyArray:
        """M X for X (n,) or (n, k); into `out`, which must not share memory with X, where it is given."""
        X = np.ascontiguousarray(X, dtype=self.dtype)
        if X.ndim not in (1, 2) or X.shape[0] != self.shape[1]:
            raise ShapeError(f"the operator takes ({self.shape[1]},) or ({self.shape[1]}, k), got {X.shape}.")
        shape = (self.shape[0], *X.shape[1:])
        if out is None:
            out = np.empty(shape, dtype=self.dtype)
        elif out.shape != shape or out.dtype != self.dtype or not out.flags.c_contiguous:
            raise ShapeError(f"`out` must be a C-contiguous {shape} of {self.dtype}, got {out.shape} of {out.dtype}.")
        if X.ndim == 2 and X.shape[1] == 1:
            self(X[:, 0], out[:, 0])
            return out
        work = self.nnz * (X.shape[1] if X.ndim == 2 else 1)
        multiply = self._multiplier(work)
        if work <= SMALL or self.threads == 1:
            multiply(X, out, 0, self.shape[0], 0)
            return out
        pool = _pool(self.threads)
        for done in [pool.submit(multiply, X, out, *block) for block in self._blocks]:
            done.result()
        return out

    def _multiplier(self, work: int) -> Callable[..., None]:
        if self._kernels == "scipy":
            return self._by_scipy
        # Loading the kernels takes as long as many small products: they must be worth it.
        self._done += work
        if self._kernels is None and (work <= SMALL or self._done <= COMPILED):
            return self._by_scipy
        kernels = compiled_kernels()
        if kernels is None:
            if self._kernels == "numba":
                raise MissingPackageError("kernels='numba' needs numba: pip install 'dynsys[fast]'")
            return self._by_scipy
        one_column, many_columns = kernels

        def multiply(X: AnyArray, out: AnyArray, low: int, high: int, _: int) -> None:
            kernel = many_columns if X.ndim == 2 else one_column
            kernel(self.matrix.indptr, self.matrix.indices, self.matrix.data, X, out, low, high)

        return multiply

    def _by_scipy(self, X: AnyArray, out: AnyArray, low: int, high: int, number: int) -> None:
        whole = low == 0 and high == self.shape[0]
        out[low:high] = (self.matrix if whole else self._parts[number]) @ X

    @cached_property
    def _blocks(self) -> list[tuple[int, int, int]]:
        """(first row, last row + 1, number) of blocks of equal work, four for each thread, so that none waits long."""
        count = 4 * self.threads
        work = self.matrix.indptr.astype(np.int64) + np.arange(self.shape[0] + 1)
        cuts = np.searchsorted(work, np.linspace(0, work[-1], count + 1))
        cuts[0], cuts[-1] = 0, self.shape[0]
        pairs = [(int(a), int(b)) for a, b in itertools.pairwise(cuts) if b > a]
        return [(low, high, number) for number, (low, high) in enumerate(pairs)]

    @cached_property
    def _parts(self) -> list[Any]:
        """The blocks of M, as views of its arrays."""
        M = self.matrix
        parts = []
        for low, high, _ in self._blocks:
            entries = slice(int(M.indptr[low]), int(M.indptr[high]))
            rows = M.indptr[low : high + 1] - M.indptr[low]
            part = scipy.sparse.csr_array((M.data[entries], M.indices[entries], rows), shape=(high - low, M.shape[1]))
            parts.append(part)
        return parts


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that stay: starting them for each of a thousand products costs more than some of the products."""
    return ThreadPoolExecutor(threads, thread_name_prefix="dynsys-products")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has the pool, but not its threads


def available_threads() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compiled_kernels() -> tuple[Callable[..., None], Callable[..., None]] | None:
    """The kernels for one column and for many, or None without numba."""
    try:
        from dynsys.graphs import compiled
    except ImportError:
        return None
    return compiled.one_column, compiled.many_columns
