"""How many nodes a node can hear from within r layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.errors import InputError
from dynsys.graphs.reading import as_graph
from dynsys.read_only import read_only
from dynsys.types import AnyArray, Array, Booleans, Integers

AT_ONCE = 64  # sources, one bit each


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class ReceptiveField:
    """Nodes within r hops, r = 0, 1, ..., R, of some sources; hops: weights play no part.

    Attributes:
        sources: (s,) node indices. sizes: (s, R + 1), nodes within r hops of each, itself included.
        reachable: (s,) nodes in the component of each source.
        growth: (R,) nats per hop: mean of log(sizes[:, r + 1] / sizes[:, r]).
        effective_diameter: hops within which 90 % of what the sources can reach is reached, interpolated between hops;
            NaN where `complete` is false and it lies beyond.
        eccentricities: (s,) hops to the farthest node; a lower bound where not complete.
        complete: whether every source has reached its whole component within R hops.
        seed: of the sample. notes: remarks.
    """

    sources: Integers
    sizes: Integers
    reachable: Integers
    growth: Array
    effective_diameter: float
    eccentricities: Integers
    complete: bool
    seed: int
    notes: tuple[str, ...]

    @property
    def mean_sizes(self) -> Array:
        """(R + 1,) mean over the sources."""
        return np.asarray(self.sizes.mean(axis=0), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in (*self.__dataclass_fields__, "mean_sizes")}

    def __str__(self) -> str:
        shown = ", ".join(f"{size:.4g}" for size in self.mean_sizes[:6])
        farthest = f"{self.eccentricities.max()}{'' if self.complete else ' or more'}"
        return (
            f"receptive field of {len(self.sources)} nodes: {shown}, ... nodes within 0, 1, ... hops; "
            f"effective diameter {self.effective_diameter:.3g}, farthest {farthest}"
        )

    __repr__ = __str__


def receptive_field(
    graph: Any, *, sources: Any = None, samples: int = 256, hops: int = 1000, seed: int = 0, directed: str = "refuse"
) -> ReceptiveField:
    """Growth of the receptive field with depth.

    Args:
        graph: anything `as_graph` reads; directed: as there.
        sources: (s,) node indices; None: `samples` nodes drawn at random, or all where there are no more.
        hops: at most so many. seed: of the sample.

    Cost: one pass over the edges for each hop and 64 sources (a bit of a word each).
    """
    graph = as_graph(graph, directed=directed)
    if samples < 1 or hops < 1:
        raise InputError(f"need samples >= 1 and hops >= 1, got {samples} and {hops}.")
    rng = seeds.generator(seed)
    n = graph.n_nodes
    if sources is None:
        chosen = np.arange(n) if n <= samples else np.sort(rng.choice(n, samples, replace=False))
    else:
        chosen = np.asarray(sources)
        if chosen.ndim != 1 or not len(chosen) or chosen.dtype.kind not in "iu":
            raise InputError("`sources` is a list of node indices.")
        if chosen.min() < 0 or chosen.max() >= n:
            raise InputError(f"`sources` are node indices from 0 to {n - 1}.")
    simple = graph.simple
    rows = np.flatnonzero(np.diff(simple.indptr))
    starts = simple.indptr[rows]
    parts = []
    for first in range(0, len(chosen), AT_ONCE):
        parts.append(_grown(simple.indices, starts, rows, n, chosen[first : first + AT_ONCE], hops))
    longest = max(part.shape[1] for part in parts)
    sizes = np.concatenate([np.pad(p, ((0, 0), (0, longest - p.shape[1])), mode="edge") for p in parts])
    reachable = np.bincount(graph.components)[graph.components[chosen]]
    complete = bool((sizes[:, -1] == reachable).all())
    share = sizes.sum(axis=0) / reachable.sum()
    return ReceptiveField(
        sources=chosen.astype(np.int64),
        sizes=sizes,
        reachable=reachable,
        growth=np.log(sizes[:, 1:] / sizes[:, :-1]).mean(axis=0),
        effective_diameter=_crossing(share, 0.9),
        eccentricities=np.argmax(sizes == sizes[:, -1:], axis=1).astype(np.int64),
        complete=complete,
        seed=seed,
        notes=() if complete else (f"stopped after {hops} hops",),
    )


def _grown(indices: AnyArray, starts: AnyArray, rows: Integers, n: int, sources: AnyArray, hops: int) -> Integers:
    """(s, R + 1) nodes within r hops, until nothing is added: the neighbours' words are or-ed together."""
    words = np.zeros(n, dtype=np.uint64)
    np.bitwise_or.at(words, sources, np.uint64(1) << np.arange(len(sources), dtype=np.uint64))
    counts = [_bits(words)[: len(sources)]]
    for _ in range(hops if len(rows) else 0):
        gathered = np.bitwise_or.reduceat(words[indices], starts)
        words[rows] |= gathered
        counts.append(_bits(words)[: len(sources)])
        if np.array_equal(counts[-1], counts[-2]):
            counts.pop()
            break
    return np.stack(counts, axis=1)


def _bits(words: AnyArray) -> Integers:
    """(64,) how many of the words have each bit, lowest first."""
    total = np.zeros(64, dtype=np.int64)
    for first in range(0, len(words), 1 << 16):
        octets = words[first : first + (1 << 16)].astype("<u8").view(np.uint8).reshape(-1, 8)
        total += np.unpackbits(octets, axis=1, bitorder="little").sum(axis=0, dtype=np.int64)
    return total


def _crossing(share: Array, level: float) -> float:
    at: Booleans = share >= level
    if not at.any():
        return math.nan
    r = int(np.argmax(at))
    return 0.0 if r == 0 else r - 1 + float((level - share[r - 1]) / (share[r] - share[r - 1]))
