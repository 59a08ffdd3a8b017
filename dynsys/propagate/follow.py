"""One pass through a stack of layers, with every measure that was asked for taken on the way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.errors import InputError, ShapeError
from dynsys.propagate import bands, rates
from dynsys.propagate.backward import backward_profile, segment_length
from dynsys.propagate.bounds import distance_bound, predicted_frequency, predicted_rate
from dynsys.propagate.gap import Gap
from dynsys.propagate.layer_gains import DOUBLE, LayerGains
from dynsys.propagate.layers import Layer, Stack
from dynsys.propagate.measures import sizes
from dynsys.propagate.operator import Propagator
from dynsys.propagate.pairs import Pairs
from dynsys.propagate.probe import Probe
from dynsys.propagate.ranks import cost, ranks
from dynsys.propagate.result import PER_LAYER, Propagation
from dynsys.propagate.singular_values import affordable
from dynsys.propagate.states import State, start, step
from dynsys.types import AnyArray, Array, Progress

CHEAP = 1e10  # operations of one kind of measure up to which it is taken at every layer
AFFORDABLE = 3e11  # up to which it is taken at a few layers, or at the first and the last
ROUNDING = 64.0  # rounding errors of one layer below which a distance counts as zero


@final
@dataclass(frozen=True, eq=False)
class Settings:
    """What `propagation` was asked for, checked."""

    bands: Array | None
    ranks: bool | None
    jacobians: bool | None
    gradients: bool | None
    full: bool | None
    singular_values: int
    collapse_tol: float
    dtype: Any
    seed: int
    progress: Progress | None
    probe: Probe | None


@final
class Plan:
    """Which measures are taken at which layers.

    Attributes:
        ranks, bands, gains, leading: layers. jacobians, gradients: whether they are measured at all.
    """

    def __init__(self, A: Propagator, layers: Sequence[Layer], widths: Sequence[int], settings: Settings) -> None:
        nnz, widest, depth = A.matrix.nnz, max(widths), len(layers)
        every, some, ends = set(range(depth + 1)), sparse_layers(depth), {0, depth}

        def chosen(price: float) -> set[int]:
            if settings.full is not None:
                return every if settings.full else some
            if price * len(every) <= CHEAP:
                return every
            return next((layers for layers in (some, ends) if price * len(layers) <= AFFORDABLE), set())

        total = sum(
            2.0 * nnz * before + (0.0 if layer.W is None else 2.0 * A.n * before * after)
            for layer, before, after in zip(layers, widths[:-1], widths[1:], strict=True)
        )
        cheap = total <= AFFORDABLE
        self.jacobians = cheap if settings.jacobians is None else settings.jacobians
        self.gradients = cheap if settings.gradients is None else settings.gradients
        self.ranks = set() if settings.ranks is False else chosen(cost(A.n, widest))
        if settings.ranks and not self.ranks:
            self.ranks = ends
        # Limited by memory: every product writes the whole signal.
        self.bands = set() if settings.bands is None else chosen(4.0 * (nnz + 10 * A.n) * widest * bands.DEGREE)
        self.gains = chosen(60 * total / depth) if self.jacobians else set()
        k = settings.singular_values
        room = k and all(affordable(A.n * e, A.n * d, k) for d, e in itertools.pairwise(widths))
        self.leading = chosen(30 * k * total / depth) if room else set()


def sparse_layers(depth: int) -> set[int]:
    """Layers 0, 1, 2, 4, 8, ... and the last."""
    return {0, depth, *(1 << k for k in range(depth.bit_length()) if 1 << k <= depth)}


def follow(
    A: Propagator, stack: Stack, signal: AnyArray, gap: Gap, settings: Settings, remarks: Sequence[str] = ()
) -> Propagation:
    """The signal through the stack, measured."""
    return _Run(A, stack, signal, gap, settings).result(tuple(remarks))


@final
class _Run:
    def __init__(self, A: Propagator, stack: Stack, signal: AnyArray, gap: Gap, settings: Settings) -> None:
        self._A, self._stack, self._gap, self._settings = A, stack, gap, settings
        self._layers, self._depth = stack.layers, len(stack.layers)
        self._widths = _widths(A, stack, signal.shape[1])
        self._kind = _dtype(settings.dtype, A.n * max(self._widths))
        self._plan = Plan(A, self._layers, self._widths, settings)
        self._table: dict[str, Array] = {name: np.full(self._depth + 1, np.nan) for name in (*PER_LAYER, "mad_error")}
        limits = 0 if settings.bands is None else len(settings.bands) - 1
        self._shares = np.full((self._depth + 1, limits), np.nan)
        self._multiply = A.product(self._kind)
        self._pairs = Pairs(A, settings.seed)
        k = settings.singular_values
        self._gains = LayerGains(A, gap, self._kind, settings.seed, self._multiply, k)
        self._leading = np.full((2, self._depth + 1, k), np.nan)  # singular values and their errors
        self._kept: dict[int, State] = {}
        self._notes: list[str] = []
        if self._forward(start(A, signal, self._kind)) and self._plan.gradients:
            profile = backward_profile(A, self._layers, self._kept, self._widths, self._kind, settings.seed)
            self._table["log_gradient_norm"], self._table["gradient_collapse"] = profile.log, profile.share
            self._table["log_weight_gradient"] = profile.log_weights
        self._kept.clear()

    def _forward(self, state: State) -> bool:
        """Through all layers; whether the signal stayed finite."""
        before, length = math.inf, segment_length(self._depth)
        keep = self._plan.gradients and not all(layer.plain for layer in self._layers)
        spare: AnyArray | None = None  # a buffer of the right shape that is free: new pages cost as much as a pass
        for at in range(self._depth + 1):
            product = self._multiply(state.T, spare)
            before = self._sizes(at, state, product, before)
            if math.isnan(before) or before == math.inf:
                self._notes.append(f"the signal is not finite from layer {at} on")
                return False
            self._measure(at, state, product)
            if self._settings.progress is not None:
                self._settings.progress(at, self._depth, f"{self._stack.name}: layer {at}")
            if at == self._depth:
                self._kept[at] = state
                break
            if keep and at % length == 0:
                self._kept[at] = state.copy()
            if self._plan.jacobians or self._plan.leading:
                self._jacobian(at, state, product)
            old, state = state.T, step(self._A, state, product, self._layers[at])
            spare = next((b for b in (product, old) if b is not state.T and b.shape == state.T.shape), None)
        return True

    def _sizes(self, at: int, state: State, product: AnyArray, before: float) -> float:
        """Norm, distance and energy of one layer; the log of the distance."""
        measured = sizes(self._A, state, product)
        if at and _vanished(measured.log_distance, before, self._layers[at - 1], self._kind):
            state.T[:] = 0
            product[:] = 0
            measured = sizes(self._A, state, product)
            self._notes.append(f"the distance falls below rounding within layer {at}: it counts as zero from there on")
        for name in ("log_norm", "log_distance", "log_energy", "rayleigh"):
            self._table[name][at] = getattr(measured, name)
        return measured.log_distance

    def _measure(self, at: int, state: State, product: AnyArray) -> None:
        """Everything else about the signal at one layer."""
        table = self._table
        table["mad"][at], table["mad_error"][at], table["log_rusch"][at] = self._pairs.compare(state)
        if at in self._plan.ranks:
            found = ranks(self._A, state)
            table["stable_rank"][at], table["effective_rank"][at] = found.stable, found.effective
            table["rank_one_distance"][at] = found.rank_one
        if at in self._plan.bands and self._settings.bands is not None:
            self._shares[at] = bands.band_shares(self._A, state, product, self._multiply, self._settings.bands)
        if self._settings.probe is not None:
            table["probe"][at] = self._settings.probe.accuracy(self._A, state)

    def _jacobian(self, at: int, state: State, product: AnyArray) -> None:
        found = self._gains.measure(
            state, product, self._layers[at], self._widths[at],
            with_gain=at + 1 in self._plan.gains, with_leading=at + 1 in self._plan.leading,
        )  # fmt: skip
        if self._plan.jacobians:
            gain, rms = self._table["jacobian_gain"], self._table["jacobian_rms"]
            gain[0] = rms[0] = 1.0
            gain[at + 1], rms[at + 1] = found.gain, found.rms
        if found.leading is not None:
            self._leading[:, at + 1] = found.leading.values, found.leading.errors

    def result(self, remarks: tuple[str, ...]) -> Propagation:
        table, stack, gap, depth = self._table, self._stack, self._gap, self._depth
        rate, error, first = rates.fitted_rate(table["log_distance"])
        bound = distance_bound(self._A, self._layers, gap, float(table["log_distance"][0]))
        # What a repeated layer does in the long run says something only where it is most of the stack.
        tail = stack.layers[-1] if depth - stack.own >= depth / 2 or stack.own == 1 else None
        measured: dict[str, Any] = dict(table)
        return Propagation(
            **measured,
            log_distance_bound=bound.log_distance,
            band_energy=self._shares,
            jacobian_singular_values=self._leading[0],
            jacobian_singular_errors=self._leading[1],
            bands=np.zeros(0) if self._settings.bands is None else self._settings.bands,
            widths=tuple(self._widths),
            rate=rate,
            rate_error=error,
            rate_from=first,
            rate_bound=float(bound.factors[min(first, depth - 1) :].mean()),
            bound_reason=bound.reason_from(min(first, depth - 1)),
            rate_predicted=None if tail is None else predicted_rate(tail, gap),
            effective_depth=rates.effective_depth(
                table["log_distance"], table["log_norm"], self._settings.collapse_tol
            ),
            frequency=rates.frequency(float(table["rayleigh"][-1]), 1.0 - min(gap.lambda_min, gap.lambda_2)),
            frequency_predicted=None if tail is None else predicted_frequency(tail, gap),
            lambda_2=gap.lambda_2,
            lambda_min=gap.lambda_min,
            lambda_error=gap.error,
            normalization=self._A.normalization,
            nodes=self._A.graph.nodes,
            name=stack.name,
            depth=depth,
            own_layers=stack.own,
            dtype=str(self._kind),
            seed=self._settings.seed,
            collapse_tol=self._settings.collapse_tol,
            notes=(*self._A.graph.notes, *stack.notes, *remarks, *self._notes),
        )


def _widths(A: Propagator, stack: Stack, first: int) -> list[int]:
    """(depth + 1,) features at each layer; ShapeError where layers do not fit on each other or on the graph."""
    widths = [first]
    for layer in stack.layers:
        widths.append(layer.width(widths[-1]))
        if layer.X is not None and len(layer.X) != A.n:
            raise ShapeError(f"`X` of a layer has {len(layer.X)} rows, the graph has {A.n} nodes.")
    return widths


def _vanished(log_distance: float, before: float, layer: Layer, kind: Any) -> bool:
    """Whether what is left of the distance is the rounding of this layer's own product."""
    if layer.b is not None or layer.X is not None or not (math.isfinite(log_distance) and math.isfinite(before)):
        return False
    rounding = ROUNDING * float(np.finfo(kind).eps) * (layer.strength + abs(layer.residual))
    return rounding > 0 and log_distance < before + math.log(rounding)


def _dtype(asked: Any, entries: int) -> Any:
    if asked is None:
        return np.dtype(np.float64 if entries <= DOUBLE else np.float32)
    try:
        kind = np.dtype(asked)
    except TypeError:
        kind = np.dtype(object)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise InputError(f"`dtype` is float32 or float64, got {asked!r}.")
    return kind
