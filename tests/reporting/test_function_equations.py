"""Equations of plain functions in print: what the function computes, or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dynsys
from dynsys.reporting.function_equations import function_equations
from dynsys.reporting.html import render_html
from dynsys.reporting.typeset import to_mathml, to_typst


@pytest.mark.parametrize(
    ("function", "n", "m", "lines"),
    [
        (lambda s: [1 - 1.4 * s[0] ** 2 + s[1], 0.3 * s[0]], 2, 0,
         ["x_{1}' = - 1.4 x_{1}^{2} + x_{2} + 1", "x_{2}' = 0.3 x_{1}"]),
        (lambda x, u: np.tanh(2 * x + u), 1, 1, [r"x' = \tanh{\left(u + 2 x \right)}"]),
        (lambda x: np.maximum(0.0, 1.5 * x - 1), 1, 0, [r"x' = \max\left(0, 1.5 x - 1\right)"]),
        (lambda x: np.sqrt(x * x + 0.25), 1, 0, [r"x' = \sqrt{x^{2} + 0.25}"]),
    ],
)  # fmt: skip
def test_equations_are_those_of_the_function(function: Any, n: int, m: int, lines: list[str]) -> None:
    assert function_equations(dynsys.as_map(function, n, m)) == lines
    assert function_equations(dynsys.as_map(dynsys.as_map(function, n, m), box=(-1, 1))) == lines


def test_pieces_can_be_typeset() -> None:
    (line,) = function_equations(dynsys.as_map(lambda x: np.where(x > 0, 0.2 * x, 0.1 * x), 1))
    assert "0.2 x" in line
    assert "cases" in line
    assert "<mtable" in to_mathml(line, display=True)
    assert "cases" in to_typst(line, display=True)


def test_what_has_no_formula_or_too_long_a_one_is_left_out() -> None:
    table = dynsys.as_map(lambda h: np.interp(h, [-1, 0, 1], [0.5, -0.2, 0.3]), 1)
    assert function_equations(table) == []
    U = np.random.default_rng(0).standard_normal((8, 8))
    assert function_equations(dynsys.as_map(lambda x: np.tanh(U @ x), 8)) == []
    assert function_equations(dynsys.as_map(lambda x: 0.5 * x, 9)) == []


def test_the_report_prints_them() -> None:
    f = dynsys.as_map(lambda x: 0.5 * x + 0.125, 1)
    document = dynsys.report(f, None, n_starts=16).document
    assert r"x' = 0.5 x + 0.125" in str(document.sections[0].blocks)
    assert "given as code, which does:" in render_html(document)
