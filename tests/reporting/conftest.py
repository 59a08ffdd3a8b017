"""A realistic report to render: every kind of block, every severity, real figures."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure as Plot

from dynsys.reporting.document import Document, Equation, Figure, Finding, Paragraph, Section, Table
from dynsys.reporting.svg import COLOURS, figure_svg, style

GRU = (
    r"\mathbf{z}_t = \sigma(\mathbf{W}_{z} \mathbf{x}_t + \mathbf{U}_{z} \mathbf{h}_{t-1} + \mathbf{b}_{z})",
    r"\mathbf{r}_t = \sigma(\mathbf{W}_{r} \mathbf{x}_t + \mathbf{U}_{r} \mathbf{h}_{t-1} + \mathbf{b}_{r})",
    r"\tilde{\mathbf{h}}_t = \tanh(\mathbf{W}_{h} \mathbf{x}_t + \mathbf{b}_{h} + \mathbf{r}_t \odot "
    r"(\mathbf{U}_{h} \mathbf{h}_{t-1} + \mathbf{b}_{hn}))",
    r"\mathbf{h}_t = \mathbf{z}_t \odot \mathbf{h}_{t-1} + (\mathbf{1} - \mathbf{z}_t) \odot \tilde{\mathbf{h}}_t",
)


def unit_circle() -> str:
    """27 fixed points with 16 multipliers each, stable filled and unstable open."""
    generator = np.random.default_rng(1)
    radius, angle = generator.gamma(9.0, 0.085, (27, 16)), generator.uniform(-np.pi, np.pi, (27, 16))
    with matplotlib.rc_context(style()):
        plot = Plot(figsize=(4.2, 4.0))
        axes = plot.subplots()
        axes.set_aspect("equal")
        turn = np.linspace(0, 2 * np.pi, 200)
        axes.plot(np.cos(turn), np.sin(turn), color="#808488", linewidth=1.0)
        for k in range(27):
            x, y, out = radius[k] * np.cos(angle[k]), radius[k] * np.sin(angle[k]), radius[k] > 1
            axes.plot(x[~out], y[~out], "o", color=COLOURS[0], alpha=0.7)
            axes.plot(x[out], y[out], "s", color=COLOURS[1], fillstyle="none")
        axes.set(xlabel="Re $\\mu$", ylabel="Im $\\mu$")
        return figure_svg(plot)


def scatter() -> str:
    """2 000 states of an orbit in two principal components."""
    generator = np.random.default_rng(2)
    phase = np.linspace(0, 40 * np.pi, 2000)
    with matplotlib.rc_context(style()):
        plot = Plot(figsize=(4.2, 4.0))
        axes = plot.subplots()
        x, y = np.cos(phase) + 0.1 * generator.normal(size=2000), np.sin(2 * phase) + 0.1 * generator.normal(size=2000)
        axes.plot(x, y, "o", markersize=2.2, alpha=0.5)
        axes.set(xlabel="first component", ylabel="second component", title="states (2 000 of 10 000 shown)")
        return figure_svg(plot)


def curves() -> str:
    """Log singular values of the gradient against the lag."""
    lags = np.arange(1, 101)
    with matplotlib.rc_context(style()):
        plot = Plot(figsize=(6.4, 3.0))
        axes = plot.subplots()
        for k in range(6):
            axes.plot(lags, -0.04 * (k + 1) * lags + 0.3 * np.sin(lags / 6), label=f"$\\sigma_{k + 1}$")
        axes.axhline(np.log(0.01), color="#808488", linestyle="--")
        axes.grid(True)
        axes.legend(ncols=3)
        axes.set(xlabel="lag (steps)", ylabel="log singular value (nats)")
        return figure_svg(plot)


def findings() -> tuple[Finding, ...]:
    common: dict[str, Any] = {"value": 1.0, "uncertainty": 0.1}
    return (
        Finding(
            id="gradient-horizon-short",
            severity="critical",
            title="Gradients vanish after 14 steps",
            shown="horizon $\\tau = 14 \\pm 1$ steps (70 ms)",
            method="Log singular values of $J_\\tau \\cdots J_1$ on 32 sequences, two random frames.",
            meaning="An error more than 14 steps after its cause changes the weights by less than 1 % of what an error "
            "one step after it does. The task needs 40 steps, so what is learned there is learned by chance.",
            advice="Start the biases of the update gate at $+2$, or train on sequences cut at 14 steps.",
            section="gradients",
            **common,
        ),
        Finding(
            id="search-incomplete",
            severity="warning",
            title="The search may have missed fixed points",
            shown="27 found, about 31 estimated (95 %: 28 to 44)",
            method="Bias-corrected Chao1 on 1 024 uniform starts; index sum 3, expected 1.",
            meaning="The signs of $\\det(I - J)$ add up to 3 and not to 1: something is missing, or counted twice.",
            advice="Search again with `n_starts=16384`, or prove completeness for small $n$.",
            section="fixed-points",
            **common,
        ),
        Finding(
            id="float32-converted",
            severity="info",
            title="The file holds float32 weights",
            shown="",
            method="",
            meaning="All results are about the float64 map with these weights.",
            advice="",
            section="nowhere",
            **common,
        ),
        Finding(
            id="contracting",
            severity="good",
            title="Every orbit settles: the largest Lyapunov exponent is negative",
            shown="$\\lambda_1 = -0.0312 \\pm 0.0004$ nats/step",
            method="Benettin, 20 000 steps after 1 000 discarded, i.i.d. input.",
            meaning="Nearby states approach each other; the network forgets its start in about 32 steps.",
            advice="Nothing to do.",
            section="lyapunov",
            **common,
        ),
    )


def tables() -> tuple[Table, Table]:
    generator = np.random.default_rng(3)
    kinds = ("attractor", "saddle", "repeller", "undecided")
    points = tuple(
        (
            str(k + 1),
            kinds[k % 4],
            str(k % 5),
            f"{generator.gamma(9.0, 0.1):.4f}",
            f"${generator.uniform(1, 9):.1f} \\times 10^{{-{13 + k % 3}}}$",
            f"{generator.uniform(1, 9):.1f}e-12",
            str(generator.integers(0, 200)),
            "uniform start, then Newton" if k % 3 else "neighbour of a found point",
        )
        for k in range(27)
    )
    header = ("#", "kind", "unstable", "$\\rho(J)$", "residual", "error", "hits", "found by")
    wide = tuple(
        (*(f"{value:.6f}" for value in generator.normal(size=16)), "a_very_long_name_without_any_space_in_it")
        for _ in range(4)
    )
    return (
        Table(
            caption="Fixed points of the map at zero input, sorted by the number of unstable directions.",
            header=header,
            rows=points,
            align="rlrrrrrl",
            note="Residual: $\\max_i |F(x)_i - x_i|$. Hits: of 1 024 independent uniform starts.",
        ),
        Table(
            caption="A table that is wider than any page.",
            header=(*(f"$\\mu_{{{k}}}$" for k in range(1, 17)), "name"),
            rows=wide,
            align="r" * 16 + "l",
        ),
    )


def sections() -> tuple[Section, ...]:
    points, wide = tables()
    circle = Figure(
        id="multipliers",
        svg=unit_circle(),
        caption="Multipliers of all 27 fixed points and the unit circle. Filled: inside; open squares: outside.",
        alt="432 points in the complex plane around the unit circle; 118 of them lie outside.",
        width=0.5,
    )
    cloud = Figure(
        id="orbit", svg=scatter(), caption="The orbit in two principal components.", alt="A figure eight.", width=0.5
    )
    decay = Figure(
        id="decay",
        svg=curves(),
        caption="Log singular values $\\log\\sigma_k(\\tau)$ of the gradient; the dashed line is $\\log 0.01$.",
        alt="Six falling lines; the highest crosses log 0.01 at lag 14.",
        width=0.9,
    )
    text = (
        "The map was searched from 1 024 independent uniform points of the cube $(-1, 1)^n$. A point counts "
        "as found if $\\max_i |F(x)_i - x_i| \\le 10^{-12} (1 + \\max|x|)$ and its error is below $10^{-6}$. "
    )
    return (
        Section(
            "equations", "The network", (Paragraph("The file holds a GRU, as PyTorch writes it:"), *map(Equation, GRU))
        ),
        Section("fixed-points", "Fixed points", (Paragraph(text), circle, cloud, Paragraph(text * 2), points, wide)),
        Section(
            "lyapunov",
            "Lyapunov exponents",
            (
                Paragraph(text * 2),
                Equation(r"\lambda_k = \lim_{T \to \infty} \frac{1}{T} \sum_{t=1}^{T} \log \left(R_t\right)_{kk}"),
            ),
        ),
        Section("gradients", "Gradients over lags", (Paragraph(text), decay, Paragraph(text * 3))),
    )


def sample(**changes: Any) -> Document:
    fields: dict[str, Any] = {
        "title": "digits_gru.pt",
        "subtitle": "GRU with 16 units and 8 inputs, reset after the product",
        "verdict": "The network forgets within 14 steps, but the task needs 40: expect it to fail on long sequences.",
        "severity": "critical",
        "findings": findings(),
        "facts": (
            ("Cell", "GRU (reset after)"),
            ("State size", "16"),
            ("Inputs", "8"),
            ("Parameters", "1 248"),
            ("Fixed points", "27 (4 attractors)"),
            ("$\\lambda_1$", "$-0.0312 \\pm 0.0004$"),
            ("Gradient horizon", "14 steps"),
            ("Input", "zero"),
        ),
        "sections": sections(),
        "methods": (
            "Fixed points were found by damped Newton iteration in a batch [1], Lyapunov exponents by the method of "
            "Benettin et al. [2, 3] with 20 000 steps. Uncertainties are standard errors over ten blocks.",
            "All computations used double precision.",
        ),
        "references": (
            "D. Sussillo and O. Barak. Opening the black box. Neural Comput. 25 (2013) 626. doi:10.1162/NECO_a_00409.",
            "G. Benettin et al. Lyapunov characteristic exponents. Meccanica 15 (1980) 9-20.",
            "R. Engelken, F. Wolf and L. F. Abbott. Lyapunov spectra of chaotic networks. arXiv 2006.02427.",
        ),
        "reproducibility": (
            ("dynsys", "0.1.0"),
            ("Seed", "0"),
            ("SHA-256", "`9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`"),
            (
                "Command",
                "`dynsys report digits_gru.pt --out reports/digits --n-starts 1024 --steps 20000 --discard 1000`",
            ),
        ),
        "data": {"schema_version": 1, "lyapunov": {"exponents": [-0.0312, float("-inf")]}},
        "date": "2025-03-14",
    }
    return Document(**(fields | changes))


@pytest.fixture(scope="session")
def document() -> Document:
    """The realistic report."""
    return sample()
