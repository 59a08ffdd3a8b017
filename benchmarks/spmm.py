"""What the sparse product costs: a normalised adjacency matrix times a block of features, by every way at hand.

    python benchmarks/spmm.py [--nodes 100000] [--degree 20] [--columns 64] [--dtype float32] [--repeats 5]

Random near-regular graphs (a union of random permutations: the worst locality there is). The contestants take turns;
wall seconds are what threads are for, CPU seconds what a loaded machine does not spoil. Ratios are to SciPy's `A @ X`
in the same run, below 1 is faster. All give the same bits as SciPy where the last column says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.sparse

from dynsys.graphs import as_graph
from dynsys.graphs.operators import SparseOperator, available_threads


def permutation_graph(nodes: int, degree: int) -> Any:
    """Every node joined to its images under degree / 2 random permutations."""
    rng = np.random.default_rng(0)
    rows = np.tile(np.arange(nodes), degree // 2)
    columns = np.concatenate([rng.permutation(nodes) for _ in range(degree // 2)])
    A = scipy.sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(nodes, nodes)).tocsr()
    return as_graph(A + A.T, weights=None)


def contestants(matrix: Any, X: Any, dtype: Any) -> dict[str, Callable[[], Any]]:
    """Each way, as a function without arguments that returns the product."""
    every = available_threads()
    found: dict[str, Callable[[], Any]] = {"scipy A @ X": lambda: matrix @ X}
    kinds = ["scipy", *(["numba"] if importlib.util.find_spec("numba") else [])]
    for kernels in kinds:
        for threads in dict.fromkeys((1, every)):
            product = SparseOperator(matrix, dtype=dtype, threads=threads, kernels=kernels)
            out = np.empty_like(X)
            found[f"dynsys, {kernels} kernels, {threads} threads"] = lambda p=product, o=out: p(X, o)
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(every)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sparse CSR is announced as beta at every use
            parts = (torch.from_numpy(np.array(a)) for a in (matrix.indptr, matrix.indices, matrix.data))
            A = torch.sparse_csr_tensor(*parts, size=matrix.shape)
        features = torch.from_numpy(X)

        def by_torch() -> Any:
            return (A @ features).numpy()

        found[f"torch CSR, {every} threads"] = by_torch
    if importlib.util.find_spec("sparse_dot_mkl"):
        from sparse_dot_mkl import dot_product_mkl

        found[f"MKL, {every} threads"] = lambda: dot_product_mkl(matrix, X)
    return found


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--nodes", type=int, default=100_000)
    arguments.add_argument("--degree", type=int, default=20)
    arguments.add_argument("--columns", type=int, default=64)
    arguments.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    arguments.add_argument("--repeats", type=int, default=5)
    chosen = arguments.parse_args()
    dtype = np.dtype(chosen.dtype)
    graph = permutation_graph(chosen.nodes, chosen.degree)
    matrix = scipy.sparse.csr_array(graph.propagation_matrix(), dtype=dtype)
    X = np.random.default_rng(1).standard_normal((chosen.nodes, chosen.columns)).astype(dtype)
    ways = contestants(matrix, X, dtype)
    truth = matrix @ X
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    same: dict[str, bool] = {}
    for round_ in range(chosen.repeats + 1):  # the first round compiles and warms up
        for name, way in ways.items():
            began = time.perf_counter(), time.process_time()
            product = way()
            ended = time.perf_counter(), time.process_time()
            if round_:
                wall[name].append(ended[0] - began[0])
                cpu[name].append(ended[1] - began[1])
            else:
                same[name] = bool(np.array_equal(product, truth))
    print(f"{graph.n_nodes} nodes, {graph.n_edges} edges, {chosen.columns} columns, {dtype}")
    print(f"{'':36} {'wall s':>8} {'ratio':>6} {'CPU s':>8} {'ratio':>6}  same bits")
    base = [statistics.median(table["scipy A @ X"]) for table in (wall, cpu)]
    for name in ways:
        w, c = statistics.median(wall[name]), statistics.median(cpu[name])
        print(f"{name:36} {w:8.4f} {w / base[0]:6.2f} {c:8.4f} {c / base[1]:6.2f}  {'yes' if same[name] else 'no'}")


if __name__ == "__main__":
    main()
