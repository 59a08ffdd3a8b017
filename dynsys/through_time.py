"""Back-propagation through time: exact gradients of a sequence loss for every parameter, by the tape."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from dynsys.checked_numbers import whole_number
from dynsys.combinators import as_map
from dynsys.errors import AnalysisError, InputError, ShapeError
from dynsys.gradient_lags import GradientLags, gradient_lags, size_of
from dynsys.maps import Map, numbers, require_finite
from dynsys.orbits import sequence, start_columns, trials_came_first
from dynsys.read_only import read_only
from dynsys.readings.linear import Linearization
from dynsys.readout import Readout, as_readout
from dynsys.types import Array, ArrayLike


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Gradients:
    """The loss of a sequence and its gradients.

    Attributes:
        loss: in the loss's own units. parameters: gradient per parameter of the map, by name, in its shape.
        readout: gradients "V" (r, n) and "c" (r, 1) of an affine readout, of the parameters of `cells.Dense`; empty
            for a plain function.
        start: (batch, n), of the start state.
        log_norms: (T + 1,) log |dL/d state_t|_2 over the batch, nats; -inf where it is zero.
        lags: the gradient by lag, of some of the losses; None if it was not asked for.
    """

    loss: float
    parameters: dict[str, Array]
    readout: dict[str, Array]
    start: Array
    log_norms: Array
    lags: GradientLags | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        first, last = self.log_norms[[0, -1]]
        lines = [
            f"loss {self.loss:.6g} over {len(self.log_norms) - 1} steps, {len(self.start)} "
            f"sequence{'s' * (len(self.start) > 1)}; log |dL/d state| {first:.4f} nats at the start, {last:.4f} at the "
            "end"
        ]
        of = {**self.parameters, **{f"readout {name}": g for name, g in self.readout.items()}, "start": self.start}
        wide = max(len(name) for name in of)
        for name, g in of.items():
            lines.append(f"{name:{wide}}  {g.shape!s:12}  |gradient| {size_of(g):.4g}")
        return "\n".join([*lines, *([] if self.lags is None else [str(self.lags)])])

    __repr__ = __str__


def bptt(
    f: Any,
    readout: Any,
    inputs: ArrayLike,
    targets: ArrayLike,
    loss: Literal["cross-entropy", "squared"],
    *,
    start: ArrayLike | None = None,
    at: Literal["all", "last"] = "all",
    reduction: Literal["mean", "sum"] = "mean",
    lags: int = 8,
) -> Gradients:
    """Exact gradients of a loss summed or averaged over time steps and sequences.

    Args:
        f: the map (anything `as_map` reads). readout: (V, c), a matrix V, a function of columns, or a list.
        inputs: (T, m) or (T, batch, m).
        targets: class numbers (T,) or (T, batch) for "cross-entropy"; (T, r) or (T, batch, r) for "squared", which is
            half the sum of squares. With at="last" without the time axis.
        start: (n,) or (batch, n). at: the steps that carry a loss. reduction: over those steps and sequences.
        lags: how many of the losses to follow back lag by lag (evenly spaced, the last among them), for the result's
            `lags`; each costs two more backward passes. 0: none.

    Raises: InputError and ShapeError for what does not fit or is not finite; AnalysisError where the orbit, the loss or
        the gradients leave floating-point range.
    Source: P. J. Werbos, Proceedings of the IEEE 78 (1990) 1550-1560.
    """
    f = as_map(f)
    shown = as_readout(readout)
    require_fitting(shown, f)
    followed = whole_number("lags", lags, 0, "of losses")
    driving = sequence(f, inputs)
    if not len(driving):
        raise InputError("there is no loss before the first step: `inputs` has T = 0 steps.")
    if loss not in ("cross-entropy", "squared") or at not in ("all", "last") or reduction not in ("mean", "sum"):
        raise InputError('need loss "cross-entropy" or "squared", at "all" or "last", reduction "mean" or "sum".')
    state, _ = start_columns(f, start, driving)
    steps, batch = len(driving), driving.shape[1]
    if state.shape[1] != batch:
        raise ShapeError(f"{state.shape[1]} starts need as many input sequences, got {batch}.")
    wanted = targets_by_step(targets, loss, at, steps, batch)
    with np.errstate(over="ignore", invalid="ignore"):  # what runs off is said once, not by every product on the way
        links = _followed(f, state, driving)
        scored = list(range(steps)) if at == "all" else [steps - 1]
        weight = 1.0 / (len(scored) * batch) if reduction == "mean" else 1.0
        gradients, seeds = _backward(f, shown, links, dict(zip(scored, wanted, strict=True)), loss, weight)
        _require_within_range(gradients)
        if not followed:
            return gradients
        chosen = np.linspace(len(scored) - 1, 0, min(followed, len(scored))).round().astype(int)
        by_lag = gradient_lags(links, {s: seeds[s] for s in sorted({scored[i] for i in chosen})})
    return dataclasses.replace(gradients, lags=by_lag)


def require_fitting(readout: Readout, f: Map) -> None:
    """Raise ShapeError or InputError unless the readout takes the map's outputs and is finite."""
    width = f.output.stop - f.output.start
    if readout.input_width not in (None, width):
        raise ShapeError(
            f"the readout takes {readout.input_width} values, {f.name} shows {width}: V must be (r, {width})."
        )
    of = readout.parameters if readout.V is None or readout.c is None else {"V": readout.V, "c": readout.c}
    for name, array in of.items():
        require_finite(array, f"readout {name}")


