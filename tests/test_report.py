"""Reports of networks whose truth is known: never an exception, true findings, files that hold what they show."""

from __future__ import annotations

import html
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError
from dynsys.readings.arb_arrays import flint
from dynsys.reporting import Report
from dynsys.reporting.wording import multiplier, small
from dynsys.trials import load_trials

EXAMPLES = Path(__file__).parents[1] / "examples"
FINDING = {"id", "severity", "title", "value", "uncertainty", "method", "meaning", "advice"}
SEVERITIES = ["critical", "warning", "info", "good"]
KEYS = {
    "schema_version", "verdict", "findings", "model", "fixed_points", "cycles", "branches", "lyapunov", "gradients",
    "propagation", "certificates", "environment", "exact", "gate_time_constants", "training", "remedies", "worst_case",
    "covariant",
}  # fmt: skip


def rotation(n: int) -> np.ndarray:
    """A rotation of every plane by another angle: orthogonal, and without the eigenvalue 1."""
    out = np.zeros((n, n))
    for i in range(0, n, 2):
        a = 0.7 + i
        out[i : i + 2, i : i + 2] = [[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]]
    return out


def linear(U: np.ndarray) -> cells.Elman:
    return cells.Elman(U=U, activation="identity")


def function(f: Callable[[Any], Any], n: int = 1, box: tuple[float, float] | None = None) -> dynsys.Map:
    return dynsys.as_map(f, state_size=n, box=box)


def henon(h: Any) -> Any:
    return [1 - 1.4 * h[0] ** 2 + h[1], 0.3 * h[0]]


NETWORKS: dict[str, Callable[[], Any]] = {
    "lstm": lambda: cells.LSTM.random(6, 2, seed=1),
    "gru": lambda: cells.GRU.random(5, 2, seed=1),
    "gru without inputs": lambda: cells.GRU.random(4, 0, seed=1),
    "elman without inputs": lambda: cells.Elman.random(4, 0, gain=1.5, seed=1),
    "relu without a box": lambda: cells.Elman(
        U=[[0.5, 0.2], [-0.3, 0.4]], W=np.ones((2, 1)), b=np.ones(2), activation="relu"
    ),
    "one unit": lambda: cells.Elman(U=[[0.5]]),
    "one-unit lstm": lambda: cells.LSTM.random(1, 1, seed=0),
    "stack": lambda: dynsys.stack(cells.GRU.random(4, 2, seed=0), cells.LSTM.random(3, 4, seed=1)),
    "closed loop": lambda: dynsys.close_loop(cells.Elman.random(4, 2, seed=0), np.ones((2, 4))),
    "iterate": lambda: dynsys.iterate(cells.Elman.random(4, 2, seed=0), 2),
    "henon": lambda: function(henon, 2, (-2, 2)),
    "henon without a box": lambda: function(henon, 2),
    "logistic": lambda: function(lambda h: 4 * h * (1 - h), 1, (0, 1)),
    "no fixed point": lambda: function(lambda h: h + 1.0, 1, (-1, 1)),
    "identity": lambda: function(lambda h: 1.0 * h, 2, (-1, 1)),
    "chaos": lambda: cells.Elman.random(30, 0, gain=3, seed=0),
    "two-cycles": lambda: cells.Elman(U=-2 * np.eye(2)),
    "running off": lambda: function(lambda h: 1.4 * h + h**3 + 1),
    "contracting": lambda: linear(0.5 * rotation(6)),
    "exploding": lambda: linear(3.0 * rotation(6)),
    "orthogonal": lambda: linear(rotation(6)),
    "orthogonal with a fixed line": lambda: linear(np.diag([1.0, -1.0])),
    "slow both ways": lambda: linear(np.diag([0.98, 1.005])),
    "not normal": lambda: linear(np.array([[0.5, 10.0], [0.0, 0.5]])),
    "constant": lambda: cells.Elman(U=np.zeros((3, 3)), b=np.ones(3)),
    "zero": lambda: function(lambda h: 0.0 * h, 3, (-1, 1)),
    "kinks": lambda: function(lambda h: np.interp(h, [-1, 0, 1], [0.5, -0.2, 0.3]), 1, (-1, 1)),
    "pitchfork": lambda: cells.Elman(U=[[2.0]]),
    "at the bifurcation": lambda: cells.Elman(U=[[1.0]]),
}
made: dict[str, Report] = {}


