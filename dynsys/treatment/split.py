"""The gradient on its way back, split in two: each unit's own path, and what goes through gates and matrices.

In an LSTM the own path is the one from c to c through the forget gates; the rest goes through h.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from dynsys import seeds
from dynsys.errors import AnalysisError
from dynsys.gradient_lags import norms_by_lag
from dynsys.maps import Map
from dynsys.orbits import start_columns
from dynsys.readings.linear import Linearization
from dynsys.readout import as_readout
from dynsys.through_time import score, targets_by_step
from dynsys.treatment.task import Task
from dynsys.types import Array


@final
@dataclass(frozen=True, eq=False)
class Split:
    """A gradient followed back along sequences.

    Attributes:
        links: each step's linearisation. seeds: by step s, the gradient of its own loss by the state after it, (n, B).
        origin: what the gradient is of, in words.
    """

    links: list[Linearization]
    seeds: dict[int, Array]
    origin: str

    @cached_property
    def whole(self) -> Array:
        """(T,) by lag: log of the rms norm, relative to lag 0, nats."""
        return self.detached(0.0)

    @cached_property
    def direct(self) -> Array:
        """(T,) the same through the own path alone."""
        return norms_by_lag(self.links, self.seeds, _direct)

    def detached(self, p: float) -> Array:
        """(T,) of the expected gradient where each step's path through h is cut with probability p, on its own."""

        def back(link: Linearization, flowing: Array) -> Array:
            through = link.pull(flowing, input=False).state
            return through if not p else p * _direct(link, flowing) + (1 - p) * through

        return norms_by_lag(self.links, self.seeds, back)


def split(f: Map, task: Task, losses: int, seed: int) -> Split:
    """Of up to `losses` of the task's losses; where it has none, of a random readout of the last state."""
    inputs = task.inputs
    steps, batch = len(inputs), inputs.shape[1]
    state, _ = start_columns(f, None, inputs)
    links: list[Linearization] = []
    for t in range(steps):
        links.append(f.at(t).linearize_columns(state, inputs[t].T))
        state = links[-1].next_state
    if not task.scored or task.loss is None:
        only = np.zeros((f.state_size, batch))
        shape = only[f.output].shape
        only[f.output] = seeds.generator(seed).standard_normal(shape)
        return Split(links, {steps - 1: only}, "a random readout of the last state (there are no targets)")
    readout = as_readout(task.readout)
    scored = list(range(steps)) if task.at == "all" else [steps - 1]
    wanted = dict(zip(scored, targets_by_step(task.targets, task.loss, task.at, steps, batch), strict=True))
    chosen = {scored[i] for i in np.linspace(len(scored) - 1, 0, min(losses, len(scored))).round().astype(int)}
    found = {}
    for s in sorted(chosen):
        seen = readout.linearize(links[s].next_state[f.output])
        miss = score(seen.next_state, wanted[s], task.loss)[1]
        found[s] = np.zeros((f.state_size, batch))
        found[s][f.output] = seen.pull(miss[..., np.newaxis], input=False).state[..., 0]
    return Split(links, found, "the loss")


def _direct(link: Linearization, flowing: Array) -> Array:
    back = link.pull_direct(flowing)
    if back is None:
        raise AnalysisError("the map cannot tell the units' own paths.")
    return back
