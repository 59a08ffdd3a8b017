"""The report's section on what can be said exactly of a map of one or two variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynsys.maps import Map
from dynsys.reporting.document import Block, Equation, Paragraph, Section, Table

if TYPE_CHECKING:
    from dynsys.exact import ExactFixedPoint, SymbolicMap

MOST_VARIABLES = 2
MOST_DEGREE = 3
LONGEST = 120
"""Characters of an equation that a page still shows."""


def exact_points(f: Map, input: Any) -> tuple[SymbolicMap, tuple[ExactFixedPoint, ...]] | None:
    """The formulas and the exact fixed points of a map of one or two variables; None where there are none to be had."""
    from dynsys.errors import DynsysError

    if f.state_size > MOST_VARIABLES:
        return None
    try:
        from dynsys.exact import symbolic

        formulas = symbolic(f, input)
        polynomials = [step.is_polynomial(*formulas.state) for step in formulas.step]
        degrees = [
            step.as_poly(*formulas.state).total_degree()
            for step, ok in zip(formulas.step, polynomials, strict=True)
            if ok
        ]
        if f.state_size > 1 and max(degrees, default=0) > MOST_DEGREE:
            return None  # Groebner bases may take longer than the rest of the report
        return formulas, formulas.fixed_points()
    except (DynsysError, ValueError, NotImplementedError, TypeError):
        return None  # this section is extra: the numerical search stands in the report in any case


def exact_section(found: tuple[SymbolicMap, tuple[ExactFixedPoint, ...]] | None) -> Section | None:
    """Every fixed point by formula, beside the search by numbers."""
    if found is None:
        return None
    import sympy

    from dynsys.exact_text import shown

    formulas, points = found
    count = "There is one fixed point" if len(points) == 1 else f"There are {len(points) or 'no'} fixed points"
    blocks: list[Block] = [
        Paragraph(
            f"{count} in all, by algebra on the equations at this input and not by "
            "search. Weights are taken as the shortest decimals that name their float64 values."
        )
    ]
    lines = [f"{sympy.latex(x)}' = {sympy.latex(step)}" for x, step in zip(formulas.state, formulas.step, strict=True)]
    blocks += [Equation(line) for line in lines if len(line) <= LONGEST]
    rows = tuple(
        (
            ", ".join(shown(v) for v in p.state),
            "on a kink: none" if p.multipliers is None else ", ".join(shown(v) for v in p.multipliers),
            "closed form" if p.exact else "50 digits",
        )
        for p in points
    )
    if rows:
        blocks.append(
            Table(
                caption="Exact fixed points",
                header=("state", "multipliers", "known as"),
                rows=rows,
                align="lll",
                note="A state given to 50 digits (12 are shown) is proven to be one fixed point by a sign change.",
            )
        )
    return Section("exact", "Exact fixed points", tuple(blocks))
