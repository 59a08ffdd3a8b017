"""Layers of a graph network, H' = s(A H W + b) + r H, and the ways in which a stack of them is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.checked_numbers import whole_number
from dynsys.errors import InputError, ShapeError
from dynsys.maps import CellMap, numbers, require_finite
from dynsys.types import Array

HOMOGENEOUS = ("identity", "relu")
"""Activations with s(c x) = c s(x) for c > 0: they leave the trivial subspace of every graph in itself."""
KNOWN = ("tanh", "sigmoid", "relu", "identity")
LIPSCHITZ = {"tanh": 1.0, "sigmoid": 0.25, "relu": 1.0, "identity": 1.0}
BEYOND = ("tied", "linear")


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """One graph convolution, H' = s(A H W + b + X) + r H.

    Attributes:
        W: (d, e) acting on features, or None for the identity. b: (e,) or None. X: (n, e), what is fed in again at this
            layer (GCNII's first state, an implicit layer's input), or None.
        activation: s, by name. residual: r, dimensionless.
    """

    W: Array | None = None
    b: Array | None = None
    X: Array | None = None
    activation: str = "identity"
    residual: float = 0.0

    def __post_init__(self) -> None:
        if self.activation not in KNOWN:
            raise InputError(f"`activation` is one of {', '.join(KNOWN)}; got {self.activation!r}.")
        if not math.isfinite(self.residual):
            raise InputError(f"`residual` must be a finite number, got {self.residual!r}.")
        for name, ndim in (("W", 2), ("b", 1), ("X", 2)):
            value = getattr(self, name)
            if value is None:
                continue
            array = np.array(numbers(value, name))
            array = array.ravel() if name == "b" else array
            if array.ndim != ndim:
                raise ShapeError(f"`{name}` has {ndim} axes, got shape {array.shape}.")
            require_finite(array, name)
            array.setflags(write=False)
            object.__setattr__(self, name, array if array.any() or name == "W" else None)
        if self.residual != 0 and self.W is not None and self.W.shape[0] != self.W.shape[1]:
            raise ShapeError(f"a residual connection needs a square W, got {self.W.shape}.")
        if self.W is not None and self.b is not None and len(self.b) != self.W.shape[1]:
            raise ShapeError(f"W {self.W.shape} gives {self.W.shape[1]} features, b has {len(self.b)}.")

    @property
    def linear(self) -> bool:
        """Whether the layer is a linear map plus a constant."""
        return self.activation == "identity"

    @property
    def plain(self) -> bool:
        """Whether the layer is H' = A H and nothing else."""
        return self.linear and self.W is None and self.b is None and self.X is None and self.residual == 0

    @property
    def homogeneous(self) -> bool:
        """Whether H' scales with H."""
        return self.activation in HOMOGENEOUS and self.b is None and self.X is None

    @property
    def strength(self) -> float:
        """s = |W|_2, the largest singular value."""
        return 1.0 if self.W is None else float(np.linalg.norm(self.W, 2)) if self.W.size else 0.0

    def width(self, before: int) -> int:
        """Features after the layer, given those before it; ShapeError where they do not fit."""
        if self.W is not None and self.W.shape[0] != before:
            raise ShapeError(f"a layer with W {self.W.shape} takes {self.W.shape[0]} features, got {before}.")
        after = before if self.W is None else self.W.shape[1]
        for name, array in (("b", self.b), ("X", self.X)):
            if array is not None and array.shape[-1] != after:
                raise ShapeError(f"`{name}` has {array.shape[-1]} features, the layer gives {after}.")
        return after


@final
@dataclass(frozen=True, kw_only=True)
class RandomGCN:
    """A stack of layers with random weights, to see what an initialisation does before training.

    Attributes:
        width: features of the hidden layers; None keeps those of the signal.
        gain: W_l has entries N(0, gain^2 / features in). activation, residual: of every layer, as for `Layer`.
        tied: the same W in every layer.
        seeds: one run for each; results are means over them, with the spread.
    """

    width: int | None = None
    gain: float = 1.0
    activation: str = "relu"
    residual: float = 0.0
    tied: bool = False
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def __post_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise InputError(f"`width` must be at least 1, got {self.width}.")
        if not self.seeds:
            raise InputError("`seeds` is empty; name at least one.")

    def layers(self, features: int, depth: int, seed: int) -> list[Layer]:
        """The layers of one seed, for a signal with this many features."""
        generator = seeds.generator(seed)
        layers: list[Layer] = []
        before = features
        for _ in range(depth):
            after = self.width or features
            if self.tied and layers and layers[-1].W is not None and layers[-1].W.shape == (before, after):
                layers.append(layers[-1])
                continue
            W = self.gain / math.sqrt(before) * generator.standard_normal((before, after))
            keeps = before == after
            layers.append(Layer(W=W, activation=self.activation, residual=self.residual if keeps else 0.0))
            before = after
        return layers


