"""Watching a training run: the numbers are those of the networks, and nothing of the run is touched."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys.errors import InputError, LoadError
from dynsys.training_log import read_training
from dynsys.training_watch import measured


def probe(T: int = 40, batch: int = 4, m: int = 2) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((T, batch, m))


def test_the_exponent_of_a_linear_network_is_its_weight() -> None:
    """h' = u h + x: every difference and every gradient changes by log|u| a step."""
    record = measured(dynsys.as_map(cells.Elman(U=[[0.5]], W=[[1.0]], activation="identity")), probe(m=1))
    assert record["exponent"] == pytest.approx(math.log(0.5), abs=1e-12)
    np.testing.assert_allclose(record["log_gradient"], math.log(0.5) * np.array(record["lags"]), atol=1e-12)
    assert record["horizon"] == max(lag for lag in record["lags"] if lag * math.log(0.5) >= math.log(0.01))
    grown = measured(dynsys.as_map(cells.Elman(U=[[1.1]], W=[[1.0]], activation="identity")), probe(m=1))
    assert grown["horizon"] is None


def test_gates_are_recorded() -> None:
    cell = cells.LSTM.random(4, 2)
    forgetful = type(cell)(**dict(cell.parameters) | {"b_f": np.full((4, 1), -9.0)})
    record = measured(dynsys.as_map(forgetful), probe())
    assert record["gate_saturated"] == 1.0
    assert record["gate_median"] < 0.2
    assert "gate_median" not in measured(dynsys.as_map(cells.Elman.random(4, 2)), probe())


