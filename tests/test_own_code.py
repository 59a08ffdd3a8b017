"""MODEL as a class, function or finished map in the user's own Python file: what works, and every mistake by name."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cells
import dynsys
from dynsys.cli import main
from dynsys.errors import LoadError
from dynsys.loaders.own_code import load_own_code
from dynsys.model import Model

CELL = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from cells import Bias, Cell, InputWeights, RecurrentWeights, parameter_or_zeros


@dataclass(frozen=True, kw_only=True, eq=False)
class MyCell(Cell):
    \"\"\"h' = a h + (1 - a) tanh(W x + U h + b).\"\"\"

    U: RecurrentWeights
    W: InputWeights = parameter_or_zeros()
    b: Bias = parameter_or_zeros()
    a: float = 0.5

    def step(self, h, x):
        candidate = np.tanh(self.W @ x + self.U @ h + self.b)
        return self.a * h + (1 - self.a) * candidate


class Forgotten(Cell):
    U: RecurrentWeights
    def step(self, h, x):
        return np.tanh(self.U @ h)


class NoCell:
    pass


def henon(state, a=1.4):
    x, y = state
    return np.array([1 - a * x**2 + y, 0.3 * x])


def driven(state, input):
    return np.tanh(2 * state + input[0])


finished = MyCell(U=[[2.0]])
number = 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mycell.py").write_text(CELL)
    generator = np.random.default_rng(0)
    weights = {"U": 1.2 * generator.standard_normal((3, 3)), "W": generator.standard_normal((3, 2))}
    np.savez(tmp_path / "p.npz", **weights, a=0.25, V=np.ones((1, 3)), initial_state=[0.1, 0.2, 0.3])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("dynsys_own_")]:
        del sys.modules[name]


Run = Callable[..., Any]


@pytest.fixture
def run(here: Path) -> Run:
    def invoke(*arguments: str) -> Any:
        result = CliRunner().invoke(main, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


def test_a_cell_of_one_s_own_is_analysed_like_a_built_in_one(run: Run, here: Path) -> None:
    """The commands give what the Python functions give for the same equations."""
    arguments = ["mycell.py:MyCell", "--params", "p.npz", "--json"]
    found = json.loads(run("fixed-points", *arguments, "--starts", "64").stdout)
    with np.load(here / "p.npz") as p:
        U, W = p["U"], p["W"]
    f = dynsys.as_map(lambda h, x: 0.25 * h + 0.75 * np.tanh(W @ x + U @ h), 3, 2)
    np.testing.assert_allclose(f.step(np.array(found["states"])), found["states"], atol=1e-10)
    spectrum = json.loads(run("lyapunov", *arguments, "--steps", "200").stdout)
    wanted = dynsys.lyapunov_spectrum(f, [0.1, 0.2, 0.3], np.zeros((700, 2)), steps=200, discard=500)
    np.testing.assert_allclose(spectrum["exponents"], wanted.exponents, atol=1e-6)
    assert json.loads(run("gradients", *arguments, "--lags", "1,2").stdout)["lags"] == [1, 2]


def test_its_report_has_its_equations_and_its_file(run: Run, here: Path) -> None:
    result = run("report", "mycell.py:MyCell", "--params", "p.npz", "--starts", "32", "--format", "html",
                 "--format", "json", "-q")  # fmt: skip
    assert result.exit_code == 0, result.output
    page = (here / "reports" / "mycell" / "report.html").read_text()
    assert "MyCell" in page
    assert "mycell.py:MyCell" in page
    assert "could not be typeset" not in page
    data = json.loads((here / "reports" / "mycell" / "report.json").read_text())
    assert data["model"]["parameters"] == {"U": [3, 3], "W": [3, 2], "b": [3, 1]}
    assert len(data["model"]["source"]["sha256"]) == 64


def test_a_function_needs_its_state_size_and_takes_its_keywords_from_params(run: Run, here: Path) -> None:
    found = json.loads(run("fixed-points", "mycell.py:henon", "--state-size", "2", "--json").stdout)
    b = 0.7
    exact = sorted((-b + s * np.sqrt(b * b + 4 * 1.4)) / (2 * 1.4) for s in (-1, 1))
    np.testing.assert_allclose(sorted(x for x, _ in found["states"]), exact, atol=1e-10)
    np.savez(here / "a.npz", a=1.2)
    other = json.loads(
        run("fixed-points", "mycell.py:henon", "--state-size", "2", "--params", "a.npz", "--json").stdout
    )
    exact = sorted((-b + s * np.sqrt(b * b + 4 * 1.2)) / (2 * 1.2) for s in (-1, 1))
    np.testing.assert_allclose(sorted(x for x, _ in other["states"]), exact, atol=1e-10)
    driven = run(
        "fixed-points", "mycell.py:driven", "--state-size", "1", "--input-size", "1", "--input", "0.1", "--json"
    )
    assert json.loads(driven.stdout)["input"] == [0.1]


def test_a_box_says_where_to_look(run: Run, here: Path) -> None:
    """x + sin(2 pi x / 30) / 20 has its fixed points at multiples of 15; a box says which are looked for first."""
    (here / "wave.py").write_text("import numpy as np\ndef f(x): return x + 0.05 * np.sin(2 * np.pi * x / 30)\n")
    arguments = ["wave.py:f", "--state-size", "1", "--starts", "256", "--json"]
    found = json.loads(run("fixed-points", *arguments, "--box", "0", "100").stdout)
    x = np.sort(np.ravel(found["states"]))
    np.testing.assert_allclose(x, 15 * np.round(x / 15), atol=1e-6)
    assert {15, 30, 45, 60, 75, 90} <= set(np.round(x).astype(int).tolist())
    sides = ["--box", "-2,-1", "2,1"]
    result = run("report", "mycell.py:henon", "--state-size", "2", *sides, "--format", "json", "--starts", "64", "-q")
    assert result.exit_code == 0, result.output
    box = json.loads((here / "reports" / "mycell" / "report.json").read_text())["fixed_points"]["search"]["box"]
    assert (box["low"], box["high"]) == ([-2, -1], [2, 1])


def test_a_box_keeps_what_else_is_known_of_a_cell(run: Run, here: Path) -> None:
    result = run("fixed-points", "mycell.py:MyCell", "--params", "p.npz", "--box", "-0.5", "0.5", "--json")
    box = json.loads(result.stdout)["search"]["box"]
    assert (box["low"], box["high"]) == ([-0.5] * 3, [0.5] * 3)
    model = load_own_code(f"{here / 'mycell.py'}:MyCell", params=here / "p.npz", box=(-0.5, 0.5))
    assert isinstance(model, Model)
    assert model.readout is not None
    np.testing.assert_array_equal(model.initial_state, [0.1, 0.2, 0.3])


def test_a_finished_cell_may_be_named(run: Run) -> None:
    assert len(json.loads(run("fixed-points", "mycell.py:finished", "--json").stdout)["states"]) == 3


def test_a_file_may_import_its_neighbours(run: Run, here: Path) -> None:
    (here / "neighbour_of_mine.py").write_text("gain = 2.0\n")
    (here / "other.py").write_text(
        "import numpy as np\nimport neighbour_of_mine as n\ndef f(x): return np.tanh(n.gain * x)\n"
    )
    assert run("fixed-points", "other.py:f", "--state-size", "1").exit_code == 0


def params(**arrays: Any) -> Callable[[Path], None]:
    return lambda here: np.savez(here / "q.npz", **arrays)


def file(text: str) -> Callable[[Path], None]:
    return lambda here: (here / "bad.py").write_text(text) and None  # type: ignore[func-returns-value]


WITH = ["mycell.py:MyCell", "--params", "q.npz"]


@pytest.mark.parametrize(
    ("prepare", "arguments", "message"),
    [
        (None, ["mycell.py:MyCel"], "Did you mean MyCell"),
        (None, ["mycell.py:nothing"], "It defines MyCell"),
        (None, ["mycell.py"], "mycell.py:MyCell"),
        (None, ["absent.py:MyCell"], "no file absent.py"),
        (None, ["mycell.py:MyCell"], "needs U"),
        (None, ["mycell.py:MyCell", "--params", "none.npz"], "no file none.npz"),
        (None, ["mycell.py:MyCell", "--params", "mycell.py"], "text file"),
        (None, ["mycell.py:Forgotten"], "@dataclass"),
        (None, ["mycell.py:NoCell"], "step"),
        (None, ["mycell.py:number"], "int"),
        (None, ["mycell.py:henon"], "--state-size"),
        (None, ["mycell.py:henon", "--state-size", "3"], "henon"),
        (None, ["mycell.py:finished", "--params", "p.npz"], "leave --params out"),
        (None, ["mycell.py:MyCell", "--params", "p.npz", "--state-size", "3"], "sizes"),
        (None, ["mycell.py:MyCell", "--params", "p.npz", "--module", "rnn"], "--module"),
        (None, ["mycell.py:henon", "--state-size", "2", "--params", "p.npz"], "no argument U"),
        (None, ["mycell.py:henon", "--state-size", "2", "--box", "2", "-2"], "finite low < high"),
        (None, ["mycell.py:henon", "--state-size", "2", "--box", "1,2,3", "4"], "length 2"),
        (params(W=np.ones((2, 2))), WITH, "also needs U"),
        (params(U=np.eye(2), Wx=np.eye(2)), WITH, "no field Wx. Did you mean W"),
        (params(U=np.eye(2), W=np.ones((3, 2))), WITH, "needs \\(n, m\\) with n = 2"),
        (params(U=np.ones(2)), WITH, "a matrix"),
        (params(U=[[np.nan]]), WITH, "not finite"),
        (params(U=np.eye(2), c=[1.0]), WITH, "no readout matrix"),
        (params(U=np.eye(2), V=np.ones((1, 3))), WITH, "takes 3 values"),
        (params(U=np.eye(2), initial_state=np.ones(3)), WITH, "initial_state"),
        (params(U=np.eye(2).astype(object)), WITH, "pickle|objects"),
        (file("import absent_package_of_mine\n"), ["bad.py:f"], "line 1 failed: ModuleNotFoundError"),
        (file("def f(:\n"), ["bad.py:f"], "no valid Python"),
        (file("raise SystemExit(3)\n"), ["bad.py:f"], "SystemExit"),
        (file("x = 1\n\nx.y\n"), ["bad.py:f"], "line 3 failed: AttributeError"),
        (params(U=np.eye(2)), ["q.npz", "--params", "q.npz"], "only for a MODEL in a Python file"),
    ],
)
def test_every_mistake_is_one_line_and_exit_code_2(
    run: Run, here: Path, prepare: Any, arguments: list[str], message: str
) -> None:
    if prepare is not None:
        prepare(here)
    result = run("fixed-points", *arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stderr.count("\n") == 1, result.stderr

    assert re.search(message, result.stderr), result.stderr


def test_load_never_runs_code(here: Path) -> None:
    (here / "trap.py").write_text("raise RuntimeError('it ran')\n")
    for name in ("trap.py", "trap.py:f"):
        with pytest.raises(LoadError):
            dynsys.load(name)


def test_it_runs_in_every_command_that_takes_a_model() -> None:
    for command in main.commands.values():
        options = {flag for p in command.params for flag in p.opts}
        if {"--nonlinearity", "--seed"} <= options and command.name != "propagate":  # a recurrent MODEL
            assert {"--params", "--state-size", "--input-size"} <= options


def test_the_fields_of_a_built_in_cell_work_the_same_way(run: Run, here: Path) -> None:
    (here / "mine.py").write_text("from cells import Elman\n")
    cell = cells.Elman.random(3, 0, gain=1.5)
    np.savez(here / "e.npz", U=cell.U, activation="tanh")
    found = json.loads(run("fixed-points", "mine.py:Elman", "--params", "e.npz", "--json").stdout)
    np.testing.assert_allclose(dynsys.as_map(cell).step(found["states"]), found["states"], atol=1e-10)


def test_the_documents_show_the_example_file_itself() -> None:
    """A cell of one's own takes some 15 lines; what is printed is what is run."""
    root = Path(__file__).parents[1]
    text = (root / "examples" / "mycell.py").read_text()
    assert f"```python\n{text}```" in (root / "docs" / "models.md").read_text()
    body = text[text.index("@dataclass") : text.index("slow,")]
    assert len([line for line in body.splitlines() if line.strip()]) <= 15
