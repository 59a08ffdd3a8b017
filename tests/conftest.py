"""What several files need: a derivative by differences that owes nothing to the library, and the example network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def richardson(function: Callable[[np.ndarray], np.ndarray], at: np.ndarray) -> np.ndarray:
    """d function / d at, (..., len(at)), from central differences at 1e-3 and 5e-4 extrapolated to fourth order."""

    def central(h: float) -> np.ndarray:
        moves = h * np.eye(at.size).reshape(at.size, *at.shape)
        return np.stack([(function(at + move) - function(at - move)) / (2 * h) for move in moves], axis=-1)

    return (4 * central(5e-4) - central(1e-3)) / 3


@pytest.fixture(scope="session")
def differences() -> Callable[[Callable[[np.ndarray], np.ndarray], np.ndarray], np.ndarray]:
    """The function `richardson`."""
    return richardson


@pytest.fixture(scope="session")
def flipflop() -> dict[str, np.ndarray]:
    """The parameters of the example flip-flop GRU, by the fields of `GRUResetAfter`, from PyTorch's rows r, z, n."""
    file = pytest.importorskip("safetensors.numpy").load_file(EXAMPLES / "flipflop_gru.safetensors")
    arrays = {name: np.asarray(value, dtype=np.float64) for name, value in file.items()}
    W, U, b, c = (np.split(arrays[f"rnn.{k}_l0"], 3) for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    gates = {"W_r": W[0], "W_z": W[1], "W_h": W[2], "U_r": U[0], "U_z": U[1], "U_h": U[2]}
    return gates | {"b_r": b[0] + c[0], "b_z": b[1] + c[1], "b_h": b[2], "b_hn": c[2]}