@pytest.mark.parametrize(
    "f",
    [
        cells.LSTM.random(5, 2, gain=2.0),
        cells.GRU.random(6, 2, gain=2.0),
        cells.GRUResetAfter.random(6, 2, gain=2.0),
        dynsys.stack(cells.LSTM.random(4, 2), cells.GRU.random(3, 4)),
    ],
    ids=["lstm", "gru", "gru-reset-after", "stack"],
)
def test_records_do_not_depend_on_how_derivatives_are_taken(f: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all Jacobians formed, as for small networks, and without."""
    small = measured(dynsys.as_map(f), probe())
    monkeypatch.setattr("dynsys.training_watch.DENSE", 0)
    large = measured(dynsys.as_map(f), probe())
    assert small.keys() == large.keys()
    for name, value in small.items():
        if value is None:
            assert large[name] is None
        else:
            np.testing.assert_allclose(large[name], value, rtol=1e-9, atol=1e-9, err_msg=name)


def test_a_module_is_watched_and_not_touched(tmp_path: Path) -> None:
    """Two runs from the same seed, one of them watched, end with the same weights to the last bit."""
    torch = pytest.importorskip("torch")

    def train(watcher: Any) -> list[np.ndarray]:
        torch.manual_seed(0)
        rnn, head = torch.nn.LSTM(2, 6), torch.nn.Linear(6, 1)
        model = torch.nn.ModuleDict({"rnn": rnn, "head": head})
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        seen = watcher(model)
        for step in range(9):
            x = torch.randn(12, 3, 2) + 0.1 * np.random.default_rng(step).standard_normal()
            loss = (head(rnn(x.float())[0]) - 1).square().mean() * torch.rand(1).item()
            optimizer.zero_grad()
            loss.backward()
            seen(step, loss=loss.item())
            optimizer.step()
        assert model.training
        return [p.detach().numpy().copy() for p in model.parameters()]

    path = tmp_path / "training.jsonl"
    plain = train(lambda model: lambda step, loss: False)
    watched = train(lambda model: dynsys.watch(model, path, probe(), every=4, overhead=1.0))
    for one, other in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(one, other)
    log = read_training(path)
    assert [r["step"] for r in log.records] == [0, 4, 8]
    assert {"loss", "gradient_norm", "exponent", "gate_median"} <= set(log.names)
    assert all(r["gradient_norm"] > 0 for r in log.records)


def test_a_parametrised_module_is_watched(tmp_path: Path) -> None:
    """An orthogonal network keeps |det J| = prod s': with the identity's slopes, all exponents are zero."""
    torch = pytest.importorskip("torch")
    rnn = torch.nn.utils.parametrizations.orthogonal(torch.nn.RNN(2, 4, dtype=torch.float64), "weight_hh_l0")
    with torch.no_grad():
        rnn.weight_ih_l0.zero_()
        rnn.bias_ih_l0.zero_()
        rnn.bias_hh_l0.zero_()
    path = tmp_path / "t.jsonl"
    assert dynsys.watch(rnn, path, probe(), every=1)(0)
    assert read_training(path).series("exponent")[1] == pytest.approx([0.0], abs=1e-12)


def test_what_is_no_number_is_recorded_as_null(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    watcher = dynsys.watch(lambda: cells.GRU.random(2, 2), path, probe(), every=1, overhead=1.0)
    values = ["a", "1.5", None, [1.0], object(), np.ones(2), 2, np.float32(0.5), np.array([[3.0]]), math.nan, True]
    for step, value in enumerate(values):
        assert watcher(step, loss=value)
    recorded = [record["loss"] for record in read_training(path).records]
    assert recorded == [None] * 6 + [2.0, 0.5, 3.0, "nan", 1.0]


def test_a_tensor_with_its_gradient_is_a_number(tmp_path: Path) -> None:
    """Warnings are errors here, and PyTorch warns where a tensor that wants a gradient is made a number."""
    torch = pytest.importorskip("torch")
    path, rnn = tmp_path / "t.jsonl", torch.nn.GRU(2, 3)
    watcher = dynsys.watch(rnn, path, probe(), every=1, overhead=1.0)
    loss = rnn(torch.ones(4, 1, 2))[0].square().mean()
    assert watcher(0, loss=loss)
    assert read_training(path).series("loss") == ([0], [loss.item()])
    loss.backward()  # its graph is still there


@pytest.mark.parametrize("name", ["exponent", "seconds", "lags", "failure", "weights"])
def test_names_of_the_watchers_own_are_refused_at_the_first_step(tmp_path: Path, name: str) -> None:
    watcher = dynsys.watch(lambda: cells.GRU.random(2, 2), tmp_path / "t.jsonl", probe(), every=10, overhead=1.0)
    with pytest.raises(InputError, match=f"`{name}` is a name of the watcher's own"):
        watcher(1, **{name: 1.0})
    with pytest.raises(InputError, match="`step` must be a whole number"):
        watcher("a")  # type: ignore[arg-type]
    assert not watcher(1, loss=1.0, gradient_norm=2.0)
    assert watcher(10, loss=1.0, gradient_norm=2.0)
    assert read_training(tmp_path / "t.jsonl").series("gradient_norm") == ([10], [2.0])


def test_a_file_that_cannot_be_written_for_a_while_does_not_break_the_loop(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    watcher = dynsys.watch(lambda: cells.GRU.random(2, 2), folder / "t.jsonl", probe(), every=1, overhead=1.0)
    assert watcher(0)
    folder.rename(tmp_path / "gone")
    with pytest.warns(RuntimeWarning, match="cannot write .* trying again"):
        assert not watcher(1)
    assert not watcher(2)  # warned of once: another warning would be an error here
    (tmp_path / "gone").rename(folder)
    with (folder / "t.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 1, "sec')  # what a full disk leaves behind
    assert watcher(3)
    log = read_training(folder / "t.jsonl")
    assert [record["step"] for record in log.records] == [0, 1, 2, 3]
    assert log.broken == 1


def test_whatever_fails_in_the_network_is_recorded(tmp_path: Path) -> None:
    """Weights that are NaN are refused by the cell itself; a function that returns the network may raise anything."""
    path = tmp_path / "t.jsonl"
    cell = cells.Elman(U=np.eye(2), W=np.ones((2, 2)))
    watcher = dynsys.watch(cell, path, probe(), every=1, overhead=1.0)
    assert watcher.record(0, {"U": np.full((2, 2), np.nan)})
    calls = iter([cell, cell])
    watcher = dynsys.watch(lambda: next(calls), tmp_path / "u.jsonl", probe(), every=1, overhead=1.0)
    assert watcher(0)
    assert watcher(1)
    assert "U" in read_training(path).records[0]["failure"]
    assert read_training(tmp_path / "u.jsonl").records[1]["failure"] == "StopIteration"


def test_records_give_way_to_training(tmp_path: Path) -> None:
    """With almost no time allowed, the first record is made and the next ones are left out and counted."""
    watcher = dynsys.watch(lambda: cells.GRU.random(4, 2), tmp_path / "t.jsonl", probe(), every=1, overhead=1e-6)
    made = [watcher(step) for step in range(5)]
    assert made == [True, False, False, False, False]
    assert watcher.skipped == 4


def test_a_network_that_diverges_leaves_its_mark(tmp_path: Path) -> None:
    weights = iter([0.5, 0.5, 1e200])
    source = lambda: cells.Elman(U=[[next(weights)]], W=[[1.0]], activation="identity")  # noqa: E731
    path = tmp_path / "t.jsonl"
    watcher = dynsys.watch(source, path, probe(m=1), every=1, overhead=1.0)
    assert watcher(0)
    assert watcher(1)
    log = read_training(path)
    assert "diverged" in log.records[1]["failure"]
    report = dynsys.report(cells.Elman(U=[[0.5]]), tmp_path / "out", ["html", "json"], training=path, n_starts=16)
    assert "diverged" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert report.document.data["training"]["records"][0]["step"] == 0


def test_the_report_draws_the_timeline(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    gains = iter(np.linspace(0.5, 1.5, 7))
    watcher = dynsys.watch(lambda: cells.Elman.random(8, 2, gain=next(gains)), path, probe(), every=10, overhead=1.0)
    for step in range(0, 60, 10):
        watcher(step, loss=1.0 / (step + 1))
    report = dynsys.report(cells.Elman.random(8, 2), tmp_path / "out", ["json", "html"], training=path, n_starts=16)
    section = report.document.sections[-1]
    assert section.id == "training"
    assert "from step 0 to 50" in section.blocks[0].text
    assert {"timeline", "gradients-over-training"} <= {getattr(b, "id", "") for b in section.blocks}
    assert json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["training"]["broken"] == 0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("loss", '"abc"', "`loss` must be a number"),
        ("exponent", "[1, 2]", "`exponent` must be a number"),
        ("exponent", "{}", "`exponent` must be a number"),
        ("mine", '"abc"', "`mine` must be a number"),
        ("lags", "3", "`lags` must be a list"),
        ("log_gradient", '[1.0, "x"]', "`log_gradient` must be a list"),
        ("lags", "[1, 2, 3]", "belong together"),
        ("failure", "1", "`failure` must be a text"),
    ],
)
def test_a_record_without_its_numbers_is_refused_by_its_line(tmp_path: Path, name: str, value: str, words: str) -> None:
    """Before anything is analysed: the report of a map whose first step raises never takes that step."""
    path = tmp_path / "t.jsonl"
    good = '{"step": 0, "loss": "inf", "exponent": null, "lags": [1, 2], "log_gradient": [0.0, "-inf"]}'
    bad = good.replace('"step": 0', '"step": 1')[:-1] + f', "{name}": {value}}}'
    path.write_text("\n".join(['{"dynsys_training": 1}', good, "cut off", bad]) + "\n", encoding="utf-8")

    def never(state: np.ndarray) -> np.ndarray:
        raise AssertionError("analysed before the file was read")

    f = dynsys.as_map(cells.Elman.random(2, 1))
    f.advance = never  # type: ignore[assignment, method-assign]
    with pytest.raises(LoadError, match=f"line 4 of .*{words}"):
        dynsys.report(f, tmp_path / "out", ["json"], training=path)
    path.write_text("\n".join(['{"dynsys_training": 1}', good, "cut off"]) + "\n", encoding="utf-8")
    assert read_training(path).series("loss") == ([0], [math.inf])


def test_files_that_are_none_are_refused_and_cut_lines_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with pytest.raises(LoadError, match="no training file"):
        read_training(path)
    path.write_text('{"loss": 1}\n', encoding="utf-8")
    with pytest.raises(LoadError, match="not written by"):
        read_training(path)
    watcher = dynsys.watch(lambda: cells.GRU.random(2, 2), path, probe(), every=1, overhead=1.0)
    with pytest.raises(LoadError, match="no record yet"):
        read_training(path)
    watcher(0)
    path.write_text(path.read_text(encoding="utf-8") + '{"step": 1, "exp', encoding="utf-8")
    assert read_training(path).broken == 1
    with pytest.raises(InputError, match="every"):
        dynsys.watch(lambda: cells.GRU.random(2, 2), path, probe(), every=0)
    with pytest.raises(InputError, match="overhead"):
        dynsys.watch(lambda: cells.GRU.random(2, 2), path, probe(), overhead=0.0)
    with pytest.raises(InputError, match="cannot write"):
        dynsys.watch(lambda: cells.GRU.random(2, 2), tmp_path / "no" / "t.jsonl", probe())
    with pytest.raises(InputError, match="cannot write"):
        dynsys.watch(lambda: cells.GRU.random(2, 2), "\0", probe())
    for settings, words in (({"every": "a"}, "every"), ({"every": 1.5}, "every"), ({"overhead": "a"}, "overhead")):
        with pytest.raises(InputError, match=words):
            dynsys.watch(lambda: cells.GRU.random(2, 2), path, probe(), **settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="path"):
        dynsys.watch(lambda: cells.GRU.random(2, 2), None, probe())  # type: ignore[arg-type]
