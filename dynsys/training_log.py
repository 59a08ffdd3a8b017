"""Read what `watch` wrote."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from dynsys.errors import LoadError

NUMBERS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
LISTS = ("lags", "log_gradient")
"""What a record has a list of numbers for; everything else is one number, bar the text of a failure."""


@final
@dataclass(frozen=True, eq=False)
class TrainingLog:
    """The records of a training run.

    Attributes:
        header: what was watched. records: one per watched step, in order; see `training_watch.measured` for the keys.
        broken: lines that could not be read, such as a last one that was cut off.
    """

    header: dict[str, Any]
    records: tuple[dict[str, Any], ...]
    broken: int
    origin: str

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one recorded number, where it is there."""
        found = [(r["step"], number(r[name])) for r in self.records if r.get(name) is not None]
        return [step for step, _ in found], [value for _, value in found]

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers that records hold, `step` and `seconds` aside."""
        plain = (k for r in self.records for k, v in r.items() if _is_number(v))
        return tuple(dict.fromkeys(k for k in plain if k not in ("step", "seconds")))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value in NUMBERS


def number(value: Any) -> float:
    """A number of the file, where the non-finite ones are words."""
    return NUMBERS[value] if isinstance(value, str) else float(value)


def read_training(path: str | Path) -> TrainingLog:
    """The file that `watch` wrote.

    Raises: LoadError where it is no such file, or holds no record; or where a record has something else where numbers
        belong, naming the line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise LoadError(f"there is no training file {str(path)!r}.") from None
    except (OSError, UnicodeDecodeError):
        raise LoadError(f"cannot read {str(path)!r} as text.") from None
    # A line is empty where writing began anew after a failure.
    entries = {place: _parsed(line) for place, line in enumerate(lines, start=1) if line}
    header = next(iter(entries.values()), None)
    if header is None or "dynsys_training" not in header:
        raise LoadError(f"{str(path)!r} was not written by dynsys.watch: its first line does not say so.")
    records = []
    for line, entry in list(entries.items())[1:]:
        if entry is not None and isinstance(entry.get("step"), int):
            _check(entry, f"line {line} of {str(path)!r}")
            records.append(entry)
    if not records:
        raise LoadError(f"{str(path)!r} holds no record yet: training ended before the first one.")
    return TrainingLog(header, tuple(records), len(entries) - 1 - len(records), path.name)


def _check(record: dict[str, Any], where: str) -> None:
    """Raise LoadError where the record has something else where `watch` writes a number, or a list of them."""
    for name, value in record.items():
        if name == "failure":
            right, wanted = isinstance(value, str), "a text"
        elif name in LISTS:
            right = isinstance(value, list) and all(_is_number(v) for v in value)
            wanted = "a list of numbers"
        else:
            right, wanted = value is None or _is_number(value), 'a number, "inf", "-inf", "nan" or null'
        if not right:
            raise LoadError(f"{where}: `{name}` must be {wanted}, got {json.dumps(value)[:60]}.")
    lags, norms = (record.get(name, []) for name in LISTS)
    if len(lags) != len(norms):
        raise LoadError(f"{where}: {len(lags)} `lags` and {len(norms)} `log_gradient`: they belong together.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or _is_word(value)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
