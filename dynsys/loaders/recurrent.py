"""Recurrent layers of a PyTorch state dict as cells.

W_ih and W_hh stack the gates in rows: RNN one block, LSTM i f g o, GRU r z n. Each layer has two biases; they add up,
except in a GRU's candidate, where the recurrent one stays inside the reset gate's product.
Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html, torch.nn.LSTM.html, torch.nn.GRU.html.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from dynsys.errors import LoadError
from dynsys.loaders.contents import Arrays, real
from dynsys.loaders.reparametrized import refusal, unread_weights
from dynsys.types import Array

_KEY = re.compile(r"((?:.*\.)?)(weight|bias)_(ih|hh|hr)(?:_l(\d{1,4})(_reverse)?)?", re.DOTALL)
_BLOCKS = {1: "RNN", 3: "GRU", 4: "LSTM"}


@final
@dataclass(frozen=True)
class Group:
    """The arrays of one recurrent module. `layers`: the names by layer and part, e.g. layers[0]["weight_hh"].

    `reverse`: names of another direction of time. `unread`: weights that the file holds in parts that do not say how
    they go together, and one of the parts of each.
    """

    prefix: str
    layers: dict[int, dict[str, str]] = field(default_factory=dict)
    reverse: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.prefix.rstrip(".")

    @property
    def keys(self) -> list[str]:
        return [key for parts in self.layers.values() for key in parts.values()]


def cells_package() -> Any:
    """Our package `cells`; LoadError where another module of that name is in the way."""
    try:
        cells: Any = importlib.import_module("cells")
    except Exception as error:  # a stranger's module may raise anything
        raise LoadError(f"the package `cells`, which comes with dynsys, cannot be imported: {error}.") from None
    if not hasattr(cells, "GRUResetAfter"):
        where = getattr(cells, "__file__", None) or next(iter(getattr(cells, "__path__", ["?"])), "?")
        raise LoadError(
            f"another module named `cells` is in the way: {where}. dynsys needs its own package `cells`: rename that "
            "file or folder, or start Python from another folder."
        )
    return cells


def find_groups(arrays: Arrays) -> dict[str, Group]:
    """The recurrent modules of a state dict by prefix, e.g. "encoder.rnn."."""
    groups: dict[str, Group] = {}
    for key in arrays:
        match = _KEY.fullmatch(key)
        if not match:
            continue
        prefix, what, side, layer, reverse = match.groups()
        group = groups.setdefault(prefix, Group(prefix))
        if reverse:
            group.reverse.append(key)
        else:
            parts = group.layers.setdefault(int(layer or 0), {})
            other = parts.setdefault(f"{what}_{side}", key)
            if other != key:
                raise LoadError(f"{other} and {key} both claim to be the same weights. Keep one of them.")
    for name, part in unread_weights(arrays).items():
        match = _KEY.fullmatch(name)
        if match:
            groups.setdefault(match[1], Group(match[1])).unread[name] = part
    return groups


def require_whole(group: Group) -> None:
    """Raise LoadError where a weight of the module is in parts that do not say how they go together."""
    for name, part in group.unread.items():
        raise LoadError(refusal(name, part))


def build_layers(
    arrays: Arrays, group: Group, asked: str | None, said: str | None
) -> tuple[list[Any], tuple[str, ...]]:
    """The cells of one recurrent module from the input side, and remarks on how they were read.

    The nonlinearity of a plain RNN is what the caller `asked` for, or else what the file `said`, or else tanh.
    """
    require_whole(group)
    _require_supported(group)
    kind = _kind(arrays, group.layers[0])
    if kind != "RNN" and asked is not None:
        raise LoadError(
            f"`nonlinearity` is for a plain RNN, but {group.name or 'the module'} is of type {kind}, whose functions "
            "are fixed. Leave it out."
        )
    notes: tuple[str, ...] = ()
    nonlinearity = asked or (said if said in ("tanh", "relu") else None)
    if kind == "RNN" and nonlinearity is None:
        notes = ("the file does not say tanh or ReLU; tanh is assumed (nonlinearity='relu' to change)",)
    layers: list[Any] = []
    for k in range(len(group.layers)):
        layers.append(_layer(arrays, group.layers[k], kind, nonlinearity or "tanh"))
        if k and layers[k].input_size != layers[k - 1].output_size:
            raise LoadError(
                f"{group.layers[k]['weight_ih']} takes {layers[k].input_size} inputs, but layer {k - 1} has "
                f"{layers[k - 1].output_size} units. The layers of one module must fit on each other."
            )
    return layers, notes


def _require_supported(group: Group) -> None:
    where = f" ({group.name})" if group.name else ""
    if group.reverse:
        raise LoadError(
            f"the module{where} is bidirectional ({group.reverse[0]}): two maps in opposite directions of time, not "
            "one. `dynsys.bidirectional(module)` reads the whole, its `direction('backward')` is one of the maps."
        )
    for k in range(len(group.layers)):
        parts = group.layers.get(k)
        if parts is None:
            raise LoadError(f"layer {k} of the module{where} is missing; there are layers {sorted(group.layers)}.")
        example = next(iter(parts.values()))
        needed = ["weight_ih", "weight_hh"]
        if any(part.startswith("bias") for part in parts):
            needed += ["bias_ih", "bias_hh"]
        for part in needed:
            if part not in parts:
                missing = re.sub(r"(weight|bias)_(ih|hh)(?=[^.]*$)", part, example)
                raise LoadError(f"{missing} is missing, though {example} is there. Save the whole state dict.")


def _kind(arrays: Arrays, parts: dict[str, str]) -> str:
    key = parts["weight_hh"]
    if "weight_hr" in parts:
        return _projected(arrays, parts)
    shape = arrays[key].shape
    blocks, rest = divmod(shape[0], shape[1]) if len(shape) == 2 and shape[1] else (0, 0)
    if rest or blocks not in _BLOCKS:
        raise LoadError(
            f"{key} has shape {shape}; need (n, n) for an RNN, (3n, n) for a GRU or (4n, n) for an LSTM, n at least 1."
        )
    return _BLOCKS[blocks]


def _projected(arrays: Arrays, parts: dict[str, str]) -> str:
    """The kind of a layer with a projection (p, n): only an LSTM has one, with recurrent weights (4n, p)."""
    down, key = parts["weight_hr"], parts["weight_hh"]
    shape = arrays[down].shape
    if len(shape) != 2 or 0 in shape or arrays[key].shape != (4 * shape[1], shape[0]):
        raise LoadError(f"{down} {shape} and {key} {arrays[key].shape} do not go together; need (p, n) and (4n, p).")
    return "LSTM"


def _layer(arrays: Arrays, parts: dict[str, str], kind: str, nonlinearity: str) -> Any:
    own = _kind(arrays, parts)
    if own != kind:
        raise LoadError(f"{parts['weight_hh']} is of type {own}, the layer below it is of type {kind}.")
    U = real(arrays, parts["weight_hh"])
    rows = len(U)
    W = _shaped(arrays, parts["weight_ih"], (rows, -1), parts["weight_hh"])
    biases = [
        _shaped(arrays, parts[part], (rows,), parts["weight_hh"]) if part in parts else np.zeros(rows)
        for part in ("bias_ih", "bias_hh")
    ]
    cells = cells_package()
    try:
        if "weight_hr" in parts:
            return cells.ProjectedLSTM(P=real(arrays, parts["weight_hr"]), **_gates("ifgo", W=W, U=U, b=_total(biases)))
        return _BUILDERS[kind](cells, W, U, biases, nonlinearity)
    except cells.ParameterError as error:
        raise LoadError(f"{parts['weight_hh']} and its companions make no cell: {error}") from None


def _shaped(arrays: Arrays, key: str, shape: tuple[int, ...], partner: str) -> Array:
    got = arrays[key].shape
    if len(got) != len(shape) or any(need not in (-1, size) for need, size in zip(shape, got, strict=True)):
        wanted = (
            "(" + ", ".join("inputs" if need < 0 else str(need) for need in shape) + ("," * (len(shape) == 1)) + ")"
        )
        raise LoadError(f"{key} has shape {got}, needs {wanted} to go with {partner} {arrays[partner].shape}.")
    return real(arrays, key)


def _elman(cells: Any, W: Array, U: Array, b: Sequence[Array], nonlinearity: str) -> Any:
    return cells.Elman(W=W, U=U, b=_total(b), activation=nonlinearity)


def _lstm(cells: Any, W: Array, U: Array, b: Sequence[Array], nonlinearity: str) -> Any:
    return cells.LSTM(**_gates("ifgo", W=W, U=U, b=_total(b)))


def _gru(cells: Any, W: Array, U: Array, b: Sequence[Array], nonlinearity: str) -> Any:
    gates = _gates("rzh", W=W, U=U, b=_total(b))
    candidate = slice(2 * U.shape[1], None)
    return cells.GRUResetAfter(**{**gates, "b_h": b[0][candidate], "b_hn": b[1][candidate]})


_BUILDERS: dict[str, Callable[..., Any]] = {"RNN": _elman, "LSTM": _lstm, "GRU": _gru}


def _total(biases: Sequence[Array]) -> Array:
    with np.errstate(over="ignore"):  # the cell refuses what is not finite
        return biases[0] + biases[1]


def _gates(names: str, **stacked: Array) -> dict[str, Array]:
    """{"W_i": ..., "W_f": ...}: the row blocks of each stacked array, in the order of `names`."""
    return {
        f"{letter}_{gate}": block
        for letter, array in stacked.items()
        for gate, block in zip(names, np.split(array, len(names)), strict=True)
    }
