"""Receptive fields are breadth-first search; homophily has the published values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from dynsys.errors import InputError
from dynsys.graphs import as_graph, homophily, receptive_field

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("seed", range(3))
def test_sizes_are_those_of_breadth_first_search(seed: int) -> None:
    """More than 64 sources, several components, isolated nodes."""
    graph = nx.gnp_random_graph(150, 0.015, seed=seed)
    found = receptive_field(graph)
    for source, sizes in zip(found.sources, found.sizes, strict=True):
        hops = np.array(list(nx.single_source_shortest_path_length(graph, int(source)).values()))
        assert sizes.tolist() == [(hops <= r).sum() for r in range(len(sizes))]
    assert found.complete
    truth = [max(nx.single_source_shortest_path_length(graph, s).values()) for s in graph]
    assert found.eccentricities.tolist() == truth


def test_closed_forms() -> None:
    cycle = receptive_field(nx.cycle_graph(11))
    assert cycle.mean_sizes.tolist() == [1, 3, 5, 7, 9, 11]
    cube = receptive_field(nx.hypercube_graph(5))
    assert cube.sizes[0].tolist() == np.cumsum([math.comb(5, k) for k in range(6)]).tolist()
    assert receptive_field(nx.complete_graph(4)).growth == pytest.approx([math.log(4)])


def test_effective_diameter_is_interpolated() -> None:
    """All pairs of a path of 3, itself included: 3, 7, 9 of 9 within 0, 1, 2 hops."""
    found = receptive_field(nx.path_graph(3))
    assert found.effective_diameter == pytest.approx(1 + (0.9 * 9 - 7) / 2)


def test_hops_sources_and_samples() -> None:
    path = nx.path_graph(100)
    short = receptive_field(path, sources=[0, 50], hops=3)
    assert short.sizes.tolist() == [[1, 2, 3, 4], [1, 3, 5, 7]]
    assert not short.complete
    assert short.notes
    assert math.isnan(short.effective_diameter)
    some = receptive_field(path, samples=10)
    assert len(np.unique(some.sources)) == 10
    assert not np.array_equal(some.sources, receptive_field(path, samples=10, seed=1).sources)
    assert receptive_field(nx.empty_graph(2)).sizes.tolist() == [[1], [1]]
    for bad in ({"samples": 0}, {"hops": 0}, {"sources": [100]}, {"sources": [0.5]}):
        with pytest.raises(InputError):
            receptive_field(path, **bad)  # type: ignore[arg-type]


# edge, node, class-insensitive, adjusted: Platonov et al., and recomputed from these files
PUBLISHED = {
    "cora": (0.80997, 0.82516, 0.76572, 0.77109),
    "citeseer": (0.73506, 0.71583, 0.62834, 0.67020),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_homophily_of_the_citation_graphs(name: str) -> None:
    labels = np.load(EXAMPLES / f"{name}.npz")["labels"]
    found = homophily(EXAMPLES / f"{name}.npz", labels)
    values = (found.edge, found.node, found.class_insensitive, found.adjusted)
    assert values == pytest.approx(PUBLISHED[name], abs=5e-6)
    assert found.unlabelled == (15 if name == "citeseer" else 0)


def test_homophily_of_pure_and_of_opposite_graphs() -> None:
    pure = nx.disjoint_union(nx.complete_graph(4), nx.complete_graph(4))
    found = homophily(pure, ["a"] * 4 + ["b"] * 4)
    assert (found.edge, found.node, found.adjusted) == (1.0, 1.0, 1.0)
    assert found.class_insensitive == pytest.approx(0.5 + 0.5)
    assert found.label_informativeness == pytest.approx(1.0)
    opposite = homophily(nx.complete_bipartite_graph(3, 3), [0] * 3 + [1] * 3)
    assert (opposite.edge, opposite.adjusted) == (0.0, -1.0)
    assert opposite.label_informativeness == pytest.approx(1.0)  # a neighbour's label says all


def test_random_labels_have_adjusted_homophily_and_informativeness_near_zero() -> None:
    graph = nx.random_regular_graph(20, 3000, seed=0)
    found = homophily(graph, np.random.default_rng(0).integers(0, 3, 3000))
    assert found.adjusted == pytest.approx(0.0, abs=0.01)
    assert found.label_informativeness == pytest.approx(0.0, abs=0.001)


def test_kinds_of_labels() -> None:
    graph = nx.path_graph(4)
    truth = homophily(graph, [0, 0, 1, -1])
    for labels in (["x", "x", "y", None], [2.0, 2.0, 7.0, np.nan], np.array([5, 5, 6, -1], dtype=np.int8)):
        assert homophily(graph, labels).to_dict() == truth.to_dict()
    assert truth.unlabelled == 1
    assert math.isnan(homophily(nx.empty_graph(2), [0, 1]).edge)
    assert math.isnan(homophily(nx.path_graph(2), [0, 0]).adjusted)


@pytest.mark.parametrize(
    ("labels", "message"), [([0, 1], "each of 3"), ([0.1, 0.2, 0.3], "classes"), ([-1] * 3, "no node")]
)
def test_mistakes_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        homophily(as_graph(nx.path_graph(3)), labels)
