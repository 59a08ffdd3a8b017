"""The document model: what a report says, before it is HTML or PDF.

Text is plain Unicode with two marks: `$...$` is inline mathematics in LaTeX, and `` `...` `` is code. Everything else
is taken literally and escaped by the renderers; `\\$` is a dollar sign.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, final

Severity = Literal["critical", "warning", "info", "good"]


@final
@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing the analysis found, for a reader who will act on it.

    Attributes:
        id: stable, kebab-case, listed in the documentation.
        title: the finding in one short line.
        value, uncertainty: the measured number (or numbers) and its error, as stored in JSON; None where it has none.
        shown: the value with its error and unit, as the reader sees it.
        method: how it was measured. meaning: what it says about the network. advice: what to do.
        section: id of the section that holds the evidence.
    """

    id: str
    severity: Severity
    title: str
    value: Any
    uncertainty: Any
    shown: str
    method: str
    meaning: str
    advice: str
    section: str


@final
@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@final
@dataclass(frozen=True)
class Equation:
    """A displayed equation in LaTeX (no dollar signs)."""

    latex: str


@final
@dataclass(frozen=True, kw_only=True)
class Table:
    """A table. `header` and the cells of `rows` are text; `align` has one of "l", "r", "c" per column."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str
    note: str = ""


@final
@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture as an SVG document. `alt` says in words what the picture shows."""

    id: str
    svg: str
    caption: str
    alt: str
    width: float = 1.0  # share of the text width


Block = Paragraph | Equation | Table | Figure


@final
@dataclass(frozen=True)
class Section:
    """A titled part of the evidence."""

    id: str
    title: str
    blocks: tuple[Block, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole report.

    Attributes:
        title, subtitle: the model, and what it is.
        verdict: one sentence. severity: of the gravest finding.
        findings: ranked, gravest first.
        facts: short (name, value) pairs for the head of the report.
        sections: the evidence.
        methods: paragraphs ready to paste into a paper, with [n] pointing to `references`.
        reproducibility: (name, value) pairs: versions, seeds, file hash, command.
        data: the content of report.json.
        date: ISO date of the analysis, or "" for none.
    """

    title: str
    subtitle: str
    verdict: str
    severity: Severity
    findings: tuple[Finding, ...]
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    methods: tuple[str, ...]
    references: tuple[str, ...]
    reproducibility: tuple[tuple[str, str], ...]
    data: dict[str, Any] = field(default_factory=dict)
    date: str = ""
