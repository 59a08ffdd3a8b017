"""Numbers as a reader sees them."""

from __future__ import annotations

import pytest

from dynsys.reporting.wording import even, number, time_constant


@pytest.mark.parametrize(
    ("value", "text"),
    [(13150.4, "13150"), (-99999.0, "−99999"), (1234.56, "1235"), (123.456, "123.5"), (0.0123456, "0.01235")],
)
def test_numbers_of_ordinary_size_have_no_exponent(value: float, text: str) -> None:
    assert number(value) == text


def test_very_large_and_very_small_ones_have() -> None:
    assert number(2.5e7) == "2.5 × 10⁷"
    assert number(4e-8) == "4.0 × 10⁻⁸"
    assert even(0.5) == "0.500"


def test_a_time_constant_of_a_growing_mode_says_so() -> None:
    """|mu| = 0.98 decays by e in 49.5 steps, one of 1.005 grows by e in 200.5: -1 / log |mu| is negative there."""
    assert time_constant(49.498) == "49.5"
    assert time_constant(-200.7) == "grows 201"
    assert time_constant(float("inf")) == "∞"
