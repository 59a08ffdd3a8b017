"""npz: a zip archive of .npy members, each a short text header and then the bytes.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. The header is matched rather than
evaluated, and object arrays, which are pickles, are refused.
"""

from __future__ import annotations

import math
import re

import numpy as np

from dynsys.errors import LoadError
from dynsys.loaders.contents import Contents
from dynsys.loaders.zip_file import Archive
from dynsys.types import AnyArray

_MAGIC = b"\x93NUMPY"
_TYPE = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[biufcSUVO?]\d{0,9})['"]""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(((?:\s*\d{1,18}L?\s*,?)*)\s*\)""")
_LONGEST_HEADER = 10_000


def read_npz(archive: Archive) -> Contents:
    """The contents of an npz archive. A single text (a 0-d string array) becomes metadata."""
    arrays, dtypes, metadata = {}, {}, {}
    for member in archive.names:
        if not member.endswith(".npy"):
            continue
        name = member.removesuffix(".npy")
        array = _array(name, archive.read(member))
        if array.ndim == 0 and array.dtype.kind == "U":
            metadata[name] = str(array)
        else:
            arrays[name], dtypes[name] = array, str(array.dtype)
    return Contents("npz", arrays, dtypes, metadata)


def _array(name: str, data: bytes) -> AnyArray:
    header, body = _split(name, data)
    dtype, order, shape = (pattern.search(header) for pattern in (_TYPE, _ORDER, _SHAPE))
    if dtype is None or order is None or shape is None:
        raise LoadError(f"{name} is not a plain array of numbers, or its header is damaged. Save it with np.savez.")
    if "O" in dtype[1]:
        raise LoadError(
            f"{name} holds Python objects, which are pickled and could run code. Save each array on its own: "
            "np.savez(path, **{name: array, ...})."
        )
    sizes = [int(number) for number in re.findall(r"\d+", shape[1])]
    try:
        kind = np.dtype(dtype[1])
        if kind.kind not in "biufcSU" or math.prod(sizes) * kind.itemsize != len(body):
            raise ValueError(f"{len(body)} bytes cannot be {tuple(sizes)} values of type {dtype[1]}")
        flat = np.frombuffer(body, dtype=kind)
        array = flat.reshape(sizes, order="F" if order[1] == "True" else "C")
        return array.astype(kind.newbyteorder("="), copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise LoadError(f"{name} cannot be read ({error}). Save it again with np.savez.") from None


def _split(name: str, data: bytes) -> tuple[str, memoryview]:
    """The header as text, and the bytes after it."""
    version = data[6:7]
    width = {b"\x01": 2, b"\x02": 4, b"\x03": 4}.get(version, 0)
    start = 8 + width
    length = int.from_bytes(data[8:start], "little")
    if not data.startswith(_MAGIC) or not width or length > min(_LONGEST_HEADER, len(data) - start):
        raise LoadError(f"{name} does not begin as a NumPy array does; it is damaged. Save it again with np.savez.")
    return data[start : start + length].decode("latin-1"), memoryview(data)[start + length :]
