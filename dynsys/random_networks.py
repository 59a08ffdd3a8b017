"""Mean-field theory of large random networks: what the gain of the weights decides before any training."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from dynsys.checked_numbers import finite_number, whole_number
from dynsys.combinators import as_map
from dynsys.errors import AnalysisError, InputError
from dynsys.log_slopes import log_slope
from dynsys.maps import Map
from dynsys.types import Array

REACH = 12.0
"""Standard deviations integrated over; beyond lies a mass of 4e-33."""
BEND = 40.0
"""Pre-activation beyond which the smooth activations are straight to rounding."""
RULE = np.polynomial.legendre.leggauss(12)
"""Gauss-Legendre nodes and weights of each panel, on [-1, 1]."""
KINKS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("relu", "leaky_relu", "elu", "softsign"), (0.0,)),
    "hard_tanh": (-1.0, 1.0),
    "hard_sigmoid": (-3.0, 3.0),
    "hard_sigmoid_fifth": (-2.5, 2.5),
}
"""Where an activation is not smooth: panels end there."""
NOTHING = 1e-13
"""Variance below which the surplus that keeps activity alive is rounding."""
ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""Distance of chi from 1 within which a closed form is critical."""
TINIEST = 1e-100
"""Standard deviation that stands for zero."""
LARGEST_VARIANCE = 1e12
"""Beyond this the variance is said to diverge (softplus networks above gain sqrt(2))."""
SCALE_INVARIANT = {"relu": 0.0, "leaky_relu": 0.01, "identity": 1.0}
"""Activations with s(c x) = c s(x) for c > 0, and their slope below zero; above it is 1."""


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class MeanField:
    """A random network x' = U s(x) + b with U_ij ~ N(0, gain^2 / n), b_i ~ N(0, bias^2), in the limit of large n.

    The map h' = s(U h + b) has the same exponents: x is its pre-activation.

    Attributes:
        gain, bias: standard deviations, dimensionless; activation: the name of s.
        variance: "settles" to one value from any start (but zero); scale-invariant activations (relu, leaky_relu,
            identity) have two more cases: "kept" at their critical gain without bias, where every variance is
            stationary, and "diverges" above it, or at it with a bias.
        q: stationary variance of x; nan where it is "kept", for it is then what the network starts with; inf where it
            diverges. The exponents of a scale-invariant activation do not depend on it.
        chi: gain^2 E[s'(sqrt(q) z)^2], the growth of the squared size of a small perturbation per step; 1 is critical.
        largest_exponent: log(chi) / 2, nats per step. mean_exponent: of the whole spectrum, log(gain) - 1/2 +
            E[log |s'|]; -inf where s' vanishes on a set of positive probability.
        time_scale: 1 / |log chi|, steps (layers, for a deep network) over which perturbations grow or fade by e in
            their square; inf at the critical point.
        error: of the quadrature, estimated by halving its panels, relative to chi.
    """

    gain: float
    bias: float
    activation: str
    variance: Literal["settles", "kept", "diverges"]
    q: float
    chi: float
    largest_exponent: float
    mean_exponent: float
    time_scale: float
    error: float

    @property
    def regime(self) -> str:
        """ "ordered" (perturbations fade), "critical" within the error, or "chaotic" (they grow).

        "divergent" where they grow because the activity itself does, without limit.
        """
        if abs(self.chi - 1.0) <= max(self.error, 1e-9):
            return "critical"
        if self.chi < 1.0:
            return "ordered"
        return "divergent" if self.variance == "diverges" else "chaotic"

    def isometry(self, depth: int, weights: str = "gaussian") -> tuple[float, float]:
        """Mean and variance of the squared singular values of `depth` steps together, in the limit of large n.

        The mean is chi^depth; the variance, relative to the squared mean, depth (mu2 / mu1^2 - 1 - s1) with mu_k =
        E[s'^(2k)] and s1 = -1 for "gaussian" weights, 0 for "orthogonal" ones.
        Source: J. Pennington, S. Schoenholz & S. Ganguli, NeurIPS 2017, arXiv 1711.04735, equations 17 and 22.
        """
        if weights not in ("gaussian", "orthogonal"):
            raise InputError(f'`weights` must be "gaussian" or "orthogonal", got {weights!r}.')
        depth = whole_number("depth", depth, 1)
        # Slopes of scale-invariant activations are the same at every variance.
        slopes = Gaussian(self.activation, 1.0 if self.activation in SCALE_INVARIANT else self.q)
        mu1, mu2 = slopes.mean(lambda s, d: d**2), slopes.mean(lambda s, d: d**4)
        mean = self.chi**depth
        return mean, mean**2 * depth * (mu2 / mu1**2 - (0.0 if weights == "gaussian" else 1.0))

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON, and the regime."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"regime": self.regime}

    def __str__(self) -> str:
        scale = "infinite" if math.isinf(self.time_scale) else f"{self.time_scale:.6g} steps"
        link = {"settles": "= ", "kept": "is ", "diverges": ""}[self.variance]
        return (
            f"random {self.activation} network, gain {self.gain:g}, bias {self.bias:g}: {self.regime}; "
            f"q {link}{self.variance_text}, chi = {self.chi:.6g}, largest exponent {self.largest_exponent:.6g}, "
            f"mean exponent {self.mean_exponent:.6g} nats/step, time scale {scale}"
        )

    @property
    def variance_text(self) -> str:
        """q in words and digits."""
        if self.variance == "settles":
            return f"{self.q:.6g}"
        return "kept as it starts" if self.variance == "kept" else "diverges"


