"""Graph convolutions of a PyTorch state dict: PyTorch Geometric's `GCNConv`, and layers written after Kipf and Welling.

GCNConv stores `conv1.lin.weight` (out, in) and `conv1.bias` (out,); older versions, and the reference code of GCN,
`conv1.weight` (in, out). What stands between the layers is in the code, not in the file.
Source: https://pytorch-geometric.readthedocs.io/en/latest/generated/torch_geometric.nn.conv.GCNConv.html.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from dynsys.errors import LoadError
from dynsys.loaders.contents import Arrays, Contents, clean, real, shown
from dynsys.loaders.state_dict import normalized, plain_name
from dynsys.model import Source

if TYPE_CHECKING:
    from dynsys.propagate.network import GraphNetwork

_NEW = re.compile(r"((?:.*\.)?)lin\.weight", re.DOTALL)
_OLD = re.compile(r"((?:.*\.)?(?:gc|gcn|conv|convs|graph_conv|gconv)\w*(?:\.\d+)?\.)weight", re.DOTALL)


@final
@dataclass(frozen=True)
class _Found:
    """One convolution: its prefix, the names of its arrays, and whether W is stored (out, in)."""

    prefix: str
    weight: str
    bias: str | None
    turned: bool


def graph_network(
    contents: Contents, path: str, sha256: str, nonlinearity: str | None, module: str | None
) -> GraphNetwork | None:
    """The graph network that a state dict describes; None where it has no graph convolution."""
    from dynsys.propagate.layers import Layer
    from dynsys.propagate.network import GraphNetwork

    arrays, remarks = normalized(contents.arrays)
    found = _convolutions(arrays)
    if not found:
        return None
    if module is not None:
        start = plain_name(f"{module}.")
        found = [one for one in found if one.prefix.startswith(start)]
        if not found:
            raise LoadError(f"no graph convolution stands under {module!r}; the file has {shown(arrays)}.")
    if nonlinearity not in (None, "relu", "tanh"):
        raise LoadError(f"`nonlinearity` is 'relu' or 'tanh', got {nonlinearity!r}.")
    _require_plain(arrays, found)
    found = _in_order(arrays, found)
    notes = [*remarks]
    between = nonlinearity or "relu"
    if nonlinearity is None and len(found) > 1:
        notes.append(
            "the file does not say what stands between the layers; ReLU is assumed (nonlinearity='tanh' to change), "
            "and nothing after the last"
        )
    layers = []
    for k, one in enumerate(found):
        W = real(arrays, one.weight)
        b = None if one.bias is None else real(arrays, one.bias)
        last = k == len(found) - 1
        layers.append(Layer(W=W.T if one.turned else W, b=b, activation="identity" if last else between))
    used = {name for one in found for name in (one.weight, one.bias)}
    unused = {name: array for name, array in arrays.items() if name not in used}
    if unused:
        notes.append(f"not used: {shown(unused)}")
    dtype = ", ".join(dict.fromkeys(contents.dtypes[name] for name in contents.dtypes)) or "unknown"
    if dtype != "float64":
        notes.insert(0, f"weights are stored as {dtype} and were converted to float64")
    source = Source(
        path=path,
        sha256=sha256,
        format=contents.format,
        dtype=dtype,
        prefix=found[0].prefix.rstrip("."),
        cells=("GCN",) * len(layers),
        metadata=contents.metadata,
    )
    return GraphNetwork(tuple(layers), source, tuple(clean(note) for note in notes))


def network_in_memory(module: Any) -> GraphNetwork:
    """The graph convolutions of a PyTorch module. The module is only read."""
    from dynsys.loaders.torch_module import contents_of_module, digest

    for name, part in module.named_modules():
        for option, usual in (("improved", False), ("add_self_loops", True), ("normalize", True)):
            if type(part).__name__ == "GCNConv" and getattr(part, option, usual) != usual:
                raise LoadError(f"{name or 'the module'} has {option}={not usual}, which is not supported.")
    contents = contents_of_module(module)
    where = f"{type(module).__module__}.{type(module).__qualname__}"
    network = graph_network(contents, where, digest(contents.arrays), None, None)
    if network is None:
        raise LoadError(f"{where} has no graph convolution (GCNConv): found {shown(contents.arrays)}.")
    return network


def _convolutions(arrays: Arrays) -> list[_Found]:
    found = []
    for key, array in arrays.items():
        if array.ndim != 2:
            continue
        new, old = _NEW.fullmatch(key), _OLD.fullmatch(key)
        if new and f"{new[1]}lin.bias" not in arrays:
            bias = f"{new[1]}bias"
            found.append(_Found(new[1], key, bias if bias in arrays else None, True))
        elif old:
            bias = f"{old[1]}bias"
            given = arrays.get(bias)
            if given is None or given.shape in ((array.shape[1],), (1, array.shape[1])):
                found.append(_Found(old[1], key, None if given is None else bias, False))
    return found


def _require_plain(arrays: Arrays, found: Sequence[_Found]) -> None:
    """Refuse what would be read as another network: attention, normalisation layers between the convolutions."""
    for one in found:
        own = {one.weight, one.bias}
        others = {name: array for name, array in arrays.items() if name.startswith(one.prefix) and name not in own}
        if one.prefix and others:
            raise LoadError(
                f"{one.prefix.rstrip('.')} has more than the weight and bias of a GCNConv: {shown(others)}. Only plain "
                "graph convolutions are known."
            )
    statistics = [name for name in arrays if name.endswith(("running_mean", "mean_scale"))]
    if statistics:
        raise LoadError(
            f"the network normalises its features between the layers ({statistics[0]}), which is not known here. Fold "
            "the normalisation into the weights, or give the layers to dynsys.propagation as a list."
        )


def _in_order(arrays: Arrays, found: list[_Found]) -> list[_Found]:
    """The convolutions in the order in which they fit on each other: as stored, or by the numbers in their names."""

    def natural(one: _Found) -> list[Any]:
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", one.prefix)]

    for order in (found, sorted(found, key=natural)):
        shapes = [arrays[one.weight].shape[:: -1 if one.turned else 1] for one in order]
        if all(a[1] == b[0] for a, b in itertools.pairwise(shapes)):
            return list(order)
    widths = ", ".join(f"{one.prefix.rstrip('.')} {arrays[one.weight].shape}" for one in found)
    raise LoadError(f"the graph convolutions do not fit on each other: {widths}. Choose a part with `module`.")
