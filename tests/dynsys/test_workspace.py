"""Memory is used again only when nobody can see it any more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import cells
import dynsys
from dynsys.readings.workspace import Workspace


@pytest.mark.parametrize(
    "hold", [lambda a: a, lambda a: a.T, lambda a: a[0, 1:], memoryview, lambda a: [a.reshape(-1)]]
)
def test_what_somebody_holds_is_never_handed_out_again(hold: Callable[[np.ndarray], object]) -> None:
    workspace = Workspace()
    held = hold(workspace.take((4, 5, 6))[0])
    assert not np.shares_memory(
        np.asarray(held if not isinstance(held, list) else held[0]), workspace.take((4, 5, 6))[0]
    )


def test_memory_nobody_holds_is_used_again() -> None:
    workspace = Workspace()
    place = workspace.take((300, 300))[0].ctypes.data
    assert workspace.take((300, 300))[0].ctypes.data == place


@pytest.mark.parametrize("kind", [cells.Elman, cells.GRU, cells.GRUResetAfter, cells.LSTM])
def test_a_jacobian_stays_what_it_was(kind: type[cells.Cell]) -> None:
    """Whatever is computed afterwards, at other states of the same shape."""
    f = dynsys.as_map(kind.random(8, 2, seed=0))
    states = np.random.default_rng(0).uniform(-0.9, 0.9, (5, 40, f.state_size))
    first = f.jacobian(states[0])
    part = f.jacobian(states[1])[3]
    copies = first.copy(), part.copy()
    for more in states[2:]:
        f.jacobian(more)
    assert np.array_equal(first, copies[0])
    assert np.array_equal(part, copies[1])


def test_zero_blocks_are_zero_again_in_memory_that_was_scribbled_on() -> None:
    """An LSTM's Jacobian has diagonal blocks; a caller may have changed what is used again."""
    f = dynsys.as_map(cells.LSTM.random(6, 1, seed=0))
    states = np.random.default_rng(0).uniform(-0.9, 0.9, (40, f.state_size))
    wanted = f.jacobian(states).copy()
    for _ in range(3):
        scribbled = f.jacobian(states)
        scribbled[...] = np.nan
        del scribbled
        assert np.array_equal(f.jacobian(states), wanted)
