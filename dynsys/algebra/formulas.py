"""The next state of any map as SymPy expressions of its state and input."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy

from dynsys.composed_maps import Boxed, Driven, Iterated, Stacked
from dynsys.errors import AnalysisError, InputError
from dynsys.function_maps import FunctionMap
from dynsys.maps import CellMap, Map
from dynsys.model import Model
from dynsys.readings.expressions import Expressions, Unexpressed, exact, expressions
from dynsys.readings.linear import with_parameters

Formulas = list[Any]


def state_symbols(blocks: Sequence[tuple[str, slice]]) -> Formulas:
    """One real symbol per state variable: `h` for a block of one, else `h1`, `h2`, ...; a layer's name is a suffix."""
    out = []
    for name, rows in blocks:
        layer, _, block = name.rpartition(".")
        stem = block + layer.replace("layer", "_") if layer else block
        size = rows.stop - rows.start
        out += [sympy.Symbol(stem if size == 1 else f"{stem}{i + 1}", real=True) for i in range(size)]
    return out


def input_symbols(size: int) -> Formulas:
    """`x`, or `x1`, `x2`, ..., real."""
    return [sympy.Symbol("x" if size == 1 else f"x{i + 1}", real=True) for i in range(size)]


def next_state(f: Map, state: Formulas, input: Formulas, cell_parameters: dict[str, Any] | None = None) -> Formulas:
    """The next state, one expression per variable.

    `cell_parameters` replaces fields of the cell, for a map that is one cell.
    """
    try:
        return _next_state(f, state, input, cell_parameters)
    except Unexpressed as error:
        raise AnalysisError(f"{f.name} cannot be written in formulas: {error}") from None


def _next_state(f: Map, state: Formulas, input: Formulas, given: dict[str, Any] | None) -> Formulas:
    if isinstance(f, (Model, Boxed)):
        return _next_state(f.inner, state, input, given)
    if isinstance(f, CellMap):
        return _of_cell(f, state, input, given or {})
    if given:
        raise InputError(f"`symbols` names parameters of one cell; {f.name} is not one cell.")
    if isinstance(f, Driven) and len(f.inputs) == 1:
        return _next_state(f.inner, state, [exact(v) for v in f.inputs[0]], None)
    if isinstance(f, Iterated):
        for step in f._steps:
            state = _next_state(step, state, input, None)
        return state
    if isinstance(f, Stacked):
        return _of_stack(f, state, input)
    if isinstance(f, FunctionMap):
        answer = f._call(_column(state), _column(input))
        return _entries(answer, f.state_size)
    raise AnalysisError(f"{f.name} cannot be written in formulas: need a cell, a function, or maps built from them.")


def _of_cell(f: CellMap, state: Formulas, input: Formulas, given: dict[str, Any]) -> Formulas:
    cell = f.cell
    fields = {name: Expressions(value) for name, value in cell.parameters.items()}
    scalars = {d.name: getattr(cell, d.name) for d in dataclasses.fields(cell)}
    fields |= {name: exact(value) for name, value in scalars.items() if type(value) is float}
    blocks = [_column(state[rows]) for _, rows in f.blocks]
    answer = with_parameters(cell, fields | given).step(*blocks, _column(input))
    parts = answer if isinstance(answer, tuple) else (answer,)
    sizes = [rows.stop - rows.start for _, rows in f.blocks]
    return list(itertools.chain.from_iterable(_entries(p, n) for p, n in zip(parts, sizes, strict=True)))


def _of_stack(f: Stacked, state: Formulas, input: Formulas) -> Formulas:
    out: Formulas = []
    at = 0
    for layer in f.layers:
        new = _next_state(layer, state[at : at + layer.state_size], input, None)
        out, at, input = [*out, *new], at + layer.state_size, new[layer.output]
    return out


def _column(values: Sequence[Any]) -> Expressions:
    column = np.empty((len(values), 1), dtype=object)
    column[:, 0] = values
    return Expressions(column)


def _entries(answer: Any, size: int) -> Formulas:
    """What `step` returned, as a list: an array of expressions, or rows."""
    if isinstance(answer, (list, tuple)) or (isinstance(answer, np.ndarray) and answer.dtype == object):
        rows = [a.array if isinstance(a, Expressions) else np.asarray(a) for a in np.ravel(np.array(answer, object))]
        answer = np.array([np.ravel(expressions(r))[0] for r in rows], dtype=object)
    flat = list(np.ravel(expressions(answer)))
    if len(flat) != size:
        raise Unexpressed(f"the equations give {len(flat)} values where {size} are needed.")
    return flat
