"""Results as plain text, for terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynsys.reporting.wording import plural

if TYPE_CHECKING:
    from dynsys.cycles import Cycles
    from dynsys.fixed_points import FixedPoints
    from dynsys.points import Points


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
    lines = _listed(f"{result.map_name}: {plural(len(points), 'fixed point')}", points, result.step_duration, most)
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


def cycles_text(result: Cycles, most: int = 40) -> str:
    """The table of cycles of one period and the statements on completeness."""
    k, p = len(result), result.period
    name = plural(k, "fixed point") if p == 1 else f"{plural(k, 'cycle')} of period {p}"
    lines = _listed(f"{result.map_name}: {name}", result, result.step_duration, most)
    lines.append(completeness_text(result))
    stalled = plural(result.stalled, "start")
    lines.append(f"{stalled} stalled; {result.rejected} ended at orbits that rounding alone closes.")
    lines += [f"Note: {note}" for note in result.notes]
    return "\n".join(lines)


def _listed(title: str, found: Points | Cycles, step_duration: float | None, most: int) -> list[str]:
    """The title with how many there are of each kind, and the table of what is measured at each."""
    counts = {kind: found.kinds.count(kind) for kind in dict.fromkeys(found.kinds)}
    kinds = ", ".join(f"{n} {kind}" + ("s" if n > 1 and kind != "undecided" else "") for kind, n in counts.items())
    lines = [title + (f" ({kinds})" if kinds else "")]
    slowest = found.time_constants[:, :1]
    rows = [
        [
            str(i + 1),
            found.kinds[i],
            str(found.n_unstable[i]),
            complex_text(found.multipliers[i, 0]),
            _time(slowest[i, 0]),
            *([_time(1e3 * step_duration * slowest[i, 0])] if step_duration else []),
            f"{found.residuals[i]:.1e}",
            f"{found.errors[i]:.1e}",
            str(found.hits[i]),
        ]
        for i in range(min(len(found), most))
    ]
    if rows:
        tau_ms = ["tau (ms)"] if step_duration else []
        header = ["#", "kind", "unstable", "multiplier", "tau (steps)", *tau_ms, "residual", "error", "hits"]
        lines.append(aligned(header, rows))
    if len(found) > most:
        lines.append(f"... and {len(found) - most} more (--json has them all)")
    return lines


def _time(value: float) -> str:
    """A time constant; that of a mode that grows, which is stored as negative, says so."""
    return f"grows {-value:.4g}" if value < 0 else f"{value:.4g}"


def completeness_text(result: FixedPoints | Cycles) -> str:
    """The completeness statements in words: of points, or of orbits of one period."""
    c = result.completeness
    p = getattr(result, "period", None)
    entry = "point" if p is None else "orbit"
    parts = []
    if c.estimate is not None and c.interval is not None:
        low, high = c.interval
        least = f"{c.estimate:.4g} {entry}" + ("" if c.estimate == 1 else "s")
        parts.append(f"Hit counts of {result.n_starts} uniform starts: at least {least} ({low:.4g} to {high:.4g}).")
    if c.unseen_mass_bound is not None:
        share = f"{100 * c.unseen_mass_bound:.2g} %"
        article = "an" if entry == "orbit" else "a"
        parts.append(f"At most {share} of such starts lead to {article} {entry} not listed (95 %).")
    test = "Index test" if p is None else f"Index test of f^{p}"
    if c.index_passed is None:
        parts.append(f"Index test {c.index_note}.")
    elif c.index_passed:
        where = "" if p is None else " over these and all shorter orbits"
        parts.append(f"{test}: the signs add up to 1{where}, as they must; this is necessary, not sufficient.")
    else:
        what = "a fixed point" if p is None else f"an orbit of period {p}, or of a divisor,"
        parts.append(
            f"{test} FAILED: the signs add up to {c.index_sum}, not 1; {what} is missing, false, or counted twice."
        )
    if c.proven:
        whole = "Proven: there are no other fixed points"
        reach = getattr(result, "reach", result.box)
        parts.append(f"{whole}." if reach.invariant else f"{whole} in the box that was searched.")
    return " ".join(parts)
