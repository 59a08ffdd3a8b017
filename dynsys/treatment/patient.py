"""The network under treatment: its cells, its task, and the measurements that the rules share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from dynsys.bare import bare
from dynsys.combinators import as_map
from dynsys.composed_maps import Stacked
from dynsys.gate_times import GateTimes, gate_time_constants
from dynsys.lyapunov import LyapunovSpectrum, lyapunov_spectrum
from dynsys.maps import CellMap, Map
from dynsys.treatment.norms import sequence_norms
from dynsys.treatment.records import LayerRecord, layer_records
from dynsys.treatment.split import Split, split
from dynsys.treatment.task import Task
from dynsys.types import Array

LEAST_STEPS = 2000
"""Of the run that the largest exponent is measured on."""


@final
@dataclass(frozen=True)
class Limits:
    """How much is measured.

    Attributes:
        sequences: whose gradients are taken one by one. lags: losses that are followed back lag by lag. steps: of the
            run for an exponent. trains: whether changes that are found by gradient steps are tried.
    """

    sequences: int
    lags: int
    steps: int
    trains: bool


WHOLE, QUICK = Limits(64, 8, 1 << 30, True), Limits(64, 4, LEAST_STEPS, False)
"""Everything, and what a report can afford."""


@final
@dataclass(frozen=True, eq=False)
class Patient:
    """A map, its task, and the lag that the task asks for, in steps."""

    f: Map
    task: Task
    task_lag: int
    seed: int
    limits: Limits = WHOLE

    @cached_property
    def cells(self) -> tuple[Any, ...] | None:
        """The cells from the input side, where the map is one cell or a stack of cells."""
        return _cells(self.f)

    @property
    def stacked(self) -> Stacked | None:
        """The stack of cells that the map is; None for a single cell."""
        f = bare(self.f)
        return f if isinstance(f, Stacked) else None

    @property
    def some(self) -> Task:
        """The task on as many sequences as the limits allow."""
        return self.task.part(slice(0, self.limits.sequences))

    def with_cells(self, cells: Sequence[Any], *, residual: bool | None = None) -> Patient:
        """The same network with other cells, or with residual connections between its layers."""
        own = self.stacked
        changed: Map
        if own is None or len(cells) == 1:
            changed = as_map(cells[0])
        else:
            changed = Stacked(
                [as_map(c) for c in cells], own.skip, own.show, residual=own.residual if residual is None else residual
            )
        changed.initial_state = self.f.initial_state
        return dataclasses.replace(self, f=changed)

    @cached_property
    def records(self) -> tuple[LayerRecord, ...]:
        """What each layer went through along the sequences."""
        return layer_records(self.f, self.stacked, self.cells or (), self.some.inputs)

    @cached_property
    def lyapunov(self) -> LyapunovSpectrum:
        """The largest exponent, with the sequences run one after the other without reset."""
        return self.exponents(1, self.seed)

    def exponents(self, k: int, seed: int) -> LyapunovSpectrum:
        """The k largest exponents under the task's inputs without reset, the sequences in the order of the seed."""
        inputs = self.task.inputs
        order = np.random.default_rng(seed).permutation(inputs.shape[1])
        whole = inputs[:, order].swapaxes(0, 1).reshape(inputs.shape[0] * inputs.shape[1], inputs.shape[2])
        steps = min(max(len(whole), LEAST_STEPS), self.limits.steps)
        driving = whole[np.resize(np.arange(len(whole)), steps)]
        return lyapunov_spectrum(self.f, None, driving, k, discard=min(500, steps // 4), seed=seed)

    @cached_property
    def gates(self) -> GateTimes:
        """Along the sequences."""
        return gate_time_constants(self.f, None, self.task.inputs)

    @cached_property
    def split(self) -> Split:
        """The gradient by lag, of the loss where there is one, along the units' own paths and otherwise."""
        return self.split_of(self.some)

    def split_of(self, task: Task) -> Split:
        """The same on other sequences."""
        return split(self.f, task, self.limits.lags, self.seed)

    @cached_property
    def gradient_norms(self) -> Array:
        """|gradient of the loss by all parameters|_2 of each sequence alone."""
        return sequence_norms(self.f, self.some)


def _cells(f: Map) -> tuple[Any, ...] | None:
    if isinstance(f, CellMap):
        return (f.cell,)
    if isinstance(f, Stacked):
        parts = [_cells(layer) for layer in f.layers]
        return None if any(p is None for p in parts) else tuple(c for p in parts if p is not None for c in p)
    return None if f is bare(f) else _cells(bare(f))
