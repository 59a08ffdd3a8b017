"""Zip archives, in which both NumPy and PyTorch keep arrays, read with every lie about sizes caught."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import final

from dynsys.errors import LoadError

_TROUBLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,  # also UnicodeDecodeError
    OverflowError,
    LookupError,
    NotImplementedError,
    RuntimeError,  # encrypted members
)
_SMALL, _RATIO = 256 * 2**20, 100


@final
class Archive:
    """The members of a zip archive held in memory.

    Attributes:
        names: of the members, in the order of the archive.
        limit: the most bytes that its arrays may fill together.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            members = self._zip.infolist()
        except _TROUBLE as error:
            raise LoadError(f"the archive is cut short or damaged ({error}). Copy or save the file again.") from None
        self.names = dict.fromkeys(member.filename for member in members)
        if len(self.names) != len(members):
            raise LoadError("the archive holds two members of one name, so it is unclear which counts. Save it again.")
        # No member gives more bytes than it declares, so the sum bounds the memory whatever the file does.
        whole, self.limit = sum(member.file_size for member in members), max(_SMALL, _RATIO * len(data))
        if whole > self.limit:
            raise LoadError(
                f"the archive of {len(data)} bytes would unpack to {whole}, which no trained network does. "
                "If it is what you want, save it uncompressed."
            )
        known = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if any(member.compress_type not in known for member in members):
            raise LoadError("the archive is compressed by another method than deflate. Save it uncompressed.")

    def read(self, name: str) -> bytes:
        """The bytes of one member."""
        try:
            return self._zip.read(name)
        except _TROUBLE as error:
            raise LoadError(f"{name} in the archive is damaged ({error}). Copy or save the file again.") from None
