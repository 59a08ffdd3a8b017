"""Sequence patterns on top of a map and its readout: one or many in, one or many out, and when to stop.

Source of the patterns and stop rules: I. Goodfellow, Y. Bengio and A. Courville, Deep Learning (MIT Press 2016),
sections 10.2.3 and 10.2.4; scheduled sampling: S. Bengio, O. Vinyals, N. Jaitly and N. Shazeer, NeurIPS 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from dynsys import seeds
from dynsys.checked_numbers import whole_number
from dynsys.combinators import as_map
from dynsys.errors import InputError, ShapeError
from dynsys.maps import Map, numbers, require_finite
from dynsys.orbits import simulate, start_columns
from dynsys.read_only import read_only
from dynsys.readout import Readout, as_readout
from dynsys.types import Array, ArrayLike, Integers

Pattern = Literal["one-to-one", "many-to-one", "many-to-many"]
Feedback = Literal["output", "token", "drawn-token", "first", "none"]
FEEDBACKS = ("output", "token", "drawn-token", "first", "none")


@final
@dataclass(frozen=True)
class EndSymbol:
    """Stop after the step that chose this token."""

    token: int


@final
@dataclass(frozen=True, eq=False)
class BernoulliHalt:
    """After each step stop with probability sigmoid(w h + c): w (1, n) or (n,), c a number. Drawn with the seed."""

    w: ArrayLike
    c: float = 0.0


@final
@dataclass(frozen=True, eq=False)
class PredictedLength:
    """Stop after V h_0 + c steps, rounded, at least 1: the network says at its start how long it will go on.

    V (1, n) or (n,), c a number, h_0 the output of the start state. With `as_input` the last input of every step is
    how many steps remain, the present one included.
    """

    V: ArrayLike
    c: float = 0.0
    as_input: bool = False


Stop = EndSymbol | BernoulliHalt | PredictedLength


@final
@read_only
@dataclass(frozen=True, eq=False, kw_only=True)
class Generated:
    """Sequences that a network made by itself. What lies behind the end of a sequence is NaN, of tokens -1.

    Attributes:
        outputs: (T, ..., r), the readout after each step. states: (T + 1, ..., n). inputs: (T, ..., m), what it heard.
        tokens: (T, ...) integers, the chosen tokens; None where outputs are no scores of tokens.
        lengths: (...) integers, steps of each sequence.
        stopped: (...) bool, whether its stop rule ended it; False where `max_steps` did.
        halting: (T, ...) probabilities to stop after each step; None without a Bernoulli halt.
    """

    outputs: Array
    states: Array
    inputs: Array
    tokens: Integers | None
    lengths: Integers
    stopped: Any
    halting: Array | None


def respond(
    f: Any, inputs: ArrayLike, pattern: Pattern, *, readout: Any = None, start: ArrayLike | None = None
) -> Array:
    """The readout of a network on given inputs.

    Args:
        f: the map (anything `as_map` reads).
        inputs: (T, m), (T, batch, m), or tokens; for "one-to-one" one step, (m,) or (batch, m).
        pattern: "many-to-many" is the readout after every step, "many-to-one" that after the last, "one-to-one" that
            of a single step. "one-to-many", and outputs of another length than the inputs, are made by `generate`.
        readout: a matrix V, a pair (V, c), a function of columns; None takes that of a loaded model.
        start: (n,) or (batch, n); None is the model's own initial state, else zeros.

    Returns: (T, ..., r), or (..., r) for a single output.
    """
    f = as_map(f)
    shown = as_readout(readout if readout is not None else getattr(f, "readout", None))
    if str(pattern) == "one-to-many":
        raise InputError("one-to-many has no inputs beyond the first: use dynsys.generate(f, first, ...).")
    if pattern not in ("one-to-one", "many-to-one", "many-to-many"):
        raise InputError(f'`pattern` must be "one-to-one", "many-to-one" or "many-to-many", got {pattern!r}.')
    if pattern == "one-to-one":
        first = numbers(inputs, "inputs")
        if first.ndim not in (1, 2) or first.shape[-1] != f.input_size:
            raise ShapeError(f"one step has inputs (m,) or (batch, m) with m = {f.input_size}, got {first.shape}.")
        return shown(simulate(f, start, first[np.newaxis])[1][..., f.output])
    states = simulate(f, start, inputs)
    if len(states) < 2:
        raise ShapeError("there is no output before the first step: `inputs` is empty.")
    return shown((states[1:] if pattern == "many-to-many" else states[-1])[..., f.output])


def generate(
    f: Any,
    first: ArrayLike | None = None,
    *,
    max_steps: int,
    feedback: Feedback | Callable[[Array], Any] = "output",
    stop: Stop | None = None,
    readout: Any = None,
    start: ArrayLike | None = None,
    reference: ArrayLike | None = None,
    mixing: float = 1.0,
    seed: int = 0,
) -> Generated:
    """Let a network go on by itself: one-to-many, or the second half of an encoder and decoder.

    Args:
        f: the map (anything `as_map` reads).
        first: the input of the first step, (m,) or (batch, m); for tokens an integer, or (batch,). None is zero.
        max_steps: the most steps, at least 1. stop: an `EndSymbol`, a `BernoulliHalt` or a `PredictedLength`.
        feedback: the input of a further step: the "output" itself; the likeliest "token" or a "drawn-token", outputs
            being log scores, as its row of the embedding, else one-hot; the "first" input again (a context); "none",
            zero; or a function of output columns (r, B) -> (m, B).
        readout: as for `respond`. start: (n,) or (batch, n), e.g. the last state of an encoder.
        reference: (max_steps, m) or (max_steps, batch, m), inputs of each step that a teacher would give (its first is
            not used: `first` is). mixing: probability, drawn for each step and sequence, of hearing the own feedback
            rather than the reference (scheduled sampling). For the mean instead of a draw see `close_loop`.
        seed: of all draws.
    """
    f = as_map(f)
    run = _Run(
        f,
        as_readout(readout if readout is not None else getattr(f, "readout", None)),
        feedback,
        stop,
        seeds.generator(seed),
    )
    max_steps = whole_number("max_steps", max_steps, 1)
    if not 0 <= mixing <= 1 or (mixing < 1 and reference is None):
        raise InputError(f"`mixing` must lie between 0 and 1, and needs a `reference` below 1; got {mixing}.")
    heard, lead = run.first_input(first)
    state, lead_of_start = start_columns(f, start, None)
    lead = np.broadcast_shapes(lead, lead_of_start)
    batch = math.prod(lead)
    state = np.array(np.broadcast_to(state, (f.state_size, batch)))
    teacher = None if reference is None else _reference(reference, run.width, max_steps, lead)
    return run.go(state, np.array(np.broadcast_to(heard, (run.width, batch))), lead, int(max_steps), teacher, mixing)


@final
class _Run:
    """The parts of one generation, checked, and the loop over steps."""

    def __init__(
        self, f: Map, readout: Readout, feedback: Any, stop: Stop | None, generator: np.random.Generator
    ) -> None:
        self.f, self.readout, self.feedback, self.stop, self.generator = f, readout, feedback, stop, generator
        self.outputs = f.output.stop - f.output.start
        self.counts_down = isinstance(stop, PredictedLength) and stop.as_input
        self.width = f.input_size - self.counts_down
        self.embedding = getattr(f, "embedding", None)
        self.scores = feedback in ("token", "drawn-token") if isinstance(feedback, str) else False
        r = len(readout.columns(np.zeros((self.outputs, 1))))
        if not callable(feedback) and feedback not in FEEDBACKS:
            raise InputError(f"`feedback` must be a function or one of {', '.join(FEEDBACKS)}, got {feedback!r}.")
        if feedback == "output" and r != self.width:
            raise ShapeError(f"the readout gives {r} values, {f.name} takes {self.width} of them: choose a `feedback`.")
        if self.scores and r != (self.width if self.embedding is None else len(self.embedding)):
            known = "inputs (one-hot)" if self.embedding is None else "rows of the embedding"
            raise ShapeError(f"the readout scores {r} tokens, {f.name} has {self.width} {known}.")
        if isinstance(stop, EndSymbol) and not (self.scores and 0 <= stop.token < r):
            raise InputError(f'an end symbol is one of the {r} tokens: it needs feedback="token" or "drawn-token".')

    def first_input(self, first: ArrayLike | None) -> tuple[Array, tuple[int, ...]]:
        """The first input as columns (m, B), and the leading shape it came in."""
        if first is None:
            return np.zeros((self.width, 1)), ()
        array = np.asarray(first)
        if self.scores and array.dtype.kind in "iu" and array.ndim < 2 and array.shape != (self.width,):
            return self._of_tokens(np.atleast_1d(array)), array.shape
        array = numbers(first, "first")
        require_finite(array, "first")
        if array.ndim not in (1, 2) or array.shape[-1] != self.width:
            raise ShapeError(f"`first` must be (m,) or (batch, m) with m = {self.width}, got {array.shape}.")
        return array.reshape(-1, self.width).T, array.shape[:-1]

    def _of_tokens(self, tokens: Any) -> Array:
        rows = np.eye(self.width) if self.embedding is None else self.embedding
        if tokens.min() < 0 or tokens.max() >= len(rows):
            raise InputError(f"tokens must lie in 0 to {len(rows) - 1}, got {tokens.min()} to {tokens.max()}.")
        return np.asarray(rows[tokens].T)

    def _scalar(self, weights: ArrayLike, c: float, h: Array, what: str) -> Array:
        w = np.atleast_2d(numbers(weights, what))
        if w.shape != (1, self.outputs):
            raise ShapeError(f"`{what}` of the stop rule must have {self.outputs} values, got shape {w.shape}.")
        return np.asarray((w @ h)[0] + c)

    def _chosen(self, shown: Array) -> Any:
        if self.feedback == "token":
            return shown.argmax(axis=0)
        gumbel = self.generator.gumbel(size=shown.shape)  # argmax of log scores + Gumbel noise is a draw from softmax
        return (shown + gumbel).argmax(axis=0)

    def _next(self, shown: Array, tokens: Any, first: Array) -> Array:
        if self.scores:
            return self._of_tokens(tokens)
        if callable(self.feedback):
            heard = np.asarray(self.feedback(shown), dtype=np.float64)
            if heard.shape != first.shape:
                raise ShapeError(f"`feedback` must give {first.shape}, inputs by samples; it gave {heard.shape}.")
            return heard
        return {"output": shown, "first": first, "none": np.zeros_like(first)}[self.feedback]

    def go(
        self, state: Array, first: Array, lead: tuple[int, ...], most: int, teacher: Array | None, mixing: float
    ) -> Generated:
        """Step until every sequence has stopped."""
        f, batch = self.f, state.shape[1]
        length = np.full(batch, most)
        planned = np.zeros(batch, dtype=bool)
        if isinstance(self.stop, PredictedLength):
            said = self._scalar(self.stop.V, self.stop.c, state[f.output], "V")
            length = np.clip(np.rint(said), 1, most).astype(np.int64)
            planned = np.rint(said) <= most
        halting, tokens, states = list[Array](), list[Any](), [state]
        outputs, inputs = list[Array](), list[Array]()
        running, heard = np.ones(batch, dtype=bool), first
        stopped, lengths = np.zeros(batch, dtype=bool), length.astype(np.int64)
        for t in range(most):
            remaining = (lengths - t)[np.newaxis].astype(np.float64)
            driving = np.concatenate([heard, remaining]) if self.counts_down else heard
            state = f.at(t).advance(state, driving)
            shown = self.readout.columns(state[f.output])
            chosen = self._chosen(shown) if self.scores else None
            ends = np.zeros(batch, dtype=bool)
            if isinstance(self.stop, EndSymbol):
                ends = np.asarray(chosen == self.stop.token)
            elif isinstance(self.stop, BernoulliHalt):
                p = 1 / (1 + np.exp(-np.clip(self._scalar(self.stop.w, self.stop.c, state[f.output], "w"), -700, 700)))
                halting.append(np.where(running, p, np.nan))
                ends = self.generator.random(batch) < p
            elif isinstance(self.stop, PredictedLength):
                ends = (lengths == t + 1) & planned
            for kept, value in ((outputs, shown), (inputs, driving), (states, state)):
                kept.append(np.where(running, value, np.nan))
            if chosen is not None:
                tokens.append(np.where(running, chosen, -1))
            newly = running & ends
            stopped |= newly
            lengths = np.where(newly, t + 1, lengths)
            running &= ~ends & (lengths > t + 1)
            if not running.any():
                break
            heard = self._next(shown, chosen, first)
            if teacher is not None and t + 1 < most:
                own = self.generator.random(batch) < mixing
                heard = np.where(own, heard, teacher[t + 1])

        def public(columns: list[Array]) -> Array:
            array = np.stack(columns).swapaxes(1, 2)
            return np.ascontiguousarray(array).reshape(len(columns), *lead, array.shape[-1])

        return Generated(
            outputs=public(outputs),
            states=public(states),
            inputs=public(inputs),
            tokens=np.stack(tokens).reshape(-1, *lead) if tokens else None,
            lengths=lengths.reshape(lead),
            stopped=stopped.reshape(lead),
            halting=np.stack(halting).reshape(-1, *lead) if halting else None,
        )


def _reference(reference: ArrayLike, width: int, most: int, lead: tuple[int, ...]) -> Array:
    """(T, m, B)."""
    array = numbers(reference, "reference")
    require_finite(array, "reference")
    if array.ndim == 2 and lead:
        array = array[:, np.newaxis]
    if array.shape[-1] != width or len(array) < most or array.ndim != 2 + len(lead):
        raise ShapeError(
            f"`reference` must be (max_steps, m) or (max_steps, batch, m) with m = {width} and at least {most} steps, "
            f"got {array.shape}."
        )
    whole = np.broadcast_to(array, (len(array), *lead, width)).reshape(len(array), -1, width)
    return np.asarray(whole.swapaxes(1, 2))
