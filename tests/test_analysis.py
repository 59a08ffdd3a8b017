"""Each study runs as a reader would run it, and its numbers agree with the claim it reproduces."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
STUDIES = sorted((ROOT / "analysis").glob("*.py"))


def run(study: Path, folder: Path, *prelude: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", *(prelude or (str(study),))]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_there_are_studies() -> None:
    assert {"flipflop.py", "stability_1d.py"} <= {study.name for study in STUDIES}


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_a_study_reproduces_its_claim(study: Path, tmp_path: Path) -> None:
    ended = run(study, tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert "DIFFERS" not in ended.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_a_study_uses_the_public_door_only(study: Path) -> None:
    """`import cells` and `import dynsys`, nothing from inside them."""
    for node in ast.walk(ast.parse(study.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert all("." not in alias.name for alias in node.names if alias.name.startswith(("cells", "dynsys")))
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith(("cells", "dynsys"))


def test_a_flip_flop_without_its_memories_does_not_pass(tmp_path: Path) -> None:
    """The study can fail: with the recurrent weights of the network halved the claims do not hold."""
    weights = load_file(EXAMPLES / "flipflop_gru.safetensors")
    weights["rnn.weight_hh_l0"] = weights["rnn.weight_hh_l0"] / 2
    save_file(weights, tmp_path / "flipflop_gru.safetensors")
    shutil.copy(EXAMPLES / "flipflop_gru_trials.npz", tmp_path)
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "import flipflop\n"
        "flipflop.EXAMPLES = pathlib.Path.cwd()\n"
        "sys.exit(flipflop.main())\n"
    )
    ended = run(ROOT / "analysis" / "flipflop.py", tmp_path, "-c", code, str(ROOT / "analysis"))
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "NOT reproduced" in ended.stdout


def test_a_wrong_closed_form_does_not_pass(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import stability_1d\n"
        "stability_1d.FOLD[2.0] += 1e-8\n"
        "sys.exit(stability_1d.main())\n"
    )
    ended = run(ROOT / "analysis" / "stability_1d.py", tmp_path, "-c", code, str(ROOT / "analysis"))
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert ended.stdout.count("DIFFERS") == 2
