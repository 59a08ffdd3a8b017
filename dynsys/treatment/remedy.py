"""A remedy: what triggered it, what to set, and what was predicted and measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, final


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Remedy:
    """One change, tried on a copy of the network.

    Attributes:
        id: stable, kebab-case. title: in a few words.
        trigger: what was measured and against which threshold, in words. change: what to do, with its numbers.
        settings: those numbers, by name.
        quantity: what is predicted and measured again, with its unit.
        before, predicted, after: its values: as the network is, by formula, and on the changed copy.
        tolerance: how far `after` may lie from `predicted`, in the quantity's unit; 0 where `predicted` is a bound that
            `after` must not exceed.
        basis: where the prediction comes from. source: the publication.
        also: further measurements, before and after, by name.
    """

    id: str
    title: str
    trigger: str
    change: str
    settings: dict[str, Any]
    quantity: str
    before: float
    predicted: float
    after: float
    tolerance: float
    basis: str
    source: str
    also: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether the prediction held: within the tolerance, or below the bound."""
        if not (math.isfinite(self.after) and math.isfinite(self.predicted)):
            return self.after == self.predicted
        if self.tolerance == 0:
            return self.after <= self.predicted + 1e-9
        return abs(self.after - self.predicted) <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """All fields and `agrees`, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"agrees": self.agrees}

    def __str__(self) -> str:
        verdict = "as predicted" if self.agrees else "NOT as predicted"
        bound = "at most " if self.tolerance == 0 else ""
        lines = [
            f"{self.title}",
            f"  because: {self.trigger}",
            f"  do:      {self.change}",
            f"  {self.quantity}: {self.before:.4g} before, {bound}{self.predicted:.4g} predicted, {self.after:.4g} "
            f"after ({verdict})",
        ]
        lines += [f"  {name}: {old:.4g} before, {new:.4g} after" for name, (old, new) in self.also.items()]
        return "\n".join(lines)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Remedies:
    """The remedies of a network, and what was looked at without a need for one.

    Attributes:
        remedies: in the order of the rules. healthy: one sentence for each measurement that asks for nothing.
        largest_exponent, standard_error: nats per step, the measurement most rules start from.
    """

    remedies: tuple[Remedy, ...]
    healthy: tuple[str, ...]
    largest_exponent: float
    standard_error: float
    map_name: str

    def __len__(self) -> int:
        return len(self.remedies)

    def __iter__(self) -> Any:
        return iter(self.remedies)

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        head = f"{self.map_name}: largest exponent {self.largest_exponent:.4f} +- {self.standard_error:.4f} nats/step"
        parts = [head, *(str(r) for r in self.remedies)]
        if not self.remedies:
            parts.append("Nothing to change.")
        return "\n".join([*parts, *(f"Fine: {line}" for line in self.healthy)])
