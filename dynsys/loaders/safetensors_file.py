"""safetensors: eight bytes of header length, a JSON header, then the arrays' bytes, little-endian.

Format: https://huggingface.co/docs/safetensors. Nothing in such a file can be executed; what can lie is the header.
"""

from __future__ import annotations

import json
import math
from typing import Any, TypeGuard

from dynsys.errors import LoadError
from dynsys.loaders.contents import Contents, elements

_LONGEST_HEADER = 100_000_000
_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "C64": "complex64",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
_AGAIN = "Copy or save the file again."


def read_safetensors(data: bytes) -> Contents:
    """The contents of a safetensors file."""
    header, body = _header(data)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise LoadError(f"the safetensors metadata must map names to texts. {_AGAIN}")
    arrays, dtypes, spans = {}, {}, []
    for name, entry in header.items():
        kind, shape, begin, end = _entry(name, entry, len(body))
        array = elements(body[begin:end], kind)
        if math.prod(shape) != array.size:
            raise LoadError(f"{name} says shape {tuple(shape)} but holds {array.size} values. {_AGAIN}")
        try:
            arrays[name], dtypes[name] = array.reshape(shape), kind
        except ValueError:  # no values, and sides beyond what NumPy counts
            raise LoadError(f"{name} has the impossible shape {tuple(shape)}. {_AGAIN}") from None
        spans.append((begin, end))
    _require_gapless(spans, len(body))
    return Contents("safetensors", arrays, dtypes, metadata)


def _header(data: bytes) -> tuple[dict[str, Any], memoryview]:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8 or length > _LONGEST_HEADER:
        raise LoadError(
            f"not a whole safetensors file: its header should be {length} bytes long and the file has {len(data)}. "
            f"It was cut short, or is of another kind. {_AGAIN}"
        )
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise LoadError(f"the safetensors header is not readable ({error}). {_AGAIN}") from None
    if not isinstance(header, dict):
        raise LoadError(f"the safetensors header must be a JSON object, got {type(header).__name__}. {_AGAIN}")
    return header, memoryview(data)[8 + length :]


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _entry(name: str, entry: Any, size: int) -> tuple[str, list[int], int, int]:
    """Element type, shape, and the checked span of bytes of one array."""
    if not isinstance(entry, dict):
        raise LoadError(f"the safetensors header describes {name} by a {type(entry).__name__}. {_AGAIN}")
    code, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(code, str) or code not in _TYPES:
        raise LoadError(f"{name} has element type {code!r}; known are {', '.join(_TYPES)}. Save it as F32 or F64.")
    if not _naturals(shape) or len(shape) > 32:
        raise LoadError(f"{name} has the impossible shape {shape!r}. {_AGAIN}")
    if not _naturals(span) or len(span) != 2 or not span[0] <= span[1] <= size:
        raise LoadError(f"{name} should lie at bytes {span!r} of the {size} that there are. {_AGAIN}")
    return _TYPES[code], shape, span[0], span[1]


def _naturals(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def _require_gapless(spans: list[tuple[int, int]], size: int) -> None:
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            raise LoadError(f"the safetensors arrays overlap or leave a gap at byte {min(begin, at)}. {_AGAIN}")
        at = end
    if at != size:
        raise LoadError(f"the safetensors arrays end at byte {at} of {size}. {_AGAIN}")
