"""LaTeX to a clean MathML tree: only known tags and attributes, letters already in their final shape.

MathML Core has no bold or script variants, only Unicode's own mathematical letters, and operators named in letters
need the spacing of functions: both are settled here, so that browsers and Typst see the same tree.
"""

from __future__ import annotations

import html
import re
import unicodedata
from xml.etree.ElementTree import Element, SubElement

TAGS = frozenset(
    (
        *("mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup"),
        *("munder", "mover", "munderover", "mtable", "mtr", "mtd", "mphantom"),
    )
)
_KEPT = frozenset(
    ("mathvariant", "stretchy", "fence", "form", "accent", "columnalign", "linethickness", "minsize", "width")
)
_LIMITS = frozenset(("lim", "max", "min", "sup", "inf", "limsup", "liminf", "argmax", "argmin"))
_BIG = frozenset("\N{N-ARY SUMMATION}\N{N-ARY PRODUCT}\N{N-ARY UNION}\N{N-ARY INTERSECTION}")
# Signs that latex2mathml takes for identifiers.
_OPERATORS = frozenset("±∓⟨⟩:%,;#·\N{MULTIPLICATION SIGN}\N{CIRCLED DOT OPERATOR}")
_CLOSING = frozenset(")]}⟩!%⌋⌉")
ACCENTS = {
    "~": "tilde",
    "\N{SMALL TILDE}": "tilde",
    "^": "hat",
    "\N{MODIFIER LETTER CIRCUMFLEX ACCENT}": "hat",
    "¯": "overline",
    "→": "arrow",
    "˙": "dot",
    "¨": "dot.double",
}
_VARIANTS = {
    "bold": "BOLD",
    "bold-italic": "BOLD ITALIC",
    "double-struck": "DOUBLE-STRUCK",
    "script": "SCRIPT",
    "fraktur": "FRAKTUR",
    "sans-serif": "SANS-SERIF",
    "monospace": "MONOSPACE",
}


def cleaned(latex: str, display: bool) -> Element | None:
    """The tree of one equation, an mrow; None if the LaTeX cannot be read."""
    from latex2mathml.converter import convert_to_element

    source = re.sub(r"\\not\s*=", r"\\neq ", re.sub(r"\{(aligned|align)\}", "{align*}", latex))
    try:
        made = convert_to_element(source, display="block" if display else "inline")
        row = Element("mrow")
        _copy_children(made, row, display)
    except Exception:  # whatever the converter makes of unreadable LaTeX, the report shows it as written
        return None
    return row


def _copy_children(source: Element, parent: Element, display: bool) -> None:
    for child in source:
        if child.tag not in TAGS:  # an unknown wrapper: its contents are what the reader needs
            inner = SubElement(parent, "mrow")
            if child.text and child.text.strip():
                SubElement(inner, "mtext").text = printable(html.unescape(child.text))
            _copy_children(child, inner, display)
            continue
        copy = SubElement(parent, child.tag, {k: v for k, v in child.attrib.items() if k in _KEPT})
        if len(child):
            _copy_children(child, copy, display)
        elif child.text:
            _set_text(copy, child.text)
        _settle(copy, display)
    if parent.tag in ("mrow", "mtd"):
        _pair_bars(parent)
        _mark_signs(parent)
        _space_functions(parent)


def printable(text: str) -> str:
    """The text without the control characters that neither XML nor a reader can take."""
    return "".join(c for c in text if c in "\t\n" or unicodedata.category(c) not in ("Cc", "Cs"))


def _set_text(element: Element, raw: str) -> None:
    text = printable(html.unescape(raw))
    variant = element.attrib.pop("mathvariant", "")
    if element.tag == "mi" and len(text) == 1:
        if text.isascii() and text.isalpha() and text != raw:  # latex2mathml writes an upright letter as an entity
            variant = "normal"
        if text in _OPERATORS:
            element.tag = "mo"
    if variant == "normal" and element.tag == "mi" and len(text) == 1:
        element.set("mathvariant", "normal")
    if variant in _VARIANTS:
        text = "".join(_styled(c, _VARIANTS[variant]) for c in text) if element.tag != "mtext" else text
    if element.tag == "mo" and len(text) > 1 and text.isalpha():
        element.tag = "mi"
        element.attrib.clear()
    if element.tag == "mtext" and text.replace(r"\$", "$") != text:
        text = text.replace(r"\$", "$")
    element.text = text


def _styled(letter: str, style: str) -> str:
    """The letter in one of Unicode's mathematical alphabets, or as it is where there is none."""
    try:
        name = unicodedata.name(letter)
    except ValueError:
        return letter
    for start, new in (("LATIN ", ""), ("GREEK ", ""), ("DIGIT ", "DIGIT ")):
        if name.startswith(start):
            name = new + name[len(start) :].replace("LETTER ", "").replace("FINAL SIGMA", "FINAL SIGMA")
            for kind in (style, style.split(maxsplit=1)[0]):
                try:
                    return unicodedata.lookup(f"MATHEMATICAL {kind} {name}")
                except KeyError:
                    continue
    return letter


def _settle(element: Element, display: bool) -> None:
    """Accents close to their letter; limits under the operator where the equation is displayed."""
    if element.tag == "mover" and len(element) == 2:
        mark = element[1]
        if (mark.text or "") == "―":
            mark.text = "¯"
        if mark.tag == "mo" and (mark.text or "") in ACCENTS:
            element.set("accent", "true")
            wide = _width(element[0]) > 1 or mark.text == "¯"
            mark.attrib.clear()
            mark.set("stretchy", "true" if wide else "false")
    if display and element.tag in ("msub", "msubsup") and len(element):
        base = element[0].text or ""
        if base in _LIMITS or base in _BIG:
            element.tag = "munder" if element.tag == "msub" else "munderover"


def _pair_bars(row: Element) -> None:
    """The bars of a modulus or a norm open and close; a single bar is left alone."""
    items = [item[0] if item.tag in ("msub", "msup", "msubsup") and len(item) else item for item in row]
    bars = [item for item in items if item.tag == "mo" and item.text in ("|", "‖") and item.get("fence") is None]
    if len(bars) % 2 == 0:
        for at, bar in enumerate(bars):
            bar.set("form", "postfix" if at % 2 else "prefix")


def _mark_signs(row: Element) -> None:
    """A plus or minus that nothing stands before is a sign: no space after it."""
    before: Element | None = None
    for item in row:
        opens = before is None or (
            before.tag == "mo" and before.text not in _CLOSING and before.get("form") != "postfix"
        )
        if item.tag == "mo" and item.text in ("\N{MINUS SIGN}", "+", "-") and opens:
            item.set("form", "prefix")
        if item.tag != "mspace":
            before = item


def _width(element: Element) -> int:
    return sum(len(text.strip()) for text in element.itertext())


def _space_functions(row: Element) -> None:
    """A thin space between a function's name and an argument without parentheses: tanh x."""
    at = 0
    while at < len(row) - 1:
        item, after = row[at], row[at + 1]
        base = item[0] if item.tag in ("msub", "msup", "munder", "msubsup") and len(item) else item
        is_function = base.tag == "mi" and len(base.text or "") > 1 and (base.text or "").isalpha()
        first = after[0] if after.tag == "mrow" and len(after) else after
        if is_function and first.tag not in ("mo", "mspace"):
            space = Element("mspace", {"width": "0.167em"})
            row.insert(at + 1, space)
            at += 1
        at += 1
