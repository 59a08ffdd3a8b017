"""Certificates as plain text, for terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynsys.tables import aligned, complex_text

if TYPE_CHECKING:
    from dynsys.proofs.certificates import Certificates


def certificates_text(result: Certificates, most: int = 40) -> str:
    """The table of proofs, and what they speak of."""
    what = "fixed points" if result.period == 1 else f"cycles of period {result.period}"
    counts = ", ".join(f"{count} {name}" for name, count in result.counts.items() if count) or "nothing to prove"
    lines = [f"Certificates for {what} of {result.map_name}: {counts}"]
    rows = [
        [
            str(i),
            result.status[i],
            f"{result.radius[i]:.1e}",
            f"{result.uniqueness[i]:.1e}",
            result.stability[i],
            str(result.n_unstable[i]) if result.n_unstable[i] >= 0 else "?",
            complex_text(result.multipliers[i, 0]) if result.status[i] == "proven" else "",
            f"{result.multiplier_radii[i].max():.1e}" if result.status[i] == "proven" else "",
        ]
        for i in range(min(len(result), most))
    ]
    if rows:
        header = ["#", "status", "within", "only one within", "stability", "unstable", "multiplier", "known to"]
        lines.append(aligned(header, rows))
    if len(result) > most:
        lines.append(f"... and {len(result) - most} more (--json has them all)")
    lines += [f"{i}: {reason}" for i, reason in enumerate(result.reasons) if reason]
    lines.append(result.statement)
    return "\n".join(lines)
