"""Cycles as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynsys.tables import aligned, complex_text

if TYPE_CHECKING:
    from dynsys.cycles import Cycles


def cycles_text(result: Cycles, most: int = 40) -> str:
    """The table of cycles of one period and the statements on completeness."""
    k, p = len(result), result.period
    counts = {kind: result.kinds.count(kind) for kind in dict.fromkeys(result.kinds)}
    kinds = ", ".join(f"{n} {kind}" + ("s" if n > 1 and kind != "undecided" else "") for kind, n in counts.items())
    name = "fixed point" if p == 1 else "cycle"
    of = "" if p == 1 else f" of period {p}"
    lines = [f"{result.map_name}: {k} {name}{'' if k == 1 else 's'}{of}" + (f" ({kinds})" if kinds else "")]
    rows = [
        [
            str(i),
            result.kinds[i],
            str(result.n_unstable[i]),
            complex_text(result.multipliers[i, 0]),
            f"{result.time_constants[i, 0]:.4g}",
            f"{result.residuals[i]:.1e}",
            f"{result.errors[i]:.1e}",
            str(result.hits[i]),
        ]
        for i in range(min(k, most))
    ]
    if rows:
        lines.append(aligned(["#", "kind", "unstable", "multiplier", "tau (steps)", "residual", "error", "hits"], rows))
    if k > most:
        lines.append(f"... and {k - most} more (--json has them all)")
    lines.append(completeness_text(result))
    lines.append(f"{result.stalled} starts stalled; {result.rejected} ended at orbits that rounding alone closes.")
    lines += [f"Note: {note}" for note in result.notes]
    return "\n".join(lines)


def completeness_text(result: Cycles) -> str:
    """What may be missing, in words."""
    c = result.completeness
    parts = []
    if c.estimate is not None and c.interval is not None:
        low, high = c.interval
        least = f"{c.estimate:.4g} orbit" + ("" if c.estimate == 1 else "s")
        parts.append(f"Hit counts of {result.n_starts} uniform starts: at least {least} ({low:.4g} to {high:.4g}).")
    if c.unseen_mass_bound is not None:
        parts.append(f"At most {100 * c.unseen_mass_bound:.2g} % of such starts lead to an orbit not listed (95 %).")
    if c.index_passed is None:
        parts.append(f"Index test {c.index_note}.")
    elif c.index_passed:
        parts.append(
            f"Index test of f^{result.period}: the signs add up to 1 over these and all shorter orbits, as they must; "
            "this is necessary, not sufficient."
        )
    else:
        parts.append(
            f"Index test of f^{result.period} FAILED: the signs add up to {c.index_sum}, not 1; an orbit of period "
            f"{result.period}, or of a divisor, is missing, false, or counted twice."
        )
    return " ".join(parts)
