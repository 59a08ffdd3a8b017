"""Layers of propagation with their measures, against the layers' own products: ratios from one run.

    python benchmarks/propagation.py [nodes] [edges] [features] [layers] [relu | identity]

Default 10^6 nodes, 10^7 edges, 64 features, 64 layers, float32: some minutes. A layer is one sparse product, one dense
product and one activation, by the same library; propagation adds norms, distances to the collapse subspace, energies
and similarities of neighbours at every layer. Before it, the time lambda* takes to a residual of 10^-3.

Where other programs run on the same cores, compare processor times.
"""

from __future__ import annotations

import os
import resource
import sys
import time

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2))

import numpy as np

from dynsys.graphs import as_graph
from dynsys.graphs.extremes import spectrum
from dynsys.propagate import Layer, propagation
from dynsys.propagate.operator import propagator


def ring_of_permutations(n: int, m: int, seed: int = 0) -> np.ndarray:
    """(2, m) edges of a union of random permutations, nearly regular, with no locality at all."""
    generator = np.random.default_rng(seed)
    count = max(1, m // n)
    return np.concatenate([np.stack([np.arange(n), generator.permutation(n)]) for _ in range(count)], axis=1)


def clocks() -> np.ndarray:
    """Wall time and processor time of all threads, seconds: on a busy machine the second is the one to compare."""
    return np.array([time.perf_counter(), time.process_time()])


def plain(multiply: object, H: np.ndarray, W: np.ndarray, layers: int, activation: str) -> np.ndarray:
    """Wall and processor time of the layers' own work: A H, H W, activation, in buffers that are used again."""
    began = clocks()
    product, other = np.empty_like(H), np.empty_like(H)
    H = H.copy()
    for _ in range(layers):
        multiply(H, product)  # type: ignore[operator]
        np.matmul(product, W, out=other)
        if activation == "relu":
            np.maximum(other, 0, out=other)
        H, other = other, H
    return clocks() - began


def main() -> None:
    n, m, d, layers = (int(float(a)) for a in [*sys.argv[1:5], *("1e6", "1e7", "64", "64")[len(sys.argv[1:5]) :]])
    generator = np.random.default_rng(1)
    edges = ring_of_permutations(n, m)
    graph = as_graph(edges, n_nodes=n, directed="symmetrise")
    H = generator.standard_normal((n, d), dtype=np.float32)
    W = np.linalg.qr(generator.standard_normal((d, d)))[0]
    print(f"{graph.n_nodes} nodes, {graph.n_edges} edges, {d} features, float32", flush=True)
    began = clocks()
    known = spectrum(graph, tol=1e-3)
    took = clocks() - began
    print(
        f"lambda* = {known.lambda_star:.6f}, residuals {known.residuals.max():.1e}: {took[0]:.1f} s "
        f"(processor {took[1]:.1f}), {known.products} products",
        flush=True,
    )
    A = propagator(graph)
    multiply = A.product(np.float32)
    plain(multiply, H, W.astype(np.float32), 2, "relu")  # loads the kernels
    for activation in sys.argv[5:] or ("relu", "identity"):
        layer = Layer(W=W, activation=activation)
        ratios = []
        for _ in range(1 if n > 200_000 else 3):
            own = plain(multiply, H, W.astype(np.float32), layers, activation)
            began = clocks()
            result = propagation(
                layer, graph, H, layers, spectrum=known, bands=None, jacobians=False, gradients=False, dtype="float32",
                ranks=False,
            )  # fmt: skip
            whole = clocks() - began
            ratios.append(whole / own)
            print(
                f"{activation}: {layers} layers {own[0]:.2f} s (processor {own[1]:.2f}), with measures "
                f"{whole[0]:.2f} s ({whole[1]:.2f}): ratio {whole[0] / own[0]:.3f} ({whole[1] / own[1]:.3f})",
                flush=True,
            )
        wall, processor = np.median(ratios, axis=0)
        print(f"{activation}: median ratio {wall:.3f} (processor {processor:.3f}); rate {result.rate:.4f}", flush=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"peak memory of the process so far {peak:.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
