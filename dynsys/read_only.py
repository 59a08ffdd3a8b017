"""Results that are frozen to the last entry: no array in them can be written to."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def read_only(result: type[T]) -> type[T]:
    """Class decorator, above `@dataclass(frozen=True)`: arrays in fields, lists and dictionaries are read-only views.

    A view, not a flag on the array: what the caller passed, and a result hands on, stays the caller's to write to. No
    array is copied.
    """
    plain = result.__init__

    @functools.wraps(plain)
    def __init__(self: Any, *args: Any, **fields: Any) -> None:
        plain(self, *args, **fields)
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            locked = _locked(value)
            if locked is not value:
                object.__setattr__(self, name, locked)

    result.__init__ = __init__  # type: ignore[method-assign]
    return result


def _locked(value: Any) -> Any:
    """The value itself where there is nothing to lock."""
    if isinstance(value, np.ndarray) and value.flags.writeable:
        view = value.view()
        view.setflags(write=False)
        return view
    if type(value) in (tuple, list):
        entries = [_locked(entry) for entry in value]
        return type(value)(entries) if any(a is not b for a, b in zip(entries, value, strict=True)) else value
    if type(value) is dict:
        found = {key: _locked(entry) for key, entry in value.items()}
        return found if any(found[key] is not value[key] for key in value) else value
    return value
