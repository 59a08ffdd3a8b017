"""What a network is trained for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from dynsys.types import Array


@final
@dataclass(frozen=True, eq=False)
class Task:
    """What the network is trained for: inputs (T, batch, m), and targets with a loss where they are known."""

    inputs: Array
    targets: Any = None
    loss: Literal["cross-entropy", "squared"] | None = None
    at: Literal["all", "last"] = "all"
    readout: Any = None

    @property
    def length(self) -> int:
        """Steps per sequence, T."""
        return len(self.inputs)

    @property
    def scored(self) -> bool:
        """Whether there is a loss to differentiate."""
        return self.targets is not None and self.loss is not None and self.readout is not None

    def part(self, sequences: Any) -> Task:
        """The task on some of its sequences."""
        targets = None
        if self.targets is not None:
            array = np.asarray(self.targets)
            targets = array[:, sequences] if self.at == "all" else array[sequences]
        return dataclasses.replace(self, inputs=self.inputs[:, sequences], targets=targets)

    def halves(self) -> tuple[Task, Task]:
        """Even and odd sequences: one half to decide on, the other to check."""
        return self.part(slice(0, None, 2)), self.part(slice(1, None, 2))
