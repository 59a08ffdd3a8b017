"""A clean MathML tree to Typst mathematics.

Nothing of the source is ever written as Typst code: single letters and plain numbers stand as they are, every other
character is escaped or inside a string, and commands come from the fixed list below.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree.ElementTree import Element

from dynsys.reporting.mathml_tree import ACCENTS, printable

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_BRACES = {"⏟": "underbrace", "⏞": "overbrace"}
_OPEN, _CLOSE = "([{⟨‖|⌊⌈", ")]}⟩‖|⌋⌉"
_EMPTY = '""'


def quoted(text: str) -> str:
    """A Typst string: the text and nothing else."""
    text = re.sub(r"\s+", " ", printable(text))
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def walk(element: Element) -> str:
    """The element in Typst's math mode."""
    handler = _HANDLERS.get(element.tag)
    if handler is None:
        return quoted("".join(element.itertext()))
    return handler(element)


def _children(element: Element) -> str:
    return " ".join(part for part in (walk(child) for child in element) if part)


def _argument(element: Element) -> str:
    return walk(element) or _EMPTY


def _row(element: Element) -> str:
    items = list(element)
    if any(_is_open(item) for item in items) and any(_is_grid(item) for item in items):
        return _around_tables(items)
    if len(items) > 2 and items[0].get("fence") == items[-1].get("fence") == "true":
        inner = " ".join(walk(item) for item in items[1:-1])
        return f"lr({_mark(items[0])} {inner} {_mark(items[-1])})"
    return _children(element)


def _is_grid(item: Element) -> bool:
    """A matrix, or a binomial coefficient."""
    return item.tag == "mtable" or (item.tag == "mfrac" and item.get("linethickness") == "0")


def _is_open(item: Element) -> bool:
    return item.tag == "mo" and (item.text or "") in (*_OPEN, "")


def _mark(item: Element) -> str:
    return _atom(item.text) if item.text else ""


def _around_tables(items: list[Element]) -> str:
    """A table between delimiters is a matrix, or a case distinction where only the left one is there."""
    parts, at = [], 0
    while at < len(items):
        table = items[at + 1] if at + 1 < len(items) else None
        if _is_open(items[at]) and table is not None and _is_grid(table):
            after = items[at + 2] if at + 2 < len(items) else None
            closed = after is not None and after.tag == "mo" and (after.text or "") in (*_CLOSE, "")
            right = _mark(after) if closed and after is not None else ""
            parts.append(_delimited(_mark(items[at]), table, right))
            at += 3 if closed else 2
        else:
            parts.append(walk(items[at]))
            at += 1
    return " ".join(parts)


def _delimited(left: str, table: Element, right: str) -> str:
    if left == "\\{" and not right and table.tag == "mtable":
        return "cases(" + ", ".join(" quad & ".join(_argument(cell) for cell in row) for row in table) + ")"
    grid = _matrix(table) if table.tag == "mtable" else walk(table)
    return " ".join(("lr(", left, grid, right, ")"))


def _matrix(element: Element) -> str:
    rows = (", ".join(_argument(cell) for cell in row) for row in element)
    return "mat(delim: #none, " + "; ".join(rows) + ")"


def _table(element: Element) -> str:
    alignments = {cell.get("columnalign", "center") for row in element for cell in row}
    if not alignments <= {"left", "right"}:
        return _matrix(element)
    return "display(" + r" \ ".join(" & ".join(_argument(cell) for cell in row) for row in element) + ")"


def _identifier(element: Element) -> str:
    text = element.text or ""
    if len(text) == 1 and element.get("mathvariant") == "normal":
        return f"upright({_atom(text)})"
    return _atom(text)


def _atom(text: str | None) -> str:
    text = text or ""
    if not text:
        return ""
    if len(text) == 1:
        return text if text.isalnum() or not text.isascii() else f"\\{text}" if not text.isspace() else "thin"
    if _NUMBER.fullmatch(text):
        return text
    return f"op({quoted(text)})" if text.isalpha() else quoted(text)


def _operator(element: Element) -> str:
    side = {"prefix": "opening", "postfix": "closing"}.get(element.get("form", ""))
    return f'class("{side}", {_atom(element.text)})' if side and element.text in ("|", "‖") else _atom(element.text)


def _number(element: Element) -> str:
    text = element.text or ""
    return text if _NUMBER.fullmatch(text) else " ".join(_atom(c) for c in text)


def _text(element: Element) -> str:
    return quoted((element.text or "").replace("\u00a0", " ")) if element.text else ""


def _space(element: Element) -> str:
    match = re.fullmatch(r"([0-9.]+)em", element.get("width", ""))
    return "" if match is None else "thin" if float(match[1]) < 0.3 else "quad"


def _fraction(element: Element) -> str:
    top, bottom = (_argument(child) for child in element)
    if element.get("linethickness") == "0":
        return f"mat(delim: #none, {top}; {bottom})"
    return f"frac({top}, {bottom})"


def _attached(*positions: str, limits: bool = False) -> Callable[[Element], str]:
    def handler(element: Element) -> str:
        base, *scripts = (_argument(child) for child in element)
        base = f"limits({base})" if limits else base
        named = ", ".join(f"{where}: {script}" for where, script in zip(positions, scripts, strict=True))
        return f"attach({base}, {named})"

    return handler


def _under(element: Element) -> str:
    base, below = element
    mark = (below.text or "").strip()
    if mark in _BRACES:
        return f"{_BRACES[mark]}({_argument(base)})"
    return _attached("b", limits=True)(element)


def _over(element: Element) -> str:
    base, above = element
    mark = (above.text or "").strip()
    if mark in _BRACES:
        return f"{_BRACES[mark]}({_argument(base)})"
    if above.tag == "mo" and mark in ACCENTS:
        name = ACCENTS[mark]
        return f"overline({_argument(base)})" if name == "overline" else f"accent({_argument(base)}, {name})"
    return _attached("t", limits=True)(element)


_HANDLERS: dict[str, Callable[[Element], str]] = {
    "mrow": _row,
    "mtd": _row,
    "mi": _identifier,
    "mo": _operator,
    "mn": _number,
    "mtext": _text,
    "mspace": _space,
    "mfrac": _fraction,
    "msqrt": lambda e: f"sqrt({_children(e) or _EMPTY})",
    "mroot": lambda e: f"root({_argument(e[1])}, {_argument(e[0])})",
    "msub": _attached("b"),
    "msup": _attached("t"),
    "msubsup": _attached("b", "t"),
    "munder": _under,
    "mover": _over,
    "munderover": _attached("b", "t", limits=True),
    "mtable": _table,
    "mphantom": lambda e: f"#hide(${_children(e) or _EMPTY}$)",
}
