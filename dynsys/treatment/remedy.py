"""A remedy: what triggered it, what to set, and what was predicted and measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from dynsys.read_only import read_only

if TYPE_CHECKING:
    from dynsys.treatment.sum_rule import Budget


@final
@read_only
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
        """Whether the prediction held: within the tolerance, or below the bound. Never where one is not finite."""
        if not (math.isfinite(self.after) and math.isfinite(self.predicted)):
            return False
        if self.tolerance == 0:
            return self.after <= self.predicted + 1e-9
        return abs(self.after - self.predicted) <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """All fields and `agrees`, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"agrees": self.agrees}

    def ms(self, step_duration: float | None) -> tuple[float, float, float] | None:
        """Before, predicted and after in ms, where they are times in steps and the length of a step is known."""
        if step_duration is None or not self.quantity.endswith("(steps)"):
            return None
        scale = 1e3 * step_duration
        return scale * self.before, scale * self.predicted, scale * self.after

    def __str__(self) -> str:
        verdict = "as predicted" if self.agrees else "NOT as predicted"
        within = f"{self.predicted:.4g} +- {self.tolerance:.2g}" if self.tolerance else f"at most {self.predicted:.4g}"
        lines = [
            f"{self.title}",
            f"  because: {self.trigger}",
            f"  do:      {self.change}",
            f"  {self.quantity}: {self.before:.4g} before, {within} predicted, {self.after:.4g} after ({verdict})",
        ]
        lines += [f"  {name}: {old:.4g} before, {new:.4g} after" for name, (old, new) in self.also.items()]
        return "\n".join(lines)


@final
class Skipped(str):
    """Why a rule says nothing about this network, or about this task: it is not about such."""

    __slots__ = ()


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Remedies:
    """The remedies of a network, and what was looked at without a need for one.

    Attributes:
        remedies: in the order of the rules. healthy: one sentence for each measurement that asks for nothing.
        skipped: one for each rule that is about other networks or other tasks.
        largest_exponent, standard_error: nats per step, the measurement most rules start from.
        task_lag: steps that the task asks to remember. sequences: how many were measured on.
        step_duration: seconds per step, or None.
        budget: what the sum of all exponents is made of (`total`, `terms` by name, nats per step): gates, slopes,
            determinants. None for cells whose determinant has no such terms.
    """

    remedies: tuple[Remedy, ...]
    healthy: tuple[str, ...]
    skipped: tuple[str, ...]
    largest_exponent: float
    standard_error: float
    map_name: str
    task_lag: int
    sequences: int
    step_duration: float | None = None
    budget: Budget | None = None

    def __len__(self) -> int:
        return len(self.remedies)

    def __iter__(self) -> Any:
        return iter(self.remedies)

    def to_dict(self) -> dict[str, Any]:
        """All fields, and times in ms by remedy where the length of a step is known, for JSON."""
        out = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if self.step_duration is not None:
            times = {r.id: r.ms(self.step_duration) for r in self.remedies}
            keys = ("before", "predicted", "after")
            out["ms"] = {name: dict(zip(keys, t, strict=True)) for name, t in times.items() if t is not None}
        return out

    def __str__(self) -> str:
        head = f"{self.map_name}: largest exponent {self.largest_exponent:.4f} +- {self.standard_error:.4f} nats/step"
        parts = [head] if self.budget is None else [head, f"  {self.budget}"]
        for remedy in self.remedies:
            parts.append(str(remedy))
            times = remedy.ms(self.step_duration)
            if times is not None:
                parts.append("  in ms: {:.4g} before, {:.4g} predicted, {:.4g} after".format(*times))
        if not self.remedies:
            parts.append("Nothing to change.")
        return "\n".join(
            [*parts, *(f"Fine: {line}" for line in self.healthy), *(f"Skipped: {line}" for line in self.skipped)]
        )
