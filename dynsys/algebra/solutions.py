"""All solutions of x = F(x), group by group, where mathematics has a closed form or a proof of the count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
from sympy.solvers.solveset import NonlinearError

from dynsys.algebra.blocks import blocks
from dynsys.algebra.one_unit import fixed_values, one_unit
from dynsys.errors import AnalysisError
from dynsys.readings.expressions import logistic

KINKS = (sympy.Max, sympy.Min, sympy.Abs, sympy.Piecewise, sympy.Heaviside, sympy.sign)
MOST_PIECES = 4096
"""Linear pieces tried; beyond, the search over them is no longer a small exact analysis."""


@dataclass(frozen=True)
class Solution:
    """Values of the state variables; the condition under which they solve; whether none of them is a decimal."""

    values: dict[Any, Any]
    condition: Any = sympy.true
    exact: bool = True

    def joined(self, other: Solution) -> Solution:
        """This solution with values of further variables."""
        return Solution(
            self.values | other.values, sympy.And(self.condition, other.condition), self.exact and other.exact
        )


def solutions(step: Sequence[Any], state: Sequence[Any]) -> list[Solution]:
    """Every real solution of step = state.

    Raises: AnalysisError where a group of equations has no closed form here.
    """
    partial = [Solution({})]
    for members in blocks(step, state):
        unknown = [state[i] for i in members]
        partial = [
            old.joined(new)
            for old in partial
            for new in solved([step[i].subs(old.values) for i in members], unknown)
            if sympy.And(old.condition, new.condition) != sympy.false
        ]
    return partial


def solved(formulas: Sequence[Any], unknown: Sequence[Any]) -> list[Solution]:
    """Every real solution of one group of equations, formula = unknown."""
    equations = [sympy.expand(f - x) for f, x in zip(formulas, unknown, strict=True)]
    if all(e.is_zero for e in equations):
        return [Solution({})]  # every state of these variables: they stay free
    if any(e.is_zero is False and not e.free_symbols for e in equations):
        return []
    if any(f.atoms(*KINKS) for f in formulas):
        return _over_pieces(formulas, unknown)
    if all(e.is_polynomial(*unknown) for e in equations):
        return _polynomial(equations, unknown)
    if len(unknown) == 1:
        answer = _one(formulas[0], unknown[0])
        if answer is not None:
            return answer
    raise AnalysisError(
        f"no closed form is known for the fixed points of {_listed(unknown)}; use dynsys.find_fixed_points for numbers."
    )


def _listed(unknown: Sequence[Any]) -> str:
    names = [str(x) for x in unknown]
    return ", ".join(names if len(names) < 5 else [*names[:2], "...", names[-1]])


def _polynomial(equations: list[Any], unknown: Sequence[Any]) -> list[Solution]:
    try:
        matrix, right = sympy.linear_eq_to_matrix(equations, *unknown)
    except NonlinearError:
        return _nonlinear(equations, unknown)
    answers = sympy.linsolve((matrix, right), *unknown)
    return [Solution({x: v for x, v in zip(unknown, a, strict=True) if x != v}) for a in answers]


def _nonlinear(equations: list[Any], unknown: Sequence[Any]) -> list[Solution]:
    if len(unknown) == 1:
        polynomial = sympy.Poly(equations[0], unknown[0])
        if all(c.is_Rational for c in polynomial.all_coeffs()):
            return [Solution({unknown[0]: root}) for root in dict.fromkeys(sympy.real_roots(polynomial))]
        answers = [{unknown[0]: root} for root in sympy.roots(polynomial)]
        if not answers or (len(answers) < polynomial.degree() and polynomial.degree() > 4):
            raise AnalysisError(f"the polynomial {polynomial.as_expr()} has no roots in closed form.")
    else:
        answers = sympy.solve(equations, list(unknown), dict=True)
    return [Solution(a) for a in answers if all(is_real(v) is not False for v in a.values())]


def is_real(value: Any) -> bool | None:
    """Whether a value is real; decided by its decimals where SymPy does not say and no symbol is left."""
    if value.is_real is not None or value.free_symbols:
        return None if value.is_real is None else bool(value.is_real)
    return bool(abs(sympy.im(sympy.N(value, 60))) < sympy.Float("1e-50"))


def _over_pieces(formulas: Sequence[Any], unknown: Sequence[Any]) -> list[Solution]:
    """Piecewise formulas: the smooth problem of every piece, its solutions kept where they lie in that piece."""
    found: list[Solution] = []
    for count, (smooth, condition) in enumerate(_pieces(list(formulas), sympy.true)):
        if count >= MOST_PIECES:
            raise AnalysisError(f"more than {MOST_PIECES} linear pieces; use dynsys.find_fixed_points for numbers.")
        for answer in solved(smooth, unknown):
            holds = decided(sympy.And(condition, answer.condition).subs(answer.values))
            # A state on the border of two pieces solves both: it is one fixed point.
            if holds != sympy.false and not any(_same(answer.values, f.values) for f in found):
                found.append(Solution(answer.values, holds, answer.exact))
    return [a for a in found if not any(_lies_on(a, family) for family in found if family is not a)]


def _lies_on(point: Solution, family: Solution) -> bool:
    """Whether a solution is one of a continuum that is listed too."""
    if len(family.values) >= len(point.values):
        return False
    there = family.condition.subs(point.values)
    equal = all(sympy.simplify(v.subs(point.values) - point.values.get(x, x)).is_zero for x, v in family.values.items())
    return equal and decided(there) == sympy.true


def _pieces(formulas: list[Any], condition: Any) -> Iterator[tuple[list[Any], Any]]:
    """Each choice of the branches of all kinks, innermost first, with the condition that selects it."""
    kinks = sorted({a for f in formulas for a in f.atoms(*KINKS)}, key=lambda a: (len(list(_walk(a))), str(a)))
    if not kinks:
        yield formulas, condition
        return
    for value, where in branches(kinks[0]):
        both = sympy.And(condition, where)
        if both != sympy.false:
            yield from _pieces([f.xreplace({kinks[0]: value}) for f in formulas], both)


def _walk(formula: Any) -> Iterator[Any]:
    return iter(sympy.preorder_traversal(formula))


def branches(kink: Any) -> Iterator[tuple[Any, Any]]:
    """The values that a piecewise function takes, each with its condition."""
    if isinstance(kink, (sympy.Max, sympy.Min)):
        above = sympy.Ge if isinstance(kink, sympy.Max) else sympy.Le
        for chosen in kink.args:
            yield chosen, sympy.And(*(above(chosen, other) for other in kink.args if other != chosen))
    elif isinstance(kink, sympy.Abs):
        yield kink.args[0], sympy.Ge(kink.args[0], 0)
        yield -kink.args[0], sympy.Lt(kink.args[0], 0)
    elif isinstance(kink, sympy.Piecewise):
        before = sympy.true
        for value, condition in kink.args:
            yield value, sympy.And(before, condition)
            before = sympy.And(before, sympy.Not(condition))
    else:
        at_zero = sympy.Rational(1, 2) if isinstance(kink, sympy.Heaviside) else sympy.Integer(0)
        yield sympy.Integer(1), sympy.Gt(kink.args[0], 0)
        yield at_zero, sympy.Eq(kink.args[0], 0)
        yield at_zero * 2 - 1, sympy.Lt(kink.args[0], 0)


def decided(condition: Any) -> Any:
    """A condition with every comparison of numbers decided; what has symbols stays."""
    known = {}
    for relation in condition.atoms(sympy.core.relational.Relational):
        gap = relation.lhs - relation.rhs
        if gap.free_symbols:
            continue
        size = sympy.N(gap, 60)
        sign = 0 if sympy.simplify(gap).is_zero or abs(size) < sympy.Float("1e-50") else 1 if size > 0 else -1
        known[relation] = sympy.true if relation.func(sign, 0) == sympy.true else sympy.false
    return condition.xreplace(known)


def _same(a: dict[Any, Any], b: dict[Any, Any]) -> bool:
    return a.keys() == b.keys() and all(sympy.simplify(a[x] - b[x]).is_zero for x in a)


def _one(formula: Any, x: Any) -> list[Solution] | None:
    """One variable and no polynomial: the zeros of each factor of F(x) - x; None where one has no closed form."""
    found: list[Solution] = []
    factors = sympy.factor_list(sympy.expand(formula - x))[1]
    for factor, _ in factors:
        if never_zero(factor) or x not in factor.free_symbols:
            continue
        answer = _of_factor(sympy.expand(factor), x)
        if answer is None:
            return None
        found += [a for a in answer if not any(_same(a.values, f.values) for f in found)]
    return found


def _of_factor(factor: Any, x: Any) -> list[Solution] | None:
    if factor.is_polynomial(x):
        return _polynomial([factor], [x])
    for sign in (1, -1):
        unit = one_unit(x + sign * factor, x)
        if unit is not None and not (factor.free_symbols - {x}):
            return [Solution({x: unit.state(y)}, exact=exact) for y, exact in fixed_values(unit)]
    return None


def never_zero(factor: Any) -> bool:
    """Whether an expression is sure to have one sign, for real symbols: logistic functions lie strictly in (0, 1)."""
    atoms = factor.atoms(logistic)
    parts = {a: sympy.Dummy(positive=True) for a in atoms}
    odds = factor.xreplace({a: t / (1 + t) for a, t in parts.items()})
    return bool(sympy.together(odds).is_zero is False and sympy.together(odds).is_real and _one_sign(odds))


def _one_sign(value: Any) -> bool:
    together = sympy.together(value)
    return bool(together.is_positive or together.is_negative)
