"""Our own schema for layers on top of each other: that of a cell, with `layer0.`, `layer1.`, ... before its names.

`V`, `c` and `initial_state` stand for the whole network; the text `skip` = "True" says that layers hear its input too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dynsys.errors import InputError, LoadError
from dynsys.loaders.contents import Contents, real, shown
from dynsys.loaders.own_schema import READOUT, START, known_classes, read_own_schema
from dynsys.loaders.surroundings import Surroundings
from dynsys.readout import as_readout

_LAYER = re.compile(r"layer(\d+)\.(.+)")


def read_own_stack(contents: Contents) -> tuple[list[Any], Surroundings, bool] | None:
    """The cells from the input side, what stands around them, and whether they skip; None for another schema."""
    if "layer0.cell" not in contents.metadata:
        return None
    count = len({match[1] for name in contents.metadata if (match := _LAYER.fullmatch(name)) and match[2] == "cell"})
    cells = [_cell(contents, k) for k in range(count)]
    readout = None
    if "V" in contents.arrays:
        V, c = (_numbers(contents, name) if name in contents.arrays else None for name in READOUT)
        try:
            readout = as_readout(V if c is None else (V, c))
        except InputError as error:
            raise LoadError(str(error)) from None
    start = _numbers(contents, START).ravel() if START in contents.arrays else None
    known = (*READOUT, START)
    unused = {n: a for n, a in contents.arrays.items() if n not in known and not _LAYER.fullmatch(n)}
    notes = (f"not used: {shown(unused)}",) if unused else ()
    return cells, Surroundings(readout, None, start, notes), contents.metadata.get("skip") == "True"


def _cell(contents: Contents, layer: int) -> Any:
    prefix = f"layer{layer}."

    def own(named: Mapping[str, Any]) -> dict[str, Any]:
        return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}

    texts = own(contents.metadata)
    said = texts.get("cell", "no class")
    if said not in known_classes():
        raise LoadError(f"layer {layer} is of class {said!r}, which is none of the cells that `dynsys cells` lists.")
    try:
        found = read_own_schema(Contents(contents.format, own(contents.arrays), own(contents.dtypes), texts))
    except LoadError as error:
        raise LoadError(f"layer {layer}: {error}") from None
    assert found is not None
    return found[0]


def _numbers(contents: Contents, name: str) -> Any:
    array = contents.arrays[name]
    return real({name: array.astype(float)} if array.dtype.kind in "iu" else contents.arrays, name)
