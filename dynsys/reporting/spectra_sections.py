"""The sections on Lyapunov exponents and on gradients."""

from __future__ import annotations

import math

import numpy as np

from dynsys.covariant import CovariantVectors
from dynsys.gradients import GradientSpectrum
from dynsys.reporting.document import Block, Figure, Paragraph, Section, Table
from dynsys.reporting.gates import gates_text
from dynsys.reporting.study import WORST_TRIALS, Study
from dynsys.reporting.wording import minus, number, plural, small, with_error
from dynsys.reporting.worst_case_text import worst_case_text


def lyapunov_section(study: Study, figures: dict[str, Figure]) -> Section:
    """Exponents of the drive, with what checks them, beside those of single trials."""
    result = study.lyapunov
    if result is None:
        return Section(
            "lyapunov", "Lyapunov exponents", (Paragraph("Not available: " + "; ".join(study.failures) + "."),)
        )
    orders = len(result.by_sequence)
    drive = (
        f"the {plural(study.trials.count, 'trial')} run one after the other without reset"
        + (f", in {orders} orders" if orders > 1 else "")
        if study.trials
        else "the constant input of the search"
    )
    residual = (
        "not available, as not all exponents were computed"
        if result.residual is None
        else f"{small(result.residual)} nats/step"
    )
    text = (
        f"Measured along {drive}: {result.steps} steps after {result.discard} discarded. Largest exponent "
        f"{with_error(float(result.exponents[0]), float(result.standard_errors[0]))} nats/step"
        + (f" (standard deviation over the orders {small(float(result.spread[0]))})" if orders > 1 else "")
        + ". The exponents must add up to "
        f"the mean of $\\ln|\\det J|$: the residual is {residual}. "
        f"Two random frames agree to $10^{{-6}}$ on the leading {result.trusted} of {result.k}."
    )
    facts = []
    if result.kaplan_yorke is not None:
        facts.append(f"Kaplan-Yorke dimension {number(result.kaplan_yorke, 3)}")
    if result.entropy is not None:
        facts.append(f"sum of positive exponents {number(result.entropy, 3)} nats/step")
    if facts:
        text += " " + "; ".join(facts) + "."
    blocks: list[Block] = [Paragraph(text)]
    if study.trials is not None and study.gradients is not None:
        blocks.append(Paragraph(_finite_time(study.gradients)))
    if "exponents" in figures:
        blocks.append(figures["exponents"])
    blocks += [Paragraph(note[0].upper() + note[1:] + ".") for note in result.notes]
    if study.covariant is not None:
        blocks.append(Paragraph(_covariant(study.covariant)))
        blocks += [figures["covariant-angles"]] if "covariant-angles" in figures else []
    return Section("lyapunov", "Lyapunov exponents", tuple(blocks))


def _covariant(found: CovariantVectors) -> str:
    """How near to each other growing and shrinking directions come."""
    text = (
        "Covariant vectors, the directions that grow at each exponent's rate at every state, were found over "
        f"{plural(found.steps, 'step')} of the same drive. "
    )
    spread = found.splitting_quantiles
    if spread is None:
        text += "None of those that are known grows, or none shrinks, so there is no angle between the two. "
    else:
        text += (
            f"Between the {found.n_expanding} that grow and the {found.n_contracting} that shrink the angle is "
            f"{number(spread[0], 2)} or more (median {number(spread[2], 2)}, 90 % of the steps from "
            f"{number(spread[1], 2)} to {number(spread[3], 2)} radians): near zero the orbit is not hyperbolic. "
        )
    unknown = int((~found.determined).sum())
    if unknown:
        text += f"{plural(unknown, 'vector')} of {found.k} could not be told from a neighbour of nearly the same rate. "
    return text.strip()


def _nats(value: float, digits: int = 3) -> str:
    return minus(f"{value:.{digits}f}") if math.isfinite(value) else number(value)


def _finite_time(result: GradientSpectrum) -> str:
    """The exponents of single trials, which are another thing than those of an endless drive."""
    lag = int(result.lags[-1])
    each = result.by_start[:, -1, 0] / lag
    spread = float(np.std(each, ddof=1)) if len(each) > 1 and np.isfinite(each).all() else math.nan
    said = f"{number(float(each.mean()), 3)} nats/step"
    said += f", standard deviation {number(spread, 2)}" if math.isfinite(spread) else ""
    return (
        f"Finite-time exponent of single trials, as they are (own start, {plural(lag, 'step')}, nothing discarded): "
        "largest "
        f"{said} over {plural(len(each), 'trial')}. It contains the transient growth that the average above leaves "
        "out; the "
        "two may even differ in sign."
    )


def gradients_section(study: Study, figures: dict[str, Figure]) -> Section:
    """Singular values by lag, time constants of gates, and what no inputs can exceed."""
    result = study.gradients
    title = "Gradients by lag"
    if result is None:
        return Section("gradients", title, (Paragraph("Not available: " + "; ".join(study.failures) + "."),))
    start = (
        f"the first {len(result.by_start)} trials, each from its own start"
        if study.trials
        else "one orbit at the constant input"
    )
    blocks: list[Block] = [
        Paragraph(
            "The singular values of $P_\\tau = J_\\tau \\cdots J_1$ say how much a difference of states is "
            "stretched over "
            f"$\\tau$ steps, and a gradient on its way back. Mean of their logarithms over {start}."
        )
    ]
    if "gains" in figures:
        blocks.append(figures["gains"])
    if study.gate_times is not None:
        blocks.append(Paragraph(gates_text(study.gate_times)))
    if "gates" in figures:
        blocks.append(figures["gates"])
    if study.worst_case is not None and study.trials is not None:
        blocks.append(Paragraph(worst_case_text(study.worst_case, min(study.trials.count, WORST_TRIALS))))
    chosen = sorted({0, *range(0, len(result.lags), max(1, len(result.lags) // 8)), len(result.lags) - 1})
    rows = []
    for i in chosen:
        values = result.log_singular_values[i]
        finite = values[np.isfinite(values)]
        over_starts = result.by_start[:, i, 0]
        spread = f"{np.std(over_starts):.3f}" if np.isfinite(over_starts).all() else "–"
        rows.append(
            (
                str(result.lags[i]),
                _nats(values[0]),
                spread,
                minus(f"{np.median(finite):.3f}") if len(finite) else "–",
                minus(f"{finite[-1]:.3f}") if len(finite) else "–",
                _nats(values[0] / result.lags[i], 4),
                str(result.lost[i]),
                f"{result.trusted[i]} of {result.n}",
            )
        )
    blocks.append(
        Table(
            caption="Log gains in nats by lag.",
            header=("lag", "largest", "spread over starts", "median", "least", "largest per step", "−∞", "trusted"),
            rows=tuple(rows),
            align="rrrrrrrr",
            note=(
                "Largest per step: the finite-time exponent over that lag. −∞: directions lost exactly. Trusted: "
                "leading "
                "values on which two frames agree to 10⁻⁶ nats."
            ),
        )
    )
    return Section("gradients", title, tuple(blocks))
