"""A cell, map or function from a user's own Python file: `mycell.py:MyCell`.

The one place where code from a file is run: the user asked for that file by name. `dynsys.load` never comes here.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import hashlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dynsys.combinators import as_map
from dynsys.errors import InputError, LoadError
from dynsys.loaders.contents import Contents, clean, real, shown
from dynsys.loaders.files import read_file
from dynsys.loaders.own_schema import READOUT, START, option_value, plain_value
from dynsys.maps import CellMap, Map
from dynsys.model import Model, Source
from dynsys.readout import Readout, as_readout

_DECORATOR = "@dataclass(frozen=True, kw_only=True, eq=False)"


def is_own_code(name: str) -> bool:
    """Whether a MODEL names something in a Python file."""
    return name.endswith(".py") or name.rpartition(":")[0].endswith(".py")


def load_own_code(
    name: str,
    *,
    params: str | os.PathLike[str] | None = None,
    state_size: int | None = None,
    input_size: int = 0,
    box: tuple[Any, Any] | None = None,
) -> Map:
    """What `name` = "mycell.py:NAME" stands for, as a map. Runs that file.

    Args:
        name: NAME is a cell class, which gets its fields from `params`; a function of columns; or a finished cell, map
            or PyTorch recurrent module.
        params: an .npz or .safetensors file with the class's fields, and `V`, `c`, `initial_state` for what stands
            around it; or with a function's keyword arguments.
        state_size, input_size: of a function. box: (low, high), where to look for states.
    """
    file, _, wanted = name.rpartition(":") if not name.endswith(".py") else (name, "", "")
    path, source = _source(file)
    given = None if params is None else read_file(params)[2]
    obj = _named(path, source, wanted)
    readout, start = None, None
    if inspect.isclass(obj):
        if state_size is not None or input_size:
            raise InputError(f"{wanted} is a class, whose fields say its sizes: leave --state-size, --input-size out.")
        obj, readout, start = _instance(obj, given, name)
    elif given is not None:
        obj = _with_keywords(obj, given, wanted)
    if _is_function(obj) and state_size is None:
        raise InputError(f"{wanted} is a function, which does not say how many state variables it has: --state-size N.")
    f = as_map(obj, state_size, input_size, box if _is_function(obj) else None)
    digest = hashlib.sha256(source).hexdigest()
    made = Source(path=name, sha256=digest, format="Python file", dtype="float64", prefix="", cells=(wanted,))
    if isinstance(f, CellMap):
        f = Model(f, source=made, readout=readout, initial_state=start)
    if box is not None and not _is_function(obj):
        f = as_map(f, box=box)
    vars(f).setdefault("source", made)
    return f


def _source(file: str) -> tuple[Path, bytes]:
    path = Path(file)
    try:
        return path, path.read_bytes()
    except FileNotFoundError:
        raise LoadError(f"there is no file {file}. Check the path.") from None
    except OSError as error:
        raise LoadError(f"cannot read {file}: {error.strerror or error}.") from None


def _named(path: Path, source: bytes, wanted: str) -> Any:
    """The object `wanted` of the file, which is run for it."""
    try:
        tree = ast.parse(source, str(path))
    except (SyntaxError, ValueError) as error:
        raise LoadError(f"{path} is no valid Python: {error}.") from None
    known = [node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    offered = f"It defines {', '.join(known)}." if known else "It defines no class and no function."
    if not wanted:
        example = known[0] if known else "MyCell"
        raise LoadError(f"{path} is a Python file: say which of its names is the model, as {path}:{example}. {offered}")
    module = _run(path)
    if hasattr(module, wanted):
        return getattr(module, wanted)
    near = difflib.get_close_matches(wanted, known, 1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise LoadError(f"{path} has no {wanted!r}. {hint}{offered}")


def _run(path: Path) -> Any:
    name = f"dynsys_own_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # so that it may import its neighbours; last, so that it hides nothing
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        own = str(path.resolve())
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
        where = f", line {lines[-1]}" if lines else ""
        raise LoadError(f"running {path}{where} failed: {type(error).__name__}: {clean(str(error))}.") from None
    return module


def _is_function(obj: Any) -> bool:
    return inspect.isroutine(obj) or isinstance(obj, (np.ufunc, functools.partial))


def _instance(kind: Any, given: Contents | None, name: str) -> tuple[Any, Readout | None, Any]:
    """An instance of the class from its fields, and the readout and initial state beside them."""
    fields = _fields(kind, name)
    if given is None:
        needed = [f.name for f in fields if _is_required(f)]
        if needed:
            raise InputError(
                f"{kind.__name__} needs {', '.join(needed)}: --params FILE.npz with arrays of these names."
            )
        given = Contents("npz", {}, {})
    names = [f.name for f in fields if f.init]
    texts = {key: text for key, text in given.metadata.items() if key != "cell" or "cell" in names}
    around = [key for key in (*READOUT, START) if key not in names]
    extra = [key for key in (*given.arrays, *texts) if key not in (*names, *around)]
    if extra:
        near = difflib.get_close_matches(extra[0], names, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise LoadError(f"{kind.__name__} has no field {', '.join(extra)}.{hint} Its fields: {', '.join(names)}.")
    missing = [f.name for f in fields if _is_required(f) and f.name not in given.arrays and f.name not in texts]
    if missing:
        raise LoadError(
            f"{kind.__name__} also needs {', '.join(missing)}; the file of parameters has {shown(given.arrays)}."
        )
    letters = kind.shapes() if hasattr(kind, "shapes") else {}
    values: dict[str, Any] = {}
    for field in fields:
        if field.name in given.arrays:
            array = given.arrays[field.name]
            is_option = letters and field.name not in letters and array.ndim < 2
            values[field.name] = plain_value(array) if is_option else _numbers(given, field.name)
        elif field.name in texts:
            values[field.name] = option_value(field, texts)
    try:
        cell = kind(**values)
    except Exception as error:  # the class is the user's: it may raise anything
        named = "" if str(error).startswith(kind.__name__) else f"{kind.__name__} could not be made: "
        raise LoadError(f"{named}{clean(str(error))}") from None
    return cell, *_around(given, around)


def _fields(kind: Any, name: str) -> tuple[dataclasses.Field[Any], ...]:
    if not hasattr(kind, "step"):
        raise LoadError(
            f"{name} is a class without a method `step`: it is no cell. A finished cell or map, or a function of "
            "columns, may be named too."
        )
    if "__dataclass_fields__" not in vars(kind):
        raise LoadError(f"{name} is not a dataclass: put {_DECORATOR} above the class.")
    return dataclasses.fields(kind)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _around(given: Contents, names: list[str]) -> tuple[Readout | None, Any]:
    found = {key: _numbers(given, key) for key in names if key in given.arrays}
    readout = as_readout((found["V"], found["c"]) if "c" in found else found["V"]) if "V" in found else None
    if "c" in found and readout is None:
        raise LoadError("the file of parameters has a readout bias c, but no readout matrix V.")
    return readout, found[START].ravel() if START in found else None


def _with_keywords(obj: Any, given: Contents, name: str) -> Any:
    """A function with the arrays of the file of parameters as its keyword arguments."""
    if not _is_function(obj):
        raise InputError(f"{name} is a finished {type(obj).__name__}, which has its parameters: leave --params out.")
    try:
        parameters: Mapping[str, inspect.Parameter] = inspect.signature(obj).parameters
    except ValueError:
        parameters = {}
    extra = [key for key in given.arrays if key not in parameters]
    if extra:
        raise LoadError(f"the function {name} has no argument {', '.join(extra)}; it has {', '.join(parameters)}.")
    return functools.wraps(obj)(functools.partial(obj, **{key: _numbers(given, key) for key in given.arrays}))


def _numbers(given: Contents, name: str) -> Any:
    array = given.arrays[name]
    # Integers are what a hand-written example has; they are exact.
    return real({name: array.astype(float)} if array.dtype.kind in "iu" else given.arrays, name)
