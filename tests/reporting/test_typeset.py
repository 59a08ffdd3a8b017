"""Inline text and mathematics: every construct compiles in Typst, is well-formed MathML, and lets no code through."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import numpy as np
import pytest

import cells
import cells.activations
from dynsys.readings.symbols import equations
from dynsys.reporting.document import Equation, Figure, Paragraph
from dynsys.reporting.typeset import Piece, aligned, parse_inline, plain_text, rows_of, to_mathml, to_typst

CONSTRUCTS = {
    "letters": (r"\lambda_1 \approx 0.012 \pm 0.003", "attach(λ, b: 1)"),
    "bold": (r"\mathbf{h}_t", "attach(\N{MATHEMATICAL BOLD SMALL H}, b: t)"),
    "bold greek": (r"\boldsymbol{\alpha}_t", "\N{MATHEMATICAL BOLD ITALIC SMALL ALPHA}"),
    "bold one": (r"\mathbf{1}", "\N{MATHEMATICAL BOLD DIGIT ONE}"),
    "upright": (r"\mathrm{d}x", "upright(d) x"),
    "function": (r"\tanh x", 'op("tanh") thin x'),
    "operator name": (r"\operatorname{diag}(d)", 'op("diag") \\( d \\)'),
    "accent": (r"\tilde{\mathbf{h}}_t", "attach(accent(\N{MATHEMATICAL BOLD SMALL H}, tilde), b: t)"),
    "bar": (r"\overline{x}", "overline(x)"),
    "fraction": (r"\frac{a}{b}", "frac(a, b)"),
    "roots": (r"\sqrt{y} + \sqrt[3]{x}", "root(3, x)"),
    "both scripts": (r"a_{i j}^{2}", "attach(a, b: i j, t: 2)"),
    "fences": (r"\left( \frac{a}{b} \right)", r"lr(\( frac(a, b) \))"),
    "norm": (r"\lVert x\rVert_2", 'class("opening", ‖)'),
    "cases": (r"\begin{cases} 1 & x>0\\ 0 & \text{else}\end{cases}", "cases("),
    "matrix": (r"\begin{pmatrix}a&b\\c&d\end{pmatrix}", r"lr( \( mat(delim: #none, a, b; c, d) \) )"),
    "aligned": (r"\begin{aligned} a &= b\\ c &= d\end{aligned}", r"\ "),
    "sum": (r"\sum_{i=1}^{n} x_i", "attach(limits(∑), b: i \\= 1, t: n)"),
    "limit": (r"\lim_{t\to\infty} x", 'attach(limits(op("lim")), b: t → ∞)'),
    "underbrace": (r"\underbrace{a+b}_{c}", "underbrace(a \\+ b)"),
    "binomial": (r"\binom{n}{k}", "mat(delim: #none, n; k)"),
    "integral": (r"\int_0^1 f\,dx", "attach(∫, b: 0, t: 1)"),
    "script letters": (r"\mathcal{N}(0,1)", "\N{MATHEMATICAL SCRIPT CAPITAL N}"),
    "text": (r"x \text{ if } y", '" if "'),
    "transpose": (r"J^{\mathsf T} + U^{\top}", "attach(U, t: \N{DOWN TACK})"),
    "not equal": (r"a \not= b", "≠"),
    "phantom": (r"\phantom{x}", "#hide($x$)"),
    "unknown command": (r"\nonsense{x}", '"\\\\nonsense" x'),
    "unreadable": (r"\left( {", '"\\\\left( {"'),
    "only a brace": ("{", '"{"'),
}


def compiled(source: str) -> bytes:
    typst = pytest.importorskip("typst")
    return bytes(typst.compile(source.encode(), ignore_system_fonts=True, timestamp=0))


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_each_construct_in_both_languages(name: str) -> None:
    latex, expected = CONSTRUCTS[name]
    assert expected in to_typst(latex, display=True)
    for display in (False, True):
        assert compiled(to_typst(latex, display)).startswith(b"%PDF")
        tree = ElementTree.fromstring(to_mathml(latex, display))
        assert tree.get("display") == ("block" if display else "inline")
        assert tree[0][-1].text == latex


CELLS = sorted(
    (
        kind
        for kind in (getattr(cells, name) for name in cells.__all__)
        if isinstance(kind, type) and issubclass(kind, cells.Cell) and kind is not cells.Cell
    ),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_the_equations_of_every_cell_compile(kind: type[cells.Cell]) -> None:
    plain = kind.random(3, 0 if hasattr(kind, "nodes") else 2)
    ones = {k: np.ones(v.shape) for k, v in plain.parameters.items() if (plain.parameters[k] == 0).all()}
    lines = equations(dataclasses.replace(plain, **ones))  # type: ignore[type-var]
    assert lines
    together = aligned(lines) or lines[0]
    compiled("\n".join(to_typst(latex, display=True) for latex in (*lines, together)))
    assert "mtable" in to_mathml(aligned(lines), display=True) or len(lines) == 1
    for latex in lines:
        ElementTree.fromstring(to_mathml(latex, display=True))


@pytest.mark.parametrize("name", cells.activations.ACTIVATIONS)
def test_the_equations_of_every_activation_compile(name: str) -> None:
    (line,) = equations(cells.Elman.random(3, 2, activation=name))
    assert to_mathml(line, display=True)
    compiled(to_typst(line, display=True))


@pytest.mark.parametrize(
    "latex",
    [
        '#read("/etc/passwd")',
        r'\text{"); #read("/etc/passwd") (}',
        r"\operatorname{a\"b}",
        "$ #panic() $",
        r"x \\ // comment /* y",
        r"\mathrm{#panic()}",
        "a_{#panic()}^{]}",
        "..x, y: z; #none",
        r"\unicode{35} \char35",
        "\x00\x1b x",
    ],
)
def test_no_code_gets_through_an_equation(latex: str) -> None:
    for display in (False, True):
        code = to_typst(latex, display)
        compiled(code)
        outside = [part for k, part in enumerate(code.replace('\\"', "").split('"')) if k % 2 == 0]
        bare = "".join(outside).replace("\\#", "").replace("#none", "").replace("#hide", "")
        assert "#" not in bare
        ElementTree.fromstring(to_mathml(latex, display))


def test_links_and_styles_in_latex_are_dropped() -> None:
    made = to_mathml(r"\href{javascript:alert(1)}{x} \style{color:red}{y}")
    tree = ElementTree.fromstring(made)
    assert all(not {"href", "style"} & set(element.attrib) for element in tree.iter())


def test_inline_marks() -> None:
    assert parse_inline(r"a $x_1$ and `b$c` for \$5") == [
        Piece("text", "a "),
        Piece("math", "x_1"),
        Piece("text", " and "),
        Piece("code", "b$c"),
        Piece("text", " for $5"),
    ]
    assert parse_inline("5 $ and ` alone") == [Piece("text", "5 $ and ` alone")]
    assert parse_inline("") == []
    assert plain_text(r"rate $\lambda$ of `f`") == r"rate \lambda of f"


def test_citations_and_links() -> None:
    assert [p.target for p in parse_inline("as in [1, 9] and [2]", references=2) if p.kind == "cite"] == ["1", "2"]
    links = [
        p.target
        for p in parse_inline("doi:10.1/ab. arXiv 2006.02427, https://a.org/b.", links=True)
        if p.kind == "link"
    ]
    assert links == ["https://doi.org/10.1/ab", "https://arxiv.org/abs/2006.02427", "https://a.org/b"]


def test_equations_are_joined_at_their_equals_signs_only_where_all_have_one() -> None:
    assert aligned(["a = b", "c = d"]) == r"\begin{align*} a  & = b \\ c  & = d \end{align*}"
    assert aligned(["a = b", r"\sum_{i=1} c"]) == ""
    assert aligned(["a = b"]) == ""
    assert aligned(["a = b", r"c = \left("]) == ""


def test_rows_put_narrow_figures_side_by_side() -> None:
    narrow = Figure(id="a", svg="<svg/>", caption="", alt="", width=0.5)
    wide = dataclasses.replace(narrow, width=0.8)
    text = Paragraph("x")
    assert [len(row) for row in rows_of((narrow, narrow, narrow, text, narrow, wide))] == [2, 1, 1, 1, 1]
    assert [len(row) for row in rows_of((Equation("a=b"), Equation("c=d"), text, Equation("e")))] == [2, 1, 1]
