"""Multipliers of an Euler step read as rates of the differential equation that it steps along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.errors import InputError
from dynsys.jsonable import jsonable
from dynsys.read_only import read_only
from dynsys.types import Array, ArrayLike, Booleans, Complex

REAL = 1e-9  # imaginary part, relative to 1 + |mu|, below which a multiplier is real


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class ContinuousRates:
    """Rates mu -> (mu - 1) / dt of dx/dt = G(x), of which x' = x + dt G(x) is the Euler step. All of one shape (...).

    Attributes:
        multipliers: complex, dimensionless, of the map. time_step: dt, in the caller's unit of time.
        rates: complex, per unit of time: eigenvalues of the derivative of G, exactly, at a fixed point (a fixed point
            of the map is one of the equation).
        time_constants: -1 / Re rate, units of time; negative where the mode grows, inf where it does neither.
        alternating: real negative multipliers. The map flips the sign of such a mode at every step; in continuous time
            it decays without overshoot, so the flipping is an artefact of the Euler step: dt is too long for the mode.
        unstable_by_step: |mu| > 1 although the mode decays in continuous time, Re rate < 0: the step makes it grow.
    """

    multipliers: Complex
    time_step: float
    rates: Complex
    time_constants: Array
    alternating: Booleans
    unstable_by_step: Booleans

    @property
    def faithful(self) -> bool:
        """Whether no mode is an artefact of the Euler step."""
        return not (self.alternating.any() or self.unstable_by_step.any())

    def __repr__(self) -> str:
        count, flips = self.rates.size, int(self.alternating.sum())
        grown = int(self.unstable_by_step.sum())
        if self.faithful:
            said = "none is an artefact of the Euler step"
        else:
            said = f"artefacts of the Euler step: {flips} alternate, {grown} grow by the step alone"
        return f"<{count} rates at time step {self.time_step:g}; {said}>"

    def to_dict(self) -> dict[str, Any]:
        """The fields, fit for strict JSON."""
        return dict(jsonable({name: getattr(self, name) for name in self.__dataclass_fields__}))


def continuous_rates(multipliers: ArrayLike, time_step: float) -> ContinuousRates:
    """Multipliers of an Euler step as rates in continuous time.

    Args:
        multipliers: (...) real or complex, dimensionless, e.g. the `multipliers` of fixed points of a leaky network.
        time_step: dt, above 0, in any unit of time; for `cells.LeakyRNN` alpha tau, that is alpha in units of tau.

    Returns: ContinuousRates, in that unit.
    Raises: InputError for a time step that is not positive, or multipliers that are not finite.
    """
    mu = np.asarray(multipliers)
    if mu.dtype.kind not in "biufc" or not np.isfinite(mu).all():
        raise InputError("`multipliers` must be finite real or complex numbers.")
    given: Any = time_step
    if isinstance(given, bool) or not isinstance(given, (int, float, np.number)) or not 0 < given < np.inf:
        raise InputError(f"`time_step` must be a finite positive number, got {time_step!r}.")
    mu = np.array(mu, dtype=np.complex128)
    rates: Complex = np.asarray((mu - 1.0) / time_step, dtype=np.complex128)
    with np.errstate(divide="ignore"):
        constants = np.where(rates.real == 0, np.inf, -1.0 / np.where(rates.real == 0, 1.0, rates.real))
    real = np.abs(mu.imag) <= REAL * (1.0 + np.abs(mu))
    return ContinuousRates(
        multipliers=mu,
        time_step=float(time_step),
        rates=rates,
        time_constants=constants,
        alternating=np.asarray(real & (mu.real < 0)),
        unstable_by_step=np.asarray((np.abs(mu) > 1.0) & (rates.real < 0)),
    )
