"""Bidirectional recurrent modules of PyTorch: the keys that end in `_reverse` are the backward maps."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from typing import Any, final

from dynsys.combinators import as_map
from dynsys.errors import InputError, LoadError
from dynsys.loaders.contents import Arrays, Contents, clean
from dynsys.loaders.files import read_file
from dynsys.loaders.recurrent import Group, build_layers, find_groups, require_whole
from dynsys.loaders.state_dict import normalized
from dynsys.loaders.surroundings import find_surroundings
from dynsys.maps import Map
from dynsys.model import Model, Source
from dynsys.two_directions import SIDES, Bidirectional

_LAYER = re.compile(r"_l(\d+)(_reverse)?$")


def two_directions_of(obj: Any, module: str | None = None, nonlinearity: str | None = None) -> Bidirectional:
    """The bidirectional network of a file of weights, or of a PyTorch module in memory."""
    if isinstance(obj, (str, os.PathLike)):
        name, data, contents = read_file(obj)
        try:
            total = hashlib.sha256(data).hexdigest()
            return build_two_directions(contents, name, total, nonlinearity=nonlinearity, module=module)
        except LoadError as error:
            raise LoadError(clean(f"cannot load {name}: {error}")) from None
    if hasattr(obj, "state_dict"):
        from dynsys.loaders.torch_module import contents_of_module, digest, said_nonlinearity

        contents = contents_of_module(obj)
        where = f"{type(obj).__module__}.{type(obj).__qualname__}"
        said = nonlinearity or said_nonlinearity(obj, contents.arrays)
        return build_two_directions(contents, where, digest(contents.arrays), nonlinearity=said, module=module)
    raise InputError(
        f"cannot read a {type(obj).__name__} as a bidirectional network: need pairs (forward, backward), a PyTorch "
        "module, or the path of a file."
    )


def build_two_directions(
    contents: Contents, path: str, sha256: str, *, nonlinearity: str | None = None, module: str | None = None
) -> Bidirectional:
    """The bidirectional network that a file describes."""
    arrays, notes = normalized(contents.arrays)
    groups = {g.name: g for g in find_groups(arrays).values() if g.reverse}
    if module is not None:
        groups = {name: g for name, g in groups.items() if name == module}
    if len(groups) != 1:
        found = f"there are {len(groups)}: {', '.join(groups)}. Choose one by `module`" if groups else "there is none"
        raise LoadError(f"need one bidirectional recurrent module, {found}.")
    (group,) = groups.values()
    require_whole(group)
    said = contents.metadata.get("nonlinearity")
    pairs, remarks = [], dict[str, None]()
    for k in range(len(group.layers)):
        pair = []
        for suffix in ("", "_reverse"):
            cell, more = _one_cell(arrays, group, k, suffix, nonlinearity, said)
            remarks |= dict.fromkeys(more)
            pair.append(cell)
        pairs.append((pair[0], pair[1]))
    shown = sum(int(cell.output_size) for cell in pairs[-1])
    near = {name: a for name, a in arrays.items() if not _belongs(name, group)}
    around = find_surroundings(near, {}, [_Ends(int(pairs[0][0].input_size), shown)])
    stored = ", ".join(dict.fromkeys(contents.dtypes.get(key, "float64") for key in group.keys))
    source = Source(
        path=path,
        sha256=sha256,
        format=contents.format,
        dtype=stored,
        prefix=group.name,
        cells=tuple(type(cell).__name__ for pair in pairs for cell in pair),
        metadata=contents.metadata,
    )
    kept = [note for note in around.notes if not note.startswith("starts from")]
    return Bidirectional(
        [(as_map(f), as_map(b)) for f, b in pairs],
        around.readout,
        embedding=around.embedding,
        source=source,
        notes=[clean(note) for note in (*notes, *remarks, *kept)],
    )


def one_direction(net: Bidirectional, direction: str) -> Model:
    """One map of a bidirectional network by itself."""
    f: Map = net.direction(direction)
    name = next(n for n, g in net.directions_by_name().items() if g is f)
    order = "its time runs from the last position to the first" if name.endswith(SIDES[1]) else "its time runs forward"
    layer = int(name.partition(".")[0].removeprefix("layer"))
    below = f"; it hears both outputs of layer {layer - 1}" if layer else ""
    assert net.source is not None
    return Model(f, source=net.source, notes=[f"{name} of a bidirectional network: {order}{below}", *net.notes])


@final
@dataclass(frozen=True)
class _Ends:
    """What the search for a readout and an embedding needs to know of a network."""

    input_size: int
    output_size: int
    state_blocks: dict[str, int] = field(default_factory=dict)


def _belongs(name: str, group: Group) -> bool:
    return name.startswith(group.prefix) and bool(_LAYER.search(name.removeprefix(group.prefix)))


def _one_cell(
    arrays: Arrays, group: Group, layer: int, suffix: str, asked: str | None, said: str | None
) -> tuple[Any, tuple[str, ...]]:
    """The cell of one layer in one direction, read as if it were a module by itself."""
    ending = f"_l{layer}{suffix}"
    own = {
        f"{name.removesuffix(ending)}_l0": array
        for name, array in arrays.items()
        if name.startswith(group.prefix) and name.endswith(ending)
    }
    found = find_groups(own).get(group.prefix)
    if found is None or not found.layers:
        where = f"{group.prefix}weight_hh{ending}"
        raise LoadError(f"bidirectional: {where} is missing, though {group.reverse[0]} is there. Save all of it.")
    try:
        cells, notes = build_layers(own, found, asked, said)
    except LoadError as error:
        raise LoadError(f"bidirectional: {str(error).replace('_l0', ending)}") from None
    return cells[0], notes
