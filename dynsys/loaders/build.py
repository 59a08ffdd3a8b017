"""From the contents of a file to a model: find the recurrent layers, then what stands around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynsys.combinators import as_map, stack
from dynsys.errors import InputError, LoadError
from dynsys.loaders.contents import Arrays, Contents, clean, shown
from dynsys.loaders.own_schema import read_own_schema
from dynsys.loaders.own_stack import read_own_stack
from dynsys.loaders.recurrent import Group, build_layers, find_groups
from dynsys.loaders.state_dict import normalized, plain_name
from dynsys.loaders.surroundings import Surroundings, find_surroundings
from dynsys.model import Model, Source

_OTHERS = "pass module={example!r} (on the command line --module {example})"


def build_model(
    contents: Contents,
    path: str,
    sha256: str,
    *,
    nonlinearity: str | None = None,
    module: str | None = None,
    choose: str = _OTHERS,
) -> Model:
    """The model that a file describes.

    Args:
        path, sha256: of the file, for the model's source.
        nonlinearity: of a plain RNN, where the file does not say it.
        module: prefix of the recurrent module to take, where there are several.
        choose: what to do where there are several, for the message; `{example}` is one of them.
    """
    arrays, notes = normalized(contents.arrays)
    groups = find_groups(arrays)
    if not groups:
        return _from_own_schema(contents, path, sha256, nonlinearity, module)
    group = _chosen(groups, module, choose)
    layers, remarks = build_layers(arrays, group, nonlinearity, contents.metadata.get("nonlinearity"))
    near, others = _leftovers(arrays, groups, group)
    around = find_surroundings(near, others, layers)
    dtype = _stored(contents, group)
    if others and not near:
        remarks += ("the file holds several recurrent modules; what is around this one is not looked for",)
    notes = (*_converted(dtype), *notes, *remarks, *around.notes)
    return _assembled(contents, path, sha256, layers, around, dtype=dtype, prefix=group.name, notes=notes)


def _assembled(
    contents: Contents,
    path: str,
    sha256: str,
    layers: list[Any],
    around: Surroundings,
    *,
    dtype: str,
    prefix: str,
    notes: tuple[str, ...],
    skip: bool = False,
) -> Model:
    names = tuple(type(layer).__name__ for layer in layers)
    source = Source(
        path=path,
        sha256=sha256,
        format=contents.format,
        dtype=dtype,
        prefix=prefix,
        cells=names,
        metadata=contents.metadata,
    )
    try:
        return Model(
            as_map(layers[0]) if len(layers) == 1 else stack(*layers, skip=skip),
            source=source,
            readout=around.readout,
            embedding=around.embedding,
            initial_state=around.initial_state,
            notes=[clean(note) for note in notes],
        )
    except LoadError:
        raise
    except InputError as error:
        raise LoadError(str(error)) from None


def _from_own_schema(contents: Contents, path: str, sha256: str, nonlinearity: str | None, module: str | None) -> Model:
    layers = read_own_stack(contents)
    own = read_own_schema(contents) if layers is None else None
    if own is None and layers is None:
        found = f"found {shown(contents.arrays)}" if contents.arrays else "found no arrays at all"
        raise LoadError(
            f"no recurrent layer: {found}. Need the names of a PyTorch RNN, LSTM or GRU (weight_ih_l0, weight_hh_l0, "
            "..., with any prefix) or of a cell's fields (U, W, b; U_z, W_z, b_z, ...)."
        )
    cells, around, skip = layers if layers is not None else ([own[0]], own[1], False) if own else ([], None, False)
    assert around is not None
    for name, value in (("nonlinearity", nonlinearity), ("module", module)):
        if value is not None:
            raise LoadError(
                f"`{name}` is for PyTorch's names, but this file holds cells by their fields. Leave it out."
            )
    names = {
        name if layers is None else f"layer{k}.{name}": None for k, cell in enumerate(cells) for name in cell.shapes()
    }
    dtype = ", ".join(dict.fromkeys(contents.dtypes[name] for name in names if name in contents.dtypes))
    notes = (*_converted(dtype), *around.notes)
    return _assembled(contents, path, sha256, cells, around, dtype=dtype, prefix="", notes=notes, skip=skip)


def _chosen(groups: Mapping[str, Group], module: str | None, choose: str) -> Group:
    names = {group.name: group for group in groups.values()}
    listed = ", ".join(name or "(top level)" for name in names)
    if module is not None:
        wanted = plain_name(f"{module}.".replace("/", ".")).rstrip(".")
        for name in (wanted, wanted.removeprefix("module.")):
            if name in names:
                return names[name]
        raise LoadError(f"no recurrent module is called {module!r}; there is {listed}.")
    if len(names) > 1:
        how = choose.format(example=next(name for name in names if name))
        raise LoadError(f"there are {len(names)} recurrent modules: {listed}. Choose one: {how}.")
    return next(iter(names.values()))


def _leftovers(arrays: Arrays, groups: Mapping[str, Group], group: Group) -> tuple[Arrays, Arrays]:
    """What may stand around this group, and what may not: with several groups, only its own parent's arrays may."""
    taken = set(group.keys)
    rest = {name: array for name, array in arrays.items() if name not in taken}
    if len(groups) == 1:
        return rest, {}
    parent = group.name.rpartition(".")[0] + "."
    if parent == "." or any(prefix.startswith(parent) for prefix in groups if prefix != group.prefix):
        return {}, rest
    near = {name: array for name, array in rest.items() if name.startswith(parent)}
    return near, {name: array for name, array in rest.items() if name not in near}


def _stored(contents: Contents, group: Group) -> str:
    """The element types of the recurrent weights, by the ends of their names, which no wrapper changes."""
    ends = tuple(key.rpartition(".")[2] for key in group.keys)
    kinds = [kind for name, kind in contents.dtypes.items() if name.replace("/", ".").rpartition(".")[2] in ends]
    return ", ".join(dict.fromkeys(kinds)) or ", ".join(dict.fromkeys(contents.dtypes.values()))


def _converted(dtype: str) -> tuple[str, ...]:
    return () if dtype == "float64" else (f"weights are stored as {dtype} and were converted to float64",)
