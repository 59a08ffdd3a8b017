"""Theory of random networks against published numbers, closed forms, and networks that were drawn and measured."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import AnalysisError, InputError
from dynsys.random_networks import Gaussian, critical_point

# x' = U tanh(x): gain, q, largest exponent, mean exponent (values computed independently, to the digits shown)
TANH = [
    (1.05, 0.05325049, 0.00143573, -0.503133),
    (1.1, 0.11274989, 0.00506890, -0.511864),
    (1.2, 0.24951304, 0.01647626, -0.543100),
    (1.5, 0.79335404, 0.06521721, -0.714346),
    (3.0, 6.30539148, 0.31024932, -2.272805),
    (10.0, 91.70513120, 0.85643519, -12.160966),
]


@pytest.mark.parametrize(("gain", "q", "largest", "mean"), TANH)
def test_the_chaotic_tanh_network(gain: float, q: float, largest: float, mean: float) -> None:
    theory = dynsys.mean_field(gain)
    assert theory.q == pytest.approx(q, abs=6e-9)
    assert theory.largest_exponent == pytest.approx(largest, abs=6e-9)
    assert theory.mean_exponent == pytest.approx(mean, abs=6e-7)
    assert theory.error < 1e-12
    assert theory.regime == "chaotic"


def test_near_and_far_from_the_onset() -> None:
    """(2/3) (g - 1)^2 just above 1; (1/2) log(4 g / (3 sqrt(2 pi))) for strong coupling."""
    g = 1.0001
    assert dynsys.mean_field(g).largest_exponent == pytest.approx(2 / 3 * (g - 1) ** 2, rel=1e-3)
    g = 3000.0
    assert dynsys.mean_field(g).largest_exponent == pytest.approx(
        0.5 * math.log(4 * g / (3 * math.sqrt(2 * math.pi))), abs=1e-3
    )


def test_below_the_onset_activity_dies() -> None:
    """g < 1: the origin, with the exponents of the weights: log g, and log g - 1/2 in the mean."""
    theory = dynsys.mean_field(0.8)
    assert theory.q == 0.0
    assert theory.largest_exponent == pytest.approx(math.log(0.8), abs=1e-14)
    assert theory.mean_exponent == pytest.approx(math.log(0.8) - 0.5, abs=1e-14)
    assert theory.regime == "ordered"
    assert theory.time_scale == pytest.approx(-1 / (2 * math.log(0.8)), rel=1e-12)
    assert dynsys.mean_field(1.0).regime == "critical"
    assert math.isinf(dynsys.mean_field(1.0).time_scale)


LINE = [
    (1 / 64, 1.015163785, 0.002156695),
    (0.05, 1.045766376, 0.011326809),
    (0.1, 1.085158558, 0.028849270),
    (0.25, 1.180661521, 0.090139637),
    (0.5, 1.299220967, 0.195041537),
    (1.0, 1.467413592, 0.388541670),
]


@pytest.mark.parametrize(("q", "gain", "bias"), LINE)
def test_the_critical_line_of_tanh(q: float, gain: float, bias: float) -> None:
    assert critical_point(q) == pytest.approx((gain, bias), abs=1e-9)
    theory = dynsys.mean_field(*critical_point(q))
    assert theory.q == pytest.approx(q, rel=1e-9)
    assert theory.chi == pytest.approx(1.0, abs=1e-12)
    assert theory.regime == "critical"


def test_isometry_of_deep_products() -> None:
    """tanh at q = 1/4: the published variances, and products that were drawn: n = 400, four Gaussian layers."""
    theory = dynsys.mean_field(*critical_point(0.25))
    assert theory.isometry(4) == pytest.approx((1.0, 4.548), abs=5e-4)
    assert [theory.isometry(k, "orthogonal")[1] for k in (1, 4, 8)] == pytest.approx([0.137, 0.548, 1.096], abs=5e-4)
    n, generator = 400, np.random.default_rng(0)
    product = np.eye(n)
    for _ in range(4):
        slopes = 1 / np.cosh(0.5 * generator.standard_normal(n)) ** 2
        product = theory.gain / math.sqrt(n) * generator.standard_normal((n, n)) @ (slopes[:, None] * product)
    squared = np.linalg.svd(product, compute_uv=False) ** 2
    assert squared.mean() == pytest.approx(1.0, abs=0.05)
    assert squared.var() == pytest.approx(4.548, rel=0.15)


def test_relu_is_critical_at_the_root_of_two() -> None:
    """He initialisation: E[s'^2] = 1/2 at every variance; above it the activity diverges."""
    assert dynsys.mean_field(1.0, activation="relu").chi == pytest.approx(0.5, abs=1e-14)
    assert dynsys.mean_field(1.2, 0.5, "relu").q == pytest.approx(0.25 / (1 - 0.72), rel=1e-12)
    assert dynsys.mean_field(1.0, 0.5, "relu").mean_exponent == -math.inf
    with pytest.raises(AnalysisError, match="diverges"):
        dynsys.mean_field(1.5, 0.1, "softplus")


# The second moment of the slopes: 1 on one half of the units, its square below zero on the other.
MOMENTS = {"relu": 0.5, "leaky_relu": (1 + 0.01**2) / 2, "identity": 1.0}


@pytest.mark.parametrize("name", MOMENTS)
def test_scale_invariant_activations_have_one_critical_gain(name: str) -> None:
    """chi = gain^2 E[s'^2] whatever the variance: at chi = 1 (He's gain) without bias every variance is stationary."""
    gain = 1 / math.sqrt(MOMENTS[name])
    at, below, above = (dynsys.mean_field(factor * gain, 0.0, name) for factor in (1.0, 0.9, 1.1))
    assert (at.variance, at.regime, at.chi, at.largest_exponent) == ("kept", "critical", 1.0, 0.0)
    assert math.isnan(at.q)
    assert math.isinf(at.time_scale)
    assert "q is kept as it starts" in str(at)
    assert at.isometry(4)[0] == 1.0
    assert (below.variance, below.regime, below.q) == ("settles", "ordered", 0.0)
    assert (above.variance, above.regime, above.q) == ("diverges", "divergent", math.inf)
    for theory, factor in ((below, 0.9), (above, 1.1)):
        assert theory.largest_exponent == pytest.approx(math.log(factor), abs=1e-14)
    with_bias = [dynsys.mean_field(factor * gain, 0.5, name) for factor in (0.9, 1.0, 1.1)]
    assert with_bias[0].q == pytest.approx(0.25 / (1 - 0.81), rel=1e-13)
    assert [t.variance for t in with_bias] == ["settles", "diverges", "diverges"]
    assert [t.regime for t in with_bias] == ["ordered", "critical", "divergent"]
    logs = {"relu": -math.inf, "leaky_relu": math.log(0.01) / 2, "identity": 0.0}[name]
    assert at.mean_exponent == pytest.approx(math.log(gain) - 0.5 + logs, abs=1e-14)


@pytest.mark.parametrize("name", MOMENTS)
def test_closed_forms_are_what_the_quadrature_gives(name: str) -> None:
    for q in (1e-6, 1.0, 1e6):
        average = Gaussian(name, q)
        assert average.mean(lambda s, d: d**2) == pytest.approx(MOMENTS[name], rel=1e-13)
        assert average.mean(lambda s, d: s**2) == pytest.approx(q * MOMENTS[name], rel=1e-13)
        theory = dynsys.mean_field(1.0, 0.0, name)
        assert average.mean_log_slope - 0.5 == pytest.approx(theory.mean_exponent, rel=1e-13)


def test_a_drawn_relu_network_keeps_its_variance_at_the_critical_gain() -> None:
    """x -> U relu(x) with fresh weights, n = 2000: the variance it starts with, within 5 standard errors of a step."""
    generator, n, gain = np.random.default_rng(0), 2000, math.sqrt(2)
    for start in (0.01, 9.0):
        x = math.sqrt(start) * generator.standard_normal(n)
        after = gain / math.sqrt(n) * generator.standard_normal((n, n)) @ np.maximum(x, 0)
        # E[relu^4] / E[relu^2]^2 = 6 and the spread of a sum of n squares: variance (5 + 2) / n, and 2 / n at the start
        assert np.mean(after**2) / start == pytest.approx(1.0, abs=5 * math.sqrt(9 / n))


@pytest.mark.parametrize("gain", [40.0, 300.0, 3000.0])
def test_the_mean_exponent_at_strong_gain(gain: float) -> None:
    """E[log sech^2(c z)] = 2 log 2 - 2 c sqrt(2/pi) - pi^2 / (6 c sqrt(2 pi)) + O(c^-3), where sech^2 underflows."""
    theory = dynsys.mean_field(gain)
    c = math.sqrt(theory.q)
    mean_log = 2 * math.log(2) - 2 * c * math.sqrt(2 / math.pi) - math.pi**2 / (6 * c * math.sqrt(2 * math.pi))
    assert theory.mean_exponent == pytest.approx(math.log(gain) - 0.5 + mean_log, abs=1 / c**3)


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("tanh", lambda x: mpmath.sech(x) ** 2),
        ("sigmoid", lambda x: mpmath.sech(x / 2) ** 2 / 4),
        ("softplus", lambda x: 1 / (1 + mpmath.exp(-x))),
        ("softsign", lambda x: 1 / (1 + abs(x)) ** 2),
        ("elu", lambda x: mpmath.exp(min(x, 0))),
    ],
)
@pytest.mark.parametrize("q", [0.25, 1e4])
def test_mean_log_slopes_against_integrals_in_thirty_digits(name: str, slope: Any, q: float) -> None:
    with mpmath.workdps(30):
        breaks = [-12, -3, -1, -0.1, -0.01, 0, 0.01, 0.1, 1, 3, 12]
        exact = mpmath.quad(lambda z: mpmath.npdf(z) * mpmath.log(slope(math.sqrt(q) * z)), breaks)
    assert Gaussian(name, q).mean_log_slope == pytest.approx(float(exact), rel=1e-12)


