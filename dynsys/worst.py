"""The worst that inputs from a box can do: how much any step can stretch differences, and any sequence of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from dynsys import seeds
from dynsys.bare import bare
from dynsys.combinators import as_map
from dynsys.errors import AnalysisError, InputError
from dynsys.jacobians import jacobians_on
from dynsys.joint_spectral import JointSpectralRadius, joint_spectral_radius
from dynsys.lags import increasing_lags
from dynsys.limits import one_blas_thread
from dynsys.maps import CellMap, Map, numbers
from dynsys.norm_bounds import Box, norm_bound, scaled_elman, sigma, slope_range
from dynsys.orbits import orbit_columns, sequence, start_columns
from dynsys.read_only import read_only
from dynsys.types import Array, ArrayLike, Integers

FREE_STEPS, FREE_SEQUENCES = 100, 16
"""Of the inputs that are drawn from the box where none are given: half uniform, half held at its corners."""
LAGS = (1, 2, 5, 10, 20, 50, 100)
MOST = 1 << 23
"""Entries of all Jacobians: sequences beyond are left out of the measurement."""
STRONGEST = 6
"""Jacobians whose products in every order are looked at."""


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class WorstCase:
    """What any inputs between `low` and `high` can do to differences of states.

    Attributes:
        low, high: (m,) the box of inputs.
        bound: no step from a reachable state stretches any difference by more (|J|_2); inf where nothing bounds it.
        bound_method: where it comes from. box_origin: what is taken to be reachable.
        scaled_bound: plain networks: the same in a weighted norm, which bounds the growth per step of long products;
            None for others.
        visited_bound: the bound over the states between the least and the largest that were visited. States may leave
            that range, so it promises nothing.
        largest_norm: the largest |J_t|_2 that was measured; largest_at: its (step, sequence). median_norm: the median.
        lags: (L,) steps. norms: (L,) largest |J_{t+T} ... J_{t+1}|_2^(1/T) over stretches of the orbits. radii: (L,)
            largest spectral radius of such a product to the power 1/T.
        joint: bracket of the joint spectral radius of the strongest Jacobians that were measured. Its lower bound is
            one for the worst sequence of Jacobians; whether inputs can make the network go through them in that order
            is another question.
        vanishing: "guaranteed" where `bound` or `scaled_bound` is below 1: then every gradient fades, whatever the
            inputs; "not guaranteed" says no more than that no bound proves it.
        sigma_1, steepest: plain networks: the largest singular value of U, and gamma, the largest slope of the
            function. sigma_1 < 1/gamma is Pascanu's sufficient condition for vanishing gradients; its opposite is
            necessary, not sufficient, for exploding ones.
    """

    low: Array
    high: Array
    bound: float
    bound_method: str
    box_origin: str
    scaled_bound: float | None
    visited_bound: float
    largest_norm: float
    largest_at: tuple[int, int]
    median_norm: float
    lags: Integers
    norms: Array
    radii: Array
    joint: JointSpectralRadius
    vanishing: Literal["guaranteed", "not guaranteed"]
    sigma_1: float | None
    steepest: float | None
    drive: str
    map_name: str

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        lines = [f"{self.map_name}: the worst over inputs in a box, {self.drive}"]
        lines.append(f"no step stretches a difference by more than {self.bound:.4g} ({self.bound_method})")
        if self.scaled_bound is not None:
            lines.append(f"in a weighted norm by no more than {self.scaled_bound:.4g}")
        lines.append(
            f"within the range of states that were visited by no more than {self.visited_bound:.4g}; measured: at most "
            f"{self.largest_norm:.4g} (step {self.largest_at[0]} of sequence {self.largest_at[1]}), median "
            f"{self.median_norm:.4g}"
        )
        for lag, norm, radius in zip(self.lags, self.norms, self.radii, strict=True):
            lines.append(f"over {lag:4d} steps: at most {norm:.4g} per step; spectral radius {radius:.4g} per step")
        lines.append(
            f"the {STRONGEST} strongest Jacobians in the worst order: between {self.joint.lower:.4g} and "
            f"{self.joint.upper:.4g} per step"
        )
        if self.sigma_1 is not None and self.steepest is not None:
            lines.append(f"sigma_1(U) = {self.sigma_1:.4g}, 1/gamma = {1 / self.steepest:.4g} (Pascanu's condition)")
        lines.append(f"vanishing gradients for all inputs: {self.vanishing}")
        return "\n".join(lines)

    __repr__ = __str__


def worst_case(
    f: Any,
    inputs: ArrayLike | None = None,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    *,
    start: ArrayLike | None = None,
    lags: tuple[int, ...] | None = None,
    seed: int = 0,
) -> WorstCase:
    """Bound, and measure, how much inputs from a box can stretch differences of states, and gradients on the way back.

    Args:
        f: the map (anything `as_map` reads).
        inputs: (T, m) or (T, batch, m), or tokens, to measure along; None draws sequences from the box.
        low, high: (m,) or numbers: the box of inputs; None takes the range of `inputs`.
        start: (n,) or (batch, n); None is the model's own initial state, else zeros.
        lags: steps of the products measured; by default up to 100. seed: of the sequences drawn.

    Returns: WorstCase. Bounds hold in floating point too: rounding is allowed for. Cost: O(n^3) per step of the orbits.
    Sources: R. Pascanu, T. Mikolov & Y. Bengio, ICML 2013, arXiv 1211.5063; G.-C. Rota & G. Strang, Indagationes
        Mathematicae 22 (1960) 379-381 (joint spectral radius); G. Gripenberg, Linear Algebra and its Applications 234
        (1996) 43-60.
    """
    f = as_map(f)
    driving = None if inputs is None else sequence(f, inputs)
    if driving is not None and not len(driving):
        raise InputError("there is nothing to measure along: `inputs` has T = 0 steps.")
    box = _input_box(f, driving, low, high)
    drawn = driving is None
    if driving is None:
        driving = _drawn(box, seed)
    kept, left = max(1, MOST // (len(driving) * f.state_size**2)), ""
    if start is None and kept < driving.shape[1]:
        left = f" of {driving.shape[1]}"
        driving = driving[:, :kept]
    state, _ = start_columns(f, start, driving)
    steps = len(driving)
    wanted = np.array([lag for lag in increasing_lags(LAGS if lags is None else lags) if lag <= steps], dtype=np.int64)
    if not len(wanted):
        raise InputError(f"none of the `lags` is within the {steps} steps of the inputs.")
    with one_blas_thread():
        orbit = orbit_columns(f, state, driving, steps)
        if not np.isfinite(orbit).all():
            raise AnalysisError("the orbit runs off to infinity: there are no bounds to compare with.")
        J = jacobians_on(f, orbit, driving)
        each = np.linalg.norm(J, 2, axis=(2, 3))
        norms, radii = _over_lags(J, wanted)
        at = np.unravel_index(int(each.argmax()), each.shape)
        strongest = J.reshape(-1, *J.shape[2:])[np.argsort(-each.ravel(), kind="stable")[:STRONGEST]]
        joint = joint_spectral_radius(strongest, gap=0.01, most=_affordable(f.state_size))
        reach, origin = _reachable(f, box)
        bound, method = norm_bound(f, reach)
        visited = Box(orbit.min(axis=(0, 2)), orbit.max(axis=(0, 2)), *box)
        cell = _elman(f)
        scaled = None if cell is None else scaled_elman(cell, reach)
        seen = norm_bound(f, visited)[0]
        if _inside(visited, reach):  # a bound over more states may yet be the sharper one, by another road to it
            seen = min(seen, bound)
    sure = bound < 1 or (scaled is not None and scaled < 1)
    return WorstCase(
        low=box[0],
        high=box[1],
        bound=bound,
        bound_method=method,
        box_origin=origin,
        scaled_bound=scaled,
        visited_bound=seen,
        largest_norm=float(each[at]),
        largest_at=(int(at[0]), int(at[1])),
        median_norm=float(np.median(each)),
        lags=wanted,
        norms=norms,
        radii=radii,
        joint=joint,
        vanishing="guaranteed" if sure else "not guaranteed",
        sigma_1=None if cell is None else sigma(cell.U),
        steepest=None if cell is None else _steepest(cell.activation),
        drive=f"measured along {driving.shape[1]}{left} {'drawn' if drawn else 'given'} sequences of {steps} steps",
        map_name=f.name,
    )


def _input_box(f: Map, driving: Array | None, low: ArrayLike | None, high: ArrayLike | None) -> tuple[Array, Array]:
    if (low is None) != (high is None):
        raise InputError("pass `low` and `high` together, or neither.")
    if low is None or high is None:
        if driving is None:
            raise InputError("say which inputs: `low` and `high`, or `inputs` whose range is the box.")
        return driving.min(axis=(0, 1)), driving.max(axis=(0, 1))
    try:
        below, above = (np.broadcast_to(numbers(side, "low, high"), (f.input_size,)).copy() for side in (low, high))
    except ValueError:
        raise InputError(f"`low` and `high` must be numbers, or of length {f.input_size}.") from None
    if not (np.isfinite(below).all() and np.isfinite(above).all() and (below <= above).all()):
        raise InputError("`low` and `high` must be finite, and `low` nowhere above `high`.")
    if driving is not None and ((driving < below).any() or (driving > above).any()):
        raise InputError("`inputs` leave the box between `low` and `high`: nothing would bound what is measured.")
    return below, above


def _drawn(box: tuple[Array, Array], seed: int) -> Array:
    """(T, B, m): half of the sequences uniform in the box, half held at random corners."""
    generator = seeds.generator(seed)
    low, high = box
    half = FREE_SEQUENCES // 2
    uniform = generator.uniform(low, high, (FREE_STEPS, half, len(low)))
    corners = np.where(generator.random((half, len(low))) < 0.5, low, high)
    return np.concatenate([uniform, np.broadcast_to(corners, uniform.shape)], axis=1)


def _reachable(f: Map, box: tuple[Array, Array]) -> tuple[Box, str]:
    """Bounds of all states that the inputs can lead to, and what they rest on."""
    found = f.box(*box)
    if found is None:
        unbounded = np.full(f.state_size, np.inf)
        return Box(-unbounded, unbounded, *box), "all states: the equations bound none"
    return Box(found.low, found.high, *box), found.origin


def _inside(inner: Box, outer: Box) -> bool:
    """Whether all states of the one box are in the other."""
    return bool((inner.low >= outer.low).all() and (inner.high <= outer.high).all())


def _elman(f: Map) -> Any | None:
    """The plain cell that the map is, else None."""
    f = bare(f)
    return f.cell if isinstance(f, CellMap) and type(f.cell).__name__ == "Elman" else None


def _affordable(n: int) -> int:
    """Products of the joint spectral radius: each costs eigenvalues, so fewer of large ones."""
    return int(np.clip(4000 * (24 / max(n, 1)) ** 3, 50, 4000))


def _steepest(activation: str) -> float | None:
    """gamma, the largest slope of the function anywhere."""
    slopes = slope_range(activation, np.array([-np.inf]), np.array([np.inf]))
    return None if slopes is None else float(slopes[0])


def _over_lags(J: Array, lags: Integers) -> tuple[Array, Array]:
    """By lag T: largest |P|^(1/T) and rho(P)^(1/T) over stretches of T steps, one beginning where the last one ends."""
    norms, radii = [], []
    for lag in lags:
        count = len(J) // int(lag)
        P = J[: count * lag : lag]
        logs = np.zeros(P.shape[:2])
        for t in range(1, int(lag)):
            size = np.linalg.norm(P, axis=(2, 3))
            scale = np.where(size > 0, size, 1.0)
            logs += np.log(scale)
            P = J[t : count * lag : lag] @ (P / scale[..., np.newaxis, np.newaxis])
        with np.errstate(divide="ignore"):
            norm = logs + np.log(np.linalg.norm(P, 2, axis=(2, 3)))
            radius = logs + np.log(np.abs(np.linalg.eigvals(P)).max(axis=2))
        norms.append(math.exp(float(norm.max()) / lag))
        radii.append(math.exp(float(radius.max()) / lag))
    return np.array(norms), np.array(radii)
