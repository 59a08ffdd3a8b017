"""Matplotlib figures as small, deterministic SVG, and SVG made ready for a page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG = "http://www.w3.org/2000/svg"
COLOURS = ("#3b7fc4", "#d4682a", "#23946b", "#b0619f", "#b08a1e", "#7c7f86")
"""Blue, vermilion, green, purple, ochre, grey: told apart by colour-blind readers, readable on white and on black."""
_DROPPED = frozenset(("metadata", "script", "style", "foreignObject", "title", "desc"))
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_REFERENCE = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")


def style() -> dict[Any, Any]:
    """Matplotlib settings of the house, for `matplotlib.rc_context(style())` around the drawing of a figure."""
    from cycler import cycler

    line = "#808488"
    return {
        "figure.figsize": (6.4, 3.4),
        "figure.constrained_layout.use": True,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "savefig.dpi": 150,
        "font.family": "DejaVu Sans",
        "font.size": 9.0,
        "mathtext.fontset": "dejavusans",
        "text.color": "#000000",
        "axes.labelcolor": "#000000",
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": line,
        "axes.linewidth": 0.8,
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.axisbelow": True,
        "grid.color": line,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
        "xtick.color": line,
        "ytick.color": line,
        "xtick.labelcolor": "#000000",
        "ytick.labelcolor": "#000000",
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "lines.linewidth": 1.4,
        "lines.markersize": 4.5,
        "patch.linewidth": 0.8,
        "image.cmap": "viridis",
    }


def figure_svg(fig: Figure) -> str:
    """The figure as SVG: same figure, same text. Letters are outlines, so every reader sees the same ones.

    Above about 2 000 marks draw them with `rasterized=True`: axes and text stay outlines.
    """
    import matplotlib

    buffer = io.StringIO()
    fixed: dict[Any, Any] = {"svg.fonttype": "path", "svg.hashsalt": "dynsys", "svg.id": None, "path.simplify": True}
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context(fixed):
        fig.savefig(buffer, format="svg", transparent=True, metadata=nothing, dpi=150)
    root = _parsed(buffer.getvalue())
    _round_numbers(root)
    for group in list(root.iter("g")):
        _hoist_style(group)
    _shorten_ids(root)
    return _text(root)


def inline_svg(svg: str, prefix: str, alt: str) -> str:
    """SVG to stand inside an HTML page: its ids start with `prefix`, black follows the page's text colour.

    Scripts, styles, event handlers and outside references are dropped. Raises ElementTree.ParseError for broken SVG.
    """
    root = _parsed(svg)
    _rename(root, {e.attrib["id"]: f"{prefix}-{e.attrib['id']}" for e in root.iter() if "id" in e.attrib})
    for element in root.iter():
        for name, value in element.attrib.items():
            if name in ("style", "fill", "stroke"):
                element.set(name, re.sub(r"#000000\b|#000\b|\bblack\b", "currentColor", value))
    _give_size(root)
    root.set("fill", "currentColor")
    root.set("role", "img")
    root.set("aria-label", alt)
    root.set("focusable", "false")
    return _text(root)


def clean_svg(svg: str) -> str:
    """SVG without scripts, styles and outside references. Raises ElementTree.ParseError for broken SVG."""
    return _text(_parsed(svg))


def aspect(svg: str) -> float:
    """Height divided by width, 0.6 where the SVG does not say."""
    match = re.search(r'viewBox="\s*[-\d.]+[\s,]+[-\d.]+[\s,]+([\d.]+)[\s,]+([\d.]+)', svg)
    return float(match[2]) / float(match[1]) if match and float(match[1]) else 0.6


def _parsed(svg: str) -> Element:
    """The tree with plain names, without what a picture does not need."""
    # A document type may define entities; no picture needs one.
    root = ElementTree.fromstring(re.sub(r"<!DOCTYPE[^>\[]*(\[[^\]]*\])?[^>]*>", "", svg).encode())
    for element in root.iter():
        element.tag = _plain(element.tag)
        for name in list(element.attrib):
            value = element.attrib.pop(name)
            if _is_safe(_plain(name), value):
                element.set(_plain(name), value)
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag in _DROPPED]:
            parent.remove(child)
    for element in root.iter():
        element.text = element.text if element.text and element.text.strip() else None
        element.tail = element.tail if element.tail and element.tail.strip() else None
    # Matplotlib sets these two for everything through a style sheet, which would reach the page around it.
    root.set("style", "stroke-linejoin:round;stroke-linecap:butt")
    return root


def _plain(name: Any) -> str:
    return str(name).rpartition("}")[2]


def _is_safe(name: str, value: str) -> bool:
    if name.lower().startswith("on"):
        return False
    if name == "href":
        return value.startswith(("#", "data:image/"))
    return "url(" not in value or bool(_REFERENCE.search(value))


def _give_size(root: Element) -> None:
    """A view box in place of a fixed size, so that the picture follows the page."""
    width, height = root.attrib.pop("width", ""), root.attrib.pop("height", "")
    if "viewBox" not in root.attrib:
        numbers = [re.match(r"[\d.]+", length) for length in (width, height)]
        if all(numbers):
            root.set("viewBox", "0 0 " + " ".join(n[0] for n in numbers if n))


def _round_numbers(root: Element) -> None:
    """Hundredths of a point in paths and positions; scales and matrices keep their digits."""
    for element in root.iter():
        for name in ("d", "x", "y"):
            if name in element.attrib and element.tag in ("path", "use"):
                element.set(name, _NUMBER.sub(_shorter, " ".join(element.attrib[name].split())))


def _shorter(match: re.Match[str]) -> str:
    text = f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _hoist_style(group: Element) -> None:
    """One style on the group in place of the same style on each of its many marks."""
    marks = [child for child in group if child.tag == "use"]
    styles = {mark.get("style") for mark in marks}
    if (
        len(marks) > 3
        and len(marks) == len(group)
        and len(styles) == 1
        and None not in styles
        and "style" not in group.attrib
    ):
        group.set("style", str(marks[0].get("style")))
        for mark in marks:
            del mark.attrib["style"]


def _references(root: Element) -> Iterator[str]:
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "href" and value.startswith("#"):
                yield value[1:]
            yield from _REFERENCE.findall(value)


def _shorten_ids(root: Element) -> None:
    """Only the ids that are used, as short as they can be."""
    used = {name: f"i{k}" for k, name in enumerate(dict.fromkeys(_references(root)))}
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
    _rename(root, used)


def _rename(root: Element, names: dict[str, str]) -> None:
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, names.get(value, value))
            elif name == "href" and value.startswith("#"):
                element.set(name, "#" + names.get(value[1:], value[1:]))
            elif "url(" in value:
                element.set(name, _REFERENCE.sub(lambda m: f"url(#{names.get(m[1], m[1])})", value))


def _text(root: Element) -> str:
    root.set("xmlns", SVG)
    return ElementTree.tostring(root, encoding="unicode")


@contextmanager
def drawing(width: float = 6.4, height: float = 3.4) -> Iterator[Any]:
    """A blank matplotlib figure in the house style; no pyplot, so no global state."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(style()):
        yield Canvas(figsize=(width, height))
