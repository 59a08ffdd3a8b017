"""A PyTorch module in memory as a model. The module is only read."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import numpy as np

from dynsys.errors import LoadError
from dynsys.loaders.build import build_model
from dynsys.loaders.contents import Contents
from dynsys.loaders.recurrent import find_groups
from dynsys.loaders.state_dict import normalized, plain_name
from dynsys.model import Model
from dynsys.types import AnyArray

_ITSELF = "pass that submodule itself, e.g. module.{example}"


def map_from_module(module: Any) -> Model:
    """A module as a map: an nn.RNN, nn.LSTM, nn.GRU or one of their cells, or a module that contains exactly one.

    Its nonlinearity is the module's own; readout, embedding and initial state are found as in a file. The weights are
    copied to float64, so later training does not change the map.
    """
    contents = contents_of_module(module)
    return build_model(
        contents,
        f"{type(module).__module__}.{type(module).__qualname__}",
        digest(contents.arrays),
        nonlinearity=said_nonlinearity(module, contents.arrays),
        choose=_ITSELF,
    )


def contents_of_module(module: Any) -> Contents:
    """The arrays of a module's state dict, copied; parametrised weights as the module computes them."""
    try:
        tensors = _plain(module, dict(module.state_dict()))
        arrays = {name: _array(tensor) for name, tensor in tensors.items() if hasattr(tensor, "detach")}
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        raise LoadError(f"the weights of {type(module).__name__} cannot be read: {error}") from None
    dtypes = {name: str(tensors[name].dtype).removeprefix("torch.") for name in arrays}
    return Contents("torch module", arrays, dtypes)


def _plain(module: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """The state dict with what torch.nn.utils.parametrize computes in place of the parts that it is computed from."""
    for path, part in module.named_modules():
        for name, steps in dict(getattr(part, "parametrizations", None) or {}).items():
            prefix = f"{path}." if path else ""
            kept = f"{prefix}parametrizations.{name}."
            if not any(key.startswith(kept) for key in tensors):
                continue
            tensors = {key: tensor for key, tensor in tensors.items() if not key.startswith(kept)}
            # A copy: in training some of them (the spectral norm) move their own buffers whenever they are asked.
            tensors[prefix + name] = copy.deepcopy(steps).eval()()
    return tensors


def _array(tensor: Any) -> AnyArray:
    values = tensor.detach().cpu()
    return np.array((values.double() if values.is_floating_point() else values).numpy())  # NumPy has no bfloat16


def said_nonlinearity(module: Any, arrays: dict[str, AnyArray]) -> str | None:
    """What a plain RNN among the module's parts says of itself; None where there is none, or several."""
    groups = find_groups(normalized(arrays)[0])
    if len(groups) != 1:
        return None
    (group,) = groups.values()
    for name, part in module.named_modules():
        if plain_name(f"{name}.").lstrip(".") in (group.prefix, f"module.{group.prefix}"):
            said = getattr(part, "nonlinearity", None)
            return said if isinstance(said, str) else None
    return None


def digest(arrays: dict[str, AnyArray]) -> str:
    """SHA-256 of names, shapes, types and values, hexadecimal."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].shape} {arrays[name].dtype}\n".encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()
