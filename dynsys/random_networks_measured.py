"""Random networks drawn and measured beside the theory of their limit, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.errors import AnalysisError, InputError
from dynsys.lyapunov import lyapunov_spectrum
from dynsys.random_networks import MeanField, mean_field
from dynsys.read_only import read_only
from dynsys.types import Array, Progress


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class GainSweep:
    """Theory by gain, and where networks were drawn, what they measure.

    Attributes:
        gains: (g,). theory: one MeanField per gain, None where theory has no answer.
        measured: (g, networks) largest exponents, nats per step; (g, 0) where none were drawn.
        units, steps: of the networks drawn; 0 without.
    """

    gains: Array
    theory: tuple[MeanField | None, ...]
    measured: Array
    units: int
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        from dynsys.tables import aligned

        drawn = self.measured.shape[1] > 0
        rows = []
        for gain, theory, values in zip(self.gains, self.theory, self.measured, strict=True):
            row = [f"{gain:.4g}"]
            if theory is None:
                row += ["diverges", "", "", "", ""]
            else:
                numbers = (theory.chi, theory.largest_exponent, theory.time_scale)
                row += [theory.regime, theory.variance_text, *(f"{v:.6g}" for v in numbers)]
            rows.append(row + ([f"{values.mean():.4f} +- {_spread(values):.4f}"] if drawn else []))
        header = ["gain", "regime", "q", "chi", "largest exponent", "time scale"]
        note = f"\nmeasured: {self.measured.shape[1]} networks of {self.units} units, {self.steps} steps; mean +- s.e."
        return aligned(header + (["measured"] if drawn else []), rows) + (note if drawn else "")


def _spread(values: Array) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def gain_sweep(
    gains: Sequence[float],
    bias: float = 0.0,
    activation: str = "tanh",
    *,
    units: int = 0,
    networks: int = 3,
    steps: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> GainSweep:
    """Mean-field theory at each gain; with `units`, also the largest exponent of `networks` random networks each.

    Args:
        gains: standard deviations of the weights times sqrt(n). bias, activation: as for `mean_field`.
        units, networks, steps: what to draw and how long to follow it, after a fifth of the steps unmeasured.
        seed: of weights, biases and starts.
    """
    from dynsys.loaders.recurrent import cells_package

    cells = cells_package()
    if units < 0 or networks < 1 or steps < 10:
        raise InputError(f"need units >= 0, networks >= 1, steps >= 10; got {units}, {networks}, {steps}.")
    theory = tuple(_theory(g, bias, activation) for g in gains)
    drawn = networks if units else 0
    measured = np.empty((len(gains), drawn))
    for i, gain in enumerate(gains):
        for j in range(drawn):
            generator = seeds.generator(seed + 1000 * i + j)
            U = gain / np.sqrt(units) * generator.standard_normal((units, units))
            cell = cells.Elman(U=U, b=bias * generator.standard_normal(units), activation=activation)
            start = generator.standard_normal(units)
            run = lyapunov_spectrum(cell, start, k=1, steps=steps, discard=steps // 5, seed=seed)
            measured[i, j] = run.exponents[0]
            if progress is not None:
                progress(i * drawn + j + 1, len(gains) * drawn, f"gain {gain:g}")
    return GainSweep(
        gains=np.array(gains, dtype=float), theory=theory, measured=measured, units=units, steps=steps if units else 0
    )


def _theory(gain: float, bias: float, activation: str) -> MeanField | None:
    try:
        return mean_field(gain, bias, activation)
    except AnalysisError:
        return None


def draw(sweep: GainSweep, path: Path) -> None:
    """The largest exponent by gain, theory as a line and measurements as points, as SVG, PNG or PDF by the name."""
    import matplotlib
    from matplotlib.figure import Figure

    from dynsys.reporting.svg import COLOURS, style

    known = [t for t in sweep.theory if t is not None]
    with matplotlib.rc_context(style() | {"figure.facecolor": "white", "savefig.facecolor": "white"}):
        canvas = Figure(figsize=(5.2, 3.4))
        plane = canvas.add_subplot()
        plane.axhline(0.0, color=COLOURS[5], lw=0.8)
        if known:
            fine = np.linspace(known[0].gain, known[-1].gain, 40)
            line = [_theory(g, known[0].bias, known[0].activation) for g in fine]
            values = [np.nan if t is None else t.largest_exponent for t in line]
            plane.plot(fine, values, color=COLOURS[0], label="theory, infinitely many units")
            wanted = [-np.inf if t is None else t.largest_exponent for t in sweep.theory]
            plane.plot(sweep.gains, np.where(np.isfinite(wanted), wanted, np.nan), ".", color=COLOURS[0])
        if sweep.measured.size:
            label = f"{sweep.units} units, each a network"
            x = np.repeat(sweep.gains, sweep.measured.shape[1])
            plane.plot(x, sweep.measured.ravel(), "o", mfc="none", color=COLOURS[1], label=label)
        plane.set_xlabel("gain of the recurrent weights")
        plane.set_ylabel("largest exponent (nats/step)")
        plane.legend(loc="lower right")
        try:
            canvas.savefig(path)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot write the picture {str(path)!r}: {error}.") from None
