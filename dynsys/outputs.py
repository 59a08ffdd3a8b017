"""Outputs tried before the work: what cannot be written is better known now than after an hour of analysis."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from dynsys.errors import InputError


def require_writable_file(path: Path) -> None:
    """Raises InputError if `path` cannot be written. Leaves nothing behind, and what is there as it is.

    Permissions alone do not tell (a read-only file system, /proc, a name that is too long), so the file is opened. A
    device or a pipe is not: that would already be its use.
    """
    try:
        where = path.resolve()
        if where.is_dir():
            raise InputError(f"cannot write {str(path)!r}: it is a folder.")
        if not where.parent.is_dir():
            raise InputError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}.")
        if where.is_file():
            with where.open("ab"):
                return
        if not where.exists():
            with where.open("xb"):
                pass
            where.unlink(missing_ok=True)
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links that go round
        raise InputError(f"cannot write {str(path)!r}: {_reason(error)}.") from None


def require_writable_folder(folder: Path, names: Iterable[str], what: str) -> None:
    """Raises InputError if files called `names` cannot be written to `folder`, which need not be there yet.

    Args:
        folder: it and its parents are made for the trial, and removed again. what: is written there, for the message.
    """
    made: list[Path] = []
    try:
        for place in [*reversed(folder.absolute().parents), folder.absolute()]:
            if not place.is_dir():
                place.mkdir()
                made.append(place)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for name in names:
            if (folder / name).exists() or (folder / name).is_symlink():
                require_writable_file(folder / name)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {what} to {str(folder)!r}: {_reason(error)}.") from None
    finally:
        for place in reversed(made):
            try:
                place.rmdir()
            except OSError:  # someone else's file is in it already: the folder is theirs now
                break


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
