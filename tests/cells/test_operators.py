"""The named operations against their definitions, their transposes, and the Fourier transform."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import cells
import dynsys

PATH = np.array([[0.0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]])


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("side", [1, 2, 3])
@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_convolution_is_its_definition(side: int, padding: Any) -> None:
    """y[o, p, q] = sum over maps and entries of kernel times the value at the shifted place, written as loops."""
    kernel, x = drawn(2, 3, side, side), drawn(3, 4, 5, seed=1)
    wanted = np.zeros((2, 4, 5))
    for o, i, p, q, k, j in itertools.product(range(2), range(3), range(4), range(5), range(side), range(side)):
        row, column = p + k - side // 2, q + j - side // 2
        if padding == "circular":
            wanted[o, p, q] += kernel[o, i, k, j] * x[i, row % 4, column % 5]
        elif 0 <= row < 4 and 0 <= column < 5:
            wanted[o, p, q] += kernel[o, i, k, j] * x[i, row, column]
    got = cells.convolve(kernel, x.reshape(-1, 1), grid=(4, 5), padding=padding)
    np.testing.assert_allclose(got, wanted.reshape(-1, 1), atol=1e-13)


def test_a_kernel_wider_than_the_grid_wraps_or_sees_zeros() -> None:
    kernel, x = drawn(1, 1, 7), drawn(3, 1)
    wrapped = [sum(kernel[0, 0, k] * x[(p + k - 3) % 3, 0] for k in range(7)) for p in range(3)]
    cut = [sum(kernel[0, 0, k] * x[p + k - 3, 0] for k in range(7) if 0 <= p + k - 3 < 3) for p in range(3)]
    np.testing.assert_allclose(cells.convolve(kernel, x, grid=(3,), padding="circular")[:, 0], wrapped, atol=1e-14)
    np.testing.assert_allclose(cells.convolve(kernel, x, grid=(3,), padding="zeros")[:, 0], cut, atol=1e-14)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("with_A", "with_W"), [(True, True), (True, False), (False, True)])
def test_matrix_product_is_the_kronecker_product(sparse: bool, with_A: bool, with_W: bool) -> None:
    """vec of A H W, row by row, is kron(A, W^T) vec H."""
    A, W, H = drawn(4, 4), drawn(3, 2, seed=1), drawn(12, 5, seed=2)
    matrix = np.kron(A if with_A else np.eye(4), W.T if with_W else np.eye(3))
    graph = (scipy.sparse.csr_array(A) if sparse else A) if with_A else None
    np.testing.assert_allclose(cells.matrix_product(graph, H, W if with_W else None), matrix @ H, atol=1e-13)


OPERATORS: dict[str, Any] = {
    "matrix-product": (cells.matrix_product, (cells.propagation_matrix(PATH), drawn(12, 2), drawn(3, 2, seed=1)), {}),
    "circular": (cells.convolve, (drawn(2, 3, 3), drawn(12, 2)), {"grid": (4,), "padding": "circular"}),
    "zeros": (cells.convolve, (drawn(2, 3, 3, 2), drawn(18, 2)), {"grid": (2, 3), "padding": "zeros"}),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_every_adjoint_is_exact(name: str) -> None:
    """<forward(a), b> = <a, adjoint(b)>, for each argument that has a derivative."""
    function, arguments, settings = OPERATORS[name]
    checked = 0
    for place, linear in enumerate(function.linear(*arguments, **settings)):
        if linear is None:
            continue
        # A derivative by a parameter carries one trailing axis more: the tangents.
        tangent = drawn(*np.shape(arguments[place]), 3, seed=3)
        answer = linear.forward(tangent)
        cotangent = drawn(*answer.shape, seed=4)
        assert np.vdot(answer, cotangent) == pytest.approx(np.vdot(tangent, linear.adjoint(cotangent)), rel=1e-12)
        checked += 1
    assert checked == 2


@pytest.mark.parametrize(("grid", "side"), [((6,), 3), ((4, 5), 3), ((3, 4), 2)])
def test_the_jacobian_on_a_torus_has_the_fourier_spectrum(grid: tuple[int, ...], side: int) -> None:
    """Circular padding: for one map and an identity activation the eigenvalues of J are the kernel's transfer function.

    Convolution commutes with shifts, so Fourier modes exp(i k p) are its eigenvectors, with the eigenvalue
    sum_j kernel[j] exp(i k (j - middle)): the conjugate transform of the kernel placed around the origin.
    """
    axes = len(grid)
    cell = cells.RecurrentConvolution.random(
        1, 0, seed=3, grid=grid, side=side, padding="circular", activation="identity"
    )
    around = np.zeros(grid)
    for entry in np.ndindex(*(side,) * axes):
        around[tuple((k - side // 2) % size for k, size in zip(entry, grid, strict=True))] += cell.U[(0, 0, *entry)]
    transfer = np.conj(np.fft.fftn(around)).ravel()
    J = dynsys.as_map(cell).jacobian(np.zeros(cell.state_size))
    got = np.linalg.eigvals(J)
    distances = np.abs(got[:, None] - transfer[None, :])
    assert distances.min(axis=0).max() < 1e-12
    assert distances.min(axis=1).max() < 1e-12
    modes = np.stack([np.fft.ifftn(e.reshape(grid)).ravel() for e in np.eye(around.size)], axis=1) * around.size
    np.testing.assert_allclose(J @ modes, modes * transfer, atol=1e-12)


def test_several_maps_on_a_torus_are_one_small_matrix_per_frequency() -> None:
    """The Jacobian's singular values are those of the (n, n) transfer matrices, frequency by frequency."""
    n, grid = 3, (4, 3)
    cell = cells.RecurrentConvolution.random(n, 0, seed=3, grid=grid, padding="circular", activation="identity")
    around = np.zeros((n, n, *grid))
    for k, j in np.ndindex(3, 3):
        around[:, :, (k - 1) % 4, (j - 1) % 3] += cell.U[:, :, k, j]
    transfer = np.moveaxis(np.fft.fftn(around, axes=(2, 3)).reshape(n, n, -1), -1, 0)
    wanted = np.sort(np.linalg.svd(transfer, compute_uv=False).ravel())
    J = dynsys.as_map(cell).jacobian(np.zeros(cell.state_size))
    np.testing.assert_allclose(np.sort(np.linalg.svd(J, compute_uv=False)), wanted, atol=1e-12)


