"""PyTorch's .pt and .pth: a zip archive of one pickle and the bytes of each storage. Read without PyTorch.

Layout, under a common folder: `data.pkl`, `byteorder` ("little" or "big"), `data/0`, `data/1`, ... A tensor is a
storage with an offset, a size and strides, all in elements; each is checked against the storage before it is used.
"""

from __future__ import annotations

from typing import Any, Literal, final

import numpy as np

from dynsys.errors import LoadError
from dynsys.loaders.contents import ELEMENTS, Contents, elements
from dynsys.loaders.pickled import Function, pairs_to_dict, read_pickle
from dynsys.loaders.zip_file import Archive
from dynsys.types import AnyArray

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_UNTYPED = "untyped"
_MOST_VALUES, _DEEPEST, _LONGEST_NAME = 1_000_000, 32, 1000


@final
class _Kind(str):
    """An element type, e.g. "float32", apart from the pickle's own texts."""

    __slots__ = ()


@final
class _Storage:
    """The bytes of one storage, and the element type it was saved with."""

    def __init__(self, raw: bytes, kind: str, order: Literal["<", ">"]) -> None:
        self._raw, self._order, self.kind = raw, order, kind
        self._flat: dict[str, AnyArray] = {}

    def flat(self, kind: str) -> AnyArray:
        if kind not in self._flat:
            self._flat[kind] = elements(self._raw, kind, self._order)
        return self._flat[kind]


@final
class _Tensor:
    """An array, and how its elements are stored."""

    def __init__(self, array: AnyArray, kind: str) -> None:
        self.array, self.kind = array, kind


def read_torch(archive: Archive) -> Contents:
    """The contents of a PyTorch archive: every tensor under its flat name, top-level texts as metadata."""
    pickles = [name for name in archive.names if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise LoadError(f"it should hold one data.pkl, as PyTorch writes it, and holds {len(pickles)}. Save it again.")
    folder = pickles[0].removesuffix("data.pkl")
    if folder + "constants.pkl" in archive.names:
        raise LoadError("it is a TorchScript program. Save the weights alone: torch.save(model.state_dict(), path).")
    found = read_pickle(archive.read(pickles[0]), _ALLOWED, _Storages(archive, folder).find)
    if not isinstance(found, dict):
        raise LoadError("it holds no dictionary of weights. Save them with torch.save(model.state_dict(), path).")
    tensors = _flatten(found)
    if sum(tensor.array.nbytes for tensor in tensors.values()) > archive.limit:
        raise LoadError("its tensors repeat few values so often that they would not fit. Save contiguous tensors.")
    metadata = {k: v for k, v in found.items() if type(k) is str and type(v) is str}
    return Contents(
        "pt",
        {name: tensor.array for name, tensor in tensors.items()},
        {name: tensor.kind for name, tensor in tensors.items()},
        metadata,
    )


@final
class _Storages:
    """Storages by their persistent id; each is read once."""

    def __init__(self, archive: Archive, folder: str) -> None:
        self._archive, self._folder = archive, folder
        self._known: dict[str, _Storage] = {}
        name = folder + "byteorder"
        order = archive.read(name).strip() if name in archive.names else b"little"
        if order not in (b"little", b"big"):
            raise LoadError(f"its byte order is {order[:20]!r}; need little or big. Save the file again.")
        self._order: Literal["<", ">"] = "<" if order == b"little" else ">"

    def find(self, identity: Any) -> _Storage:
        if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
            raise ValueError("a storage is not named as PyTorch does")
        kind, key, size = identity[1], identity[2], identity[4]
        if not isinstance(kind, _Kind) or not isinstance(key, str) or type(size) is not int:
            raise ValueError("a storage is not named as PyTorch does")
        if key not in self._known:
            name = f"{self._folder}data/{key}"
            if name not in self._archive.names:
                raise LoadError(f"the values data/{key[:50]} are missing from the archive. Copy or save it again.")
            self._known[key] = _Storage(self._archive.read(name), kind, self._order)
        storage = self._known[key]
        if storage.kind != kind or storage.flat("uint8" if kind == _UNTYPED else kind).size != size:
            raise LoadError(f"data/{key[:50]} does not hold the {size} values that it should. Save the file again.")
        return storage


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> _Tensor:
    """A tensor as a view of its storage; sizes, strides and the offset are checked first."""
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor has no storage")
    kinds = [value for value in rest if isinstance(value, _Kind)]  # _rebuild_tensor_v3 names the element type
    kind = kinds[0] if kinds else storage.kind
    if kind not in ELEMENTS:
        raise LoadError("a tensor does not say of what type its elements are. Save it as float32 or float64.")
    flat = storage.flat(kind)
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= 32):
        raise ValueError("a tensor's size and strides do not match")
    if not all(type(number) is int for number in (offset, *size, *stride)):
        raise ValueError("a tensor's offset, size and strides are not integers")
    if min(offset, *size, *stride, 0) < 0:
        raise LoadError(f"a tensor has offset {offset}, size {size}, strides {stride}; none may be negative.")
    if 0 in size:
        return _Tensor(np.empty(size, dtype=flat.dtype), kind)
    if offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) >= flat.size:
        raise LoadError(
            f"a tensor of size {size} with strides {stride} at offset {offset} reaches beyond its storage of "
            f"{flat.size} values. The file is damaged; save it again."
        )
    width = flat.dtype.itemsize
    steps = [step * width if n > 1 else width for n, step in zip(size, stride, strict=True)]
    view: AnyArray = np.ndarray(size, flat.dtype, buffer=flat, offset=offset * width, strides=steps)
    view.setflags(write=False)
    return _Tensor(view, kind)


