"""docs/own-method.md: what it says is done, as a reader would do it."""

import json
import re
from pathlib import Path

import pytest

from tests.command_line import answer

PAGE = Path(__file__).parents[1] / "docs" / "own-method.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
MOST_LINES = 60


def command(line: str) -> str:
    program, *words = line.split()
    assert program == "dualpt"
    given = answer(tuple(words))
    assert given.code == 0, given.error + given.out
    return given.out


def test_it_takes_few_lines() -> None:
    (_, method), (_, sweep) = BLOCKS[:2]
    assert len(method.splitlines()) + len(sweep.splitlines()) <= MOST_LINES


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_reader_gets_what_the_page_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running_ray: None
) -> None:
    monkeypatch.chdir(tmp_path)
    (_, method), (_, sweep), (_, commands), _, (_, loading) = BLOCKS
    Path("pulled.py").write_text(method)
    Path("pulled.yaml").write_text(sweep)
    first, table = (command(line) for line in commands.splitlines())
    assert "32 trained" in first
    assert "best of the sweep" in table
    assert "Nearest class mean" in table
    assert "n = 1 or 3" in table
    plan = json.loads(command("dualpt sweep pulled.yaml --dry-run --json"))
    assert (plan["missing"], plan["cells"]) == (0, 38)
    Path("kept").mkdir()
    command("dualpt train --dataset mini-pets --method pulled.py --shots 2 --seeds 1 --save kept")
    (learned,) = Path("kept").glob("*.safetensors")
    learned.rename("classifier.safetensors")
    names: dict[str, object] = {}
    exec(loading, names)
    assert len(names["classifier"].class_names) == 12  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_method_that_reads_descriptions_is_the_zero_shot_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("described.py").write_text(BLOCKS[3][1])
    own, built_in = (
        json.loads(command(f"dualpt train --dataset mini-tiles --method {method} --shots 1 --seeds 1 --json"))
        for method in ("described.py", "zero-shot-descriptions")
    )
    assert own[0]["test/accuracy"] == built_in[0]["test/accuracy"]
