"""Covariant vectors are eigenvectors where there is one Jacobian, and obey J v ~ v everywhere else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.covariant import least_angles
from dynsys.covariant_run import sines
from dynsys.errors import AnalysisError, InputError, ShapeError

A, B = 1.4, 0.3


def henon(s: Any) -> Any:
    return [1 - A * s[0] ** 2 + s[1], B * s[0]]


def henon_map() -> dynsys.Map:
    return dynsys.as_map(henon, state_size=2, box=(-2, 2))


def henon_jacobian(x: float) -> np.ndarray:
    return np.array([[-2 * A * x, 1.0], [B, 0.0]])


def linear(J: Any) -> cells.Elman:
    return cells.Elman(U=J, activation="identity")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("k", [1, None])
def test_of_a_constant_map_they_are_its_eigenvectors(n: int, k: int | None) -> None:
    V = noise(n, n) + np.eye(n)
    values = np.array([1.5, -0.9, 0.5, 0.3, -0.1])[:n]
    found = dynsys.covariant_vectors(linear(V @ np.diag(values) @ np.linalg.inv(V)), None, None, k, 7, 90, 90)
    wanted = (V / np.linalg.norm(V, axis=0))[:, : found.k]
    np.testing.assert_allclose(sines(found.vectors, np.broadcast_to(wanted, found.vectors.shape)), 0, atol=1e-10)
    np.testing.assert_allclose(found.exponents, np.log(np.abs(values))[: found.k], atol=1e-10)
    assert found.determined.all()
    assert (found.covariance_errors < 1e-12).all()


def test_around_a_periodic_orbit_they_are_those_of_the_whole_turn() -> None:
    """At each phase the eigenvectors of the product of Jacobians once around, from that phase on."""
    cell = cells.Elman.random(4, 2, gain=0.9, seed=3)
    period = noise(3, 2, seed=1)
    driving = np.resize(period, (300, 2))
    found = dynsys.covariant_vectors(cell, None, driving, steps=60, discard=120, align=120)
    f = dynsys.as_map(cell)
    J = [f.jacobian(found.states[t], driving[120 + t]) for t in range(6)]
    for phase in range(3):
        values, vectors = np.linalg.eig(J[phase + 2] @ J[phase + 1] @ J[phase])
        order = np.argsort(-np.abs(values))
        distinct = [i for i in range(4) if abs(values[order[i]].imag) < 1e-12]
        assert len(distinct) >= 2
        for i in distinct:
            assert found.determined[i]
            right = vectors[:, order[i]].real[:, np.newaxis]
            assert sines(found.vectors[phase][:, [i]], right) < 1e-9
            assert found.exponents[i] == pytest.approx(math.log(abs(values[order[i]])) / 3, abs=1e-9)


def test_at_the_fixed_point_of_henon() -> None:
    """Multipliers -a x +- sqrt(a^2 x^2 + b), eigenvectors (mu, b)."""
    x = (-(1 - B) + math.sqrt((1 - B) ** 2 + 4 * A)) / (2 * A)
    found = dynsys.covariant_vectors(henon_map(), [x, B * x], steps=3, discard=15, align=15)
    root = math.sqrt(A**2 * x**2 + B)
    for i, mu in enumerate((-A * x - root, -A * x + root)):
        vector = np.array([[mu], [B]]) / math.hypot(mu, B)
        assert sines(found.vectors[1][:, [i]], vector) < 1e-10
        assert found.exponents[i] == pytest.approx(math.log(abs(mu)), abs=1e-9)


def test_along_the_attractor_of_henon() -> None:
    """J v_t ~ v_{t+1}; areas: growth 1 + growth 2 + log of the sines' ratio is log b at every step; v_1 is the flow of
    any tangent from the past, v_2 that of any tangent from the future."""
    found = dynsys.covariant_vectors(henon_map(), [0.1, 0.1], steps=400, discard=200, align=200)
    J = np.array([henon_jacobian(x) for x in found.states[:, 0]])
    moved = J[:-1] @ found.vectors[:-1]
    growth = np.exp(found.local_exponents[:-1])
    np.testing.assert_allclose(moved, growth[:, np.newaxis] * found.vectors[1:], atol=1e-10)
    ratio = np.log(np.sin(found.angles[1:, 0]) / np.sin(found.angles[:-1, 0]))
    np.testing.assert_allclose(found.local_exponents[:-1].sum(axis=1) + ratio, math.log(B), atol=1e-9)
    assert found.angles.min() > 0
    tangent = np.ones((2, 1))
    for t in range(100):
        tangent = J[t] @ tangent
        tangent /= np.linalg.norm(tangent)
    assert sines(found.vectors[100][:, [0]], tangent) < 1e-12
    back = np.ones((2, 1))
    for t in reversed(range(300, 400)):
        back = np.linalg.solve(J[t], back)
        back /= np.linalg.norm(back)
    assert sines(found.vectors[300][:, [1]], back) < 1e-12
    assert (found.n_expanding, found.n_contracting) == (1, 1)
    np.testing.assert_allclose(found.splitting, found.angles[:, 0], rtol=1e-6)
    assert found.exponents[0] == pytest.approx(0.419, abs=3 * found.standard_errors[0])


@pytest.mark.parametrize("angle", [1e-6, 0.1, math.pi / 2])
def test_the_splitting_is_the_angle_between_what_grows_and_what_shrinks(angle: float) -> None:
    V = np.array([[1.0, math.cos(angle)], [0.0, math.sin(angle)]])
    found = dynsys.covariant_vectors(linear(V @ np.diag([2.0, 0.5]) @ np.linalg.inv(V)), steps=5, discard=60, align=60)
    assert found.splitting is not None
    np.testing.assert_allclose(found.splitting, angle, rtol=1e-8)


def test_least_angles_of_planes() -> None:
    """Planes in four dimensions that are turned against each other by two known angles."""
    a, b = 0.3, 1.1
    first = np.eye(4)[:, :2]
    second = np.array([[math.cos(a), 0], [0, math.cos(b)], [math.sin(a), 0], [0, math.sin(b)]])
    mixed = second @ np.array([[1.0, 2.0], [0.5, -1.0]])
    assert least_angles(first[np.newaxis], mixed[np.newaxis]) == pytest.approx(a)
    assert least_angles(first[np.newaxis], np.zeros((1, 4, 0))) is None


def test_a_rotation_has_no_single_vectors() -> None:
    """A complex pair and a slower real direction: the pair's vectors are not determined, its plane is."""
    c, s = math.cos(0.7), math.sin(0.7)
    J = np.array([[0.9 * c, -0.9 * s, 0.4], [0.9 * s, 0.9 * c, -0.2], [0.0, 0.0, 0.3]])
    found = dynsys.covariant_vectors(linear(J), steps=10, discard=80, align=80)
    assert found.determined.tolist() == [False, False, True]
    assert sum("is not determined" in note for note in found.notes) == 2
    np.testing.assert_allclose(found.vectors[:, 2, :2], 0, atol=1e-10)  # the plane of the pair: no third component
    assert found.exponents[2] == pytest.approx(math.log(0.3), abs=1e-10)


