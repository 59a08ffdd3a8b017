"""Numbers as a reader wants them: with their error, with few digits, with their unit."""

from __future__ import annotations

import math


def with_error(value: float, error: float) -> str:
    """`value` to the digits its error allows, e.g. "0.0652 ± 0.0013"."""
    if not math.isfinite(value):
        return "−∞" if value < 0 else "∞"
    if not math.isfinite(error) or error <= 0:
        return number(value)
    digits = max(0, min(12, 1 - math.floor(math.log10(error))))
    if digits > 8 or abs(value) >= 1e5:
        return f"{number(value)} ± {small(error)}"
    return f"{minus(f'{value:.{digits}f}')} ± {error:.{digits}f}"


def number(value: float, digits: int = 4) -> str:
    """`value` to `digits` significant digits."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return small(value)
    return minus(f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}")


def even(value: float, digits: int = 3) -> str:
    """Like `number`, with the zeros that line up the cells of a table."""
    if not math.isfinite(value) or not 1e-3 <= abs(value) < 1e5:
        return number(value, digits)
    return minus(f"{value:#.{digits}g}".rstrip("."))


def small(value: float) -> str:
    """A number whose size is the message, e.g. "2.2 × 10⁻¹⁶"; zero is "0"."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else number(value)
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{minus(mantissa)} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def minus(text: str) -> str:
    """A true minus sign."""
    return text.replace("-", "−")


def multiplier(z: complex) -> str:
    """A multiplier in four decimals; a conjugate pair shows its imaginary part with ±."""
    if abs(z.imag) < 5e-5:
        return minus(f"{z.real:.4f}")
    return minus(f"{z.real:.4f} ± {abs(z.imag):.4f}i")


def percent(share: float) -> str:
    """A share, e.g. "12.5 %"."""
    return f"{100 * share:.1f} %" if share not in (0.0, 1.0) else f"{100 * share:.0f} %"


def plural(count: int, noun: str) -> str:
    """ "1 saddle", "2 saddles"."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def time_constant(value: float, digits: int = 3) -> str:
    """A time constant as a table shows it: that of a mode that grows, which is stored as negative, says so."""
    return f"grows {even(-value, digits)}" if value < 0 else even(value, digits)


def steps(value: float, step_duration: float | None = None) -> str:
    """A time in steps, and in ms where the length of a step is known."""
    text = f"{number(value, 3)} steps"
    return text if step_duration is None else f"{text} ({number(1e3 * step_duration * value, 3)} ms)"
