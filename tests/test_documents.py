"""What newcomers read is true: examples run, commands work, lists are whole, links lead somewhere."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re
import shlex
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from click.testing import CliRunner

import dynsys
from dynsys.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "reports" / "README.md", ROOT / "examples" / "README.md"]
LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line it starts at."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2], text[: match.start(2)].count("\n") + 1)


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made from their text."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the repository's root to a reader, where nothing can be spoilt; we are in it."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def doctested(page: Path, block: Block, namespace: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(block.text, namespace, name(page), str(page), block.line - 1)
    report: list[str] = []
    test.globs = namespace  # shared: the next block goes on from here
    failures, _ = doctest.DocTestRunner(optionflags=LOOSE).run(test, out=report.append, clear_globs=False)
    assert not failures, "".join(report)


@pytest.mark.parametrize("page", PAGES, ids=name)
@pytest.mark.usefixtures("copy")
def test_python_examples_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one page share a namespace; `>>>` blocks are checked with their output."""
    module = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    for block in blocks(page):
        if block.language != "python":
            continue
        if "import torch" in block.text and importlib.util.find_spec("torch") is None:
            continue
        if block.text.lstrip().startswith(">>>"):
            doctested(page, block, module.__dict__)
        else:
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), module.__dict__)


def commands(block: Block) -> Iterator[tuple[list[str], int, str]]:
    """Each `$ dynsys ...` line of a console block: its arguments, exit code, and the output shown."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        program, *arguments = shlex.split(line, comments=True)
        assert program == "dynsys", line
        code = re.search(r"# exit code (\d)", line)
        yield arguments, int(code[1]) if code else 0, shown


@pytest.mark.parametrize("page", [p for p in PAGES if any(b.language == "console" for b in blocks(p))], ids=name)
def test_command_lines_run(page: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the exit code they are said to have (0 if nothing is said), and the output shown."""
    shutil.copy(copy / "examples" / "flipflop_gru.pt", copy / "model.pt")
    shutil.copy(copy / "examples" / "flipflop_gru_trials.npz", copy / "trials.npz")
    for block in blocks(page):
        for arguments, code, shown in commands(block) if block.language == "console" else ():
            monkeypatch.setattr(sys, "argv", ["dynsys", *arguments])
            result = CliRunner().invoke(main, arguments)
            assert result.exit_code == code, (arguments, result.output, result.exception)
            if shown.strip():
                assert doctest.OutputChecker().check_output(shown, result.stdout, LOOSE), (arguments, result.stdout)


def finding_ids() -> set[str]:
    """Every id that the code can give a finding."""
    trees = [ast.parse(p.read_text(encoding="utf-8")) for p in (ROOT / "dynsys" / "reporting").glob("findings*.py")]
    given = [
        keyword.value
        for tree in trees
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Finding"
        for keyword in call.keywords
        if keyword.arg == "id"
    ]
    parts = [part for value in given for part in ast.walk(value)]
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def test_every_finding_is_documented() -> None:
    page = prose(ROOT / "docs" / "findings.md")
    assert set(re.findall(r"^### `([\w-]+)`$", page, re.MULTILINE)) == finding_ids()
    assert set(re.findall(r"^\| \[`([\w-]+)`\]", page, re.MULTILINE)) == finding_ids()


def test_every_command_and_option_is_documented() -> None:
    """Each command has its section, which names its options and no others."""
    page = prose(ROOT / "docs" / "command-line.md")
    sections = dict(re.findall(r"^## `dynsys ([\w-]+)`$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert set(sections) == set(main.commands)
    for command, text in sections.items():
        options = [p for p in main.commands[command].params if isinstance(p, click.Option)]
        table = "".join(re.findall(r"^\| (.*?) \|", text, re.MULTILINE))
        assert set(re.findall(r"`(--?[\w-]+)`", table)) == {flag for option in options for flag in option.opts}


def test_every_public_name_is_documented() -> None:
    page = prose(ROOT / "docs" / "python.md")
    assert set(re.findall(r"^## `(\w+)`$", page, re.MULTILINE)) == set(dynsys.__all__)


def test_the_makefile_has_what_is_promised() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in LINKED:
        assert set(re.findall(r"(?:`|^)make ([a-z]+)(?:`|$)", page.read_text("utf-8"), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", LINKED, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link
