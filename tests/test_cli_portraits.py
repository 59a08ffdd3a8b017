"""`dynsys fixed-points` with several inputs, cycles, plots, and after an interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cells
import dynsys
from dynsys.cli import main

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two tanh(2 h + u) units that hear an input each: 9 fixed points at zero, 3 or 1 beyond the fold at 0.53."""
    path = tmp_path_factory.mktemp("model") / "two.npz"
    dynsys.save_npz(cells.Elman(U=2 * np.eye(2), W=np.eye(2)), path)
    return str(path)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["fixed-points", *arguments, "--starts", "128", "-q"], catch_exceptions=False)


def test_several_inputs_show_how_the_portrait_changes(model: str) -> None:
    """Exact: |u| < 0.53284 keeps the three points of a unit, beyond it one is left."""
    result = run(model, "--input", "0,0", "--input", "0.6,0", "--input", "0.6,0.6", "--json")
    data = json.loads(result.stdout)
    assert [row["fixed_points"] for row in data["changes"]] == [9, 3, 1]
    assert [row["attractors"] for row in data["changes"]] == [4, 2, 1]
    assert [row["index_passed"] for row in data["changes"]] == [True] * 3
    assert data["changes"][0]["moved"] == 0.0
    assert [p["input"] for p in data["portraits"]] == [[0, 0], [0.6, 0], [0.6, 0.6]]
    assert len(data["portraits"][1]["states"]) == 3
    table = run(model, "--input", "0,0", "--input", "0.6,0").stdout
    assert "2 inputs" in table
    assert "moved" in table


def test_one_input_prints_the_points_at_top_level(model: str) -> None:
    data = json.loads(run(model, "--input", "0.6,0", "--json").stdout)
    assert len(data["states"]) == 3
    assert "cycles" not in data


def test_cycles_are_found_on_request(tmp_path: Path) -> None:
    """Three decoupled tanh(-2 h): each unit rests at 0 or swings between +-h: 26 states on 2-cycles, 4 stable ones."""
    path = tmp_path / "swing.npz"
    dynsys.save_npz(cells.Elman(U=-2 * np.eye(3)), path)
    out = tmp_path / "points.npz"
    data = json.loads(run(str(path), "--cycles", "3", "--json", "--out", str(out)).stdout)
    assert len(data["cycles"]["2"]["states"]) == 13
    assert data["cycles"]["2"]["kinds"].count("attractor") == 4
    assert data["cycles"]["3"]["states"] == []
    with np.load(out) as saved:
        assert saved["states"].shape == (1, 3)
        assert saved["cycles_2_states"].shape == (13, 2, 3)


