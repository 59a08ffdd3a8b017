"""How composed maps are put together, in LaTeX."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dynsys.maps import Map
from dynsys.readings.notation import RENAMED, STANDARD

ACTIVATED = {"sigmoid": r"\sigma", "identity": ""}


def function_equations(name: str, readout: Any) -> tuple[str, ...]:
    """Equations that define a readout `name`, one per stage; none for a stage that is given as code."""
    stages = readout.stages
    lines = []
    for k, stage in enumerate(stages):
        symbol = name if len(stages) == 1 else f"{name}_{{{k + 1}}}"
        body = r"\mathbf{V} \mathbf{z} + \mathbf{c}" if readout.V is not None else _dense(stage)
        lines += [rf"{symbol}(\mathbf{{z}}) = {body}"] if body else []
    if len(stages) > 1:
        whole = " ".join(rf"{name}_{{{k + 1}}} \circ" for k in reversed(range(len(stages))))
        lines.insert(0, f"{name} = {whole.removesuffix('circ').removesuffix(chr(92)).rstrip()}")
    return tuple(lines)


def _dense(stage: Any) -> str:
    """The right-hand side of a `cells.Dense`; empty for anything else."""
    if not all(hasattr(stage, name) for name in ("W", "b", "V", "activation", "residual")):
        return ""
    inside = r"\mathbf{W} \mathbf{z}" + (r" + \mathbf{b}" if stage.b.any() else "")
    label = ACTIVATED.get(stage.activation, RENAMED.get(stage.activation))
    if label is None:
        known = stage.activation in STANDARD
        label = f"\\{stage.activation}" if known else rf"\operatorname{{{stage.activation.replace('_', '')}}}"
    body = f"{label}({inside})" if label else inside
    if stage.V is not None:
        body = rf"\mathbf{{V}} {body}" if label else rf"\mathbf{{V}} ({inside})"
    if stage.residual:
        body = (r"\mathbf{z}" if stage.residual == 1 else rf"{stage.residual:g}\,\mathbf{{z}}") + f" + {body}"
    return body


def compositions(f: Map) -> Iterator[Map]:
    """The maps that say how their parts are put together, from the outside in; each kind of wiring once."""
    seen: set[tuple[str, ...]] = set()

    def walk(g: Map) -> Iterator[Map]:
        if g.wiring and g.wiring not in seen:
            seen.add(g.wiring)
            yield g
        for part in g.parts:
            yield from walk(part)

    return walk(f)
