"""Features, labels and splits from files, as `dynsys propagate` takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import scipy.sparse

from dynsys import seeds
from dynsys.errors import InputError, LoadError
from dynsys.graphs.files import read_arrays

FEATURES = ("features", "X", "x", "H", "feat")
LABELS = ("labels", "y")
RANDOM = 16  # columns of the random signal that stands in for features


@final
@dataclass(frozen=True, eq=False)
class Signals:
    """What a file holds beside a graph: features (n, d), labels (n,), train and test nodes; None where it has none.

    `origin` says in words where the features come from, `notes` what was not used.
    """

    features: Any
    labels: Any
    train: Any
    test: Any
    origin: str
    notes: tuple[str, ...] = ()


def read_signals(
    path: Path | None, graph_file: Path, n: int, seed: int, *, rows_to_one: bool = False, width: int | None = None
) -> Signals:
    """Features from `path`, else from the graph's own file, else a random signal of `width` columns (16 if None).

    An .npz file with `features` (or `X`), dense; or a scipy sparse matrix; or `feat_indptr`, `feat_indices`,
    `feat_shape`. Labels are `labels` or `y`; the split `train_idx` and `test_idx` (or masks `train_mask`, `test_mask`).
    With `rows_to_one` each row is divided by its sum of moduli, as networks on bags of words expect.
    """
    own = _read(graph_file) if graph_file.suffix.lower() == ".npz" else {}
    given = own if path is None else _read(path)
    features = _features(given)
    if features is None and path is not None:
        raise LoadError(
            f"{path.name} has {', '.join(given) or 'no arrays'}; features need an array `features` (n, d), or a matrix "
            "saved by scipy.sparse.save_npz."
        )
    both = own | given
    labels, train = _labels(both, n), _part(both, "train")
    origin = f"the features of {(path or graph_file).name}"
    if features is None:
        columns = RANDOM if width is None else width
        features = seeds.generator(seed).standard_normal((n, columns))
        origin = f"a random Gaussian signal of {columns} columns (none given with --features), seed {seed}"
    elif rows_to_one:
        features, origin = _rows_to_one(features), f"{origin}, each row divided by its sum"
    if labels is None:
        return Signals(features, None, None, None, origin)
    if train is None:
        note = (
            "there are labels, but no nodes to learn from (`train_idx` or `train_mask`): nothing is said about labels"
        )
        return Signals(features, None, None, None, origin, (note,))
    return Signals(features, labels, train, _part(both, "test"), origin)


def _read(path: Path) -> dict[str, Any]:
    arrays = read_arrays(path)
    return {"features": arrays[""]} if "" in arrays else arrays


def _labels(arrays: dict[str, Any], n: int) -> Any:
    """(n,) class numbers, or None; names of classes are numbered in their order."""
    name = next((name for name in LABELS if name in arrays), None)
    if name is None:
        return None
    labels = arrays[name]
    if labels.size != n or labels.ndim not in (1, 2):
        raise InputError(f"`{name}` has shape {labels.shape}; the graph has {n} nodes and needs a class for each.")
    labels = labels.ravel()
    if labels.dtype.kind in "US":
        return np.unique(labels, return_inverse=True)[1]
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == np.round(labels)).all():
        return labels.astype(np.int64)
    if labels.dtype.kind not in "iub":
        raise InputError(f"`{name}` are classes, whole numbers or names; got {labels.dtype}.")
    return labels.astype(np.int64)


def _features(arrays: dict[str, Any]) -> Any:
    if {"feat_indptr", "feat_indices", "feat_shape"} <= arrays.keys():
        indices, indptr = arrays["feat_indices"].astype(np.int64), arrays["feat_indptr"]
        values = arrays.get("feat_data", np.ones(len(indices)))
        return _sparse((values, indices, indptr), arrays["feat_shape"])
    if {"data", "indices", "indptr", "shape"} <= arrays.keys() and str(arrays.get("format", b"csr")) != "csc":
        return _sparse((arrays["data"], arrays["indices"], arrays["indptr"]), arrays["shape"])
    return next((arrays[name] for name in FEATURES if name in arrays), None)


def _rows_to_one(features: Any) -> Any:
    sums = np.asarray(abs(features).sum(axis=1), dtype=np.float64).ravel()
    scale = 1.0 / np.where(sums > 0, sums, 1.0)
    if scipy.sparse.issparse(features):
        return scipy.sparse.csr_array(scipy.sparse.diags_array(scale) @ features)
    return np.asarray(features, dtype=np.float64) * scale[:, np.newaxis]


def _sparse(parts: tuple[Any, Any, Any], shape: Any) -> Any:
    try:
        matrix = scipy.sparse.csr_array(parts, shape=tuple(int(s) for s in np.asarray(shape).ravel()))
        matrix.check_format(full_check=True)
    except (ValueError, TypeError) as error:
        raise InputError(f"the features are no valid sparse matrix: {error}.") from None
    return matrix


def _part(arrays: dict[str, Any], name: str) -> Any:
    for ending in ("_idx", "_index", "_mask", ""):
        if f"{name}{ending}" in arrays:
            return arrays[f"{name}{ending}"]
    return None