def test_what_is_destroyed_has_no_vector() -> None:
    J = np.diag([0.9, 0.5, 0.0])
    found = dynsys.covariant_vectors(linear(J), steps=5, discard=50, align=50)
    assert found.k == 2
    assert "only the leading 2 of 3" in found.notes[0]
    with pytest.raises(AnalysisError, match="no direction"):
        dynsys.covariant_vectors(linear(np.zeros((2, 2))))


def test_large_maps_and_clocks_go_step_by_step() -> None:
    """Above 64 variables, and where the map changes with time, derivatives are applied and not formed."""
    n = 70
    values = np.array([1.2, 0.9, *np.linspace(0.5, 0.1, n - 2)])
    J = np.diag(values) + np.triu(0.02 * noise(n, n), 1)
    found = dynsys.covariant_vectors(linear(J), None, None, 2, 3, 120, 120)
    wanted = np.linalg.eig(J)[1][:, [0]].real
    assert sines(found.vectors[0][:, [0]], wanted) < 1e-10
    assert found.exponents[0] == pytest.approx(math.log(1.2), abs=1e-10)
    clocked = dynsys.clockwork(cells.Elman.random(4, 0, gain=0.8, seed=1), [1, 2])
    moved = dynsys.covariant_vectors(clocked, 0.1 * np.ones(4), steps=20, discard=61, align=60)
    assert (moved.covariance_errors < 1e-10).all()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"steps": 0}, InputError, "steps"),
        ({"k": 3}, InputError, "`k` must be a whole number from 1 to 2"),
        ({"inputs": np.zeros((10, 0))}, InputError, "discard"),
        ({"start": np.zeros((2, 2))}, ShapeError, "one orbit"),
    ],
)
def test_what_is_wrong_is_said(settings: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        dynsys.covariant_vectors(linear(np.diag([0.5, 0.2])), **settings)


def test_an_orbit_that_runs_off_is_refused() -> None:
    f = dynsys.as_map(lambda h: h**2 + 2.0, state_size=1)
    with pytest.raises(AnalysisError, match="infinity"):
        dynsys.covariant_vectors(f, [3.0])
