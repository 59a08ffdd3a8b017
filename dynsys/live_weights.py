"""The network as its weights stand now, from objects of frameworks that are not imported: only their arrays are read.

Keras layers are told by `get_weights`, Flax cells by the names in their parameter trees; anything else by the names of
the cells here. Sources of the orders: Keras 3 (`keras.layers.LSTM`: i, f, c, o; `GRU`: z, r, h), Flax
(`flax.linen.LSTMCell`, `GRUCell`, `SimpleCell`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dynsys.bare import bare
from dynsys.combinators import as_map, stack
from dynsys.composed_maps import Stacked
from dynsys.errors import InputError
from dynsys.maps import CellMap, Map
from dynsys.types import Array

KERAS = {"LSTM": "ifgo", "GRU": "zrh", "SimpleRNN": " "}
"""Recurrent layers that are read, with the gates in the order of their columns."""
PASSED = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "ActivityRegularization", "Masking")
"""Layers between recurrent ones that do nothing when a network runs."""
FLAX = {
    "LSTM": {*("ii", "if", "ig", "io"), *("hi", "hf", "hg", "ho")},
    "GRUResetAfter": {"ir", "iz", "in", "hr", "hz", "hn"},
    "Elman": {"i", "h"},
}


def present_map(model: Any, weights: Any = None) -> Map:
    """The map that `model` is now; with `weights` the map that it is with them.

    Args:
        model: what `as_map` reads, a PyTorch module, a Keras layer or model, the parameters of a Flax cell, or a
            function of no arguments that returns one of these.
        weights: arrays by parameter name of the map (nested or with dots: "layer0.U"), the parameters of a Flax cell,
            or a list as Keras' `get_weights()` gives it; of the names left out the model's own stay.
    """
    if weights is not None and not isinstance(weights, Mapping) and not isinstance(weights, Sequence):
        raise InputError(f"weights are arrays by name, or a list of arrays; got {type(weights).__name__}.")
    if isinstance(weights, Mapping) and _flax_kind(weights) is not None:
        return _from_flax(weights)
    source = model() if _is_function(model) else model
    f = _from_keras(source) if _is_keras(source) else _from_flax(source) if isinstance(source, Mapping) else None
    if f is None:
        f = as_map(source)
    if weights is None:
        return f
    if isinstance(weights, Mapping):
        return _replaced(f, _flat(weights))
    return _replaced(f, _keras_names(f, [_array(w) for w in weights]))


def _is_function(model: Any) -> bool:
    known = ("state_dict", "step", "get_weights")
    return callable(model) and not any(hasattr(model, name) for name in known)


def _array(value: Any) -> Array:
    """As float64: arrays of NumPy and JAX, and tensors with their gradient left behind."""
    for detach in ("detach", "cpu"):
        value = getattr(value, detach)() if hasattr(value, detach) else value
    return np.array(value, dtype=np.float64)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Array]:
    found: dict[str, Array] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": _array(value)}
    return found


def _replaced(f: Map, values: Mapping[str, Array]) -> Map:
    """The map with other values of some parameters."""
    unknown = sorted(set(values) - set(f.parameters))
    if unknown:
        raise InputError(f"{f.name} has no parameter {', '.join(unknown)}; it has {', '.join(f.parameters)}.")
    changed = _rebuilt(f, values)
    changed.initial_state = f.initial_state
    return changed


def _rebuilt(f: Map, values: Mapping[str, Array]) -> Map:
    f = bare(f)
    if isinstance(f, CellMap):
        return as_map(dataclasses.replace(f.cell, **values))
    if isinstance(f, Stacked):
        layers = []
        for k, layer in enumerate(f.layers):
            lead = f"layer{k}."
            own = {name.removeprefix(lead): value for name, value in values.items() if name.startswith(lead)}
            layers.append(_replaced(layer, own))
        return Stacked(layers, f.skip, f.show, residual=f.residual)
    raise InputError(f"{f.name} is not made of cells whose weights could be set one by one; return a new map instead.")


# Keras


def _is_keras(model: Any) -> bool:
    return hasattr(model, "get_weights") and not isinstance(model, type)


def _recurrent_layers(model: Any) -> list[Any]:
    """The recurrent layers of a layer, or of a model with layers in it, one after the other."""
    if type(model).__name__ in KERAS:
        return [model]
    found: list[Any] = []
    between: list[str] = []
    for layer in getattr(model, "layers", ()):
        inside = _recurrent_layers(layer)
        if inside and found and between:
            raise InputError(
                f"between the recurrent layers stands {between[0]}: they are no plain stack. Pass one layer, or a "
                "function that returns a map."
            )
        found += inside
        if not inside and type(layer).__name__ not in PASSED:
            between = [*between, type(layer).__name__] if found else []
    return found


def _from_keras(model: Any) -> Map:
    # Within an epoch Keras on JAX keeps the weights outside the model; its own callbacks ask for them like this.
    if callable(getattr(model, "jax_state_sync", None)):
        model.jax_state_sync()
    layers = _recurrent_layers(model)
    if not layers:
        raise InputError(
            f"{type(model).__name__} has no layer that is read: {', '.join(KERAS)}, alone or one after the other."
        )
    maps = [_keras_cell(layer) for layer in layers]
    return as_map(maps[0]) if len(maps) == 1 else stack(*maps)


def _keras_cell(layer: Any) -> Any:
    import cells

    if getattr(layer, "go_backwards", False):
        raise InputError("a Keras layer that goes backwards is a map in the other direction of time: pass its cell.")
    kind, arrays = type(layer).__name__, [_array(w) for w in layer.get_weights()]
    names = {"linear": "identity"}
    activation = getattr(layer.activation, "__name__", "")
    activation = names.get(activation, activation)
    if activation == "leaky_relu":
        raise InputError("Keras' leaky_relu has a slope of 0.2, that of the cells here 0.01.")
    if kind == "SimpleRNN":
        return cells.Elman(**_columns(arrays, " "), activation=activation)
    gates: dict[str, Any] = {"activation": activation, "gate_activation": layer.recurrent_activation.__name__}
    if kind == "LSTM":
        # One setting for g and for c'.
        return cells.LSTM(**(_columns(arrays, "ifgo") | gates), output_activation=activation)
    after = getattr(layer, "reset_after", True)
    return (cells.GRUResetAfter if after else cells.GRU)(**(_columns(arrays, "zrh") | gates))


def _columns(arrays: Sequence[Array], gates: str) -> dict[str, Array]:
    """Kernel (m, k n), recurrent kernel (n, k n), bias (k n,) or (2, k n) as fields of a cell."""
    if len(arrays) not in (2, 3):
        raise InputError(f"a recurrent Keras layer has two or three arrays, got {len(arrays)}: is it built?")
    out: dict[str, Array] = {}
    for letter, array in zip("WU", arrays, strict=False):
        for gate, part in zip(gates, np.split(array.T, len(gates)), strict=True):
            out[f"{letter}_{gate}" if gate != " " else letter] = part
    if len(arrays) == 3:
        given = np.atleast_2d(arrays[2])
        both = np.split(given, len(gates), axis=1)
        for gate, part in zip(gates, both, strict=True):
            own = len(part) == 2 and gate == "h"  # the recurrent bias of the candidate stands inside the reset
            out[f"b_{gate}" if gate != " " else "b"] = part[0] if own else part.sum(axis=0)
            if own:
                out["b_hn"] = part[1]
    return out


def _keras_names(f: Map, arrays: list[Array]) -> dict[str, Array]:
    """A list as `get_weights` gives it, for the one cell that the map is."""
    inner = bare(f)
    kinds = {"LSTM": "ifgo", "GRU": "zrh", "GRUResetAfter": "zrh", "Elman": " "}
    kind = type(inner.cell).__name__ if isinstance(inner, CellMap) else ""
    if kind not in kinds:
        raise InputError(f"a list of weights is read for one LSTM, GRU or plain layer; {f.name} needs names.")
    return _columns(arrays, kinds[kind])


# Flax


def _flax_kind(tree: Mapping[str, Any]) -> str | None:
    kinds = [kind for kind, names in FLAX.items() if set(tree) == names]
    return kinds[0] if kinds and all(isinstance(part, Mapping) for part in tree.values()) else None


def _from_flax(tree: Mapping[str, Any]) -> Map:
    """The parameters of LSTMCell, GRUCell or SimpleCell: a kernel (in, out), and perhaps a bias, for each gate."""
    import cells

    kind = _flax_kind(tree)
    if kind is None:
        raise InputError(
            f"the names {', '.join(sorted(map(str, tree))[:8])} are not those of a Flax LSTMCell, GRUCell or "
            "SimpleCell; with a cell as the model, pass its own parameter names."
        )
    fields: dict[str, Array] = {}
    for name, part in tree.items():
        letter = "W" if name[0] == "i" else "U"
        gate = "_" + {"n": "h"}.get(name[1], name[1]) if len(name) > 1 else ""
        fields[letter + gate] = _array(part["kernel"]).T
        if "bias" in part:
            own = kind == "GRUResetAfter" and name == "hn"
            bias = "b_hn" if own else f"b{gate}"
            fields[bias] = fields.get(bias, 0.0) + _array(part["bias"])
    return as_map(getattr(cells, kind)(**fields))
