"""Wrong paths, files of other kinds and damaged files: a Model or a LoadError, never another exception."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynsys.errors import InputError, LoadError
from dynsys.loaders import files, load
from dynsys.model import Model

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = pytest.mark.filterwarnings("error")


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("model.pt", b"", "is empty"),
        ("model.pt", b"just a letter, nothing else", "text file"),
        ("model.safetensors", b"just a letter, nothing else", "not a whole safetensors file"),
        ("model.npz", bytes(range(128, 228)), "known format"),
        ("model.h5", b"\x89HDF\r\n\x1a\n....", "HDF5"),
        ("model.onnx", b"\x08\x07\x12\x07pytorch", "ONNX"),
        ("model.npy", b"\x93NUMPY\x01\x00", "single array"),
        ("model.pt", b"PK\x03\x04 and nothing behind", "cut short"),
    ],
)
def test_other_files_are_told_apart(name: str, data: bytes, words: str, attempt: Any) -> None:
    with pytest.raises(LoadError, match=words):
        attempt(data, name)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    for path, words in [
        (tmp_path / "missing.pt", "no file"),
        (tmp_path, "folder"),
        (tmp_path / "missing.pt" / "deeper", "no file|cannot read"),
        ("zero\0byte", "cannot read"),
        ("x" * 5000, "cannot read"),
        (3, "path"),
        (None, "path"),
    ]:
        with pytest.raises(LoadError, match=words):
            load(path)  # type: ignore[arg-type]
    assert issubclass(LoadError, InputError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(LoadError, match="not a regular file"):
        load(tmp_path / "pipe.pt")


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "model.pt").write_bytes(b"x")
    monkeypatch.setattr(files, "open", refused, raising=False)
    with pytest.raises(LoadError, match="Permission denied"):
        load(tmp_path / "model.pt")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "model.pt", "wb") as file:
        file.truncate(9 * 2**30)  # sparse: takes no room
    with pytest.raises(LoadError, match="8 GiB"):
        load(tmp_path / "model.pt")


@pytest.fixture(params=["flipflop_gru.pt", "flipflop_gru.safetensors", "digits_lstm.safetensors", "npz"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    if request.param != "npz":
        return (EXAMPLES / request.param).read_bytes()
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", cell="Elman", U=rng.normal(size=(9, 9)), W=rng.normal(size=(9, 2)), V=np.eye(9))
    return (tmp_path / "x.npz").read_bytes()


def survives(attempt: Any, data: bytes) -> bool:
    """Whether it loads; anything but a Model or a LoadError fails the test."""
    try:
        return isinstance(attempt(data, "model"), Model)
    except LoadError as error:
        return not str(error)


def test_a_file_cut_short_anywhere_is_refused(example: bytes, attempt: Any) -> None:
    assert survives(attempt, example)
    assert not any(survives(attempt, example[:end]) for end in range(0, len(example), 97))


def test_a_file_with_flipped_bytes_is_a_model_or_refused(example: bytes, attempt: Any) -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(example)
        for at in rng.integers(0, len(example), rng.integers(1, 4)):
            damaged[at] ^= int(rng.integers(1, 256))
        survives(attempt, bytes(damaged))


def test_flips_in_a_header_are_a_model_or_refused(example: bytes, attempt: Any) -> None:
    """Where the structure is, and with valid checksums, so that the damage reaches the readers behind the zip."""
    rng = np.random.default_rng(2)
    if example.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(example)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    else:
        members = {"": example}
    for _ in range(600):
        name = next((n for n in members if n.endswith("data.pkl")), str(rng.choice(list(members))))
        damaged = bytearray(members[name])
        for at in rng.integers(0, min(len(damaged), 800), rng.integers(1, 4)):
            damaged[at] ^= int(rng.integers(1, 256))
        survives(attempt, zipped({**members, name: bytes(damaged)}) if name else bytes(damaged))
