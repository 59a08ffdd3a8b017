"""Upper bounds of |J|_2 over a box of states and inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import scipy.linalg

from dynsys.bare import bare
from dynsys.composed_maps import matrix_bounds
from dynsys.errors import MissingPackageError
from dynsys.maps import CellMap, Map
from dynsys.readings.balls import Enclosed, Watch, seeded
from dynsys.readings.intervals import Intervals
from dynsys.readings.tape import Unreadable
from dynsys.types import Array

EPS = float(np.finfo(np.float64).eps)
MOST_PHASES = 64
"""Steps after which a map repeats itself, up to which all are bounded."""
LARGEST = 512
"""State variables up to which every entry of the Jacobian is enclosed."""


@final
@dataclass(frozen=True, eq=False)
class Box:
    """Bounds of the state (n,) and of the input (m,)."""

    low: Array
    high: Array
    input_low: Array
    input_high: Array


def norm_bound(f: Map, box: Box) -> tuple[float, str]:
    """An upper bound of |J|_2 over the box, the smallest of those that apply, and which it is; (inf, why) without."""
    if f.period > 1:
        every = [norm_bound(f.at(t), box) for t in range(f.period)] if f.period <= MOST_PHASES else []
        return max(every, key=lambda pair: pair[0], default=(float("inf"), "none: the map changes from step to step"))
    found = [bound for bound in (_by_gates(f, box), _by_entries(f, box)) if bound is not None]
    if not found:
        return float("inf"), "none: the equations cannot be followed over intervals"
    return min(found, key=lambda pair: pair[0])


def sigma(matrix: Array) -> float:
    """The largest singular value, rounded up."""
    if not matrix.size:
        return 0.0
    if not np.isfinite(matrix).all():
        return float("inf")
    return float(np.linalg.norm(matrix, 2) * (1 + 8 * max(matrix.shape) * EPS))


def _by_entries(f: Map, box: Box) -> tuple[float, str] | None:
    """From an interval for every entry: centre plus radius, or the largest moduli."""
    if f.state_size > LARGEST:
        return None
    watch = Watch()
    state = seeded(Intervals(box.low[:, np.newaxis], box.high[:, np.newaxis]), watch)
    heard = Enclosed(Intervals(box.input_low[:, np.newaxis], box.input_high[:, np.newaxis]), None, watch)
    try:
        with np.errstate(all="ignore"):
            answer = f.equations_on(state, heard)
    except (Unreadable, MissingPackageError, NotImplementedError, TypeError, AttributeError, ValueError, LookupError):
        return None
    n = f.state_size
    if not isinstance(answer, Enclosed) or answer.slope is None:
        return 0.0, "the next state does not depend on the state"
    slope = answer.slope.spread((n, 1, n))
    low, high = slope.low[:, 0], slope.high[:, 0]
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    centre, radius = 0.5 * (low + high), 0.5 * (high - low)
    bound = min(sigma(centre) + sigma(radius), sigma(np.maximum(np.abs(low), np.abs(high))))
    return bound, "an interval for every entry of J (centre plus radius, or moduli)"


def _nearest(low: Array, high: Array) -> Array:
    """The least |a| in each interval."""
    return np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))


def _inside(width: float, slope: float) -> Callable[[Array, Array], Array]:
    """Of a function that is a straight line up to |a| = width and flat beyond."""
    return lambda low, high: np.where(_nearest(low, high) <= width, slope, 0.0)


SLOPES: dict[str, Callable[[Array, Array], Array]] = {
    "tanh": lambda low, high: 1.0 / np.square(np.cosh(np.minimum(_nearest(low, high), 350.0))),
    "sigmoid": lambda low, high: 0.25 / np.square(np.cosh(np.minimum(_nearest(low, high) / 2, 350.0))),
    "softsign": lambda low, high: 1.0 / np.square(1.0 + _nearest(low, high)),
    "relu": lambda low, high: np.where(high >= 0, 1.0, 0.0),
    "leaky_relu": lambda low, high: np.where(high >= 0, 1.0, 0.01),
    "elu": lambda low, high: np.exp(np.minimum(high, 0.0)),
    "softplus": lambda low, high: 1.0 / (1.0 + np.exp(-np.maximum(high, -700.0))),
    "hard_tanh": _inside(1.0, 1.0),
    "hard_sigmoid": _inside(3.0, 1.0 / 6.0),
    "hard_sigmoid_fifth": _inside(2.5, 0.2),
    "identity": lambda low, high: np.ones_like(low),
}
"""The largest |s'| while the argument stays between `low` and `high`; at kinks that of the steeper side."""


def slope_range(activation: str, low: Array, high: Array) -> Array | None:
    """The largest |s'| over each interval; None for a function not known here."""
    return np.asarray(SLOPES[activation](low, high)) if activation in SLOPES else None


def pre_activation_bounds(box: Box, h: slice, W: Array, U: Array, b: Array) -> tuple[Array, Array]:
    """Of W x + U h + b over the box."""
    below, above = b[:, 0].copy(), b[:, 0].copy()
    for matrix, low, high in ((W, box.input_low, box.input_high), (U, box.low[h], box.high[h])):
        with np.errstate(invalid="ignore"):
            least, most = matrix_bounds(matrix, low, high)
        # Zero times an unbounded entry is zero; what is left unknown is unbounded.
        below, above = below + np.nan_to_num(least, nan=-np.inf), above + np.nan_to_num(most, nan=np.inf)
    return below, above


def _by_gates(f: Map, box: Box) -> tuple[float, str] | None:
    """From the form of the equations, gate by gate: sums of norms of scaled recurrent matrices."""
    inner = bare(f)
    if not isinstance(inner, CellMap):
        return None
    rule = GATE_RULES.get(type(inner.cell).__name__)
    return None if rule is None else rule(inner.cell, dict(inner.blocks), box)