def test_linear_networks_in_closed_form() -> None:
    theory = dynsys.mean_field(0.5, 2.0, "identity")
    assert theory.q == pytest.approx(4 / (1 - 0.25), rel=1e-12)
    assert theory.chi == pytest.approx(0.25, abs=1e-14)


def test_gaussian_averages_are_moments() -> None:
    average = Gaussian("identity", 3.0)
    assert average.mean(lambda s, d: s**4) == pytest.approx(27.0, rel=1e-12)
    assert average.mean(lambda s, d: d) == pytest.approx(1.0, abs=1e-14)


def test_a_drawn_network_has_the_exponent_of_the_theory() -> None:
    """n = 256, g = 3: the largest exponent within its sample-to-sample spread, the mean exponent closely."""
    cell = cells.Elman.random(256, 0, gain=3.0, seed=1)
    start = np.random.default_rng(0).standard_normal(256)
    measured = dynsys.lyapunov_spectrum(cell, start, k=1, steps=600, discard=200)
    assert measured.exponents[0] == pytest.approx(dynsys.mean_field(3.0).largest_exponent, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.0,), "positive"),
        ((-1.0,), "gain"),
        ((1.0, math.nan), "bias"),
        ((1.0, 0.0, "gelu"), "activation"),
        (("a",), "gain"),
        ((None,), "gain"),
        ((1.0, "b"), "bias"),
        ((1.0, 0.0, ["tanh"]), "activation"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        dynsys.mean_field(*arguments)
    with pytest.raises(InputError, match="depth"):
        dynsys.mean_field(1.5).isometry(0)
    with pytest.raises(InputError, match="depth"):
        dynsys.mean_field(1.5).isometry("a")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="`q`"):
        critical_point("a")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["softplus", "softsign", "leaky_relu", "elu", "hard_tanh", "hard_sigmoid"])
def test_kinks_do_not_spoil_the_quadrature(name: str) -> None:
    """Averages against a million random numbers, within four standard errors; and half the panels agree."""
    x = 1.3 * np.random.default_rng(0).standard_normal(1_000_000)
    values = {
        "softplus": np.logaddexp(0, x),
        "softsign": x / (1 + np.abs(x)),
        "leaky_relu": np.where(x > 0, x, 0.01 * x),
        "elu": np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        "hard_tanh": np.clip(x, -1, 1),
        "hard_sigmoid": np.clip(x / 6 + 0.5, 0, 1),
    }[name]
    average = Gaussian(name, 1.3**2)
    assert average.mean(lambda s, d: s**2) == pytest.approx(np.mean(values**2), abs=4 * np.std(values**2) / 1000)
    again = Gaussian(name, 1.3**2, finer=2)
    assert average.mean(lambda s, d: d**2) == pytest.approx(again.mean(lambda s, d: d**2), rel=1e-12)
