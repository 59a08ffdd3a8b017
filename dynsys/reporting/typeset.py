"""Text and mathematics for both renderers: inline marks, LaTeX to MathML, LaTeX to Typst."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, final
from xml.etree import ElementTree

from dynsys.reporting.document import Block, Equation, Figure
from dynsys.reporting.mathml_to_typst import quoted, walk
from dynsys.reporting.mathml_tree import cleaned, printable

_INLINE = re.compile(r"\\\$|\$((?:\\.|[^$\\])+)\$|`([^`]+)`")
_LINK = re.compile(
    r"https?://[^\s<>\"]*[^\s<>\".,;:)\]]|\bdoi:(10\.\d+/[^\s<>\"]*[^\s<>\".,;:)\]])|\barXiv[ :](\d{4}\.\d{4,5})"
)
_CITATION = re.compile(r"\[(\d+(?:\s*[,-]\s*\d+)*)\]")

Kind = Literal["text", "math", "code", "link", "cite"]


@final
@dataclass(frozen=True)
class Piece:
    """A run of inline text of one kind. `target` is the address of a link, or the number of a reference."""

    kind: Kind
    content: str
    target: str = ""


def parse_inline(text: str, *, links: bool = False, references: int = 0) -> list[Piece]:
    r"""Text with its marks resolved: `$...$` is mathematics, backticks are code, `\$` is a dollar sign.

    A mark without its partner is taken literally. With `links`, web addresses, `doi:...` and `arXiv ...` become links;
    with `references`, so do the numbers of `[n]` for n up to it.
    """
    text = printable(text)
    pieces: list[Piece] = []
    end = 0
    for match in _INLINE.finditer(text):
        pieces.append(Piece("text", text[end : match.start()]))
        end = match.end()
        if match[1] is not None:
            pieces.append(Piece("math", match[1].strip()))
        elif match[2] is not None:
            pieces.append(Piece("code", match[2]))
        else:
            pieces.append(Piece("text", "$"))
    pieces.append(Piece("text", text[end:]))
    if links:
        pieces = _each_text(pieces, _LINK, _link)
    if references:
        pieces = _cited(pieces, references)
    return _joined(pieces)


def _each_text(pieces: Sequence[Piece], pattern: re.Pattern[str], made: Any) -> list[Piece]:
    """The pieces with every match of `pattern` in plain text replaced by the pieces made of it."""
    out: list[Piece] = []
    for piece in pieces:
        if piece.kind != "text":
            out.append(piece)
            continue
        end = 0
        for match in pattern.finditer(piece.content):
            out += [Piece("text", piece.content[end : match.start()]), *made(match)]
            end = match.end()
        out.append(Piece("text", piece.content[end:]))
    return out


def _link(match: re.Match[str]) -> list[Piece]:
    if match[1]:
        return [Piece("link", match[0], f"https://doi.org/{match[1]}")]
    if match[2]:
        return [Piece("link", match[0], f"https://arxiv.org/abs/{match[2]}")]
    return [Piece("link", match[0], match[0])]


def _cited(pieces: Sequence[Piece], references: int) -> list[Piece]:
    def made(match: re.Match[str]) -> list[Piece]:
        parts = re.split(r"(\d+)", match[0])
        return [
            Piece("cite", part, part) if part.isdigit() and 1 <= int(part) <= references else Piece("text", part)
            for part in parts
        ]

    return _each_text(pieces, _CITATION, made)


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Without empty pieces, neighbouring text in one piece."""
    out: list[Piece] = []
    for piece in pieces:
        if not piece.content:
            continue
        if out and out[-1].kind == piece.kind == "text":
            out[-1] = Piece("text", out[-1].content + piece.content)
        else:
            out.append(piece)
    return out


def plain_text(text: str) -> str:
    """The text without its marks, for titles and labels."""
    return "".join(piece.content for piece in parse_inline(text))


def to_mathml(latex: str, display: bool = False) -> str:
    """Native MathML with the LaTeX as annotation. What cannot be read is shown as it is written; never fails."""
    latex = printable(latex)
    mode = "block" if display else "inline"
    tree = cleaned(latex, display)
    body = f"<mtext>{escape(latex)}</mtext>" if tree is None else ElementTree.tostring(tree, encoding="unicode")
    note = f'<annotation encoding="application/x-tex">{escape(latex)}</annotation>'
    return f'<math display="{mode}"><semantics>{body}{note}</semantics></math>'


def to_typst(latex: str, display: bool = False) -> str:
    """A Typst equation, dollar signs included. Only fixed commands and escaped characters are ever written."""
    tree = cleaned(latex, display)
    body = quoted(latex) if tree is None else walk(tree)
    return f"$ {body} $" if display else f"${body or quoted(' ')}$"


def aligned(equations: Sequence[str]) -> str:
    """Equations that follow each other as one, one below the other at their first equals sign where all have one."""
    split = [_at_equals(latex) for latex in equations]
    if len(split) == 1 or any(at < 0 for at in split) or any(cleaned(latex, True) is None for latex in equations):
        return ""
    lines = [f"{latex[:at]} & {latex[at:]}" for latex, at in zip(equations, split, strict=True)]
    joined = r"\begin{align*} " + r" \\ ".join(lines) + r" \end{align*}"
    return joined if cleaned(joined, True) is not None else ""


def _at_equals(latex: str) -> int:
    """Where the first equals sign outside all braces and environments stands, -1 if there is none."""
    depth = 0
    for match in re.finditer(r"\\begin\b|\\end\b|\\left\b|\\right\b|\\.|[{}=&]", latex):
        mark = match[0]
        if mark == "=" and depth == 0:
            return match.start()
        depth += (mark in ("{", r"\begin", r"\left")) - (mark in ("}", r"\end", r"\right"))
        if mark == "&" and depth == 0:
            return -1
    return -1


def rows_of(blocks: Sequence[Block]) -> list[tuple[Block, ...]]:
    """The blocks in rows: figures side by side while their widths fit into one line, equations that follow each other.

    A row of several equations is one that `aligned` can join.
    """
    rows: list[tuple[Block, ...]] = []
    used = 0.0
    for block in blocks:
        if isinstance(block, Equation):
            before = [b for b in rows[-1] if isinstance(b, Equation)] if rows else []
            if before and aligned([*(b.latex for b in before), block.latex]):
                rows[-1] = (*before, block)
            else:
                rows.append((block,))
            used = 0.0
        elif not isinstance(block, Figure):
            rows.append((block,))
            used = 0.0
        elif used and used + block.width <= 1.0 + 1e-9:
            rows[-1] = (*rows[-1], block)
            used += block.width
        else:
            rows.append((block,))
            used = block.width
    return rows


def joined(row: Sequence[Block]) -> Sequence[Block]:
    """A row as it is drawn: several equations are one aligned equation."""
    equations = [block.latex for block in row if isinstance(block, Equation)]
    return [Equation(aligned(equations))] if len(equations) > 1 else row
