"""What stands around the recurrent layers in a state dict: readout, embedding, initial state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.loaders.contents import Arrays, real, shown
from dynsys.readout import Readout, as_readout
from dynsys.types import Array

_FIRST_HIDDEN = ("initial_hiddens_1xd", "initial_hiddens", "initial_hidden", "init_hidden", "hidden0")
_FIRST_H = frozenset((*_FIRST_HIDDEN, "initial_state", "init_state", "init_h", "h_init", "h0", "h_0"))
_FIRST_C = frozenset(("initial_cells", "initial_cell", "init_cell", "cell0", "init_c", "c_init", "c0", "c_0"))


@final
@dataclass(frozen=True, eq=False)
class Surroundings:
    """readout: of the top layer's h. embedding: (V, m). initial_state: (n,). notes: what was taken, and what not."""

    readout: Readout | None
    embedding: Array | None
    initial_state: Array | None
    notes: tuple[str, ...]


@final
@dataclass(frozen=True)
class _Linear:
    """A matrix that may be a linear layer: its name, that of its bias, and its shape (outputs, inputs)."""

    weight: str
    bias: str | None
    outputs: int
    inputs: int


def find_surroundings(near: Arrays, others: Arrays, layers: Sequence[Any]) -> Surroundings:
    """What the arrays beside the recurrent ones are.

    Args:
        near: the arrays that may belong to this module. others: the arrays that belong elsewhere.
        layers: the cells, from the input side.
    """
    used: list[str] = []
    notes: list[str] = []
    state = _initial_state(near, layers, used, notes)
    linears = [linear for linear in _linears(near) if linear.weight not in used]
    embedding = _embedding(linears, layers, notes)
    if embedding is not None:
        used.append(embedding.weight)
        linears.remove(embedding)
    top = _readout(linears, layers[-1].output_size, notes)
    if top is not None:
        used += [top.weight, *([top.bias] if top.bias else [])]
    unused = {name: array for name, array in {**near, **others}.items() if name not in used}
    if unused:
        notes.append(f"not used: {shown(unused)}")
    return Surroundings(
        None if top is None else _affine(near, top),
        None if embedding is None else real(near, embedding.weight),
        state,
        tuple(notes),
    )


def _affine(arrays: Arrays, linear: _Linear) -> Readout:
    V = real(arrays, linear.weight)
    return as_readout((V, real(arrays, linear.bias)) if linear.bias else V)


def _linears(arrays: Arrays) -> list[_Linear]:
    found = []
    for name, array in arrays.items():
        stem, _, last = name.rpartition(".")
        if last != "weight" or array.ndim != 2 or not array.size or array.dtype.kind != "f":
            continue
        bias = f"{stem}.bias" if stem else "bias"
        if bias in arrays and arrays[bias].shape != array.shape[:1]:
            continue
        found.append(_Linear(name, bias if bias in arrays else None, *array.shape))
    return found


def _embedding(linears: list[_Linear], layers: Sequence[Any], notes: list[str]) -> _Linear | None:
    """The matrix without bias whose rows are inputs: by its name, or else the only one that is no readout."""
    fits = [linear for linear in linears if linear.bias is None and linear.inputs == layers[0].input_size]
    named = [linear for linear in fits if "emb" in linear.weight.lower()]
    if not named and layers[0].input_size != layers[-1].output_size:
        named = fits
    if len(named) > 1:
        notes.append(f"several matrices could be the embedding ({_names(named)}); none is taken")
        return None
    if named:
        notes.append(f"{named[0].weight} is read as the embedding of {named[0].outputs} tokens")
    return named[0] if named else None


def _readout(linears: list[_Linear], hidden: int, notes: list[str]) -> _Linear | None:
    fits = [linear for linear in linears if linear.inputs == hidden]
    if not fits:
        return None
    after = [other for other in linears if other not in fits and other.inputs == fits[0].outputs]
    if len(fits) > 1 or after:
        why = "several linear layers could be the readout" if len(fits) > 1 else "the readout has several layers"
        notes.append(f"{why} ({_names([*fits, *after])}); none is taken")
        return None
    notes.append(f"{fits[0].weight} is read as the readout of the top layer's h")
    return fits[0]


def _names(linears: Sequence[_Linear]) -> str:
    return ", ".join(linear.weight for linear in linears)


def _initial_state(arrays: Arrays, layers: Sequence[Any], used: list[str], notes: list[str]) -> Array | None:
    """The learned initial state in the order of the model's own state: (h0, c0, h1, c1, ...)."""
    has_c = "c" in layers[0].state_blocks
    h = _per_layer(arrays, _FIRST_H, [layer.output_size for layer in layers], notes)
    c = _per_layer(arrays, _FIRST_C, [layer.state_blocks.get("c", layer.output_size) for layer in layers], notes)
    if h is None or (c is not None and not has_c):
        return None
    parts = [h[1]]
    used.append(h[0])
    if has_c and c is not None:
        parts.append(c[1])
        used.append(c[0])
    elif has_c:
        parts.append([np.zeros(layer.state_blocks["c"]) for layer in layers])
        notes.append(f"{h[0]} is the initial h; the file has no initial c, zeros are assumed")
    notes.append(f"starts from the file's own initial state ({', '.join(used)})")
    return np.concatenate([part[k] for k in range(len(layers)) for part in parts])


def _per_layer(
    arrays: Arrays, names: frozenset[str], sizes: Sequence[int], notes: list[str]
) -> tuple[str, list[Array]] | None:
    found = [name for name in arrays if name.rpartition(".")[2] in names]
    if len(found) > 1:
        notes.append(f"several arrays could be the initial state ({', '.join(found)}); none is taken")
    if len(found) != 1:
        return None
    shape = tuple(size for size in arrays[found[0]].shape if size != 1)
    wanted = tuple(size for size in (len(sizes), sizes[0]) if size != 1)
    if len(set(sizes)) != 1 or shape != wanted:
        return None
    return found[0], list(real(arrays, found[0]).reshape(len(sizes), sizes[0]))
