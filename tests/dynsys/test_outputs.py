"""An output that is tried before the work: refused with a reason, and nothing changed by the trial."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dynsys.errors import InputError
from dynsys.outputs import require_writable_file, require_writable_folder


def everything(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() if p.is_file() else "" for p in folder.rglob("*")}


def test_the_trial_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "old.svg").write_text("old")
    before = everything(tmp_path)
    stamp = (tmp_path / "old.svg").stat().st_mtime_ns
    require_writable_file(tmp_path / "old.svg")
    require_writable_file(tmp_path / "new.svg")
    require_writable_folder(tmp_path / "a" / "b", ["report.html"], "the report")
    require_writable_folder(tmp_path, ["old.svg"], "the report")
    assert everything(tmp_path) == before
    assert (tmp_path / "old.svg").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("name", [".", "none/x.svg", "file/x.svg", "x" * 300, "a\0b", "loop"])
def test_a_file_that_cannot_be_written_has_a_reason(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="cannot write"):
        require_writable_file(tmp_path / name)


@pytest.mark.parametrize("name", ["file", "file/x", "x" * 300, "a\0b", "new/" + "x" * 300])
def test_a_folder_that_cannot_be_made_has_a_reason_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot write pictures to"):
        require_writable_folder(tmp_path / name, [], "pictures")
    assert everything(tmp_path) == {"file": "mine"}


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop the superuser")
def test_permissions_are_respected(tmp_path: Path) -> None:
    locked, kept = tmp_path / "locked", tmp_path / "open" / "report.html"
    locked.mkdir(mode=0o500)
    kept.parent.mkdir()
    kept.write_text("kept")
    kept.chmod(0o400)
    for folder in (locked, locked / "inside", kept.parent):
        with pytest.raises(InputError, match="Permission denied"):
            require_writable_folder(folder, ["report.html"], "the report")
    with pytest.raises(InputError, match="Permission denied"):
        require_writable_file(locked / "x.svg")


def test_a_link_to_nowhere_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link.svg").symlink_to("target.svg")
    require_writable_file(tmp_path / "link.svg")
    assert not (tmp_path / "target.svg").exists()


def test_a_pipe_is_left_alone(tmp_path: Path) -> None:
    """Opening it would wait for its reader."""
    os.mkfifo(tmp_path / "pipe.svg")
    require_writable_file(tmp_path / "pipe.svg")
