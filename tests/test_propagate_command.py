"""`dynsys propagate` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest
import scipy.sparse
from click.testing import CliRunner

from dynsys.cli import main
from dynsys.graphs import as_graph
from dynsys.propagate import sensitivity
from dynsys.reporting import graph_exponents, graph_figures, graph_remedies, graph_study
from dynsys.reporting.findings_on_graphs import _influence
from dynsys.reporting.graph_study import _narrow

GRAPH = nx.barbell_graph(5, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "graph.csv").write_text("\n".join(f"{a},{b}" for a, b in GRAPH.edges()))
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "X.npz", features=generator.standard_normal((12, 3)))
    np.savez(tmp_path / "short.npz", features=np.ones((11, 3)))
    weights = {"conv1.lin.weight": generator.standard_normal((3, 3)), "conv1.bias": generator.standard_normal(3)}
    np.savez(tmp_path / "net.npz", **weights)
    return tmp_path


def run(*arguments: object) -> object:
    return CliRunner().invoke(main, ["propagate", *map(str, arguments)])


def test_quick_json_is_the_propagation_itself(folder: Path) -> None:
    result = run(folder / "graph.csv", "--features", folder / "X.npz", "--depth", 9, "--quick", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert len(said["energy"]) == len(said["collapse_distance"]) == 10
    assert said["normalization"] == "sym+loops"
    assert said["rate"] == pytest.approx(np.log(said["lambda_star"]), abs=0.05)


def test_a_report_with_a_model(folder: Path) -> None:
    out = folder / "report"
    result = run(
        folder / "graph.csv", folder / "net.npz", "--features", folder / "X.npz", "--depth", 6, "--out", out,
        "--format", "html", "--format", "json", "--json", "--nonlinearity", "tanh",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    stored = json.loads((out / "report.json").read_text())
    assert said["depth"] == stored["propagation"]["depth"] == 6
    assert {finding["id"] for finding in stored["findings"]} >= {"smoothing-rate", "propagation-note"}
    page = (out / "report.html").read_text()
    for section in ("The graph", "Collapse with depth", "Gradients through depth", "Squashing and bottlenecks"):
        assert section in page
    assert "What would change it" in page
    assert "largest singular values of the Jacobian of a layer" in page
    assert "Lyapunov exponents over layers" in page
    tied = stored["layer_exponents"]["tied"]
    assert tied["what"] == "layer 1 of the network repeated, 3 features"
    assert len(stored["layer_exponents"]["random"]["measured"]["exponents"]) == 16
    values = np.array(stored["propagation"]["jacobian_singular_values"][1:], dtype=float)
    np.testing.assert_allclose(values[:, 0], stored["propagation"]["jacobian_gain"][1:], rtol=1e-6)
    assert all(np.isfinite(stored["propagation"]["weight_gradient"][1:]))


def test_the_time_can_be_limited(folder: Path) -> None:
    out = folder / "report"
    result = run(folder / "graph.csv", "--budget-seconds", 0, "--out", out, "--format", "json", "--depth", 4)
    assert result.exit_code == 0, result.output
    stored = json.loads((out / "report.json").read_text())
    assert "part-left-out" in {finding["id"] for finding in stored["findings"]}
    assert "influence" not in stored


def test_failing_on_a_severity(folder: Path) -> None:
    result = run(
        folder / "graph.csv", "--depth", 900, "--out", folder / "r", "--format", "json", "--fail-on", "warning"
    )
    assert result.exit_code == 1
    assert "signal-collapses" in result.output


def test_string_names_labels_and_sparse_features(folder: Path) -> None:
    (folder / "named.csv").write_text("\n".join(f"a{a},a{b}" for a, b in GRAPH.edges()))
    assert run(folder / "named.csv", "--depth", 3, "--quick").exit_code == 0
    scipy.sparse.save_npz(folder / "sparse.npz", scipy.sparse.csr_array(np.eye(12)))
    result = run(folder / "graph.csv", "--features", folder / "sparse.npz", "--depth", 3, "--quick", "--json")
    assert json.loads(result.stdout)["norm"][0] == pytest.approx(np.sqrt(12))
    edges = np.array(list(GRAPH.edges())).T
    labelled = {"labels": np.repeat([0, 1], 6), "train_idx": np.array([0, 11]), "test_idx": np.arange(1, 11)}
    np.savez(folder / "full.npz", edges=edges, features=np.eye(12), **labelled)
    result = run(folder / "full.npz", "--depth", 3, "--quick", "--json", "--rows-to-one")
    assert json.loads(result.stdout)["probe"][3] == 1.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.csv",), "there is no file"),
        (("graph.csv", "--features", "short.npz"), "the graph has 12 nodes, `features` has 11 rows"),
        (("graph.csv", "--features", "net.npz"), "features need an array"),
        (("graph.csv", "X.npz"), "cannot load"),
        (("graph.csv", "--module", "encoder"), "about a MODEL"),
        (("graph.csv", "examples/flipflop_gru.pt"), "no graph convolutions"),
        (("empty.csv",), "no lines"),
        (("negative.csv",), "negative"),
        (("nan.csv",), "finite"),
        (("directed.graphml",), "--symmetrise"),
        (("header.csv",), "has a header, but no edges"),
        (("text.csv",), "numbers; one is 'abc'"),
        (("huge.csv",), "more than a float can hold"),
        (("folder",), "is a folder"),
        (("text.npz",), "no NumPy file at all"),
        (("cut.npz",), "not a zip file"),
        (("graph.csv", "--features", "objects.npz"), "Python objects"),
        (("graph.csv", "--features", "labelled.npz"), "needs a class for each"),
        (("graph.csv", "--features", "classes.npz"), "whole numbers or names"),
        (("graph.csv", "--budget-seconds", "nan"), "not a number of seconds"),
    ],
)
def test_mistakes_are_answered_with_one_line(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    (folder / "empty.csv").write_text("")
    (folder / "negative.csv").write_text("0,1,-1\n1,2,1\n")
    (folder / "nan.csv").write_text("0,1,nan\n1,2,1\n")
    nx.write_graphml(nx.DiGraph([(0, 1), (1, 2)]), folder / "directed.graphml")
    (folder / "header.csv").write_text("source,target\n")
    (folder / "text.csv").write_text("0,1,abc\n1,2,1\n")
    (folder / "huge.csv").write_text("0,1,1e308\n1,2,1e308\n")
    (folder / "folder").mkdir()
    (folder / "text.npz").write_text("no archive")
    (folder / "cut.npz").write_bytes((folder / "X.npz").read_bytes()[:200])
    np.savez(folder / "objects.npz", features=np.ones((12, 3)).astype(object))
    split = {"train_idx": np.arange(4), "test_idx": np.arange(4, 9)}
    np.savez(folder / "labelled.npz", features=np.ones((12, 3)), labels=np.zeros(11, int), **split)
    np.savez(folder / "classes.npz", features=np.ones((12, 3)), labels=np.full(12, 0.5), **split)
    known = {p.name for p in folder.iterdir()} | {"missing.csv"}
    given = [folder / a if a in known else a for a in arguments]
    result = run(*given, "--quick")
    assert result.exit_code == 2, result.output
    assert words in result.output.replace("\n", " ")
    assert "Traceback" not in result.output


def test_a_graph_network_is_sent_to_the_right_command(folder: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(folder / "net.npz"), "--out", str(folder / "r")])
    assert result.exit_code == 2
    assert "dynsys propagate GRAPH MODEL" in result.output


def test_features_and_labels_in_other_shapes(folder: Path) -> None:
    """A plain .npy file; names of classes, and classes in a column, as whole numbers have them."""
    np.save(folder / "X.npy", np.load(folder / "X.npz")["features"])
    said = [run(folder / "graph.csv", "--features", folder / f"X.np{e}", "--quick", "--json").stdout for e in "yz"]
    assert json.loads(said[0])["energy"] == json.loads(said[1])["energy"]
    classes, split = np.repeat([0, 1], 6), {"train_idx": np.array([0, 1, 10, 11]), "test_idx": np.arange(2, 10)}
    probes = []
    for labels in (classes, classes[:, np.newaxis], classes.astype(float), np.array(["left", "right"])[classes]):
        np.savez(folder / "full.npz", features=np.eye(12), labels=labels, **split)
        result = run(folder / "graph.csv", "--features", folder / "full.npz", "--depth", 3, "--quick", "--json")
        probes.append(json.loads(result.stdout)["probe"])
    assert probes[0] == probes[1] == probes[2] == probes[3]
    assert probes[0][3] == 1.0
    np.savez(folder / "full.npz", features=np.eye(12), labels=classes)
    result = run(folder / "graph.csv", "--features", folder / "full.npz", "--depth", 3, "--quick")
    assert "no nodes to learn from" in result.output


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["one", "none", "zeros", "dead", "huge", "hairline", "strong", "seed"])
def test_strange_graphs_and_signals_have_reports(folder: Path, name: str) -> None:
    """One node; no edges; a signal of zeros; weights of zeros; signals and weights near the ends of floats."""
    graph, more = folder / "graph.csv", []
    X, W = np.load(folder / "X.npz")["features"], np.eye(3)
    if name in ("one", "none"):
        graph = folder / "nodes.graphml"
        nx.write_graphml(nx.empty_graph(1 if name == "one" else 5), graph)
    elif name == "hairline":
        (folder / "graph.csv").write_text("0,1,1e-308\n1,2,1e-300\n")
    elif name in ("dead", "strong"):
        np.savez(
            folder / "net.npz", **{"conv1.lin.weight": (0.0 if name == "dead" else 1e200) * W, "conv1.bias": 0 * X[0]}
        )
        more = [folder / "net.npz", "--features", folder / "X.npz", "--nonlinearity", "relu"]
    elif name != "seed":
        np.savez(folder / "X.npz", features=X * {"zeros": 0.0, "huge": 1e300}[name])
        more = ["--features", folder / "X.npz"]
    seed = 10**30 if name == "seed" else 0
    result = run(
        graph, *more, "--depth", 4, "--out", folder / "r", "--format", "html", "--format", "json", "--seed", seed
    )
    assert result.exit_code == 0, result.output
    ids = {finding["id"] for finding in json.loads((folder / "r" / "report.json").read_text())["findings"]}
    if name in ("one", "none"):
        assert "nothing-propagates" in ids
        assert "no edges: nothing is propagated" in result.output
    assert ("signal-dies" in ids) == (name in ("zeros", "dead"))
    assert "bound-exceeded" not in ids


def findings(folder: Path, *arguments: object) -> tuple[str, dict[str, dict[str, object]]]:
    result = run(*arguments, "--out", folder / "r", "--format", "json")
    assert result.exit_code == 0, result.output
    stored = json.loads((folder / "r" / "report.json").read_text())
    return stored["verdict"], {finding["id"]: finding for finding in stored["findings"]}


def test_influence_is_judged_by_what_the_graph_allows() -> None:
    def shown(graph: nx.Graph, seed: int = 0) -> list[str]:
        X = np.random.default_rng(seed).standard_normal((len(graph), 2))
        study = SimpleNamespace(influence=sensitivity(None, graph, X, 8, n_sources=16))
        return [finding.shown for finding in _influence(study)]

    # Eight layers reach the whole karate club, whose nodes are 2.4 hops apart; on a grid far more lies within reach.
    assert shown(nx.karate_club_graph()) == []
    (local,) = shown(nx.grid_2d_graph(24, 24))
    assert "over 8 layers" in local


def test_an_expander_has_no_bottlenecks(folder: Path) -> None:
    """Its edges are all curved like those of a tree, but no cut is narrow; two of them, joined by an edge, have one."""
    one, other = (nx.random_regular_graph(8, 200, seed=k) for k in (0, 1))
    shown = []
    for graph in (one, nx.disjoint_union(one, other)):
        if len(graph) == 400:
            graph.add_edge(0, 200)
        (folder / "g.csv").write_text("\n".join(f"{a},{b}" for a, b in graph.edges()))
        shown.append("bottleneck-edges" in findings(folder, folder / "g.csv", "--depth", 2)[1])
    assert shown == [False, True]


def test_what_is_left_out_on_large_graphs_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_study, "LARGE", 30)
    monkeypatch.setattr(graph_remedies, "LARGEST", 5)
    monkeypatch.setattr(graph_exponents, "MOST", 1.0)
    monkeypatch.setattr(graph_study, "FEW", 2)
    found = findings(folder, folder / "graph.csv", "--features", folder / "X.npz", "--depth", 3)[1]
    said = found["part-left-out"]["meaning"]
    for part in ("Shares by band of eigenvalues", "Lyapunov exponents over layers", "Rewiring"):
        assert part in said
    run(folder / "graph.csv", "--features", folder / "X.npz", "--depth", 3, "--out", folder / "r", "--format", "html")
    page = (folder / "r" / "report.html").read_text()
    assert "Measured on 2 of 3 columns of the signal" in page


def test_a_cut_is_judged_within_a_component() -> None:
    narrow = _narrow(as_graph(nx.disjoint_union(nx.cycle_graph(5), nx.barbell_graph(8, 0))), 0)
    # One edge out of a clique of 8, whose volume is 8 * 7 + 1.
    assert narrow.conductance == pytest.approx(1 / 57)
    assert [tuple(edge) for edge in narrow.edges.T[narrow.in_cut].tolist()] == [(12, 13)]


def test_few_layers_tell_no_rate_and_random_features_fit_the_model(folder: Path) -> None:
    verdict, found = findings(folder, folder / "graph.csv", folder / "net.npz", "--nonlinearity", "relu", "--depth", 2)
    assert found["smoothing-rate"]["title"] == "Too few layers for a rate of collapse"
    assert "per layer" not in verdict
    (folder / "karate.csv").write_text("\n".join(f"{a},{b}" for a, b in nx.karate_club_graph().edges()))
    result = run(folder / "karate.csv", folder / "net.npz", "--nonlinearity", "relu", "--quick")
    assert result.exit_code == 0, result.output
    assert "random Gaussian signal of 3 columns (none given with --features)" in result.output


def test_the_verdict_is_about_the_model(folder: Path) -> None:
    edges = np.array(list(GRAPH.edges())).T
    labelled = {"labels": np.repeat([0, 1], 6), "train_idx": np.array([0, 11]), "test_idx": np.arange(1, 11)}
    np.savez(folder / "full.npz", edges=edges, features=np.eye(12), **labelled)
    np.savez(folder / "wide.npz", **{"conv1.lin.weight": 3 * np.eye(12), "conv1.bias": np.ones(12)})
    verdict, found = findings(folder, folder / "full.npz", folder / "wide.npz", "--nonlinearity", "relu")
    assert list(found)[-1] == "without-weights"
    assert "energy-falls-labels-stay" not in found
    assert "readable" not in verdict
    assert "a linear probe reads" in verdict


def test_only_bottlenecks_are_marked_and_few_of_them() -> None:
    """The bridge of a barbell is its one bottleneck; no edge of a ring is one, though the table lists its edges too."""
    marked = {}
    for name, graph in (("barbell", nx.barbell_graph(6, 0)), ("ring", nx.cycle_graph(8))):
        net = as_graph(graph)
        study = SimpleNamespace(narrow=_narrow(net, 0))
        marked[name] = graph_figures._narrow(study, np.arange(net.n_nodes), net.n_edges)
    assert marked == {"barbell": {(5, 6)}, "ring": set()}


def test_ranks_have_plain_numbers_on_their_axis() -> None:
    from matplotlib.figure import Figure

    for ranks, scale in (([6.4, 1.0, 1.0], "linear"), ([300.0, 20.0, 1.5], "log")):
        canvas = Figure()
        plane = canvas.add_subplot()
        plane.plot(ranks)
        graph_figures._rank_axis(plane, np.array(ranks))
        canvas.draw_without_rendering()
        low, high = plane.get_ylim()
        texts = [label.get_text() for label in plane.get_yticklabels() if low <= label.get_position()[1] <= high]
        assert plane.get_yscale() == scale
        assert len(texts) >= 3
        assert all(text.replace(".", "").isdigit() for text in texts)
