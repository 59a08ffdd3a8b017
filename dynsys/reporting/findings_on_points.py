"""Findings on fixed points: which there are, what may be missing, where orbits end, how they are left."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from dynsys.basins import wilson
from dynsys.reporting.document import Finding
from dynsys.reporting.figures import state_speeds
from dynsys.reporting.study import Study
from dynsys.reporting.wording import number, percent, plural, small

STRONG_GROWTH = 10.0  # transient amplification worth a warning


LINGERING = 0.1  # share of the median speed of visited states below which a slow point is worth a finding


def portrait(study: Study) -> Iterator[Finding]:
    """Which fixed points there are, and what the network can hold at them."""
    result = study.fixed_points
    points = result.points
    kinds = {kind: points.kinds.count(kind) for kind in ("attractor", "saddle", "repeller", "undecided")}
    attractors = kinds["attractor"]
    said = ", ".join(
        plural(count, kind) if kind != "undecided" else f"{count} undecided" for kind, count in kinds.items() if count
    )
    if len(points):
        yield Finding(
            id="fixed-points",
            severity="info",
            title=f"{plural(len(points), 'fixed point')}: {said}",
            value=len(points),
            uncertainty=None,
            shown=f"residuals ≤ {small(float(points.residuals.max()))}, errors ≤ {small(float(points.errors.max()))}",
            method=result.method,
            meaning=_memory(attractors, study),
            advice="Nothing to do."
            if attractors < 2
            else (
                "Read the saddles as the decision boundaries between memories; their unstable modes show what tips "
                "a decision."
            ),
            section="fixed-points",
        )


def resting(study: Study) -> Iterator[Finding]:
    """Whether there is any resting state, and whether it can be told from its neighbours."""
    result = study.fixed_points
    points = result.points
    if unresolved(study):
        yield Finding(
            id="unresolved-fixed-points",
            severity="warning",
            title="Fixed points that cannot be told apart: a continuum, or a bifurcation",
            value=result.rejected,
            uncertainty=None,
            shown=f"{result.rejected} searches ended at such states"
            + (f", {percent(study.basins.resting)} of orbits rest there" if study.basins.resting else ""),
            method="States whose residual vanishes while I − J is singular, so that their position is not determined.",
            meaning=(
                "Either every state along a line or larger set is its own fixed point, and a number of points would "
                "only count the starts; or one point is just being born, or changing its stability."
            ),
            advice=(
                "Look at the modes whose multiplier is 1: they span the continuum. A tiny change of weights breaks it."
            ),
            section="fixed-points",
        )
    elif not {"attractor", "undecided"} & set(points.kinds):
        yield Finding(
            id="no-stable-fixed-point",
            severity="warning",
            title="No stable fixed point was found",
            value=0,
            uncertainty=None,
            shown="0 attractors" + (f" among {len(points)}" if len(points) else ""),
            method=result.method,
            meaning=(
                "At this input the network does not come to rest at any listed point: "
                + (
                    "every orbit that was followed runs off to infinity."
                    if study.attractors.unbounded == 1.0
                    else "it keeps its state in cycles, drifts, or moves chaotically."
                )
            ),
            advice="See where orbits end below, and the Lyapunov exponents; try another constant input with `--input`.",
            section="fixed-points",
        )


def plural_bits(bits: float) -> str:
    """ "1 bit", "2.58 bits"."""
    return f"{number(bits, 3)} bit" + ("" if bits == 1 else "s")


def unresolved(study: Study) -> bool:
    """Whether most searches that converged ended at states whose position the equations do not determine."""
    found = study.fixed_points
    return found.rejected > max(10, int(found.points.hits.sum()))


def _memory(attractors: int, study: Study) -> str:
    if attractors > 1:
        bits = math.log2(attractors)
        return (
            f"At this input the network can hold {attractors} states for ever ({plural_bits(bits)}). Every other "
            "fixed point is a watershed between them."
        )
    others = {a.kind for a in study.attractors.attractors} - {"fixed point"}
    if attractors == 1 and others:
        return f"One resting state; orbits also end elsewhere ({', '.join(sorted(others))}), see where orbits end."
    if attractors == 1:
        return "At this input the network forgets: every small perturbation returns to the one resting state."
    return "No resting state holds by itself at this input."


def completeness(study: Study) -> Iterator[Finding]:
    """What the search may have missed."""
    result = study.fixed_points
    c = result.completeness
    if c.index_passed is False:
        yield Finding(
            id="index-test-failed",
            severity="warning",
            title="The list of fixed points is wrong or incomplete",
            value=c.index_sum,
            uncertainty=None,
            shown=f"index sum {c.index_sum}, must be 1",
            method=(
                "Lefschetz-Hopf: over all fixed points in a box that the map carries into itself, the signs of "
                "det(I − J) add up to 1."
            ),
            meaning=(
                "At least one fixed point is missing, false, or counted twice, although the search went on when it "
                "saw this."
            ),
            advice="Raise `--starts`, and pass trials so that visited states are starts too.",
            section="fixed-points",
        )
    if c.estimate is not None and c.interval is not None and c.singletons:
        low, high = c.interval
        yield Finding(
            id="search-incomplete",
            severity="info",
            title=f"{plural(c.singletons, 'fixed point')} met by a single start only: there may be more",
            value=c.estimate,
            uncertainty=[low, high],
            shown=f"at least about {number(c.estimate, 3)} points ({number(low, 3)} to {number(high, 3)})",
            method=f"Bias-corrected Chao1 on the hits of {result.n_starts} uniform starts; a lower bound.",
            meaning="Points with small basins under this search were probably not all met.",
            advice="Raise `--starts` until no point is met only once.",
            section="fixed-points",
        )


def stalled(study: Study) -> Iterator[Finding]:
    """Whether most of the search led nowhere."""
    result = study.fixed_points
    if result.n_starts and result.stalled > result.n_starts // 2:
        yield Finding(
            id="most-starts-stalled",
            severity="info",
            title="Most starts of the search led nowhere",
            value=result.stalled,
            uncertainty=None,
            shown=(
                f"{result.stalled} starts stalled; {int(result.points.hits.sum())} of {result.n_starts} uniform "
                "ones arrived"
            ),
            method=result.method,
            meaning="A stalled start says nothing: fixed points that only such starts could reach are not excluded.",
            advice="Pass trials so that visited states are starts too, or raise `--starts`.",
            section="fixed-points",
        )


def undecided(study: Study) -> Iterator[Finding]:
    """Points whose stability is within rounding of the boundary."""
    points = study.fixed_points.points
    open_ = [i for i, kind in enumerate(points.kinds) if kind == "undecided"]
    if open_:
        distance = float(np.abs(np.abs(points.multipliers[open_]) - 1.0).min())
        yield Finding(
            id="stability-undecided",
            severity="warning",
            title=f"Stability of {plural(len(open_), 'fixed point')} is within rounding of the boundary",
            value=distance,
            uncertainty=float(points.multiplier_errors[open_].max()),
            shown=f"| |μ| − 1 | down to {small(distance)}",
            method="Multipliers against their own error: condition × (n ε |J| + change of J over the point's error).",
            meaning=(
                "The network sits at a bifurcation, or on a continuum of fixed points: a tiny change of weights "
                "decides."
            ),
            advice="Treat it as marginal; look for a line of slow points along the mode with multiplier 1.",
            section="stability",
        )


def slow_modes(study: Study) -> Iterator[Finding]:
    """Modes that take about as long as a trial to change: directions along which the network integrates."""
    points = study.fixed_points.points
    longest = study.trials.length if study.trials is not None else 100
    moduli = np.abs(points.multipliers)
    slow = np.abs(points.time_constants) >= max(10.0, 0.5 * longest)
    count = int(slow.sum())
    if not count:
        return
    open_ = slow & (np.abs(moduli - 1.0) <= 2.0 * points.multiplier_errors)  # to first order only
    growing = int((slow & ~open_ & (moduli > 1.0)).sum())
    k, i = np.unravel_index(int(np.abs(np.where(slow, moduli, 9.0) - 1.0).argmin()), moduli.shape)
    tau, modulus, error = points.time_constants[k, i], moduli[k, i], points.multiplier_errors[k, i]
    yield Finding(
        id="slow-modes",
        severity="info",
        title=f"{plural(count, 'slow mode')}: {_how_slow(count, growing, int(open_.sum()))}",
        value=float(tau),
        uncertainty=float(error * tau * tau),
        shown=f"slowest: |μ| = {modulus:.6f}, {_pace(float(tau), bool(open_[k, i]))}, at fixed point {k + 1}",
        method="Multipliers of the fixed points, τ = −1/ln |μ|.",
        meaning="Along such a mode the state hardly moves by itself: the network integrates there, close to a line or "
        "plane of resting states."
        + " What lies along a growing mode is not lost but driven away: it doubles in 0.69 |τ|."
        * (growing > 0),
        advice="See which inputs drive the mode and which outputs show it, in the section on what is integrated.",
        section="modes",
    )


def _how_slow(count: int, growing: int, open_: int) -> str:
    """What that many slow modes do, and for how long."""
    kinds = {"decaying": count - growing - open_, "growing": growing}
    there = [kind if n == count else f"{n} {kind}" for kind, n in kinds.items() if n]
    said = [f"{', '.join(there)}, by a factor e in half a trial or longer"] if there else []
    still = "" if open_ == count else f"{open_} "
    return "; ".join(said + [f"{still}neither decaying nor growing within rounding"] * (open_ > 0))


def _pace(tau: float, undecided: bool) -> str:
    """In how many steps a mode of this time constant decays, or grows."""
    if undecided:
        return "neither decay nor growth within rounding"
    if tau > 0:
        return f"decays by a factor e in {number(tau, 3)} steps"
    return f"grows by a factor e in {number(-tau, 3)} steps, doubles in {number(-tau * math.log(2), 3)}"


def slow_points(study: Study) -> Iterator[Finding]:
    """Where the state lingers without a fixed point."""
    slow = study.fixed_points.slow
    # A speed that is the same everywhere has minima too; a state lingers only where it is far below the usual speed.
    states = study.visited.reshape(-1, study.f.state_size)
    usual = state_speeds(study.f, states, study.fixed_points.input)
    on_sets = {i for manifold in study.manifolds for i in manifold.slow_points}
    alone = np.array([speed for i, speed in enumerate(slow.speeds) if i not in on_sets])
    if len(alone) and (not len(usual) or alone.min() < LINGERING * np.median(usual)):
        yield Finding(
            id="slow-points",
            severity="info",
            title=f"{plural(len(alone), 'slow point')}, where the state lingers without a fixed point",
            value=float(alone.min()),
            uncertainty=None,
            shown=f"speeds {number(float(alone.min()), 2)} to {number(float(alone.max()), 2)} per step",
            method="Local minima of |F(x) − x| that are not zero.",
            meaning="Trajectories slow down there: remains of fixed points that have vanished, or about to be born.",
            advice="Compare with the histogram of speeds: a slow point matters if visited states are about as slow.",
            section="fixed-points",
        )


def settling(study: Study) -> Iterator[Finding]:
    """Where orbits end."""
    basins = study.basins
    method = f"{basins.n_starts} uniform starts in the search box, followed for up to {basins.steps} steps."
    if basins.cycles:
        share = sum(basins.cycles.values())
        periods = ", ".join(f"period {p}: {percent(s)}" for p, s in basins.cycles.items())
        yield Finding(
            id="stable-cycles",
            severity="warning",
            title="Part of the state space ends in cycles, not at fixed points",
            value=share,
            uncertainty=None,
            shown=periods,
            method=method,
            meaning="A network can hold its memories in stable cycles; fixed points alone do not describe it.",
            advice="See the section on cycles for what they are and how stable they are.",
            section="attractors",
        )
    away = study.attractors.unbounded
    if away:
        yield Finding(
            id="orbits-diverge",
            severity="warning",
            title=f"{'Every orbit runs' if away == 1.0 else f'{percent(away)} of orbits run'} off to infinity",
            value=away,
            uncertainty=wilson(np.array(round(away * basins.n_starts)), basins.n_starts),
            shown=f"{round(away * basins.n_starts)} of {basins.n_starts} orbits passed 10⁸ in size",
            method=method,
            meaning="Nothing in the equations bounds the state, and from these starts it grows without end.",
            advice=(
                "Lower the recurrent weights or bound the activation, if the network is to run freely. Starts far "
                "from the states in use count too: `--box` says where to look."
            ),
            section="attractors",
        )
    unknown = study.attractors.share("unresolved")
    if unknown > 0:
        yield Finding(
            id="orbits-not-at-rest",
            severity="info",
            title=f"Where {percent(unknown)} of orbits end is not known after {basins.steps} steps",
            value=unknown,
            uncertainty=None,
            shown=f"{round(unknown * basins.n_starts)} of {basins.n_starts} orbits",
            method=method,
            meaning=_unknown_ends(study),
            advice="The reasons stand below the table of attractors.",
            section="attractors",
        )
    elif basins.at_rest == 1.0:
        counted = int((basins.fractions > 0).sum())
        yield Finding(
            id="all-orbits-settle",
            severity="good",
            title=f"Every orbit came to rest at {'the attractor' if counted == 1 else f'one of {counted} attractors'}",
            value=1.0,
            uncertainty=3.0 / basins.n_starts,
            shown=f"{basins.n_starts} of {basins.n_starts} orbits (≥ {percent(1 - 3 / basins.n_starts)} at 95 %)",
            method=method,
            meaning="The attractors in the table account for the long-run behaviour at this input.",
            advice="Nothing to do.",
            section="attractors",
        )


def _unknown_ends(study: Study) -> str:
    parts = [f"{percent(a.fraction)}: {a.note}" for a in study.attractors.attractors if a.kind == "unresolved"]
    return "; ".join(parts) + "."


def transients(study: Study) -> Iterator[Finding]:
    """How much stable states amplify before they forget."""
    points = study.fixed_points.points
    stable = [(g.peak, g.at or 0) for g, kind in zip(study.growth, points.kinds, strict=True) if kind == "attractor"]
    if not stable:
        return
    peak, at = max(stable)
    if peak > 2.0:
        yield Finding(
            id="transient-growth",
            severity="warning" if peak > STRONG_GROWTH else "info",
            title=f"Perturbations of a stable state grow {number(peak, 3)} times before they die",
            value=peak,
            uncertainty=None,
            shown=f"max |Jᵏ| = {number(peak, 3)} at k = {at}",
            method="Spectral norm of the powers of J at each attractor.",
            meaning=(
                "The Jacobian is far from normal: eigenvalues inside the circle do not tell the whole story; noise "
                "and rounding are amplified."
            ),
            advice=(
                "If this is not wanted, clip the largest singular values of the recurrent weights, or train with "
                "an orthogonality penalty."
            ),
            section="stability",
        )
