"""The PDF report: complete, the same every time, and deaf to code in texts."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dynsys.errors import MissingPackageError
from dynsys.reporting.document import Document, Equation, Figure, Paragraph, Section, Table
from dynsys.reporting.pdf import render_pdf

HOSTILE = '#read("/etc/passwd") ] } $ #panic() "\\" // */ #set page(width: 1pt) = heading *b* _i_ @ref <label> `raw'


@pytest.fixture(scope="module")
def pdf(document: Document) -> bytes:
    pytest.importorskip("typst")
    return render_pdf(document)


def read(pdf: bytes, folder: Path) -> str:
    """The text of a PDF, by poppler."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    (folder / "report.pdf").write_bytes(pdf)
    done = subprocess.run(["pdftotext", "-layout", str(folder / "report.pdf"), "-"], capture_output=True, check=True)
    return " ".join(done.stdout.decode().split())


def test_a_pdf_of_several_pages(pdf: bytes) -> None:
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 50_000


def test_same_document_same_bytes(document: Document, pdf: bytes) -> None:
    assert render_pdf(document) == pdf


def test_tagged_for_screen_readers(pdf: bytes) -> None:
    assert b"pdfuaid:part" in pdf or b"/MarkInfo" in pdf


def test_real_text_and_all_parts_in_order(document: Document, pdf: bytes, tmp_path: Path) -> None:
    text = read(pdf, tmp_path)
    parts = ["digits_gru.pt", "The network forgets within 14 steps", "Findings", "Fixed points", "Table 1.", "Methods"]
    parts += ["References", "Reproducibility", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    places = [text.rindex(part) if part in ("Methods", "References") else text.index(part) for part in parts]
    assert places[0] < places[1] < places[2]
    assert places[4] < places[5] < places[6] < places[7] < places[8]


def test_hostile_text_is_only_text(document: Document, tmp_path: Path) -> None:
    pytest.importorskip("typst")
    table = Table(caption=HOSTILE, header=(HOSTILE,), rows=((HOSTILE,), ("`" + HOSTILE + "`",)), align="l")
    made = dataclasses.replace(
        document,
        title=HOSTILE,
        verdict=HOSTILE,
        facts=((HOSTILE, HOSTILE),),
        findings=(dataclasses.replace(document.findings[0], title=HOSTILE, meaning=HOSTILE, section=HOSTILE),),
        sections=(Section(HOSTILE, HOSTILE, (table, Paragraph(HOSTILE), Equation(HOSTILE))),),
        methods=(HOSTILE,),
        references=(HOSTILE,),
        reproducibility=((HOSTILE, HOSTILE),),
        date="not a date",
    )
    text = read(render_pdf(made), tmp_path)
    assert '#read("/etc/passwd")' in text.replace("\u201c", '"').replace("\u201d", '"')
    assert "root:" not in text


def test_small_and_strange_documents(document: Document) -> None:
    pytest.importorskip("typst")
    empty: dict[str, Any] = dict.fromkeys(
        ("findings", "facts", "sections", "methods", "references", "reproducibility"), ()
    )
    assert render_pdf(dataclasses.replace(document, **empty, date="", subtitle="")).startswith(b"%PDF")
    blocks = (
        Figure(id="b", svg="<svg", caption="broken", alt=""),
        Table(caption="no rows", header=("a", "b"), rows=(), align="lr"),
        Table(caption="ragged", header=("a",), rows=(("1", "2", "3"), ("1",)), align=""),
        Equation(r"\left( {"),
        Paragraph(""),
    )
    assert render_pdf(dataclasses.replace(document, sections=(Section("s", "S", blocks),))).startswith(b"%PDF")


def test_without_typst_the_message_is_the_command(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(MissingPackageError, match=r"pip install typst.*HTML"):
        render_pdf(document)
