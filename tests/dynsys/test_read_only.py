"""Results are frozen to the last entry, and what the caller passed stays the caller's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import networkx as nx
import numpy as np
import pytest

import cells
import dynsys
from dynsys.random_networks_measured import gain_sweep
from dynsys.read_only import read_only
from dynsys.trials import as_trials

ELMAN = cells.Elman.random(4, 2, gain=0.9, seed=1)
READOUT = (np.ones((2, 4)), np.zeros(2))
KARATE = nx.karate_club_graph()


def given(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape)


RESULTS: dict[str, Callable[[Any, Any], Any]] = {
    "fixed points": lambda start, inputs: dynsys.find_fixed_points(ELMAN, inputs[0, 0], starts=start, n_starts=32),
    "cycles": lambda start, inputs: dynsys.find_cycles(ELMAN, 2, n_starts=32),
    "attractors": lambda start, inputs: dynsys.find_attractors(ELMAN, starts=start),
    "exponents": lambda start, inputs: dynsys.lyapunov_spectrum(ELMAN, start, inputs),
    "exponents over inputs": lambda start, inputs: dynsys.lyapunov_spectrum(ELMAN, start[0], inputs[:, 0], discard=9),
    "gradients": lambda start, inputs: dynsys.gradient_spectrum(ELMAN, start, inputs, [1, 5], vectors=2),
    "bptt": lambda start, inputs: dynsys.bptt(ELMAN, READOUT, inputs, inputs, "squared", start=start),
    "covariant": lambda start, inputs: dynsys.covariant_vectors(
        ELMAN, start[0], inputs[:, 0], steps=20, discard=20, align=20
    ),
    "worst case": lambda start, inputs: dynsys.worst_case(ELMAN, inputs, -9.0, 9.0, start=start),
    "gate times": lambda start, inputs: dynsys.gate_time_constants(cells.GRU.random(4, 2), start, inputs),
    "trials": lambda start, inputs: as_trials(dynsys.as_map(ELMAN), inputs),
    "remedies": lambda start, inputs: dynsys.remedies(ELMAN, inputs),
    "certificates": lambda start, inputs: dynsys.certify(ELMAN, dynsys.find_fixed_points(ELMAN, n_starts=32)),
    "all fixed points": lambda start, inputs: dynsys.all_fixed_points(cells.Elman.random(2, 0, gain=0.5)),
    "gain sweep": lambda start, inputs: gain_sweep([0.5, 2.0]),
    "graph spectrum": lambda start, inputs: dynsys.graphs.spectrum(KARATE),
    "resistance": lambda start, inputs: dynsys.graphs.effective_resistance(KARATE),
    "curvature": lambda start, inputs: dynsys.graphs.curvature(KARATE, "forman"),
    "propagation": lambda start, inputs: dynsys.propagation(None, KARATE, given(34, 2), 3),
}


def arrays(value: Any, seen: frozenset[int] = frozenset()) -> Iterator[np.ndarray]:
    """All arrays in a result, however deep; maps and graphs aside, which are what was analysed."""
    if id(value) in seen or isinstance(value, dynsys.Map):
        return
    seen |= {id(value)}
    if isinstance(value, np.ndarray):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from arrays(getattr(value, field.name), seen)
    elif isinstance(value, dict):
        for entry in value.values():
            yield from arrays(entry, seen)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from arrays(entry, seen)


@pytest.mark.parametrize("kind", RESULTS)
def test_no_array_of_a_result_can_be_written_to(kind: str) -> None:
    start, inputs = given(3, 4), given(60, 3, 2)
    kept = start.copy(), inputs.copy()
    found = list(arrays(RESULTS[kind](start, inputs)))
    assert found
    for array in found:
        assert not array.flags.writeable
        assert not np.shares_memory(array, start)
        assert not np.shares_memory(array, inputs)
    assert start.flags.writeable
    assert inputs.flags.writeable
    np.testing.assert_array_equal(start, kept[0])
    np.testing.assert_array_equal(inputs, kept[1])


def test_a_driven_map_keeps_its_inputs() -> None:
    inputs = given(3, 2)
    f = dynsys.drive(ELMAN, inputs)
    before = dynsys.simulate(f, np.zeros(4), steps=3)
    inputs[:] = 7.0
    np.testing.assert_array_equal(dynsys.simulate(f, np.zeros(4), steps=3), before)


def test_arrays_are_not_copied_and_replace_keeps_them_read_only() -> None:
    @read_only
    @dataclasses.dataclass(frozen=True, eq=False)
    class Result:
        one: np.ndarray
        some: tuple[np.ndarray, ...] = ()
        by_name: dict[str, list[np.ndarray]] = dataclasses.field(default_factory=dict)

    a, b, c = np.zeros(3), np.ones(2), np.ones(1)
    result = Result(a, (b,), {"c": [c]})
    for own, theirs in ((result.one, a), (result.some[0], b), (result.by_name["c"][0], c)):
        assert np.shares_memory(own, theirs)
        assert theirs.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            own[0] = 7.0
    assert not dataclasses.replace(result, one=b).one.flags.writeable
