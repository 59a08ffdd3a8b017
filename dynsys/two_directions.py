"""Bidirectional networks: two maps that read one sequence in opposite directions, and what can be asked of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from dynsys.combinators import as_map
from dynsys.errors import InputError, ShapeError
from dynsys.gradients import GradientSpectrum, gradient_spectrum
from dynsys.lyapunov import LyapunovSpectrum, lyapunov_spectrum
from dynsys.maps import Map
from dynsys.model import Source
from dynsys.orbits import orbit_columns, sequence, start_columns
from dynsys.read_only import read_only
from dynsys.readings.linear import Linearization
from dynsys.readout import Readout, as_readout
from dynsys.through_time import score, targets_by_step
from dynsys.types import Array, ArrayLike

SIDES = ("forward", "backward")


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class TwoWayStates:
    """What a bidirectional network did on sequences of T positions.

    Attributes:
        outputs: (T, ..., d) of the top layer: forward h and below it backward h at each position.
        ends: (..., d), forward h after the last position and backward h after the first.
        readout: (T, ..., r) of the outputs; None without a readout.
        states: by direction, e.g. "layer0.backward", (T + 1, ..., n), each in its own time: the backward ones begin
            behind the last position.
    """

    outputs: Array
    ends: Array
    readout: Array | None
    states: dict[str, Array]


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class TwoWayGradients:
    """The loss of sequences and its gradients, through both directions.

    Attributes:
        loss: in the loss's own units. parameters: by direction and name, e.g. "layer0.backward.U". readout: "V" and
            "c", or those of a `cells.Dense`. inputs: (T, batch, m).
    """

    loss: float
    parameters: dict[str, Array]
    readout: dict[str, Array]
    inputs: Array


@final
class Bidirectional:
    """A network of one or more layers, each two maps in opposite directions of time. No map itself: see `directions`.

    Attributes:
        layers: (forward, backward) maps, from the input side. readout: of the top layer's two outputs, or None.
        input_size: m. output_size: d, both outputs of the top layer together. name, notes, source: as for a model.
    """

    def __init__(
        self,
        layers: Sequence[tuple[Map, Map]],
        readout: Readout | None = None,
        *,
        embedding: Array | None = None,
        source: Source | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.layers, self.readout, self.embedding, self.source = tuple(layers), readout, embedding, source
        self.input_size = self.layers[0][0].input_size
        heard = self.input_size
        for k, pair in enumerate(self.layers):
            for side, f in zip(SIDES, pair, strict=True):
                if f.input_size != heard:
                    below = "the other direction takes" if not k else f"both directions of layer {k - 1} give"
                    raise ShapeError(f"layer{k}.{side} takes {f.input_size} inputs, but {below} {heard}.")
            heard = sum(f.output.stop - f.output.start for f in pair)
        self.output_size = heard
        if readout is not None and readout.input_width not in (None, heard):
            raise ShapeError(f"the readout takes {readout.input_width} values, both directions together show {heard}.")
        one = len(self.layers) == 1
        pairs = "; ".join(f"{f.name} forward, {b.name} backward" for f, b in self.layers)
        self.name = f"bidirectional: {pairs}" if one else f"bidirectional, {len(self.layers)} layers: {pairs}"
        self.notes = tuple(notes)

    def __repr__(self) -> str:
        return f"<Bidirectional: {self.name}>"

    def direction(self, name: str) -> Map:
        """One of the maps: "forward" or "backward" of a single layer, else "layer0.forward" and so on."""
        known = self.directions_by_name()
        if name not in known and len(self.layers) == 1:
            name = f"layer0.{name}"
        if name not in known:
            raise InputError(f"there is no direction {name!r}; there are {', '.join(known)}.")
        return known[name]

    def directions_by_name(self) -> dict[str, Map]:
        """The maps by name, "layer0.forward" first."""
        return {f"layer{k}.{s}": f for k, pair in enumerate(self.layers) for s, f in zip(SIDES, pair, strict=True)}

    def directions(self, inputs: ArrayLike) -> dict[str, tuple[Map, Array]]:
        """Each map with what it hears when the network reads `inputs`, (T, batch, m_l), in its own order of time.

        Any analysis of a driven map can then be made of each direction. Inputs are (T, m), (T, batch, m), or tokens.
        """
        heard = self._run(self._driving(inputs))[1]
        return {
            name: (f, np.ascontiguousarray(h if name.endswith("forward") else h[::-1]))
            for (name, f), h in zip(self.directions_by_name().items(), [h for h in heard for _ in SIDES], strict=True)
        }

    def simulate(self, inputs: ArrayLike) -> TwoWayStates:
        """The network on sequences (T, m), (T, batch, m), or tokens, from each map's own initial state."""
        driving = self._driving(inputs)
        orbits, _, outputs = self._run(driving)
        single = np.asarray(self._encoded(inputs)).ndim == 2

        def public(array: Array) -> Array:
            array = np.ascontiguousarray(array.swapaxes(-1, -2))
            return array[..., 0, :] if single else array

        top = self.layers[-1]
        ends = np.concatenate([orbit[-1][f.output] for f, orbit in zip(top, orbits[-1], strict=True)])
        shown = public(outputs)
        return TwoWayStates(
            outputs=shown,
            ends=public(ends),
            readout=None if self.readout is None else self.readout(shown),
            states=dict(zip(self.directions_by_name(), (public(o) for pair in orbits for o in pair), strict=True)),
        )

    def gradients(
        self,
        inputs: ArrayLike,
        targets: ArrayLike,
        loss: Literal["cross-entropy", "squared"],
        *,
        readout: Any = None,
        at: Literal["all", "ends"] = "all",
        reduction: Literal["mean", "sum"] = "mean",
    ) -> TwoWayGradients:
        """Exact gradients of a loss by back-propagation through time in both directions.

        Args:
            inputs, targets, loss, reduction: as for `bptt`; `targets` has no time axis with at="ends".
            readout: of the two outputs together, (V, c), V or a function; None takes the network's own.
            at: "all" scores every position, "ends" the forward h after the last and the backward h after the first.
        """
        driving = self._driving(inputs)
        if loss not in ("cross-entropy", "squared") or at not in ("all", "ends") or reduction not in ("mean", "sum"):
            raise InputError('need loss "cross-entropy" or "squared", at "all" or "ends", reduction "mean" or "sum".')
        shown = as_readout(self.readout if readout is None else readout)
        links, outputs = self._linked(driving)
        steps, batch = driving.shape[:2]
        wanted = targets_by_step(targets, loss, "all" if at == "all" else "last", steps, batch)
        positions = list(range(steps)) if at == "all" else [-1]
        weight = 1.0 / (len(positions) * batch) if reduction == "mean" else 1.0
        cotangents = np.zeros((*outputs.shape, 1))
        total, of_readout = 0.0, dict[str, Array]()
        width = self.layers[-1][0].output.stop - self.layers[-1][0].output.start
        for position, target in zip(positions, wanted, strict=True):
            h = outputs[position] if at == "all" else np.concatenate([outputs[-1, :width], outputs[0, width:]])
            seen = shown.linearize(h)
            value, miss = score(seen.next_state, target, loss)
            total += weight * value
            back = seen.pull(weight * miss[..., np.newaxis], input=False, parameters=bool(shown.parameters))
            own = dict(back.parameters)
            if shown.V is not None:
                own |= {"V": weight * miss @ h.T, "c": weight * miss.sum(axis=1, keepdims=True)}
            of_readout = {name: of_readout.get(name, 0.0) + g for name, g in own.items()}
            if at == "all":
                cotangents[position] += back.state
            else:
                cotangents[-1, :width] += back.state[:width]
                cotangents[0, width:] += back.state[width:]
        into, gradients = self._pulled(links, cotangents, parameters=True)
        flowing = np.ascontiguousarray(into[..., 0].swapaxes(1, 2))
        return TwoWayGradients(loss=total, parameters=gradients, readout=of_readout, inputs=flowing)

    def influence(self, inputs: ArrayLike, at: int) -> Array:
        """(T, batch, d, m): derivatives of the outputs at position `at` by the input at every position.

        Later inputs act through backward maps, earlier ones through forward maps, in deep networks through both.
        """
        links, outputs = self._linked(self._driving(inputs))
        steps, d, batch = outputs.shape
        if not -steps <= at < steps:
            raise InputError(f"the sequence has positions 0 to {steps - 1}, got at={at}.")
        cotangents = np.zeros((steps, d, batch, d))
        cotangents[at] = np.eye(d)[:, np.newaxis, :]
        into, _ = self._pulled(links, cotangents, parameters=False)
        return np.ascontiguousarray(into.transpose(0, 2, 3, 1))

    def lyapunov_spectra(self, inputs: ArrayLike, **options: Any) -> dict[str, LyapunovSpectrum]:
        """`lyapunov_spectrum` of each direction, driven by what it hears; `options` as there."""
        return {
            name: lyapunov_spectrum(f, None, heard, **({"drive": _drive(name)} | options))
            for name, (f, heard) in self.directions(inputs).items()
        }

    def gradient_spectra(self, inputs: ArrayLike, lags: Sequence[int], **options: Any) -> dict[str, GradientSpectrum]:
        """`gradient_spectrum` of each direction from where it starts, over lags in its own time."""
        return {
            name: gradient_spectrum(f, None, heard, lags, **options)
            for name, (f, heard) in self.directions(inputs).items()
        }

    def _encoded(self, inputs: ArrayLike) -> Any:
        array = np.asarray(inputs)
        if self.embedding is None or array.dtype.kind not in "iu":
            return inputs
        size = len(self.embedding)
        if array.ndim not in (1, 2) or (array.size and (array.min() < 0 or array.max() >= size)):
            raise InputError(f"tokens must be (T,) or (T, batch) in 0 to {size - 1}, the rows of the embedding.")
        return self.embedding[array]

    def _driving(self, inputs: ArrayLike) -> Array:
        driving = sequence(self.layers[0][0], self._encoded(inputs))
        if not len(driving):
            raise ShapeError("a sequence needs at least one position.")
        return driving

    def _run(self, driving: Array) -> tuple[list[tuple[Array, Array]], list[Array], Array]:
        """Orbits (T + 1, n, B) of each layer, what each layer hears (T, B, m_l), and the top's outputs (T, d, B)."""
        orbits, heard = [], []
        outputs = driving.swapaxes(1, 2)
        for pair in self.layers:
            heard.append(np.ascontiguousarray(outputs.swapaxes(1, 2)))
            forward, backward = (
                orbit_columns(f, _start(f, driving.shape[1]), own, len(driving))
                for f, own in zip(pair, (heard[-1], heard[-1][::-1]), strict=True)
            )
            orbits.append((forward, backward))
            outputs = np.concatenate([forward[1:, pair[0].output], backward[:0:-1, pair[1].output]], axis=1)
        return orbits, heard, outputs

    def _linked(self, driving: Array) -> tuple[list[tuple[list[Linearization], list[Linearization]]], Array]:
        """The derivatives of every step, each direction in its own time, and the outputs (T, d, B)."""
        orbits, heard, outputs = self._run(driving)
        links = []
        for pair, both, own in zip(self.layers, orbits, heard, strict=True):
            forward, backward = (
                [f.at(t).linearize_columns(orbit[t], u[t].T) for t in range(len(u))]
                for f, orbit, u in zip(pair, both, (own, own[::-1]), strict=True)
            )
            links.append((forward, backward))
        return links, outputs

    def _pulled(
        self,
        links: Sequence[tuple[list[Linearization], list[Linearization]]],
        cotangents: Array,
        *,
        parameters: bool,
    ) -> tuple[Array, dict[str, Array]]:
        """Cotangents (T, d, B, k) of the top's outputs, pulled back to the inputs (T, m, B, k) and the parameters."""
        gradients: dict[str, Array] = {}
        for k in reversed(range(len(self.layers))):
            pair, steps = self.layers[k], len(cotangents)
            width = pair[0].output.stop - pair[0].output.start
            into = np.zeros((steps, pair[0].input_size, *cotangents.shape[2:]))
            for side, f, chain, share in zip(
                SIDES, pair, links[k], (cotangents[:, :width], cotangents[:, width:]), strict=True
            ):
                flowing = np.zeros((f.state_size, *cotangents.shape[2:]))
                for t in reversed(range(steps)):
                    position = t if side == "forward" else steps - 1 - t
                    flowing = flowing.copy()
                    flowing[f.output] += share[position]
                    part = chain[t].pull(flowing, input=True, parameters=parameters)
                    flowing = part.state
                    into[position] += part.input
                    for name, g in part.parameters.items():
                        full = f"layer{k}.{side}.{name}"
                        gradients[full] = gradients.get(full, 0.0) + g
            cotangents = into
        return cotangents, gradients