def reported(name: str) -> Report:
    """The report of one of the networks above, made once."""
    if name not in made:
        made[name] = dynsys.report(NETWORKS[name](), None, n_starts=128)
    return made[name]


def ids(name: str) -> set[str]:
    return {finding.id for finding in reported(name).findings}


def finding(name: str, id_: str) -> Any:
    return next(f for f in reported(name).findings if f.id == id_)


def strict(text: str) -> Any:
    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def flipflop(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The whole report of the flip-flop network on its trials, all formats."""
    f = dynsys.load(EXAMPLES / "flipflop_gru.safetensors")
    trials = load_trials(EXAMPLES / "flipflop_gru_trials.npz", f)
    formats = ("html", "pdf", "json") if has_typst() else ("html", "json")
    return dynsys.report(f, tmp_path_factory.mktemp("report"), formats, trials=trials, step_duration=0.02)


@pytest.fixture(scope="module")
def page(flipflop: Report) -> str:
    return flipflop.files["html"].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data(flipflop: Report) -> Any:
    return strict(flipflop.files["json"].read_text(encoding="utf-8"))


def has_typst() -> bool:
    from importlib.util import find_spec

    return find_spec("typst") is not None


# Every network


@pytest.mark.parametrize("name", NETWORKS)
def test_any_network_has_a_report_with_strict_json(name: str, tmp_path: Path) -> None:
    """Analysed, rendered and written without an exception or a warning."""
    report = dynsys.report(NETWORKS[name](), tmp_path / "out", ("html", "json"), n_starts=128)
    made.setdefault(name, report)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.html", "report.json"}
    said = strict((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert said["verdict"] == report.verdict
    assert len(said["findings"]) == len(report.findings)


@pytest.mark.parametrize("name", NETWORKS)
def test_findings_are_ranked_and_complete(name: str) -> None:
    data, document = reported(name).document.data, reported(name).document
    sections = {section.id for section in document.sections}
    ranks = [SEVERITIES.index(f["severity"]) for f in data["findings"]]
    assert ranks == sorted(ranks)
    for f in data["findings"]:
        assert f.keys() >= FINDING
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", f["id"])
        assert f["section"] in sections
        assert f["title"]
        assert f["meaning"]
        assert f["advice"]


@pytest.mark.parametrize("name", NETWORKS)
def test_verdict_is_one_sentence(name: str) -> None:
    verdict = reported(name).verdict
    assert verdict.endswith(".")
    assert ". " not in verdict
    assert "\n" not in verdict
    assert verdict[0].isupper() or verdict[0].isdigit()


@pytest.mark.parametrize("name", NETWORKS)
def test_good_and_grave_findings_do_not_contradict_each_other(name: str) -> None:
    for one, other in [
        ("exploding-gradients", "gradients-reach"),
        ("all-orbits-settle", "orbits-not-at-rest"),
        ("all-orbits-settle", "orbits-diverge"),
        ("all-orbits-settle", "no-stable-fixed-point"),
        ("contracting", "expanding"),
        ("contracting", "chaotic"),
        ("gradients-reach", "vanishing-gradients"),
    ]:
        assert not {one, other} <= ids(name), (one, other)


# One rule, one truth


def test_half_an_orthogonal_map_contracts_at_log_2() -> None:
    f = finding("contracting", "contracting")
    assert f.severity == "good"
    assert f.value == pytest.approx(-math.log(2), abs=1e-12)


def test_everything_settles_in_a_contraction() -> None:
    assert finding("contracting", "all-orbits-settle").value == 1.0


def test_three_times_an_orthogonal_map_explodes() -> None:
    f = finding("exploding", "exploding-gradients")
    assert f.severity == "critical"
    assert f.value == pytest.approx(100 * math.log(3), rel=1e-12)
    assert "explode" in reported("exploding").verdict


def test_gradients_reach_through_an_orthogonal_map() -> None:
    f = finding("orthogonal", "gradients-reach")
    assert f.severity == "good"
    assert f.value == 100


def test_an_orthogonal_map_neither_contracts_nor_expands() -> None:
    assert finding("orthogonal", "critical-within-error").value == pytest.approx(0, abs=1e-12)
    assert not ids("orthogonal") & {"expanding", "contracting", "chaotic"}


def test_gradients_fade_where_half_to_the_lag_falls_below_a_hundredth() -> None:
    """0.5^6 > 1/100 > 0.5^7, and the ladder measures lag 6."""
    f = finding("contracting", "vanishing-gradients")
    assert (f.value, f.severity) == (6, "warning")


def test_fading_gradients_are_expected_where_attractors_hold_the_memory() -> None:
    assert finding("pitchfork", "vanishing-gradients").severity == "info"


def test_nothing_reaches_through_a_constant_map() -> None:
    assert finding("constant", "vanishing-gradients").value == 0


def test_a_map_without_a_fixed_point_says_so() -> None:
    assert finding("no fixed point", "no-stable-fixed-point").value == 0
    assert reported("no fixed point").verdict.startswith("No fixed point")
    assert "fixed-points" not in ids("no fixed point")


def test_a_state_that_moves_at_one_speed_everywhere_does_not_linger() -> None:
    assert "slow-points" not in ids("no fixed point")


@pytest.mark.parametrize("name", ["identity", "orthogonal with a fixed line", "at the bifurcation"])
def test_fixed_points_that_cannot_be_told_apart_are_not_called_none(name: str) -> None:
    """Every state of the identity is fixed; of diag(1, -1) a line of them; of tanh the origin, a triple root."""
    assert not reported(name).verdict.lower().startswith("no fixed point")


def test_orbits_of_the_identity_are_at_rest() -> None:
    assert "orbits-not-at-rest" not in ids("identity")


def test_memories_in_stable_two_cycles_are_seen() -> None:
    """h' = tanh(-2 h) per unit: the origin is unstable, almost every orbit ends on a cycle of period 2."""
    f = finding("two-cycles", "stable-cycles")
    assert f.value == pytest.approx(1.0, abs=0.02)
    assert finding("two-cycles", "no-stable-fixed-point").severity == "warning"
    assert reported("two-cycles").study.basins.cycles.keys() == {2}


def test_an_orbit_that_runs_off_has_no_exponents_and_the_reason_is_given() -> None:
    assert "infinity" in finding("running off", "analysis-failed").meaning
    assert "lyapunov" not in reported("running off").document.data
    said = finding("running off", "orbits-diverge")
    assert (said.value, said.severity, said.title) == (1.0, "warning", "Every orbit runs off to infinity")
    assert "orbits-not-at-rest" not in ids("running off")
    assert "every orbit runs off to infinity" in reported("running off").verdict


def test_shares_that_run_off_and_that_stay_are_both_in_the_verdict() -> None:
    """Of the box (-2, 2) around the Hénon attractor a part runs off; h' = tanh(2 h) is bounded."""
    said = finding("henon", "orbits-diverge")
    assert 0.3 < said.value < 0.8
    low, high = said.uncertainty
    assert low < said.value < high
    assert f"{100 * said.value:.1f} % of orbits run off to infinity" in reported("henon").verdict
    assert "% of orbits end on a chaotic set" in reported("henon").verdict
    assert "orbits-diverge" not in ids("pitchfork")


def test_a_slow_mode_that_grows_is_not_said_to_last() -> None:
    """|mu| = 0.98 decays by e in 49.5 steps, no half trial of 100; 1.005 grows by e in 200.5 and doubles in 139."""
    said = finding("slow both ways", "slow-modes")
    assert said.title == "1 slow mode: growing, by a factor e in half a trial or longer"
    assert said.value == pytest.approx(-1 / np.log(1.005))
    assert "grows by a factor e in 200 steps, doubles in 139" in said.shown or "in 201 steps" in said.shown
    assert "lasting" not in said.title


def test_slow_modes_are_counted_by_what_they_do() -> None:
    f = linear(np.diag([0.99, -0.991, 1.005, 0.5]))
    said = next(x for x in dynsys.report(f, None, n_starts=32).findings if x.id == "slow-modes")
    assert said.title.startswith("3 slow modes: 2 decaying, 1 growing")


def test_transient_growth_of_a_map_that_is_not_normal() -> None:
    """J = [[.5, 10], [0, .5]]: |J| = 10.025, |J^2| = 10.0063, then falling."""
    f = finding("not normal", "transient-growth")
    assert f.value == pytest.approx(np.linalg.norm([[0.5, 10.0], [0.0, 0.5]], 2), rel=1e-12)
    assert f.severity == "warning"


def test_a_multiplier_on_the_unit_circle_is_undecided() -> None:
    assert finding("orthogonal", "stability-undecided").severity == "warning"
    assert "undecided" in finding("orthogonal", "fixed-points").title


def test_a_pitchfork_has_two_attractors_and_one_bit() -> None:
    f = finding("pitchfork", "fixed-points")
    assert f.value == 3
    assert "2 attractors" in f.title
    assert re.search(r"\(1 bits?\)", f.meaning)


def test_a_positive_exponent_over_a_short_drive_is_not_called_chaos() -> None:
    """The logistic map at r = 4, exponent ln 2, for 3000 steps of an input that it does not hear."""
    f = dynsys.as_map(lambda h, u: 4 * h * (1 - h) + 0 * u, state_size=1, input_size=1, box=(0, 1))
    findings = dynsys.report(Started(f), None, inputs=np.zeros((3000, 1)), n_starts=64).findings
    expanding = next(f for f in findings if f.id == "expanding")
    assert expanding.value == pytest.approx(math.log(2), abs=5 * expanding.uncertainty)
    assert "chaotic" not in {f.id for f in findings}


def test_where_something_grows_the_angles_of_covariant_vectors_are_shown(tmp_path: Path) -> None:
    """Henon's map: one direction grows, one shrinks, and they come near each other; a contraction has none of it."""
    written = dynsys.report(NETWORKS["henon"](), tmp_path, ["html", "json"], n_starts=128).files
    found = strict(written["json"].read_text())["covariant"]
    assert (found["n_expanding"], found["n_contracting"]) == (1, 1)
    assert 0 < found["splitting_quantiles"][0] < 0.1 < found["splitting_quantiles"][2]
    assert found["exponents"][0] + found["exponents"][1] == pytest.approx(math.log(0.3), abs=0.02)
    assert "vectors" not in found
    page = written["html"].read_text()
    assert "covariant-angles" in page
    assert "not hyperbolic" in page
    assert reported("contracting").study.covariant is None


def test_chaos_is_called_so_over_ten_thousand_steps() -> None:
    """The logistic map at r = 4, exponent ln 2, with an input that it does not hear."""
    f = dynsys.as_map(lambda h, u: 4 * h * (1 - h) + 0 * u, state_size=1, input_size=1, box=(0, 1))
    start_elsewhere = np.zeros((12_000, 1))
    said = dynsys.report(Started(f), None, inputs=start_elsewhere, n_starts=64)
    chaos = next(f for f in said.findings if f.id == "chaotic")
    assert chaos.severity == "warning"
    assert chaos.value == pytest.approx(math.log(2), abs=5 * chaos.uncertainty)


def Started(f: dynsys.Map) -> dynsys.Map:
    """The same map with 0.3 as its own initial state, since 0 is a fixed point."""
    f.initial_state = np.array([0.3])
    return f


def test_derivatives_by_differences_are_a_warning() -> None:
    assert finding("kinks", "derivatives-by-differences").severity == "warning"
    assert "derivatives-by-differences" not in ids("henon")


def test_points_met_once_are_said_to_leave_room_for_more() -> None:
    """81 points of four decoupled units at gain 2: 128 starts meet some of them once."""
    said = dynsys.report(cells.Elman(U=2 * np.eye(4)), None, n_starts=128)
    completeness = said.study.fixed_points.completeness
    incomplete = [f for f in said.findings if f.id == "search-incomplete"]
    assert bool(incomplete) == bool(completeness.singletons)
    assert incomplete
    assert incomplete[0].value == completeness.estimate


def test_recorded_states_that_agree_are_good_news(flipflop: Report) -> None:
    f = next(f for f in flipflop.findings if f.id == "replay-agrees")
    assert f.severity == "good"
    assert f.value < 1e-5


def test_recorded_states_of_another_network_are_critical_and_in_the_verdict() -> None:
    f = dynsys.load(EXAMPLES / "flipflop_gru.safetensors")
    trials = load_trials(EXAMPLES / "flipflop_gru_trials.npz", f)
    other = dynsys.as_map(cells.GRUResetAfter.random(16, 3, seed=0))
    said = dynsys.report(other, None, trials=trials, n_starts=32)
    assert said.findings[0].id == "replay-differs"
    assert said.findings[0].severity == "critical"
    assert "NOT reproduced" in said.verdict


# The files


def test_flip_flop_report_holds_the_known_portrait(data: Any) -> None:
    points = data["fixed_points"]
    assert np.bincount(points["n_unstable"]).tolist() == [8, 12, 6, 1]
    assert max(points["residuals"]) < 1e-12
    assert "8 of them stable" in data["verdict"]


def test_json_has_the_keys_of_the_contract(data: Any) -> None:
    assert {"schema_version", "verdict", "findings", "model", "fixed_points", "environment"} <= data.keys()
    assert {"lyapunov", "gradients"} <= data.keys()
    assert data.keys() - KEYS <= {"portrait", "failures", "attractors", "wiring", "slow_manifolds"}


def test_json_names_file_hash_seed_and_versions(data: Any) -> None:
    import hashlib

    content = (EXAMPLES / "flipflop_gru.safetensors").read_bytes()
    assert data["environment"]["SHA-256"] == hashlib.sha256(content).hexdigest()
    assert data["environment"]["dynsys"] == dynsys.__version__
    assert data["environment"]["numpy"] == np.__version__


def test_html_is_small_and_loads_nothing(page: str) -> None:
    assert len(page.encode()) < 1_500_000
    assert not re.findall(r"<(?:link|script|img|iframe)[^>]*(?:src|href)=[\"'](?!data:|#)", page)
    assert not re.findall(r"(?:@import|url\()\s*[\"']?https?:", page)
    assert "default-src 'none'" in page


def test_html_table_shows_the_numbers_of_the_json(page: str, data: Any) -> None:
    """The row of every fixed point: kind, leading multiplier, residual, error, hits."""
    table = page[page.index("<table") : page.index("</table>")]
    rows = [
        [html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", table[table.index("<tbody") :], flags=re.S)
    ]
    points = data["fixed_points"]
    assert len(rows) == len(points["states"]) == 27
    for i, row in enumerate(rows):
        assert row[0] == str(i + 1)
        assert row[1].startswith(points["kinds"][i])
        assert row[2] == multiplier(complex(*points["multipliers"][i][0]))
        assert row[3] == small(points["speeds"][i] ** 2 / 2)
        assert row[4] == small(points["residuals"][i])
        assert row[5] == small(points["errors"][i])
        assert row[6] == str(points["hits"][i])


def test_every_finding_is_in_the_page_with_a_link_to_its_evidence(page: str, data: Any) -> None:
    for f in data["findings"]:
        assert f'id="finding-{f["id"]}"' in page
        assert f'id="sec-{f["section"]}"' in page


def test_times_in_ms_where_a_step_has_a_length(page: str, data: Any) -> None:
    np.testing.assert_allclose(
        np.array(data["fixed_points"]["time_constants_ms"], dtype=float),
        20.0 * np.array(data["fixed_points"]["time_constants"], dtype=float),
    )
    assert " ms)" in page


@pytest.mark.skipif(not has_typst(), reason="needs typst")
def test_pdf_is_a_pdf(flipflop: Report) -> None:
    content = flipflop.files["pdf"].read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")


def test_the_same_analysis_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    formats = ("html", "pdf", "json") if has_typst() else ("html", "json")
    for folder in ("a", "b"):
        dynsys.report(cells.GRU.random(4, 2, seed=1), tmp_path / folder, formats, n_starts=64)
    for name in formats:
        first, second = ((tmp_path / folder / f"report.{name}").read_bytes() for folder in ("a", "b"))
        assert first == second
    assert b"2001-09-09" in (tmp_path / "a" / "report.html").read_bytes()


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "$\\href{x}{y}$ `*_#"])
def test_a_hostile_name_is_only_text(name: str) -> None:
    f = dynsys.as_map(cells.Elman(U=[[0.5]]))
    f.name = name
    page = dynsys.report(f, None, n_starts=16, title=name)._repr_html_()
    inner = html.unescape(page)
    assert "<script>alert" not in inner
    assert "<img" not in inner


