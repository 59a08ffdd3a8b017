"""The verdict: the whole report in one sentence."""

from __future__ import annotations

from dynsys.reporting.document import Finding
from dynsys.reporting.findings_on_cycles import stable_text
from dynsys.reporting.study import Study
from dynsys.reporting.wording import percent, with_error


def verdict_of(study: Study, findings: tuple[Finding, ...]) -> str:
    """One sentence: what the network is, and how its gradients and orbits behave."""
    where = " at the given input" if study.fixed_points.input.any() else " at zero input"
    where = where if study.f.input_size else ""
    ids = {finding.id for finding in findings}
    parts = [_points_verdict(study, where, ids)]
    if study.manifolds:
        widest = study.manifolds[0]
        parts.append(f"a slow {widest.kind} ({percent(widest.relative_extent)} of the box)")
    if "stable-cycles" in ids:
        stable = stable_text(study.cycles)
        resting = {"attractor", "undecided"} & set(study.fixed_points.points.kinds)
        if stable and not resting:
            parts.append("no stable fixed point")
        parts.append(stable or "part of the state space ends in cycles")
    parts += _moving(study)
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
    if "replay-differs" in ids:
        parts.insert(0, "the recorded states are NOT reproduced, so what follows may be about another network")
    sentence = "; ".join(parts) + "."
    return sentence[0].upper() + sentence[1:]


def _moving(study: Study) -> list[str]:
    """Which share of orbits ends on sets without a period, or runs off."""
    said = []
    away = study.attractors.unbounded
    if away:
        said.append(("every orbit runs" if away == 1.0 else f"{percent(away)} of orbits run") + " off to infinity")
    for kind, one, many in (
        ("invariant circle", "an invariant circle", "invariant circles"),
        ("invariant torus", "an invariant torus", "invariant tori"),
        ("chaos", "a chaotic set", "chaotic sets"),
    ):
        share, count = study.attractors.share(kind), study.attractors.kinds.count(kind)
        if count:
            who = "every orbit ends" if share == 1.0 else f"{percent(share)} of orbits end"
            said.append(f"{who} on {one if count == 1 else f'one of {count} {many}'}")
    return said


def _points_verdict(study: Study, where: str, ids: set[str]) -> str:
    points = study.fixed_points.points
    attractors = points.kinds.count("attractor")
    if "unresolved-fixed-points" in ids:
        return f"fixed points{where} that cannot be told apart (a continuum, or a bifurcation)"
    if not len(points):
        return f"no fixed point found{where}"
    settle = "all-orbits-settle" in ids
    if len(points) == 1:
        kind = "stable" if attractors else f"{'' if points.kinds[0] == 'undecided' else 'a '}{points.kinds[0]}"
        return f"1 fixed point{where}, {kind}" + ("; every orbit comes to rest there" if settle else "")
    said = f"{len(points)} fixed points{where}, {attractors} of them stable"
    ends = "there" if attractors == 1 else "at one of the stable ones"
    return said + (f"; every orbit comes to rest {ends}" if settle else "")
