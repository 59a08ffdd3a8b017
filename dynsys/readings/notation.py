"""Expression trees of a cell's equations, and their LaTeX."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from dynsys.readings.recognized import recognized
from dynsys.readings.tape import Unreadable

# How tightly a printed expression holds together; a looser one inside a tighter one gets parentheses.
LOOSE, SUM, ENTRYWISE, MATRIX, POWER, ATOM = range(6)
Printed = tuple[str, int]

_LETTERS = "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi rho sigma tau phi chi psi omega"
GREEK = frozenset((*_LETTERS.split(), "Gamma", "Delta", "Theta", "Lambda", "Xi", "Phi", "Psi", "Omega"))
STANDARD = frozenset(("tanh", "sinh", "cosh", "sin", "cos", "tan", "exp", "log", "arctan", "arcsin", "arccos"))
RENAMED = {"expit": r"\sigma", "fmax": r"\max", "fmin": r"\min", "maximum": r"\max", "minimum": r"\min"}
COMPARED = {"greater": ">", "less": "<", "greater_equal": r"\ge", "less_equal": r"\le"}
READ = frozenset(("vstack", "concatenate", "where", "clip", "dot", "sum", "mean"))
ACCENTS = frozenset(("tilde", "hat", "bar"))
_clock = itertools.count()


@final
class Symbol(NDArrayOperatorsMixin):
    """A value, and the operation that made it: `op` on `args`; a leaf has its LaTeX in `args` instead."""

    __slots__ = ("args", "op", "order", "size", "value")

    def __init__(self, value: Any, op: str, *args: Any) -> None:
        self.value, self.op, self.args, self.order = np.asarray(value), op, args, next(_clock)
        self.size: int = 1 + sum(a.size for a in args if isinstance(a, Symbol))
        if self.size > 2_000:
            raise Unreadable("a step too long to print: a loop, probably")

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    dtype = property(lambda self: self.value.dtype)
    T = property(lambda self: Symbol(self.value.T, "transpose", self))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            raise Unreadable(f"np.{ufunc.__name__} with {method!r} or keyword arguments")
        args = [lifted(a) for a in inputs]
        with np.errstate(all="ignore"):
            return Symbol(ufunc(*(a.value for a in args)), ufunc.__name__, *args)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        name = func.__name__
        if name == "split" and isinstance(args[1], int) and not kwargs.get("axis"):
            size = len(args[0].value) // args[1]
            return [args[0][k * size : (k + 1) * size] for k in range(args[1])]
        if hasattr(func, "operation") or name in ("tile", "repeat"):
            symbols = tuple(a if a is None else lifted(a) for a in args[: None if hasattr(func, "operation") else 1])
            values = [None if a is None else a.value for a in symbols]
            value = func(*values, *args[len(values) :], **kwargs)
            return Symbol(value, getattr(func, "operation", name), *symbols)
        by_rows = kwargs.get("axis", 0) == 0 and (name not in ("sum", "mean") or "axis" in kwargs)
        if name not in READ or not by_rows:
            raise Unreadable(f"np.{name}, or its axis")
        stacked = name in ("vstack", "concatenate")
        parts = [lifted(a) for a in (args[0] if stacked and len(args) == 1 else args)]
        values = [p.value for p in parts]
        value = func(values, **kwargs) if stacked else func(*values, **kwargs)
        return Symbol(value, {"concatenate": "vstack", "dot": "matmul"}.get(name, name), *parts)

    def __getitem__(self, index: Any) -> Symbol:
        first, *rest = index if isinstance(index, tuple) else (index,)
        if any(r != slice(None) for r in rest):
            raise Unreadable("a choice of samples: only rows can be picked, h[rows]")
        return Symbol(self.value[first], "getitem", self, first)

    def __bool__(self) -> bool:
        raise Unreadable("a branch (`if`) on the state")


def lifted(a: Any) -> Symbol:
    """`a` as a symbol: itself, or a constant of its value."""
    if isinstance(a, Symbol):
        return a
    if isinstance(a, list | tuple) or (isinstance(a, np.ndarray) and a.dtype == object):
        rows = [lifted(row) for row in a]
        return Symbol(np.stack([np.broadcast_to(row.value, rows[0].shape) for row in rows]), "vstack", *rows)
    return Symbol(a, "constant")


def symbol_name(name: str, *indices: str, bold: bool = True) -> str:
    """A Python identifier as a LaTeX symbol: `U_z` is a bold U with index z, `alpha` the Greek letter."""
    head, *rest = [part for part in name.split("_") if part] or ["v"]
    letters = head.rstrip("0123456789") or head
    accent = next((part for part in rest if part in ACCENTS), "")
    below = [part for part in (head[len(letters) :], *rest) if part and part not in ACCENTS]
    if letters in GREEK:
        symbol = rf"\boldsymbol{{\{letters}}}" if bold else rf"\{letters}"
    elif len(letters) > 1:
        symbol = rf"\mathrm{{{letters}}}"
    else:
        symbol = rf"\mathbf{{{letters}}}" if bold else letters
    symbol = rf"\{accent}{{{symbol}}}" if accent else symbol
    index = ",".join([*map(_index, below), *indices])
    return f"{symbol}_{{{index}}}" if index and index != "t" else symbol + "_t" * bool(index)


def _index(part: str) -> str:
    return rf"\{part}" if part in GREEK else part if len(part) < 3 else rf"\mathrm{{{part}}}"


def is_zero(s: Symbol) -> bool:
    """Zero whatever the state: a parameter without nonzero entries, or a product or sum of such."""
    if s.op == "constant" or (s.op == "leaf" and len(s.args) == 1):
        return not np.any(s.value)
    zeros = [is_zero(a) for a in s.args if isinstance(a, Symbol)]
    if s.op in ("matmul", "multiply", "matrix_product", "convolve"):
        return any(zeros)
    return s.op in ("add", "subtract", "negative", "getitem", "vstack", "tile", "repeat") and all(zeros)


def is_scalar(s: Symbol) -> bool:
    """Whether the symbol is a single number, or one row of them."""
    return bool(s.ndim < 2)


def plain(value: float) -> str:
    """A number in LaTeX, to six digits."""
    mantissa, _, exponent = f"{value:.6g}".partition("e")
    if not exponent:
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa} \times {power}"


@final
class Printer:
    """An expression tree to LaTeX; a value with a name is printed as its name."""

    def __init__(self, names: dict[int, str]) -> None:
        self._names = dict(names)

    def definition(self, s: Symbol) -> str:
        """What stands to the right of the equals sign where `s` is defined."""
        name = self._names.pop(id(s), None)
        latex, _ = self(s)
        if name is not None:
            self._names[id(s)] = name
        return latex

    def __call__(self, s: Symbol) -> Printed:
        if id(s) in self._names:
            return self._names[id(s)], ATOM
        if is_zero(s):
            return (r"\mathbf{0}" if s.ndim == 2 else "0"), ATOM
        known = recognized(s)
        if known is not None:
            return self._applied(known[0], [known[1]])
        special: Callable[[Symbol], Printed] | None = getattr(self, f"_{s.op}", None)
        if special is not None:
            return special(s)
        if s.op in COMPARED:
            return f"{self(s.args[0])[0]} {COMPARED[s.op]} {self(s.args[1])[0]}", LOOSE
        name = RENAMED.get(s.op) or (f"\\{s.op}" if s.op in STANDARD else rf"\operatorname{{{s.op.replace('_', '')}}}")
        return self._applied(name, s.args)

    def _applied(self, name: str, args: Sequence[Symbol]) -> Printed:
        return name + _parens(", ".join(self(a)[0] for a in args)), ATOM

    def _at_least(self, s: Symbol, level: int) -> str:
        latex, own = self(s)
        return latex if own >= level else _parens(latex)

    def _leaf(self, s: Symbol) -> Printed:
        return s.args[0], ATOM

    def _constant(self, s: Symbol) -> Printed:
        first = float(s.value.flat[0])
        if not np.all(s.value == first):
            raise Unreadable("an array of different numbers that is not a parameter")
        if s.ndim == 2:
            return (r"\mathbf{1}", ATOM) if first == 1 else (rf"{plain(first)}\,\mathbf{{1}}", ENTRYWISE)
        return plain(first), ATOM if first >= 0 else SUM

    def _terms(self, s: Symbol) -> list[tuple[int, Symbol]]:
        if id(s) in self._names or s.op not in ("add", "subtract", "negative"):
            return [(1, s)]
        if s.op == "negative":
            return [(-1, s.args[0])] if len(self._terms(s.args[0])) > 1 else self._flipped(s.args[0])
        left, right = s.args
        if s.op == "add":
            return [*self._inner(left), *self._inner(right)]
        more = self._inner(right)
        return [*self._inner(left), *(self._flipped(right) if len(more) == 1 else [(-1, right)])]

    def _inner(self, s: Symbol) -> list[tuple[int, Symbol]]:
        return [] if is_zero(s) else [(sign, term) for sign, term in self._terms(s) if not is_zero(term)]

    def _flipped(self, s: Symbol) -> list[tuple[int, Symbol]]:
        return [(-sign, term) for sign, term in self._inner(s)]

    def _signed_sum(self, s: Symbol) -> Printed:
        latex, terms = "", self._inner(s)
        for given, term in terms:
            sign = given
            printed, level = self._summand(term, column=s.ndim == 2)
            if printed.startswith("-") and level <= SUM and len(self._inner(term)) == 1:
                sign, printed, level = -sign, printed[1:].lstrip(), ENTRYWISE
            printed = _parens(printed) if level <= SUM else printed
            joint = (" - " if latex else "-") if sign < 0 else (" + " if latex else "")
            latex += joint + printed
        return latex, SUM if len(terms) > 1 or latex.startswith("-") else ENTRYWISE

    _add = _subtract = _negative = _signed_sum

    def _summand(self, s: Symbol, column: bool) -> Printed:
        if s.op == "constant" and column and s.ndim < 2 and id(s) not in self._names:
            return self._constant(Symbol(np.full((1, 1), float(s.value.flat[0])), "constant"))
        return self(s)

    def _multiply(self, s: Symbol) -> Printed:
        sign, number = "", 1.0
        scalars, columns = list[Symbol](), list[Symbol]()
        for factor in self._factors(s):
            if factor.op == "constant" and np.all(factor.value == (value := float(factor.value.flat[0]))):
                number *= value
            else:
                (scalars if is_scalar(factor) else columns).append(factor)
        if number < 0:
            sign, number = "-", -number
        parts = [plain(number)] if number != 1 else []
        parts += [self._at_least(f, MATRIX) for f in scalars]
        level = ENTRYWISE if len(columns) < 2 else POWER
        joined = r" \odot ".join(self._at_least(f, level) for f in columns)
        if not columns and s.ndim == 2:
            joined = r"\mathbf{1}"
        latex = r"\,".join([*parts, joined] if joined else parts) or "1"
        return sign + latex, SUM if sign else ENTRYWISE

    def _factors(self, s: Symbol) -> list[Symbol]:
        if id(s) in self._names or s.op != "multiply":
            return [s]
        return [factor for a in s.args for factor in self._factors(a)]

    def _matmul(self, s: Symbol) -> Printed:
        return " ".join(self._at_least(a, MATRIX) for a in s.args), MATRIX

    def _matrix_product(self, s: Symbol) -> Printed:
        return " ".join(self._at_least(a, MATRIX) for a in s.args if a is not None), MATRIX

    def _convolve(self, s: Symbol) -> Printed:
        return " * ".join(self._at_least(a, MATRIX) for a in s.args), MATRIX

    def _tile(self, s: Symbol) -> Printed:
        # The same row for every row of a matrix-shaped state.
        return rf"\mathbf{{1}} {self._at_least(s.args[0], ATOM)}^{{\top}}", MATRIX

    def _repeat(self, s: Symbol) -> Printed:
        return self(s.args[0])  # one number per map, at each of its positions, is written as that number

    def _divide(self, s: Symbol) -> Printed:
        above, below = ["1", *(self(a)[0] for a in s.args)][-2:]
        return rf"\frac{{{above}}}{{{below}}}", POWER

    _reciprocal = _divide

    def _power(self, s: Symbol) -> Printed:
        return self._raised(s.args[0], self(s.args[1])[0] if s.op == "power" else "2")

    _square = _power

    def _raised(self, base: Symbol, exponent: str) -> Printed:
        mark = "" if is_scalar(base) else r"\odot "
        return f"{self._at_least(base, ATOM)}^{{{mark}{exponent}}}", POWER

    def _transpose(self, s: Symbol) -> Printed:
        return rf"{self._at_least(s.args[0], ATOM)}^{{\top}}", POWER

    def _sqrt(self, s: Symbol) -> Printed:
        return rf"\sqrt{{{self(s.args[0])[0]}}}", ATOM

    def _absolute(self, s: Symbol) -> Printed:
        return rf"\left|{self(s.args[0])[0]}\right|", ATOM

    def _positive(self, s: Symbol) -> Printed:
        return self(s.args[0])

    def _maximum(self, s: Symbol) -> Printed:
        return self._against_zero(s, r"\operatorname{relu}", r"\max")

    def _logaddexp(self, s: Symbol) -> Printed:
        return self._against_zero(s, r"\operatorname{softplus}", r"\operatorname{logaddexp}")

    def _against_zero(self, s: Symbol, name: str, otherwise: str) -> Printed:
        others = [a for a in s.args if a.op != "constant" or np.any(a.value)]
        return self._applied(name if len(others) == 1 else otherwise, others if len(others) == 1 else s.args)

    def _where(self, s: Symbol) -> Printed:
        condition, yes, no = (self(a)[0] for a in s.args)
        return rf"\begin{{cases}} {yes} & {condition} \\ {no} & \text{{otherwise}} \end{{cases}}", LOOSE

    def _vstack(self, s: Symbol) -> Printed:
        rows = r" \\ ".join(self(a)[0] for a in s.args)
        return rf"\left[ \begin{{matrix}} {rows} \end{{matrix}} \right]", ATOM

    def _getitem(self, s: Symbol) -> Printed:
        base, index = s.args
        if isinstance(index, int | np.integer):
            row = str(index % len(base.value) + 1)
            if base.op == "leaf" and len(base.args) == 3:
                return symbol_name(base.args[1], row, base.args[2], bold=False), ATOM
        elif isinstance(index, slice):
            first, last, step = index.indices(len(base.value))
            if step != 1:
                raise Unreadable("every other row")
            row = f"{first + 1}:{last}"
        else:
            raise Unreadable("a list of rows")
        return rf"\left[{self(base)[0]}\right]_{{{row}}}", ATOM


def _parens(latex: str) -> str:
    tall = any(mark in latex for mark in (r"\frac", r"\begin", r"\left"))
    return rf"\left({latex}\right)" if tall else f"({latex})"
