"""The map inside wrappers that leave its steps as they are."""

from __future__ import annotations

from dynsys.composed_maps import Boxed
from dynsys.maps import Map
from dynsys.model import Model


def bare(f: Map) -> Map:
    """`f` without what only adds a search box, or the file it came from. A fixed input is no such wrapper."""
    while isinstance(f, (Boxed, Model)):
        f = f.inner
    return f
