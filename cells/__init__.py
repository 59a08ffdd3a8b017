"""Recurrent cells as their equations: plain NumPy on column states, parameters as fields.

Nothing here knows how a cell is analysed; `dynsys` reads these classes as discrete dynamical maps.
"""

from cells._cell import Bias, Cell, InputWeights, ParameterError, RecurrentWeights, parameter_or_zeros
from cells.antisymmetric import AntisymmetricRNN
from cells.chaos_free import CFN
from cells.context import ContextRNN
from cells.deep_transition import DeepTransition
from cells.dense import Dense
from cells.echo_state import EchoState
from cells.elman import Elman
from cells.gateless_lstm import GatelessLSTM
from cells.graph_convolution import GCN, GCNII, ImplicitGCN, propagation_matrix
from cells.gru import GRU, GRUResetAfter
from cells.jordan import Jordan
from cells.layer_norm import LayerNormElman, LayerNormGRU, LayerNormLSTM
from cells.leaky import LeakyRNN
from cells.linear import Linear, Modes
from cells.low_rank import LatentRNN, LowRankRNN
from cells.lstm import LSTM
from cells.mgu import MGU
from cells.operators import convolve, matrix_product, softmax
from cells.orthogonal import OrthogonalRNN
from cells.peephole_lstm import CoupledLSTM, PeepholeLSTM
from cells.piecewise_linear import PLRNN
from cells.projected_lstm import ProjectedLSTM
from cells.recurrent_convolution import RecurrentConvolution
from cells.recurrent_mlp import RecurrentMLP
from cells.reduced_gru import ReducedGRU
from cells.state_space import DiagonalSSM

__all__ = [
    "CFN",
    "GCN",
    "GCNII",
    "GRU",
    "LSTM",
    "MGU",
    "PLRNN",
    "AntisymmetricRNN",
    "Bias",
    "Cell",
    "ContextRNN",
    "CoupledLSTM",
    "DeepTransition",
    "Dense",
    "DiagonalSSM",
    "EchoState",
    "Elman",
    "GRUResetAfter",
    "GatelessLSTM",
    "ImplicitGCN",
    "InputWeights",
    "Jordan",
    "LatentRNN",
    "LayerNormElman",
    "LayerNormGRU",
    "LayerNormLSTM",
    "LeakyRNN",
    "Linear",
    "LowRankRNN",
    "Modes",
    "OrthogonalRNN",
    "ParameterError",
    "PeepholeLSTM",
    "ProjectedLSTM",
    "RecurrentConvolution",
    "RecurrentMLP",
    "RecurrentWeights",
    "ReducedGRU",
    "convolve",
    "matrix_product",
    "parameter_or_zeros",
    "propagation_matrix",
    "softmax",
]
