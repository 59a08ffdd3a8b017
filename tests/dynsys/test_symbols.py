"""The symbols reading: each cell's equations, as a lecturer would write them."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import cells
from cells._cell import Bias, Cell, InputWeights, RecurrentWeights
from dynsys.readings.symbols import equations


def filled(cell: type[Cell], **changes: Any) -> Cell:
    """A cell of 4 units and 2 inputs in which no parameter is zero."""
    generator = np.random.default_rng(0)
    plain = cell.random(hidden=4, inputs=2)
    values = {name: generator.normal(size=value.shape) for name, value in plain.parameters.items()}
    return dataclasses.replace(plain, **values, **changes)  # type: ignore[type-var]


def gate(letter: str, function: str = r"\sigma") -> str:
    """The textbook's line of a gate."""
    return (
        rf"\mathbf{{{letter}}}_t = {function}(\mathbf{{W}}_{{{letter}}} \mathbf{{x}}_t + "
        rf"\mathbf{{U}}_{{{letter}}} \mathbf{{h}}_{{t-1}} + \mathbf{{b}}_{{{letter}}})"
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Leaky(Cell):
    """A user's cell with a plain number among its fields."""

    U: RecurrentWeights
    W: InputWeights
    b: Bias
    alpha: float = 0.3

    def step(self, h: Any, x: Any) -> Any:
        drive = self.U @ h + self.W @ x - self.b
        return (1 - self.alpha) * h + self.alpha * np.tanh(drive)


@dataclass(frozen=True, kw_only=True, eq=False)
class Branching(Cell):
    """A step that no reading of the whole state space can follow."""

    U: RecurrentWeights

    def step(self, h: Any, x: Any) -> Any:
        return h if (h > 0).sum() > 2 else -h


@dataclass(frozen=True, kw_only=True, eq=False)
class Formula(Cell):
    """A cell whose step is given from outside, to read single expressions."""

    U: RecurrentWeights
    formula: Any = None

    def step(self, h: Any, x: Any) -> Any:
        return self.formula(self.U, h)


@pytest.mark.parametrize(
    ("activation", "before", "after"),
    [
        ("tanh", r"\tanh(", ")"),
        ("relu", r"\operatorname{relu}(", ")"),
        ("sigmoid", r"\sigma(", ")"),
        ("identity", "", ""),
    ],
)
def test_elman_is_one_line(activation: str, before: str, after: str) -> None:
    inner = r"\mathbf{W} \mathbf{x}_t + \mathbf{U} \mathbf{h}_{t-1} + \mathbf{b}"
    assert equations(filled(cells.Elman, activation=activation)) == [rf"\mathbf{{h}}_t = {before}{inner}{after}"]


def test_gru_bears_the_names_of_its_local_variables() -> None:
    candidate = (
        r"\tilde{\mathbf{h}}_t = \tanh(\mathbf{W}_{h} \mathbf{x}_t + "
        r"\mathbf{U}_{h} (\mathbf{r}_t \odot \mathbf{h}_{t-1}) + \mathbf{b}_{h})"
    )
    mix = r"\mathbf{h}_t = \mathbf{z}_t \odot \mathbf{h}_{t-1} + (\mathbf{1} - \mathbf{z}_t) \odot \tilde{\mathbf{h}}_t"
    assert equations(filled(cells.GRU)) == [gate("z"), gate("r"), candidate, mix]


@pytest.mark.parametrize("cell", [cells.GRU, cells.GRUResetAfter])
def test_the_two_update_conventions_swap_the_gate(cell: type[Cell]) -> None:
    last = equations(filled(cell, update="takes-new"))[-1]
    assert last == (
        r"\mathbf{h}_t = (\mathbf{1} - \mathbf{z}_t) \odot \mathbf{h}_{t-1} + \mathbf{z}_t \odot \tilde{\mathbf{h}}_t"
    )


def test_reset_after_multiplies_the_recurrent_product() -> None:
    assert equations(filled(cells.GRUResetAfter))[2] == (
        r"\tilde{\mathbf{h}}_t = \tanh(\mathbf{W}_{h} \mathbf{x}_t + \mathbf{b}_{h} + "
        r"\mathbf{r}_t \odot (\mathbf{U}_{h} \mathbf{h}_{t-1} + \mathbf{b}_{hn}))"
    )


def test_lstm_prints_the_next_cell_state_as_c_t() -> None:
    assert equations(filled(cells.LSTM)) == [
        *(gate(letter) for letter in "ifo"),
        gate("g", r"\tanh"),
        r"\mathbf{c}_t = \mathbf{f}_t \odot \mathbf{c}_{t-1} + \mathbf{i}_t \odot \mathbf{g}_t",
        r"\mathbf{h}_t = \mathbf{o}_t \odot \tanh(\mathbf{c}_t)",
    ]


def test_what_is_zero_is_left_out() -> None:
    assert equations(cells.Elman.random(hidden=3, inputs=0)) == [r"\mathbf{h}_t = \tanh(\mathbf{U} \mathbf{h}_{t-1})"]
    assert equations(cells.Elman(U=np.zeros((2, 2)), activation="identity")) == [r"\mathbf{h}_t = \mathbf{0}"]
    assert equations(cells.Elman(U=np.zeros((2, 2)))) == [r"\mathbf{h}_t = \tanh(\mathbf{0})"]


def test_a_users_cell_with_a_plain_number() -> None:
    assert equations(filled(Leaky)) == [
        r"\mathrm{drive}_t = \mathbf{U} \mathbf{h}_{t-1} + \mathbf{W} \mathbf{x}_t - \mathbf{b}",
        r"\mathbf{h}_t = (1 - \alpha)\,\mathbf{h}_{t-1} + \alpha\,\tanh(\mathrm{drive}_t)",
    ]


H, UH = r"\mathbf{h}_{t-1}", r"\mathbf{U} \mathbf{h}_{t-1}"


@pytest.mark.parametrize(
    ("formula", "latex"),
    [
        (lambda U, h: -h - (h - U @ h), rf"-{H} - ({H} - {UH})"),
        (lambda U, h: h - -h, rf"{H} + {H}"),
        (lambda U, h: h - (-2.0) * h, rf"{H} + 2\,{H}"),
        (lambda U, h: (U @ h) * h, rf"({UH}) \odot {H}"),
        (lambda U, h: U @ (U @ h), rf"\mathbf{{U}} {UH}"),
        (lambda U, h: U @ (h * h), rf"\mathbf{{U}} ({H} \odot {H})"),
        (lambda U, h: U.T @ h, rf"\mathbf{{U}}^{{\top}} {H}"),
        (lambda U, h: h**2 / 3, rf"\frac{{{H}^{{\odot 2}}}}{{3}}"),
        (lambda U, h: 1e-5 * np.abs(h) + 3, rf"10^{{-5}}\,\left|{H}\right| + 3\,\mathbf{{1}}"),
        (
            lambda U, h: np.where(h > 0, h, 0 * h),
            rf"\begin{{cases}} {H} & {H} > 0 \\ \mathbf{{0}} & \text{{otherwise}} \end{{cases}}",
        ),
        (lambda U, h: np.logaddexp(0, h), rf"\operatorname{{softplus}}({H})"),
        (lambda U, h: np.maximum(h, U @ h), rf"\max({H}, {UH})"),
        (lambda U, h: h, H),
        (
            lambda U, h: np.array([1 - 1.4 * h[0] ** 2 + h[1], 0.3 * h[0]]),
            r"\left[ \begin{matrix} 1 - 1.4\,h_{1,t-1}^{2} + h_{2,t-1} \\ 0.3\,h_{1,t-1} \end{matrix} \right]",
        ),
    ],
)
def test_signs_and_parentheses(formula: Any, latex: str) -> None:
    cell = Formula(U=np.array([[1.0, 2.0], [3.0, 4.0]]), formula=formula)
    assert equations(cell) == [rf"\mathbf{{h}}_t = {latex}"]


def test_what_cannot_be_read_gives_no_equations() -> None:
    for formula in (lambda U, h: np.sort(h, axis=0), lambda U, h: np.concatenate([h, h], axis=1), lambda U, h: 1 / 0):
        assert equations(Formula(U=np.eye(2), formula=formula)) == []
    assert equations(Branching(U=np.eye(3))) == []
    assert equations(object()) == []


def test_a_long_loop_is_given_up_soon() -> None:
    def doubled(U: Any, h: Any) -> Any:
        for _ in range(60):
            h = h + h
        return h

    assert equations(Formula(U=np.eye(2), formula=doubled)) == []


def test_the_profiler_is_put_back() -> None:
    def watch(*_: Any) -> None: ...

    sys.setprofile(watch)
    try:
        equations(filled(cells.GRU))
        equations(Branching(U=np.eye(3)))
        assert sys.getprofile() is watch
    finally:
        sys.setprofile(None)
