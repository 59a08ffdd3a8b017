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
