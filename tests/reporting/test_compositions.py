"""How composed maps are put together is said in every report: the equations compile, and name what is in use."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import cells
import dynsys
from dynsys.readings.symbols import equations
from dynsys.readings.wiring import compositions
from dynsys.reporting.typeset import to_mathml, to_typst

GRU = cells.GRU.random(2, 2)
DENSE = cells.Dense(W=np.ones((3, 2)), b=[1.0, 2.0, 3.0], V=np.ones((2, 3)), activation="sigmoid", residual=0.5)

MAPS: dict[str, tuple[Any, str]] = {
    "closed": (dynsys.close_loop(GRU, np.eye(2)), r"\mathbf{V} \mathbf{h}_{t-1} + \mathbf{c}"),
    "mixed": (dynsys.close_loop(GRU, DENSE, mixing=0.25), r"0.25\,(g(\mathbf{h}_{t-1})) + 0.75\,\mathbf{y}^{*}_{t-1}"),
    "stack": (dynsys.stack(GRU, cells.LSTM.random(2, 2)), r"\mathbf{h}^{(l-1)}_t"),
    "skips": (dynsys.stack(GRU, cells.LSTM.random(2, 4), skip=True), r"\begin{matrix}"),
    "deep": (dynsys.deepen(GRU, input=[DENSE, np.tanh], transition=DENSE), r"G(F(\mathbf{h}_{t-1}, I(\mathbf{x}_t)))"),
    "clocks": (dynsys.iterate(dynsys.clockwork(GRU, [1, 2]), 2), r"\begin{cases}"),
    "coupled": (dynsys.couple(GRU, GRU, links={(0, 1): np.eye(2)}), r"\mathbf{C}_{i j}"),
    "graph": (dynsys.over_graph(GRU, np.ones((3, 3)), message=(np.eye(2), [1.0, 1.0])), r"\mathbf{A}_{i j}"),
    "graph-by-rows": (dynsys.over_graph(GRU, np.ones((3, 3)), normalization="row+loops"), r"\mathbf{I})^{-1}"),
    "layers": (dynsys.iterate(dynsys.layers(DENSE, DENSE, (np.eye(2), [1.0, 1.0])), 3), r"\mathbf{h}_l"),
}


def compiled(source: str) -> None:
    typst = pytest.importorskip("typst")
    assert bytes(typst.compile(source.encode(), ignore_system_fonts=True, timestamp=0)).startswith(b"%PDF")


@pytest.mark.parametrize("name", MAPS)
def test_the_wiring_compiles_in_both_languages(name: str) -> None:
    f, part = MAPS[name]
    lines = [line for g in compositions(f) for line in g.wiring]
    assert any(part in line for line in lines), lines
    code = [to_typst(line, display=True) for line in lines]
    assert not any('"\\' in one for one in code), code  # a command it does not know is set as a quoted text
    compiled("\n".join(code))
    for line in lines:
        ElementTree.fromstring(to_mathml(line, display=True))


def test_a_dense_layer_is_printed_as_it_is() -> None:
    (whole,) = compositions(dynsys.layers(DENSE))
    assert whole.wiring[1] == (
        r"F_l(\mathbf{z}) = 0.5\,\mathbf{z} + \mathbf{V} \sigma(\mathbf{W} \mathbf{z} + \mathbf{b})"
    )


@pytest.mark.parametrize("cell", [cells.Jordan, cells.DeepTransition])
def test_the_equations_of_the_composed_cells_compile(cell: Any) -> None:
    lines = equations(cell.random(3, 2))
    assert len(lines) == 2
    compiled("\n".join(to_typst(line, display=True) for line in lines))


def test_a_report_says_how_the_parts_are_put_together() -> None:
    f = dynsys.couple(cells.Elman.random(2, 1), cells.GRU.random(2, 1), links={(1, 0): np.ones((1, 2))})
    made = dynsys.report(f, None, n_starts=16)
    model = made.document.sections[0]
    text = " ".join(getattr(b, "text", getattr(b, "latex", "")) for b in model.blocks)
    assert "Part 0: `Elman`" in text
    assert "Part 1: `GRU`" in text
    assert "update keeps-old" in text
    assert r"\mathbf{C}_{i j}" in text
