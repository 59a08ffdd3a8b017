"""A report as one self-contained HTML file: nothing is fetched, everything can be printed, searched and copied."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any
from xml.etree.ElementTree import ParseError

from dynsys.reporting.document import Block, Document, Equation, Figure, Paragraph, Table
from dynsys.reporting.svg import inline_svg
from dynsys.reporting.typeset import joined, parse_inline, plain_text, rows_of, to_mathml

SEVERITIES = {"critical": "Critical", "warning": "Warning", "info": "Note", "good": "Good"}


def render_html(document: Document) -> str:
    """The report as HTML. The same document gives the same text."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    script = _template("report.js")
    environment.filters.update(inline=_inline_markup, plain=plain_text)
    return environment.from_string(_template("report.html")).render(
        document=document,
        sections=_numbered(document),
        section_titles={section.id: section.title for section in document.sections},
        severities=SEVERITIES,
        counts=[(s, n) for s in SEVERITIES if (n := sum(f.severity == s for f in document.findings))],
        style=_safe(_template("report.css")),
        script=_safe(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=_safe(embedded_json(document.data)),
    )


def embedded_json(data: Any) -> str:
    """JSON that can stand inside a script element: no character in it can end the element."""
    text = json.dumps(_strict(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _strict(value: Any) -> Any:
    """Numbers that JSON does not have become words, as everywhere in dynsys' JSON."""
    if isinstance(value, dict):
        return {str(k): _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _template(name: str) -> str:
    return resources.files("dynsys.reporting").joinpath("templates").joinpath(name).read_text(encoding="utf-8")


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _inline_markup(text: str, links: bool = False, references: int = 0) -> Any:
    """Inline text as HTML; everything but the marks is escaped."""
    from markupsafe import Markup, escape

    out = Markup()
    for piece in parse_inline(text, links=links, references=references):
        if piece.kind == "math":
            out += Markup(to_mathml(piece.content))
        elif piece.kind == "code":
            out += Markup("<code>{}</code>").format(piece.content)
        elif piece.kind == "link":
            out += Markup('<a href="{}">{}</a>').format(piece.target, piece.content)
        elif piece.kind == "cite":
            out += Markup('<a href="#ref-{}">{}</a>').format(piece.target, piece.content)
        else:
            out += escape(piece.content)
    return out


def _numbered(document: Document) -> list[dict[str, Any]]:
    """Sections with their blocks in rows, figures and tables numbered through the whole report."""
    figures, tables = iter(range(1, 10**6)), iter(range(1, 10**6))
    return [
        {
            "id": section.id,
            "title": section.title,
            "rows": [[_block(b, figures, tables) for b in joined(row)] for row in rows_of(section.blocks)],
        }
        for section in document.sections
    ]


def _block(block: Block, figures: Iterator[int], tables: Iterator[int]) -> dict[str, Any]:
    match block:
        case Paragraph(text):
            return {"kind": "paragraph", "text": text}
        case Equation(latex):
            return {"kind": "equation", "mathml": _safe(to_mathml(latex, display=True))}
        case Table():
            words = {"l": "left", "r": "right", "c": "centre"}
            align = [words.get(a, "left") for a in block.align.ljust(len(block.header), "l")]
            return {"kind": "table", "number": next(tables), "table": block, "align": align}
        case Figure():
            number = next(figures)
            # Two figures may bear the same id by mistake; the number keeps their parts apart.
            prefix = f"f{number}-{re.sub(r'[^A-Za-z0-9_-]', '', block.id)}"
            try:
                picture: Any = _safe(inline_svg(block.svg, prefix, plain_text(block.alt)))
            except ParseError:
                picture = None
            return {"kind": "figure", "number": number, "figure": block, "svg": picture, "width": _percent(block.width)}


def _percent(width: float) -> str:
    return f"{100 * min(max(width, 0.1), 1.0):.4g}"
