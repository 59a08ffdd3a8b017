"""Covariant Lyapunov vectors: the directions that grow at each exponent's rate, at every state of an orbit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.checked_numbers import whole_number
from dynsys.combinators import as_map
from dynsys.covariant_run import CovariantRun, Path, Window, covariant_run, sines, trusted_columns
from dynsys.errors import AnalysisError, InputError, ShapeError
from dynsys.limits import one_blas_thread
from dynsys.orbits import sequence, start_columns
from dynsys.read_only import read_only
from dynsys.types import Array, ArrayLike, Booleans, Progress

AGREEMENT = 1e-6
"""Sine of the angle to which two runs from other random frames must agree."""
WHOLE, LEADING = 64, 16
"""State variables up to which all vectors are computed, and how many beyond."""
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
PARTS = 20
"""Stretches of the window whose means give standard errors."""


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class CovariantVectors:
    """Directions v_i(t) with J_t v_i(t) = exp(growth) v_i(t + 1), along T steps of an orbit.

    Attributes:
        states: (T, n), model units. vectors: (T, n, k), unit columns, that of the largest exponent first.
        local_exponents: (T, k) log|J_t v_i(t)|, nats per step. exponents: (k,) their means; standard_errors: (k,), from
            batch means.
        angles: (T, k - 1) between vectors i and i + 1, radians, 0 to pi/2.
        pair_angles: (k, k) least angle between vectors i and j anywhere in the window, radians; zero on the diagonal.
        splitting: (T,) least angle between the subspaces of the growing and of the shrinking vectors, radians; None
            where one of them is empty. Where it comes near zero the orbit is not hyperbolic: directions that grow and
            shrink are nearly the same there.
        n_expanding, n_contracting: how many exponents are above, below zero by two standard errors.
        covariance_errors: (k,) largest sine of the angle between J_t v_i(t) and v_i(t + 1).
        frame_errors: (k,) largest sine of the angle between the vectors of two runs from other random frames.
        determined: (k,) whether that is below 1e-6; else the vectors are not known, though the space of a group of
            near-equal exponents may be.
        steps, discard, align: of the window, before it, after it.
    """

    states: Array
    vectors: Array
    local_exponents: Array
    exponents: Array
    standard_errors: Array
    angles: Array
    pair_angles: Array
    splitting: Array | None
    n_expanding: int
    n_contracting: int
    covariance_errors: Array
    frame_errors: Array
    determined: Booleans
    steps: int
    discard: int
    align: int
    n: int
    seed: int
    map_name: str
    notes: tuple[str, ...]

    @property
    def k(self) -> int:
        """How many vectors there are."""
        return len(self.exponents)

    @property
    def angle_quantiles(self) -> Array:
        """(5, k - 1): least, 5 %, median, 95 % and largest of `angles` over the window, radians."""
        return np.asarray(np.quantile(self.angles, QUANTILES, axis=0))

    @property
    def splitting_quantiles(self) -> Array | None:
        """(5,): the same of `splitting`."""
        return None if self.splitting is None else np.asarray(np.quantile(self.splitting, QUANTILES))

    def to_dict(self) -> dict[str, Any]:
        """All fields and the quantiles, for JSON."""
        return self.summary() | {"states": self.states, "vectors": self.vectors}

    def summary(self) -> dict[str, Any]:
        """All but `states` and `vectors`, which are large, and the quantiles."""
        kept = [name for name in self.__dataclass_fields__ if name not in ("states", "vectors")]
        out = {name: getattr(self, name) for name in kept}
        return out | {"angle_quantiles": self.angle_quantiles, "splitting_quantiles": self.splitting_quantiles}

    def __str__(self) -> str:
        lines = [f"{self.map_name}: {self.k} of {self.n} covariant Lyapunov vectors over {self.steps} steps"]
        quantiles = self.angle_quantiles
        for i, (value, error) in enumerate(zip(self.exponents, self.standard_errors, strict=True)):
            known = "" if self.determined[i] else "   (vector not determined)"
            near = f", angle to the next {_spread(quantiles[:, i])}" if i + 1 < self.k else ""
            lines.append(f"{i:4d}  {value: .6f} +- {error:.1e} nats/step{near}{known}")
        if self.splitting_quantiles is not None:
            lines.append(
                f"angle between the {self.n_expanding} growing and the {self.n_contracting} shrinking directions: "
                f"{_spread(self.splitting_quantiles)}"
            )
        else:
            only = "grow" if self.n_expanding else "shrink" if self.n_contracting else "neither grow nor shrink"
            lines.append(f"no angle between growing and shrinking directions: all that are known {only}")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__


def covariant_vectors(
    f: Any,
    start: ArrayLike | None = None,
    inputs: ArrayLike | None = None,
    k: int | None = None,
    steps: int = 500,
    discard: int = 500,
    align: int = 500,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> CovariantVectors:
    """Covariant Lyapunov vectors of `f` along the orbit of `start`.

    Args:
        f: the map (anything `as_map` reads). start: (n,); None is the model's own initial state, else zeros.
        inputs: (T, m) with T = discard + steps + align; None is the zero input.
        k: how many; None is all for n <= 64, else 16.
        steps: of the window whose vectors are returned. discard: steps before it, in which state and frame settle.
            align: steps after it, from whose end the vectors are taken back; both errors fall like
            exp(-(gap of neighbouring exponents) x steps).
        seed: of the random frames. progress: called with (passes done, passes in all, message).

    Returns: CovariantVectors. Memory: the result, and the square root of the steps times n k. Cost: four passes of
        O(n^2 k) per step, and two more as a check from other frames.
    Source: F. Ginelli et al., Physical Review Letters 99 (2007) 130601; Journal of Physics A 46 (2013) 254005.
    """
    f = as_map(f)
    window = _window(steps, discard, align)
    driving = None if inputs is None else sequence(f, inputs)
    if driving is not None and driving.shape[1] != 1:
        raise ShapeError(f"covariant vectors are those of one orbit; `inputs` has {driving.shape[1]} sequences.")
    if driving is not None and len(driving) != window.total:
        raise InputError(
            f"`inputs` has {len(driving)} steps and must have exactly discard + steps + align = {discard} + {steps} + "
            f"{align} = {window.total}."
        )
    k = (f.state_size if f.state_size <= WHOLE else LEADING) if k is None else k
    k = whole_number("k", k, 1, most=f.state_size)
    state, _ = start_columns(f, start, driving)
    if state.shape[1] != 1:
        raise ShapeError(f"covariant vectors are those of one orbit; got {state.shape[1]} starts.")
    generator = seeds.generator(seed)
    starts = [_start(generator, f.state_size, k) for _ in range(2)]
    say = progress or (lambda done, total, message: None)
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        say(0, 3, "which directions the steps keep")
        path = Path(f, state, driving, window)
        columns = trusted_columns(path, starts[0][0])
        if not columns:
            raise AnalysisError("the orbit has no direction that a step keeps: all exponents are minus infinity.")
        runs = []
        for done, (Q, C) in enumerate(starts, 1):
            say(done, 3, "forward, and back again" + " from another frame" * (done > 1))
            runs.append(covariant_run(path, Q[:, :columns], C[:columns, :columns]))
        one, two = runs
        say(3, 3, "done")
    return _result(path, one, two, k, seed)


def _window(steps: int, discard: int, align: int) -> Window:
    return Window(whole_number("discard", discard, 0), whole_number("steps", steps, 1), whole_number("align", align, 0))


def _start(generator: np.random.Generator, n: int, k: int) -> tuple[Array, Array]:
    """A random orthonormal frame, and a random upper triangular matrix to come back from."""
    frame = np.linalg.qr(generator.standard_normal((n, k)))[0]
    end = np.triu(generator.standard_normal((k, k)), 1) + np.eye(k)
    return frame, end


def _result(path: Path, one: CovariantRun, two: CovariantRun, k: int, seed: int) -> CovariantVectors:
    f, window = path.f, path.window
    columns = one.vectors.shape[2]
    exponents = one.growth.mean(axis=0)
    parts = np.array([part.mean(axis=0) for part in np.array_split(one.growth, min(PARTS, window.steps))])
    # A mean of logarithms is never better than the rounding of one step.
    errors = np.full(columns, f.state_size * np.finfo(np.float64).eps)
    if len(parts) > 1:
        errors = np.maximum(errors, parts.std(axis=0, ddof=1) / np.sqrt(len(parts)))
    apart = sines(one.vectors, two.vectors).max(axis=0)
    determined = apart <= AGREEMENT
    growing, shrinking = exponents - 2 * errors > 0, exponents + 2 * errors < 0
    return CovariantVectors(
        states=path.orbit[window.discard : window.discard + window.steps],
        vectors=one.vectors,
        local_exponents=one.growth,
        exponents=exponents,
        standard_errors=errors,
        angles=np.arcsin(np.minimum(sines(one.vectors[..., :-1], one.vectors[..., 1:]), 1.0)),
        pair_angles=_pair_angles(one.vectors),
        splitting=least_angles(one.vectors[..., growing], one.vectors[..., shrinking]),
        n_expanding=int(growing.sum()),
        n_contracting=int(shrinking.sum()),
        covariance_errors=one.residuals.max(axis=0),
        frame_errors=apart,
        determined=determined,
        steps=window.steps,
        discard=window.discard,
        align=window.align,
        n=f.state_size,
        seed=seed,
        map_name=f.name,
        notes=_notes(exponents, determined, columns, k, window),
    )


def _pair_angles(vectors: Array) -> Array:
    """(k, k) least angles over time between unit columns (T, n, k)."""
    k = vectors.shape[2]
    least = np.zeros((k, k))
    for i in range(k - 1):
        least[i, i + 1 :] = sines(vectors[:, :, i : i + 1], vectors[:, :, i + 1 :]).min(axis=0)
    return np.asarray(np.arcsin(np.minimum(least + least.T, 1.0)))


def _spread(quantiles: Array) -> str:
    """Quantiles of an angle in words."""
    least, low, middle, high, _ = quantiles
    return f"{least:.3g} radians or more (median {middle:.3g}, 90 % from {low:.3g} to {high:.3g})"


def least_angles(a: Array, b: Array) -> Array | None:
    """(T,) least angle between the spaces spanned by columns (T, n, p) and (T, n, q); None where one has none."""
    if not a.shape[2] or not b.shape[2]:
        return None
    Qa, Qb = np.linalg.qr(a)[0], np.linalg.qr(b)[0]
    # Singular values of the part of b outside a are the sines of the principal angles: accurate where they are small.
    outside = Qb - Qa @ (Qa.swapaxes(1, 2) @ Qb)
    least = np.linalg.svd(outside, compute_uv=False)[:, -1]
    return np.asarray(np.arcsin(np.minimum(least, 1.0)))


def _notes(exponents: Array, determined: Booleans, columns: int, k: int, window: Window) -> tuple[str, ...]:
    notes = []
    if columns < k:
        notes.append(
            f"only the leading {columns} of {k} vectors: beyond them steps destroy directions, exactly or below "
            "rounding, and what is destroyed cannot be taken back"
        )
    for i in np.flatnonzero(~determined):
        near = [j for j in (i - 1, i + 1) if 0 <= j < columns]
        gap = min((abs(float(exponents[i] - exponents[j])) for j in near), default=np.inf)
        notes.append(
            f"vector {i} is not determined: two random frames end at different ones; its exponent is within {gap:.2g} "
            f"nats/step of a neighbour's, and {min(window.discard, window.align)} steps to settle do not part them"
        )
    return tuple(notes)
