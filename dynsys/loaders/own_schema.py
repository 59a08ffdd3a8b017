"""Our own schema: arrays named by a cell's fields, its class under `cell`, options by name, readout `V` and `c`.

For example an npz file with `cell` = "GRU", `update` = "takes-new", `U_z`, `W_z`, `b_z`, ..., `V`, `c`. In safetensors
files the texts are metadata. `initial_state` (n,) may be there too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dynsys.errors import InputError, LoadError
from dynsys.loaders.contents import Contents, real, shown
from dynsys.loaders.recurrent import cells_package
from dynsys.loaders.state_dict import Arrays
from dynsys.loaders.surroundings import Surroundings
from dynsys.readout import as_readout
from dynsys.types import Array

READOUT, START = ("V", "c"), "initial_state"


def read_own_schema(contents: Contents) -> tuple[Any, Surroundings] | None:
    """The cell that the file describes and what stands around it; None where its names are not a cell's fields."""
    cell = _cell(contents)
    if cell is None:
        return None
    readout = None
    if "V" in contents.arrays:
        V, c = (_array(contents.arrays, name) if name in contents.arrays else None for name in READOUT)
        try:
            readout = as_readout(V if c is None else (V, c))
        except InputError as error:
            raise LoadError(str(error)) from None
    start = _array(contents.arrays, START).ravel() if START in contents.arrays else None
    known = {*(field.name for field in dataclasses.fields(cell)), START, *(READOUT if readout is not None else ())}
    unused = {name: array for name, array in contents.arrays.items() if name not in known}
    return cell, Surroundings(readout, None, start, (f"not used: {shown(unused)}",) if unused else ())


def _cell(contents: Contents) -> Any | None:
    classes = _classes()
    said = contents.metadata.get("cell")
    if said is not None and said in classes:
        return _build(classes[said], contents)
    given = {name for name in contents.arrays if name not in (*READOUT, START)}
    fitting = [
        kind for kind in classes.values() if _required(kind) <= given <= {f.name for f in dataclasses.fields(kind)}
    ]
    if len(fitting) > 1:
        raise LoadError(
            f"its names fit several cells: {', '.join(kind.__name__ for kind in fitting)}. Say which, in a text array "
            f"`cell` (npz) or metadata `cell` (safetensors): np.savez(path, cell={fitting[0].__name__!r}, ...)."
        )
    return _build(fitting[0], contents) if fitting else None


def _classes() -> dict[str, Any]:
    cells = cells_package()
    named = {name: getattr(cells, name) for name in cells.__all__}
    return {
        name: kind
        for name, kind in named.items()
        if isinstance(kind, type) and issubclass(kind, cells.Cell) and dataclasses.is_dataclass(kind)
    }


def _required(kind: Any) -> set[str]:
    return {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }


def _build(kind: Any, contents: Contents) -> Any:
    fields = dataclasses.fields(kind)
    arrays = {field.name: contents.arrays[field.name] for field in fields if field.name in contents.arrays}
    missing = _required(kind) - arrays.keys() - contents.metadata.keys()
    if missing:
        raise LoadError(
            f"a cell {kind.__name__} also needs {', '.join(sorted(missing))}; the file has {shown(contents.arrays)}."
        )
    matrices = kind.shapes()
    if any(0 in arrays[name].shape for name in _required(kind) & matrices.keys() & arrays.keys()):
        raise LoadError(f"the cell {kind.__name__} has no units: {shown(arrays)}. Need at least one.")
    try:
        values = {name: _array(arrays, name) if name in matrices else arrays[name].item() for name in arrays}
        values |= {f.name: _option(f, contents.metadata) for f in fields if f.name in contents.metadata}
        return kind(**values)
    except (ValueError, TypeError) as error:  # ParameterError is a ValueError
        raise LoadError(str(error)) from None


def _array(arrays: Arrays, name: str) -> Array:
    array = arrays[name]
    # Integers are what a hand-written example has; they are exact.
    return real({name: array.astype(float)} if array.dtype.kind in "iu" else arrays, name)


def _option(field: dataclasses.Field[Any], metadata: Mapping[str, str]) -> Any:
    """An option from its text, in the type of its default."""
    text = metadata[field.name]
    if isinstance(field.default, bool):
        return text == "True"
    if isinstance(field.default, (int, float)):
        try:
            return type(field.default)(text)
        except ValueError:
            raise LoadError(f"{field.name} must be a number like {field.default}, got {text[:50]!r}.") from None
    return text
