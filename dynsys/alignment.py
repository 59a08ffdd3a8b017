"""What a mode listens to and what it shows: overlaps of left modes with inputs and of right modes with the readout."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys.points import Points
from dynsys.read_only import read_only
from dynsys.types import Array


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Alignment:
    """Cosines between modes and input or readout directions, at each fixed point.

    Attributes:
        inputs: (k, n, m), |left_i^H b_j| / (|left_i| |b_j|), b_j column j of dF/du: how much input j drives mode i.
            A slow mode with a large value integrates that input.
        outputs: (k, n, r), |V_j right_i| / (|V_j| |right_i|): how much mode i shows in output j. None without an
            affine readout.
        chance: the value that a random direction stays below with probability 0.95, sqrt of the 0.95 quantile of
            Beta(1/2, (n - 1)/2).
    """

    inputs: Array
    outputs: Array | None
    chance: float


def mode_alignment(points: Points, V: Array | None = None, output: slice | None = None) -> Alignment:
    """The overlaps at every point. `V` (r, n_out) reads the state rows `output` (all by default)."""
    from scipy.special import betaincinv

    left, right = points.left_modes, points.right_modes
    n = left.shape[-1]
    drive = np.abs(np.einsum("kni,knm->kim", left.conj(), points.input_jacobians))
    norms = (
        np.linalg.norm(left, axis=1)[:, :, np.newaxis] * np.linalg.norm(points.input_jacobians, axis=1)[:, np.newaxis]
    )
    shown = None
    if V is not None:
        rows = np.zeros((len(V), n))
        rows[:, output or slice(None)] = V
        along = np.abs(np.einsum("rn,kni->kir", rows, right))
        scale = np.linalg.norm(right, axis=1)[:, :, np.newaxis] * np.linalg.norm(rows, axis=1)
        shown = _ratio(along, scale)
    chance = math.sqrt(float(betaincinv(0.5, (n - 1) / 2, 0.95))) if n > 1 else 1.0
    return Alignment(inputs=_ratio(drive, norms), outputs=shown, chance=chance)


def _ratio(a: Array, b: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(b > 0, a / b, 0.0))
