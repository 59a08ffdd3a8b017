"""Strict JSON: what comes out is what went in, in the forms that the contract names."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from dynsys.jsonable import dumps, jsonable


def refuse(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


class Colour(enum.Enum):
    RED = "red"


@dataclass(frozen=True)
class Pair:
    first: Any
    second: Any


class WithDict:
    def to_dict(self) -> dict[str, Any]:
        return {"z": 1j}


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (np.inf, "inf"),
        (-np.inf, "-inf"),
        (np.nan, "nan"),
        (np.float32(0.5), 0.5),
        (np.int8(-3), -3),
        (np.bool_(True), True),
        (True, True),
        (None, None),
        (1 + 2j, [1.0, 2.0]),
        (complex(np.inf, np.nan), ["inf", "nan"]),
        (np.complex64(1j), [0.0, 1.0]),
        (np.array(3.5), 3.5),
        (np.array(np.inf), "inf"),
        (np.array(1 + 2j), [1.0, 2.0]),
        (np.zeros((0, 3)), []),
        (np.zeros((2, 0)), [[], []]),
        (np.array([[1.0, np.nan], [-np.inf, 2.0]]), [[1.0, "nan"], ["-inf", 2.0]]),
        (np.array([1j, np.inf]), [[0.0, 1.0], ["inf", 0.0]]),
        (np.array([True, False]), [True, False]),
        (np.array(["a", "b"]), ["a", "b"]),
        (slice(2, 5), [2, 5]),
        (Colour.RED, "red"),
        (Pair(1, np.inf), {"first": 1, "second": "inf"}),
        (WithDict(), {"z": [0.0, 1.0]}),
        ({1: (2, 3)}, {"1": [2, 3]}),
        ([{"a": np.arange(3)}], [{"a": [0, 1, 2]}]),
    ],
)
def test_every_kind_of_value_has_its_form(value: Any, form: Any) -> None:
    assert jsonable(value) == form
    assert type(jsonable(value)) is type(form)


def test_float64_numbers_survive_the_way_out_and_back() -> None:
    numbers = np.random.default_rng(0).standard_normal(1000) * 10.0 ** np.arange(-500, 500).clip(-300, 300)
    assert (np.array(json.loads(dumps(numbers))) == numbers).all()


def test_float32_arrays_keep_their_values() -> None:
    numbers = np.float32([0.1, 1e-30, np.inf])
    assert json.loads(dumps(numbers)) == [float(numbers[0]), float(numbers[1]), "inf"]


@pytest.mark.parametrize("value", [np.inf, [np.nan], np.array([[-np.inf]]), {"a": complex(np.nan, 0)}])
def test_text_is_strict(value: Any) -> None:
    json.loads(dumps(value), parse_constant=refuse)


def test_text_keeps_unicode_readable() -> None:
    assert dumps("λ₁ ≤ 0") == '"λ₁ ≤ 0"'


@pytest.mark.parametrize("value", [object(), len, b"bytes", {"a": [object()]}])
def test_what_has_no_form_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match="no JSON form for"):
        jsonable(value)
