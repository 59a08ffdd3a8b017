from dataclasses import dataclass

import numpy as np

import dynsys
from cells import Bias, Cell, InputWeights, RecurrentWeights, parameter_or_zeros


@dataclass(frozen=True, kw_only=True, eq=False)
class MyCell(Cell):
    """h' = a h + (1 - a) tanh(W x + U h + b): a leaky unit."""

    U: RecurrentWeights
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    a: float = 0.5

    def step(self, h, x):
        return self.a * h + (1 - self.a) * np.tanh(self.W @ x + self.U @ h + self.b)


slow, fast = MyCell(U=[[2.0]], W=[[1.0]], a=0.9), MyCell(U=[[1.0]], W=[[1.0]])
pair = dynsys.couple(slow, fast, links={(0, 1): [[-1.0]], (1, 0): [[1.0]]})