@pytest.mark.parametrize("normalization", ["sym+loops", "sym", "row+loops", "none"])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_linear_graph_convolution_has_the_kronecker_jacobian(normalization: str, sparse: bool) -> None:
    adjacency = scipy.sparse.csr_array(PATH) if sparse else PATH
    A = cells.propagation_matrix(adjacency, normalization)
    cell = cells.GCN.random(3, seed=1, A=A, activation="identity")
    J = dynsys.as_map(cell).jacobian(drawn(12))
    np.testing.assert_allclose(J, np.kron(A.toarray() if sparse else A, cell.W.T), rtol=0, atol=1e-12)


def test_normalisations_are_their_formulas() -> None:
    degrees = PATH.sum(axis=1)
    loops = PATH + np.eye(4)
    root = np.diag((degrees + 1) ** -0.5)
    np.testing.assert_allclose(cells.propagation_matrix(PATH), root @ loops @ root, atol=1e-15)
    np.testing.assert_allclose(cells.propagation_matrix(PATH, "row+loops").sum(axis=1), 1, atol=1e-15)
    root = np.diag(degrees**-0.5)
    np.testing.assert_allclose(cells.propagation_matrix(PATH, "sym"), root @ PATH @ root, atol=1e-15)
    alone = cells.propagation_matrix(np.zeros((2, 2)), "sym")
    np.testing.assert_array_equal(alone, 0)
    np.testing.assert_array_equal(cells.propagation_matrix(np.zeros((2, 2))), np.eye(2))


def test_softmax_does_not_overflow_and_its_derivative_is_known(differences: Any) -> None:
    x = np.array([1000.0, 999.0, -1000.0])
    e = np.exp(-1.0)
    np.testing.assert_allclose(cells.softmax(x[:, None])[:, 0], [1 / (1 + e), e / (1 + e), 0], atol=1e-15)
    f = dynsys.as_map(lambda h: cells.softmax(2.0 * h), 3)
    at = drawn(3)
    p = f.step(at)
    J = f.jacobian(at)
    assert f.notes == ()
    np.testing.assert_allclose(J, 2.0 * (np.diag(p) - np.outer(p, p)), atol=1e-14)
    np.testing.assert_allclose(J, differences(f.step, at), atol=1e-9)


def test_a_graph_cell_survives_a_file(tmp_path: Any) -> None:
    A = cells.propagation_matrix(scipy.sparse.csr_array(PATH))
    graph = cells.GCN.random(3, seed=1, A=A, activation="tanh", residual=0.25)
    image = cells.RecurrentConvolution.random(2, 1, grid=(3, 4), padding="circular", activation="tanh")
    for cell in (graph, image):
        dynsys.save_npz(cell, tmp_path / "cell.npz")
        back = dynsys.load(tmp_path / "cell.npz")
        state = drawn(cell.state_size)
        given = drawn(cell.input_size) if cell.input_size else None
        f = dynsys.as_map(cell)
        np.testing.assert_array_equal(back.step(state, given), f.step(state, given))
        np.testing.assert_array_equal(back.jacobian(state, given), f.jacobian(state, given))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: cells.GCN(A=np.eye(3), W=np.ones((2, 3))), "W"),
        (lambda: cells.GCN(A=np.ones((2, 3)), W=np.eye(2)), "A"),
        (lambda: cells.GCN(A=np.eye(2), W=np.eye(2), activation="gelu"), "activation"),
        (lambda: cells.GCNII(A=np.eye(2), W=np.eye(2), alpha=1.5), "alpha"),
        (lambda: cells.propagation_matrix(np.ones((2, 3))), "square"),
        (lambda: cells.propagation_matrix(np.eye(2), "symmetric"), "normalization"),
        (lambda: cells.propagation_matrix(-np.ones((2, 2))), "at least zero"),
        (lambda: cells.RecurrentConvolution(U=np.ones((2, 2, 3)), grid=(2, 2)), "grid"),
        (lambda: cells.RecurrentConvolution(U=np.ones((2, 2, 3)), W=np.ones((2, 1, 3, 3)), grid=(4,)), "axes"),
        (lambda: cells.RecurrentConvolution(U=np.ones((2, 2, 3)), grid=(4,), padding="reflect"), "padding"),
    ],
)
def test_what_is_wrong_is_said(build: Any, words: str) -> None:
    with pytest.raises(cells.ParameterError, match=words):
        build()
