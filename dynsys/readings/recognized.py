"""Compositions with a name of their own, recognised in an expression tree, so that they are printed as one word."""

from __future__ import annotations

from typing import Any


def recognized(s: Any) -> tuple[str, Any] | None:
    """The LaTeX name of an entrywise function and its argument, where the symbol `s` is such a function of one."""
    if s.op == "minimum":
        return _clip(s)
    if s.op == "maximum":
        x, scaled = s.args
        if scaled.op == "multiply" and scaled.args[0].op == "constant" and scaled.args[1] is x:
            return rf"\operatorname{{leakyrelu}}_{{{_number(scaled.args[0])}}}", x
    if s.op == "divide":
        normed = _layer_norm(*s.args)
        if normed is not None:
            return normed
        x, below = s.args
        if (
            below.op == "add"
            and _is(below.args[0], 1.0)
            and below.args[1].op == "absolute"
            and below.args[1].args[0] is x
        ):
            return r"\operatorname{softsign}", x
    if s.op == "add":
        first, second = s.args
        if first.op == "maximum" and second.op == "expm1" and second.args[0].op == "minimum":
            x, zero = first.args
            least, again = second.args[0].args
            if again is x and _is(zero, 0.0) and _is(least, 0.0):
                return r"\operatorname{elu}", x
    return None


def _clip(s: Any) -> tuple[str, Any] | None:
    inner, high = s.args
    if inner.op == "maximum" and inner.args[1].op == high.op == "constant" and not high.ndim:
        return rf"\operatorname{{clip}}_{{[{_number(inner.args[1])}, {_number(high)}]}}", inner.args[0]
    return None


def _layer_norm(above: Any, below: Any) -> tuple[str, Any] | None:
    """(x - mean x) / sqrt(mean (x - mean x)^2 + epsilon) as LN_epsilon(x)."""
    if above.op != "subtract" or below.op != "sqrt" or below.args[0].op != "add":
        return None
    x, mean = above.args
    variance, epsilon = below.args[0].args
    if mean.op != "mean" or mean.args[0] is not x or variance.op != "mean" or variance.args[0].op != "multiply":
        return None
    if any(factor is not above for factor in variance.args[0].args):
        return None
    small = _number(epsilon) if epsilon.op == "constant" else epsilon.args[0]
    return rf"\operatorname{{LN}}_{{{small}}}", x


def _is(s: Any, value: float) -> bool:
    return s.op == "constant" and not s.ndim and float(s.value) == value


def _number(s: Any) -> str:
    return f"{float(s.value):g}"
