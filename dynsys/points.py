"""States with everything that is measured at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from dynsys import stability
from dynsys.batched_solves import inverse_of_each, solve_each
from dynsys.completeness import signs_of
from dynsys.maps import Map
from dynsys.read_only import read_only
from dynsys.types import Array, Booleans, Complex, Integers

LARGEST_ERROR = 1e-6  # a point counts only if it is known this well (relative to 1 + max|x|)


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Points:
    """States with what is measured at each. Rows are sorted by number of unstable multipliers, then residual.

    Attributes:
        states: (k, n), model units.
        residuals: (k,) max_i |F(x)_i - x_i|. speeds: (k,) |F(x) - x|_2, so that q = speed^2 / 2.
        errors: (k,) |(I - J)^-1 (F(x) - x)|_inf, the distance to the true point to first order; inf where I - J is
            singular.
        rounding: (k,) |(I - J)^-1|_inf eps max|x|: how much of that distance rounding alone can hide.
        multipliers: (k, n) complex, eigenvalues of J sorted by modulus. multiplier_errors: (k, n).
        right_modes, left_modes: (k, n, n) complex columns paired with the multipliers, left^H right = I.
        condition: (k, n) of each multiplier; 1 is the best.
        n_unstable, undecided: (k,) multipliers outside the unit circle, and within their error of it.
        kinds: (k,) "attractor", "saddle", "repeller" or "undecided".
        hits: (k,) uniform starts that ended here. found_by: (k,) where the point was first met.
        jacobians: (k, n, n). input_jacobians: (k, n, m).
    """

    states: Array
    residuals: Array
    speeds: Array
    errors: Array
    rounding: Array
    multipliers: Complex
    multiplier_errors: Array
    right_modes: Complex
    left_modes: Complex
    condition: Array
    n_unstable: Integers
    undecided: Integers
    kinds: tuple[str, ...]
    hits: Integers
    found_by: tuple[str, ...]
    jacobians: Array
    input_jacobians: Array

    def __repr__(self) -> str:
        return f"<{len(self.states)} points with {self.states.shape[1]} state variables: {', '.join(self.kinds[:8])}>"

    def __len__(self) -> int:
        return len(self.states)

    @property
    def time_constants(self) -> Array:
        """(k, n) steps: -1 / log|mu|; negative where the mode grows."""
        return stability.time_constants(self.multipliers)

    @property
    def rotation_periods(self) -> Array:
        """(k, n) steps per turn: 2 pi / |arg mu|."""
        return stability.rotation_periods(self.multipliers)

    @property
    def henrici(self) -> Array:
        """(k,) departure from normality, 0 to 1."""
        return stability.henrici(self.jacobians)


@final
@dataclass(frozen=True, eq=False)
class Measured:
    """What one linearisation and one inverse tell at k states. Fields as in `Points`, and:

    F: (k, n) F(x) - x. signs: (k,) sign det(I - J). clear: (k,) whether that sign clears rounding.
    """

    F: Array
    residuals: Array
    errors: Array
    rounding: Array
    jacobians: Array
    signs: Integers
    clear: Booleans


def measure(f: Map, states: Array, input: Array) -> Measured:
    """Residuals, errors and the sign of det(I - J) at states (k, n)."""
    step = f.linearize(states, input)
    F = step.next_state.T - states
    jacobians = np.array(step.dense())
    # No distance can be measured where the slope is infinite: I - J = 0 says so.
    jacobians[~np.isfinite(jacobians).all(axis=(1, 2))] = np.eye(f.state_size)
    shifted = np.eye(f.state_size) - jacobians
    inverses = inverse_of_each(shifted)
    signs, clear = signs_of(shifted, inverses)
    errors = np.abs(inverses @ F[:, :, np.newaxis]).max(axis=(1, 2), initial=0.0)
    rounding = np.finfo(np.float64).eps * np.abs(states).max(axis=1, initial=0.0)
    rounding *= np.abs(inverses).sum(axis=2).max(axis=1, initial=0.0)
    errors, rounding = (np.where(np.isnan(e), np.inf, e) for e in (errors, rounding))
    return Measured(F, np.abs(F).max(axis=1, initial=0.0), errors, rounding, jacobians, signs, clear)


def points_at(
    f: Map,
    states: Array,
    input: Array,
    hits: Integers,
    found_by: list[str],
    eigen: Mapping[int, tuple[Complex, Complex]] | None = None,
) -> Points:
    """Everything measured at states (k, n), sorted as `Points` says; `hits` and `found_by` go with them.

    `eigen`: multipliers and right modes of those states where they are known.
    """
    there = measure(f, states, input)
    jacobians, residuals = there.jacobians, there.residuals
    spectrum = stability.modes(jacobians, eigen)
    drift = _jacobian_drift(f, states, input, jacobians, there.F)
    accuracy = stability.multiplier_errors(jacobians, spectrum.condition, drift)
    unstable, undecided = stability.count_unstable(spectrum.multipliers, accuracy)
    order = np.lexsort((residuals, unstable))
    names = stability.kinds(unstable, undecided, f.state_size)
    return Points(
        states=states[order],
        residuals=residuals[order],
        speeds=np.linalg.norm(there.F, axis=1)[order],
        errors=there.errors[order],
        rounding=there.rounding[order],
        multipliers=spectrum.multipliers[order],
        multiplier_errors=accuracy[order],
        right_modes=spectrum.right_modes[order],
        left_modes=spectrum.left_modes[order],
        condition=spectrum.condition[order],
        n_unstable=unstable[order],
        undecided=undecided[order],
        kinds=tuple(names[i] for i in order),
        hits=np.asarray(hits)[order],
        found_by=tuple(found_by[i] for i in order),
        jacobians=jacobians[order],
        input_jacobians=np.asarray(f.input_jacobian(states, input))[order],
    )


def _jacobian_drift(f: Map, states: Array, input: Array, jacobians: Array, F: Array) -> Array:
    """|J(x) - J(x + Newton step)| (Frobenius), (k,): how much J may change over the distance to the true point."""
    if not len(states):
        return np.zeros(0)
    move = solve_each(np.eye(f.state_size) - jacobians, F)
    known = np.isfinite(move).all(axis=1)
    # At a slow point the step leads nowhere; J is then exact at the state itself, which is what is reported.
    move[~known] = 0.0
    move *= np.minimum(1.0, LARGEST_ERROR / np.maximum(np.abs(move).max(axis=1, keepdims=True), 1e-300))
    change = f.jacobian(states + move, input) - jacobians
    drift = np.asarray(np.where(known, np.linalg.norm(change, axis=(1, 2)), 0.0))
    return np.asarray(np.maximum(drift, _jumps_nearby(f, states, input, jacobians)))


def _jumps_nearby(f: Map, states: Array, input: Array, jacobians: Array) -> Array:
    """How much J changes within rounding of the states, (k,): much on a kink of a piecewise linear map, else nothing.

    Four places a few rounding errors away, on both sides in two random directions.
    """
    n = f.state_size
    reach = 64 * stability.EPS * (1.0 + np.abs(states).max(axis=1, initial=0.0))[:, np.newaxis]
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(2, n))
    largest = np.zeros(len(states))
    for direction in (*signs, *-signs):
        change = f.jacobian(states + reach * direction, input) - jacobians
        largest = np.maximum(largest, np.linalg.norm(change, axis=(1, 2)))
    # What a smooth map changes over that distance is rounding of J itself, which is counted already.
    size = np.linalg.norm(jacobians, axis=(1, 2))
    return np.asarray(np.where(largest > 1e-6 * (1.0 + size), largest, 0.0))
