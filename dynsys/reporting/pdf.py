"""A report as PDF, set by Typst from the same document as the HTML."""

from __future__ import annotations

import json
import re
import tempfile
from datetime import date
from importlib import resources
from itertools import count
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from dynsys.errors import AnalysisError, MissingPackageError
from dynsys.reporting.document import Block, Document, Equation, Figure, Paragraph, Table
from dynsys.reporting.svg import aspect, clean_svg
from dynsys.reporting.typeset import joined, parse_inline, plain_text, rows_of, to_typst

TALLEST = 0.95  # height of a picture over the text width; a taller one is made narrower
Content = list[list[Any]]


def render_pdf(document: Document) -> bytes:
    """The report as PDF (A4, tagged, bundled fonts only). The same document gives the same bytes."""
    try:
        import typst  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise MissingPackageError(
            "pip install typst  (the PDF report is set by typst; the HTML report needs nothing and prints well)"
        ) from None
    with tempfile.TemporaryDirectory(prefix="dynsys-") as folder:
        root = Path(folder)
        pictures = _Pictures(root)
        content = _content(document, pictures)
        (root / "report.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        template = resources.files("dynsys.reporting").joinpath("templates").joinpath("report.typ")
        (root / "report.typ").write_bytes(template.read_bytes())
        settings = {"root": str(root), "format": "pdf", "ignore_system_fonts": True, "timestamp": 0}
        try:
            return _compiled(typst, root / "report.typ", settings)
        except typst.TypstError as error:
            raise AnalysisError(
                f"typst could not set the PDF report: {error}. The HTML report is not affected."
            ) from error


def _compiled(typst: Any, source: Path, settings: dict[str, Any]) -> bytes:
    """With the checks of PDF/UA (universal accessibility) where the document passes them."""
    try:
        return bytes(typst.compile(str(source), pdf_standards=["ua-1"], **settings))
    except typst.TypstError:
        return bytes(typst.compile(str(source), **settings))


class _Pictures:
    """The SVG files of one report, written beside its template."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = count(1)

    def add(self, svg: str) -> str:
        name = f"figure-{next(self._numbers)}.svg"
        (self._root / name).write_text(svg, encoding="utf-8")
        return name


def _content(document: Document, pictures: _Pictures) -> dict[str, Any]:
    titles = {section.id: section.title for section in document.sections}
    labels = {section.id: f"section-{k}" for k, section in enumerate(document.sections)}
    known = len(document.references)
    running = plain_text(document.title)
    return {
        "title": running,
        "running": running if len(running) <= 70 else running[:69] + "…",
        "heading": _inline(document.title),
        "subtitle": _inline(document.subtitle),
        "date": _date(document.date),
        "verdict": _inline(document.verdict),
        "severity": document.severity,
        "counts": [[s, n] for s in ("critical", "warning", "info", "good") if (n := _number_of(document, s))],
        "facts": _pairs(document.facts),
        "findings": [
            {
                "severity": f.severity,
                **{name: _inline(getattr(f, name)) for name in ("title", "shown", "method", "meaning", "advice")},
                "section": labels.get(f.section, ""),
                "evidence": _inline(titles.get(f.section, "")),
            }
            for f in document.findings
        ],
        "sections": [
            {
                "label": f"section-{k}",
                "title": _inline(section.title),
                "rows": [[_block(b, pictures) for b in joined(row)] for row in rows_of(section.blocks)],
            }
            for k, section in enumerate(document.sections)
        ],
        "methods": [_inline(text, links=True, references=known) for text in document.methods],
        "references": [_inline(text, links=True) for text in document.references],
        "reproducibility": _pairs(document.reproducibility),
    }


def _number_of(document: Document, severity: str) -> int:
    return sum(f.severity == severity for f in document.findings)


def _inline(text: str, *, links: bool = False, references: int = 0) -> Content:
    """Inline text as [kind, content, target] triples; an equation's content is [typst, latex]."""
    return [
        [piece.kind, [to_typst(piece.content), piece.content] if piece.kind == "math" else piece.content, piece.target]
        for piece in parse_inline(text, links=links, references=references)
    ]


def _pairs(pairs: tuple[tuple[str, str], ...]) -> list[list[Content]]:
    return [[_inline(name), _inline(value)] for name, value in pairs]


def _date(text: str) -> list[int] | None:
    """[year, month, day] of an ISO date or time; None where there is none."""
    match = re.match(r"\d{4}-\d{2}-\d{2}", text)
    try:
        day = date.fromisoformat(match[0]) if match else None
    except ValueError:
        return None
    return [day.year, day.month, day.day] if day else None


def _block(block: Block, pictures: _Pictures) -> dict[str, Any]:
    match block:
        case Paragraph(text):
            return {"kind": "paragraph", "text": _inline(text)}
        case Equation(latex):
            return {"kind": "equation", "typst": to_typst(latex, display=True), "latex": latex}
        case Table():
            columns = max([len(block.header), *map(len, block.rows)])
            return {
                "kind": "table",
                "caption": _inline(block.caption),
                "columns": columns,
                "header": [_inline(cell) for cell in block.header] + [[]] * (columns - len(block.header)),
                "rows": [[_inline(cell) for cell in row] + [[]] * (columns - len(row)) for row in block.rows],
                "align": list(block.align.ljust(columns, "l")[:columns]),
                "note": _inline(block.note),
            }
        case Figure():
            try:
                svg = clean_svg(block.svg)
            except ParseError:
                return {"kind": "paragraph", "text": _inline(f"(A picture that could not be read.) {block.caption}")}
            share = min(max(block.width, 0.1), 1.0, TALLEST / aspect(svg))
            return {
                "kind": "figure",
                "file": pictures.add(svg),
                "alt": plain_text(block.alt),
                "caption": _inline(block.caption),
                "width": share,
            }
