"""The methods text of a report, ready to paste into a paper, with its references."""

from __future__ import annotations

from collections.abc import Callable

from dynsys.fixed_points import FixedPoints
from dynsys.reporting.study import Study

REFERENCES = {
    "sussillo": "D. Sussillo and O. Barak, Opening the black box: low-dimensional dynamics in high-dimensional "
    "recurrent "
    "neural networks, Neural Computation 25 (2013) 626-649. doi:10.1162/NECO_a_00409",
    "levenberg": "D. W. Marquardt, An algorithm for least-squares estimation of nonlinear parameters, SIAM Journal on "
    "Applied Mathematics 11 (1963) 431-441. doi:10.1137/0111030",
    "chow": "S. N. Chow, J. Mallet-Paret and J. A. Yorke, Finding zeroes of maps: homotopy methods that are "
    "constructive "
    "with probability one, Mathematics of Computation 32 (1978) 887-899. doi:10.1090/S0025-5718-1978-0492046-9",
    "chao": "A. Chao, Estimating the population size for capture-recapture data with unequal catchability, "
    "Biometrics 43 "
    "(1987) 783-791. doi:10.2307/2531532",
    "brown": "R. F. Brown, The Lefschetz Fixed Point Theorem, Scott, Foresman and Company, 1971.",
    "henrici": "P. Henrici, Bounds for iterates, inverses, spectral variation and fields of values of non-normal "
    "matrices, "
    "Numerische Mathematik 4 (1962) 24-40. doi:10.1007/BF01386294",
    "benettin": "G. Benettin, L. Galgani, A. Giorgilli and J.-M. Strelcyn, Lyapunov characteristic exponents for "
    "smooth "
    "dynamical systems, Meccanica 15 (1980) 9-30. doi:10.1007/BF02128236",
    "engelken": "R. Engelken, F. Wolf and L. F. Abbott, Lyapunov spectra of chaotic recurrent neural networks, "
    "Physical "
    "Review Research 5 (2023) 043044. doi:10.1103/PhysRevResearch.5.043044",
    "ginelli": "F. Ginelli, P. Poggi, A. Turchi, H. Chaté, R. Livi and A. Politi, Characterizing dynamics with "
    "covariant Lyapunov vectors, Physical Review Letters 99 (2007) 130601. doi:10.1103/PhysRevLett.99.130601",
    "pascanu": "R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural networks, "
    "ICML 2013, "
    "arXiv:1211.5063.",
    "stewart": "G. W. Stewart, On graded QR decompositions of products of matrices, Electronic Transactions on "
    "Numerical "
    "Analysis 5 (1997) 29-47.",
}


def methods_of(study: Study, version: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Paragraphs with [n] citations, and the references they cite, in order of appearance."""
    found = study.fixed_points
    order: list[str] = []

    def cite(*names: str) -> str:
        for name in names:
            if name not in order:
                order.append(name)
        return "[" + ", ".join(str(order.index(name) + 1) for name in names) + "]"

    paragraphs = [
        f"The network was analysed as a discrete-time dynamical system with dynsys {version}, in double precision. "
        "Fixed "
        f"points {cite('sussillo')} were located by the Levenberg-Marquardt method {cite('levenberg')} on "
        f"$|F(x)-x|^2$ with exact Jacobians, from {found.n_starts} points drawn uniformly from the reachable box (seed "
        f"{found.seed}), from states visited by the network, and from mixtures of the points found, then polished by "
        f"Newton's method.{_paths(found, cite)} A point was accepted if $\\max_i|F(x)_i-x_i| \\le "
        f"{_latex_small(found.tol)}\\,(1+\\max|x|)$ and "
        "its first-order distance to the true point was below $10^{-6}\\,(1+\\max|x|)$.",
        "Completeness was assessed by the bias-corrected Chao1 estimator on the hits of the uniform starts "
        f"{cite('chao')} "
        "(a lower bound) and, where the map carries the box into its interior, by the fixed-point index "
        f"{cite('brown')}. "
        "Stability was decided from the multipliers against their own error bounds; a multiplier within its error "
        "of the "
        f"unit circle is called undecided. Departure from normality is after Henrici {cite('henrici')}.",
    ]
    if study.lyapunov is not None:
        ly = study.lyapunov
        paragraphs.append(
            f"Lyapunov exponents were computed by the discrete QR method {cite('benettin', 'engelken')} over "
            f"{ly.steps} "
            f"steps after {ly.discard} discarded ({ly.drive}), with standard errors from batch means, and checked "
            "against "
            "the mean log-determinant and a second random frame."
        )
    if study.covariant is not None:
        paragraphs.append(
            f"Covariant Lyapunov vectors were computed by the method of Ginelli et al. {cite('ginelli')} over "
            f"{study.covariant.steps} steps, {study.covariant.discard} before and {study.covariant.align} after them "
            "for the directions to settle, and checked against a second pair of random frames."
        )
    if study.gradients is not None:
        paragraphs.append(
            f"Gradient propagation {cite('pascanu')} was measured by the singular values of products of Jacobians, "
            "kept as "
            f"graded triangular factors {cite('stewart')} so that none under- or overflows. The memory horizon is the "
            "largest lag at which the largest singular value is at least 0.01."
        )
    return tuple(paragraphs), tuple(REFERENCES[name] for name in order)


def _paths(found: FixedPoints, cite: Callable[..., str]) -> str:
    ways = {"continuation path": "from random states", "branch of a found point": "along branches of points found"}
    used = [words for origin, words in ways.items() if origin in found.points.found_by]
    return f" Further points were reached by continuation {' and '.join(used)} {cite('chow')}." if used else ""


def _latex_small(value: float) -> str:
    mantissa, exponent = f"{value:.0e}".split("e")
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else f"{mantissa} \\times {power}"
