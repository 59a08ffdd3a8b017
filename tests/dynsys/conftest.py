"""What the loader tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dynsys.loaders import load
from dynsys.model import Model


@pytest.fixture
def attempt(tmp_path: Path) -> Callable[[bytes, str], Model]:
    def write_and_load(data: bytes, name: str = "model.pt") -> Model:
        (tmp_path / name).write_bytes(data)
        return load(tmp_path / name)

    return write_and_load
