"""A pickle reader that cannot run code: it knows dictionaries, lists, tuples, numbers and texts, and nothing else.

A pickle is a little program for a stack machine. Here that machine is written out, and the only functions that the
program may name are the ones it is given. `pickletools.genops` splits the bytes into instructions and executes nothing.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

from dynsys.errors import LoadError

_KEYS = (str, int, float, bool, type(None))


@final
@dataclass(frozen=True)
class Function:
    """Something that a pickle may call: its name, and what is called instead of it."""

    name: str
    call: Callable[..., Any]


_MARK = object()
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING")
_LITERALS = frozenset((*_NUMBERS, *_TEXTS, "BINBYTES", "SHORT_BINBYTES"))
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read_pickle(data: bytes, allowed: Mapping[str, Any], persistent: Callable[[Any], Any]) -> Any:
    """The object that a pickle describes.

    Args:
        allowed: what each name stands for, e.g. {"collections.OrderedDict": Function(...)}; others are refused.
        persistent: gives the object that a persistent id stands for.
    """
    machine = _Machine(allowed, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.do(opcode.name, argument)
    except LoadError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, Warning) as error:
        raise LoadError(f"its list of arrays is damaged ({error}). Copy or save the file again.") from None
    if len(machine.stack) != 1:
        raise LoadError("its list of arrays is damaged (it does not end in one object). Copy or save the file again.")
    return machine.stack[0]


@final
class _Machine:
    def __init__(self, allowed: Mapping[str, Any], persistent: Callable[[Any], Any]) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._allowed, self._persistent = allowed, persistent

    def do(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in _TUPLES:
            size = _TUPLES[name]
            self.stack.append(tuple(self._take() for _ in range(size))[::-1])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[int(argument)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self._memo[int(argument)])
        else:
            action = getattr(self, f"_{name.lower()}", None)
            if action is None:
                raise LoadError(f"it uses the pickle instruction {name}, which weights do not need. {_ALONE}")
            action(argument)

    def _take(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a value is missing")
        return value

    def _since_mark(self) -> list[Any]:
        items: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def _holder(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"a {kind.__name__} is missing")
        return self.stack[-1]

    def _proto(self, argument: Any) -> None:
        pass

    _frame = _stop = _proto

    def _memoize(self, argument: Any) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def _tuple(self, argument: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _list(self, argument: Any) -> None:
        self.stack.append(self._since_mark())

    def _dict(self, argument: Any) -> None:
        self.stack.append(pairs_to_dict(self._since_mark()))

    def _append(self, argument: Any) -> None:
        value = self._take()
        self._holder(list).append(value)

    def _appends(self, argument: Any) -> None:
        values = self._since_mark()
        self._holder(list).extend(values)

    def _setitem(self, argument: Any) -> None:
        value, key = self._take(), self._take()
        self._holder(dict).update(pairs_to_dict([key, value]))

    def _setitems(self, argument: Any) -> None:
        values = self._since_mark()
        self._holder(dict).update(pairs_to_dict(values))

    def _global(self, argument: Any) -> None:
        self.stack.append(self._named(".".join(str(argument).split(" ", 1))))

    def _stack_global(self, argument: Any) -> None:
        name, module = self._take(), self._take()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise ValueError("a name is missing")
        self.stack.append(self._named(f"{module}.{name}"))

    def _named(self, name: str) -> Any:
        if name not in self._allowed:
            raise LoadError(
                f"it holds more than weights: it asks Python for {name[:100]!r}, and dynsys runs no code from a file. "
                f"{_ALONE}"
            )
        return self._allowed[name]

    def _reduce(self, argument: Any) -> None:
        arguments, function = self._take(), self._take()
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise ValueError("it calls what is no function")
        self.stack.append(function.call(*arguments))

    def _build(self, argument: Any) -> None:
        self._take()  # attributes, such as a state dict's `_metadata`; they are no weights
        self._holder(dict)

    def _binpersid(self, argument: Any) -> None:
        self.stack.append(self._persistent(self._take()))


_ALONE = "Save the weights alone: torch.save(model.state_dict(), path)."


def pairs_to_dict(flat: list[Any]) -> dict[Any, Any]:
    """A dictionary from [key, value, key, value, ...]; keys are texts or numbers, so that hashing them is cheap."""
    if len(flat) % 2 or not all(isinstance(key, _KEYS) for key in flat[::2]):
        raise ValueError("a dictionary has no proper keys")
    return dict(zip(flat[::2], flat[1::2], strict=True))