def _parameter(tensor: Any, *rest: Any) -> Any:
    return tensor


def _ordered(*arguments: Any) -> dict[Any, Any]:
    if not arguments:
        return {}
    (pairs,) = arguments
    return pairs_to_dict([part for key, value in pairs for part in (key, value)])


def _size(sizes: Any) -> tuple[Any, ...]:
    if not isinstance(sizes, (tuple, list)):
        raise ValueError("a size is not a tuple")
    return tuple(sizes)


_ALLOWED: dict[str, Any] = {
    "collections.OrderedDict": Function("OrderedDict", _ordered),
    "torch.Size": Function("Size", _size),
    "torch.device": Function("device", lambda *_: "device"),
    "torch._utils._rebuild_tensor_v2": Function("_rebuild_tensor_v2", _tensor),
    "torch._utils._rebuild_tensor_v3": Function("_rebuild_tensor_v3", _tensor),
    "torch._utils._rebuild_parameter": Function("_rebuild_parameter", _parameter),
    "torch._utils._rebuild_parameter_with_state": Function("_rebuild_parameter_with_state", _parameter),
    "torch.storage.UntypedStorage": _Kind(_UNTYPED),
    **{f"torch.{name}": _Kind(kind) for name, kind in _STORAGES.items()},
    **{f"torch.{kind}": _Kind(kind) for kind in ELEMENTS},
}


def _flatten(found: dict[Any, Any]) -> dict[str, _Tensor]:
    """Nested dictionaries and lists of tensors under flat names joined by dots; other values are left out."""
    tensors: dict[str, _Tensor] = {}
    waiting: list[tuple[str, Any, int]] = [("", found, 0)]
    seen = 0
    while waiting:
        name, value, depth = waiting.pop()
        if isinstance(value, _Tensor):
            tensors[name] = value
            continue
        seen += len(value)
        if depth > _DEEPEST or seen > _MOST_VALUES or len(name) > _LONGEST_NAME:  # a few bytes can nest without end
            raise LoadError("its dictionaries are nested without end. Save model.state_dict() alone.")
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
        for key, part in reversed(items):  # a stack: the first comes out first
            if isinstance(part, (dict, list, tuple, _Tensor)):
                waiting.append((f"{name}.{key}" if name else str(key), part, depth + 1))
    return tensors
