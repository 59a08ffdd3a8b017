"""From a list of pairs of nodes to a `Graph`."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse

from dynsys.checked_numbers import whole_number
from dynsys.errors import InputError, ShapeError
from dynsys.graphs.graph import Graph
from dynsys.types import Array, Integers

SPARSEST = 20  # node numbers per node that occurs, beyond which they look like names


def as_columns(value: Any) -> Any:
    """A list of tuples (u, v), as Python writes edges, as the two rows of an edge list; anything else as it is."""
    if isinstance(value, list) and value and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        return [list(ends) for ends in zip(*value, strict=True)]
    return value


def graph_of_edges(
    pairs: Any, weights: Any, *, directed: str = "refuse", n_nodes: int | None = None, names: bool = False
) -> Graph:
    """The graph of an edge list.

    Args:
        pairs: (2, m) node numbers from 0, or names. weights: (m,), or None for 1 each.
        directed, n_nodes, names: as for `as_graph`.
    """
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[0] != 2:
        hint = " Pass its transpose." if pairs.ndim == 2 and pairs.shape[1] == 2 else ""
        if pairs.ndim == 2 and pairs.shape[0] == pairs.shape[1] and pairs.shape[0] > 2:
            hint = " If it is an adjacency matrix, pass scipy.sparse.csr_array(A)."
        raise ShapeError(f"an edge list has shape (2, m), one column per edge; got {pairs.shape}.{hint}")
    index, nodes = _numbered(pairs, n_nodes, names)
    values = None if weights is None else _weights(weights, pairs.shape[1])
    A, notes = _adjacency(index, values, len(nodes), directed)
    return Graph(adjacency=A, nodes=nodes, notes=notes)


def _numbered(pairs: Any, n_nodes: int | None, names: bool) -> tuple[Integers, Any]:
    """(2, m) node numbers, and the nodes."""
    if n_nodes is not None:
        n_nodes = whole_number("n_nodes", n_nodes, 1)
    if not pairs.shape[1]:
        if n_nodes is None:
            raise InputError("the edge list is empty: say how many nodes there are with `n_nodes`.")
        return np.zeros((2, 0), dtype=np.int64), range(int(n_nodes))
    if names or pairs.dtype.kind in "US":
        return _named(pairs, n_nodes)
    if pairs.dtype.kind == "f" and np.isfinite(pairs).all() and (pairs == np.rint(pairs)).all():
        pairs = pairs.astype(np.int64)
    if pairs.dtype.kind not in "iu":
        raise InputError(f"node numbers are whole numbers from 0, got an edge list of {pairs.dtype}.")
    if int(pairs.min()) < 0:
        raise InputError(f"node numbers are counted from 0, got {int(pairs.min())}.")
    most = int(pairs.max())
    if n_nodes is None:
        seen = len(np.unique(pairs)) if most > SPARSEST * pairs.size + 1000 else most
        if most > SPARSEST * seen + 1000:
            raise InputError(
                f"the largest node number is {most}, but only {seen} nodes occur. If the numbers are names, pass "
                f"names=True; if the others are isolated nodes, n_nodes={most + 1}."
            )
    elif most >= n_nodes:
        raise InputError(f"`n_nodes` is {n_nodes}, but node number {most} occurs (they are counted from 0).")
    return pairs.astype(np.int64), range(int(n_nodes) if n_nodes is not None else most + 1)


def _named(pairs: Any, n_nodes: int | None) -> tuple[Integers, tuple[Any, ...]]:
    """Names in the order of their first appearance, edge by edge."""
    if n_nodes is not None:
        raise InputError("`n_nodes` is about numbered nodes; these are named.")
    found, first, inverse = np.unique(pairs.T.ravel(), return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[inverse].reshape(-1, 2).T, tuple(found[order].tolist())


def _weights(weights: Any, m: int) -> Array:
    from dynsys.graphs.reading import check_weights

    values = np.asarray(weights.detach().cpu() if hasattr(weights, "detach") else weights)
    if values.dtype.kind not in "biuf":
        raise InputError(f"weights are numbers, got {values.dtype}.")
    if values.shape not in ((m,), (m, 1)):
        raise ShapeError(f"{m} edges need weights of shape ({m},), got {values.shape}.")
    values = values.astype(np.float64).ravel()
    check_weights(values)
    return values


def _adjacency(index: Integers, values: Array | None, n: int, directed: str) -> tuple[Any, tuple[str, ...]]:
    low, high = index.min(axis=0), index.max(axis=0)
    # One sort brings the entries of a pair together, those written forward first.
    keys = (low * n + high) * 2 + (index[0] > index[1])
    notes = []
    if values is None:
        keys = np.sort(keys)
        listed = len(keys)
    else:
        order = np.argsort(keys, kind="stable")
        kept = values[order] != 0
        keys, values, listed = keys[order][kept], values[order][kept], int(kept.sum())
        if listed < len(kept):
            notes.append(f"{len(kept) - listed} edges of weight 0 are no edges")
    first = np.ones(listed, dtype=bool)
    np.not_equal(keys[1:] >> 1, keys[:-1] >> 1, out=first[1:])
    starts = np.flatnonzero(first)
    pairs = keys[starts] >> 1
    low, high = pairs // n, pairs % n
    if values is None:
        merged = np.ones(len(pairs))
    else:
        merged = np.maximum.reduceat(values, starts) if listed else values
        least = np.minimum.reduceat(values, starts) if listed else values
        apart = np.flatnonzero(merged > least * (1 + 1e-12))
        if len(apart) and directed == "refuse":
            k = apart[0]
            raise InputError(
                f"nodes number {low[k]} and {high[k]} are joined with weights {least[k]:g} and {merged[k]:g}; an "
                f"undirected edge has one ({len(apart)} pairs differ). Merge them, or pass directed='symmetrise' (on "
                "the command line --symmetrise) to take the larger."
            )
        if len(apart):
            notes.append(f"listed with different weights, of which the larger is taken: {len(apart)} pairs")
    notes += _how_listed(keys, low == high, starts)
    return _mirrored(low, high, merged, n), tuple(notes)


def _how_listed(keys: Integers, loops: Any, starts: Integers) -> list[str]:
    """A note where edges are listed more often than once each, or once in each direction."""
    listed = np.diff(np.append(starts, len(keys)))
    if (listed == 1).all():
        return []
    ends = np.append(starts[1:], len(keys)) - 1
    # Entries are sorted: a pair has both directions if its first is forward and its last is backward.
    both = ((keys[starts] & 1) == 0) & ((keys[ends] & 1) == 1) if len(keys) else np.zeros(0, dtype=bool)
    notes = []
    pairs = int((~loops).sum())
    two_way = int(both.sum())
    if 0 < two_way < pairs:
        notes.append(
            f"{two_way} of {pairs} edges are listed in both directions, the others in one: read as undirected, each "
            "edge once"
        )
    again = int((listed > np.where(both, 2, 1)).sum()) if two_way == pairs else int((listed > 1 + both).sum())
    if again:
        notes.append(f"{again} edges are listed more than once and count once")
    return notes


def _mirrored(low: Integers, high: Integers, values: Array, n: int) -> Any:
    """The symmetric CSR array of edges low <= high."""
    off = low != high
    kind = np.int32 if max(n, 2 * len(low)) < 2**31 else np.int64
    rows = np.concatenate([low, high[off]]).astype(kind)
    columns = np.concatenate([high, low[off]]).astype(kind)
    A = scipy.sparse.coo_array((np.concatenate([values, values[off]]), (rows, columns)), shape=(n, n)).tocsr()
    A.sort_indices()
    return A
