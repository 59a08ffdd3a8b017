"""Moments of the spectrum agree with traces that are counted, and with closed forms; errors are honest."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from dynsys.errors import InputError
from dynsys.graphs import as_graph, densities, spectral_density

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize(
    ("graph", "square"), [(nx.cycle_graph(30), 1 / 3), (nx.complete_graph(9), 1 / 9), (nx.hypercube_graph(4), 1 / 5)]
)
def test_mean_square_in_closed_form(graph: nx.Graph, square: float) -> None:
    found = spectral_density(graph)
    assert found.exact[1] == pytest.approx(square, abs=1e-15)
    assert found.moments[2] == pytest.approx(2 * square - 1, abs=1e-13)
    assert found.exact[0] == pytest.approx(found.moments[1], abs=1e-13)


def test_mean_square_of_cora() -> None:
    found = spectral_density(EXAMPLES / "cora.npz", moments=8, probes=8)
    assert found.exact[1] == pytest.approx(0.22865077, abs=5e-9)
    assert found.trivial_share == 78 / 2708


def test_moments_of_a_cycle_in_closed_form() -> None:
    """(1 + 2 cos t)/3 for "sym+loops"; for "sym" cos t itself, so that all moments below n but the first vanish."""
    found = spectral_density(nx.cycle_graph(200), "sym", moments=50)
    assert found.moments == pytest.approx(np.eye(50)[0], abs=1e-12)


@pytest.mark.parametrize("normalization", ["sym+loops", "sym"])
def test_probes_agree_with_the_whole_spectrum_within_their_errors(normalization: str) -> None:
    graph = as_graph(nx.barabasi_albert_graph(700, 3, seed=0))
    whole = spectral_density(graph, normalization, moments=40)
    distances = []
    for seed in range(5):
        found = spectral_density(graph, normalization, moments=40, probes=32, seed=seed)
        assert found.moments[:3] == pytest.approx(whole.moments[:3], abs=1e-12)  # exactly known
        distances.append((found.moments - whole.moments)[3:] / found.moment_errors[3:])
        inside = np.abs(found.density - whole.density) <= 4 * found.errors + 1e-9
        assert inside.mean() > 0.97
    spread = float(np.sqrt(np.mean(np.square(distances))))
    assert 0.7 < spread < 1.4, "standard errors are the size of the errors"


def test_controls_lower_the_error() -> None:
    graph = as_graph(nx.barabasi_albert_graph(700, 3, seed=0))
    truth = spectral_density(graph, moments=12).moments
    found = [spectral_density(graph, moments=12, probes=32, seed=seed) for seed in range(6)]
    controlled = np.mean([np.square(f.moments - truth) for f in found])
    assert controlled < 0.7 * np.mean([np.square(f.raw_moments - truth) for f in found])


def test_hutchinson_variance_is_the_textbook_one() -> None:
    """Rademacher probes of z^T M z: variance 2 (|M|_F^2 - sum M_ii^2)."""
    graph = as_graph(nx.karate_club_graph(), weights=None)
    M = graph.propagation_matrix().toarray()
    by_probe = densities.probe_moments(graph, "sym+loops", 3, 4000, np.random.default_rng(0), None)
    variance = 2 * (np.square(M).sum() - np.square(np.diag(M)).sum()) / graph.n_nodes**2
    assert by_probe[1].var() == pytest.approx(variance, rel=0.1)


def test_single_precision_is_far_below_the_statistical_error(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = as_graph(nx.barabasi_albert_graph(1200, 3, seed=0))
    double = spectral_density(graph, moments=60, probes=8)
    monkeypatch.setattr(densities, "SINGLE", 0)
    single = spectral_density(graph, moments=60, probes=8)
    assert np.abs(single.moments - double.moments).max() < 1e-4 * double.moment_errors[3:].min() + 1e-6


def test_the_density_integrates_to_the_share_that_is_not_trivial_and_peaks_where_eigenvalues_are() -> None:
    found = spectral_density(nx.star_graph(99), moments=80)  # 98 of 100 eigenvalues are 1/2
    theta = np.arccos(found.grid)
    assert np.abs(np.trapezoid(found.density * np.sin(theta), theta)) == pytest.approx(0.99, abs=0.003)
    assert found.trivial_share == 0.01
    assert found.grid[np.argmax(found.density)] == pytest.approx(0.5, abs=0.02)
    assert (found.density > -1e-12).all()


def test_grid_moments_and_seed_matter() -> None:
    found = spectral_density(nx.path_graph(40), grid=[0.0, 0.5], moments=10)
    assert found.density.shape == (2,)
    assert found.resolution == np.pi / 10
    a, b = (spectral_density(nx.path_graph(40), probes=4, seed=s).raw_moments for s in (0, 1))
    assert not np.array_equal(a, b)


def test_progress_is_called() -> None:
    calls: list[tuple[int, int]] = []
    spectral_density(nx.path_graph(40), probes=20, progress=lambda done, total, _: calls.append((done, total)))
    assert calls == [(16, 20), (20, 20)]


@pytest.mark.parametrize("bad", [{"moments": 2}, {"probes": 1}, {"grid": [1.0]}, {"normalization": "none"}])
def test_mistakes_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InputError):
        spectral_density(nx.path_graph(4), **bad)  # type: ignore[arg-type]