def _followed(f: Map, state: Array, driving: Array) -> list[Linearization]:
    """Each step's linearisation along the orbit of columns (n, B) under inputs (T, B, m)."""
    links: list[Linearization] = []
    for t in range(len(driving)):
        links.append(f.at(t).linearize_columns(state, driving[t].T))
        state = links[-1].next_state
        if not np.isfinite(state).all():
            raise AnalysisError(
                f"the orbit leaves floating-point range at step {t + 1} of {len(driving)}: it runs off to infinity. "
                "Use shorter sequences, or a smaller recurrent gain."
            )
    return links


def _require_within_range(found: Gradients) -> None:
    if not np.isfinite(found.loss):
        raise AnalysisError(
            f"the loss is {found.loss}: its terms leave floating-point range, or the readout gives no numbers."
        )
    off = [name for name, g in {**found.parameters, **found.readout}.items() if not np.isfinite(g).all()]
    if off or not np.isfinite(found.start).all():
        raise AnalysisError(
            f"gradients of {', '.join(off) or 'the start'} leave floating-point range: they explode over "
            f"{len(found.log_norms) - 1} steps. Use shorter sequences, or a smaller recurrent gain."
        )


def targets_by_step(targets: ArrayLike, loss: str, at: str, steps: int, batch: int) -> Array:
    """(scored, batch) integers for cross-entropy, (scored, r, batch) for squares; errors name what does not fit."""
    array = numbers(targets, "targets")
    require_finite(array, "targets")
    lead = (steps, batch) if at == "all" else (batch,)
    plain = lead[:-1] if batch == 1 else lead  # a single sequence needs no batch axis
    extra = 0 if loss == "cross-entropy" else 1
    fits = [shape for shape in (lead, plain) if array.ndim == len(shape) + extra and array.shape[: len(shape)] == shape]
    if not fits:
        wanted = ", ".join(str(size) for size in lead) + (", r" if extra else "")
        turned = (batch, steps) if at == "all" else (steps,)
        hint = trials_came_first(
            "targets" if at == "all" else "inputs", steps != batch and array.shape[: len(turned)] == turned
        )
        raise ShapeError(f'targets for loss "{loss}" at "{at}" need shape ({wanted}), got {array.shape}.{hint}')
    scored = steps if at == "all" else 1
    if loss == "cross-entropy":
        if (array != np.floor(array)).any():
            raise InputError("cross-entropy needs whole class numbers.")
        return array.reshape(scored, batch)
    return array.reshape(scored, batch, -1).swapaxes(1, 2)


