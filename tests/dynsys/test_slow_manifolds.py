"""Continuous attractors by construction are seen as sets with a dimension and a drift; isolated points stay points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.slow_sets import SlowManifold

EXAMPLES = Path(__file__).parents[2] / "examples"


def manifolds(obj: Any, n_starts: int = 64, **options: Any) -> tuple[SlowManifold, ...]:
    f = dynsys.as_map(obj)
    return dynsys.slow_manifolds(f, dynsys.find_fixed_points(f, n_starts=n_starts), **options)


def line_network(units: int, gain: float, seed: int = 0) -> tuple[cells.Elman, Any]:
    """tanh units whose weights are `gain` along one direction spread over all units, and contract across it."""
    generator = np.random.default_rng(seed)
    v = generator.choice([-1.0, 1.0], units) / np.sqrt(units)
    across = np.eye(units) - np.outer(v, v)
    noise = 0.3 * generator.standard_normal((units, units)) / np.sqrt(units)
    return cells.Elman(U=gain * np.outer(v, v) + across @ noise @ across), v


def ring_network(units: int, gain: float = 1.5) -> cells.Elman:
    """Rank-two cosine connectivity: any bump position is almost a fixed point, pinned less the more units there are."""
    angle = 2 * np.pi * np.arange(units) / units
    return cells.Elman(U=2 * gain / units * np.cos(angle[:, np.newaxis] - angle))


def test_a_line_attractor_is_one_set_with_its_drift_and_not_a_number_of_points() -> None:
    """Along v the map is s -> tanh(s) for s = each unit's |h|, to rounding: drift s - tanh(s), multiplier sech^2 s."""
    network, v = line_network(20, 1.0)
    (line,) = manifolds(network)
    assert (line.kind, line.dimension) == ("line", 1)
    assert line.attracting
    assert line.complete
    along = line.states @ v / np.sqrt(20)
    np.testing.assert_allclose(line.states, np.outer(along, v * np.sqrt(20)), atol=1e-9)
    np.testing.assert_allclose(line.speeds, np.sqrt(20) * np.abs(along - np.tanh(along)), atol=1e-9)
    np.testing.assert_allclose(line.multipliers[:, 0].real, 1 / np.cosh(along) ** 2, atol=1e-9)
    # It ends where the multiplier leaves the band: sech^2 s = 0.95, within the spacing of the last, halved steps.
    end = np.arccosh(np.sqrt(1 / 0.95))
    np.testing.assert_allclose([-along.min(), along.max()] if along[0] < along[-1] else [along.max(), -along.min()],
                               [end, end], atol=0.011)  # fmt: skip
    assert line.direction == "towards a place on it"


def test_the_points_on_a_pinned_line_belong_to_it() -> None:
    """Gain 1.02: three fixed points, +-s* with tanh(1.02 s*) = s* and the origin, on one slow line."""
    network, _ = line_network(20, 1.02)
    (line,) = manifolds(network)
    assert line.fixed_points == (0, 1, 2)
    assert line.direction == "towards places on it, from others between them"
    assert line.drift[2] < 0.01
    assert line.crossing_time > 100


@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_an_exact_line_has_no_drift(activation: str) -> None:
    (line,) = manifolds(cells.Elman(U=np.diag([1.0, 0.5, 0.3]), activation=activation))
    assert (line.kind, line.dimension) == ("line", 1)
    assert line.drift[2] == 0.0 or line.drift[2] < 1e-100
    assert line.direction == "no drift above rounding"
    assert line.crossing_time > 1e15
    np.testing.assert_allclose(line.multipliers, 1.0)
    np.testing.assert_allclose(line.states[:, 1:], 0.0, atol=1e-8)
    assert line.states[:, 0].min() >= (0.0 if activation == "relu" else -10.0)


def test_a_line_is_the_same_set_in_other_coordinates() -> None:
    """x -> P x leaves dimension, multipliers and kind alone, and carries the states along."""
    P = np.array([[2.0, 1.0], [0.5, 1.5]])
    inverse = np.linalg.inv(P)
    plain = dynsys.as_map(lambda x: np.stack([np.tanh(x[0]), 0.4 * x[1]]), state_size=2, box=(-3, 3))
    turned = dynsys.as_map(
        lambda y: P @ np.stack([np.tanh((inverse @ y)[0]), 0.4 * (inverse @ y)[1]]), state_size=2, box=(-3, 3)
    )
    (one,), (other,) = manifolds(plain, extent=0.05), manifolds(turned, extent=0.05)
    ends = np.sort(np.abs(one.states[[0, -1], 0])), np.sort(np.abs((other.states @ inverse.T)[[0, -1], 0]))
    np.testing.assert_allclose(*ends, atol=0.02)
    np.testing.assert_allclose((other.states @ inverse.T)[:, 1], 0.0, atol=1e-8)


