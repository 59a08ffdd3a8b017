"""Exact results as plain text, for terminals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy

from dynsys.algebra.bifurcations import ExactBifurcation
from dynsys.exact import ExactFixedPoint, SymbolicMap

LONGEST = 60
"""Characters of a formula in a line of text; what is longer is shown as a decimal where it is a number."""

LINE = 160
"""Characters of an equation."""
MOST_ROWS = 8
"""Equations shown."""


def equations_text(f: SymbolicMap) -> str:
    """The equations, one line each."""
    rows = list(zip(f.state, f.step, strict=True))[:MOST_ROWS]
    lines = [f"{f.name}:", *(f"  {x}' = {_formula(formula)}" for x, formula in rows)]
    if len(f.state) > MOST_ROWS:
        lines.append(f"  ... and {len(f.state) - MOST_ROWS} more equations")
    return "\n".join(lines)


def points_text(f: SymbolicMap, points: Sequence[ExactFixedPoint]) -> str:
    """The fixed points with their multipliers."""
    head = f"{len(points)} fixed point{'' if len(points) == 1 else 's'}:" if points else "No fixed point."
    return "\n".join([head, *(f"  {_point(f, p)}" for p in points)])


def bifurcations_text(found: Sequence[ExactBifurcation]) -> str:
    """The bifurcations, one line each."""
    lines = [f"  {b.kind} at {shown(b.value)}, state ({_row(b.state)}){_where(b.condition)}" for b in found]
    return "\n".join(["Bifurcations:" if found else "No bifurcation with a closed form.", *lines])


def _formula(formula: Any) -> str:
    """A formula that fits a few lines: with short decimals, and cut, where the exact one is long."""
    exact = str(formula)
    if len(exact) <= LINE:
        return exact
    short = str(formula.xreplace({r: sympy.Float(r, 5) for r in formula.atoms(sympy.Rational) if not r.is_Integer}))
    return short if len(short) <= LINE else f"{short[:LINE]} ... (--json has the whole)"


def _point(f: SymbolicMap, p: ExactFixedPoint) -> str:
    free = [x.name for x, v in zip(f.state, p.state, strict=True) if x == v]
    line = f"({_row(p.state)})" + (f", {', '.join(free)} free: a continuum" if free else "")
    if p.multipliers is None:
        return f"{line}; no multipliers: on a kink{_where(p.condition)}"
    return f"{line}; multipliers {_row(p.multipliers)}{_where(p.condition)}"


def _row(values: Sequence[Any]) -> str:
    return ", ".join(shown(v) for v in values)


def _where(condition: Any) -> str:
    return "" if condition == sympy.true else f"; where {condition}"


def shown(value: Any) -> str:
    """A value as a formula with its decimals, or as decimals alone where that is all there is, or all that fits."""
    if value.free_symbols:
        return str(value)
    decimals = str(sympy.N(value, 12))
    plain = str(value)
    if value.is_Integer or value.has(sympy.Float) or len(plain) > LONGEST:
        return plain if value.is_Integer else decimals
    return f"{plain} = {decimals}"
