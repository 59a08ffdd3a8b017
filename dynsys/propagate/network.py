"""A trained graph network: its layers as they were read from a file, ready for any graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.errors import InputError
from dynsys.graphs import as_graph
from dynsys.model import Source
from dynsys.propagate.layers import Layer
from dynsys.types import Array


@final
@dataclass(frozen=True, eq=False, repr=False)
class GraphNetwork:
    """The graph convolutions of a network, from the input side. `dynsys.load` makes it, `propagation` takes it.

    Attributes:
        layers: H' = s(A H W + b), with the W (in, out) of each.
        source: the file, its digest, and how it was read. notes: what was assumed, and what was left out.
    """

    layers: tuple[Layer, ...]
    source: Source
    notes: tuple[str, ...] = ()

    @property
    def widths(self) -> tuple[int, ...]:
        """Features at the input and after each layer."""
        shapes = [layer.W.shape for layer in self.layers if layer.W is not None]
        return (shapes[0][0], *(shape[1] for shape in shapes))

    @property
    def name(self) -> str:
        """In words, for reports."""
        count = len(self.layers)
        return f"GCN of {count} layer{'s' * (count != 1)}, {' → '.join(str(width) for width in self.widths)}"

    def forward(self, graph: Any, features: Any, *, normalization: str = "sym+loops") -> list[Array]:
        """The signal before the first layer and after each one, (n, d_l) float64, on a graph of n nodes."""
        from dynsys.propagate.activations import activate
        from dynsys.propagate.run import checked_signal

        graph = as_graph(graph)
        H = checked_signal(features, graph.n_nodes).astype(np.float64)
        A = graph.propagation_matrix(normalization)
        states = [H]
        for layer in self.layers:
            layer.width(H.shape[1])
            Z = A @ (H if layer.W is None else H @ layer.W) + (0.0 if layer.b is None else layer.b)
            H = np.asarray(activate(layer.activation, Z))
            states.append(H)
        return states

    def as_cell(self, graph: Any, layer: int = -1, *, normalization: str = "sym+loops") -> Any:
        """One layer, repeated, as `cells.GCN` on a graph: a map for every analysis of maps. It must be square."""
        from dynsys.loaders.recurrent import cells_package

        chosen = self.layers[layer]
        if chosen.W is None or chosen.W.shape[0] != chosen.W.shape[1]:
            shape = None if chosen.W is None else chosen.W.shape
            raise InputError(f"only a layer that keeps the number of features can be repeated; this one has W {shape}.")
        A = as_graph(graph).propagation_matrix(normalization)
        given = {} if chosen.b is None else {"b": chosen.b}
        return cells_package().GCN(A=A, W=chosen.W, activation=chosen.activation, **given)

    def __repr__(self) -> str:
        return f"<GraphNetwork: {self.name}, from {self.source.path}>"
