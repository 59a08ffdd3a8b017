"""Where to look for states: the reachable box of the equations, or, where nothing bounds them, a guess that says so."""

from __future__ import annotations

import numpy as np

from dynsys import seeds
from dynsys.maps import Map, SearchBox
from dynsys.orbits import orbit_columns
from dynsys.types import Array

FAR = 1e6  # orbits and starts beyond this say nothing about where to look


TOO_WIDE = 20.0  # a reachable box wider than this is true, but says little about where states are


def search_box(f: Map, input: Array, starts: Array, seed: int) -> SearchBox:
    """Where uniform starts are drawn at this constant input (m,): the map's own box, unless nothing useful bounds it.

    An LSTM's cell state is bounded by max i / (1 - max f), which may be thousands; its orbits stay within a few units.
    Such a box, and where there is none, gives way to one guessed from orbits and from `starts` (k, n). The caller's
    own box is taken as it is.
    """
    own = f.box(input, input)
    if own is not None and (own.given or float((own.high - own.low).max()) <= TOO_WIDE):
        return own
    guess = _guessed(f, input, starts, seed)
    if own is None:
        return guess
    low, high = np.maximum(own.low, guess.low), np.minimum(own.high, guess.high)
    return SearchBox(low, high, False, "the part of the reachable box that orbits visit, half as wide again")


def _guessed(f: Map, input: Array, starts: Array, seed: int) -> SearchBox:
    """The bounding box of the late half of 64 orbits of 200 steps, of `starts` and of [-1, 1]^n, half as wide again."""
    generator = seeds.generator(seed)
    first = generator.standard_normal((f.state_size, 64))
    driving = np.broadcast_to(input, (200, 1, len(input)))
    with np.errstate(all="ignore"):
        orbit = orbit_columns(f, first, driving, 200)
    late = orbit[100:].swapaxes(0, 1).reshape(f.state_size, 101, -1)
    bounded = np.isfinite(orbit).all(axis=(0, 1)) & (np.abs(orbit).max(axis=(0, 1)) < FAR)
    near = starts[np.abs(starts).max(axis=1, initial=0.0) < FAR]
    seen = np.concatenate([late[:, :, bounded].reshape(f.state_size, -1), near.T], axis=1)
    low = np.minimum(seen.min(axis=1, initial=-1.0), -1.0)
    high = np.maximum(seen.max(axis=1, initial=1.0), 1.0)
    reach = 0.25 * (high - low)
    return SearchBox(
        low - reach, high + reach, False, "guessed from orbits, half as wide again: nothing in the equations bounds it"
    )