def test_a_hostile_file_name_and_trials_name_are_only_text(tmp_path: Path) -> None:
    path = tmp_path / "<script>alert(1)<.safetensors"
    path.write_bytes((EXAMPLES / "flipflop_gru.safetensors").read_bytes())
    report = dynsys.report(dynsys.load(path), tmp_path / "out", ("html", "json"), n_starts=128)
    assert "<script>alert" not in report.files["html"].read_text(encoding="utf-8")
    assert strict(report.files["json"].read_text(encoding="utf-8"))["environment"]["Model file"] == str(path)


# The door


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert dynsys.report(cells.Elman(U=[[0.5]]), None, n_starts=16).files == {}
    assert not list(tmp_path.iterdir())


def test_formats_decide_the_files(tmp_path: Path) -> None:
    dynsys.report(cells.Elman(U=[[0.5]]), tmp_path, ("json",), n_starts=16)
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_the_constant_input_reaches_the_search() -> None:
    """h' = tanh(h/2 + u) at u = 1: the one fixed point solves that equation."""
    report = dynsys.report(cells.Elman(U=[[0.5]], W=[[1.0]]), None, input=[1.0], n_starts=16)
    (state,) = report.study.fixed_points.states[:, 0]
    assert math.tanh(0.5 * state + 1.0) == pytest.approx(state, abs=1e-14)
    assert "at the given input" in report.verdict


