"""Long short-term memory without its gates: the constant error carousel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cells._cell import Bias, Cell, InputWeights, RecurrentWeights, checked_choice, parameter_or_zeros
from cells.activations import ACTIVATIONS

SHOWN = ("memory", "candidate")


@dataclass(frozen=True, kw_only=True, eq=False)
class GatelessLSTM(Cell):
    """Constant error carousel: the memory adds up what comes, c' = c + g; the state is (h, c).

    g = s(W x + U h + b)
    c' = c + g
    h' = s_h(c')        with shows="memory", the default: an LSTM with all its gates at one
    h' = g              with shows="candidate": then c' = c + h', a plain network whose outputs are added up

    Shapes: h, c (n,), x (m,), W (n, m), U (n, n), b (n,). `activation` s and `output_activation` s_h are any of the
    named ones. The derivative of c' by c along the carousel is exactly 1 and never vanishes; nothing bounds c.
    Source: S. Hochreiter and J. Schmidhuber, Neural Computation 9 (1997) 1735-1780, section 3.2.
    """

    U: RecurrentWeights
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    activation: str = "tanh"
    output_activation: str = "tanh"
    shows: str = "memory"

    def __post_init__(self) -> None:
        checked_choice("GatelessLSTM", "activation", self.activation, ACTIVATIONS)
        checked_choice("GatelessLSTM", "output_activation", self.output_activation, ACTIVATIONS)
        checked_choice("GatelessLSTM", "shows", self.shows, SHOWN)
        super().__post_init__()

    def step(self, h: Any, c: Any, x: Any) -> Any:
        g = ACTIVATIONS[self.activation](self.W @ x + self.U @ h + self.b)
        c_next = c + g
        return (ACTIVATIONS[self.output_activation](c_next) if self.shows == "memory" else g), c_next
