"""Figures as SVG: small, the same every time, safe inside a page, and without traces in Matplotlib's settings."""

from __future__ import annotations

import re

import matplotlib
import pytest
from matplotlib.figure import Figure as Plot

from dynsys.reporting.svg import COLOURS, aspect, clean_svg, figure_svg, inline_svg, style


def drawn() -> str:
    with matplotlib.rc_context(style()):
        plot = Plot()
        axes = plot.subplots()
        axes.plot([0, 1, 2], [0.1, 0.5, 0.2], "o-", label="a < b & c")
        axes.legend()
        axes.set(xlabel="lag (steps)", ylabel=r"$\lambda_1$")
        return figure_svg(plot)


def luminance(colour: str) -> float:
    """Relative luminance of a colour, WCAG 2."""
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_same_figure_same_text_and_small() -> None:
    first = drawn()
    assert first == drawn()
    assert len(first) < 60_000
    assert "<metadata" not in first
    assert "<text" not in first


def test_settings_are_as_before() -> None:
    before = dict(matplotlib.rcParams)
    drawn()
    assert dict(matplotlib.rcParams) == before


def test_no_background() -> None:
    assert "#ffffff" not in drawn()


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_are_seen_on_white_and_on_black(colour: str) -> None:
    """WCAG 2.1, 1.4.11: graphics need a contrast of 3 to 1."""
    for ground in ("#ffffff", "#14171a"):
        bright, dark = sorted((luminance(colour) + 0.05, luminance(ground) + 0.05), reverse=True)
        assert bright / dark >= 3


def test_two_figures_on_a_page_share_no_ids() -> None:
    first, second = (set(re.findall(r'id="([^"]+)"', inline_svg(drawn(), name, "alt"))) for name in ("a", "b"))
    assert first
    assert not first & second


def test_references_follow_their_ids() -> None:
    made = inline_svg(drawn(), "a", "alt")
    used = set(re.findall(r"url\(#([^)]+)\)", made)) | set(re.findall(r'href="#([^"]+)"', made))
    assert used
    assert used <= set(re.findall(r'id="([^"]+)"', made))


def test_what_a_picture_does_not_need_is_dropped() -> None:
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x "y">]>'
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="10pt" height="5pt" '
        'onload="alert(1)"><script>alert(2)</script><style>* {color: red}</style>'
        '<image xlink:href="https://a.org/x.png"/><path d="M0 0" style="fill: #000000" onclick="a()"/></svg>'
    )
    made = inline_svg(svg, "p", 'say "so"')
    assert not re.search(r"alert|onclick|https://a|<style|ENTITY", made)
    assert 'viewBox="0 0 10 5"' in made
    assert "fill: currentColor" in made
    assert 'aria-label="say &quot;so&quot;"' in made
    assert "alert" not in clean_svg(svg)
    assert aspect(made) == pytest.approx(0.5)
