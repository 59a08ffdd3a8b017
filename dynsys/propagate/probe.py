"""A linear probe: how well labels can be read from the signal at a layer by a ridge classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.errors import InputError, ShapeError
from dynsys.propagate.operator import Propagator
from dynsys.propagate.states import State
from dynsys.types import Integers

RIDGE = 1e-2  # of the mean squared size of a training row


@final
@dataclass(frozen=True, eq=False)
class Probe:
    """Labels and where they are learnt and tested.

    Attributes:
        labels: (n,) classes 0, 1, ...; negative where unknown. train, test: indices of nodes.
    """

    labels: Integers
    train: Integers
    test: Integers

    def accuracy(self, A: Propagator, state: State) -> float:
        """Share of test nodes whose class a ridge regression on the training rows gets right.

        Solved in its dual form, with the penalty relative to the size of the rows, so that the scale of the signal does
        not matter. NaN for the zero signal.
        """
        known, asked = (state.rows(A, index) for index in (self.train, self.test))
        # Centred, so that what all nodes share does not count; what differs decides, however small it is.
        middle = known.mean(axis=0)
        known, asked = known - middle, asked - middle
        gram = known @ known.T
        size = float(np.trace(gram)) / len(gram)
        if not size > 0:
            return float("nan")
        targets = np.eye(int(self.labels.max()) + 1)[self.labels[self.train]]
        shift = targets.mean(axis=0)
        duals = np.linalg.solve(gram / size + RIDGE * np.eye(len(gram)), targets - shift)
        said = np.argmax(asked @ known.T / size @ duals + shift, axis=1)
        return float(np.mean(said == self.labels[self.test]))


def as_probe(labels: Any, train: Any, test: Any, n: int) -> Probe | None:
    """The caller's labels, checked; None without labels. Without `test` all other labelled nodes are tested."""
    if labels is None:
        if train is not None or test is not None:
            raise InputError("`train` and `test` need `labels`.")
        return None
    values = np.asarray(labels)
    if values.shape != (n,):
        raise ShapeError(f"`labels` needs shape ({n},), one class for each node; got {values.shape}.")
    if values.dtype.kind not in "iu":
        raise InputError(f"`labels` are whole numbers (negative where unknown), got {values.dtype}.")
    if train is None:
        raise InputError("a probe needs `train`, the nodes it learns from.")
    values = values.astype(np.int64)
    learnt = _nodes(train, n, "train")
    if test is None:
        left = np.ones(n, dtype=bool)
        left[learnt] = False
        asked = np.flatnonzero(left & (values >= 0))
    else:
        asked = _nodes(test, n, "test")
    for name, index in (("train", learnt), ("test", asked)):
        if not len(index) or (values[index] < 0).any():
            raise InputError(f"`{name}` needs at least one node, and nodes with known labels only.")
    return Probe(values, learnt, asked)


def _nodes(index: Any, n: int, name: str) -> Integers:
    array = np.asarray(index)
    if array.dtype == np.bool_ and array.shape == (n,):
        array = np.flatnonzero(array)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (len(array) and not 0 <= array.min() <= array.max() < n):
        raise InputError(f"`{name}` lists nodes by their index, 0 to {n - 1}, or as a mask ({n},).")
    return array.astype(np.int64)