class Gaussian:
    """Averages over x = sqrt(q) z, z ~ N(0, 1), of an activation s(x) and its derivative s'(x)."""

    def __init__(self, activation: str, q: float, finer: int = 1) -> None:
        f = _read(activation)
        spread = max(math.sqrt(q), TINIEST)  # the limit of vanishing activity, on both sides of a kink at zero
        # tanh and the logistic function have poles pi/2 and pi off the real line: where they bend, panels must be
        # narrower than that.
        bend = min(REACH, BEND / spread)
        breaks = [k / spread for k in KINKS.get(activation, ()) if abs(k / spread) < REACH]
        edges = sorted({-REACH, -bend, *breaks, bend, REACH})
        z, weight = _panels(edges, lambda a, b: (min(0.5, 1.5 / spread) if abs(a + b) < 2 * bend else 0.5) / finer)
        self._weight = weight * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        x = (spread * z)[:, np.newaxis]
        self._values, self._slopes = f.step(x)[:, 0], f.jvp(x, np.ones_like(x))[:, 0]
        self._log_slopes = log_slope(x[:, 0], self._slopes, activation)

    def mean(self, function: Callable[[Array, Array], Array]) -> float:
        """E[function(s, s')]."""
        return float(self._weight @ function(self._values, self._slopes))

    @property
    def mean_log_slope(self) -> float:
        """E[log |s'|], nats; -inf where s' vanishes on a set of positive probability."""
        return -math.inf if np.isneginf(self._log_slopes).any() else float(self._weight @ self._log_slopes)


def _panels(edges: list[float], width: Callable[[float, float], float]) -> tuple[Array, Array]:
    """Nodes and weights of a composite Gauss-Legendre rule over the edges."""
    node, weight = RULE
    ends = [np.linspace(a, b, max(2, math.ceil((b - a) / width(a, b)) + 1)) for a, b in itertools.pairwise(edges)]
    low = np.concatenate([e[:-1] for e in ends])
    half = np.concatenate([np.diff(e) for e in ends]) / 2
    nodes = (low + half)[:, np.newaxis] + half[:, np.newaxis] * node
    return nodes.ravel(), (half[:, np.newaxis] * weight).ravel()


def _read(name: Any) -> Map:
    """The activation as a map of one variable, for its values and its slopes."""
    from dynsys.loaders.recurrent import cells_package

    known = cells_package().activations.ACTIVATIONS
    if not isinstance(name, str) or name not in known:
        raise InputError(f"`activation` must be one of {', '.join(known)}; got {name!r}.")
    return _mapped(known[name])


@functools.cache
def _mapped(function: Callable[[Array], Array]) -> Map:
    return as_map(function, 1)


def mean_field(gain: float, bias: float = 0.0, activation: str = "tanh") -> MeanField:
    """Theory of a large random network with the given gain: its activity, its exponents, how far signals reach.

    Args:
        gain: standard deviation of the recurrent weights times sqrt(n), dimensionless, positive.
        bias: standard deviation of the biases (or of a constant input), dimensionless.
        activation: a name that `cells.Elman` takes.

    Returns: MeanField. Accuracy: quadrature and fixed-point iteration to about 1e-12, relative (field `error`); closed
        forms for the scale-invariant activations (relu, leaky_relu, identity).
    Raises: AnalysisError where the variance of another activation diverges (softplus above gain sqrt(2)).
    Sources: L. Molgedey, J. Schuchhardt & H. G. Schuster, Physical Review Letters 69 (1992) 3717-3719;
        S. S. Schoenholz, J. Gilmer, S. Ganguli & J. Sohl-Dickstein, ICLR 2017, arXiv 1611.01232.
    """
    gain, bias = finite_number("gain", gain), finite_number("bias", bias)
    if gain <= 0:
        raise InputError(f"`gain` must be positive, got {gain:g}: without weights there is nothing to analyse.")
    if bias < 0:
        raise InputError(f"`bias` is a standard deviation, at least 0; got {bias:g}.")
    _read(activation)
    if activation in SCALE_INVARIANT:
        return _scale_invariant(gain, bias, activation)
    q = _stationary_variance(gain, bias, activation)
    chi, mean_log = _growth(gain, activation, q)
    again, _ = _growth(gain, activation, q, finer=2)
    error = abs(chi - again) / max(chi, np.finfo(np.float64).tiny)
    return _answer(gain, bias, activation, variance="settles", q=q, chi=chi, mean_log=mean_log, error=error)


