"""Recurrent cells as their equations: plain NumPy on column states, parameters as fields.

Nothing here knows how a cell is analysed; `dynsys` reads these classes as discrete dynamical maps.
"""

from cells._cell import Bias, Cell, InputWeights, ParameterError, RecurrentWeights, parameter_or_zeros
from cells.deep_transition import DeepTransition
from cells.dense import Dense
from cells.elman import Elman
from cells.graph_convolution import GCN, GCNII, ImplicitGCN, propagation_matrix
from cells.gru import GRU, GRUResetAfter
from cells.jordan import Jordan
from cells.lstm import LSTM
from cells.operators import convolve, matrix_product, softmax
from cells.recurrent_convolution import RecurrentConvolution

__all__ = [
    "GCN",
    "GCNII",
    "GRU",
    "LSTM",
    "Bias",
    "Cell",
    "DeepTransition",
    "Dense",
    "Elman",
    "GRUResetAfter",
    "ImplicitGCN",
    "InputWeights",
    "Jordan",
    "ParameterError",
    "RecurrentConvolution",
    "RecurrentWeights",
    "convolve",
    "matrix_product",
    "parameter_or_zeros",
    "propagation_matrix",
    "softmax",
]
