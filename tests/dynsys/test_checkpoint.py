"""Searches that are broken off go on where they were, and never with what belongs to another search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cells
import dynsys
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