def _answer(gain: float, bias: float, activation: str, *, chi: float, mean_log: float, **others: Any) -> MeanField:
    return MeanField(
        gain=gain,
        bias=bias,
        activation=activation,
        chi=chi,
        largest_exponent=0.5 * math.log(chi) if chi > 0 else -math.inf,
        mean_exponent=math.log(gain) - 0.5 + mean_log,
        time_scale=math.inf if chi == 1 else 1.0 / abs(math.log(chi)) if chi > 0 else 0.0,
        **others,
    )


def _scale_invariant(gain: float, bias: float, activation: str) -> MeanField:
    """In closed form: half of the units have slope 1 and half the other, at every q, and q' = chi q + bias^2."""
    below = SCALE_INVARIANT[activation]
    chi = gain**2 * (1 + below**2) / 2
    if abs(chi - 1) <= ROUNDING:  # a critical gain that was rounded: sqrt(2) has no floating-point number
        chi = 1.0
    variance: Literal["settles", "kept", "diverges"]
    if chi < 1:
        variance, q = "settles", bias**2 / (1 - chi)
    elif chi == 1 and bias == 0:
        variance, q = "kept", math.nan
    else:
        variance, q = "diverges", math.inf
    mean_log = math.log(below) / 2 if below else -math.inf
    return _answer(gain, bias, activation, variance=variance, q=q, chi=chi, mean_log=mean_log, error=ROUNDING)


def _growth(gain: float, activation: str, q: float, finer: int = 1) -> tuple[float, float]:
    average = Gaussian(activation, q, finer)
    return gain**2 * average.mean(lambda s, d: d**2), average.mean_log_slope


def _stationary_variance(gain: float, bias: float, activation: str) -> float:
    """The stable q = gain^2 E[s(sqrt(q) z)^2] + bias^2 that activity from large variance settles to."""
    from scipy.optimize import brentq

    def surplus(q: float) -> float:
        return gain**2 * Gaussian(activation, q).mean(lambda s, d: s**2) + bias**2 - q

    high = 1.0 + bias**2 + gain**2
    while surplus(high) > 0:
        high *= 4.0
        if high > LARGEST_VARIANCE:
            raise AnalysisError(f"the variance of a {activation} network diverges at gain {gain:g}: it has no limit.")
    # The largest root: between it and `high` the surplus is negative throughout.
    grid = np.concatenate([[0.0], np.geomspace(1e-14 * high, high, 50)])
    above = [q for q in grid if surplus(q) > 0]
    if not above or above[-1] < NOTHING:
        return 0.0
    low = above[-1]
    upper = grid[int(np.searchsorted(grid, low)) + 1]
    return float(brentq(surplus, low, upper, xtol=1e-15 * upper, rtol=4 * np.finfo(float).eps))


def critical_point(q: float, activation: str = "tanh") -> tuple[float, float]:
    """The gain and the bias at which a network of stationary variance `q` is exactly critical, chi = 1.

    Returns: (gain, bias), dimensionless: gain^2 = 1 / E[s'^2], bias^2 = q - gain^2 E[s^2].
    Raises: AnalysisError where no bias does it (bias^2 would be negative).
    """
    q = finite_number("q", q)
    if q < 0:
        raise InputError(f"`q` must be a variance of at least 0, got {q:g}.")
    average = Gaussian(activation, q)
    slope = average.mean(lambda s, d: d**2)
    if slope == 0:
        raise AnalysisError(f"{activation} has no slope at variance {q:g}: no gain makes it critical.")
    squared = q - average.mean(lambda s, d: s**2) / slope
    if squared < -1e-12 * max(q, 1.0):
        raise AnalysisError(f"no bias makes a {activation} network critical at variance {q:g}.")
    return math.sqrt(1.0 / slope), math.sqrt(max(squared, 0.0))
