"""What was proven about a list of fixed points or cycles."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.read_only import read_only
from dynsys.types import Array, Booleans, Complex, Integers

STATEMENT = (
    "A certificate speaks of the map in real arithmetic with the loaded float64 parameters and the stated input, "
    "not of its iteration in floating point, nor of a float32 original."
)


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Certificates:
    """Proofs, one row per state, or per point of a cycle's first phase. Nothing here rests on unbounded rounding.

    Attributes:
        states: (k, n) as given, model units; for cycles (k, period, n).
        status: (k,) "proven" (exactly one fixed point within `uniqueness` of the state, and it lies within `radius`),
            "refuted" (no fixed point within `claimed` of the state), or "undecided".
        radius, uniqueness: (k,) distances in the largest coordinate, model units; inf and 0 where nothing is proven.
        claimed: (k,) how near a fixed point has to be for the state to count as one.
        low, high: the shape of `states`, the enclosure of the true point, coordinate by coordinate.
        stability: (k,) "stable" (all multipliers proven inside the unit circle), "unstable", or "undecided".
        n_unstable: (k,) multipliers proven outside the unit circle, the rest proven inside; -1 where undecided.
        multipliers, multiplier_radii: (k, n) discs in the complex plane that together contain all multipliers of the
            true point; a group of discs apart from the others contains as many as it has discs. For cycles, of the
            whole orbit.
        reasons: (k,) why a row is not proven, or its stability is not; empty where all is.
        arithmetic: (k,) "float64 intervals" or "Arb balls, 212 bits".
        period: 1 for fixed points. input: (m,). map_name: in words. statement: what the proofs speak of.
    """

    states: Array
    status: tuple[str, ...]
    radius: Array
    uniqueness: Array
    claimed: Array
    low: Array
    high: Array
    stability: tuple[str, ...]
    n_unstable: Integers
    multipliers: Complex
    multiplier_radii: Array
    reasons: tuple[str, ...]
    arithmetic: tuple[str, ...]
    period: int
    input: Array
    map_name: str
    statement: str = STATEMENT

    def __len__(self) -> int:
        return len(self.states)

    @property
    def proven(self) -> Booleans:
        """(k,) rows whose fixed point is proven."""
        return np.array([s == "proven" for s in self.status], dtype=bool)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each status."""
        return {name: self.status.count(name) for name in ("proven", "refuted", "undecided")}

    @property
    def kinds(self) -> tuple[str, ...]:
        """(k,) "attractor", "saddle", "repeller" as proven, else "undecided"."""
        n = self.multipliers.shape[1]
        names = {-1: "undecided", 0: "attractor", n: "repeller"}
        return tuple(names.get(int(count), "saddle") for count in self.n_unstable)

    def to_dict(self) -> dict[str, Any]:
        """Every field under its name, with the kinds and counts."""
        out: dict[str, Any] = {"model": self.map_name}
        out |= {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "map_name"}
        for name in ("status", "stability", "reasons", "arithmetic"):
            out[name] = list(out[name])
        return out | {"kinds": list(self.kinds), "counts": self.counts}

    def __str__(self) -> str:
        from dynsys.proofs.text import certificates_text

        return certificates_text(self)

    __repr__ = __str__
