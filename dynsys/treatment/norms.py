"""The size of each sequence's own gradient, several sequences in one backward pass.

The sequences of a group run side by side; every one has a cotangent of its own (the last axis), which is zero on all
others, so that the sums over the group that parameter gradients are fall apart into the sequences.
"""

from __future__ import annotations

import numpy as np

from dynsys.maps import Map
from dynsys.orbits import start_columns
from dynsys.readings.linear import Linearization
from dynsys.readout import as_readout
from dynsys.through_time import score, targets_by_step
from dynsys.treatment.task import Task
from dynsys.types import Array

GROUP = 16
"""Sequences that share a pass: the work per step grows with the square, its fixed cost is shared."""


def sequence_norms(f: Map, task: Task) -> Array:
    """|gradient of the mean loss of one sequence by all parameters of the map|_2, (sequences,)."""
    count = task.inputs.shape[1]
    return np.concatenate([_norms(f, task.part(slice(b, b + GROUP))) for b in range(0, count, GROUP)])


def _norms(f: Map, task: Task) -> Array:
    assert task.loss is not None
    inputs, readout = task.inputs, as_readout(task.readout)
    state, _ = start_columns(f, None, inputs)
    steps, batch = len(inputs), inputs.shape[1]
    links: list[Linearization] = []
    for t in range(steps):
        links.append(f.at(t).linearize_columns(state, inputs[t].T))
        state = links[-1].next_state
    scored = list(range(steps)) if task.at == "all" else [steps - 1]
    wanted = dict(zip(scored, targets_by_step(task.targets, task.loss, task.at, steps, batch), strict=True))
    own = np.arange(batch)
    flowing = np.zeros((f.state_size, batch, batch))
    gradients: dict[str, Array] = {}
    with np.errstate(over="ignore", invalid="ignore"):  # what explodes has the norm inf
        for t in reversed(range(steps)):
            if t in wanted:
                seen = readout.linearize(links[t].next_state[f.output])
                miss = score(seen.next_state, wanted[t], task.loss)[1] / len(scored)
                flowing[f.output, own, own] += seen.pull(miss[..., np.newaxis], input=False).state[..., 0]
            part = links[t].pull(flowing, input=False, parameters=True)
            flowing = part.state.copy()
            for name, g in part.parameters.items():
                gradients[name] = gradients.get(name, 0.0) + (g if batch > 1 else g[..., np.newaxis])
        squares = sum(np.square(g).reshape(-1, batch).sum(axis=0) for g in gradients.values())
    return np.asarray(np.nan_to_num(np.sqrt(squares), nan=np.inf))
