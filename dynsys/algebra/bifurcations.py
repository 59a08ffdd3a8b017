"""Parameter values at which a fixed point of a small map changes its stability, as formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import sympy

from dynsys.algebra.multipliers import MU
from dynsys.algebra.one_unit import SATURATING, inverse, one_unit
from dynsys.algebra.solutions import is_real
from dynsys.errors import AnalysisError


@final
@dataclass(frozen=True, eq=False)
class ExactBifurcation:
    """A bifurcation of codimension one.

    Attributes:
        kind: "fold", "flip", "neimark-sacker" or "branch-point" (pitchfork or transcritical).
        value: of the parameter, a SymPy expression. state: the fixed point there, one expression per variable.
        condition: under which it exists, where symbols are left; else true.
    """

    kind: str
    value: Any
    state: tuple[Any, ...]
    condition: Any = sympy.true

    def to_dict(self) -> dict[str, Any]:
        """Expressions as SymPy writes them."""
        return {
            "kind": self.kind,
            "value": str(self.value),
            "state": [str(v) for v in self.state],
            "condition": str(self.condition),
        }


def conditions(J: Any) -> dict[str, Any]:
    """What vanishes at each bifurcation of codimension one, from the Jacobian: p is its characteristic polynomial.

    fold (or branch-point): p(1); flip: p(-1); neimark-sacker: det J - 1, two variables only, together with
    |trace J| < 2.
    """
    polynomial = J.charpoly(MU).as_expr()
    out = {"fold": sympy.simplify(polynomial.subs(MU, 1)), "flip": sympy.simplify(polynomial.subs(MU, -1))}
    return out | ({"neimark-sacker": sympy.simplify(J.det() - 1)} if J.rows == 2 else {})


def bifurcations(step: Sequence[Any], state: Sequence[Any], parameter: Any) -> list[ExactBifurcation]:
    """Every bifurcation in `parameter` that has a closed form here.

    Raises: AnalysisError for maps that are neither polynomial nor of one saturating unit.
    """
    if len(state) == 1 and not step[0].is_polynomial(state[0]):
        return _of_one_unit(step[0], state[0], parameter)
    if not all(f.is_polynomial(*state, parameter) for f in step):
        raise AnalysisError(
            "bifurcations have closed forms here for polynomial maps and for one saturating unit; this map is neither."
        )
    J = sympy.Matrix(step).jacobian(list(state))
    equations = [f - x for f, x in zip(step, state, strict=True)]
    found = []
    for kind, vanishing in conditions(J).items():
        if not vanishing.free_symbols & {*state, parameter}:
            continue  # what decides does not change with the parameter
        for answer in sympy.solve([*equations, vanishing], [*state, parameter], dict=True):
            values = {x: answer.get(x, x) for x in (*state, parameter)}
            free = {s for v in values.values() for s in v.free_symbols} & {*state, parameter}
            if free or any(is_real(v) is False for v in values.values()):
                continue  # a curve of solutions is no bifurcation in this parameter
            condition = sympy.true
            if kind == "neimark-sacker":
                trace = sympy.simplify(J.trace().subs(values))
                condition = sympy.And(trace > -2, trace < 2)
                if condition == sympy.false:
                    continue
            at = tuple(sympy.simplify(values[x]) for x in state)
            name = _fold_or_branch(step, state, parameter, values) if kind == "fold" else kind
            found.append(ExactBifurcation(name, sympy.simplify(values[parameter]), at, condition))
    return found


def _fold_or_branch(step: Sequence[Any], state: Sequence[Any], parameter: Any, values: dict[Any, Any]) -> str:
    """A fold if the parameter pushes across the direction that vanishes: [J - I, dF/dp] has full rank."""
    J = (sympy.Matrix(step).jacobian(list(state)) - sympy.eye(len(state))).subs(values).applyfunc(sympy.simplify)
    push = sympy.Matrix(step).diff(parameter).subs(values).applyfunc(sympy.simplify)
    return "fold" if J.row_join(push).rank() == len(state) else "branch-point"


def _of_one_unit(formula: Any, x: Any, parameter: Any) -> list[ExactBifurcation]:
    """With y = s(u) the multiplier A w s' + k is a polynomial of y; then the bias gives the parameter."""
    unit = one_unit(formula, x)
    if unit is None:
        raise AnalysisError(
            "bifurcations have closed forms here for polynomial maps and for one saturating unit; this map is neither."
        )
    kind = SATURATING[unit.function]
    found = []
    for name, multiplier in (("fold", 1), ("flip", -1)):
        slope = (multiplier - unit.k) / (unit.A * unit.w)
        if parameter in sympy.sympify(slope).free_symbols:
            found += _through_middle(unit, kind, x, parameter, name, multiplier)
            continue
        for y in dict.fromkeys(sympy.simplify(v) for v in kind.values_of_slope(slope)):
            if is_real(y) is False:
                continue
            real = sympy.Ge(kind.discriminant(slope), 0)
            inside = sympy.And(real, sympy.Gt(y, kind.low), sympy.Lt(y, kind.high))
            if inside == sympy.false:
                continue
            state = sympy.simplify(unit.state(y))
            gap = inverse(unit.function, y) - unit.w * state - unit.b
            if parameter not in gap.free_symbols:
                continue
            for value in sympy.solve(gap, parameter):
                double = sympy.simplify(y - kind.middle).is_zero and name == "fold"
                label = "branch-point" if double else name
                found.append(ExactBifurcation(label, sympy.simplify(value), (state,), inside))
    return found


def _through_middle(unit: Any, kind: Any, x: Any, parameter: Any, name: str, multiplier: int) -> list[ExactBifurcation]:
    """The parameter is in the weight: exact along the symmetric fixed point s(0), if it is one for every value."""
    state = unit.state(kind.middle)
    if not sympy.simplify(unit.w * state + unit.b).is_zero:
        return []
    slope = unit.A * unit.w * kind.derivative(kind.middle) + unit.k
    label = "branch-point" if name == "fold" else name
    values = sympy.solve(slope - multiplier, parameter)
    return [ExactBifurcation(label, v, (sympy.simplify(state.subs(parameter, v)),)) for v in values]
