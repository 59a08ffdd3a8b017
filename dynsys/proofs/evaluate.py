"""The map and its Jacobian over boxes of states, in either kind of interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.errors import MissingPackageError
from dynsys.maps import Map
from dynsys.readings.balls import Enclosed, Watch, constant, seeded
from dynsys.readings.tape import Unreadable
from dynsys.types import Array


class Unprovable(Exception):
    """The equations cannot be followed over intervals; the message says why."""


@final
@dataclass(frozen=True, eq=False)
class Evaluated:
    """The map over B boxes: `next` (n, B) and `slope` (n, B, n) as intervals; `kink` where a derivative may jump."""

    next: Any
    slope: Any
    kink: bool


def evaluate(f: Map, box: Any, input: Array) -> Evaluated:
    """F and its Jacobian over boxes (n, B) at the constant input (m,).

    Raises: Unprovable where the equations use something that intervals cannot follow.
    """
    n, samples = box.shape
    watch = Watch()
    state = seeded(box, watch)
    try:
        with np.errstate(all="ignore"):
            answer = f.equations_on(state, constant(input[:, np.newaxis], state))
            if not isinstance(answer, Enclosed):
                answer = constant(np.asarray(answer, dtype=np.float64), state)
            value = answer.value.spread((n, samples))
            kind = type(box)
            slope = kind.point(np.zeros((n, samples, n))) if answer.slope is None else answer.slope
            return Evaluated(value, slope.spread((n, samples, n)), watch.kink)
    except (
        Unreadable,
        MissingPackageError,
        NotImplementedError,
        TypeError,
        AttributeError,
        ValueError,
        IndexError,
        KeyError,
    ) as error:
        raise Unprovable(f"the equations cannot be followed over intervals: {error}") from error
