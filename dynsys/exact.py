"""A small map as formulas, and what follows exactly: fixed points, multipliers, bifurcations."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import sympy

from dynsys.algebra.bifurcations import ExactBifurcation, bifurcations, conditions
from dynsys.algebra.formulas import input_symbols, next_state, state_symbols
from dynsys.algebra.multipliers import MU, multipliers
from dynsys.algebra.solutions import solutions
from dynsys.combinators import as_map
from dynsys.errors import AnalysisError, InputError
from dynsys.maps import CellMap, Map, numbers
from dynsys.model import Model
from dynsys.readings.expressions import exact, expressions
from dynsys.types import ArrayLike

MOST_VARIABLES = 64
"""State variables beyond which formulas of a whole map are no longer read by anybody."""


@final
@dataclass(frozen=True, eq=False)
class ExactFixedPoint:
    """A fixed point as formulas.

    Attributes:
        state: one SymPy expression per state variable. A variable that stands for itself is free: a continuum.
        multipliers: eigenvalues of the Jacobian there, with multiplicity, largest modulus first; None on a kink.
        exact: whether `state` is a closed form. If not, it has 50 correct digits; that it is one fixed point, and
            that there are no others, is exact all the same.
        condition: under which it exists, where symbols are left; else true.
    """

    state: tuple[Any, ...]
    multipliers: tuple[Any, ...] | None
    exact: bool
    condition: Any = sympy.true

    def to_dict(self) -> dict[str, Any]:
        """Expressions as SymPy writes them, and numbers beside them where no symbol is left."""
        values = self.multipliers
        return {
            "state": [str(v) for v in self.state],
            "state_values": [_number(v) for v in self.state],
            "multipliers": None if values is None else [str(v) for v in values],
            "multiplier_values": None if values is None else [_number(v) for v in values],
            "exact": self.exact,
            "condition": str(self.condition),
        }


def _number(value: Any) -> complex | float | None:
    if value.free_symbols:
        return None
    z = complex(sympy.N(value, 25))
    return z.real if z.imag == 0 else z


@final
@dataclass(frozen=True, eq=False)
class SymbolicMap:
    """A map as formulas, one SymPy expression per state variable.

    Attributes:
        name: of the map it was read from. state: its symbols. input: symbols, or the numbers it was fixed to.
        step: the next state. parameters: the numbers of the parameters kept as symbols, by symbol: `.subs` puts them
            in.
    """

    name: str
    state: tuple[Any, ...]
    input: tuple[Any, ...]
    step: tuple[Any, ...]
    parameters: dict[Any, Any]

    def jacobian(self) -> Any:
        """d step / d state, an (n, n) SymPy matrix."""
        return sympy.Matrix(self.step).jacobian(list(self.state))

    def characteristic_polynomial(self) -> Any:
        """det(mu I - J) in the symbol `mu`, at a general state."""
        return self.jacobian().charpoly(MU).as_expr()

    def fixed_points(self) -> tuple[ExactFixedPoint, ...]:
        """Every real fixed point, with its multipliers.

        Closed forms exist for affine and piecewise affine equations (ReLU: every piece is solved), polynomials, and
        one unit with tanh or the logistic function (whose fixed points are counted exactly and given to 50 digits);
        equations that fall into such groups, each depending on earlier ones, are solved one after another.

        Raises: AnalysisError where a group has no closed form here: `find_fixed_points` gives numbers.
        """
        found = []
        for answer in solutions(self.step, self.state):
            values = tuple(sympy.simplify(answer.values.get(x, x)) for x in self.state)
            at = dict(zip(self.state, values, strict=True))
            found.append(
                ExactFixedPoint(values, multipliers(self.step, self.state, at), answer.exact, answer.condition)
            )
        if any(v.free_symbols for p in found for v in p.state):
            return tuple(found)
        return tuple(sorted(found, key=lambda p: [float(sympy.N(v, 25)) for v in p.state]))

    def multipliers(self, state: Sequence[Any]) -> tuple[Any, ...] | None:
        """Eigenvalues of the Jacobian at `state`, n expressions or numbers; None on a kink."""
        if len(state) != len(self.state):
            raise InputError(f"a state has {len(self.state)} values, got {len(state)}.")
        return multipliers(self.step, self.state, {x: exact(v) for x, v in zip(self.state, state, strict=True)})

    def bifurcation_conditions(self) -> dict[str, Any]:
        """What vanishes at a bifurcation, as formulas of state and parameters: p(1), p(-1), and det J - 1 (n = 2)."""
        return conditions(self.jacobian())

    def bifurcations(self, parameter: Any) -> tuple[ExactBifurcation, ...]:
        """Values of one symbol at which a fixed point folds, flips, branches or sheds an invariant circle.

        Args:
            parameter: a symbol of the formulas, or its name.

        Raises: InputError where the symbol is not in the formulas; AnalysisError where no closed form is known.
        """
        symbols = {s.name: s for f in self.step for s in f.free_symbols}
        name = str(parameter)
        if name not in symbols or symbols[name] in self.state:
            others = ", ".join(sorted(symbols.keys() - {s.name for s in self.state})) or "none; name some in `symbols`"
            raise InputError(f"{name} is no parameter of these formulas; they have: {others}.")
        return tuple(bifurcations(self.step, self.state, symbols[name]))

    def to_dict(self) -> dict[str, Any]:
        """The formulas, and the fixed points where they have closed forms."""
        try:
            found: Any = [p.to_dict() for p in self.fixed_points()]
            reason = None
        except AnalysisError as error:
            found, reason = None, str(error)
        return {
            "name": self.name,
            "state": [str(s) for s in self.state],
            "input": [str(s) for s in self.input],
            "step": [str(f) for f in self.step],
            "parameters": {str(k): str(v) for k, v in self.parameters.items()},
            "jacobian": [[str(v) for v in row] for row in self.jacobian().tolist()],
            "fixed_points": found,
            "reason": reason,
        }

    def __str__(self) -> str:
        lines = [f"{self.name}:"]
        lines += [f"  {x}' = {f}" for x, f in zip(self.state, self.step, strict=True)]
        return "\n".join(lines)


def symbolic(f: Any, input: ArrayLike | str | None = None, *, symbols: Iterable[str] | str = ()) -> SymbolicMap:
    """A small map as formulas: the same equations, run on SymPy expressions.

    Numbers become exact: a float is taken as the shortest decimal that names it, so 0.1 is 1/10.

    Args:
        f: a cell, or whatever `as_map` takes, of up to 64 state variables.
        input: (m,) constant input; None is zero; "symbols" keeps x1, ..., xm.
        symbols: names of the cell's parameters to keep as symbols, or "all": U (1, 1) is the symbol `U`, a bias
            `b1`, `b2`, ..., a matrix `U11`, `U12`, ...; a plain number such as `alpha` its own name.

    Raises: AnalysisError where the equations use a function that has no formula here.
    """
    g = as_map(f)
    if g.state_size > MOST_VARIABLES:
        raise InputError(f"formulas are for small maps, up to {MOST_VARIABLES} variables; this one has {g.state_size}.")
    state = state_symbols(g.blocks)
    given = _input(g, input)
    replaced, values = _symbols(g, symbols)
    taken = {s.name for s in (*state, *given) if isinstance(s, sympy.Symbol)} & {s.name for s in values}
    if taken:
        raise InputError(f"the names {', '.join(sorted(taken))} stand for a state or an input and for a parameter.")
    step = tuple(next_state(g, state, given, replaced))
    return SymbolicMap(g.name, tuple(state), tuple(given), step, values)


def _input(f: Map, input: ArrayLike | str | None) -> list[Any]:
    if isinstance(input, str):
        if input != "symbols":
            raise InputError(f'`input` is an array (m,), None, or "symbols"; got {input!r}.')
        return input_symbols(f.input_size)
    array = np.zeros(f.input_size) if input is None else numbers(input, "input")
    if array.shape != (f.input_size,):
        raise InputError(f"`input` must have shape ({f.input_size},), a constant input; got {array.shape}.")
    return [exact(v) for v in array]


def _symbols(f: Map, names: Iterable[str] | str) -> tuple[dict[str, Any], dict[Any, Any]]:
    """The fields of the cell to replace by symbols, and the numbers they stand for."""
    inner = f.inner if isinstance(f, Model) else f
    wanted = [names] if isinstance(names, str) and names != "all" else names
    if not wanted:
        return {}, {}
    if not isinstance(inner, CellMap):
        raise InputError(f"`symbols` names parameters of one cell; {f.name} is not one cell.")
    cell = inner.cell
    scalars = {d.name: getattr(cell, d.name) for d in dataclasses.fields(cell)}
    known = dict(cell.parameters) | {name: v for name, v in scalars.items() if type(v) is float}
    wanted = list(known) if wanted == "all" else list(wanted)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise InputError(f"{type(cell).__name__} has no parameter {', '.join(missing)}; it has {', '.join(known)}.")
    fields: dict[str, Any] = {}
    values: dict[Any, Any] = {}
    for name in wanted:
        array = expressions(np.asarray(known[name]))
        names_of = _entry_names(name, array.shape)
        symbols = np.array([sympy.Symbol(n, real=True) for n in names_of], dtype=object).reshape(array.shape)
        values |= dict(zip(symbols.ravel(), array.ravel(), strict=True))
        fields[name] = _value(symbols)
    return fields, values


def _value(symbols: Any) -> Any:
    from dynsys.readings.expressions import Expressions

    return Expressions(symbols) if symbols.ndim else symbols.item()


def _entry_names(name: str, shape: tuple[int, ...]) -> list[str]:
    if int(np.prod(shape)) == 1:
        return [name]
    column = len(shape) == 2 and shape[1] == 1
    indices = [index[:1] if column else index for index in np.ndindex(*shape)]
    gap = "_" if max(shape) > 9 else ""
    return [name + gap.join(str(i + 1) for i in index) for index in indices]
