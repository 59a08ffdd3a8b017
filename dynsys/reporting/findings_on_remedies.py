"""Findings on what would help training, and what they have to say to other findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from dynsys.reporting.document import Finding
from dynsys.reporting.study import Study
from dynsys.reporting.wording import even
from dynsys.treatment.remedy import Remedy

TIED = {
    "vanishing-gradients": (
        "forget-bias", "forget-bias-single", "forget-bias-start", "output-bias", "h-detach", "orthogonal-weights",
        "identity-relu", "unsaturate", "layer-norm", "residual-connections",
    ),
    "exploding-gradients": ("clip-gradients", "critical-gain", "clip-singular-values"),
    "chaotic": ("critical-gain", "force-sparsely"),
    "expanding": ("critical-gain",),
    "transient-growth": ("clip-singular-values",),
    "critical-within-error": ("floss",),
}  # fmt: skip
"""Which remedies answer which finding."""
METHOD = "Each change made on a copy of the network, predicted by a formula, and measured again."


def remedies(study: Study) -> Iterator[Finding]:
    """How many changes were tried, and whether the predictions held."""
    result = study.remedies
    if result is None:
        return
    held = [r for r in result if r.agrees]
    missed = [r for r in result if not r.agrees]
    if not len(result):
        yield Finding(
            id="nothing-to-change",
            severity="good",
            title="No measurement asks for a change of training",
            value=0,
            uncertainty=None,
            shown="",
            method=f"{len(result.healthy)} rules, each with its measurement and threshold.",
            meaning="Gradients, gates and weights are as they should be for memory over the length of a trial.",
            advice="Nothing to do.",
            section="remedies",
        )
    if held:
        count = "1 change" if len(held) == 1 else f"{len(held)} changes"
        yield Finding(
            id="remedies",
            severity="info",
            title=f"{count} would help further training, measured on a copy",
            value={r.id: [r.before, r.predicted, r.after] for r in held},
            uncertainty={r.id: r.tolerance for r in held},
            shown="; ".join(_named(r) for r in held[:3]) + (" …" if len(held) > 3 else ""),
            method=METHOD,
            meaning="What was predicted for these changes is what they did.",
            advice="Nothing for a finished network. Before further training, take those that the task needs.",
            section="remedies",
        )
    if missed:
        yield Finding(
            id="remedy-not-as-predicted",
            severity="info",
            title="A change did not do what was predicted for it",
            value={r.id: [r.before, r.predicted, r.after] for r in missed},
            uncertainty={r.id: r.tolerance for r in missed},
            shown="; ".join(_named(r) for r in missed),
            method=METHOD,
            meaning="The rule behind the prediction leaves out something that matters in this network.",
            advice="Do not rely on this change without trying it.",
            section="remedies",
        )


def tied(findings: list[Finding], study: Study) -> list[Finding]:
    """The findings, with the remedy that was tried where one answers them."""
    found = {} if study.remedies is None else {r.id: r for r in study.remedies}
    return [_with_remedy(finding, [found[i] for i in TIED.get(finding.id, ()) if i in found]) for finding in findings]


def _with_remedy(finding: Finding, answers: list[Remedy]) -> Finding:
    if not answers:
        return finding
    said = " ".join(
        f"Tried on a copy: {r.title[0].lower()}{r.title[1:]}: {_shown(r)} ({'' if r.agrees else 'not '}as predicted)."
        for r in answers[:1]
    )
    return dataclasses.replace(finding, advice=f"{finding.advice} {said}")


def _named(remedy: Remedy) -> str:
    return f"{remedy.title[0].lower()}{remedy.title[1:]}: {_shown(remedy)}"


def _shown(remedy: Remedy) -> str:
    return f"{remedy.quantity} {even(remedy.before)} → {even(remedy.after)}"
