"""The machine-code reading: one step of a small map and its Jacobian as straight-line code over plain numbers.

A `Lines` value goes through the unchanged equations by NumPy's override protocols (NEP 13 and NEP 18). Every entry is a
number of the program that is being written, with its derivatives by the state beside it (forward mode); parameters
become the program's constants, so that maps of one structure share one program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, final

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from dynsys.types import AnyArray, Array

MOST_LINES = 800
"""Beyond, compiling takes longer than it saves."""


class NotStraight(TypeError):
    """The equations do something that is no straight-line code here: a kink, a choice, a function without a rule."""


@final
class Entry:
    """One number of the program: a constant, or a variable with its derivatives by the state variables."""

    __slots__ = ("constant", "name", "tangents")

    def __init__(self, name: str, constant: float | None = None, tangents: dict[int, Entry] | None = None) -> None:
        self.name, self.constant, self.tangents = name, constant, tangents or {}

    @property
    def value(self) -> Entry:
        """The number alone: derivatives are of first order."""
        return Entry(self.name, self.constant)


ONE_ARGUMENT: dict[str, tuple[str, str]] = {
    # of x, with the value y: the value, and the derivative; both keep their digits where the function saturates
    "tanh": ("math.tanh({x})", "(1.0 - {y}) * (1.0 + {y}) if abs({y}) < 0.9 else sech_squared({x})"),
    "expit": ("logistic({x})", "logistic_slope({x})"),
    "exp": ("math.exp({x})", "{y}"),
    "expm1": ("math.expm1({x})", "math.exp({x})"),
    "log": ("math.log({x})", "1.0 / {x}"),
    "log1p": ("math.log1p({x})", "1.0 / (1.0 + {x})"),
    "sqrt": ("math.sqrt({x})", "0.5 / {y}"),
    "sin": ("math.sin({x})", "math.cos({x})"),
    "cos": ("math.cos({x})", "-math.sin({x})"),
    "tan": ("math.tan({x})", "1.0 + {y} * {y}"),
    "arctan": ("math.atan({x})", "1.0 / (1.0 + {x} * {x})"),
    "sinh": ("math.sinh({x})", "math.cosh({x})"),
    "cosh": ("math.cosh({x})", "math.sinh({x})"),
    "arcsinh": ("math.asinh({x})", "1.0 / math.sqrt(1.0 + {x} * {x})"),
    "erf": ("math.erf({x})", f"{2 / math.sqrt(math.pi)!r} * math.exp(-{{x}} * {{x}})"),
}


@final
class Program:
    """Lines of code as they are written: assignments of variables v0, v1, ... from constants k0, k1, ..."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: list[float] = []

    def constant(self, value: Any) -> Entry:
        """A number that does not change from step to step."""
        number = float(value)
        if number in (0.0, 1.0):
            return Entry(repr(number), number)
        self.constants.append(number)
        return Entry(f"k{len(self.constants) - 1}", number)

    def assign(self, code: str, tangents: dict[int, Entry] | None = None) -> Entry:
        """A new variable with this value."""
        if len(self.lines) >= MOST_LINES:
            raise NotStraight(f"more than {MOST_LINES} lines")
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {code}")
        return Entry(name, None, tangents)

    def add(self, a: Entry, b: Entry) -> Entry:
        """a + b."""
        if a.constant == 0:
            return b
        if b.constant == 0:
            return a
        if a.constant is not None and b.constant is not None:
            return self.constant(a.constant + b.constant)
        tangents = {
            seed: self.add(a.tangents[seed], b.tangents[seed])
            if seed in a.tangents and seed in b.tangents
            else a.tangents.get(seed) or b.tangents[seed]
            for seed in sorted(a.tangents.keys() | b.tangents.keys())
        }
        return self.assign(f"{a.name} + {b.name}", tangents)

    def negative(self, a: Entry) -> Entry:
        """-a."""
        if a.constant is not None:
            return self.constant(-a.constant)
        return self.assign(f"-{a.name}", {seed: self.negative(t) for seed, t in a.tangents.items()})

    def multiply(self, a: Entry, b: Entry) -> Entry:
        """a b."""
        if a.constant is not None and b.constant is not None:
            return self.constant(a.constant * b.constant)
        for one, other in ((a, b), (b, a)):
            if one.constant == 0:
                return one
            if one.constant == 1:
                return other
        tangents: dict[int, Entry] = {}
        for seed in sorted(a.tangents.keys() | b.tangents.keys()):
            parts = [self.multiply(x.tangents[seed], y.value) for x, y in ((a, b), (b, a)) if seed in x.tangents]
            tangents[seed] = parts[0] if len(parts) == 1 else self.add(parts[0], parts[1])
        return self.assign(f"{a.name} * {b.name}", tangents)

    def reciprocal(self, a: Entry) -> Entry:
        """1 / a."""
        if a.constant is not None:
            return self.constant(1.0 / a.constant)
        y = self.assign(f"1.0 / {a.name}")
        slope = self.assign(f"-{y.name} * {y.name}") if a.tangents else y
        y.tangents = {seed: self.multiply(slope.value, t) for seed, t in a.tangents.items()}
        return y

    def power(self, a: Entry, p: Entry) -> Entry:
        """a ** p for a constant whole p."""
        if p.constant is None or p.constant != int(p.constant) or not 0 <= p.constant <= 16:
            raise NotStraight("a power that is not a small whole number")
        out = self.constant(1.0)
        for _ in range(int(p.constant)):
            out = self.multiply(out, a)
        return out

    def function(self, name: str, x: Entry) -> Entry:
        """An entrywise function of one argument."""
        value, slope = ONE_ARGUMENT[name]
        y = self.assign(value.format(x=x.name))
        if x.tangents:
            d = self.assign(slope.format(x=x.name, y=y.name))
            y.tangents = {seed: self.multiply(d, t) for seed, t in x.tangents.items()}
        return y

    def apply(self, name: str, *entries: Entry) -> Entry:
        """A NumPy or SciPy function by its name."""
        if name in ONE_ARGUMENT:
            return self.function(name, *entries)
        if name not in self._arithmetic:
            raise NotStraight(f"the function {name}")
        return self._arithmetic[name](*entries)

    @property
    def _arithmetic(self) -> dict[str, Callable[..., Entry]]:
        return {
            "add": self.add,
            "subtract": lambda a, b: self.add(a, self.negative(b)),
            "multiply": self.multiply,
            "divide": lambda a, b: self.multiply(a, self.reciprocal(b)),
            "negative": self.negative,
            "positive": lambda a: a,
            "square": lambda a: self.multiply(a, a),
            "reciprocal": self.reciprocal,
            "power": self.power,
        }


