"""Memory for large results, used again once nobody holds the last one.

A fresh array of tens of megabytes is slow: the system hands out its pages one by one and clears each. Searches and
spectra ask for such arrays again and again, and let go of each before the next.
"""

from __future__ import annotations

import sys
from typing import final

import numpy as np

from dynsys.types import Array

LARGEST = 160 << 20  # bytes kept at most


def _holders(box: list[Array]) -> int:
    """References to the array in the box, as this interpreter counts them."""
    return sys.getrefcount(box[0])


ALONE = _holders([np.empty(0)])


@final
class Workspace:
    """Hands out arrays for results, and remembers the last one."""

    def __init__(self) -> None:
        self._box: list[Array] = []

    def take(self, shape: tuple[int, ...], *, zeros: bool = False) -> tuple[Array, bool]:
        """An array of this shape, and whether it is known to be all zeros.

        With `zeros` a new array is zero (calloc'ed, which costs nothing where it is not touched); one that is used
        again never is. Views of an array count as holding it.
        """
        try:
            box = [self._box.pop()]  # in one indivisible step: a second thread finds nothing, not the same memory
        except IndexError:
            box = []
        again = bool(box) and box[0].shape == shape and _holders(box) == ALONE
        out = box[0] if again else np.zeros(shape) if zeros else np.empty(shape)
        if out.nbytes <= LARGEST:
            self._box[:] = [out]
        return out, zeros and not again
