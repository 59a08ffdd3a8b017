"""An undirected graph with non-negative edge weights, as every analysis here takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, final

import numpy as np
import scipy.sparse

from dynsys.errors import InputError
from dynsys.graphs.operators import SparseOperator
from dynsys.types import AnyArray, Array, Integers

if TYPE_CHECKING:
    from dynsys.graphs.extremes import GraphSpectrum

Held = TypeVar("Held", bound=AnyArray)
NORMALIZATIONS = ("sym+loops", "sym", "row+loops")


def checked_normalization(normalization: str) -> str:
    """The name, or an error that lists the names there are."""
    if normalization not in NORMALIZATIONS:
        raise InputError(f"`normalization` is one of {', '.join(NORMALIZATIONS)}; got {normalization!r}.")
    return normalization


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Graph:
    """An undirected graph of n nodes and m edges. Make one with `as_graph`; all arrays are read-only.

    Attributes:
        adjacency: (n, n) scipy CSR array, float64, symmetric, sorted indices, no stored zeros; a self-loop is its
            weight on the diagonal, once. A weight says how strongly two nodes are coupled: it multiplies what is
            propagated, and is a conductance in `effective_resistance`. Without weights every entry is 1.
        nodes: the nodes' names in the graph's own order, which is the order of all arrays; range(n) without names.
        notes: how the input was read, where there was a choice.
    """

    adjacency: Any
    nodes: Sequence[Any]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.adjacency.data, self.adjacency.indices, self.adjacency.indptr):
            array.setflags(write=False)

    @property
    def n_nodes(self) -> int:
        """n."""
        return int(self.adjacency.shape[0])

    @cached_property
    def n_edges(self) -> int:
        """m: distinct pairs of different nodes that are joined; self-loops are not counted."""
        return (int(self.adjacency.nnz) - len(self.self_loops)) // 2

    @cached_property
    def weighted(self) -> bool:
        """Whether any edge or self-loop has a weight other than 1."""
        return bool((self.adjacency.data != 1.0).any())

    @cached_property
    def degrees(self) -> Array:
        """(n,) row sums of the adjacency matrix: the D of the normalisations. A self-loop counts once."""
        return _read_only(np.asarray(self.adjacency.sum(axis=1), dtype=np.float64).ravel())

    @cached_property
    def neighbour_counts(self) -> Integers:
        """(n,) distinct neighbours other than the node itself: the degree without weights and self-loops."""
        counts = np.diff(self.adjacency.indptr).astype(np.int64)
        counts[self.self_loops] -= 1
        return _read_only(counts)

    @cached_property
    def self_loops(self) -> Integers:
        """Indices of the nodes that are joined to themselves."""
        return _read_only(np.flatnonzero(self.adjacency.diagonal()))

    @cached_property
    def isolated(self) -> Integers:
        """Indices of the nodes without a neighbour (a self-loop is not one)."""
        return _read_only(np.flatnonzero(self.neighbour_counts == 0))

    @cached_property
    def components(self) -> Integers:
        """(n,) which connected component each node is in: 0, 1, ... in the order of their first nodes."""
        _, labels = scipy.sparse.csgraph.connected_components(self.adjacency, directed=False)
        # scipy promises no order of the labels, only that equal means connected.
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        rank = np.empty(len(first), dtype=np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        return _read_only(rank[inverse])

    @cached_property
    def n_components(self) -> int:
        """c, isolated nodes included."""
        return int(self.components.max()) + 1

    @cached_property
    def edges(self) -> Integers:
        """(2, m) indices, each edge once with edges[0] < edges[1], sorted; without self-loops."""
        upper = self._upper
        return _read_only(np.stack([upper.row, upper.col]).astype(np.int64))

    @cached_property
    def weights(self) -> Array:
        """(m,) weight of each edge in `edges`."""
        return _read_only(self._upper.data.copy())

    @property
    def _upper(self) -> Any:
        return scipy.sparse.triu(self.adjacency, k=1, format="coo")

    @cached_property
    def simple(self) -> Any:
        """(n, n) CSR array of ones (int8): the graph without weights and self-loops, on which hops are counted."""
        off = self.adjacency
        if len(self.self_loops):
            off = scipy.sparse.csr_array(off - scipy.sparse.diags_array(off.diagonal(), format="csr"))
            off.eliminate_zeros()
            off.sort_indices()
        parts = (np.ones(off.nnz, dtype=np.int8), off.indices, off.indptr)
        return scipy.sparse.csr_array(tuple(_read_only(part) for part in parts), shape=off.shape)

    def propagation_matrix(self, normalization: str = "sym+loops") -> Any:
        """The normalised adjacency matrix, (n, n) scipy CSR array: `cells.propagation_matrix` of `adjacency`.

        "sym+loops": (D+I)^-1/2 (A+I) (D+I)^-1/2; "sym": D^-1/2 A D^-1/2, zero rows for nodes of degree 0; "row+loops":
        (D+I)^-1 (A+I). The loop of weight 1 comes on top of a self-loop that the graph has already.
        """
        from dynsys.loaders.recurrent import cells_package

        return cells_package().propagation_matrix(self.adjacency, checked_normalization(normalization))

    def operator(self, normalization: str = "sym+loops", dtype: Any = np.float64) -> SparseOperator:
        """X -> A X for the normalised adjacency matrix A and X (n,) or (n, k), on all cores; made once."""
        key = (checked_normalization(normalization), np.dtype(dtype))
        if key not in self._operators:
            self._operators[key] = SparseOperator(self.propagation_matrix(normalization), dtype=dtype)
        return self._operators[key]

    @cached_property
    def _operators(self) -> dict[Any, SparseOperator]:
        return {}

    @cached_property
    def known_spectra(self) -> dict[tuple[str, float, int], GraphSpectrum]:
        """What `spectrum` has found already, by (normalization, tol, seed)."""
        return {}

    def subgraph(self, keep: Any) -> Graph:
        """The graph on some of the nodes, in the given order: (k,) indices, or a mask (n,)."""
        keep = np.asarray(keep)
        index = np.flatnonzero(keep) if keep.dtype == np.bool_ else keep
        if index.ndim != 1 or not len(index) or index.dtype.kind not in "iu" or len(np.unique(index)) != len(index):
            raise InputError("`keep` lists the nodes to keep, each once: indices (k,) with k >= 1, or a mask (n,).")
        if index.min() < 0 or index.max() >= self.n_nodes or (keep.dtype == np.bool_ and len(keep) != self.n_nodes):
            raise InputError(f"`keep` is about other nodes than the {self.n_nodes} of this graph.")
        part = scipy.sparse.csr_array(self.adjacency[index][:, index])
        part.sort_indices()
        return Graph(adjacency=part, nodes=tuple(self.nodes[i] for i in index.tolist()), notes=self.notes)

    def largest_component(self) -> Graph:
        """The connected component with the most nodes (the first of equals), nodes in their order here."""
        sizes = np.bincount(self.components)
        return self if len(sizes) == 1 else self.subgraph(self.components == int(np.argmax(sizes)))

    def to_dict(self) -> dict[str, Any]:
        """Counts and notes, for JSON; not the edges."""
        return {
            "n_nodes": self.n_nodes,
            "n_edges": self.n_edges,
            "n_components": self.n_components,
            "n_isolated": len(self.isolated),
            "n_self_loops": len(self.self_loops),
            "weighted": self.weighted,
            "notes": self.notes,
        }

    def __str__(self) -> str:
        counts = {"node": self.n_nodes, "edge": self.n_edges, "component": self.n_components}
        counts |= {"isolated node": len(self.isolated), "self-loop": len(self.self_loops)}
        there = {what: count for what, count in counts.items() if count or what == "edge"}
        parts = [f"{count} {what}{'' if count == 1 else 's'}" for what, count in there.items()]
        parts += ["weighted"] if self.weighted else []
        return "\n".join([f"graph of {', '.join(parts)}", *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__


def _read_only(array: Held) -> Held:
    array.setflags(write=False)
    return array
