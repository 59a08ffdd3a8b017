"""The product with a sparse matrix is SciPy's, to the last bit, whatever the kernels and the number of threads."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from dynsys.errors import InputError
from dynsys.graphs import as_graph
from dynsys.graphs.operators import SparseOperator

N = 3000
KERNELS = ["scipy", *(["numba"] if importlib.util.find_spec("numba") else [])]


@pytest.fixture(scope="module")
def matrix() -> sp.csr_array:
    """Random, with empty rows and one full one, so that equal shares of rows are not equal work."""
    rng = np.random.default_rng(0)
    M = sp.random_array((N, N), density=0.01, rng=rng, format="lil")
    M[7] = rng.standard_normal(N)
    M[100:200] = 0
    return sp.csr_array(M)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("columns", [None, 1, 2, 16, 64])
def test_products_are_bit_for_bit_those_of_scipy(matrix: sp.csr_array, kernels: str, dtype: type, columns: int) -> None:
    X = np.random.default_rng(1).standard_normal((N, columns) if columns else N).astype(dtype)
    truth = matrix.astype(dtype) @ X
    for threads in (1, 3):
        product = SparseOperator(matrix, dtype=dtype, threads=threads, kernels=kernels)
        assert np.array_equal(product(X), truth)
        out = np.full_like(truth, np.nan)
        assert product(X, out) is out
        assert np.array_equal(out, truth)


def test_rectangular_and_empty_matrices() -> None:
    M = sp.csr_array(np.arange(6.0).reshape(2, 3))
    assert SparseOperator(M)(np.ones(3)).tolist() == [3.0, 12.0]
    assert SparseOperator(M)(np.ones((3, 0))).shape == (2, 0)
    assert SparseOperator(sp.csr_array((4, 4)))(np.ones(4)).tolist() == [0.0] * 4


def test_wrong_shapes_and_settings_are_refused(matrix: sp.csr_array) -> None:
    product = SparseOperator(matrix)
    with pytest.raises(InputError, match="3000"):
        product(np.ones(5))
    with pytest.raises(InputError, match="contiguous"):
        product(np.ones((N, 2)), np.ones((2, N)).T)
    with pytest.raises(InputError, match="dtype"):
        SparseOperator(matrix, dtype=np.int64)
    with pytest.raises(InputError, match="kernels"):
        SparseOperator(matrix, kernels="fortran")
    with pytest.raises(InputError, match="threads"):
        SparseOperator(matrix, threads=0)


def test_a_graph_makes_each_operator_once() -> None:
    graph = as_graph([[0, 1], [1, 2]])
    assert graph.operator("sym") is graph.operator("sym")
    assert graph.operator("sym") is not graph.operator("sym", np.float32)
    assert graph.operator("sym")(np.ones(3)) == pytest.approx([2**-0.5, 2**0.5, 2**-0.5])
    with pytest.raises(InputError, match="normalization"):
        graph.operator("left")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_can_multiply_too() -> None:
    """Threads stay between products, but not in a process that was forked off."""
    program = """
import os, sys, warnings
import numpy as np, scipy.sparse as sp
from dynsys.graphs.operators import SparseOperator
from dynsys.propagate.chunks import over
warnings.simplefilter("ignore")  # newer interpreters warn of any fork beside threads
M = sp.random_array((2000, 2000), density=0.1, rng=np.random.default_rng(0), format="csr")
product, X = SparseOperator(M, threads=2, kernels="scipy"), np.ones((2000, 4))
before = product(X), over(abs, list(range(9)))
child = os.fork()
if not child:
    os._exit(0 if np.array_equal(product(X), before[0]) and over(abs, list(range(9))) == before[1] else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
