"""The HTML report: one file, well-formed, nothing fetched, nothing injected, the same every time."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from dynsys.reporting.document import Document, Figure, Section, Table
from dynsys.reporting.html import embedded_json, render_html

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
VOID = frozenset(("meta", "link", "br", "img", "input", "hr"))


class Page(HTMLParser):
    """Checks nesting, and collects what tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[int] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if "id" in found:
            self.ids.append(str(found["id"]))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def text(document: Document) -> str:
    return render_html(document)


def hostile(document: Document) -> Document:
    """The report with a hostile text wherever there is text."""
    table = Table(
        caption=HOSTILE, header=(HOSTILE, "`" + HOSTILE + "`"), rows=((HOSTILE, "$" + HOSTILE + "$"),), align="lr"
    )
    figure = dataclasses.replace(_figures(document)[0], caption=HOSTILE, alt=HOSTILE, id=HOSTILE)
    finding = dataclasses.replace(
        document.findings[0], id=HOSTILE, title=HOSTILE, shown=HOSTILE, method=HOSTILE, meaning=HOSTILE, advice=HOSTILE
    )
    return dataclasses.replace(
        document,
        title=HOSTILE,
        subtitle=HOSTILE,
        verdict=HOSTILE,
        findings=(dataclasses.replace(finding, section=HOSTILE),),
        facts=((HOSTILE, HOSTILE),),
        sections=(Section(HOSTILE, HOSTILE, (table, figure)),),
        methods=(HOSTILE,),
        references=(HOSTILE, 'https://a.org/"><script>'),
        reproducibility=((HOSTILE, HOSTILE),),
        data={HOSTILE: HOSTILE},
        date=HOSTILE,
    )


def _figures(document: Document) -> list[Figure]:
    return [block for section in document.sections for block in section.blocks if isinstance(block, Figure)]


def test_well_formed_with_unique_ids_and_ordered_headings(text: str) -> None:
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))


def test_every_link_inside_the_page_has_its_target(text: str) -> None:
    page = Page(text)
    targets = [str(found["href"])[1:] for _, found in page.tags if str(found.get("href", "")).startswith("#")]
    assert targets
    assert set(targets) <= set(page.ids)
    used = re.findall(r"url\(#([^)]+)\)", text)
    assert set(used) <= set(page.ids)


def test_nothing_is_fetched(text: str) -> None:
    page = Page(text)
    assert not [found for _, found in page.tags if "src" in found or "srcset" in found]
    for tag, found in page.tags:
        address = str(found.get("href") or "")
        assert not address.startswith(("http:", "https:", "//")) or tag == "a"
    assert "@import" not in text
    assert not re.search(r"url\(\s*['\"]?(?!#|data:)", text)
    assert "default-src 'none'" in text


def test_the_reader_finds_all_parts_in_order(text: str, document: Document) -> None:
    shown = " ".join(Page(text).text.split())
    parts = [document.verdict, "Findings", "What to do.", "Table 1.", "Methods", "References", "Reproducibility"]
    places = [shown.index(part, shown.index(document.verdict)) for part in parts]
    assert places == sorted(places)
    assert text.count('<th scope="col"') >= 8
    assert text.count('role="img"') == len(_figures(document))


def test_hostile_text_is_only_text(document: Document) -> None:
    made = render_html(hostile(document))
    page = Page(made)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert all(not name.startswith("on") for _, found in page.tags for name in found)
    assert "alert(1)" in page.text


def test_the_data_come_back_out(text: str) -> None:
    found = re.search(r'<script type="application/json" id="dynsys-results">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    assert json.loads(found[1]) == {"schema_version": 1, "lyapunov": {"exponents": [-0.0312, "-inf"]}}


@pytest.mark.parametrize("value", ["</script>", "<!--", "\u2028", "&amp;", 'a"b\\'])
def test_embedded_json_cannot_leave_its_element(value: str) -> None:
    made = embedded_json({"x": [value, float("nan")]})
    assert not set("<>&\u2028") & set(made)
    assert json.loads(made) == {"x": [value, "nan"]}


def test_same_document_same_bytes(document: Document, text: str) -> None:
    assert render_html(document) == text


def test_dark_mode_text_is_not_black(text: str) -> None:
    pictures = "".join(re.findall(r'<svg [^>]*role="img".*?</svg>', text, re.DOTALL))
    assert pictures
    assert "currentColor" in pictures
    assert "#000000" not in pictures
    assert "<metadata" not in pictures


def test_an_empty_report_and_a_broken_picture(document: Document) -> None:
    empty: dict[str, Any] = dict.fromkeys(
        ("findings", "facts", "sections", "methods", "references", "reproducibility"), ()
    )
    Page(render_html(dataclasses.replace(document, **empty, data={}, date="", subtitle="")))
    broken = Figure(id="b", svg="<svg", caption="c", alt="what it showed")
    made = render_html(dataclasses.replace(document, sections=(Section("s", "S", (broken,)),)))
    assert "what it showed" in Page(made).text
