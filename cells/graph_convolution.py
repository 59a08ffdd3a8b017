"""Graph convolutions: every node mixes its neighbours' features, then its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse

from cells._cell import (
    Array,
    Bias,
    Box,
    Cell,
    ParameterError,
    Propagation,
    RecurrentWeights,
    checked_choice,
    checked_number,
    parameter_or_zeros,
)
from cells.activations import ACTIVATIONS, RANGES
from cells.operators import matrix_product

NORMALIZATIONS = ("sym+loops", "sym", "row+loops", "none")


def propagation_matrix(adjacency: Any, normalization: str = "sym+loops") -> Any:
    """The matrix A of a graph convolution from a graph's adjacency matrix, dense or scipy sparse as it came.

    "sym+loops": (D+I)^-1/2 (A+I) (D+I)^-1/2 (Kipf and Welling 2017); "sym": D^-1/2 A D^-1/2, with a zero row for an
    isolated node; "row+loops": (D+I)^-1 (A+I); "none": as it is. D is the diagonal of row sums.
    """
    checked_choice("propagation_matrix", "normalization", normalization, NORMALIZATIONS)
    sparse = scipy.sparse.issparse(adjacency)
    read: Any = scipy.sparse.csr_array if sparse else np.asarray
    A = read(adjacency, dtype=np.float64)
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ParameterError(f"an adjacency matrix is square, got shape {A.shape}.")
    if normalization == "none":
        return A
    if normalization.endswith("+loops"):
        A = A + (scipy.sparse.eye_array(A.shape[0], format="csr") if sparse else np.eye(len(A)))
    degrees = np.asarray(A.sum(axis=1)).ravel()
    if not (np.isfinite(degrees).all() and (degrees >= 0).all()):
        raise ParameterError("an adjacency matrix needs finite weights whose rows add up to at least zero.")
    with np.errstate(divide="ignore"):
        scale = np.where(degrees > 0, degrees ** (-1.0 if normalization == "row+loops" else -0.5), 0.0)
    # The two factors first: the result is then symmetric to the last bit where A is.
    if not sparse:
        left = scale[:, np.newaxis]
        return A * (left if normalization == "row+loops" else left * scale)
    # Entry by entry: products with diagonal matrices cost several copies of the matrix.
    factors = np.repeat(scale, np.diff(A.indptr))
    if normalization != "row+loops":
        factors *= scale[A.indices]
    factors *= A.data
    return scipy.sparse.csr_array((factors, A.indices.copy(), A.indptr.copy()), shape=A.shape)


def ring(nodes: int) -> Array:
    """Adjacency matrix of the cycle graph, (nodes, nodes)."""
    step = np.roll(np.eye(nodes), 1, axis=1)
    return np.minimum(step + step.T, 1.0) - np.diag(np.diag(step))


@dataclass(frozen=True, kw_only=True, eq=False)
class _OnGraph(Cell):
    """What the graph convolutions share: a state of N nodes with n features each, and a graph that is not trained."""

    A: Propagation
    W: RecurrentWeights

    outputs = "H"

    @property
    def nodes(self) -> int:
        """Nodes of the graph, N."""
        return int(self.A.shape[0])

    @property
    def state_blocks(self) -> dict[str, int]:
        return {"H": self.nodes * self.hidden_size}

    @property
    def input_size(self) -> int:
        """One value per node and feature where the equations use the input, else none."""
        return self.nodes * self.hidden_size

    @property
    def parameters(self) -> dict[str, Array]:
        return {name: value for name, value in super().parameters.items() if name != "A"}

    @property
    def constants(self) -> dict[str, Any]:
        return {"A": self.A}

    def _cube(self, activation: str, kept: float = 0.0) -> dict[str, Box] | None:
        """The cube that s(...) + kept H stays in: its sides solve low = least of s + the least of kept [low, high]."""
        if activation not in RANGES or abs(kept) >= 1:
            return None
        least, most = RANGES[activation]
        if kept < 0:
            low, high = (least + kept * most) / (1 - kept**2), (most + kept * least) / (1 - kept**2)
        else:
            low, high = least / (1 - kept), most / (1 - kept)
        return {"H": (np.full((self.state_size, 1), low), np.full((self.state_size, 1), high))}

    @classmethod
    def random(
        cls, hidden: int, inputs: int = 0, gain: float = 1.0, seed: int = 0, *, A: Any = None, **options: Any
    ) -> Self:
        """A layer with weights N(0, gain^2 / hidden), zero biases.

        Args:
            hidden: features per node n. inputs: 0; the input, where there is one, has the state's own size.
            gain, seed: as for every cell. A: (N, N) propagation matrix; by default a ring of 6 nodes, normalised
            "sym+loops". options: further fields, e.g. activation="tanh".
        """
        if inputs != 0 or hidden < 1:
            raise ParameterError(f"a graph convolution needs hidden >= 1 and inputs=0, got {hidden} and {inputs}.")
        W = gain / math.sqrt(hidden) * np.random.default_rng(seed).standard_normal((hidden, hidden))
        return cls(A=propagation_matrix(ring(6)) if A is None else A, W=W, **options)


@dataclass(frozen=True, kw_only=True, eq=False)
class GCN(_OnGraph):
    """Graph convolution: H' = s(A H W + b), plus r H with a residual connection; a deep GCN repeats it.

    Shapes: H (N, n) for N nodes with n features each, flattened row by row; A (N, N), dense or scipy sparse, used as
    it is (`propagation_matrix` normalises an adjacency matrix, by name); W (n, n), b (n,), the same at every node.
    `activation` s is any of the named ones; `residual` r is dimensionless. The linear layer has the Jacobian
    kron(A, W^T). Source: T. N. Kipf and M. Welling, ICLR 2017 (arXiv:1609.02907), equation 2.
    """

    b: Bias = parameter_or_zeros()
    activation: str = "relu"
    residual: float = 0.0

    def __post_init__(self) -> None:
        checked_choice("GCN", "activation", self.activation, ACTIVATIONS)
        checked_number("GCN", "residual", self.residual)
        super().__post_init__()

    @property
    def input_size(self) -> int:
        """None: 0."""
        return 0

    def step(self, H: Any, X: Any) -> Any:
        activate = ACTIVATIONS[self.activation]
        H_next = activate(matrix_product(self.A, H, self.W) + np.tile(self.b, (self.nodes, 1)))
        return H_next if self.residual == 0 else self.residual * H + H_next

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """A cube for the bounded activations, where less than the whole state is kept."""
        return self._cube(self.activation, self.residual)


@dataclass(frozen=True, kw_only=True, eq=False)
class GCNII(_OnGraph):
    """Deep graph convolution with initial residual and identity map: H' = s(M ((1 - beta) I + beta W)).

    M = (1 - alpha) A H + alpha X, where the input X is the first layer's state H0, (N, n) flattened row by row.
    Shapes as for GCN; alpha, beta dimensionless in [0, 1]; in the paper beta falls with depth as log(lambda / l + 1).
    Source: M. Chen, Z. Wei, Z. Huang, B. Ding and Y. Li, ICML 2020 (arXiv:2007.02133), equation 5.
    """

    activation: str = "relu"
    alpha: float = 0.1
    beta: float = 0.5

    def __post_init__(self) -> None:
        checked_choice("GCNII", "activation", self.activation, ACTIVATIONS)
        for name in ("alpha", "beta"):
            checked_number("GCNII", name, getattr(self, name), 0.0, 1.0)
        super().__post_init__()

    def step(self, H: Any, X: Any) -> Any:
        activate = ACTIVATIONS[self.activation]
        M = (1 - self.alpha) * matrix_product(self.A, H, None) + self.alpha * X
        return activate((1 - self.beta) * M + self.beta * matrix_product(None, M, self.W))

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube of the activation; none for the unbounded activations."""
        return self._cube(self.activation)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImplicitGCN(_OnGraph):
    """Implicit graph layer: its output is the fixed point X = s(A X W + B) of the map H' = s(A H W + B).

    B is the input, (N, n) flattened row by row (features times their own weights, and a bias). Shapes as for GCN.
    Source: F. Gu, H. Chang, W. Zhu, S. Sojoudi and L. El Ghaoui, NeurIPS 2020 (arXiv:2009.06211), equation 2.
    """

    activation: str = "relu"

    def __post_init__(self) -> None:
        checked_choice("ImplicitGCN", "activation", self.activation, ACTIVATIONS)
        super().__post_init__()

    def step(self, H: Any, B: Any) -> Any:
        activate = ACTIVATIONS[self.activation]
        return activate(matrix_product(self.A, H, self.W) + B)

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube of the activation; none for the unbounded activations."""
        return self._cube(self.activation)
