"""The command line: strict JSON and nothing else on stdout, one message and a fitting exit code for each mistake."""

from __future__ import annotations

import importlib
import io
import json
import os
import pickle
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file, save_file

import dynsys.reporting
from dynsys.cli import main
from dynsys.trials import as_trials

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
MODEL = str(EXAMPLES / "flipflop_gru.safetensors")
TRIALS = str(EXAMPLES / "flipflop_gru_trials.npz")
QUICK = ["--starts", "128"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every command runs in an empty folder, so that whatever is written shows."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def dynsys_(*arguments: object) -> Result:
    """A command that ends as commands end: with an exit code, never with an exception."""
    result = CliRunner().invoke(main, [str(a) for a in arguments], prog_name="dynsys")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def ran(*arguments: object) -> Result:
    result = dynsys_(*arguments)
    assert result.exit_code == 0, result.stderr
    return result


def process(*arguments: str, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, with warnings as errors."""
    code = "from dynsys.cli import main; main(prog_name='dynsys')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120, **options,
    )  # fmt: skip


def strict(text: str) -> Any:
    """Parsed JSON; NaN and Infinity, which JSON does not have, are refused."""

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def refused(result: Result) -> str:
    """The message of a command that refused: exit code 2, one message on stderr, nothing on stdout."""
    assert result.exit_code == 2, (result.exit_code, result.output)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith(("dynsys: ", "Error: "))]
    assert len(lines) == 1, result.stderr
    said = len(result.stderr.strip().splitlines())
    assert said == 1 or result.stderr.startswith("Usage: dynsys"), result.stderr
    return lines[0]


def numbers(value: Any) -> np.ndarray:
    """Nested lists with "inf", "-inf" and "nan" as floats."""
    return np.array(value, dtype=object).astype(np.float64)


# what each command says


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return strict(ran("fixed-points", MODEL, "--json").stdout)


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(EXAMPLES / "flipflop_gru_fixed_points.npz") as file:
        return dict(file)


def test_fixed_points_are_the_27_reference_points(found: dict[str, Any], reference: dict[str, np.ndarray]) -> None:
    states = np.array(found["states"])
    assert states.shape == (27, 16)
    distances = np.abs(states[:, np.newaxis] - reference["fixed_points"]).max(axis=2)
    assert sorted(distances.argmin(axis=1)) == list(range(27))
    assert distances.min(axis=1).max() < 1e-6


def test_unstable_directions_are_8_12_6_1(found: dict[str, Any]) -> None:
    assert np.bincount(found["n_unstable"]).tolist() == [8, 12, 6, 1]


def test_residuals_are_below_the_tolerance(found: dict[str, Any]) -> None:
    assert 0 <= min(found["residuals"]) <= max(found["residuals"]) < 1e-12


def test_fixed_points_lie_inside_the_reachable_cube(found: dict[str, Any]) -> None:
    assert np.abs(found["states"]).max() < 1


def test_complex_numbers_are_pairs_of_re_and_im(found: dict[str, Any], reference: dict[str, np.ndarray]) -> None:
    pairs = np.array(found["multipliers"])
    assert pairs.shape == (27, 16, 2)
    largest = np.sort(np.hypot(pairs[..., 0], pairs[..., 1]).max(axis=1))
    np.testing.assert_allclose(largest, np.sort(np.abs(reference["eigenvalues"]).max(axis=1)), rtol=1e-6)


POINT_FIELDS = {
    "states", "residuals", "speeds", "errors", "multipliers", "condition", "n_unstable", "undecided", "kinds", "hits",
    "found_by",
}  # fmt: skip
COMPLETENESS = {"found", "estimate", "interval", "unseen_mass_bound", "index_sum", "index_expected", "proven"}


def test_fixed_points_bear_the_names_of_the_contract(found: dict[str, Any]) -> None:
    assert found.keys() >= POINT_FIELDS | {"input", "slow", "completeness"}
    assert found["slow"].keys() >= POINT_FIELDS
    assert found["completeness"].keys() >= COMPLETENESS
    assert found["input"] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (
            ["lyapunov", "--steps", 60, "--discard", 10],
            {"exponents", "standard_errors", "by_sequence", "kaplan_yorke", "entropy", "residual", "trusted", "method"},
        ),
        (
            ["gradients", "--lags", "1,3,9"],
            {"lags", "log_singular_values", "by_start", "horizon", "trusted", "method"},
        ),
    ],
)
def test_spectra_bear_the_names_of_the_contract(command: list[Any], fields: set[str]) -> None:
    result = ran(command[0], MODEL, *command[1:], "--json")
    assert strict(result.stdout).keys() >= fields
    assert result.stderr == ""


@pytest.mark.parametrize("drive", [[], ["--trials", TRIALS], ["--input", "0.5,0,-1"]])
@pytest.mark.parametrize("command", [["lyapunov", "--steps", 50], ["gradients", "--lags", "1,4"], ["fixed-points"]])
def test_a_command_is_the_function_of_its_name(command: list[Any], drive: list[str]) -> None:
    """`--json` prints what the library returns for the same drive."""
    extra = QUICK if command == ["fixed-points"] else []
    said = strict(ran(command[0], MODEL, *command[1:], *drive, *extra, "--json").stdout)
    f = dynsys.load(MODEL)
    with np.load(TRIALS) as file:
        inputs = np.asarray(file["inputs"], dtype=np.float64).swapaxes(0, 1)
    constant = [0.5, 0.0, -1.0] if "--input" in drive else None
    if command[0] == "gradients":
        driven = inputs if "--trials" in drive else np.zeros((4, 3)) + (constant or 0.0)
        truth = dynsys.gradient_spectrum(f, None, driven, [1, 4])
        np.testing.assert_allclose(numbers(said["log_singular_values"]), truth.log_singular_values, atol=1e-9)
    elif command[0] == "fixed-points":
        for state in np.array(said["states"]):
            np.testing.assert_allclose(f.step(state, constant), state, atol=1e-11)
        assert said["input"] == (constant or [0.0, 0.0, 0.0])
    elif "--trials" in drive:
        joined = np.concatenate(list(inputs.swapaxes(0, 1)))
        burn = len(joined) // 10
        orders = as_trials(f, inputs).joined_in_orders(burn + 50, 5, 0)
        np.testing.assert_array_equal(orders[:, 0], joined[: burn + 50])
        truth = dynsys.lyapunov_spectrum(f, None, orders, discard=burn)
        np.testing.assert_allclose(numbers(said["exponents"]), truth.exponents, atol=1e-9)
    else:
        driven = np.zeros((550, 3)) + (constant or 0.0)
        truth = dynsys.lyapunov_spectrum(f, None, driven, discard=500)
        np.testing.assert_allclose(numbers(said["exponents"])[0], truth.exponents[0], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fixed-points", MODEL, *QUICK], ["fixed points", "attractor", "multiplier"]),
        (["lyapunov", MODEL, "--steps", 50], ["exponent"]),
        (["gradients", MODEL, "--lags", "1,2"], ["lag"]),
        (["cells"], ["GRUResetAfter", "LSTM", "Elman"]),
        (["--help"], ["fixed-points", "lyapunov", "gradients", "report", "cells"]),
        (["--version"], ["dynsys"]),
    ],
)
def test_without_json_the_text_is_for_people(arguments: list[Any], words: list[str]) -> None:
    result = ran(*arguments)
    assert all(word in result.stdout for word in words)
    with pytest.raises(json.JSONDecodeError):
        json.loads(result.stdout)


def test_cells_are_listed_with_their_parameters() -> None:
    listed = {cell["name"]: cell for cell in strict(ran("cells", "--json").stdout)}
    assert listed.keys() >= {"Elman", "GRU", "GRUResetAfter", "LSTM"}
    assert set(listed["Elman"]["parameters"]) == {"U", "W", "b"}
    assert listed["LSTM"]["state"] == ["h", "c"]


def test_seed_decides_the_starts() -> None:
    def hits(seed: int) -> Any:
        return strict(ran("fixed-points", MODEL, "--starts", 256, "--seed", seed, "--json").stdout)["hits"]

    assert hits(1) == hits(1) != hits(2)


def test_tol_reaches_the_search() -> None:
    assert strict(ran("fixed-points", MODEL, *QUICK, "--tol", "1e-10", "--json").stdout)["search"]["tol"] == 1e-10


def test_step_duration_adds_milliseconds() -> None:
    said = strict(ran("fixed-points", MODEL, *QUICK, "--step-duration", "0.005", "--json").stdout)
    np.testing.assert_allclose(numbers(said["time_constants_ms"]), 5 * numbers(said["time_constants"]))


@pytest.mark.parametrize("command", [["lyapunov", "--steps", 20], ["gradients", "--lags", "2"]])
def test_k_keeps_that_many_leading_values(command: list[Any]) -> None:
    said = strict(ran(command[0], MODEL, *command[1:], "-k", 3, "--json").stdout)
    assert np.shape(said["exponents" if command[0] == "lyapunov" else "log_singular_values"])[-1] == 3


def test_out_saves_what_json_says_and_the_modes() -> None:
    said = strict(ran("fixed-points", MODEL, *QUICK, "--out", "points.npz", "--json").stdout)
    with np.load("points.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["states"], said["states"])
        J, right, mu = file["jacobians"], file["right_modes"], file["multipliers"]
    np.testing.assert_allclose(J @ right, right * mu[:, np.newaxis], atol=1e-10)


def test_a_model_with_an_embedding_reads_tokens_as_trials() -> None:
    tokens, model = EXAMPLES / "char_gru_trials.npz", EXAMPLES / "char_gru.pt"
    said = strict(ran("gradients", model, "--trials", tokens, "--lags", "1,2", "-k", 2, "--json").stdout)
    assert np.shape(said["log_singular_values"]) == (2, 2)


# the report

REPORT = ["report", MODEL, *QUICK, "--format", "json"]


def test_report_prints_its_verdict_findings_and_files() -> None:
    result = ran(*REPORT, "--format", "html", "--out", "out")
    lines = result.stdout.splitlines()
    assert lines[0].endswith(".")
    assert lines[-2:] == [str(Path("out/report.html")), str(Path("out/report.json"))]
    assert any(line.startswith("[") for line in lines[1:-2])


def test_report_json_on_stdout_is_what_the_file_says() -> None:
    result = ran(*REPORT, "--out", "out", "--json")
    assert strict(result.stdout) == strict(Path("out/report.json").read_text())


def test_report_goes_to_a_folder_of_the_models_name_by_default() -> None:
    ran(*REPORT)
    assert [p.name for p in Path("reports/flipflop_gru").iterdir()] == ["report.json"]


def test_report_names_the_command_that_makes_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dynsys", *REPORT, "--out", "out"])
    said = strict(ran(*REPORT, "--out", "out", "--json").stdout)
    assert said["environment"]["Command"] == shlex.join(["dynsys", *REPORT, "--out", "out"])


@pytest.mark.parametrize(("severity", "code"), [("info", 1), ("critical", 0)])
def test_fail_on_decides_the_exit_code(severity: str, code: int) -> None:
    """The flip-flop network has notes but nothing critical."""
    result = dynsys_(*REPORT, "--out", "out", "--fail-on", severity, "--json")
    findings = strict(result.stdout)["findings"]
    assert not any(f["severity"] == "critical" for f in findings)
    assert result.exit_code == code
    if code:
        assert result.stderr.startswith("dynsys: findings reach --fail-on info: ")
        named = result.stderr.strip().rsplit(": ", 1)[1].split(", ")
        assert named == [f["id"] for f in findings if f["severity"] != "good"]
    else:
        assert result.stderr == ""


def test_fail_on_still_writes_the_report() -> None:
    assert dynsys_(*REPORT, "--out", "out", "--fail-on", "info").exit_code == 1
    assert strict(Path("out/report.json").read_text())["verdict"]


def test_without_typst_a_pdf_is_refused_before_the_analysis(monkeypatch: pytest.MonkeyPatch, elsewhere: Path) -> None:
    def nothing(*_: Any, **__: Any) -> Any:
        raise AssertionError("the analysis ran")

    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    monkeypatch.setattr("dynsys.reporting.study.run_study", nothing)
    message = refused(dynsys_("report", MODEL, "--format", "pdf", "--out", "out"))
    assert "pip install" in message
    assert not list(elsewhere.iterdir())


def test_without_typst_the_other_formats_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    ran(*REPORT, "--out", "out")


# bad model files


class Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, ("boom",)


def torch_names(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Path], None]:
    """A safetensors file of the flip-flop network with something changed."""

    def write(path: Path) -> None:
        arrays = load_file(MODEL)
        change(arrays)
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)

    return write


def first_not_a_number(arrays: dict[str, np.ndarray]) -> None:
    arrays["rnn.weight_hh_l0"] = arrays["rnn.weight_hh_l0"].copy()
    arrays["rnn.weight_hh_l0"][0, 0] = np.nan


BAD_MODELS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("m.pt", lambda path: None, "no file"),
    "empty": ("m.pt", lambda path: path.write_bytes(b""), "empty"),
    "folder": ("m.pt", lambda path: path.mkdir(), "folder"),
    "text": ("m.safetensors", lambda path: path.write_text("weights, please"), "not a whole safetensors file"),
    "truncated safetensors": ("m.safetensors", lambda path: path.write_bytes(Path(MODEL).read_bytes()[:2000]), ""),
    "truncated torch": (
        "m.pt",
        lambda path: path.write_bytes((EXAMPLES / "flipflop_gru.pt").read_bytes()[:3000]),
        "cut short|damaged",
    ),
    "truncated npz": ("m.npz", lambda path: path.write_bytes(Path(TRIALS).read_bytes()[:500]), "cut short|damaged"),
    "pickle with code": ("m.pt", lambda path: path.write_bytes(pickle.dumps(Bomb())), ""),
    "unknown keys": ("m.safetensors", lambda path: save_file({"foo": np.zeros((3, 3))}, path), "foo"),
    "nan weights": ("m.safetensors", torch_names(first_not_a_number), "rnn.weight_hh_l0"),
    "wrong shape": (
        "m.safetensors",
        torch_names(lambda a: a.update({"rnn.weight_hh_l0": a["rnn.weight_hh_l0"][:40]})),
        "shape|rows|48",
    ),
    "missing key": ("m.safetensors", torch_names(lambda a: a.pop("rnn.weight_hh_l0")), "weight_hh_l0"),
    "trials as model": ("m.npz", lambda path: path.write_bytes(Path(TRIALS).read_bytes()), "inputs|recurrent|keys"),
}


@pytest.mark.parametrize("command", ["report", "fixed-points", "lyapunov", "gradients"])
@pytest.mark.parametrize("kind", BAD_MODELS)
def test_bad_models_are_refused_and_nothing_is_written(
    kind: str, command: str, tmp_path: Path, elsewhere: Path
) -> None:
    name, make, words = BAD_MODELS[kind]
    make(tmp_path / name)
    message = refused(dynsys_(command, tmp_path / name))
    check_words(message, words)
    assert not list(elsewhere.iterdir())


def check_words(message: str, words: str) -> None:
    """At least one of the words (separated by |) stands in the message."""
    assert any(word in message for word in words.split("|")), message


def test_the_bomb_is_live(elsewhere: Path) -> None:
    """Or the refusal above would prove nothing."""
    pickle.loads(pickle.dumps(Bomb()))
    assert (elsewhere / "boom").exists()


# bad trials


def saved(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)


def plain_array(path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 5, 3)))
    path.write_bytes(buffer.getvalue())


BAD_TRIALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no trials file"),
    "folder": (lambda path: path.mkdir(), "irectory|folder"),
    "empty file": (lambda path: path.write_bytes(b""), "cannot read trials"),
    "text": (lambda path: path.write_text("hello"), "cannot read trials"),
    "truncated": (lambda path: path.write_bytes(Path(TRIALS).read_bytes()[:5000]), "cannot read trials"),
    "flipped": (lambda path: path.write_bytes(flipped(Path(TRIALS).read_bytes())), "cannot read trials"),
    "single array": (plain_array, "cannot read trials"),
    "other names": (saved(x=np.zeros(3)), "no array `inputs`"),
    "objects": (saved(inputs=np.array([{}], dtype=object)), "cannot read trials"),
    "strings": (saved(inputs=np.array([["a", "b"]])), "inputs"),
    "complex": (saved(inputs=np.zeros((2, 5, 3), dtype=complex)), "real"),
    "nan": (saved(inputs=np.full((2, 5, 3), np.nan)), "not finite"),
    "no trials": (saved(inputs=np.zeros((0, 5, 3))), "empty"),
    "no steps": (saved(inputs=np.zeros((2, 0, 3))), "empty"),
    "wrong width": (saved(inputs=np.zeros((2, 5, 4))), "takes 3 inputs"),
    "four axes": (saved(inputs=np.zeros((2, 5, 3, 1))), "sequences of 3"),
    "tokens without embedding": (saved(tokens=np.zeros((2, 5), dtype=int)), "takes 3 inputs|embedding"),
    "hidden of another size": (saved(inputs=np.zeros((2, 5, 3)), hidden=np.zeros((2, 5, 4))), "hidden"),
    "hidden not finite": (saved(inputs=np.zeros((2, 5, 3)), hidden=np.full((2, 5, 16), np.nan)), "hidden"),
}


def flipped(data: bytes) -> bytes:
    """The bytes of a file with a stretch inside the first member inverted."""
    return data[:400] + bytes(255 - b for b in data[400:600]) + data[600:]


@pytest.mark.parametrize("kind", BAD_TRIALS)
def test_bad_trials_are_refused_and_nothing_is_written(kind: str, tmp_path: Path, elsewhere: Path) -> None:
    make, words = BAD_TRIALS[kind]
    make(tmp_path / "trials.npz")
    for command in (["gradients", MODEL], ["report", MODEL]):
        check_words(refused(dynsys_(*command, "--trials", tmp_path / "trials.npz")), words)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("kind", ["text", "single array", "truncated", "objects", "empty file"])
def test_trials_messages_are_for_users_not_for_programmers(kind: str, tmp_path: Path) -> None:
    """No advice to load pickles, and no name of an exception."""
    BAD_TRIALS[kind][0](tmp_path / "trials.npz")
    message = refused(dynsys_("gradients", MODEL, "--trials", tmp_path / "trials.npz"))
    for word in ("unsafely", "TypeError", "BadZipFile", "context manager"):
        assert word not in message


# bad options


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fixed-points", MODEL, "--input", "1,2"], "takes 3 inputs"),
        (["fixed-points", MODEL, "--input", "1,x,2"], "numbers with commas"),
        (["fixed-points", MODEL, "--input", ""], "numbers with commas"),
        (["fixed-points", MODEL, "--input", "nan,0,0"], "not finite"),
        (["fixed-points", MODEL, "--input", "1e999,0,0"], "not finite"),
        (["lyapunov", MODEL, "--input", "inf,0,0"], "not finite"),
        (["gradients", MODEL, "--input", "0,nan,0"], "not finite"),
        (["report", MODEL, "--input", "nan,0,0"], "not finite"),
        (["gradients", MODEL, "--lags", "1,x"], "whole numbers"),
        (["gradients", MODEL, "--lags", "1.5"], "whole numbers"),
        (["gradients", MODEL, "--lags", "1,,2"], "whole numbers"),
        (["gradients", MODEL, "--lags", ""], "whole numbers"),
        (["gradients", MODEL, "--lags", "0"], "increasing"),
        (["gradients", MODEL, "--lags=-1"], "increasing"),
        (["gradients", MODEL, "--lags", "5,2"], "increasing"),
        (["gradients", MODEL, "--trials", TRIALS, "--lags", "100"], "64 steps"),
        (["gradients", MODEL, "--trials", TRIALS, "--input", "0,0,0"], "not both"),
        (["lyapunov", MODEL, "--trials", TRIALS, "--input", "0,0,0"], "not both"),
        (["gradients", MODEL, "-k", 0], "from 1 to"),
        (["lyapunov", MODEL, "-k", 17], "between 1 and"),
        (["lyapunov", MODEL, "--steps", 0], "steps"),
        (["lyapunov", MODEL, "--discard", -1], "discard"),
        (["fixed-points", MODEL, "--starts", 0], "nothing to start from"),
        (["fixed-points", MODEL, "--starts", -5], "--starts"),
        (["fixed-points", MODEL, "--seed", -1], "--seed"),
        (["gradients", MODEL, "--seed", -1], "--seed"),
        (["lyapunov", MODEL, "--seed", -1], "--seed"),
        (["report", MODEL, "--seed", "x"], "--seed"),
        (["fixed-points", MODEL, "--tol", 0], "tol"),
        (["fixed-points", MODEL, "--tol", "nan"], "tol"),
        (["fixed-points", MODEL, "--tol", "inf"], "tol"),
        (["fixed-points", MODEL, "--step-duration", -1], "step-duration"),
        (["fixed-points", MODEL, "--step-duration", "nan"], "step_duration|step-duration"),
        (["fixed-points", MODEL, "--step-duration", "inf"], "step_duration|step-duration"),
        (["fixed-points", MODEL, "--module", "nope"], "there is rnn"),
        (["fixed-points", MODEL, "--nonlinearity", "relu"], "plain RNN"),
        (["report", MODEL, "--fail-on", "good"], "--fail-on"),
        (["report", MODEL, "--format", "docx"], "--format"),
        (["nope"], "nope"),
        (["report"], "MODEL"),
    ],
)
def test_bad_options_are_refused_and_nothing_is_written(arguments: list[Any], words: str, elsewhere: Path) -> None:
    check_words(refused(dynsys_(*arguments)), words)
    assert not list(elsewhere.iterdir())


def test_a_discard_longer_than_the_trials_is_said_in_the_users_numbers() -> None:
    message = refused(dynsys_("lyapunov", MODEL, "--trials", TRIALS, "--discard", 99999))
    assert "99999" in message
    assert "-97951" not in message


@pytest.mark.parametrize("out", ["file", "file/inside", "/proc/none", "x" * 300])
def test_a_report_that_cannot_be_written_is_refused(out: str, elsewhere: Path) -> None:
    (elsewhere / "file").write_text("mine")
    assert "cannot write" in refused(dynsys_(*REPORT, "--out", out))
    assert [p.name for p in elsewhere.iterdir()] == ["file"]
    assert (elsewhere / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("work", "command"),
    [
        ("dynsys.reporting.study.run_study", [*REPORT, "--out", "/proc/none"]),
        ("dynsys.reporting.study.run_study", [*REPORT, "--out", "taken"]),
        ("dynsys.reporting.graph_report.run_graph_study", ["propagate", "net.csv", "--out", "/proc/none"]),
        ("dynsys.lyapunov_spectrum", ["lyapunov", MODEL, "--plot", "/proc/none.svg"]),
        ("dynsys.gradient_spectrum", ["gradients", MODEL, "--plot", "/proc/none.svg"]),
        ("dynsys.random_networks_measured.gain_sweep", ["mean-field", "--out", "/proc/none.svg"]),
        ("dynsys.find_fixed_points", ["fixed-points", MODEL, "--out", "/proc/none.npz"]),
        ("dynsys.find_fixed_points", ["fixed-points", MODEL, "--plots", "/proc/none"]),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    work: str, command: list[Any], elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for the superuser, whom permissions do not stop: /proc takes no files, and a folder is no file."""
    (elsewhere / "net.csv").write_text("a,b\nb,c\n")
    (elsewhere / "taken" / "report.json").mkdir(parents=True)
    module, name = work.rsplit(".", 1)
    started: list[str] = []
    monkeypatch.setattr(importlib.import_module(module), name, lambda *_, **__: started.append(work))
    assert "cannot write" in refused(dynsys_(*command))
    assert not started
    assert sorted(p.name for p in elsewhere.iterdir()) == ["net.csv", "taken"]


@pytest.mark.parametrize("out", [".", "file/inside.npz", "missing/points.npz"])
def test_points_that_cannot_be_saved_are_refused(out: str, elsewhere: Path) -> None:
    (elsewhere / "file").write_text("mine")
    assert "cannot write" in refused(dynsys_("fixed-points", MODEL, *QUICK, "--out", out))
    assert [p.name for p in elsewhere.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_said() -> None:
    assert "No space left" in refused(dynsys_("fixed-points", MODEL, *QUICK, "--out", "/dev/full"))


# what a program that reads the JSON has to know


@pytest.fixture
def altered(tmp_path: Path) -> str:
    """Trials whose recorded states another network made."""
    with np.load(TRIALS) as file:
        np.savez(tmp_path / "t.npz", inputs=file["inputs"][:3, :12], hidden=file["hidden"][:3, :12] + 0.5)
    return str(tmp_path / "t.npz")


@pytest.mark.parametrize(
    "command",
    [
        ["lyapunov", MODEL, "-k", 1, "--steps", 20],
        ["gradients", MODEL, "--lags", 5, "-k", 1],
        ["worst-case", MODEL],
        ["remedies", MODEL],
        ["fixed-points", MODEL, *QUICK],
        ["fixed-points", MODEL, *QUICK, "--input", "0,0,0", "--input", "1,0,0"],
    ],
)
def test_states_that_are_not_reproduced_are_in_the_json(command: list[Any], altered: str) -> None:
    result = ran(*command, "--trials", altered, "--json", "-q")
    (said,) = strict(result.stdout)["warnings"]
    assert re.search(r"recorded states are not reproduced \(off by up to 0\.[45]\d?\)", said)
    assert said in result.stderr


def test_targets_that_are_no_numbers_are_the_callers_mistake(tmp_path: Path) -> None:
    with np.load(TRIALS) as file:
        arrays = {name: file[name] for name in ("inputs", "targets")}
    path = tmp_path / "trials.npz"
    np.savez(path, inputs=arrays["inputs"], targets=np.where(arrays["targets"] > 0, np.nan, arrays["targets"]))
    result = dynsys_("remedies", MODEL, "--trials", path, "-q")
    assert result.exit_code == 2
    assert "`targets` has values that are not finite" in result.stderr


def test_without_a_warning_there_is_no_such_key() -> None:
    result = ran("gradients", MODEL, "--trials", TRIALS, "--lags", 5, "-k", 1, "--json", "-q")
    assert "warnings" not in strict(result.stdout)
    assert result.stderr == ""


def test_lags_beyond_the_trials_are_named_and_the_others_computed() -> None:
    result = ran("gradients", MODEL, "--trials", TRIALS, "--lags", "5,64,500,600", "-k", 1, "--json", "-q")
    data = strict(result.stdout)
    assert data["lags"] == [5, 64]
    assert data["warnings"] == ["trials have 64 steps: lags 500, 600 left out."]
    assert data["warnings"][0] in result.stderr
    message = refused(dynsys_("gradients", MODEL, "--trials", TRIALS, "--lags", "65,500"))
    assert "64 steps" in message
    assert "65, 500" in message


# as a real process


def test_a_failed_analysis_ends_with_1_and_its_reason(tmp_path: Path, elsewhere: Path) -> None:
    """A ReLU network of gain 2 runs off to infinity: no exponents."""
    save_file(
        {
            "rnn.weight_ih_l0": np.ones((1, 1)), "rnn.weight_hh_l0": np.full((1, 1), 2.0),
            "rnn.bias_ih_l0": np.ones(1), "rnn.bias_hh_l0": np.zeros(1),
        },
        tmp_path / "relu.safetensors",
    )  # fmt: skip
    ended = process("lyapunov", str(tmp_path / "relu.safetensors"), "--nonlinearity", "relu", folder=elsewhere)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("dynsys: ")
    assert "infinity" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_process_prints_nothing_but_json(elsewhere: Path) -> None:
    ended = process("fixed-points", MODEL, *QUICK, "--json", folder=elsewhere)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert strict(ended.stdout)["model"]


def test_code_in_a_pickle_does_not_run_in_a_process(tmp_path: Path, elsewhere: Path) -> None:
    (tmp_path / "m.pt").write_bytes(pickle.dumps({"weight_hh_l0": Bomb()}))
    ended = process("report", str(tmp_path / "m.pt"), folder=elsewhere)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert not list(elsewhere.iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a POSIX shell")
def test_a_reader_that_leaves_early_is_no_error(elsewhere: Path) -> None:
    """`dynsys ... --json | head -c 10`: ten bytes, and no complaint on stderr."""
    code = "from dynsys.cli import main; main(prog_name='dynsys')"
    command = f"{shlex.join([sys.executable, '-c', code, 'fixed-points', MODEL, '--json'])} | head -c 10"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    ended = subprocess.run(
        ["sh", "-c", command], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert len(ended.stdout) == 10
    assert ended.stderr == ""


@pytest.mark.parametrize("command", [["cells"], ["fixed-points", MODEL, *QUICK]])
def test_a_file_named_cells_in_the_way_is_named(command: list[str], elsewhere: Path) -> None:
    (elsewhere / "cells.py").write_text("GRU = 1\n")
    ended = process(*command, folder=elsewhere)
    assert ended.returncode == 2, ended.stderr
    assert str(elsewhere / "cells.py") in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


# progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which every look takes a minute, so that progress is due at each."""
    minutes = iter(range(0, 10**6, 60))
    monkeypatch.setattr("dynsys.commands.common.time.monotonic", lambda: float(next(minutes)))


@pytest.mark.usefixtures("clock")
def test_progress_goes_to_stderr_only() -> None:
    result = ran(*REPORT, "--out", "out", "--json")
    assert "searching for fixed points" in result.stderr
    assert strict(result.stdout)["verdict"]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("quiet", ["-q", "--quiet"])
def test_quiet_keeps_stderr_empty(quiet: str) -> None:
    assert ran(*REPORT, "--out", "out", quiet).stderr == ""


def test_exact_answers_on_the_command_line() -> None:
    """Three fixed points of h = tanh(2 h + 1/2), and the folds at |b| = 0.53284 around them."""
    unit = str(EXAMPLES / "one_unit.npz")
    data = strict(ran("exact", unit, "--json", "--symbols", "b", "--parameter", "b").stdout)
    assert [b["kind"] for b in data["bifurcations"]] == ["fold", "fold"]
    assert "find_fixed_points" in data["reason"]
    data = strict(ran("exact", unit, "--json").stdout)
    assert len(data["fixed_points"]) == 3
    text = ran("exact", unit, "--symbols", "b", "--parameter", "b").stdout
    assert "0.532839975354" in text
    assert dynsys_("exact", MODEL).exit_code == 1
    assert "no parameter q" in refused(dynsys_("exact", unit, "--symbols", "q"))


def test_mean_field_beside_networks_that_were_drawn() -> None:
    """The published exponent at g = 3, measured on networks of 64 units within their spread; with a picture."""
    data = strict(
        ran("mean-field", "--gains", "0.5,3", "--units", "48", "--steps", "200", "--out", "f.svg", "--json").stdout
    )
    assert data["theory"][1]["largest_exponent"] == pytest.approx(0.31024932, abs=1e-8)
    assert [len(row) for row in data["measured"]] == [3, 3]
    assert np.mean(data["measured"][1]) == pytest.approx(0.31, abs=0.1)
    assert np.mean(data["measured"][0]) == pytest.approx(np.log(0.5), abs=0.1)
    assert Path("f.svg").read_text(encoding="utf-8").count("<path") > 5
    assert "diverges" in ran("mean-field", "--gains", "1.5", "--bias", "1", "--activation", "relu").stdout
    assert "diverges" in ran("mean-field", "--gains", "1.5", "--activation", "softplus").stdout
    assert "kept as it starts" in ran("mean-field", "--gains", "0.5,1", "--activation", "identity").stdout
    assert "numbers with commas" in refused(dynsys_("mean-field", "--gains", "a"))
    assert "no folder 'nowhere'" in refused(dynsys_("mean-field", "--gains", "1,2", "--out", "nowhere/f.svg"))
    assert "picture" in refused(dynsys_("mean-field", "--gains", "1,2", "--out", "f.doc"))


def test_lyapunov_says_how_exponents_vary_over_orders_of_the_trials(elsewhere: Path) -> None:
    """Five orders by default, each a sequence of its own; one if one is asked for; times and a picture on request."""
    out = json.loads(ran("lyapunov", MODEL, "--trials", TRIALS, "-k", 2, "--json", "-q").stdout)
    assert len(out["by_sequence"]) == 5
    assert "in 5 orders" in out["drive"]
    assert out["spread"][0] == pytest.approx(np.std([row[0] for row in out["by_sequence"]], ddof=1))
    out = json.loads(
        ran("lyapunov", MODEL, "--trials", TRIALS, "-k", 1, "--orders", 1, "--step-duration", 0.01,
            "--plot", "exponents.svg", "--json", "-q").stdout
    )  # fmt: skip
    assert len(out["by_sequence"]) == 1
    assert out["times_ms"][0] == pytest.approx(10 * out["times"][0])
    assert (elsewhere / "exponents.svg").read_text().startswith("<?xml")


def test_covariant_vectors_have_their_angles_a_picture_and_a_file(elsewhere: Path) -> None:
    """JSON has the summary; the file has the vectors, on which the angles of the summary can be measured again."""
    out = json.loads(
        ran("covariant", MODEL, "--trials", TRIALS, "-k", 3, "--steps", 40, "--discard", 300, "--align", 300,
            "--plot", "angles.svg", "--out", "vectors.npz", "--json", "-q").stdout
    )  # fmt: skip
    assert "vectors" not in out
    with np.load(elsewhere / "vectors.npz") as file:
        vectors = file["vectors"]
    assert vectors.shape == (40, 16, 3)
    cosines = np.abs(np.einsum("tni,tnj->tij", vectors, vectors))
    np.testing.assert_allclose(out["angles"], np.arccos([[c[0, 1], c[1, 2]] for c in cosines]), atol=1e-6)
    least = np.arccos(np.minimum(cosines.max(axis=0), 1.0))
    np.testing.assert_allclose(out["pair_angles"], least, atol=1e-6)
    np.testing.assert_allclose(out["angle_quantiles"][0], np.min(out["angles"], axis=0), atol=1e-12)
    assert out["splitting_quantiles"] is None  # all of them shrink
    assert (elsewhere / "angles.svg").read_text().startswith("<?xml")
    shown = ran("covariant", MODEL, "-k", 2, "--steps", 5, "--input", "0,0,0", "-q").stdout
    assert "radians or more" in shown
    assert dynsys_("covariant", MODEL, "--out", "vectors.txt").exit_code == 2


def test_gradients_have_their_horizon_in_ms_and_a_picture(elsewhere: Path) -> None:
    result = ran("gradients", MODEL, "--trials", TRIALS, "--lags", "1,5,20", "--step-duration", 0.01,
                 "--plot", "gains.png", "-q")  # fmt: skip
    assert "5 steps = 50 ms" in result.stdout
    assert (elsewhere / "gains.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("name", ["gains.doc", "nowhere/gains.svg"])
def test_a_picture_that_cannot_be_written_is_the_callers_mistake(name: str) -> None:
    result = dynsys_("gradients", MODEL, "--lags", "1,2", "--plot", name, "-q")
    assert result.exit_code == 2
    assert "gains" in result.stderr


def test_worst_case_bounds_what_it_measures() -> None:
    found = json.loads(ran("worst-case", MODEL, "--trials", TRIALS, "-q", "--json").stdout)
    assert found["largest_norm"] <= found["visited_bound"] <= found["bound"]
    assert found["joint"]["lower"] <= found["joint"]["upper"]
    assert found["low"] == [-1.0, -1.0, -1.0]
    given = json.loads(ran("worst-case", MODEL, "--low", "-1", "--high", "1,1,0", "-q", "--json").stdout)
    assert given["high"] == [1.0, 1.0, 0.0]
    assert "vanishing gradients for all inputs" in ran("worst-case", MODEL, "--low", "0", "--high", "0").stdout
    assert "--low and --high" in refused(dynsys_("worst-case", MODEL, "--low", "0"))
    for low, high, option in (("a", "1", "--low"), ("1", "1,,2", "--high")):
        said = refused(dynsys_("worst-case", MODEL, "--low", low, "--high", high))
        assert f"{option} must be numbers with commas" in said
        assert "--input" not in said


def test_remedies_in_ms_and_left_out_of_a_report() -> None:
    found = json.loads(ran("remedies", MODEL, "--trials", TRIALS, "--step-duration", "0.01", "-q", "--json").stdout)
    (bias,) = [r for r in found["remedies"] if r["id"] == "forget-bias"]
    assert found["ms"]["forget-bias"]["after"] == pytest.approx(10 * bias["after"])
    without = ran("report", MODEL, "--trials", TRIALS, *QUICK, "--format", "json", "--no-remedies", "-q", "--json")
    assert "remedies" not in json.loads(without.stdout)
