"""Exact multipliers: the roots of the characteristic polynomial, group by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mpmath
import sympy

from dynsys.algebra.blocks import blocks
from dynsys.algebra.one_unit import DIGITS
from dynsys.algebra.solutions import KINKS, branches, decided

MU = sympy.Symbol("mu")
"""The variable of characteristic polynomials."""


def smooth_at(step: Sequence[Any], values: dict[Any, Any]) -> list[Any] | None:
    """The formulas with the branch of every kink that holds at a state; None at a kink itself, or if undecided."""
    formulas = list(step)
    while True:
        kinks = sorted({a for f in formulas for a in f.atoms(*KINKS)}, key=lambda a: (_depth(a), str(a)))
        if not kinks:
            return formulas
        holding = [v for v, where in branches(kinks[0]) if decided(where.subs(values)) == sympy.true]
        distinct = [v for i, v in enumerate(holding) if all(sympy.expand(v - w) != 0 for w in holding[:i])]
        if len(distinct) != 1:
            return None
        formulas = [f.xreplace({kinks[0]: distinct[0]}) for f in formulas]


def _depth(formula: Any) -> int:
    return sum(1 for _ in sympy.preorder_traversal(formula))


def multipliers(step: Sequence[Any], state: Sequence[Any], values: dict[Any, Any]) -> tuple[Any, ...] | None:
    """Eigenvalues of the Jacobian at a state, with multiplicity, largest modulus first where that can be told.

    Groups of one or two variables give closed forms, larger ones the exact algebraic numbers where the entries are
    rational, else decimals. None where the state lies on a kink: no single Jacobian belongs to it.
    """
    smooth = smooth_at(step, values)
    if smooth is None:
        return None
    found: list[Any] = []
    for members in blocks(smooth, state):
        own = [state[i] for i in members]
        J = sympy.Matrix([smooth[i] for i in members]).jacobian(own).subs(values)
        found += _eigenvalues(J.applyfunc(sympy.simplify))
    if any(v.free_symbols for v in found):
        return tuple(found)
    return tuple(sorted(found, key=lambda v: (-abs(complex(sympy.N(v, 30))), sympy.default_sort_key(v))))


def _eigenvalues(J: Any) -> list[Any]:
    if J.rows == 1:
        return [J[0, 0]]
    if J.rows == 2:
        half, determinant = J.trace() / 2, J.det()
        root = sympy.sqrt(sympy.simplify(half**2 - determinant))
        return [sympy.simplify(half + root), sympy.simplify(half - root)]
    polynomial = J.charpoly(MU)
    if all(c.is_Rational for c in polynomial.all_coeffs()):
        return list(polynomial.all_roots())
    if J.free_symbols:
        raise ValueError("more than two coupled variables with symbols: use the characteristic polynomial.")
    with mpmath.workdps(DIGITS):
        values = mpmath.eig(mpmath.matrix(J.evalf(DIGITS).tolist()), left=False, right=False)
        return [sympy.Float(v.real, DIGITS) + sympy.I * sympy.Float(v.imag, DIGITS) for v in values]
