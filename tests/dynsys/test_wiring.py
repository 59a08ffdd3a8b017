"""Which memories border which: the wiring of decoupled units is a cube, and of the flip-flop network too."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import cells
import dynsys

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("units", [1, 2, 3, 4])
def test_decoupled_units_are_wired_like_a_hypercube(units: int) -> None:
    """One unit of tanh(2 h) at its unstable point, the others at +-h: exactly those saddles have index 1."""
    f = dynsys.as_map(cells.Elman(U=2 * np.eye(units)))
    found = dynsys.find_fixed_points(f, n_starts=256 * units)
    wired = dynsys.wiring(f, found)
    assert len(wired) == units * 2 ** (units - 1)
    assert nx.is_isomorphic(nx.Graph(wired.graph), nx.hypercube_graph(units))
    for saddle, ends in zip(wired.saddles, wired.ends, strict=True):
        a, b = (np.sign(np.round(wired.attractors[end].states[0])) for end in ends)
        here = np.sign(np.round(found.states[saddle]))
        assert ((a == b) | (here == 0)).all(), "the two ends differ in the undecided unit alone"
        assert (a != b).sum() == 1


def test_the_flip_flop_network_is_wired_like_a_cube() -> None:
    f = dynsys.load(EXAMPLES / "flipflop_gru.pt")
    wired = dynsys.wiring(f, dynsys.find_fixed_points(f))
    assert nx.is_isomorphic(nx.Graph(wired.graph), nx.hypercube_graph(3))


def test_paths_lead_from_the_saddle_to_the_ends() -> None:
    f = dynsys.as_map(cells.Elman(U=[[1.5, 0.2], [-0.1, 0.4]]))
    found = dynsys.find_fixed_points(f)
    wired = dynsys.wiring(f, found)
    assert len(wired) == 1
    for path, end in zip(wired.paths[0], wired.ends[0], strict=True):
        assert np.abs(path[0] - found.states[wired.saddles[0]]).max() == pytest.approx(wired.first_steps[0])
        np.testing.assert_allclose(path[-1], wired.attractors[end].states[0], atol=0.02)
        np.testing.assert_allclose(f.step(path[0]), path[1], atol=1e-15)
        assert np.abs(np.diff(path, axis=0)).max() < 0.5


def test_a_flipping_saddle_borders_one_attractor_from_both_sides() -> None:
    """tanh(-2 h): the unstable multiplier is -2 and orbits hop from side to side, to one 2-cycle."""
    f = dynsys.as_map(cells.Elman(U=np.diag([-2.0, 0.5])))
    wired = dynsys.wiring(f, dynsys.find_fixed_points(f))
    assert wired.flips.tolist() == [True]
    assert wired.ends[0, 0] == wired.ends[0, 1]
    assert wired.attractors[wired.ends[0, 0]].period == 2
    assert wired.borders == frozenset()
    for path in wired.paths[0]:
        assert len(set(np.sign(path[:, 0]))) == 1, "a path stays on its own side"


@pytest.mark.parametrize(("units", "folded"), [(3, nx.complete_graph(4)), (4, nx.complete_bipartite_graph(4, 4))])
def test_saddle_cycles_of_decoupled_flipping_units_make_a_folded_cube(units: int, folded: nx.Graph) -> None:
    """tanh(-2 h) in each unit: memories are 2-cycles of signs, a state and its negative being one of them.

    A saddle cycle has one unit at 0; its branches end on the two memories that differ in it. The cube whose opposite
    corners are one is the complete graph of 4 for 3 units, and the bipartite one of 4 and 4 for 4 units.
    """
    f = dynsys.as_map(cells.Elman(U=-2.0 * np.eye(units)))
    found, cycles = dynsys.find_fixed_points(f), dynsys.find_cycles(f, 2)
    wired = dynsys.wiring(f, found, cycles=cycles)
    assert wired.periods.tolist() == [2] * (units * 2 ** (units - 2))
    assert nx.is_isomorphic(nx.Graph(wired.graph), folded)
    for row, ends, state in zip(wired.saddles, wired.ends, wired.states, strict=True):
        np.testing.assert_array_equal(state, cycles.states[row, 0])
        undecided = int(np.argmin(np.abs(state)))
        a, b = (np.sign(wired.attractors[end].states[0]) for end in ends)
        same = a * b
        assert (same == same[undecided]).sum() == 1, "they differ in the undecided unit alone, up to phase"
    assert "saddle 2-cycle" in str(wired)


def test_a_saddle_cycle_past_its_flip_borders_one_cycle_of_twice_the_period() -> None:
    """Logistic, r = 3.5: the 2-cycle's multiplier is 4 + 2 r - r^2 = -1.25, and all ends on the stable 4-cycle."""
    f = dynsys.as_map(lambda x: 3.5 * x * (1 - x), state_size=1, box=(0, 1))
    wired = dynsys.wiring(f, dynsys.find_fixed_points(f), cycles=dynsys.find_cycles(f, [2, 4]))
    at = wired.periods.tolist().index(2)
    assert wired.flips[at]
    assert wired.ends[at, 0] == wired.ends[at, 1]
    end = wired.attractors[wired.ends[at, 0]]
    assert end.period == 4
    for path in wired.paths[at]:
        assert len(set(np.sign(path[:, 0] - wired.states[at, 0]))) == 1, "a path stays on its own side"


def test_a_weakly_unstable_saddle_is_left_on_the_right_side() -> None:
    """Just past its pitchfork, tanh(1.001 h) rests at about +-sqrt(3 / 1000)."""
    f = dynsys.as_map(cells.Elman(U=[[1.001]]))
    wired = dynsys.wiring(f, dynsys.find_fixed_points(f))
    ends = [wired.attractors[end].states[0, 0] for end in wired.ends[0]]
    np.testing.assert_allclose(ends, np.sign(ends[0]) * np.array([1, -1]) * np.sqrt(0.003), rtol=2e-3)


def test_a_branch_may_run_off() -> None:
    """x' = x^2: at 1 the upper branch grows without bound, the lower one goes to 0."""
    f = dynsys.as_map(lambda x: x * x, state_size=1, box=(-0.5, 1.5))
    wired = dynsys.wiring(f, dynsys.find_fixed_points(f))
    assert sorted(wired.ends[0]) == [-2, 0]
    assert "infinity" in str(wired)


def test_a_saddle_at_the_rounding_of_the_boundary_is_left_out_by_name() -> None:
    f = dynsys.as_map(cells.Elman(U=[[1.0]]))
    wired = dynsys.wiring(f, dynsys.find_fixed_points(f))
    assert len(wired) == 0
    assert wired.graph.number_of_edges() == 0


def test_another_maps_points_are_refused() -> None:
    found = dynsys.find_fixed_points(cells.Elman(U=[[2.0]]), n_starts=16)
    with pytest.raises(dynsys.errors.InputError, match="another map"):
        dynsys.wiring(cells.Elman(U=2 * np.eye(2)), found)