def _elman(cell: Any, blocks: dict[str, slice], box: Box) -> tuple[float, str] | None:
    return _plain(cell, cell.U, blocks["h"], box)


def _orthogonal(cell: Any, blocks: dict[str, slice], box: Box) -> tuple[float, str] | None:
    U = cell.gain * cell.U
    if cell.activation != "modrelu":
        return _plain(cell, U, blocks["h"], box)
    # |a| + b cut off at zero has slope 1 at most, but where b > 0 it jumps at a = 0, and a jump has no bound.
    return (sigma(U), "sigma_1(gain U), for modReLU has no slope above 1") if (cell.b <= 0).all() else None


def _plain(cell: Any, U: Array, h: slice, box: Box) -> tuple[float, str] | None:
    slopes = slope_range(cell.activation, *pre_activation_bounds(box, h, cell.W, U, cell.b))
    if slopes is None:
        return None
    return sigma(slopes[:, np.newaxis] * U), "sigma_1(diag(max s') U), the slopes bounded over the box"


def scaled_elman(cell: Any, box: Box) -> float | None:
    """The least sigma_1(D max s' U D^-1) over some diagonal D: a bound of the growth rate in a weighted norm."""
    slopes = slope_range(
        cell.activation, *pre_activation_bounds(box, slice(0, cell.hidden_size), cell.W, cell.U, cell.b)
    )
    if slopes is None:
        return None
    M = slopes[:, np.newaxis] * cell.U
    found = [sigma(M)]
    # Balancing, and the weights from the Perron vectors of |M|, with which the norm of |M| is its spectral radius.
    _, (scale, _) = scipy.linalg.matrix_balance(M, permute=False, separate=True)
    weights = [1.0 / scale]
    values, left, right = scipy.linalg.eig(np.abs(M), left=True, right=True)
    at = int(np.argmax(values.real))
    x, y = np.abs(right[:, at].real), np.abs(left[:, at].real)
    if (x > 1e-9).all() and (y > 1e-9).all():
        weights.append(np.sqrt(y / x))
    for d in weights:
        found.append(sigma(d[:, np.newaxis] * M / d))
    return min(found)


@final
class _Gate:
    """A gate, or a candidate, over the box: its values, largest modulus and largest slope."""

    def __init__(self, cell: Any, suffix: str, function: str, h: slice, box: Box) -> None:
        from scipy.special import expit

        self.U = getattr(cell, f"U_{suffix}")
        W, b = getattr(cell, f"W_{suffix}"), getattr(cell, f"b_{suffix}")
        low, high = pre_activation_bounds(box, h, W, self.U, b)
        shape = {"tanh": np.tanh, "sigmoid": expit}[function]
        self.low, self.high = shape(low), shape(high)
        self.size = np.maximum(np.abs(self.low), np.abs(self.high))
        slope = slope_range(function, low, high)
        assert slope is not None
        self.slope = slope

    def through(self, weights: Array) -> float:
        """sigma_1(diag(weights slope) U)."""
        return sigma((weights * self.slope)[:, np.newaxis] * self.U)


def _lstm(cell: Any, blocks: dict[str, slice], box: Box) -> tuple[float, str] | None:
    if (cell.gate_activation, cell.activation, cell.output_activation) != ("sigmoid", "tanh", "tanh"):
        return None
    h, c = blocks["h"], blocks["c"]
    i, f, o = (_Gate(cell, name, "sigmoid", h, box) for name in "ifo")
    g = _Gate(cell, "g", "tanh", h, box)
    held = np.maximum(np.abs(box.low[c]), np.abs(box.high[c]))
    kept = f.high * held + i.high * g.size  # the largest |c'|
    if not np.isfinite(kept).all():
        return None
    into_c = [(f, held), (i, g.size), (g, i.high)]
    cc, ch = float(f.high.max()), sum(gate.through(w) for gate, w in into_c)
    hc = float((o.high * f.high).max())
    hh = sum(gate.through(o.high * w) for gate, w in into_c) + o.through(np.tanh(kept))
    return sigma(np.array([[hh, hc], [ch, cc]])), "norms of the gates' blocks"


def _gru(cell: Any, blocks: dict[str, slice], box: Box) -> tuple[float, str] | None:
    if (cell.gate_activation, cell.activation) != ("sigmoid", "tanh"):
        return None
    h = blocks["h"]
    z, r = (_Gate(cell, name, "sigmoid", h, box) for name in "zr")
    old, new = (z.high, 1 - z.low) if cell.update == "keeps-old" else (1 - z.low, z.high)
    shown = np.maximum(np.abs(box.low[h]), np.abs(box.high[h]))
    mixed = float(old.max()) + z.through(shown + 1.0)
    if hasattr(cell, "b_hn"):
        below, above = pre_activation_bounds(box, h, np.zeros_like(cell.W_h), cell.U_h, cell.b_hn)
        inner = np.maximum(np.abs(below), np.abs(above))
        candidate = sigma((new * r.high)[:, np.newaxis] * cell.U_h) + r.through(new * inner)
    else:
        scaled = new[:, np.newaxis] * cell.U_h
        candidate = sigma(scaled * r.high) + sigma(scaled) * r.through(shown)
    bound = mixed + candidate
    return (bound, "norms of the gates' terms") if np.isfinite(bound) else None


GATE_RULES: dict[str, Callable[[Any, dict[str, slice], Box], tuple[float, str] | None]] = {
    "Elman": _elman,
    "OrthogonalRNN": _orthogonal,
    "LSTM": _lstm,
    "GRU": _gru,
    "GRUResetAfter": _gru,
}
