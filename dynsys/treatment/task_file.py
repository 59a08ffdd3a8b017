"""The task of a trials file: inputs, and targets with the loss that fits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dynsys.errors import LoadError
from dynsys.maps import Map
from dynsys.trials import load_trials


def load_task(path: Path, f: Map) -> dict[str, Any]:
    """Arguments `inputs`, `targets`, `loss`, `at` of `remedies` from an .npz file, trials first.

    `targets` (trials, steps, r) are numbers to hit (squared error at every step); `labels` (trials,) or (trials, steps)
    are classes (cross-entropy at the last step, or at every one); `tokens` alone ask for the next token. Without any
    of them there is no loss.
    """
    trials = load_trials(path, f)
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in ("targets", "labels", "tokens") if name in file.files}
    inputs = trials.inputs
    if "targets" in arrays:
        targets = arrays["targets"].astype(float)
        targets = targets[np.newaxis] if targets.ndim == 2 else targets
        _fits(path, "targets", targets.shape[:2], (trials.count, trials.length))
        return {"inputs": inputs, "targets": targets.swapaxes(0, 1), "loss": "squared", "at": "all"}
    if "labels" in arrays:
        labels = arrays["labels"]
        if labels.ndim == 1:
            _fits(path, "labels", labels.shape, (trials.count,))
            return {"inputs": inputs, "targets": labels, "loss": "cross-entropy", "at": "last"}
        _fits(path, "labels", labels.shape, (trials.count, trials.length))
        return {"inputs": inputs, "targets": labels.T, "loss": "cross-entropy", "at": "all"}
    if "tokens" in arrays and trials.length > 1:
        tokens = np.atleast_2d(arrays["tokens"])
        return {"inputs": inputs[:-1], "targets": tokens[:, 1:].T, "loss": "cross-entropy", "at": "all"}
    return {"inputs": inputs, "targets": None, "loss": None, "at": "all"}


def _fits(path: Path, name: str, got: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if got != wanted:
        raise LoadError(f"`{name}` of {path.name} begin with shape {got}, the trials with {wanted} (trials, steps).")
