"""The finding that no input can keep gradients alive."""

from __future__ import annotations

from collections.abc import Iterator

from dynsys.reporting.document import Finding
from dynsys.reporting.study import Study
from dynsys.reporting.wording import number


def contraction(study: Study) -> Iterator[Finding]:
    """That every step contracts, for all inputs in the range of the trials."""
    found = study.worst_case
    if found is None or found.vanishing != "guaranteed":
        return
    bound = min(found.bound, *([] if found.scaled_bound is None else [found.scaled_bound]), found.bound)
    yield Finding(
        id="contracts-for-all-inputs",
        severity="info",
        title="Every step contracts, whatever the inputs",
        value=bound,
        uncertainty=None,
        shown=f"differences shrink to at most {number(bound, 3)} of their size at every step",
        method=f"{found.bound_method}, over {found.box_origin}; rounding is allowed for.",
        meaning=(
            "For inputs within the range of the trials, all states converge to one response, and every gradient "
            "vanishes: nothing can be remembered for long. Proven, not only measured."
        ),
        advice="If the task needs memory, raise the recurrent gain or open the gates; else nothing to do.",
        section="gradients",
    )
