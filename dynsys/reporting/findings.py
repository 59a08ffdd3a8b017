"""From a study to what a reader should know: ranked findings, each with its number, its error, and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dynsys.reporting.document import Finding, Severity
from dynsys.reporting.figures import state_speeds
from dynsys.reporting.study import Study
from dynsys.reporting.wording import number, percent, plural, small, steps, with_error

RANK: dict[Severity, int] = {"critical": 0, "warning": 1, "info": 2, "good": 3}
STRONG_GROWTH = 10.0  # transient amplification worth a warning
LOST_GRADIENT = 0.25  # share of the trial below which a horizon is worth a warning
EXPLODING = (1e2, 1e6)  # gains worth a warning, and critical
SAME_REPLAY = 1e-4
LINGERING = 0.1  # share of the median speed of visited states below which a slow point is worth a finding


def findings_of(study: Study) -> tuple[Finding, ...]:
    """All findings, gravest first; within a severity in the order of the report."""
    found = [finding for rule in RULES for finding in rule(study)]
    return tuple(sorted(found, key=lambda finding: RANK[finding.severity]))


def _portrait(study: Study) -> Iterator[Finding]:
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
            advice=(
                "Read the saddles as the decision boundaries between memories; their unstable modes show what tips "
                "a decision."
            ),
            section="fixed-points",
        )
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
    elif not attractors and not kinds["undecided"]:
        yield Finding(
            id="no-stable-fixed-point",
            severity="warning",
            title="No stable fixed point was found",
            value=0,
            uncertainty=None,
            shown="0 attractors" + (f" among {len(points)}" if len(points) else ""),
            method=result.method,
            meaning=(
                "At this input the network does not come to rest at any listed point: it keeps its state in "
                "cycles, drifts, or moves chaotically."
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
    if attractors == 1:
        return "At this input the network forgets: every small perturbation returns to the one resting state."
    return "No resting state holds by itself at this input."


def _completeness(study: Study) -> Iterator[Finding]:
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


def _stalled(study: Study) -> Iterator[Finding]:
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


def _undecided(study: Study) -> Iterator[Finding]:
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


def _slow_points(study: Study) -> Iterator[Finding]:
    slow = study.fixed_points.slow
    # A speed that is the same everywhere has minima too; a state lingers only where it is far below the usual speed.
    states = study.visited.reshape(-1, study.f.state_size)
    usual = state_speeds(study.f, states, study.fixed_points.input)
    if len(slow) and (not len(usual) or slow.speeds.min() < LINGERING * np.median(usual)):
        yield Finding(
            id="slow-points",
            severity="info",
            title=f"{plural(len(slow), 'slow point')}, where the state lingers without a fixed point",
            value=float(slow.speeds.min()),
            uncertainty=None,
            shown=f"speeds {number(float(slow.speeds.min()), 2)} to {number(float(slow.speeds.max()), 2)} per step",
            method="Local minima of |F(x) − x| that are not zero.",
            meaning="Trajectories slow down there: remains of fixed points, or stretches of a slow manifold.",
            advice="Compare with the histogram of speeds: a slow point matters if visited states are about as slow.",
            section="fixed-points",
        )


def _settling(study: Study) -> Iterator[Finding]:
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
            advice="Analyse `dynsys.iterate(f, p)`: its fixed points are the cycles of period p.",
            section="fixed-points",
        )
    if basins.elsewhere > 0:
        yield Finding(
            id="orbits-not-at-rest",
            severity="info",
            title=f"{percent(basins.elsewhere)} of orbits were not at rest after {basins.steps} steps",
            value=basins.elsewhere,
            uncertainty=None,
            shown=f"{round(basins.elsewhere * basins.n_starts)} of {basins.n_starts} orbits",
            method=method,
            meaning="They approach slowly, run off, or move for ever (quasiperiodic or chaotic).",
            advice="The largest Lyapunov exponent tells these apart: see below.",
            section="fixed-points",
        )
    elif basins.at_rest == 1.0:
        counted = int((basins.fractions > 0).sum())
        yield Finding(
            id="all-orbits-settle",
            severity="good",
            title=f"Every orbit came to rest at one of {plural(counted, 'attractor')}",
            value=1.0,
            uncertainty=3.0 / basins.n_starts,
            shown=f"{basins.n_starts} of {basins.n_starts} orbits (≥ {percent(1 - 3 / basins.n_starts)} at 95 %)",
            method=method,
            meaning="The attractors in the table account for the long-run behaviour at this input.",
            advice="Nothing to do.",
            section="fixed-points",
        )


def _transients(study: Study) -> Iterator[Finding]:
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


def _exponents(study: Study) -> Iterator[Finding]:
    result = study.lyapunov
    if result is None:
        return
    first, error = float(result.exponents[0]), float(result.standard_errors[0])
    shown = f"λ₁ = {with_error(first, error)} nats/step"
    common: dict[str, Any] = {
        "value": first,
        "uncertainty": error,
        "shown": shown,
        "method": f"{result.method}; {result.drive}.",
        "section": "lyapunov",
    }
    if result.chaotic:
        yield Finding(
            id="chaotic",
            severity="warning",
            title="The dynamics are chaotic",
            meaning=(
                f"Nearby states part by a factor e every {number(1 / first, 3)} steps: no prediction, and no "
                "gradient, holds for long."
            ),
            advice=(
                f"Lower the recurrent gain, or re-force or truncate every ln 2 / λ₁ = {number(math.log(2) / first, 3)} "
                "steps."
            ),
            **common,
        )
    elif first + 2 * error < 0:
        yield Finding(
            id="contracting",
            severity="good",
            title="Under the same input, nearby states converge",
            meaning=(
                f"Small differences shrink by a factor e every {number(-1 / first, 3)} steps on average: the "
                "response withstands small noise." + _distant(study)
            ),
            advice="Nothing to do.",
            **common,
        )
    elif first - 2 * error > 0:
        yield Finding(
            id="expanding",
            severity="info",
            title="The largest exponent is positive, over too short a drive to call it chaos",
            meaning=(
                "Nearby orbits part on average along this drive. Fewer than 10 000 steps do not bear the word chaotic."
            ),
            advice="Run `dynsys lyapunov` with `--steps 20000`, or with more trials.",
            **common,
        )
    else:
        yield Finding(
            id="critical-within-error",
            severity="info",
            title="The largest exponent is zero within its error",
            meaning="Neither contraction nor expansion is established along this drive.",
            advice="Do nothing on the strength of this number; more steps narrow its error.",
            **common,
        )


def _distant(study: Study) -> str:
    """An exponent is local: with several attractors, far states may well end elsewhere."""
    several = study.fixed_points.points.kinds.count("attractor") > 1
    return " Distant states may end at different attractors all the same." if several else ""


def _gradient(study: Study) -> Iterator[Finding]:
    result = study.gradients
    if result is None:
        return
    longest = int(result.lags[-1])
    largest = result.log_singular_values[:, 0]
    peak = float(largest.max())
    if peak > math.log(EXPLODING[0]):
        at = int(result.lags[int(largest.argmax())])
        yield Finding(
            id="exploding-gradients",
            severity="critical" if peak > math.log(EXPLODING[1]) else "warning",
            title="Gradients explode",
            value=peak,
            uncertainty=None,
            shown=f"log gain {number(peak, 3)} nats at lag {at} (a factor {small(math.exp(min(peak, 700)))})",
            method=result.method,
            meaning=(
                "Some state differences, and the gradients that flow back along them, grow by this factor over the lag."
            ),
            advice="Clip gradient norms, lower the recurrent gain, or start from orthogonal recurrent weights.",
            section="gradients",
        )
    horizon = result.horizon
    if horizon is None and peak > math.log(EXPLODING[0]):
        return  # that gradients reach far is no good news then
    if horizon is None:
        yield Finding(
            id="gradients-reach",
            severity="good",
            title=f"Gradients reach over all {longest} steps",
            value=longest,
            uncertainty=None,
            shown=f"largest gain at lag {longest}: {number(math.exp(float(largest[-1])), 2)}",
            method=result.method,
            meaning="At least one direction of the state carries a gradient over the whole stretch.",
            advice="Nothing to do.",
            section="gradients",
        )
        return
    held = study.fixed_points.points.kinds.count("attractor") > 1
    vanishing = horizon < LOST_GRADIENT * longest
    bias = math.log(max(longest - 1, 1))
    yield Finding(
        id="vanishing-gradients",
        severity="info" if held or not vanishing else "warning",
        title=f"Gradients fade after {plural(horizon, 'step')} of {longest}",
        value=horizon,
        uncertainty=[_before(result.lags, horizon), _after(result.lags, horizon)],
        shown=(
            f"horizon {steps(horizon, study.step_duration)} (gain ≥ 1/100); measured at lags {horizon} and "
            f"{_after(result.lags, horizon)}"
        ),
        method=result.method,
        meaning="What happened earlier than that contributes less than a hundredth to the gradient through the state."
        + (
            " Memories held by attractors are robust for the same reason: they forget small differences."
            if held
            else ""
        ),
        advice=(
            "Expected in a trained network that holds memories in attractors; it matters only if you train it further."
            if held
            else f"For memory over {longest} steps start the forget (or update) gate bias near ln(T − 1) = "
            f"{number(bias, 3)}, or use orthogonal recurrent weights in an ungated network."
        ),
        section="gradients",
    )


def _before(lags: Any, horizon: int) -> int:
    earlier = [int(lag) for lag in lags if lag <= horizon]
    return earlier[-1] if earlier else 0


def _after(lags: Any, horizon: int) -> int:
    return next(int(lag) for lag in lags if lag > horizon)


def _replayed(study: Study) -> Iterator[Finding]:
    if study.replay is None or study.trials is None:
        return
    good = study.replay <= SAME_REPLAY
    yield Finding(
        id="replay-agrees" if good else "replay-differs",
        severity="good" if good else "warning",
        title="The recorded states are reproduced" if good else "The recorded states are NOT reproduced",
        value=study.replay,
        uncertainty=None,
        shown=f"largest deviation {small(study.replay)}",
        method=(
            f"All trials of {study.trials.origin} run through the loaded equations in float64, against the recorded "
            "`hidden`."
        ),
        meaning="The equations below are those of the trained network."
        if good
        else "The equations read from the file are not those that made the recordings: another convention, another "
        "initial state, or another file.",
        advice="Nothing to do." if good else "Check gate order and initial state before trusting the rest.",
        section="model",
    )


def _notes(study: Study) -> Iterator[Finding]:
    rough = [note for note in study.f.notes if "by differences" in note]
    others = [note for note in study.f.notes if "by differences" not in note]
    if rough:
        yield Finding(
            id="derivatives-by-differences",
            severity="warning",
            title="Derivatives are by finite differences",
            value=None,
            uncertainty=1e-10,
            shown="",
            method="Central differences, Richardson-extrapolated.",
            meaning=_sentences(rough),
            advice="Write the function with NumPy operations on columns.",
            section="model",
        )
    if others:
        yield Finding(
            id="model-note",
            severity="info",
            title="How the model was read",
            value=None,
            uncertainty=None,
            shown="",
            method="",
            meaning=_sentences(others),
            advice="Nothing to do if this is what you meant.",
            section="model",
        )
    for failure in study.failures:
        yield Finding(
            id="analysis-failed",
            severity="warning",
            title="One analysis could not be carried out",
            value=None,
            uncertainty=None,
            shown="",
            method="",
            meaning=failure,
            advice="The other parts of the report are not affected.",
            section="model",
        )


def _sentences(notes: list[str]) -> str:
    return " ".join(note[0].upper() + note[1:] + ("" if note.endswith(".") else ".") for note in notes)


RULES: tuple[Callable[[Study], Iterator[Finding]], ...] = (
    _portrait,
    _completeness,
    _stalled,
    _undecided,
    _slow_points,
    _settling,
    _transients,
    _exponents,
    _gradient,
    _replayed,
    _notes,
)


def verdict_of(study: Study, findings: tuple[Finding, ...]) -> str:
    """One sentence: what the network is, and how its gradients and orbits behave."""
    where = " at the given input" if study.fixed_points.input.any() else " at zero input"
    where = where if study.f.input_size else ""
    ids = {finding.id for finding in findings}
    parts = [_points_verdict(study, where, ids)]
    if "stable-cycles" in ids:
        parts.append("part of the state space ends in cycles")
    if study.lyapunov is not None:
        said = {
            "chaotic": "chaotic",
            "contracting": "contracting",
            "expanding": "expanding",
            "critical-within-error": "critical within error",
        }
        regime = next(said[i] for i in said if i in ids)
        drive = "driven dynamics" if study.trials else "dynamics"
        first = with_error(float(study.lyapunov.exponents[0]), float(study.lyapunov.standard_errors[0]))
        parts.append(f"{drive} {regime} (λ₁ = {first} nats/step)")
    if study.gradients is not None:
        horizon = study.gradients.horizon
        longest = int(study.gradients.lags[-1])
        reach = f"gradients reach {'all' if horizon is None else horizon} of {longest} steps"
        parts.append("gradients explode" if "exploding-gradients" in ids else reach)
    sentence = "; ".join(parts) + "."
    return sentence[0].upper() + sentence[1:]


def _points_verdict(study: Study, where: str, ids: set[str]) -> str:
    points = study.fixed_points.points
    attractors = points.kinds.count("attractor")
    if "unresolved-fixed-points" in ids:
        return f"fixed points{where} that cannot be told apart (a continuum, or a bifurcation)"
    if not len(points):
        return f"no fixed point found{where}"
    settle = "all-orbits-settle" in ids
    if len(points) == 1:
        kind = "stable" if attractors else points.kinds[0]
        return f"1 fixed point{where}, {kind}" + ("; every orbit comes to rest there" if settle else "")
    said = f"{len(points)} fixed points{where}, {attractors} of them stable"
    ends = "there" if attractors == 1 else "at one of the stable ones"
    return said + (f"; every orbit comes to rest {ends}" if settle else "")
