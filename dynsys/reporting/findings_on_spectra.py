"""Findings on Lyapunov exponents and gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from dynsys.bare import bare
from dynsys.function_maps import FunctionMap
from dynsys.reporting.document import Finding
from dynsys.reporting.study import Study
from dynsys.reporting.wording import number, plural, small, steps, with_error

LOST_GRADIENT = 0.25  # share of the trial below which a horizon is worth a warning


EXPLODING = (1e2, 1e6)  # gains worth a warning, and critical


def exponents(study: Study) -> Iterator[Finding]:
    """The regime that the largest exponent shows, as far as the data bear it."""
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


def exploding(study: Study) -> Iterator[Finding]:
    """Whether some gradients grow out of all proportion."""
    result = study.gradients
    if result is None:
        return
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


def reach(study: Study) -> Iterator[Finding]:
    """How far gradients reach; where they explode, that they also reach far is no good news."""
    result = study.gradients
    if result is None:
        return
    longest, horizon = int(result.lags[-1]), result.horizon
    largest = result.log_singular_values[:, 0]
    if horizon is None and float(largest.max()) > math.log(EXPLODING[0]):
        return
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
            else "Expected of a system that settles; nothing to do unless it is meant to remember."
            if isinstance(bare(study.f), FunctionMap)
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
