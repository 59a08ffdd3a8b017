"""Recurrent cells as their equations: plain NumPy on column states, parameters as fields.

Nothing here knows how a cell is analysed; `dynsys` reads these classes as discrete dynamical maps.
"""

from cells._cell import Bias, Cell, InputWeights, ParameterError, RecurrentWeights, parameter_or_zeros
from cells.elman import Elman
from cells.gru import GRU, GRUResetAfter
from cells.lstm import LSTM

__all__ = [
    "GRU",
    "LSTM",
    "Bias",
    "Cell",
    "Elman",
    "GRUResetAfter",
    "InputWeights",
    "ParameterError",
    "RecurrentWeights",
    "parameter_or_zeros",
]
