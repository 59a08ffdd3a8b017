"""Results in files and back: frozen dataclasses as `.npz`, arrays beside a JSON tree, nothing pickled."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

TREE = "tree"


def store(path: Path, result: Any) -> None:
    """Write `result` (dataclasses, dicts, tuples, arrays, numbers, text) to `path`, whole or not at all."""
    arrays: dict[str, Any] = {}
    tree = json.dumps(_packed(result, arrays))
    half = path.with_name(f".{path.name}.half")
    with half.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, **{TREE: np.array(tree)})
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def restored(path: Path) -> Any | None:
    """What `store` wrote to `path`; None where there is no such file, or where it is damaged."""
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return _unpacked(json.loads(str(file[TREE])), dict(file))
    except (
        OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, MemoryError, OverflowError, SyntaxError,
        zipfile.BadZipFile,
    ):  # fmt: skip
        return None


def _classes() -> dict[str, type]:
    """What may be in a file: results of searches, their parts, and their stages."""
    from dynsys.completeness import Completeness
    from dynsys.cycles import Cycles
    from dynsys.fixed_points import FixedPoints
    from dynsys.maps import SearchBox
    from dynsys.periodic.newton import Shots
    from dynsys.points import Points
    from dynsys.root_search import Search

    return {c.__name__: c for c in (Completeness, Cycles, FixedPoints, Points, Search, SearchBox, Shots)}


def _packed(value: Any, arrays: dict[str, Any]) -> Any:
    """`value` as JSON, its arrays put aside and named."""
    if isinstance(value, np.ndarray):
        name = f"array{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if type(value).__name__ not in _classes():
            raise TypeError(f"{type(value).__name__} is not stored")
        fields = {f.name: _packed(getattr(value, f.name), arrays) for f in dataclasses.fields(value)}
        return {"class": type(value).__name__, "fields": fields}
    if isinstance(value, tuple):
        return {"tuple": [_packed(v, arrays) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[_packed(k, arrays), _packed(v, arrays)] for k, v in value.items()]}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{type(value).__name__} is not stored")


def _unpacked(tree: Any, arrays: dict[str, Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return arrays[tree["array"]]
    if "tuple" in tree:
        return tuple(_unpacked(v, arrays) for v in tree["tuple"])
    if "dict" in tree:
        return {_unpacked(k, arrays): _unpacked(v, arrays) for k, v in tree["dict"]}
    fields = {name: _unpacked(v, arrays) for name, v in tree["fields"].items()}
    return _classes()[tree["class"]](**fields)
