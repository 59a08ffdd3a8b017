"""From measured layers to the few numbers that sum them up: the rate, the depth that is left, the frequency."""

from __future__ import annotations

import math

import numpy as np

from dynsys.types import Array

LAYERS = 5  # from which a slope is a rate
STRAIGHT = 0.05  # standard error of a slope, over the slope, up to which fewer layers do
SETTLED = 0.1  # share of the way to an end of the spectrum within which a Rayleigh quotient counts as there


def fitted_rate(log_distance: Array) -> tuple[float, float, int]:
    """(slope in nats per layer, its standard error, first layer of the fit) over the second half of the layers.

    -inf where the distance becomes exactly zero; NaN where there are fewer than two layers to fit.
    """
    if len(log_distance) > 1 and log_distance[-1] == -math.inf:
        return -math.inf, 0.0, int(np.argmax(log_distance == -math.inf))
    first = len(log_distance) // 2 if len(log_distance) > 3 else 0
    y = log_distance[first:]
    if len(y) < 2 or not np.isfinite(y).all():
        return math.nan, math.nan, first
    x = np.arange(len(y)) - (len(y) - 1) / 2
    spread = float(x @ x)
    slope = float(x @ y) / spread
    left = y - y.mean() - slope * x
    error = math.sqrt(float(left @ left) / max(len(y) - 2, 1) / spread)
    # A line through rounded numbers: never better known than their rounding.
    return slope, max(error, 4 * np.finfo(float).eps * float(np.abs(y).max()) / math.sqrt(spread)), first


def tells_a_rate(rate: float, error: float, depth: int) -> bool:
    """Whether so many layers show an exponential law: five or more, or fewer that lie on a line."""
    return math.isfinite(rate) and (depth >= LAYERS or (depth > 1 and error <= STRAIGHT * abs(rate)))


def effective_depth(log_distance: Array, log_norm: Array, tol: float) -> int | None:
    """The first layer from which on the relative distance d_M / |H| stays below `tol`; None if it does not."""
    with np.errstate(invalid="ignore"):
        relative = np.where(log_norm == -np.inf, -np.inf, log_distance - log_norm)
    beyond = np.flatnonzero(~(relative < math.log(tol)))
    layer = int(beyond[-1]) + 1 if len(beyond) else 0
    return layer if layer < len(relative) else None


def frequency(rayleigh: float, top: float) -> str:
    """ "low", "high" or "mixed": which end of [0, 1 - lambda_min] the last layer's Rayleigh quotient is near."""
    if math.isnan(rayleigh):
        return "none"
    if top <= 0 or rayleigh <= SETTLED * top:
        return "low"
    return "high" if rayleigh >= (1 - SETTLED) * top else "mixed"
