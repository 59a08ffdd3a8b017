"""What a Lyapunov spectrum says, and how it prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.lyapunov_averages import spread
from dynsys.read_only import read_only
from dynsys.types import Array, Integers

AGREEMENT = 1e-6  # nats per step, to which two random frames must agree


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class LyapunovSpectrum:
    """Lyapunov exponents of an orbit, or of a driven orbit given its input (conditional exponents).

    Attributes:
        exponents: (k,) nats per step, largest first; -inf for directions that are lost exactly.
        standard_errors: (k,) nats per step, from batch means over time (and the spread over sequences).
        by_sequence: (sequences, k). halves: (2, k), the estimate over each half of the time.
        running: (checkpoints, k), the estimate after `running_steps` (checkpoints,) steps: how it converged.
        kaplan_yorke: dimension, in state dimensions, or None with the reason in `notes`.
        entropy: sum of the positive exponents, nats per step (an upper bound on the Kolmogorov-Sinai entropy), or None.
        residual: |sum of exponents - mean log|det J||, nats per step; None for k < n.
        trusted: leading exponents on which two random frames agree to 1e-6 nats per step.
        frame_differences: (k,) nats per step, by how much two random frames differ, or at most may; inf if unknown.
        lost: exponents that are -inf by structure.
        steps, discard, k, n: what was averaged. qr_interval: steps between QR decompositions.
        input: (m,), the constant input; None where it changes with time (then `drive` says what it is).
        method: in words, with the drive. notes: reasons and remarks.
        step_duration: seconds per step, or None.
    """

    exponents: Array
    standard_errors: Array
    frame_differences: Array
    by_sequence: Array
    halves: Array
    running: Array
    running_steps: Integers
    kaplan_yorke: float | None
    entropy: float | None
    residual: float | None
    trusted: int
    lost: int
    steps: int
    discard: int
    n: int
    qr_interval: int
    seed: int
    map_name: str
    input: Array | None
    drive: str
    method: str
    notes: tuple[str, ...]
    step_duration: float | None = None

    @property
    def spread(self) -> Array:
        """(k,) standard deviation over the sequences, nats per step; zeros for a single one, and for what is -inf."""
        return spread(self.by_sequence)

    @property
    def times(self) -> Array:
        """(k,) steps in which a difference along each direction changes by a factor e: 1 / |exponent|."""
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / np.abs(self.exponents))

    @property
    def k(self) -> int:
        """How many exponents there are here."""
        return len(self.exponents)

    @property
    def chaotic(self) -> bool:
        """Whether the data bear the word: largest exponent positive by 3 errors, over 10^4 steps and in both halves."""
        if self.steps < 10_000 or not self.k or self.qr_interval == 0:
            return False  # too short to say, or an orbit at rest
        leading = min(self.exponents[0], *self.halves[:, 0])
        return bool(leading - 3 * self.standard_errors[0] > 0)

    def to_dict(self) -> dict[str, Any]:
        """All fields, the spread over sequences, times and the verdict `chaotic`, for JSON."""
        out = {name: getattr(self, name) for name in self.__dataclass_fields__}
        out |= {"spread": self.spread, "times": self.times, "chaotic": self.chaotic}
        return out if self.step_duration is None else out | {"times_ms": 1e3 * self.step_duration * self.times}

    def __str__(self) -> str:
        lines = [f"{self.map_name}: {self.k} of {self.n} Lyapunov exponents, {self.drive}"]
        for i, (value, error) in enumerate(zip(self.exponents, self.standard_errors, strict=True)):
            ms = "" if self.step_duration is None else f"   e-fold in {1e3 * self.step_duration * self.times[i]:.4g} ms"
            apart = float(self.frame_differences[i])
            trust = "" if apart <= AGREEMENT else f"   (frames differ by {apart:.0e})"
            lines.append(f"{i:4d}  {value: .6f} +- {error:.1e} nats/step{ms}{trust}")
        if len(self.by_sequence) > 1:
            count, spread = len(self.by_sequence), self.spread[0]
            lines.append(f"over {count} sequences the largest varies by {spread:.1e} nats/step (standard deviation)")
        residual = "not available for k < n" if self.residual is None else f"{self.residual:.1e} nats/step"
        lines.append(f"two random frames agree to {AGREEMENT:.0e} nats/step on the leading {self.trusted} of {self.k}")
        lines.append(f"determinant sum-rule residual {residual}; {self.method}")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__
