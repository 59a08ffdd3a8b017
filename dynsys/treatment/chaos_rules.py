"""Rules on chaos: how soon a chaotic network must be put right, and when nothing has to be done."""

from __future__ import annotations

import math

import numpy as np

from dynsys.treatment.patient import Patient
from dynsys.treatment.remedy import Remedy, Skipped


def forcing_interval(patient: Patient) -> Remedy | str:
    """Teacher forcing once per doubling of small differences."""
    lyapunov = patient.lyapunov
    largest, error = float(lyapunov.exponents[0]), float(lyapunov.standard_errors[0])
    if largest - 3 * error <= 0:
        return f"chaos: largest exponent {largest:.3g} +- {error:.2g} nats/step, not above zero by three errors"
    interval = max(1, round(math.log(2) / largest))
    again = patient.exponents(1, patient.seed + 1)
    growth = math.exp(float(again.exponents[0]) * interval)
    error_after = growth * interval * float(np.hypot(error, again.standard_errors[0]))
    return Remedy(
        id="force-sparsely",
        title="Force the state back once per doubling time",
        trigger=f"largest exponent {largest:.3g} +- {error:.2g} nats/step: small differences double",
        change=f"replace the state by the data (or truncate gradients) every {interval} steps",
        settings={"interval": interval},
        quantity="growth of a difference over one interval",
        before=math.exp(min(largest * patient.task.length, 700.0)),
        predicted=math.exp(largest * interval),
        after=growth,
        tolerance=max(3 * error_after, 0.05),
        basis="log 2 over the largest exponent; measured again on the sequences in another order",
        source="J. Mikhaeil, Z. Monfared & D. Durstewitz, NeurIPS 2022, arXiv 2110.07238",
    )


def critical(patient: Patient) -> Remedy | str:
    """Say so where a network is critical within error: there is nothing to gain."""
    lyapunov = patient.lyapunov
    largest, error = float(lyapunov.exponents[0]), float(lyapunov.standard_errors[0])
    if abs(largest) <= 2 * error:
        return (
            f"stability: largest exponent {largest:.3g} +- {error:.2g} nats/step, critical within its error: leave the "
            "gain as it is"
        )
    if largest > 0:
        return Skipped(f"stability: largest exponent {largest:.3g} +- {error:.2g} nats/step, not critical: it grows")
    return f"stability: largest exponent {largest:.3g} +- {error:.2g} nats/step, differences fade"
