"""Write a cell to npz, in the schema that `dynsys.load` reads back."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from dynsys.errors import InputError
from dynsys.loaders.own_schema import SPARSE
from dynsys.maps import numbers
from dynsys.readout import as_readout
from dynsys.types import AnyArray, ArrayLike


def save_npz(
    cell: Any, path: str | os.PathLike[str], readout: Any = None, *, initial_state: ArrayLike | None = None
) -> None:
    """Write a cell, and what stands around it, as a plain npz file without pickles.

    Args:
        cell: from `cells`; each field becomes an array of that name, its class the text array `cell`. Or a `stack` of
            cells, or a loaded model; the names of layer k then begin with `layerk.`.
        path: where to; an existing file is replaced.
        readout: V (r, n), a pair (V, c), or an affine Readout; stored as `V` and `c`.
        initial_state: (n,), all state blocks in their order.
    """
    inner = getattr(cell, "inner", cell)  # of a loaded model, its map
    inner = getattr(inner, "cell", inner)  # of a cell's map, the cell
    layers = [getattr(f, "cell", f) for f in getattr(inner, "layers", [inner])]
    for one in layers:
        if not dataclasses.is_dataclass(one) or not hasattr(one, "state_blocks"):
            raise InputError(f"save_npz writes a cell or a stack of cells, got a {type(one).__name__}.")
    if hasattr(inner, "layers"):
        arrays = _stacked(layers, inner, readout, initial_state)
    else:
        arrays = _named(layers[0], readout, initial_state)
    try:
        with open(path, "wb") as file:  # np.savez would add ".npz" to a plain path
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error.strerror or error}.") from None


def _named(cell: Any, readout: Any, initial_state: ArrayLike | None) -> dict[str, AnyArray]:
    fields = [field.name for field in dataclasses.fields(cell)]
    arrays: dict[str, AnyArray] = {"cell": np.array(type(cell).__name__)}
    for name in fields:
        value = getattr(cell, name)
        sparse = hasattr(value, "tocsr")
        # A sparse matrix (a graph's) as its three arrays of compressed rows.
        parts = {f"{name}.{part}": getattr(value, part) for part in SPARSE} if sparse else {name: value}
        arrays |= {key: np.asarray(part) for key, part in parts.items()}
    return arrays | _around(cell, readout, initial_state)


def _around(cell: Any, readout: Any, initial_state: ArrayLike | None) -> dict[str, AnyArray]:
    """Readout and initial state of what has `output_size` outputs and `state_size` state variables."""
    arrays: dict[str, AnyArray] = {}
    if readout is not None:
        affine = as_readout(readout)
        if affine.V is None or affine.c is None:
            raise InputError("only an affine readout can be stored: pass a matrix V (r, n), or a pair (V, c).")
        if affine.V.shape[1] != cell.output_size:
            raise InputError(f"the readout takes {affine.V.shape[1]} values, the cell shows {cell.output_size}.")
        arrays |= {"V": affine.V, "c": affine.c}
    if initial_state is not None:
        start = numbers(initial_state, "initial_state")
        if start.shape != (cell.state_size,):
            raise InputError(f"`initial_state` must have shape ({cell.state_size},), got {start.shape}.")
        arrays["initial_state"] = start
    return arrays


def _stacked(layers: Sequence[Any], whole: Any, readout: Any, initial_state: ArrayLike | None) -> dict[str, AnyArray]:
    arrays = {f"layer{k}.{name}": a for k, cell in enumerate(layers) for name, a in _named(cell, None, None).items()}
    if whole.skip:
        arrays["skip"] = np.array("True")
    shown = whole.output.stop - whole.output.start
    top = _Around(shown, whole.state_size)
    return arrays | _around(top, readout, initial_state)


@dataclasses.dataclass(frozen=True)
class _Around:
    """How many values a readout sees, and how many a state has."""

    output_size: int
    state_size: int