def test_title_and_command_are_shown() -> None:
    report = dynsys.report(cells.Elman(U=[[0.5]]), None, n_starts=16, title="My unit", command="dynsys report x")
    assert report.document.title == "My unit"
    assert ("Command", "dynsys report x") in report.document.reproducibility


def test_progress_is_told_in_order() -> None:
    seen: list[tuple[int, int, str]] = []
    dynsys.report(cells.Elman(U=[[0.5]]), None, n_starts=16, progress=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert len(seen) >= 5
    assert all(done <= total and message for done, total, message in seen)


def test_report_leaves_the_global_generator_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    dynsys.report(cells.Elman(U=[[0.5]]), None, n_starts=16)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"formats": ("docx",)}, "docx"),
        ({"input": [1.0, 2.0]}, "inputs"),
        ({"input": [np.nan]}, "not finite"),
        ({"inputs": np.zeros((5, 2))}, "takes 1 inputs|takes 1 input"),
        ({"inputs": np.full((5, 1), np.inf)}, "not finite"),
        ({"step_duration": -1.0}, "step_duration"),
        ({"step_duration": math.inf}, "step_duration"),
        ({"seed": -1}, "seed"),
        ({"n_starts": -1}, "n_starts|start"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(arguments: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        dynsys.report(cells.Elman(U=[[0.5]], W=[[1.0]]), tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_digits_lstm_on_two_of_its_trials() -> None:
    """A trained network whose cell state is unbounded: all sections, and a finite-time exponent by its right name."""
    f = dynsys.load(EXAMPLES / "digits_lstm.safetensors")
    with np.load(EXAMPLES / "digits_lstm_trials.npz") as file:
        inputs = np.asarray(file["inputs"], dtype=np.float64)[:2].swapaxes(0, 1)
    report = dynsys.report(f, None, inputs=inputs, n_starts=32)
    said = report.document.data
    assert {"lyapunov", "gradients"} <= said.keys()
    assert np.shape(said["fixed_points"]["states"])[1] == 96
    assert "chaotic" not in {f.id for f in report.findings}


def test_a_report_does_without_the_package_for_proofs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """sin and cos need ball arithmetic to be proven about: without python-flint points stay undecided, and say why."""
    flint.cache_clear()  # as in a process that has not met the package yet
    monkeypatch.setitem(sys.modules, "flint", None)

    def sines(state: Any) -> Any:
        x, y = state
        return [np.sin(1.5 * x) + 0.2 * np.cos(y), 0.5 * np.sin(x)]

    f = dynsys.as_map(sines, 2, box=(-2, 2))
    report = dynsys.report(f, tmp_path, ["json"])
    assert report.study.certificates is not None
    assert set(report.study.certificates.status) == {"undecided"}
    assert "python-flint" in report.study.certificates.reasons[0]
    assert report.study.gate_times is None
    assert not dynsys.find_fixed_points(f, prove=True).completeness.proven
    assert "inf" in str(dynsys.worst_case(f, low=[], high=[]))
