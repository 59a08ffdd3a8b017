"""Our own schema: arrays named by a cell's fields, its class under `cell`, options by name, readout `V` and `c`.

For example an npz file with `cell` = "GRU", `update` = "takes-new", `U_z`, `W_z`, `b_z`, ..., `V`, `c`. In safetensors
files the texts are metadata. `initial_state` (n,) may be there too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dynsys.errors import InputError, LoadError
from dynsys.loaders.contents import Arrays, Contents, real, shown
from dynsys.loaders.recurrent import cells_package
from dynsys.loaders.surroundings import Surroundings
from dynsys.readout import as_readout
from dynsys.types import AnyArray, Array

READOUT, START = ("V", "c"), "initial_state"
INFERRED = ("Elman", "LSTM", "GRU", "GRUResetAfter")
"""The cells that a file may mean without saying so. Many others share U, W, b: they are named, not guessed."""
SPARSE = ("data", "indices", "indptr")
"""The arrays of a square sparse matrix in compressed rows, stored as `A.data`, `A.indices`, `A.indptr`."""


def read_own_schema(contents: Contents) -> tuple[Any, Surroundings] | None:
    """The cell that the file describes and what stands around it; None where its names are not a cell's fields."""
    contents, graphs = _without_sparse(contents)
    cell = _cell(contents, graphs)
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


def _without_sparse(contents: Contents) -> tuple[Contents, dict[str, Any]]:
    """The contents without the arrays of sparse matrices, and those matrices by name."""
    names = [key.removesuffix(".indptr") for key in contents.arrays if key.endswith(".indptr")]
    names = [name for name in names if all(f"{name}.{part}" in contents.arrays for part in SPARSE)]
    if not names:
        return contents, {}
    import scipy.sparse

    matrices = {}
    for name in names:
        data, indices, indptr = (contents.arrays[f"{name}.{part}"] for part in SPARSE)
        try:
            size = len(indptr) - 1
            matrices[name] = scipy.sparse.csr_array((real({name: data}, name), indices, indptr), shape=(size, size))
            matrices[name].check_format(full_check=True)
        except (ValueError, TypeError) as error:
            raise LoadError(f"{name} is not a sparse matrix in compressed rows: {error}.") from None
    parts = {f"{name}.{part}" for name in names for part in SPARSE}
    rest = {key: array for key, array in contents.arrays.items() if key not in parts}
    return dataclasses.replace(contents, arrays=rest), matrices


def _cell(contents: Contents, graphs: Mapping[str, Any]) -> Any | None:
    classes = known_classes()
    said = contents.metadata.get("cell")
    if said is not None and said in classes:
        return _build(classes[said], contents, graphs)
    given = {name for name in (*contents.arrays, *graphs) if name not in (*READOUT, START)}
    usual = [classes[name] for name in INFERRED]
    fitting = [kind for kind in usual if _required(kind) <= given <= {f.name for f in dataclasses.fields(kind)}]
    if len(fitting) > 1:
        raise LoadError(
            f"its names fit several cells: {', '.join(kind.__name__ for kind in fitting)}. Say which, in a text array "
            f"`cell` (npz) or metadata `cell` (safetensors): np.savez(path, cell={fitting[0].__name__!r}, ...)."
        )
    return _build(fitting[0], contents, graphs) if fitting else None


def known_classes() -> dict[str, Any]:
    """The cells by the name of their class."""
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


def _build(kind: Any, contents: Contents, graphs: Mapping[str, Any]) -> Any:
    fields = dataclasses.fields(kind)
    arrays = {field.name: contents.arrays[field.name] for field in fields if field.name in contents.arrays}
    missing = _required(kind) - arrays.keys() - contents.metadata.keys() - graphs.keys()
    if missing:
        raise LoadError(
            f"a cell {kind.__name__} also needs {', '.join(sorted(missing))}; the file has {shown(contents.arrays)}."
        )
    matrices = kind.shapes()
    if any(0 in arrays[name].shape for name in _required(kind) & matrices.keys() & arrays.keys()):
        raise LoadError(f"the cell {kind.__name__} has no units: {shown(arrays)}. Need at least one.")
    try:
        values = {name: _array(arrays, name) if name in matrices else plain_value(arrays[name]) for name in arrays}
        values |= {name: graph for name, graph in graphs.items() if name in matrices}
        values |= {f.name: option_value(f, contents.metadata) for f in fields if f.name in contents.metadata}
        return kind(**values)
    except (ValueError, TypeError) as error:  # ParameterError is a ValueError
        raise LoadError(str(error)) from None


def plain_value(array: AnyArray) -> Any:
    """An option stored as an array: one value, or a tuple of them."""
    return tuple(array.tolist()) if array.ndim == 1 else array.item()


def _array(arrays: Arrays, name: str) -> Array:
    array = arrays[name]
    # Integers are what a hand-written example has; they are exact.
    return real({name: array.astype(float)} if array.dtype.kind in "iu" else arrays, name)


def option_value(field: dataclasses.Field[Any], metadata: Mapping[str, str]) -> Any:
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