@final
@dataclass(frozen=True, eq=False)
class Stack:
    """`layers`, one for each step of depth; `own` of them are the model's, the rest goes on from there."""

    layers: tuple[Layer, ...]
    own: int
    name: str
    notes: tuple[str, ...] = ()


def stack_of(gcn: Any, features: Array, depth: int | None, beyond: str | None = None) -> Stack:
    """The layers that `gcn` means for this signal (n, d) and depth.

    A cell is repeated. The layers of a network come first; beyond them the last one is repeated where it is square
    ("tied"), else propagation goes on linearly with W = I ("linear").
    """
    if beyond is not None and beyond not in BEYOND:
        raise InputError(f"`beyond` is one of {', '.join(BEYOND)}, got {beyond!r}.")
    depth = _checked_depth(depth)
    if gcn is None:
        return Stack((Layer(),) * (64 if depth is None else depth), 0, "linear propagation, W = I")
    own, name, repeated, notes = _own_layers(gcn, features)
    if repeated:
        return Stack((own[0],) * (64 if depth is None else depth), 1, name, notes)
    depth = len(own) if depth is None else depth
    if depth <= len(own):
        return Stack(tuple(own[:depth]), depth, name, notes)
    before = features.shape[1]
    widths = [before := layer.width(before) for layer in own]
    square = own[-1].W is None or own[-1].W.shape[0] == own[-1].W.shape[1]
    if beyond == "tied" and not square:
        raise InputError(
            f"the last layer turns {own[-1].W.shape[0]} features into {widths[-1]}, so that it cannot be repeated; "  # type: ignore[union-attr]
            'use beyond="linear".'
        )
    how = beyond or ("tied" if square else "linear")
    more = own[-1] if how == "tied" else Layer()
    said = "repeats the last of them" if how == "tied" else "goes on linearly with W = I"
    notes = (*notes, f"depth {depth} is more than the {len(own)} layers of the network: it {said}")
    return Stack((*own, *(more,) * (depth - len(own))), len(own), name, notes)


def _checked_depth(depth: int | None) -> int | None:
    return None if depth is None else whole_number("depth", depth, 1, "of layers")


def _own_layers(gcn: Any, features: Array) -> tuple[list[Layer], str, bool, tuple[str, ...]]:
    """Layers, name, whether they are to be repeated as one, and notes."""
    gcn = gcn.cell if isinstance(gcn, CellMap) else gcn
    if isinstance(gcn, Layer):
        return [gcn], "a repeated layer", True, ()
    if hasattr(gcn, "layers") and hasattr(gcn, "source"):
        layers = list(gcn.layers)
        if all(isinstance(layer, Layer) for layer in layers):
            return layers, gcn.name, False, tuple(gcn.notes)
    if isinstance(gcn, (list, tuple)) and gcn:
        layers = [layer if isinstance(layer, Layer) else layer_of_cell(layer, features) for layer in gcn]
        return layers, f"{len(layers)} layers", False, ()
    if hasattr(gcn, "state_dict") and hasattr(gcn, "parameters"):
        from dynsys.loaders.graph_layers import network_in_memory

        network = network_in_memory(gcn)
        return list(network.layers), network.name, False, network.notes
    return [layer_of_cell(gcn, features)], type(gcn).__name__, True, ()


def layer_of_cell(cell: Any, features: Array) -> Layer:
    """A graph cell (`cells.GCN`, `cells.GCNII`, `cells.ImplicitGCN`) as a layer; `features` are fed in again."""
    kind = type(cell).__name__
    if kind not in ("GCN", "GCNII", "ImplicitGCN") or not hasattr(cell, "W"):
        raise InputError(
            f"`gcn` is a {kind}; need None (linear propagation), a cell (cells.GCN, cells.GCNII, cells.ImplicitGCN), a "
            "list of layers, a RandomGCN, or a graph network that dynsys.load has read."
        )
    W = np.asarray(cell.W, dtype=np.float64)
    layer = Layer(W=W, activation=cell.activation)
    if features.shape[1] != len(W):
        raise ShapeError(
            f"the cell has W {W.shape}, so it takes {len(W)} features; the signal has {features.shape[1]}."
        )
    if kind == "GCN":
        return replace(layer, b=np.asarray(cell.b).ravel(), residual=float(cell.residual))
    if kind == "ImplicitGCN":
        return replace(layer, X=features)
    mixed = (1.0 - cell.beta) * np.eye(len(W)) + cell.beta * W
    return replace(layer, W=(1.0 - cell.alpha) * mixed, X=cell.alpha * features @ mixed)


def cells_with_matrix(gcn: Any) -> Sequence[Any]:
    """The cells in `gcn` that carry a propagation matrix of their own."""
    gcn = gcn.cell if isinstance(gcn, CellMap) else gcn
    members = gcn if isinstance(gcn, (list, tuple)) else [gcn]
    return [cell for cell in members if hasattr(cell, "A") and hasattr(cell, "W")]