def score(shown: Array, target: Array, loss: str) -> tuple[float, Array]:
    """The loss of readouts (r, B) and its gradient (r, B)."""
    if loss == "squared":
        if target.shape != shown.shape:
            raise ShapeError(f"the readout gives {len(shown)} values a step, the targets have {len(target)}.")
        miss = shown - target
        return 0.5 * float(np.square(miss).sum()), miss
    columns, classes = np.arange(shown.shape[1]), target.astype(np.int64)
    if classes.min() < 0 or classes.max() >= len(shown):
        raise InputError(f"class numbers must be 0 to {len(shown) - 1}, got {classes.min()} to {classes.max()}.")
    shifted = shown - shown.max(axis=0)
    log_total = np.log(np.exp(shifted).sum(axis=0))
    gradient = np.exp(shifted - log_total)
    gradient[classes, columns] -= 1.0
    return float((log_total - shifted[classes, columns]).sum()), gradient


def _backward(
    f: Map, readout: Readout, links: list[Linearization], targets: dict[int, Any], loss: str, weight: float
) -> tuple[Gradients, dict[int, Array]]:
    """The gradients, and by step the gradient of its own loss by the state after it, (n, B)."""
    batch = links[0].next_state.shape[1]
    flowing = np.zeros((f.state_size, batch, 1))
    total, scale = 0.0, 0.0  # the true cotangent is exp(scale) flowing
    seeds: dict[int, Array] = {}
    gradients: dict[str, Array] = {}
    of_readout: dict[str, Array] = {}
    norms = np.empty(len(links) + 1)
    for t in reversed(range(len(links))):
        if t in targets:
            seen = readout.linearize(links[t].next_state[f.output])
            value, gradient = score(seen.next_state, targets[t], loss)
            total += weight * value
            gradient = weight * gradient
            seeds[t] = np.zeros(flowing.shape[:2])
            back = seen.pull(gradient[..., np.newaxis], input=False, parameters=bool(readout.parameters))
            seeds[t][f.output] = back.state[..., 0]
            of_readout |= {name: of_readout.get(name, 0.0) + g for name, g in back.parameters.items()}
            flowing, scale = np.exp(scale) * flowing + seeds[t][..., np.newaxis], 0.0
            if readout.V is not None:
                h = links[t].next_state[f.output]
                of_readout["V"] = of_readout.get("V", 0.0) + gradient @ h.T
                of_readout["c"] = of_readout.get("c", 0.0) + gradient.sum(axis=1, keepdims=True)
        flowing, scale, norms[t + 1] = _rescaled(flowing, scale)
        part = links[t].pull(flowing, input=False, parameters=True)
        flowing = part.state.copy()
        gradients |= {name: gradients.get(name, 0.0) + np.exp(scale) * g for name, g in part.parameters.items()}
    flowing, scale, norms[0] = _rescaled(flowing, scale)
    start = np.exp(scale) * flowing[..., 0].T
    return Gradients(loss=total, parameters=gradients, readout=of_readout, start=start, log_norms=norms), seeds


def _rescaled(flowing: Array, scale: float) -> tuple[Array, float, float]:
    """The same cotangent with its size in the scale where floating point would lose it, and its log norm."""
    with np.errstate(over="ignore"):
        size = float(np.linalg.norm(flowing))
    if size == 0:
        return flowing, scale, -np.inf
    if np.isinf(size):  # the squares overflowed, not the entries
        size = float(np.abs(flowing).max())
        flowing, scale = flowing / size, scale + np.log(size)
        size = float(np.linalg.norm(flowing))
    log = scale + np.log(size)
    return (flowing, scale, log) if 1e-100 < size < 1e100 else (flowing / size, log, log)
