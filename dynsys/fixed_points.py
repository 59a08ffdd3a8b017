"""Fixed points of a map at a constant input: found from many starts, re-measured, and counted honestly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys import search_stages as stages
from dynsys import seeds
from dynsys.collection import LARGE, Collection
from dynsys.combinators import as_map
from dynsys.completeness import Completeness, accounted
from dynsys.errors import InputError, ShapeError
from dynsys.limits import one_blas_thread
from dynsys.maps import Map, SearchBox, numbers, require_one_step
from dynsys.points import Points, points_at
from dynsys.read_only import read_only
from dynsys.search_box import search_box
from dynsys.search_settings import checked_settings
from dynsys.types import Array, ArrayLike, Keep, Progress

STAGES = 5
PATHS = {"continuation path", "branch of a found point"}


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class FixedPoints:
    """The fixed points found, how complete the list may be, and how it was searched.

    All the fields of `Points` can be read here directly (`result.states`, `result.multipliers`, ...).

    Attributes:
        points: the fixed points. slow: slow points (local minima of the speed that are not zero), another kind of
            answer. completeness: what may have been missed.
        input: (m,) the constant input. box: where uniform starts were drawn. reach: the box that the map carries into
            itself, which the index test is about; where none is known, the same. n_starts, seed: of the search.
        stalled: starts that ended at neither. rejected: converged states whose true position is not known to
            `LARGEST_ERROR`, or that lie outside the reachable box.
        step_duration: seconds per step, or None.
    """

    points: Points
    slow: Points
    completeness: Completeness
    input: Array
    box: SearchBox
    reach: SearchBox
    n_starts: int
    seed: int
    tol: float
    stalled: int
    rejected: int
    map_name: str
    method: str
    notes: tuple[str, ...]
    step_duration: float | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "points":
            raise AttributeError(name)
        return getattr(self.points, name)

    def __len__(self) -> int:
        return len(self.points)

    def to_dict(self) -> dict[str, Any]:
        """Everything that is shown, under the names above; Jacobians and modes stay out, they are large."""
        out: dict[str, Any] = {"model": self.map_name, "input": self.input}
        out |= _table(self.points)
        out["completeness"] = self.completeness
        out["slow"] = _table(self.slow)
        out["stalled"], out["rejected"] = self.stalled, self.rejected
        out["search"] = {
            "n_starts": self.n_starts,
            "seed": self.seed,
            "tol": self.tol,
            "box": {"low": self.box.low, "high": self.box.high, "origin": self.box.origin},
            "method": self.method,
        }
        if self.step_duration is not None:
            out["time_constants_ms"] = 1e3 * self.step_duration * self.points.time_constants
        out["notes"] = list(self.notes)
        return out

    def __str__(self) -> str:
        from dynsys.tables import fixed_points_text

        return fixed_points_text(self)

    __repr__ = __str__


def _table(points: Points) -> dict[str, Any]:
    skip = ("right_modes", "left_modes", "jacobians", "input_jacobians")
    out = {f.name: getattr(points, f.name) for f in dataclasses.fields(points) if f.name not in skip}
    out["time_constants"] = points.time_constants
    out["rotation_periods"] = points.rotation_periods
    return out


def find_fixed_points(
    f: Any,
    input: ArrayLike | None = None,
    starts: ArrayLike | None = None,
    n_starts: int = 1024,
    tol: float = 1e-12,
    seed: int = 0,
    *,
    effort: float = 1.0,
    step_duration: float | None = None,
    prove: bool = False,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> FixedPoints:
    """Fixed points of `f` at a constant input, with stability and an account of what may be missing.

    First `n_starts` uniform points of the reachable box (their hits feed the completeness estimate) and your `starts`;
    then midpoints and means of the points found. Where uniform starts mostly stall, their hits say that points were
    left unseen, or the index test says that something is missing, there follow: the initial state, ends of orbits,
    the branches that leave each point found, continuation paths from random states, and more starts. Every point is
    polished by Newton, and its residual, error and multipliers are measured again at the end.

    Args:
        f: the map (anything `as_map` reads).
        input: (m,) constant input; None is the zero vector.
        starts: (k, n) further starts, e.g. states the network visited; used as they are, also outside the box.
        n_starts: uniform starts; 0 uses only `starts` and runs no later stage. Beyond 64 state variables fewer are
            drawn where the first ones all stall or `effort` does not allow more; the result's `n_starts` and `notes`
            say so.
        tol: a point counts if max|F(x) - x| <= tol (1 + max|x|) and its error <= 1e-6 (1 + max|x|).
        effort: how much work the search may take, relative to the default (beyond 64 state variables, where each start
            costs n^3: some seconds, less than a minute).
        seed: of the uniform starts. step_duration: seconds per step, adds times in ms.
        prove: also try to prove the list complete, by `all_fixed_points` in the box `reach` (to 6 state variables);
            `completeness.proven` says whether it is, and points that only the proof met are added.
        progress: called with (stages done, stages in all, message). keep: called with each stage, so that what it did
            can be kept and a search that was broken off goes on (`dynsys.checkpoint.Stages`).

    Returns: FixedPoints.
    Raises: InputError for a time-varying input, wrong shapes, or nothing to start from.
    """
    f = as_map(f)
    require_one_step(f)
    vector = f.input_vector(input)
    given = _starts(f, starts)
    n_starts = checked_settings(n_starts, len(given), tol, effort, step_duration)
    # Starts may meet infinite slopes or run off; what is then not finite is judged, not warned of.
    with one_blas_thread(), np.errstate(all="ignore"):
        box = search_box(f, vector, given, seed)
        found = Collection(f, vector, box, f.box(vector, vector) or box, tol, effort, keep)
        generator = seeds.generator(seed)
        tell = _teller(progress, found)
        tell(0, "uniform starts")
        if n_starts and f.state_size > LARGE:  # few starts can be paid for, and this one costs little
            stages.initial_state(found)
        drawn = stages.uniform_starts(found, n_starts, generator)
        found.add(given, "given start", all_of_them=True)
        if n_starts:
            _later_stages(found, drawn, n_starts, generator, tell)
        tell(4, "multipliers")
        notes = f.notes
        if drawn < n_starts:
            why = "the first of them all stalled" if not found.hits.any() else f"each costs {f.state_size}^3"
            notes += (f"{drawn} of the {n_starts} uniform starts asked for were drawn: {why}",)
        paths, new = found.last_paths
        if found.paths_spent and new:
            notes += (f"the last {paths} continuation paths still met {new} new points: more of them exist",)
        if found.spent_out:
            notes += (f"the search ended at its work limit; effort={2 * effort:g} doubles it",)
        result = _result(f, found, drawn, seed, step_duration, notes)
    if not prove:
        return result
    from dynsys.proofs.completeness import with_proof

    return with_proof(f, result)


def _teller(progress: Progress | None, found: Collection) -> Callable[[int, str], None]:
    """Reports a stage, with the number of points found so far."""

    def tell(stage: int, message: str) -> None:
        if progress is not None:
            progress(stage, STAGES, f"{message} ({len(found)} fixed points so far)")

    return tell


def _later_stages(
    found: Collection, drawn: int, asked: int, generator: np.random.Generator, tell: Callable[[int, str], None]
) -> None:
    """What is guided by the points found; more of it where they are hard to find, or the index test fails."""
    hard = stages.seems_incomplete(found, drawn)
    tell(1, "mixtures of found points")
    stages.mixtures(found, asked if hard or found.index_fails() else max(16, asked // 16), generator)
    if hard or found.index_fails():
        tell(2, "orbit ends and continuation paths")
        stages.go_deeper(found, asked, generator)
    worthwhile = int(found.hits.sum()) >= stages.RARE * drawn or not found.reach.invariant
    worthwhile &= found.allowance > 0
    if found.index_fails() and worthwhile and (len(found) or found.reach.invariant):
        tell(3, "further uniform starts")
        more = generator.uniform(found.box.low, found.box.high, (4 * asked, found.f.state_size))
        found.add(more, "further uniform start")
        stages.go_deeper(found, asked, generator)


def _starts(f: Map, starts: ArrayLike | None) -> Array:
    if starts is None:
        return np.zeros((0, f.state_size))
    array = np.atleast_2d(numbers(starts, "starts"))
    if not array.size:
        return np.zeros((0, f.state_size))
    if array.shape[-1] != f.state_size:
        raise ShapeError(f"`starts` must be (k, {f.state_size}), got {array.shape}.")
    array = array.reshape(-1, f.state_size)
    if not np.isfinite(array).all():
        raise InputError("`starts` has values that are not finite.")
    return array


def _result(
    f: Map, found: Collection, n_starts: int, seed: int, step_duration: float | None, notes: tuple[str, ...]
) -> FixedPoints:
    points = points_at(f, found.roots, found.input, found.hits, found.found_by, found.eigen)
    slow = points_at(
        f, found.slow, found.input, np.zeros(len(found.slow), dtype=np.int64), ["search"] * len(found.slow)
    )
    index_sum, note = found.index()
    return FixedPoints(
        points=points,
        slow=slow,
        completeness=accounted(
            len(points), found.hits, n_starts, int(found.signs.sum()), valid=index_sum is not None, note=note
        ),
        input=found.input,
        box=found.box,
        reach=found.reach,
        n_starts=n_starts,
        seed=seed,
        tol=found.tol,
        stalled=found.stalled,
        rejected=found.rejected,
        map_name=f.name,
        method=(
            f"Levenberg-Marquardt on |F(x) - x|^2 from {n_starts} uniform starts in the box ({found.box.origin}), "
            "then from mixtures of the points found"
            + (", and along continuation paths" if PATHS & set(found.found_by) else "")
            + "; Newton in float64; residual, error and multipliers re-measured"
        ),
        notes=notes,
        step_duration=step_duration,
    )
