"""docs/own-method.md: what it says is done, as a reader would do it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "own-method.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
MOST_LINES = 60


def run(folder: Path, *words: str) -> str:
    environment = {**os.environ, "DUALPT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(PAGE.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def command(folder: Path, line: str) -> str:
    program, *words = line.split()
    assert program == "dualpt"
    return run(folder, "-m", "dualpt.sweeps.cli", *words)


def test_it_takes_few_lines() -> None:
    (_, method), (_, sweep) = BLOCKS[:2]
    assert len(method.splitlines()) + len(sweep.splitlines()) <= MOST_LINES


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_reader_gets_what_the_page_promises(tmp_path: Path) -> None:
    (_, method), (_, sweep), (_, commands), (_, loading) = BLOCKS
    (tmp_path / "pulled.py").write_text(method)
    (tmp_path / "pulled.yaml").write_text(sweep)
    first, table = (command(tmp_path, line) for line in commands.splitlines())
    assert "32 trained" in first
    assert "best of the sweep" in table
    assert "Nearest class mean" in table
    assert "n = 1 or 3" in table
    plan = json.loads(command(tmp_path, "dualpt sweep pulled.yaml --dry-run --json"))
    assert (plan["missing"], plan["cells"]) == (0, 38)
    (tmp_path / "kept").mkdir()
    command(tmp_path, "dualpt train --dataset mini-pets --method pulled.py --shots 2 --seeds 1 --save kept")
    (learned,) = (tmp_path / "kept").glob("*.safetensors")
    learned.rename(tmp_path / "classifier.safetensors")
    assert run(tmp_path, "-c", f"{loading}\nprint(len(classifier.class_names))").strip() == "12"
