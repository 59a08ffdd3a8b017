"""Long searches that may be broken off: what is done is kept beside the output, and found again by the same call."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from dynsys.errors import InputError
from dynsys.stored import restored, store
from dynsys.types import Array

LEAST_SECONDS = 0.2  # what a stage must have taken to be worth a file of its own


@final
class Checkpoint:
    """Finished parts of a search in the folder `OUT.parts`, named by what they depend on.

    A part is used again only if everything it depends on is the same; `finish` removes the parts of this call and, when
    it is empty, the folder. Without an `out` nothing is kept.
    """

    def __init__(self, out: Path | None, settings: dict[str, Any]) -> None:
        if out is not None and (out.is_dir() or not out.parent.is_dir()):
            reason = "it is a folder" if out.is_dir() else f"there is no folder {str(out.parent)!r}"
            raise InputError(f"cannot write {str(out)!r}: {reason}.")
        special = out is not None and out.exists() and not out.is_file()  # a device, a pipe: nothing is put beside it
        self._folder = None if out is None or special else out.with_name(f"{out.name}.parts")
        self._settings = settings
        self._used: list[Path] = []
        self.resumed = 0  # parts that were there
        if self._folder is not None:
            try:
                self._folder.mkdir(exist_ok=True)
            except OSError as error:
                reason = (
                    f"its parts go to a folder {self._folder.name!r}, and there is a file of that name"
                    if isinstance(error, FileExistsError)
                    else error.strerror or str(error)
                )
                raise InputError(f"cannot write {str(out)!r}: {reason}.") from None

    def part(self, name: str, depends: dict[str, Any], compute: Callable[[], Any]) -> Any:
        """The result of `compute`, or what an earlier call with the same settings kept of it."""
        if self._folder is None:
            return compute()
        path = self._path(self._folder, name, depends)
        self._used.append(path)
        kept = restored(path) if path.exists() else None
        if kept is not None:
            self.resumed += 1
            return kept
        result = compute()
        try:
            store(path, result)
        except OSError as error:
            raise InputError(f"cannot write {str(path)!r}: {error.strerror or error}.") from None
        _remove_stages(path)
        return result

    def stages(self, name: str, depends: dict[str, Any]) -> Stages:
        """Keeps the stages of the search that will be the part `name`, until that part is finished."""
        return Stages(self, None if self._folder is None else self._path(self._folder, name, depends))

    def _path(self, folder: Path, name: str, depends: dict[str, Any]) -> Path:
        key = json.dumps({"name": name, **self._settings, **depends}, sort_keys=True)
        return folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"

    def finish(self) -> None:
        """All is done and saved: the parts are not needed any more."""
        if self._folder is None:
            return
        for path in self._used:
            path.unlink(missing_ok=True)
            _remove_stages(path)
        if not any(self._folder.iterdir()):
            self._folder.rmdir()


@final
class Stages:
    """The stages of one search, kept in the order in which they come: a search that goes on asks for them again.

    Between its stages a search does nothing that takes long, and chance comes from its seed; so it comes to the same
    stages with the same starts, and what is kept of them stands for the work.
    """

    def __init__(self, checkpoint: Checkpoint, part: Path | None) -> None:
        self._checkpoint, self._part, self._count = checkpoint, part, 0

    def __call__(self, name: str, starts: Array, compute: Callable[[], Any]) -> Any:
        """The result of `compute` for these starts, or what an earlier call kept of it."""
        if self._part is None:
            return compute()
        self._count += 1
        digest = hashlib.sha256(f"{self._count} {name} {starts.shape}".encode() + starts.tobytes()).hexdigest()[:24]
        path = self._part.with_name(f"{self._part.stem}.stage-{digest}.npz")
        kept = restored(path) if path.exists() else None
        if kept is not None:
            self._checkpoint.resumed += 1
            return kept
        began = time.monotonic()
        result = compute()
        if time.monotonic() - began >= LEAST_SECONDS:
            try:
                store(path, result)
            except OSError as error:
                raise InputError(f"cannot write {str(path)!r}: {error.strerror or error}.") from None
        return result


def _remove_stages(part: Path) -> None:
    for path in part.parent.glob(f"{part.stem}.stage-*"):
        path.unlink(missing_ok=True)
