"""What every file format is read into: flat names, arrays as they were stored, and texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, final

import numpy as np

from dynsys.errors import LoadError
from dynsys.types import AnyArray, Array

Arrays = dict[str, AnyArray]
"""By flat name."""


@final
@dataclass(frozen=True, eq=False)
class Contents:
    """The arrays and texts of one file.

    Attributes:
        format: "safetensors", "npz", "pt" or "torch module".
        arrays: by flat name, e.g. "encoder.rnn.weight_hh_l0".
        dtypes: how each array was stored, e.g. "bfloat16", which NumPy has no type for.
        metadata: texts stored beside the arrays.
    """

    format: str
    arrays: Arrays
    dtypes: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)


ELEMENTS = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": "u2",
    "complex128": "c16",
    "complex64": "c8",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "bool": "u1",
}
"""NumPy's code for the bytes of each element type."""


def elements(raw: bytes | memoryview, kind: str, order: Literal["<", ">"] = "<") -> AnyArray:
    """The bytes as a flat array in native byte order; bfloat16 becomes float32, of which it is the upper half."""
    dtype = np.dtype(ELEMENTS[kind])
    if len(raw) % dtype.itemsize:
        raise LoadError(f"{len(raw)} bytes are not a whole number of {kind} values; the file is damaged.")
    flat = np.frombuffer(raw, dtype=dtype.newbyteorder(order)).astype(dtype, copy=False)
    if kind == "bfloat16":
        return (flat.astype(np.uint32) << 16).view(np.float32)
    return flat != 0 if kind == "bool" else flat


def shown(arrays: dict[str, AnyArray], most: int = 6) -> str:
    """The first names with their shapes, e.g. "head.weight (10, 48), head.bias (10,) and 3 more"."""
    named = [f"{name[:100]} {array.shape}" for name, array in arrays.items()]
    rest = len(named) - most
    return ", ".join(named[:most]) + (f" and {rest} more" if rest > 0 else "")


def clean(text: str) -> str:
    """`text` fit for a terminal: names from a file may be endless, or hold control characters."""
    text = text if len(text) <= 2000 else f"{text[:1500]} ... {text[-400:]}"
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def real(arrays: dict[str, AnyArray], key: str) -> Array:
    """The array under `key` as a float64 copy; LoadError where it is not made of finite real numbers."""
    array = arrays[key]
    if array.dtype.kind not in "iuf" or array.dtype.itemsize == 1:
        raise LoadError(
            f"{key} is stored as {array.dtype}; need real numbers (float16 to float64). A quantised or complex "
            "network must be converted to floating point before it is saved."
        )
    finite = np.isfinite(array)
    if not finite.all():
        first = [int(i) for i in np.argwhere(~finite)[0]]
        raise LoadError(
            f"{key} {array.shape} has {int((~finite).sum())} values that are not finite, the first at {first}. "
            "The network did not survive its training, or the file is damaged; save it again from an earlier state."
        )
    return np.array(array, dtype=np.float64, order="C")