def bidirectional(
    *layers: Any, readout: Any = None, module: str | None = None, nonlinearity: str | None = None
) -> Bidirectional:
    """A bidirectional network: two maps in opposite directions of time, and a readout that sees both.

    Args:
        layers: a pair (forward, backward) for each layer, from the input side, of anything `as_map` reads; a layer
            above the first hears both outputs of the one below. Or one PyTorch module, or the path of a file of its
            weights.
        readout: of the top layer's forward h and below it backward h: V, (V, c), or a function of columns; None takes
            that of the file. module, nonlinearity: for a file, as for `load`.
    Source: M. Schuster and K. K. Paliwal, IEEE Transactions on Signal Processing 45 (1997) 2673-2681.
    """
    if not layers:
        raise InputError("bidirectional needs at least one pair (forward, backward), a module, or a file.")
    if len(layers) == 1 and not isinstance(layers[0], (tuple, list)):
        from dynsys.loaders.two_directions import two_directions_of

        net = two_directions_of(layers[0], module, nonlinearity)
        if readout is None:
            return net
        return Bidirectional(
            net.layers, as_readout(readout), embedding=net.embedding, source=net.source, notes=net.notes
        )
    pairs = []
    for k, pair in enumerate(layers):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InputError(f"layer {k} must be a pair (forward, backward), got {type(pair).__name__}.")
        pairs.append((as_map(pair[0]), as_map(pair[1])))
    return Bidirectional(pairs, None if readout is None else as_readout(readout))


def _start(f: Map, batch: int) -> Array:
    return np.repeat(start_columns(f, None, None)[0], batch, axis=1)


def _drive(name: str) -> str:
    order = "from the last position to the first" if name.endswith("backward") else "from the first position on"
    return f"{name}, driven by what it hears {order}"
