"""Proofs about given states, one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynsys.combinators import as_map
from dynsys.errors import InputError, ShapeError
from dynsys.limits import one_blas_thread
from dynsys.maps import Map, numbers, require_finite
from dynsys.proofs.certificates import Certificates
from dynsys.proofs.cyclic import Cyclic
from dynsys.proofs.evaluate import Unprovable
from dynsys.proofs.existence import Existence, existence
from dynsys.proofs.spectrum import Discs, discs, index, orbit_jacobian
from dynsys.readings import arb_arrays
from dynsys.readings.arb_arrays import Arbs
from dynsys.readings.intervals import Intervals
from dynsys.types import Array, ArrayLike

CLAIM = 1e-10  # relative to 1 + max|x|
BITS = 212
LARGEST_FOR_BALLS = 200  # a retry in ball arithmetic takes seconds beyond
FLOATS, BALLS = "float64 intervals", f"Arb balls, {BITS} bits"
ARITHMETICS = ("auto", "floats", "balls")


def certify(
    f: Any,
    fixed_points: Any,
    input: ArrayLike | None = None,
    *,
    claim: float | None = None,
    arithmetic: str = "auto",
) -> Certificates:
    """Prove that fixed points (or cycles) exist near the given states, are alone there, and are stable or not.

    Per state: existence and uniqueness by Krawczyk's operator, enclosures of the point and of all its multipliers, and
    the number of multipliers outside the unit circle. A state with no fixed point within `claim` is refuted where that
    can be proven, else undecided; so is a state where J - I is numerically singular. No error is raised for either.

    Args:
        f: the map (anything `as_map` reads).
        fixed_points: what `find_fixed_points` or `find_cycles` returned, or states (n,) or (k, n), or cycles
            (k, period, n).
        input: (m,) constant input; None is the input of the search, for states the zero vector.
        claim: how near a fixed point has to be for a state to count as one, model units; None is 1e-10 (1 + max|x|),
            or ten times the search's own error bound where that is larger.
        arithmetic: "floats" (float64 intervals, outward rounded), "balls" (Arb at 212 bits; needs python-flint), or
            "auto": floats, and balls for what they leave undecided where python-flint is installed (to 200 variables).

    Returns: Certificates.
    Raises: InputError for wrong shapes or a time-varying input; MissingPackageError for "balls" without python-flint.
    """
    f = as_map(f)
    if arithmetic not in ARITHMETICS:
        raise InputError(f"`arithmetic` must be one of {', '.join(map(repr, ARITHMETICS))}, got {arithmetic!r}.")
    if arithmetic == "balls":
        arb_arrays.flint()
    vector = f.input_vector(getattr(fixed_points, "input", None) if input is None else input)
    states, errors = _states(f, fixed_points)
    if claim is not None and not 0 < claim < np.inf:
        raise InputError(f"`claim` must be a positive distance, got {claim}.")
    period = states.shape[1] if states.ndim == 3 else 1
    g = f if states.ndim == 2 else Cyclic(f, period)
    flat = states.reshape(len(states), g.state_size)
    size = np.abs(flat).max(axis=1, initial=0.0)
    claims = np.maximum(CLAIM * (1 + size), 10 * errors) if claim is None else np.full(len(flat), float(claim))
    with one_blas_thread(), np.errstate(all="ignore"):
        rows = [_certified(g, x, vector, float(c), arithmetic) for x, c in zip(flat, claims, strict=True)]
    return _collected(f, states, vector, claims, rows, period)


Row = tuple[Existence, Discs, int | None, str, str]


def _certified(f: Map, state: Array, input: Array, claim: float, arithmetic: str) -> Row:
    found, used = None, FLOATS
    try:
        if arithmetic != "balls":
            found = existence(f, state, input, claim, Intervals)
        retry = found is None or not (found.proven or found.refuted)
        if retry and (arithmetic == "balls" or (arithmetic == "auto" and _balls_pay(f))):
            with arb_arrays.precision(BITS):
                if found is None:
                    found = existence(f, state, input, claim, Arbs)
                if not (found.proven or found.refuted):
                    again = existence(f, state, input, claim, Arbs, refine=True)
                    found = again if again.proven else found
            used = BALLS
    except Unprovable as error:
        found = _not_followed(state, str(error))
    assert found is not None
    return _with_spectrum(f, found, used)


def _balls_pay(f: Map) -> bool:
    return f.state_size <= LARGEST_FOR_BALLS and arb_arrays.available()


def _not_followed(state: Array, reason: str) -> Existence:
    wide = np.full(len(state), np.inf)
    return Existence(
        proven=False, refuted=False, radius=np.inf, uniqueness=0.0, low=-wide, high=wide, slope=None, kink=False,
        reason=reason,
    )  # fmt: skip


def _with_spectrum(f: Map, found: Existence, used: str) -> Row:
    n = f.inner.state_size if isinstance(f, Cyclic) else f.state_size
    unknown = Discs(np.zeros(n, dtype=np.complex128), np.full(n, np.inf))
    if not found.proven:
        return found, unknown, None, found.reason, used
    if isinstance(f, Cyclic) and not f.is_minimal(found.low, found.high):
        short = "an orbit is proven, but its minimal period may be a divisor of this one"
        return _not_followed(found.low, short), unknown, None, short, used
    slope = Intervals(*found.slope.bounds())
    if found.kink:
        return found, unknown, None, "the point is on a kink of the map as far as is known: no multipliers there", used
    if isinstance(f, Cyclic):
        J = orbit_jacobian(f.links(slope))
        where = discs(J)
        count = index(J, where)
        if count is None:  # the multipliers of the whole system are the p-th roots of the orbit's
            whole = index(slope, discs(slope))
            count = None if whole is None else whole // f.period
    else:
        where = discs(slope)
        count = index(slope, where)
    return found, where, count, "" if count is not None else "a multiplier is too close to the unit circle", used


def _states(f: Map, given: Any) -> tuple[Array, Array]:
    """The states (k, n), or cycles (k, period, n), and the errors that their search reported, (k,)."""
    source = getattr(given, "states", given)
    array = numbers(source, "fixed_points")
    if array.ndim == 1:
        array = array[np.newaxis]
    if array.ndim not in (2, 3) or array.shape[-1] != f.state_size or (array.ndim == 3 and not array.shape[1]):
        raise ShapeError(
            f"`fixed_points` must be a result of a search, or states (k, {f.state_size}), or cycles "
            f"(k, period, {f.state_size}); got shape {np.shape(source)}."
        )
    require_finite(array, "fixed_points")
    errors = np.asarray(getattr(given, "errors", np.zeros(len(array))), dtype=np.float64)
    return array, np.where(np.isfinite(errors), errors, 0.0) if errors.shape == (len(array),) else np.zeros(len(array))


def _collected(f: Map, states: Array, input: Array, claims: Array, rows: list[Row], period: int) -> Certificates:
    n = f.state_size
    counts = np.array([-1 if count is None else count for _, _, count, _, _ in rows], dtype=np.int64)

    def status(found: Existence) -> str:
        return "proven" if found.proven else "refuted" if found.refuted else "undecided"

    return Certificates(
        states=states.copy(),
        status=tuple(status(found) for found, *_ in rows),
        radius=np.array([found.radius for found, *_ in rows]),
        uniqueness=np.array([found.uniqueness for found, *_ in rows]),
        claimed=claims,
        low=np.array([found.low for found, *_ in rows]).reshape(states.shape),
        high=np.array([found.high for found, *_ in rows]).reshape(states.shape),
        stability=tuple("undecided" if c < 0 else "unstable" if c else "stable" for c in counts.tolist()),
        n_unstable=counts,
        multipliers=np.array([d.centres for _, d, *_ in rows], dtype=np.complex128).reshape(-1, n),
        multiplier_radii=np.array([d.radii for _, d, *_ in rows]).reshape(-1, n),
        reasons=tuple(reason for *_, reason, _ in rows),
        arithmetic=tuple(used for *_, used in rows),
        period=period,
        input=input,
        map_name=f.name,
    )
