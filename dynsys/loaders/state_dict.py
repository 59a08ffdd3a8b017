"""Names and arrays of a state dict, freed from what training tools wrap around them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dynsys.errors import LoadError
from dynsys.loaders.contents import real
from dynsys.types import AnyArray, Array

Arrays = dict[str, AnyArray]

_CHECKPOINTS = ("state_dict.", "model_state_dict.")
_PARAMETRIZED = "parametrizations."


def normalized(arrays: Arrays) -> tuple[Arrays, tuple[str, ...]]:
    """The model's own arrays under their plain names, and remarks on what was done.

    A checkpoint is reduced to its `state_dict` or `model_state_dict`; the wrappers `module.` (data parallel) and
    `_orig_mod.` (compiled) are taken off; optimiser states are dropped; weight normalisation is worked out.
    """
    notes: list[str] = []
    arrays = {name.replace("/", "."): array for name, array in arrays.items()}
    for wrapper in _CHECKPOINTS:
        inside = {name.removeprefix(wrapper): array for name, array in arrays.items() if name.startswith(wrapper)}
        if inside:
            if len(inside) < len(arrays):
                notes.append(f"read from {wrapper[:-1]!r} of a checkpoint; the rest of it is not used")
            arrays = inside
            break
    arrays = {name: array for name, array in arrays.items() if "optim" not in name.split(".")[0].lower()}
    arrays = _renamed(arrays, plain_name)
    while arrays and all(name.startswith("module.") for name in arrays):
        arrays = _renamed(arrays, lambda name: name.removeprefix("module."))
    return _without_weight_norm(arrays, notes), tuple(notes)


def plain_name(name: str) -> str:
    """A module's or array's name without the wrapper of compiled modules."""
    return name.replace("_orig_mod.", "")


def _renamed(arrays: Arrays, rename: Callable[[str], str]) -> Arrays:
    renamed = {rename(name): array for name, array in arrays.items()}
    return renamed if len(renamed) == len(arrays) else arrays


def _without_weight_norm(arrays: Arrays, notes: list[str]) -> Arrays:
    """w = g v / |v| in place of its two parts, however PyTorch's two implementations call them."""
    plain = dict(arrays)
    for direction in arrays:
        magnitude, name = _parts(direction)
        if not name or magnitude not in arrays or name in arrays:
            continue
        plain[name] = _weight(arrays, magnitude, direction)
        del plain[magnitude], plain[direction]
        notes.append(f"{name} is weight-normalised; it was put together from {magnitude} and {direction}")
    return plain


def _parts(direction: str) -> tuple[str, str]:
    """The name of g and of w, given that of v; empty where it is none."""
    if direction.endswith("_v") and direction.rpartition(".")[2].startswith(("weight", "bias")):
        return direction[:-1] + "g", direction[:-2]
    if direction.endswith(".original1") and _PARAMETRIZED in direction:
        return direction[:-1] + "0", direction.removesuffix(".original1").replace(_PARAMETRIZED, "")
    return "", ""


def _weight(arrays: Arrays, magnitude: str, direction: str) -> Array:
    g, v = real(arrays, magnitude), real(arrays, direction)
    if g.ndim not in (0, v.ndim) or any(a not in (1, b) for a, b in zip(g.shape, v.shape[: g.ndim], strict=True)):
        raise LoadError(f"{magnitude} {g.shape} and {direction} {v.shape} do not fit as g and v of a weight norm.")
    along = tuple(axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1)
    with np.errstate(all="ignore"):  # what is not finite is refused below
        length = np.sqrt((v * v).sum(axis=along, keepdims=True)) if along else np.abs(v)
    if not v.size or length.min() == 0 or not np.isfinite(length).all():
        raise LoadError(f"{direction} {v.shape} has rows of length zero or infinity, so the weight is not defined.")
    return np.asarray(g * (v / length))
