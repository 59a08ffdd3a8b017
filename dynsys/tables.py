"""Results as plain text, for terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynsys.reporting.wording import plural

if TYPE_CHECKING:
    from dynsys.fixed_points import FixedPoints


def aligned(header: list[str], rows: list[list[str]]) -> str:
    """A table in plain text, columns right-aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def complex_text(z: complex) -> str:
    """A multiplier in four decimals, e.g. 0.9314 or 0.5312+0.1200i."""
    return f"{z.real:.4f}" if abs(z.imag) < 5e-5 else f"{z.real:.4f}{z.imag:+.4f}i"


def fixed_points_text(result: FixedPoints, most: int = 40) -> str:
    """The table of fixed points and the three statements on completeness."""
    points = result.points
    counts = {kind: points.kinds.count(kind) for kind in dict.fromkeys(points.kinds)}
    kinds = ", ".join(f"{n} {kind}" + ("s" if n > 1 and kind != "undecided" else "") for kind, n in counts.items())
    lines = [
        f"{result.map_name}: {len(points)} fixed point{'' if len(points) == 1 else 's'}"
        + (f" ({kinds})" if kinds else "")
    ]
    rows = [
        [
            str(i + 1),
            points.kinds[i],
            str(points.n_unstable[i]),
            complex_text(points.multipliers[i, 0]),
            f"{points.time_constants[i, 0]:.4g}",
            *([f"{1e3 * result.step_duration * points.time_constants[i, 0]:.4g}"] if result.step_duration else []),
            f"{points.residuals[i]:.1e}",
            f"{points.errors[i]:.1e}",
            str(points.hits[i]),
        ]
        for i in range(min(len(points), most))
    ]
    if rows:
        tau_ms = ["tau (ms)"] if result.step_duration else []
        header = ["#", "kind", "unstable", "multiplier", "tau (steps)", *tau_ms, "residual", "error", "hits"]
        lines.append(aligned(header, rows))
    if len(points) > most:
        lines.append(f"... and {len(points) - most} more (--json has them all)")
    lines.append(completeness_text(result))
    if len(result.slow):
        speeds = result.slow.speeds
        lines.append(
            f"{plural(len(result.slow), 'slow point')}, speeds {speeds.min():.2g} to {speeds.max():.2g} per step."
        )
    lines.append(f"{plural(result.stalled, 'start')} stalled.")
    if result.rejected:
        lines.append(
            f"{result.rejected} ended at states that satisfy the equation but are not determined by it: I - J is "
            "singular there (a continuum of fixed points, or a bifurcation), or rounding alone makes them fixed."
        )
    lines += [f"Note: {note}" for note in result.notes]
    return "\n".join(lines)


def completeness_text(result: FixedPoints) -> str:
    """The completeness statements in words."""
    c = result.completeness
    parts = []
    if c.estimate is not None and c.interval is not None:
        low, high = c.interval
        least = f"{c.estimate:.4g} point" + ("" if c.estimate == 1 else "s")
        parts.append(f"Hit counts of {result.n_starts} uniform starts: at least {least} ({low:.4g} to {high:.4g}).")
    if c.unseen_mass_bound is not None:
        parts.append(f"At most {100 * c.unseen_mass_bound:.2g} % of such starts lead to a point not listed (95 %).")
    if c.index_passed is None:
        parts.append(f"Index test {c.index_note}.")
    elif c.index_passed:
        parts.append("Index test: the signs add up to 1, as they must; this is necessary, not sufficient.")
    else:
        parts.append(
            f"Index test FAILED: the signs add up to {c.index_sum}, not 1; a fixed point is missing, false, or "
            "counted twice."
        )
    if c.proven:
        whole = "Proven: there are no other fixed points"
        parts.append(f"{whole}." if result.reach.invariant else f"{whole} in the box that was searched.")
    return " ".join(parts)
