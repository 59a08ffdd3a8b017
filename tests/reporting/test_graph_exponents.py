"""Exponents over layers in a report: beside what theory says, and bounded in what they cost."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

import dynsys
from dynsys.errors import AnalysisError
from dynsys.graphs import as_graph, spectrum
from dynsys.model import Source
from dynsys.propagate import GraphNetwork, Layer
from dynsys.reporting import graph_exponents
from dynsys.reporting.graph_exponents import newman, stack_exponents

KARATE = as_graph(nx.karate_club_graph(), weights=None)
RNG = np.random.default_rng(6)
SOURCE = Source(path="net.pt", sha256="0" * 64, format="pt", dtype="float64", prefix="", cells=())


def test_newmans_exponents() -> None:
    """Of one number: (ln 2 + psi(1/2)) / 2 = -(ln 2 + gamma) / 2, the mean of ln |N(0, 1)|; in all, E ln |det W|."""
    assert newman(1)[0] == pytest.approx(-(np.log(2) + np.euler_gamma) / 2, abs=1e-14)
    matrices = RNG.standard_normal((4000, 5, 5)) / np.sqrt(5)
    volumes = np.linalg.slogdet(matrices)[1]
    assert newman(5).sum() == pytest.approx(volumes.mean(), abs=5 * volumes.std() / np.sqrt(4000))


@pytest.mark.parametrize("normalization", ["sym+loops", "sym", "row+loops"])
def test_without_a_network(normalization: str) -> None:
    """Repeated propagation has ln |lambda_i|, fresh Gaussian weights Newman's exponents on top of them."""
    X = RNG.standard_normal((34, 3))
    tied, random = stack_exponents(KARATE, None, X, spectrum(KARATE, normalization))
    values = np.sort(np.abs(np.linalg.eigvals(KARATE.propagation_matrix(normalization).toarray())))[::-1]
    np.testing.assert_allclose(tied.exact, np.log(values[:16]), atol=1e-10)
    assert (tied.leading, tied.transverse) == pytest.approx((0.0, np.log(values[1])), abs=1e-10)
    assert tied.measured.transverse == pytest.approx(tied.transverse, abs=2e-3)
    np.testing.assert_allclose(random.exact, np.sort(np.add.outer(np.log(values), newman(3)).ravel())[::-1][:16])
    for run in (tied, random):
        slack = 5 * run.measured.standard_errors + 2e-3
        assert (np.abs(run.measured.exponents - run.exact) < slack).mean() > 0.9
    off = random.measured.transverse - random.transverse
    assert abs(off) < 5 * random.measured.transverse_error


def test_the_square_layer_of_a_network_is_repeated() -> None:
    """Linear: ln |lambda| + ln |mu|, also for a complex pair mu; other layers are not square."""
    turn = 0.8 * np.array([[np.cos(1), np.sin(1)], [-np.sin(1), np.cos(1)]])
    layers = (Layer(W=RNG.standard_normal((3, 2)), activation="relu"), Layer(W=turn))
    network = GraphNetwork(layers, SOURCE)
    tied, random = stack_exponents(KARATE, network, RNG.standard_normal((34, 3)), spectrum(KARATE))
    star = spectrum(KARATE).lambda_star
    assert (tied.leading, tied.transverse) == pytest.approx((np.log(0.8), np.log(0.8 * star)))
    assert tied.measured.exponents[0] == pytest.approx(tied.leading, abs=1e-9)
    assert tied.measured.transverse == pytest.approx(tied.transverse, abs=1e-3)
    assert "layer 2 of the network" in tied.what
    assert "ReLU" in random.what
    assert np.isnan(random.leading)
    (only,) = stack_exponents(KARATE, GraphNetwork(layers[:1], SOURCE), RNG.standard_normal((34, 3)), spectrum(KARATE))
    assert only.name == "random"


def test_a_frame_that_is_not_aligned_has_the_error_that_it_makes() -> None:
    """On a long cycle many eigenvalues lie close to lambda_2: forty layers are few, and the error must say so."""
    graph = as_graph(nx.cycle_graph(3000))
    run = dynsys.propagate.layer_exponents(None, graph, np.ones((3000, 1)), 40, k=2, discard=8)
    exact = np.log(spectrum(graph).lambda_2)
    assert abs(run.transverse - exact) > 1e-3
    assert abs(run.transverse - exact) < 3 * run.transverse_error


def test_what_would_take_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_exponents, "MOST", 1e3)
    with pytest.raises(AnalysisError, match="layer_exponents"):
        stack_exponents(KARATE, None, np.ones((34, 1)), spectrum(KARATE))
