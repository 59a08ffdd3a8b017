"""PyTorch files that lie or that hold code: a LoadError that says so, and nothing from the file is ever run."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynsys.errors import LoadError
from dynsys.loaders.torch_zip import read_torch
from dynsys.loaders.zip_file import Archive

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = pytest.mark.filterwarnings("error")


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


# Pickles written by hand: the instructions that PyTorch uses, with whatever values a hostile file may have.


def encoded(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        raw = value.encode()
        return b"X" + struct.pack("<I", len(raw)) + raw
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"I%d\n" % value
    if isinstance(value, tuple):
        return b"(" + b"".join(map(encoded, value)) + b"t"
    if isinstance(value, dict):
        return b"}(" + b"".join(encoded(k) + encoded(v) for k, v in value.items()) + b"u"
    raise TypeError(type(value))


def tensor(
    offset: Any, size: Any, stride: Any, *, count: Any = 12, key: Any = "0", kind: str = "FloatStorage"
) -> bytes:
    storage = encoded(("storage", f"ctorch\n{kind}\n".encode(), key, "cpu", count)) + b"Q"
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + encoded((storage, offset, size, stride, False, hooks)) + b"R"


def torch_file(content: Any, **extra: bytes) -> bytes:
    members = {"m/data.pkl": b"\x80\x02" + encoded(content) + b".", "m/data/0": np.arange(12, dtype="<f4").tobytes()}
    return zipped(members | {"m/" + name: data for name, data in extra.items()})


def arrays_of(data: bytes) -> dict[str, np.ndarray]:
    return read_torch(Archive(data)).arrays


def test_the_hand_written_pickles_are_read_like_real_ones() -> None:
    """Otherwise the refusals below would prove nothing."""
    got = arrays_of(
        torch_file({"a": tensor(1, (2, 3), (3, 1)), "b": tensor(0, (2, 2), (1, 2)), "c": tensor(2, (), ())})
    )
    np.testing.assert_array_equal(got["a"], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(got["b"], [[0, 2], [1, 3]])
    assert got["c"] == 2


def test_big_endian_files_are_read() -> None:
    members = {
        "m/data.pkl": b"\x80\x02" + encoded({"a": tensor(0, (3,), (1,), count=3)}) + b".",
        "m/data/0": np.array([1.0, 2.0, 3.0], dtype=">f4").tobytes(),
        "m/byteorder": b"big",
    }
    np.testing.assert_array_equal(arrays_of(zipped(members))["a"], [1, 2, 3])


@pytest.mark.parametrize(
    "content",
    [
        tensor(0, (13,), (1,)),
        tensor(1, (12,), (1,)),
        tensor(12, (1,), (1,)),
        tensor(10**18, (1,), (1,)),
        tensor(-1, (2,), (1,)),
        tensor(0, (-2,), (1,)),
        tensor(5, (3,), (-1,)),
        tensor(0, (2, 2), (11, 11)),
        tensor(0, (2,), (2**62,)),
        tensor(0, (2**62, 2**62), (0, 0)),
        tensor(0, (10**6, 10**6), (0, 0)),
        tensor(0, (0, 2**62, 2**62), (1, 1, 1)),
        tensor(0, (3, 4), (1,)),
        tensor(0, (1,) * 40, (1,) * 40),
        tensor(0, ("3",), (1,)),
        tensor(True, (3,), (1,)),
        tensor("0", (3,), (1,)),
        tensor(0, 3, 1),
        tensor(0, (12,), (1,), count=13),
        tensor(0, (12,), (1,), count=-12),
        tensor(0, (12,), (1,), count="12"),
        tensor(0, (12,), (1,), key="1"),
        tensor(0, (12,), (1,), key="../../data.pkl"),
        tensor(0, (12,), (1,), key=0),
        tensor(0, (6,), (1,), kind="DoubleStorage", count=12),
        tensor(0, (12,), (1,), kind="QInt8Storage"),
        b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        b"ctorch._utils\n_rebuild_tensor_v2\n" + encoded((1, 2, (3,), (4,))) + b"R",
        b"ctorch\nFloatStorage\n)R",
        b"ccollections\nOrderedDict\n" + encoded((1,)) + b"R",
        b"ctorch\nSize\n" + encoded((1,)) + b"R",
        b"X\x01\x00\x00\x00aQ",
    ],
)
def test_tensors_that_lie_are_refused(content: bytes, attempt: Any) -> None:
    with pytest.raises(LoadError):
        attempt(torch_file({"weight_hh_l0": content}))


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\x80\x02", b".", b"N.", b"0.", b"(.", b"((((.", b"}(a.", b"h\x05.", b"\xff."]
)
def test_pickles_that_make_no_sense_are_refused(data: bytes, attempt: Any) -> None:
    with pytest.raises(LoadError):
        attempt(zipped({"m/data.pkl": data}))


def nested(depth: int) -> bytes:
    """Lists of which each holds the one below ten times: a few hundred bytes that stand for 10^depth objects."""
    levels = [b"]q\x00"] + [b"](" + (b"h" + bytes([k])) * 10 + b"eq" + bytes([k + 1]) for k in range(depth)]
    return b"(" + b"".join(levels) + b"l"


@pytest.mark.parametrize("content", [nested(30), b"}q\x00X\x01\x00\x00\x00ah\x00s"], ids=["laughs", "circle"])
def test_a_few_bytes_that_nest_without_end_are_refused(content: bytes, attempt: Any) -> None:
    with pytest.raises(LoadError, match="without end"):
        attempt(torch_file({"a": content}))


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("wrapped", [True, False])
def test_no_code_from_a_pickle_runs(protocol: int, wrapped: bool, tmp_path: Path, attempt: Any) -> None:
    data = pickle.dumps({"weight_hh_l0": Bomb(tmp_path / "boom")}, protocol)
    with pytest.raises(LoadError, match=r"state_dict\(\)|known format|text file") as caught:
        attempt(zipped({"m/data.pkl": data}) if wrapped else data)
    assert not (tmp_path / "boom").exists()
    if wrapped:
        assert "mkdir" in str(caught.value)
    pickle.loads(data)
    assert (tmp_path / "boom").exists(), "the bomb must be live, or the test proves nothing"


@pytest.mark.parametrize(
    "name", ["builtins\neval", "os\nsystem", "torch\nload", "torch._utils\n__builtins__", "cells\nGRU"]
)
def test_functions_that_weights_do_not_need_are_refused(name: str, attempt: Any) -> None:
    with pytest.raises(LoadError, match="runs no code"):
        attempt(torch_file({"a": b"c" + name.encode() + b"\n" + encoded(("1",)) + b"R"}))


def test_names_from_a_file_cannot_play_tricks_on_a_terminal(attempt: Any) -> None:
    with pytest.raises(LoadError) as caught:
        attempt(torch_file({"\x1b[2Jevil\n" + "x" * 900: tensor(0, (12,), (1,))}))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 3000
