"""The symbols reading: a cell's unchanged `step`, run on values that remember how they were computed.

NumPy's override protocols (NEP 13 and NEP 18) build an expression tree while `step` runs on numbers of the right
shapes; intermediate values get the names of `step`'s own local variables. Printed, the tree is what a lecturer would
write on the board.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from dynsys.readings.linear import with_parameters
from dynsys.readings.notation import ACCENTS, Printer, Symbol, is_zero, lifted, symbol_name

STEPPED = frozenset(("next", "new"))


def equations(cell: Any) -> list[str]:
    """The equations of a cell in LaTeX, intermediates first, one string per equation.

    Parameters bear their names, the state blocks and the input a time index. A parameter that is zero throughout or
    has no entries is left out. The list is empty where `step` does something this reading does not know.
    """
    try:
        numbers = {f.name: getattr(cell, f.name) for f in dataclasses.fields(cell)}
    except Exception:  # whatever is wrong with a stranger's class: there are no equations to show
        return []
    scalars = {name: value for name, value in numbers.items() if type(value) is float}
    for named in (scalars, {}):  # a step may branch on one of its plain numbers: then they are printed as numbers
        try:
            return _sheet(cell, named)
        except Exception:
            continue
    return []


def _local(name: str, main: str) -> str:
    """The LaTeX of a local variable of `step`."""
    parts = [part for part in name.split("_") if part]
    if name in ("candidate", "cand", "proposal"):
        return rf"\tilde{{{symbol_name(main)}}}_t"
    if len(parts) == 2 and STEPPED & set(parts):
        name = next(part for part in parts if part not in STEPPED)
    elif len(parts) == 2 and parts[0] in ACCENTS:
        name = f"{parts[1]}_{parts[0]}"
    return symbol_name(name, "t")


def _run(cell: Any, arguments: Sequence[Symbol]) -> tuple[list[Symbol], dict[str, Any]]:
    """`step` on symbols: its results, and its local variables as they were when it returned."""
    code = inspect.unwrap(type(cell).step).__code__
    found: dict[str, Any] = {}

    def watch(frame: Any, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            found.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        out = cell.step(*arguments)
    finally:
        sys.setprofile(before)
    return [lifted(o) for o in (out if isinstance(out, tuple) else (out,))], found


def _sheet(cell: Any, scalars: dict[str, float]) -> list[str]:
    blocks = dict(cell.state_blocks)
    symbols = {name: Symbol(value, "leaf", symbol_name(name)) for name, value in cell.parameters.items()}
    graph = {name: np.zeros(np.shape(value)) for name, value in getattr(cell, "constants", {}).items()}
    symbols |= {name: Symbol(value + 1.0, "leaf", symbol_name(name)) for name, value in graph.items()}
    symbols |= {name: Symbol(value, "leaf", symbol_name(name, bold=False)) for name, value in scalars.items()}
    given = [Symbol(np.full((n, 1), 0.5), "leaf", symbol_name(b, "t-1"), b, "t-1") for b, n in blocks.items()]
    driven = list(inspect.signature(cell.step).parameters)[len(blocks)]
    inputs = np.full((getattr(cell, "input_size", 0), 1), 0.5)
    given.append(Symbol(inputs, "leaf", symbol_name(driven, "t"), driven, "t"))
    outputs, found = _run(with_parameters(cell, symbols), given)

    names: dict[int, str] = {}
    for block, out in zip(blocks, outputs, strict=True):
        if out.op != "leaf" and not is_zero(out):
            names.setdefault(id(out), symbol_name(block, "t"))
    taken = {symbol_name(name, "t") for name in (*blocks, driven)}
    main = cell.outputs if getattr(cell, "outputs", "") in blocks else next(iter(blocks))
    for local, value in found.items():
        latex = _local(local, main)
        is_new = isinstance(value, Symbol) and value.op not in ("leaf", "constant") and not is_zero(value)
        if is_new and id(value) not in names and latex not in taken:
            taken.add(latex)
            names[id(value)] = latex
    printer = Printer(names)
    lines = [f"{names[id(s)]} = {printer.definition(s)}" for s in _reached(outputs, names)]
    for block, out in zip(blocks, outputs, strict=True):
        own = symbol_name(block, "t")
        lines += [] if names.get(id(out)) == own else [f"{own} = {printer(out)[0]}"]
    return lines


def _reached(outputs: Sequence[Symbol], names: dict[int, str]) -> list[Symbol]:
    """The named values that the outputs depend on, in the order `step` computed them."""
    seen: dict[int, Symbol] = {}
    waiting = list(outputs)
    while waiting:
        node = waiting.pop()
        if id(node) not in seen and not is_zero(node):
            seen[id(node)] = node
            waiting += [a for a in node.args if isinstance(a, Symbol)]
    return sorted((s for s in seen.values() if id(s) in names), key=lambda s: s.order)
