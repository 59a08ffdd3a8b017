"""Memory for large results, used again once nobody holds the last one.

A fresh array of tens of megabytes is slow: the system hands out its pages one by one and clears each. Searches and
spectra ask for such arrays again and again, and let go of each before the next.
"""

from __future__ import annotations

import sys
from typing import final

import numpy as np

from dynsys.types import Array

LARGEST = 1 << 26  # bytes kept at most


def _holders(box: list[Array]) -> int:
    """References to the array in the box, as this interpreter counts them."""
    return sys.getrefcount(box[0])


ALONE = _holders([np.empty(0)])


@final
class Workspace:
    """Hands out uninitialised arrays, and remembers the last one."""

    def __init__(self) -> None:
        self._box: list[Array] = []

    def take(self, shape: tuple[int, ...]) -> Array:
        """An array of this shape with arbitrary content. Views of it count as holding it."""
        try:
            box = [self._box.pop()]  # in one indivisible step: a second thread finds nothing, not the same memory
        except IndexError:
            box = []
        out = box[0] if box and box[0].shape == shape and _holders(box) == ALONE else np.empty(shape)
        if out.nbytes <= LARGEST:
            self._box[:] = [out]
        return out
