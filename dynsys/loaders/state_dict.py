"""Names and arrays of a state dict, freed from what training tools wrap around them."""

from __future__ import annotations

from collections.abc import Callable

from dynsys.loaders.contents import Arrays
from dynsys.loaders.reparametrized import put_together

_CHECKPOINTS = ("state_dict.", "model_state_dict.")


def normalized(arrays: Arrays) -> tuple[Arrays, tuple[str, ...]]:
    """The model's own arrays under their plain names, and remarks on what was done.

    A checkpoint is reduced to its `state_dict` or `model_state_dict`; the wrappers `module.` (data parallel) and
    `_orig_mod.` (compiled) are taken off; optimiser states are dropped; weight and
    spectral normalisation and pruning are worked out.
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
    return put_together(arrays, notes), tuple(notes)


def plain_name(name: str) -> str:
    """A module's or array's name without the wrapper of compiled modules."""
    return name.replace("_orig_mod.", "")


def _renamed(arrays: Arrays, rename: Callable[[str], str]) -> Arrays:
    renamed = {rename(name): array for name, array in arrays.items()}
    return renamed if len(renamed) == len(arrays) else arrays
