"""The equations of a plain function, as the page prints them: read by running the function on symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynsys.bare import bare
from dynsys.function_maps import FunctionMap

if TYPE_CHECKING:
    from dynsys.maps import Map

MOST_EQUATIONS = 8  # state variables whose equations are printed
LONGEST = 160  # characters of an equation in LaTeX that a page still shows
DIGITS = 6  # significant digits of a number in an equation


def function_equations(f: Map) -> list[str]:
    """A line of LaTeX per state variable; empty where `f` is no plain function, or its equations cannot be shown.

    Some functions have no formula (loops over data, tables, what SymPy does not know) and some too long a one.
    """
    function = bare(f)
    if not isinstance(function, FunctionMap) or f.state_size > MOST_EQUATIONS:
        return []
    import sympy

    from dynsys.algebra.formulas import next_state, state_symbols

    state = state_symbols(f.blocks)
    # Inputs are u: the state of a function is called x already.
    names = ["u"] if f.input_size == 1 else [f"u{i + 1}" for i in range(f.input_size)]
    try:
        steps = next_state(function, state, [sympy.Symbol(name, real=True) for name in names])
        sides = [sympy.latex(x) for x in state], [sympy.latex(_short(step)) for step in steps]
    except Exception:  # the function is the user's: on symbols it may raise anything
        return []
    lines = [f"{x}' = {step}" for x, step in zip(*sides, strict=True)]
    return lines if max(map(len, lines)) <= LONGEST else []


def _short(step: Any) -> Any:
    """Fractions as decimals, as they stand in the code; exponents stay as they are."""
    import sympy

    step = sympy.sympify(step)
    exponents = {power.exp for power in step.atoms(sympy.Pow)}
    numbers = [r for r in step.atoms(sympy.Rational) if not r.is_Integer and r not in exponents]
    return step.xreplace({r: sympy.Float(r, DIGITS) for r in numbers})
