"""Long searches that may be broken off: what is done is kept beside the output, and found again by the same call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from dynsys.errors import InputError
from dynsys.stored import restored, store


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
                raise InputError(f"cannot write {str(out)!r}: {error.strerror or error}.") from None

    def part(self, name: str, depends: dict[str, Any], compute: Callable[[], Any]) -> Any:
        """The result of `compute`, or what an earlier call with the same settings kept of it."""
        if self._folder is None:
            return compute()
        key = json.dumps({"name": name, **self._settings, **depends}, sort_keys=True)
        path = self._folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"
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
        return result

    def finish(self) -> None:
        """All is done and saved: the parts are not needed any more."""
        if self._folder is None:
            return
        for path in self._used:
            path.unlink(missing_ok=True)
        if not any(self._folder.iterdir()):
            self._folder.rmdir()