def test_several_inputs_are_saved_by_number(model: str, tmp_path: Path) -> None:
    out = tmp_path / "points.npz"
    run(model, "--input", "0,0", "--input", "0.6,0", "--out", str(out))
    with np.load(out) as saved:
        assert saved["input0/states"].shape == (9, 2)
        assert saved["input1/states"].shape == (3, 2)
        np.testing.assert_array_equal(saved["input1/input"], [0.6, 0.0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["points.npz"]


def test_an_interrupted_search_goes_on(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "points.npz"
    inputs = ["--input", "0,0", "--input", "0.6,0", "--out", str(out)]
    searched: list[Any] = []
    search = dynsys.find_fixed_points

    def counted(f: Any, input: Any, *rest: Any, **named: Any) -> Any:
        if len(searched) == 1 and not out.with_name("go on").exists():
            raise KeyboardInterrupt
        searched.append(input)
        return search(f, input, *rest, **named)

    monkeypatch.setattr(dynsys, "find_fixed_points", counted, raising=False)
    assert CliRunner().invoke(main, ["fixed-points", model, *inputs, "--starts", "128"]).exit_code == 1
    assert not out.exists()
    out.with_name("go on").touch()
    assert run(model, *inputs).exit_code == 0
    assert len(searched) == 2, "the first input was not searched again"
    with np.load(out) as saved:
        assert saved["input0/states"].shape == (9, 2)


def test_plots_are_drawn(model: str, tmp_path: Path) -> None:
    assert run(model, "--plots", str(tmp_path / "plots")).exit_code == 0
    names = {p.name for p in (tmp_path / "plots").iterdir()}
    assert names == {"portrait.svg", "multipliers.svg", "hits.svg", "wiring.svg"}
    for name in names:
        assert "<svg" in (tmp_path / "plots" / name).read_text("utf-8")[:400]


def test_wrong_inputs_say_which_and_what_is_needed(model: str) -> None:
    result = CliRunner().invoke(main, ["fixed-points", model, "--input", "0,0", "--input", "1"])
    assert result.exit_code == 2
    assert "2 inputs" in result.output
    assert CliRunner().invoke(main, ["fixed-points", model, "--cycles", "-1"]).exit_code == 2


MISTAKES = {
    "an input of another length": (["--input", "1"], "takes 2 inputs"),
    "an input that is no number": (["--input", "nan,0"], "not finite"),
    "an input that is no list of numbers": (["--input", "a,b"], "numbers with commas"),
    "cycles of period 1": (["--cycles", "1"], "begin with period 2"),
    "cycles of a negative period": (["--cycles", "-1"], "-1"),
    "no starts": (["--starts", "0"], "--trials"),
    "a tolerance of zero": (["--tol", "0"], "`tol` must be"),
    "a negative tolerance": (["--tol", "-1e-9"], "`tol` must be"),
    "a tolerance below rounding": (["--tol", "1e-300"], "rounding"),
    "an output in a folder that is not there": (["--out", "{tmp}/no/points.npz"], "no folder"),
    "an output that is a folder": (["--out", "{tmp}"], "is a folder"),
    "parts where a file is": (["--out", "{tmp}/taken.npz"], "there is a file of that name"),
    "plots where a file is": (["--plots", "{tmp}/file"], "cannot write plots"),
}


@pytest.mark.parametrize(("arguments", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_end_with_a_reason_and_exit_code_2(
    model: str, tmp_path: Path, arguments: list[str], said: str
) -> None:
    for name in ("file", "taken.npz.parts"):
        (tmp_path / name).write_text("mine")
    given = [text.format(tmp=tmp_path) for text in arguments]
    result = CliRunner().invoke(main, ["fixed-points", model, "-q", *given], catch_exceptions=False)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert (tmp_path / "file").read_text() == (tmp_path / "taken.npz.parts").read_text() == "mine"


def test_trials_of_another_width_end_with_a_reason(model: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "trials.npz", inputs=np.zeros((20, 4, 5)))
    result = run(model, "--trials", str(tmp_path / "trials.npz"))
    assert result.exit_code == 2
    assert "2" in result.stderr
    assert "5" in result.stderr


def test_cycles_0_is_the_same_as_none(model: str) -> None:
    assert run(model, "--cycles", "0").stdout == run(model).stdout


def test_a_model_cut_short_ends_with_a_reason(model: str, tmp_path: Path) -> None:
    whole = Path(model).read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "short.npz").write_bytes(whole[:size])
        result = run(str(tmp_path / "short.npz"))
        assert result.exit_code == 2
        assert "short.npz" in result.stderr


def test_damaged_parts_of_a_search_are_made_again(model: str, tmp_path: Path) -> None:
    out, parts = tmp_path / "points.npz", tmp_path / "points.npz.parts"
    whole = run(model, "--out", str(out), "--json").stdout
    parts.mkdir()
    other = parts / "fixed-points-0123456789abcdef01234567.npz"
    other.write_bytes(b"not a part")
    again = run(model, "--out", str(out), "--json")
    assert again.exit_code == 0
    assert again.stdout == whole
    assert [path.name for path in parts.iterdir()] == ["fixed-points-0123456789abcdef01234567.npz"], (
        "not ours to remove"
    )


def test_an_output_that_cannot_be_finished_leaves_the_old_one(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "points.npz"
    assert run(model, "--out", str(out)).exit_code == 0
    before = out.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    result = run(model, "--out", str(out), "--input", "0.6,0")
    assert result.exit_code == 2
    assert "No space left" in result.stderr
    assert out.read_bytes() == before
    assert not list(tmp_path.glob("*.half")) + list(tmp_path.glob(".*.half"))
    assert list((tmp_path / "points.npz.parts").glob("fixed-points-*.npz")), "the search itself is kept"
