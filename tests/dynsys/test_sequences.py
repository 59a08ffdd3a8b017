"""Sequence patterns: what goes in and comes out when, and every rule of stopping."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError
from dynsys.sequences import BernoulliHalt, EndSymbol, PredictedLength


def weights(rows: int, columns: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns))


CELL = cells.LSTM.random(4, 2, gain=1.5, seed=3)
V = weights(2, 4)


@pytest.mark.parametrize("lead", [(), (3,)])
def test_the_patterns_are_readouts_of_the_same_orbit(lead: tuple[int, ...]) -> None:
    inputs = np.random.default_rng(0).standard_normal((6, *lead, 2))
    states = dynsys.simulate(CELL, None, inputs=inputs)[1:, ..., :4]
    every = dynsys.respond(CELL, inputs, "many-to-many", readout=V)
    np.testing.assert_allclose(every, states @ V.T, atol=1e-14)
    for pattern, given, wanted in (("many-to-one", inputs, every[-1]), ("one-to-one", inputs[0], every[0])):
        np.testing.assert_allclose(dynsys.respond(CELL, given, pattern, readout=V), wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("lead", [(), (3,)])
def test_feeding_outputs_back_is_the_closed_loop(lead: tuple[int, ...]) -> None:
    """After the first step a generated orbit is the one of `close_loop`."""
    first = np.random.default_rng(0).standard_normal((*lead, 2))
    made = dynsys.generate(CELL, first, max_steps=7, readout=V)
    closed = dynsys.simulate(dynsys.close_loop(CELL, V), made.states[1], steps=6)
    np.testing.assert_allclose(made.states[1:], closed, atol=1e-14)
    assert made.outputs.shape == (7, *lead, 2)
    np.testing.assert_array_equal(made.inputs[1:], made.outputs[:-1])
    assert not np.any(made.stopped)
    np.testing.assert_array_equal(made.lengths, np.full(lead, 7))


def test_one_to_many_with_a_context_or_with_nothing() -> None:
    first = np.array([0.5, -1.0])
    held = dynsys.generate(CELL, first, max_steps=4, feedback="first", readout=V)
    np.testing.assert_allclose(held.states, dynsys.simulate(CELL, None, inputs=np.tile(first, (4, 1))), atol=1e-15)
    once = dynsys.generate(CELL, first, max_steps=4, feedback="none", readout=V)
    np.testing.assert_allclose(once.states, dynsys.simulate(CELL, None, inputs=[first, *np.zeros((3, 2))]), atol=1e-15)
    bent = dynsys.generate(CELL, first, max_steps=4, feedback=np.tanh, readout=V)
    np.testing.assert_allclose(bent.inputs[1:], np.tanh(bent.outputs[:-1]), atol=1e-15)


def test_encoder_and_decoder() -> None:
    """Many in, many out, of different lengths: the decoder starts where the encoder ended."""
    encoder, inputs = cells.LSTM.random(4, 3, seed=5), weights(5, 3)
    state = dynsys.simulate(encoder, None, inputs=inputs)[-1]
    made = dynsys.generate(CELL, max_steps=9, readout=V, start=state)
    np.testing.assert_array_equal(made.states[0], state)
    assert len(made.outputs) == 9


def counter(m: int = 4) -> Any:
    """A linear shift register: token k is followed by k + 1."""
    return cells.Elman(U=np.zeros((m, m)), W=np.roll(np.eye(m), 1, axis=0), activation="identity")


def test_an_end_symbol_ends_the_sequence_that_chose_it() -> None:
    made = dynsys.generate(counter(), [0, 1, 3], max_steps=10, feedback="token", stop=EndSymbol(3), readout=np.eye(4))
    assert made.tokens is not None
    np.testing.assert_array_equal(made.lengths, [3, 2, 4])
    np.testing.assert_array_equal(made.tokens.T, [[1, 2, 3, -1], [2, 3, -1, -1], [0, 1, 2, 3]])
    assert made.stopped.all()
    assert np.isnan(made.outputs[3, 0]).all()
    assert np.isfinite(made.outputs[:4, 2]).all()
    short = dynsys.generate(counter(), 0, max_steps=2, feedback="token", stop=EndSymbol(3), readout=np.eye(4))
    assert short.lengths == 2
    assert not short.stopped


def test_drawn_tokens_follow_the_softmax_of_the_scores() -> None:
    """One step from 4000 equal starts: frequencies within 5 standard errors of softmax(c)."""
    scores = np.array([0.0, 1.0, -0.5, 0.3])
    made = dynsys.generate(
        counter(), np.zeros(4000, dtype=int), max_steps=1, feedback="drawn-token", readout=(np.zeros((4, 4)), scores)
    )
    p = np.exp(scores) / np.exp(scores).sum()
    assert made.tokens is not None
    seen = np.bincount(made.tokens[0], minlength=4) / 4000
    assert (np.abs(seen - p) < 5 * np.sqrt(p * (1 - p) / 4000)).all()


def test_a_bernoulli_halt_gives_geometric_lengths() -> None:
    """At constant p the mean length is 1/p and its variance (1-p)/p^2."""
    p = 0.2
    halt = BernoulliHalt(np.zeros(4), np.log(p / (1 - p)))
    made = dynsys.generate(CELL, np.zeros((3000, 2)), max_steps=200, stop=halt, readout=V, seed=4)
    assert made.halting is not None
    np.testing.assert_allclose(made.halting[0], p)
    assert made.lengths.mean() == pytest.approx(1 / p, abs=5 * np.sqrt((1 - p) / p**2 / 3000))
    assert made.stopped.all()


def test_a_halt_depends_on_the_seed_and_on_nothing_else() -> None:
    def lengths(seed: int) -> Any:
        halt = BernoulliHalt(weights(1, 4), -1.0)
        return dynsys.generate(CELL, np.zeros((50, 2)), max_steps=40, stop=halt, readout=V, seed=seed).lengths

    np.testing.assert_array_equal(lengths(1), lengths(1))
    assert (lengths(1) != lengths(2)).any()


def test_a_halt_reads_the_state() -> None:
    halt = BernoulliHalt(weights(1, 4), 0.3)
    made = dynsys.generate(CELL, np.ones(2), max_steps=30, stop=halt, readout=V, seed=3)
    h = made.states[1:, :4]
    np.testing.assert_allclose(made.halting, 1 / (1 + np.exp(-(h @ weights(1, 4)[0] + 0.3))), atol=1e-14)


@pytest.mark.parametrize(("c", "length", "stopped"), [(3.4, 3, True), (-2.0, 1, True), (50.0, 10, False)])
def test_a_predicted_length_is_kept(c: float, length: int, stopped: bool) -> None:
    made = dynsys.generate(CELL, max_steps=10, stop=PredictedLength(np.zeros(4), c), readout=V)
    assert len(made.outputs) == made.lengths == length
    assert bool(made.stopped) is stopped


def test_the_steps_that_remain_may_be_heard() -> None:
    cell = cells.Elman.random(4, 3, seed=1)
    stop = PredictedLength(np.ones(4), 1.0, as_input=True)
    made = dynsys.generate(cell, max_steps=10, stop=stop, readout=V, start=[[1.0, 0, 0, 1], [2.0, 0, 0, 2]])
    np.testing.assert_array_equal(made.lengths, [3, 5])
    np.testing.assert_array_equal(made.inputs[:, 1, 2], [5, 4, 3, 2, 1])
    np.testing.assert_array_equal(made.inputs[:3, 0, 2], [3, 2, 1])


def test_scheduled_sampling_hears_the_teacher_with_the_rest_of_the_probability() -> None:
    teacher, firsts = weights(60, 2), np.zeros((40, 2))
    settings: dict[str, Any] = {"max_steps": 60, "readout": V, "reference": teacher}
    forced = dynsys.generate(CELL, firsts, mixing=0.0, **settings)
    np.testing.assert_array_equal(forced.inputs[1:], np.broadcast_to(teacher[1:, None], (59, 40, 2)))
    free = dynsys.generate(CELL, firsts, mixing=1.0, **settings)
    np.testing.assert_array_equal(free.inputs, dynsys.generate(CELL, firsts, max_steps=60, readout=V).inputs)
    mixed = dynsys.generate(CELL, firsts, mixing=0.3, **settings)
    own = (mixed.inputs[1:] == mixed.outputs[:-1]).all(axis=2)
    taught = (mixed.inputs[1:] == teacher[1:, None]).all(axis=2)
    assert (own ^ taught).all()
    assert own.mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / own.size))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dynsys.respond(CELL, np.zeros((3, 2)), "one-to-many", readout=V), "dynsys.generate"),
        (lambda: dynsys.respond(CELL, np.zeros((3, 2)), "all", readout=V), "many-to-many"),
        (lambda: dynsys.respond(CELL, np.zeros((3, 2)), "many-to-one"), "no readout"),
        (lambda: dynsys.respond(CELL, np.zeros((0, 2)), "many-to-one", readout=V), "empty"),
        (lambda: dynsys.respond(CELL, np.zeros(3), "one-to-one", readout=V), "m = 2"),
        (lambda: dynsys.generate(CELL, max_steps=0, readout=V), "at least 1"),
        (lambda: dynsys.generate(CELL, max_steps=2, readout=weights(3, 4)), "choose a `feedback`"),
        (lambda: dynsys.generate(CELL, max_steps=2, readout=V, feedback="own"), "drawn-token"),
        (lambda: dynsys.generate(CELL, max_steps=2, readout=V, stop=EndSymbol(1)), "feedback="),
        (lambda: dynsys.generate(CELL, max_steps=2, readout=V, feedback="token", stop=EndSymbol(2)), "2 tokens"),
        (lambda: dynsys.generate(CELL, max_steps=2, readout=V, stop=BernoulliHalt(np.zeros(3))), "4 values"),
        (lambda: dynsys.generate(CELL, max_steps=2, readout=V, mixing=0.5), "reference"),
        (lambda: dynsys.generate(CELL, max_steps=2, readout=V, reference=np.zeros((1, 2)), mixing=0.5), "2 steps"),
        (lambda: dynsys.generate(CELL, np.zeros(3), max_steps=2, readout=V), "m = 2"),
        (lambda: dynsys.generate(counter(), [4], max_steps=2, readout=np.eye(4), feedback="token"), "0 to 3"),
    ],
)
def test_mistakes_are_named(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