class Lines(NDArrayOperatorsMixin):
    """An array of entries of one program that NumPy's functions and operators take like any other array."""

    __array_priority__ = 1000.0

    def __init__(self, program: Program, array: Any) -> None:
        self.program, self.array = program, array

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Lines]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Lines:
        picked = self.array[key]
        return Lines(self.program, picked if isinstance(picked, np.ndarray) else _whole([picked]).reshape(()))

    def __bool__(self) -> bool:
        raise NotStraight("a branch on the state")

    def sum(self, axis: Any = None, keepdims: bool = False) -> Lines:
        """As numpy.ndarray.sum, over the first axis."""
        if axis not in (0, -self.ndim):
            raise NotStraight(f"a sum over axis {axis!r}")
        total = self.array[0]
        add = np.frompyfunc(self.program.add, 2, 1)
        for row in self.array[1:]:
            total = add(total, row)
        return Lines(self.program, np.asarray(total, dtype=object)[np.newaxis] if keepdims else _object(total))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            raise NotStraight(f"numpy.{ufunc.__name__}.{method}")
        arrays = [self.entries(i) for i in inputs]
        if ufunc is np.matmul:
            return Lines(self.program, self._product(*arrays))
        function = np.frompyfunc(lambda *entries: self.program.apply(ufunc.__name__, *entries), len(arrays), 1)
        return Lines(self.program, _object(function(*arrays)))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.concatenate and not kwargs.get("axis"):
            return Lines(self.program, np.concatenate([self.entries(a) for a in args[0]]))
        raise NotStraight(f"numpy.{getattr(function, '__name__', function)}")

    def entries(self, value: Any) -> AnyArray:
        """Numbers, lines, or lists and object arrays of lines, as an object array of entries."""
        if isinstance(value, Lines):
            return np.asarray(value.array)
        if isinstance(value, np.ndarray) and value.dtype == object:
            rows = [self.entries(v) for v in value]
            return np.array(rows, dtype=object).reshape(len(rows), *np.shape(rows[0]))
        given = np.asarray(value, dtype=np.float64)
        return _object(np.frompyfunc(self.program.constant, 1, 1)(given))

    def _product(self, a: AnyArray, b: AnyArray) -> AnyArray:
        """a (r, n) @ b (n, 1) or (n,)."""
        columns = b.reshape(len(b), -1)
        if a.ndim != 2 or columns.shape[1] != 1:
            raise NotStraight("a product that is not matrix @ one column")
        out = _whole([self._dot(row, columns[:, 0]) for row in a])
        return out.reshape(len(a), *b.shape[1:])

    def _dot(self, row: AnyArray, column: AnyArray) -> Entry:
        total = self.program.constant(0.0)
        for x, y in zip(row, column, strict=True):
            total = self.program.add(total, self.program.multiply(x, y))
        return total


