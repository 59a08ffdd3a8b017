"""From a study to what a reader should know: ranked findings, each with its number, its error, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dynsys.reporting import (
    findings_on_attractors,
    findings_on_points,
    findings_on_remedies,
    findings_on_spectra,
    findings_on_time,
    findings_on_worst_case,
)
from dynsys.reporting.document import Finding, Severity
from dynsys.reporting.findings_on_cycles import cycle_findings
from dynsys.reporting.study import Study
from dynsys.reporting.wording import small
from dynsys.trials import SAME_REPLAY

RANK: dict[Severity, int] = {"critical": 0, "warning": 1, "info": 2, "good": 3}


def findings_of(study: Study) -> tuple[Finding, ...]:
    """All findings, gravest first; within a severity in the order of the report."""
    found = [finding for rule in RULES for finding in rule(study)]
    return tuple(sorted(findings_on_remedies.tied(found, study), key=lambda finding: RANK[finding.severity]))


def _replayed(study: Study) -> Iterator[Finding]:
    if study.replay is None or study.trials is None:
        return
    good = study.replay <= SAME_REPLAY
    yield Finding(
        id="replay-agrees" if good else "replay-differs",
        severity="good" if good else "critical",
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
    """The notes as sentences; a name such as readout.weight keeps its small letter."""

    def sentence(note: str) -> str:
        named = any(mark in note.split(maxsplit=1)[0] for mark in "._")
        return (note if named else note[0].upper() + note[1:]) + ("" if note.endswith(".") else ".")

    return " ".join(sentence(note) for note in notes)


RULES: tuple[Callable[[Study], Iterator[Finding]], ...] = (
    _replayed,
    findings_on_points.portrait,
    findings_on_points.resting,
    findings_on_points.completeness,
    findings_on_points.stalled,
    findings_on_points.undecided,
    findings_on_points.slow_modes,
    findings_on_attractors.manifolds,
    findings_on_points.slow_points,
    findings_on_points.settling,
    findings_on_attractors.moving,
    findings_on_attractors.cross_check,
    findings_on_attractors.borders,
    findings_on_points.transients,
    findings_on_time.continuous_time,
    cycle_findings,
    findings_on_spectra.exponents,
    findings_on_spectra.exploding,
    findings_on_spectra.reach,
    findings_on_worst_case.contraction,
    findings_on_remedies.remedies,
    _notes,
)
