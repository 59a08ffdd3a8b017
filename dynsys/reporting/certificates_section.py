"""What is proven about the fixed points, as a section of a report."""

from __future__ import annotations

from dynsys.fixed_points import FixedPoints
from dynsys.proofs.certificates import Certificates
from dynsys.reporting.document import Block, Paragraph, Section, Table
from dynsys.reporting.wording import multiplier, plural, small

MOST_ROWS = 60


def certificates_section(result: Certificates | None, found: FixedPoints) -> Section | None:
    """The proofs, point by point, and what they speak of."""
    if result is None or not len(result):
        return None
    counts = ", ".join(f"{count} {name}" for name, count in result.counts.items() if count)
    whole = (
        " It is also proven, by bisection of the whole box, that there are no others."
        if found.completeness.proven
        else " A proof speaks of the points listed, not of points that may be missing."
    )
    blocks: list[Block] = [
        Paragraph(
            f"Of {plural(len(result), 'fixed point')}: {counts}. Proven means: within the first distance of the state "
            "that was found there is a true fixed point, and within the second there is no other (by Krawczyk's "
            "operator in interval arithmetic, all rounding accounted for). The multipliers of the true point lie in "
            "discs of the radius given; the column “unstable” counts those proven to be outside the unit circle."
            + whole
        ),
        Paragraph(result.statement),
        Table(
            caption="What is proven about each fixed point",
            header=("#", "status", "exists within", "alone within", "stability", "unstable", "multiplier", "radius"),
            rows=tuple(_row(result, i) for i in range(min(len(result), MOST_ROWS))),
            align="rlrrlrrr",
            note="Distances are in the largest coordinate, in the model's own units. The multiplier is the largest."
            + (f" {len(result) - MOST_ROWS} more are in report.json." if len(result) > MOST_ROWS else ""),
        ),
    ]
    reasons = [f"{i + 1}: {reason}" for i, reason in enumerate(result.reasons[:MOST_ROWS]) if reason]
    if reasons:
        blocks.append(Paragraph("Not proven: " + "; ".join(reasons) + "."))
    return Section("certificates", "Proofs", tuple(blocks))


def _row(result: Certificates, i: int) -> tuple[str, ...]:
    proven = result.status[i] == "proven"
    count = int(result.n_unstable[i])
    return (
        str(i + 1),
        result.status[i],
        small(result.radius[i]) if proven else "",
        small(result.uniqueness[i]) if proven else "",
        result.stability[i],
        str(count) if count >= 0 else "",
        multiplier(complex(result.multipliers[i, 0])) if proven else "",
        small(float(result.multiplier_radii[i].max())) if proven else "",
    )
