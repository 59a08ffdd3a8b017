"""Cells with layer normalisation: what feeds a function is brought to mean zero and variance one over the units."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cells._cell import (
    Array,
    Bias,
    Box,
    Cell,
    InputWeights,
    ParameterError,
    RecurrentWeights,
    checked_choice,
    checked_number,
    parameter_or_ones,
    parameter_or_zeros,
    rank_deficiency,
)
from cells.activations import ACTIVATIONS, GATES, bounds, reach
from cells.gru import UPDATES, mix
from cells.lstm import check_functions, functions, largest, shown_by_gate

EPSILON = 1e-5
"""As in PyTorch."""


def layer_norm(a: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """gamma (a - mean a) / sqrt(var a + epsilon) + beta, mean and variance over the rows of each column of a, (n, B).

    The derivative by a is diag(gamma) (I - 1 1^T / n - y y^T / n) / sqrt(var a + epsilon), y the normalised a: it has
    rank n - 1. Every |y_i| stays below sqrt(n - 1).
    """
    centred = a - np.mean(a, axis=0, keepdims=True)
    variance = np.mean(centred * centred, axis=0, keepdims=True)
    return gamma * (centred / np.sqrt(variance + epsilon)) + beta


def _centred_rows(U: Array) -> Array:
    """U without the mean of each column: what a layer norm hears of U h. Read-only, so that its rank is kept."""
    centred = np.asarray(U - U.mean(axis=0))
    centred.setflags(write=False)
    return centred


def _farthest(gamma: Array, beta: Array) -> tuple[Array, Array]:
    """The least and the largest that a layer norm can give, (n, 1), whatever it hears."""
    most = np.abs(gamma) * math.sqrt(len(gamma) - 1)
    return np.asarray(beta - most), np.asarray(beta + most)


def _check(cell: Any, letters: str | None = None) -> None:
    name = type(cell).__name__
    checked_number(name, "epsilon", cell.epsilon, 0.0)
    if cell.epsilon == 0:
        raise ParameterError(f"{name}.epsilon must be above 0: it keeps a layer of equal units from dividing by zero.")
    if letters is not None and (not cell.normalized or not set(cell.normalized) <= set(letters)):
        raise ParameterError(
            f"{name}.normalized must name at least one of {', '.join(letters)}; got {cell.normalized!r}."
        )


def _check_units(cell: Any) -> None:
    if cell.hidden_size < 2:
        raise ParameterError(f"{type(cell).__name__} needs at least 2 units: the norm of a single one is always zero.")


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerNormElman(Cell):
    """Elman network with layer normalisation: h' = s(LN(W x + U h + b)).

    LN(a) = gamma (a - mean a) / sqrt(var a + epsilon) + beta, mean and variance over the n units of one sample.
    Shapes: h (n,), x (m,), W (n, m), U (n, n), b, gamma, beta (n,); gamma left out means one, the biases zero.
    `activation` s is any of the named ones. In PyTorch: `torch.tanh(norm(linear(...)))` with `norm = nn.LayerNorm(n)`;
    the paper has b = 0.
    Source: J. L. Ba, J. R. Kiros and G. E. Hinton, arXiv 1607.06450 (2016), equation 4.
    """

    U: RecurrentWeights
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    gamma: Bias = parameter_or_ones()
    beta: Bias = parameter_or_zeros()
    epsilon: float = EPSILON
    activation: str = "tanh"

    def __post_init__(self) -> None:
        checked_choice("LayerNormElman", "activation", self.activation, ACTIVATIONS)
        _check(self)
        super().__post_init__()
        _check_units(self)

    def step(self, h: Any, x: Any) -> Any:
        a = self.W @ x + self.U @ h + self.b
        return ACTIVATIONS[self.activation](layer_norm(a, self.gamma, self.beta, self.epsilon))

    @functools.cached_property
    def _heard(self) -> Array:
        return _centred_rows(self.U)

    def lost_rank(self, *blocks: Array) -> int:
        """J = diag(s' gamma) (I - y y^T / n) C U / sqrt(var + epsilon), C the centring: it has the rank of C U.

        At least one dimension goes at every step: the mean over the units.
        """
        return rank_deficiency(self._heard)

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube of the activation; for unbounded ones where beta and sqrt(n - 1) gamma let it go."""
        cube = bounds(self.activation, self.hidden_size)
        if cube is None:  # all activations grow with their argument
            least, most = (ACTIVATIONS[self.activation](end) for end in _farthest(self.gamma, self.beta))
            slack = 1e-9 * (1 + np.abs(least) + np.abs(most))
            cube = least - slack, most + slack
        return {"h": cube}


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerNormLSTM(Cell):
    """LSTM with layer normalisation of what feeds its gates, each by itself; the state is (h, c).

    i = sigmoid(LN_i(W_i x + U_i h + b_i)), f and o alike; g = tanh(LN_g(W_g x + U_g h + b_g))
    c' = f c + i g
    h' = o tanh(c')
    LN_k(a) = gamma_k (a - mean a) / sqrt(var a + epsilon) + beta_k, mean and variance over the n units of one sample.

    `normalized` names the ones that are, e.g. "g" alone; the others hear their argument as it is. Shapes: h, c (n,),
    x (m,), each W (n, m), each U (n, n), each b, gamma, beta (n,); functions as `LSTM`.
    Source: J. L. Ba, J. R. Kiros and G. E. Hinton, arXiv 1607.06450 (2016); gate by gate as TensorFlow's
    `LayerNormBasicLSTMCell`, which also normalises c'.
    """

    U_i: RecurrentWeights
    U_f: RecurrentWeights
    U_o: RecurrentWeights
    U_g: RecurrentWeights
    W_i: InputWeights = parameter_or_zeros()
    W_f: InputWeights = parameter_or_zeros()
    W_o: InputWeights = parameter_or_zeros()
    W_g: InputWeights = parameter_or_zeros()
    b_i: Bias = parameter_or_zeros()
    b_f: Bias = parameter_or_zeros()
    b_o: Bias = parameter_or_zeros()
    b_g: Bias = parameter_or_zeros()
    gamma_i: Bias = parameter_or_ones()
    gamma_f: Bias = parameter_or_ones()
    gamma_o: Bias = parameter_or_ones()
    gamma_g: Bias = parameter_or_ones()
    beta_i: Bias = parameter_or_zeros()
    beta_f: Bias = parameter_or_zeros()
    beta_o: Bias = parameter_or_zeros()
    beta_g: Bias = parameter_or_zeros()
    normalized: str = "ifog"
    epsilon: float = EPSILON
    gate_activation: str = "sigmoid"
    activation: str = "tanh"
    output_activation: str = "tanh"

    def __post_init__(self) -> None:
        check_functions(self)
        _check(self, "ifog")
        super().__post_init__()
        _check_units(self)

    def step(self, h: Any, c: Any, x: Any) -> Any:
        gate, activate, show = functions(self)
        i = gate(self._normed("i", self.W_i @ x + self.U_i @ h + self.b_i, self.gamma_i, self.beta_i))
        f = gate(self._normed("f", self.W_f @ x + self.U_f @ h + self.b_f, self.gamma_f, self.beta_f))
        o = gate(self._normed("o", self.W_o @ x + self.U_o @ h + self.b_o, self.gamma_o, self.beta_o))
        g = activate(self._normed("g", self.W_g @ x + self.U_g @ h + self.b_g, self.gamma_g, self.beta_g))
        c_next = f * c + i * g
        return o * show(c_next), c_next

    def _normed(self, letter: str, a: Any, gamma: Any, beta: Any) -> Any:
        return layer_norm(a, gamma, beta, self.epsilon) if letter in self.normalized else a

    @functools.cached_property
    def _heard(self) -> Array:
        return _centred_rows(self.U_o) if "o" in self.normalized else self.U_o

    def lost_rank(self, *blocks: Array) -> NDArray[np.int64] | None:
        """As of the LSTM, with C U_o for U_o where o is normalised; unknown where some c' is exactly zero."""
        if self.gate_activation != "sigmoid":
            return None
        shown = ACTIVATIONS[self.output_activation](self.step(*blocks)[1])
        return None if (shown == 0).any() else np.full(shown.shape[1], rank_deficiency(self._heard), dtype=np.int64)

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """|h| < 1, and |c| < max i max|g| / (1 - max f), as of the LSTM, the maxima as far as a layer norm can go."""
        shown = bounds(self.output_activation, self.hidden_size)
        if shown is None or not np.isfinite(reach(self.activation)):
            return None
        gate, h = ACTIVATIONS[self.gate_activation], reach(self.output_activation)

        def most(letter: str) -> Array:
            if letter in self.normalized:
                return _farthest(getattr(self, f"gamma_{letter}"), getattr(self, f"beta_{letter}"))[1]
            W, U, b = (getattr(self, f"{name}_{letter}") for name in ("W", "U", "b"))
            return largest(W, U, b, low, high, h)

        i, left = gate(most("i")), gate(-most("f"))
        with np.errstate(divide="ignore", invalid="ignore"):
            c = np.where(i > 0, reach(self.activation) * i / left, np.where(left > 0, 1.0, np.inf))
        return {"h": shown_by_gate(shown), "c": (-c, c)}


RESETS = ("after", "before")


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerNormGRU(Cell):
    """Gated recurrent unit with layer normalisation of what feeds its gates and its candidate, each by itself.

    z = sigmoid(LN_z(W_z x + U_z h + b_z)), r alike with LN_r
    candidate = tanh(LN_h(W_h x + b_h + r (U_h h + b_hn)))        with reset="after", the default
    candidate = tanh(LN_h(W_h x + b_h + U_h (r h) + b_hn))        with reset="before"
    h' = z h + (1 - z) candidate        with update="keeps-old", the default
    h' = (1 - z) h + z candidate        with update="takes-new"
    LN_k(a) = gamma_k (a - mean a) / sqrt(var a + epsilon) + beta_k, mean and variance over the n units of one sample.

    `normalized` names the ones that are, e.g. "h" alone; the others hear their argument as it is. Shapes: h (n,),
    x (m,), each W (n, m), each U (n, n), each b, gamma, beta (n,); functions as `GRU`.
    Source: J. L. Ba, J. R. Kiros and G. E. Hinton, arXiv 1607.06450 (2016).
    """

    U_z: RecurrentWeights
    U_r: RecurrentWeights
    U_h: RecurrentWeights
    W_z: InputWeights = parameter_or_zeros()
    W_r: InputWeights = parameter_or_zeros()
    W_h: InputWeights = parameter_or_zeros()
    b_z: Bias = parameter_or_zeros()
    b_r: Bias = parameter_or_zeros()
    b_h: Bias = parameter_or_zeros()
    b_hn: Bias = parameter_or_zeros()
    gamma_z: Bias = parameter_or_ones()
    gamma_r: Bias = parameter_or_ones()
    gamma_h: Bias = parameter_or_ones()
    beta_z: Bias = parameter_or_zeros()
    beta_r: Bias = parameter_or_zeros()
    beta_h: Bias = parameter_or_zeros()
    normalized: str = "zrh"
    epsilon: float = EPSILON
    reset: str = "after"
    update: str = "keeps-old"
    gate_activation: str = "sigmoid"
    activation: str = "tanh"

    def __post_init__(self) -> None:
        checked_choice("LayerNormGRU", "reset", self.reset, RESETS)
        checked_choice("LayerNormGRU", "update", self.update, UPDATES)
        checked_choice("LayerNormGRU", "gate_activation", self.gate_activation, GATES)
        checked_choice("LayerNormGRU", "activation", self.activation, ACTIVATIONS)
        _check(self, "zrh")
        super().__post_init__()
        _check_units(self)

    def step(self, h: Any, x: Any) -> Any:
        gate, activate = ACTIVATIONS[self.gate_activation], ACTIVATIONS[self.activation]
        z = gate(self._normed("z", self.W_z @ x + self.U_z @ h + self.b_z, self.gamma_z, self.beta_z))
        r = gate(self._normed("r", self.W_r @ x + self.U_r @ h + self.b_r, self.gamma_r, self.beta_r))
        heard = r * (self.U_h @ h + self.b_hn) if self.reset == "after" else self.U_h @ (r * h) + self.b_hn
        candidate = activate(self._normed("h", self.W_h @ x + self.b_h + heard, self.gamma_h, self.beta_h))
        return mix(self.update, z, h, candidate)

    def _normed(self, letter: str, a: Any, gamma: Any, beta: Any) -> Any:
        return layer_norm(a, gamma, beta, self.epsilon) if letter in self.normalized else a

    def lost_rank(self, *blocks: Array) -> int | None:
        """The old state passes through the update gate, which is never zero: nothing is destroyed exactly."""
        return 0 if self.gate_activation == "sigmoid" else None

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """The cube (-1, 1)^n for tanh: h' lies between h and the candidate. None for unbounded activations."""
        cube = bounds(self.activation, self.hidden_size)
        return None if cube is None or self.gate_activation != "sigmoid" else {"h": cube}
