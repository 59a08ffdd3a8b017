"""The answer of `propagation`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from dynsys.propagate.rates import tells_a_rate
from dynsys.read_only import read_only
from dynsys.tables import aligned
from dynsys.types import Array

ROWS = 24
PER_LAYER = (
    "log_energy", "rayleigh", "log_norm", "log_distance", "mad", "log_rusch", "stable_rank", "effective_rank",
    "rank_one_distance", "jacobian_gain", "jacobian_rms", "log_gradient_norm", "gradient_collapse",
    "log_weight_gradient", "probe",
)  # fmt: skip


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Propagation:
    """A signal followed through `depth` layers of a graph network; layer 0 is the signal itself.

    Arrays are (depth + 1,) unless said otherwise. NaN stands for what was not measured at a layer. Logarithms are in
    nats; where a value would under- or overflow, its logarithm still holds.

    Attributes:
        log_energy: of the Dirichlet energy E(H) = tr H^T (I - A) H; under "row+loops" tr H^T L H.
        rayleigh: E(H) / |H|_F^2, dimensionless, from 0 to 1 - lambda_min (under "row+loops" over sum (d_i + 1)|h_i|^2).
        log_norm: of |H|_F. log_distance: of d_M(H) = |(I - Pi) H|_F, the distance to the collapse subspace.
        log_distance_bound: what theory allows d_M; inf where it allows anything.
        mad: mean of 1 - cos of the angle between neighbours; no norm (0 for a one-dimensional signal of one sign).
            mad_error: its standard error where edges were sampled.
        log_rusch: of sqrt((1/n) sum_i sum_{j in N_i} |h_i - h_j|^2).
        stable_rank, effective_rank, rank_one_distance: |H|_F^2/|H|_2^2, exp(entropy of sigma/sum sigma), and the
            distance to rank one in the nuclear norm, 0 to 2.
        band_energy: (depth + 1, bands) share of |H|^2 by eigenvalue of A; bands: (bands + 1,) their limits.
        jacobian_gain: largest singular value of layer l's Jacobian, d H_l / d H_{l-1}; 1 at layer 0.
        jacobian_rms: |J|_F / sqrt(entries of H_{l-1}) of the same Jacobian, exact.
        jacobian_singular_values: (depth + 1, k) its k largest singular values, equal ones as often as they occur;
            jacobian_singular_errors: (depth + 1, k) a singular value lies within this of each. k = 0 if not asked for.
        log_gradient_norm: of |d y / d H_l| for a random y of the last layer with unit gradient there; gradient_norm its
            exponential. gradient_collapse: share d_M / norm of that gradient.
        log_weight_gradient: of |d y / d W_l|_F for the same y, W_l = I where a layer has no weights; NaN at layer 0;
            weight_gradient its exponential.
        probe: accuracy of a linear classifier on each layer, where labels were given.
        rate: nats per layer, slope of log_distance over the layers from `rate_from` on; rate_error its standard error.
        rate_bound: nats per layer, mean of ln(s_l lambda* + |r|) over the same layers. bound_reason: why it bounds
            nothing; "" where it is a bound.
        rate_predicted: nats per layer in the long run for a repeated linear layer, else None.
        effective_depth: first layer from which d_M / |H| stays below `collapse_tol`; None if it does not.
        frequency: "low", "high" or "mixed", by the last Rayleigh quotient; frequency_predicted for a repeated linear
            layer, else None.
        lambda_2, lambda_min, lambda_star, lambda_error: of A outside its trivial subspace.
        normalization, nodes, name, depth, own_layers, dtype, seed, collapse_tol: what was analysed, and how.
        spread: standard deviation over seeds of each per-layer field, for random stacks; runs: one result per seed.
        notes: what a reader should know.
    """

    log_energy: Array
    rayleigh: Array
    log_norm: Array
    log_distance: Array
    log_distance_bound: Array
    mad: Array
    mad_error: Array
    log_rusch: Array
    stable_rank: Array
    effective_rank: Array
    rank_one_distance: Array
    band_energy: Array
    bands: Array
    jacobian_gain: Array
    jacobian_rms: Array
    log_gradient_norm: Array
    gradient_collapse: Array
    log_weight_gradient: Array
    jacobian_singular_values: Array
    jacobian_singular_errors: Array
    probe: Array
    widths: tuple[int, ...]
    rate: float
    rate_error: float
    rate_from: int
    rate_bound: float
    bound_reason: str
    rate_predicted: float | None
    effective_depth: int | None
    frequency: str
    frequency_predicted: str | None
    lambda_2: float
    lambda_min: float
    lambda_error: float
    normalization: str
    nodes: Any
    name: str
    depth: int
    own_layers: int
    dtype: str
    seed: int
    collapse_tol: float
    notes: tuple[str, ...] = ()
    spread: dict[str, Array] = field(default_factory=dict)
    runs: tuple[Propagation, ...] = ()

    @property
    def energy(self) -> Array:
        """(depth + 1,) Dirichlet energy; 0 or inf where it does not fit into a float, `log_energy` then holds."""
        return _exp(self.log_energy)

    @property
    def norm(self) -> Array:
        """(depth + 1,) |H|_F."""
        return _exp(self.log_norm)

    @property
    def collapse_distance(self) -> Array:
        """(depth + 1,) d_M(H), the distance to the collapse subspace."""
        return _exp(self.log_distance)

    @property
    def relative_distance(self) -> Array:
        """(depth + 1,) d_M(H) / |H|_F; NaN for the zero signal."""
        with np.errstate(invalid="ignore"):
            return _exp(self.log_distance - self.log_norm)

    @property
    def rusch(self) -> Array:
        """(depth + 1,) Rusch's measure of differences between neighbours."""
        return _exp(self.log_rusch)

    @property
    def gradient_norm(self) -> Array:
        """(depth + 1,) size of a gradient that has size 1 at the last layer."""
        return _exp(self.log_gradient_norm)

    @property
    def weight_gradient(self) -> Array:
        """(depth + 1,) size of the gradient of the same y with respect to the weights of each layer."""
        return _exp(self.log_weight_gradient)

    @property
    def lambda_star(self) -> float:
        """max |lambda| of A outside its trivial subspace."""
        return max(abs(self.lambda_2), abs(self.lambda_min))

    @property
    def bound_holds(self) -> bool:
        """Whether the measured distance stays below the bound at every layer, to rounding."""
        slack = 1e-9 if self.dtype == "float64" else 1e-4
        return bool((self.log_distance <= self.log_distance_bound + slack).all())

    def to_dict(self) -> dict[str, Any]:
        """All fields and derived values, for JSON."""
        derived = (
            "energy", "norm", "collapse_distance", "relative_distance", "gradient_norm", "weight_gradient", "rusch",
            "lambda_star",
        )  # fmt: skip
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("nodes", "runs")}
        return fields | {name: getattr(self, name) for name in derived} | {"bound_holds": self.bound_holds}

    def __str__(self) -> str:
        counts = ((len(self.nodes), "node"), (self.depth, "layer"))
        nodes, layers = (f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)
        lines = [
            f"{self.name} on {nodes}, normalisation {self.normalization}, {layers}",
            f"lambda_2 {self.lambda_2:.6f}, lambda_min {self.lambda_min:.6f} (+- {self.lambda_error:.1e})",
        ]
        shown = sorted({round(i) for i in np.linspace(0, self.depth, min(self.depth + 1, ROWS))})
        header = ["layer", "energy", "rayleigh", "d_M", "d_M/|H|", "MAD", "stable", "effective", "gain", "gradient"]
        columns = (
            self.energy, self.rayleigh, self.collapse_distance, self.relative_distance, self.mad, self.stable_rank,
            self.effective_rank, self.jacobian_gain, self.gradient_norm,
        )  # fmt: skip
        rows = [[str(i), *(_cell(column[i]) for column in columns)] for i in shown]
        lines.append(aligned(header, rows))
        bound = "no bound on the rate" if self.bound_reason else f"bound {self.rate_bound:.4f}"
        few = math.isfinite(self.rate) and not tells_a_rate(self.rate, self.rate_error, self.depth)
        rate = f"rate {self.rate:.4f} +- {self.rate_error:.1e} nats/layer from layer {self.rate_from}"
        lines.append(f"{rate} (too few layers for a rate); {bound}" if few else f"{rate}; {bound}")
        deep = "not collapsed" if self.effective_depth is None else f"effective depth {self.effective_depth}"
        lines.append(f"{deep} (d_M/|H| < {self.collapse_tol:g}); frequency {self.frequency}")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__


def _exp(log: Array) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.exp(log))


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
