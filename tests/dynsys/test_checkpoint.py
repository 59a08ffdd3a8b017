"""Searches that are broken off go on where they were, and never with what belongs to another search."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
from dynsys import checkpoint
from dynsys.checkpoint import Checkpoint
from dynsys.stored import restored, store


@pytest.fixture(scope="module")
def found() -> Any:
    return dynsys.find_fixed_points(cells.Elman(U=2 * np.eye(2)), n_starts=64)


def test_a_result_comes_back_as_it_was(found: Any, tmp_path: Path) -> None:
    cycles = dynsys.find_cycles(cells.Elman(U=-2 * np.eye(2)), [2], n_starts=16)
    store(tmp_path / "a.npz", (found, cycles))
    again, again_cycles = restored(tmp_path / "a.npz")
    assert str(again) == str(found)
    np.testing.assert_array_equal(again.states, found.states)
    np.testing.assert_array_equal(again.multipliers, found.multipliers)
    assert again.multipliers.dtype == np.complex128
    assert again.kinds == found.kinds
    assert again.completeness == found.completeness
    np.testing.assert_array_equal(again_cycles[2].states, cycles[2].states)
    assert dynsys.find_attractors(cells.Elman(U=2 * np.eye(2)), fixed_points=again, n_starts=8).unvisited == ()


@pytest.mark.parametrize("keep", [0, 10, 1000, -1])
def test_a_damaged_file_is_no_result(found: Any, tmp_path: Path, keep: int) -> None:
    store(tmp_path / "a.npz", found)
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[:keep])
    assert restored(tmp_path / "a.npz") is None


def test_a_part_with_other_bytes_in_it_is_never_taken_for_a_different_result(found: Any, tmp_path: Path) -> None:
    """Changed anywhere, the file gives the result that was stored, or none."""
    path, generator = tmp_path / "a.npz", np.random.default_rng(0)
    store(path, found)
    whole = path.read_bytes()
    for _ in range(300):
        changed = bytearray(whole)
        for at in generator.integers(0, len(whole), 3):
            changed[at] = generator.integers(256)
        path.write_bytes(bytes(changed))
        again = restored(path)
        assert again is None or (str(again) == str(found) and (again.states == found.states).all())


def test_only_results_of_searches_are_stored(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not stored"):
        store(tmp_path / "a.npz", {"cell": cells.Elman(U=[[1.0]])})
    assert list(tmp_path.iterdir()) == []


def calls(out: Path | None, settings: dict[str, Any], found: Any, stop_after: int | None = None) -> list[str]:
    """A search of three parts; the names of those that were computed. Broken off after `stop_after` parts."""
    done: list[str] = []
    kept = Checkpoint(out, settings)
    for k, name in enumerate("abc"):
        if k == stop_after:
            return done

        def compute(name: str = name) -> Any:
            done.append(name)
            return found

        kept.part(name, {"input": [float(k)]}, compute)
    kept.finish()
    return done


def test_what_was_done_is_not_done_again(found: Any, tmp_path: Path) -> None:
    out = tmp_path / "points.npz"
    assert calls(out, {"seed": 0}, found, stop_after=2) == ["a", "b"]
    assert calls(out, {"seed": 0}, found) == ["c"]
    assert list(tmp_path.iterdir()) == [], "nothing is left beside the output"


def test_other_settings_share_nothing(found: Any, tmp_path: Path) -> None:
    out = tmp_path / "points.npz"
    assert calls(out, {"seed": 0}, found, stop_after=2) == ["a", "b"]
    assert calls(out, {"seed": 1}, found) == ["a", "b", "c"]
    assert calls(out, {"seed": 0}, found) == ["c"], "the other call left these parts alone"


def test_a_part_cut_off_by_a_crash_is_done_again(found: Any, tmp_path: Path) -> None:
    out = tmp_path / "points.npz"
    calls(out, {}, found, stop_after=1)
    (part,) = (tmp_path / "points.npz.parts").iterdir()
    part.write_bytes(part.read_bytes()[:100])
    assert calls(out, {}, found) == ["a", "b", "c"]


def test_without_an_output_nothing_is_kept(found: Any) -> None:
    assert calls(None, {}, found, stop_after=2) == ["a", "b"]
    assert calls(None, {}, found) == ["a", "b", "c"]


NETWORK = "cells.GRU.random(72, 0, gain=4.0, seed=0)"
SEARCH = f"""
import cells, dynsys, sys
from pathlib import Path
from dynsys import checkpoint
checkpoint.LEAST_SECONDS = 0.0
kept = checkpoint.Checkpoint(Path(sys.argv[1]), {{}})
dynsys.find_fixed_points({NETWORK}, effort=0.03, keep=kept.stages("points", {{}}))
"""


def test_a_search_killed_in_the_middle_goes_on_from_its_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed outright; what the next one finds is what an undisturbed search finds, to the last bit."""
    monkeypatch.setattr(checkpoint, "LEAST_SECONDS", 0.0)
    out, parts = tmp_path / "points.npz", tmp_path / "points.npz.parts"
    victim = subprocess.Popen([sys.executable, "-c", SEARCH, str(out)], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while victim.poll() is None and time.monotonic() < deadline:
        if parts.is_dir() and len(list(parts.glob("*.stage-*.npz"))) >= 3:
            break
        time.sleep(0.005)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait(30) == -signal.SIGKILL, "the search was over before it could be killed"

    network = cells.GRU.random(72, 0, gain=4.0, seed=0)
    kept = Checkpoint(out, {})
    search = lambda: dynsys.find_fixed_points(network, effort=0.03, keep=kept.stages("points", {}))  # noqa: E731
    resumed = kept.part("points", {}, search)
    assert kept.resumed >= 3
    undisturbed = dynsys.find_fixed_points(network, effort=0.03)
    np.testing.assert_array_equal(resumed.states, undisturbed.states)
    np.testing.assert_array_equal(resumed.hits, undisturbed.hits)
    assert resumed.found_by == undisturbed.found_by
    assert resumed.notes == undisturbed.notes
    kept.finish()
    assert list(tmp_path.iterdir()) == [], "the stages are gone with the search they belong to"


def test_cycles_keep_their_stages_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "LEAST_SECONDS", 0.0)
    f, out = cells.Elman(U=-2 * np.eye(2)), tmp_path / "cycles.npz"
    first, again = Checkpoint(out, {}), Checkpoint(out, {})
    found = dynsys.find_cycles(f, [2], n_starts=64, keep=first.stages("cycles", {}))
    resumed = dynsys.find_cycles(f, [2], n_starts=64, keep=again.stages("cycles", {}))
    assert again.resumed > 0
    np.testing.assert_array_equal(resumed[2].states, found[2].states)
    other = Checkpoint(out, {})
    dynsys.find_cycles(f, [2], n_starts=64, seed=1, keep=other.stages("cycles", {}))
    assert other.resumed == 0, "other starts have other stages"


def test_a_stage_that_takes_no_time_is_not_worth_a_file(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "points.npz", {})
    assert kept.stages("points", {})("uniform start", np.zeros((1, 2)), lambda: 3.0) == 3.0
    assert list((tmp_path / "points.npz.parts").iterdir()) == []
