"""Results as strict JSON: arrays become lists, complex numbers [re, im], non-finite numbers strings."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from typing import Any

import numpy as np


def jsonable(value: Any) -> Any:
    """`value` as what the json module writes strictly. Dataclasses become objects with their fields' names."""
    if isinstance(value, enum.Enum):
        return jsonable(value.value)
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (np.bool_, np.integer)):
        return value.item()
    if isinstance(value, (float, np.floating)):
        return _number(float(value))
    if isinstance(value, (complex, np.complexfloating)):
        return [_number(value.real), _number(value.imag)]
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, slice):
        return [value.start, value.stop]
    if hasattr(value, "to_dict"):
        return jsonable(value.to_dict())
    if dataclasses.is_dataclass(value):
        return {f.name: jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(v) for v in value]
    raise TypeError(f"no JSON form for {type(value).__name__}")


def dumps(value: Any, indent: int | None = None) -> str:
    """Strict JSON text of `value`."""
    return json.dumps(jsonable(value), allow_nan=False, indent=indent, ensure_ascii=False)


def _number(x: Any) -> float | str:
    if math.isfinite(x):
        return float(x)
    return "nan" if math.isnan(x) else "inf" if x > 0 else "-inf"


def _array(array: Any) -> Any:
    if np.iscomplexobj(array):
        return _array(np.stack([array.real, array.imag], axis=-1))
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return _strings(array.tolist())
    return array.tolist()


def _strings(nested: Any) -> Any:
    return [_strings(v) for v in nested] if isinstance(nested, list) else _number(nested)
