"""npz and safetensors files, and zip archives, whose headers lie: a LoadError, and memory stays bounded."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynsys.errors import LoadError
from dynsys.loaders import load
from dynsys.loaders.npz_file import read_npz
from dynsys.loaders.zip_file import Archive

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = pytest.mark.filterwarnings("error")


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_zip_bombs_are_refused_before_they_unpack(attempt: Any) -> None:
    bomb = zipped({"m/data.pkl": b"}.", "m/data/0": bytes(400 * 2**20)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**20
    with pytest.raises(LoadError, match="unpack"):
        attempt(bomb)


def test_archives_of_other_things_are_named(attempt: Any) -> None:
    cases = [
        ({"config.json": b"{}", "model.weights.h5": b""}, "Keras"),
        ({"letter.txt": b"hello"}, r"letter\.txt"),
        ({}, "nothing"),
        ({"a/data.pkl": b"}.", "b/data.pkl": b"}."}, "one data.pkl"),
        ({"m/data.pkl": b"}.", "m/byteorder": b"middle"}, "byte order"),
        ({"m/data.pkl": b"}.", "m/constants.pkl": b"}."}, "TorchScript"),
        ({"m/data.pkl": b"K\x01."}, "no dictionary"),
    ]
    for members, words in cases:
        with pytest.raises(LoadError, match=words):
            attempt(zipped(members))
    with pytest.raises(LoadError, match="deflate"):
        attempt(zipped({"m/data.pkl": b"}." * 100}, zipfile.ZIP_BZIP2))


def test_two_members_of_one_name_are_refused(attempt: Any) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("m/data.pkl", b"}.")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("m/data.pkl", b"}.")
    with pytest.raises(LoadError, match="two members"):
        attempt(buffer.getvalue())


def npy(header: str, body: bytes = b"", version: int = 1) -> bytes:
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(header)) + header.encode("latin-1") + body


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos\nsystem\n."), "Python objects"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}", bytes(8)), "cannot be"),
        (
            npy("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999, 99999999999999, 0)}"),
            "cannot be read",
        ),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", bytes(24)), "cannot be"),
        (npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", bytes(8)), "plain array"),
        (npy("{'descr': '<f8', 'fortran_order': exit(), 'shape': (1,)}", bytes(8)), "plain array"),
        (npy("{'descr': '<f9', 'fortran_order': False, 'shape': (1,)}", bytes(9)), "cannot be read"),
        (npy("{'descr': '|a8', 'fortran_order': False, 'shape': (1,)}", bytes(8)), "plain array"),
        (npy("{'descr': '|V8', 'fortran_order': False, 'shape': (1,)}", bytes(8)), "cannot be"),
        (npy("{'descr': '<U0', 'fortran_order': False, 'shape': (9,)}"), "cannot be read|no recurrent"),
        (npy("", version=9), "does not begin"),
        (b"\x93NUMPY\x01\x00\xff\xff{}", "does not begin"),
        (b"", "does not begin"),
        (b"hello", "does not begin"),
    ],
)
def test_npz_headers_that_lie_are_refused(member: bytes, words: str, attempt: Any) -> None:
    with pytest.raises(LoadError, match=words):
        attempt(zipped({"U.npy": member}), "model.npz")


def test_object_arrays_made_by_numpy_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", U=np.array([{}], dtype=object))
    with pytest.raises(LoadError, match="Python objects"):
        load(tmp_path / "x.npz")


def test_the_npz_reader_agrees_with_numpy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        f"{kind}_{k}": np.asarray(value, order=order).astype(kind)
        for kind in ("<f8", ">f8", "<f4", "<f2", "<i8", "|u1", "|b1", "<c16", "<U3")
        for k, value in enumerate([rng.normal(size=s) for s in [(2,), (1,), (3, 4), (2, 3, 4), (0, 3)]])
        for order in ("C", "F")
    }
    np.savez_compressed(tmp_path / "x.npz", **{name.replace("|", "_"): value for name, value in arrays.items()})
    got = read_npz(Archive((tmp_path / "x.npz").read_bytes())).arrays
    with np.load(tmp_path / "x.npz") as expected:
        assert set(got) == set(expected.files)
        for name in got:
            np.testing.assert_array_equal(got[name], expected[name])


def safetensors(header: Any, body: bytes = bytes(16), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(dtype: Any = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"U": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    "data",
    [
        safetensors(entry(), length=2**63),
        safetensors(entry(), length=10_000),
        safetensors(entry(), length=3),
        safetensors(entry(offsets=(0, 17))),
        safetensors(entry(offsets=(0, 10**30))),
        safetensors(entry(offsets=(16, 0))),
        safetensors(entry(offsets=(-16, 0))),
        safetensors(entry(offsets=(0, 12))),
        safetensors(entry(offsets=(4, 16), shape=(3,))),
        safetensors(entry(offsets=(0, 16, 16))),
        safetensors(entry(offsets=None)),
        safetensors(entry(offsets=(0.0, 16.0))),
        safetensors(entry(shape=(2, 3))),
        safetensors(entry(shape=(-2, -2))),
        safetensors(entry(shape=(10**20, 0), offsets=(0, 0)), body=b""),
        safetensors(entry(shape=[1] * 70 + [4])),
        safetensors(entry(shape="4")),
        safetensors(entry(shape=(True, 4))),
        safetensors(entry(dtype="F8_E4M3")),
        safetensors(entry(dtype=["F32"])),
        safetensors({**entry(), "W": entry()["U"]}),
        safetensors({"U": 3}),
        safetensors({"U": {}}),
        safetensors({**entry(), "__metadata__": {"cell": 3}}),
        safetensors({**entry(), "__metadata__": 3}),
        safetensors([1]),
        safetensors(b'{"U": {}, "U": {}}'),
        safetensors(b"{" * 100_000),
        safetensors(b'{"a":' * 100_000),
        safetensors(b"{\xff}"),
        safetensors(b'{"U":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,16]}}'),
        safetensors({}, body=b""),
        safetensors({}, body=b"1234"),
        b"short",
        b"",
    ],
)
def test_safetensors_headers_that_lie_are_refused(data: bytes, attempt: Any) -> None:
    with pytest.raises(LoadError):
        attempt(data, "model.safetensors")


def test_the_hand_written_safetensors_are_read_like_real_ones(attempt: Any) -> None:
    body = np.array([[0.0, 1.0], [-1.0, 0.5]], dtype="<f4").tobytes()
    model = attempt(safetensors({**entry(shape=(2, 2)), "__metadata__": {"cell": "Elman"}}, body), "m.safetensors")
    np.testing.assert_array_equal(model.parameters["U"], [[0.0, 1.0], [-1.0, 0.5]])