def test_a_ring_attractor_is_a_ring_and_its_drift_falls_with_its_size() -> None:
    """Pinning by n units falls faster than any power of n.

    Without it the states are tanh(a cos(angle - p)), a = 2 g / n sum cos tanh(a cos), and their length follows.
    """
    drifts = []
    for units in (8, 16, 32):
        (ring,) = manifolds(ring_network(units))
        assert (ring.kind, ring.dimension) == ("ring", 1)
        assert ring.attracting
        angle = 2 * np.pi * np.arange(units) / units
        a = 3.0
        for _ in range(200):
            a = 3.0 / units * np.sum(np.cos(angle) * np.tanh(a * np.cos(angle)))
        positions = np.linspace(0, 2 * np.pi, 4001)[:, np.newaxis]
        hops = np.linalg.norm(np.diff(np.tanh(a * np.cos(angle - positions)), axis=0), axis=1)
        assert ring.extents[0] == pytest.approx(hops.sum(), rel=0.05 if units == 8 else 2e-3)
        drifts.append(ring.drift[2])
    assert drifts[0] > 100 * drifts[1] > 1e4 * drifts[2]


def test_two_marginal_directions_make_a_plane() -> None:
    (exact,) = manifolds(cells.Elman(U=np.diag([1.0, 1.0, 0.3]), activation="identity"))
    assert (exact.kind, exact.dimension, exact.direction) == ("plane", 2, "no drift above rounding")
    (curved,) = manifolds(cells.Elman(U=np.diag([1.0, 1.0, 0.3])))
    assert (curved.kind, curved.dimension, curved.direction) == ("plane", 2, "towards its middle")
    np.testing.assert_allclose(curved.velocities[:, :2], np.tanh(curved.states[:, :2]) - curved.states[:, :2])


def test_a_torus_of_two_rings_is_a_closed_surface() -> None:
    one = ring_network(12).U
    both = np.block([[one, np.zeros((12, 12))], [np.zeros((12, 12)), one]])
    found = manifolds(cells.Elman(U=both), n_starts=16)
    torus = [m for m in found if m.attracting]
    assert [(m.kind, m.dimension) for m in torus] == [("closed surface", 2)]


@pytest.mark.parametrize("units", [2, 3])
def test_isolated_memories_stay_points(units: int) -> None:
    assert manifolds(cells.Elman(U=2 * np.eye(units)), n_starts=256) == ()


def test_the_27_points_of_the_flip_flop_network_stay_points() -> None:
    assert manifolds(dynsys.load(EXAMPLES / "flipflop_gru.pt"), n_starts=512) == ()


def test_two_ghosts_far_apart_are_not_a_line() -> None:
    """F(x) - x = 4 (x^2 - 1/4)^2 + 0.001: two bottlenecks at +-1/2, fast between them."""
    f = dynsys.as_map(lambda x: [x[0] + 4 * (x[0] ** 2 - 0.25) ** 2 + 0.001, 0.5 * x[1]], state_size=2, box=(-1, 1))
    found = dynsys.find_fixed_points(f, n_starts=128)
    assert len(found.slow) == 2
    assert dynsys.slow_manifolds(f, found) == ()


def test_a_slow_focus_is_no_memory() -> None:
    """Rotation by 0.04 a step takes a state once around in 157 steps: nothing stays where it is put."""
    c, s = np.cos(0.04), np.sin(0.04)
    assert manifolds(cells.Elman(U=0.999 * np.array([[c, -s], [s, c]]))) == ()


def test_closeness_and_extent_decide() -> None:
    network, _ = line_network(20, 1.0)
    wide, narrow = manifolds(network, closeness=0.05)[0], manifolds(network, closeness=0.02, extent=0.05)[0]
    assert narrow.extents[0] < 0.75 * wide.extents[0]
    assert narrow.closeness <= 0.02 < wide.closeness <= 0.05
    assert manifolds(network, extent=0.4) == ()
    for wrong in ({"closeness": 0.0}, {"extent": 1.5}):
        with pytest.raises(dynsys.errors.InputError, match="between 0 and 1"):
            manifolds(network, **wrong)


def test_another_maps_points_are_refused() -> None:
    found = dynsys.find_fixed_points(cells.Elman(U=[[2.0]]), n_starts=16)
    with pytest.raises(dynsys.errors.InputError, match="another map"):
        dynsys.slow_manifolds(cells.Elman(U=2 * np.eye(2)), found)