def _object(value: Any) -> AnyArray:
    return value if isinstance(value, np.ndarray) else _whole([value]).reshape(())


def _whole(entries: list[Entry]) -> AnyArray:
    out = np.empty(len(entries), dtype=object)
    out[:] = entries
    return out


@final
class StraightLine:
    """One step as code.

    Attributes:
        lines: assignments, from x0, x1, ... (state), u0, u1, ... (input) and k0, k1, ... (constants).
        constants: the numbers k0, k1, ... stand for.
        next_state: the names of the next state's entries. jacobian: names by (row, column), zeros left out.
    """

    def __init__(self, equations: Callable[[Any, Any], Any], n: int, m: int, *, driven: bool) -> None:
        """`equations`: (state (n, 1), input (m, 1)) -> next state (n, 1). Without `driven` the input is zero.

        Raises: NotStraight.
        """
        program = Program()
        one = Entry("1.0", 1.0)
        state = Lines(program, _whole([Entry(f"x{i}", None, {i: one}) for i in range(n)]).reshape(n, 1))
        input: Any = np.zeros((m, 1))
        if driven:
            input = Lines(program, _whole([Entry(f"u{i}") for i in range(m)]).reshape(m, 1))
        answer = equations(state, input)
        rows = answer if isinstance(answer, (list, tuple)) else [answer]
        entries = np.concatenate([state.entries(row).reshape(-1) for row in rows])
        if len(entries) != n:
            raise NotStraight(f"{len(entries)} next values of {n} variables")
        self.lines, self.constants = program.lines, np.array(program.constants)
        self.next_state = [e.name for e in entries]
        self.jacobian = {(i, j): t.name for i, e in enumerate(entries) for j, t in e.tangents.items()}


def sech_squared(x: float) -> float:
    """tanh'(x), without cancellation."""
    e = math.exp(-2.0 * abs(x))
    return 4.0 * e / ((1.0 + e) * (1.0 + e))


def logistic(x: float) -> float:
    """1 / (1 + exp(-x))."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def logistic_slope(x: float) -> float:
    """Its derivative, without cancellation."""
    e = math.exp(-abs(x))
    return e / ((1.0 + e) * (1.0 + e))


HELPERS: tuple[Callable[[float], float], ...] = (sech_squared, logistic, logistic_slope)
"""Functions that the lines call, beside the module `math`."""


def evaluate(code: StraightLine, state: Array, input: Array) -> tuple[Array, Array]:
    """Next state (n,) and Jacobian (n, n) by running the lines in Python: slow, for checks."""
    n = len(code.next_state)
    names: dict[str, Any] = {"math": math} | {f.__name__: f for f in HELPERS}
    names |= {f"x{i}": float(v) for i, v in enumerate(state)} | {f"u{i}": float(v) for i, v in enumerate(input)}
    names |= {f"k{i}": float(v) for i, v in enumerate(code.constants)}
    for line in code.lines:
        name, _, expression = line.partition(" = ")
        names[name] = eval(expression, names)
    jacobian = np.zeros((n, n))
    for at, name in code.jacobian.items():
        jacobian[at] = eval(name, names)
    return np.array([eval(name, names) for name in code.next_state]), jacobian
