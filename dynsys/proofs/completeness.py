"""A list of fixed points, proven complete or not: what `find_fixed_points(prove=True)` adds to its answer."""

from __future__ import annotations

import dataclasses

import numpy as np

from dynsys.completeness import index_signs
from dynsys.fixed_points import FixedPoints
from dynsys.maps import Map
from dynsys.points import points_at
from dynsys.proofs.exhaustive import all_fixed_points
from dynsys.types import Array

LARGEST = 6  # state variables; beyond, bisection meets too many boxes to be worth a try


def with_proof(f: Map, found: FixedPoints) -> FixedPoints:
    """`found` with `completeness.proven`, and with the points that the proof met and the search had missed."""
    if f.state_size > LARGEST:
        why = f"no proof of completeness was tried: it is for at most {LARGEST} state variables, not {f.state_size}"
        return dataclasses.replace(found, notes=(*found.notes, why))
    everything = all_fixed_points(f, found.input, box=(found.reach.low, found.reach.high), starts=found.points.states)
    proven, alone = everything.states, everything.certificates.uniqueness
    if not everything.complete:
        why = f"the list is not proven complete: {everything.reason}"
        return dataclasses.replace(found, notes=(*found.notes, why))
    near = _distances(found.points.states, proven) <= alone
    missed = proven[~near.any(axis=0)]
    if len(missed):
        found = _enlarged(f, found, missed)
        near = _distances(found.points.states, proven) <= alone
    one_to_one = bool((near.sum(axis=0) == 1).all() and (near.sum(axis=1) == 1).all())
    open_ = () if one_to_one else ("the list is not proven complete: some of its points could not be proven",)
    return dataclasses.replace(
        found,
        completeness=dataclasses.replace(
            found.completeness,
            found=len(found.points),
            index_sum=int(index_signs(found.points.jacobians)[0].sum()),
            proven=one_to_one,
        ),
        notes=(*found.notes, *open_),
    )


def _distances(states: Array, proven: Array) -> Array:
    """(k, j) largest coordinate difference."""
    return np.asarray(np.abs(states[:, np.newaxis] - proven[np.newaxis]).max(axis=2, initial=0.0))


def _enlarged(f: Map, found: FixedPoints, missed: Array) -> FixedPoints:
    old = found.points
    states = np.concatenate([old.states, missed])
    hits = np.concatenate([old.hits, np.zeros(len(missed), dtype=np.int64)])
    points = points_at(f, states, found.input, hits, [*old.found_by, *["proof"] * len(missed)])
    return dataclasses.replace(found, points=points)
