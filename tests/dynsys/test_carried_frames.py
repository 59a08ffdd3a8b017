"""Frames carried along orbits: whatever decompositions are taken on the way, the triangle of the whole is the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.batched_frames import BatchedFrames
from dynsys.carried_frames import CarriedFrames, by_length
from dynsys.elimination import Elimination
from dynsys.frames import Stretch, random_frames, stretches
from dynsys.product_frames import ProductFrames
from dynsys.qr_interval import MEASURED, QRInterval
from dynsys.step_frames import StepFrames

KINDS: list[type[Any]] = [BatchedFrames, ProductFrames, StepFrames]


def along(cell: Any, steps: int, batch: int) -> tuple[Stretch, np.ndarray]:
    """A stretch of an orbit, and its Jacobians (steps, batch, n, n)."""
    f = dynsys.as_map(cell)
    state = np.random.default_rng(0).uniform(-0.5, 0.5, (f.state_size, batch))
    stretch = next(iter(stretches(f, state, None, steps)))
    return stretch, np.concatenate([piece.jacobians for piece in stretch.pieces()])


def triangle(jacobians: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """log|R_ii| of the whole product, by a QR at every step."""
    total = np.zeros(frame.shape[1])
    for jacobian in jacobians:
        frame, r = np.linalg.qr(jacobian @ frame)
        total += np.log(np.abs(np.diagonal(r)))
    return total


def carried(frames: CarriedFrames, stretch: Stretch, lengths: list[int], **options: Any) -> np.ndarray:
    done = frames.carry(stretch, 0, lengths, **({"exact": True, "limit": 40.0, "determinant": True} | options))
    assert not done.wide
    assert done.log_det is not None
    np.testing.assert_allclose(
        np.log(done.diagonals).sum(axis=-1),
        np.broadcast_to(done.log_det[..., np.newaxis], done.diagonals.shape[:3]),
        atol=1e-8,
    )
    return np.asarray(np.log(done.diagonals).sum(axis=0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [[1] * 12, [3, 3, 3, 3], [2, 1, 3, 2, 1, 3]])
@pytest.mark.parametrize(
    "cell",
    [
        cells.Elman.random(12, 0, gain=1.2, seed=0),
        cells.LeakyRNN.random(12, 0, gain=1.5, seed=1),
        cells.LSTM.random(6, 0, gain=4.0, seed=2),
        cells.GRU.random(12, 0, gain=2.0, seed=3),
    ],
    ids=lambda cell: type(cell).__name__,
)
def test_every_way_gives_the_triangle_of_the_whole_product(cell: Any, lengths: list[int], kind: type[Any]) -> None:
    stretch, jacobians = along(cell, 12, 2)
    n = jacobians.shape[-1]
    start = random_frames(np.random.default_rng(1), 4, n, n).reshape(2, 2, n, n)
    wanted = np.array([[triangle(jacobians[:, b], frame) for frame in start[b]] for b in range(2)])
    np.testing.assert_allclose(carried(kind(start.copy()), stretch, lengths), wanted, atol=1e-8)


@pytest.mark.parametrize("kind", [BatchedFrames, StepFrames])
def test_a_few_columns_give_their_own_triangle(kind: type[Any]) -> None:
    stretch, jacobians = along(cells.Elman.random(20, 0, gain=1.5, seed=0), 12, 1)
    start = random_frames(np.random.default_rng(1), 2, 20, 3).reshape(1, 2, 20, 3)
    done = kind(start.copy()).carry(stretch, 0, [4, 4, 4], exact=True, limit=40.0, determinant=False)
    wanted = [triangle(jacobians[:, 0], frame) for frame in start[0]]
    np.testing.assert_allclose(np.log(done.diagonals).sum(axis=0)[0], wanted, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_growth_that_spans_too_much_is_not_taken_in(kind: type[Any]) -> None:
    """Three steps span more than the limit: the frames stay before them, and go on step by step to the same end."""
    stretch, jacobians = along(cells.Elman.random(12, 0, gain=2.0, seed=0), 6, 1)
    start = random_frames(np.random.default_rng(1), 2, 12, 12).reshape(1, 2, 12, 12)
    frames = kind(start.copy())
    first = frames.carry(stretch, 0, [1, 3], exact=False, limit=1e-3, determinant=True)
    assert first.wide
    assert first.diagonals.shape == (1, 1, 2, 12)
    assert first.log_det is not None
    assert first.log_det.shape == (1, 1)
    rest = frames.carry(stretch, 1, [1] * 5, exact=True, limit=1e-3, determinant=False)
    assert not rest.wide
    total = np.log(first.diagonals).sum(axis=0) + np.log(rest.diagonals).sum(axis=0)
    np.testing.assert_allclose(total[0], [triangle(jacobians[:, 0], frame) for frame in start[0]], atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_that_have_met_are_no_longer_apart(kind: type[Any]) -> None:
    P = np.array([[1.0, 0.4, -0.2], [0.1, 1.0, 0.3], [0.5, -0.3, 1.0]])
    cell = cells.Elman(U=P @ np.diag([1.0, 0.5, -0.2]) @ np.linalg.inv(P), activation="identity")
    stretch, _ = along(cell, 60, 1)
    frames = kind(random_frames(np.random.default_rng(1), 2, 3, 3).reshape(1, 2, 3, 3))
    frames.carry(stretch, 0, [1], exact=True, limit=40.0, determinant=False)
    assert frames.apart().max() > 1e-3
    frames.carry(stretch, 1, [1] * 59, exact=True, limit=40.0, determinant=False)
    assert frames.apart().max() < 1e-12
    frames.drop_second()
    assert frames.carry(stretch, 0, [1], exact=True, limit=40.0, determinant=False).diagonals.shape == (1, 1, 1, 3)


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_elimination_gives_the_matrix_back(n: int) -> None:
    generator = np.random.default_rng(n)
    w, c = (np.asfortranarray(generator.standard_normal((n, n))) for _ in range(2))
    factor = Elimination(w.copy(order="F"))
    frame = factor.times(np.eye(n, order="F"))
    np.testing.assert_allclose(frame @ factor.triangle(), w, atol=1e-13)
    assert np.abs(frame).max() <= 1.0
    np.testing.assert_allclose(factor.times(c), c @ frame, atol=1e-13)
    np.testing.assert_array_equal(factor.diagonal, np.diagonal(factor.triangle()))


def test_sums_by_length_stop_where_the_steps_do() -> None:
    steps = np.arange(10.0)[:, np.newaxis]
    np.testing.assert_array_equal(by_length(steps, [2, 3, 4, 5]), [[1.0], [9.0], [26.0]])
    assert by_length(steps, [11]).shape == (0, 1)


# Intervals


def test_the_interval_is_what_the_mean_growth_allows() -> None:
    """12 nats at 2.6 a step: 4 steps; where single steps spread by 10 nats, fewer."""
    steady = np.linspace(1.3, -1.3, 9)
    rule = QRInterval(12.0, 16.0)
    assert rule.plan(100, 64) == [1] * MEASURED
    rule.learn_all(np.tile(steady, (MEASURED, 1)), [1] * MEASURED)
    assert rule.plan(10, 64) == [4, 4, 2]
    rule.shorten(4)
    assert rule.steps == 2
    uneven = QRInterval(12.0, 16.0)
    growth = np.tile(steady, (MEASURED, 1))
    growth[3:5] *= 10.0 / 2.6
    uneven.learn_all(growth, [1] * MEASURED)
    assert uneven.steps == 1


def test_an_interval_grows_again_after_a_burst() -> None:
    rule = QRInterval(12.0, 16.0)
    steady = np.linspace(1.0, -1.0, 5)
    rule.learn_all(np.tile(steady, (MEASURED, 1)), [1] * MEASURED)
    assert rule.steps == 6
    rule.shorten(6)
    rule.shorten(3)
    rule.shorten(2)
    assert rule.steps == 1
    for _ in range(40):
        rule.learn_all(steady[np.newaxis] * rule.steps, [rule.steps])
    assert rule.steps == 6


def test_without_adapting_every_step_has_a_qr() -> None:
    rule = QRInterval(12.0, 16.0, adapts=False)
    rule.learn_all(np.zeros((50, 4)), [1] * 50)
    assert rule.plan(5, 3) == [1, 1, 1]
