"""Files that extend others: what they change, what they leave, and that a circle is one line."""

from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.search_spaces.ablation import load_ablation
from dualpt.search_spaces.overrides import parse_overrides
from dualpt.search_spaces.shipped import shipped_or_path
from dualpt.search_spaces.sweep_file import load_sweep


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_gives_only_what_differs_from_one_that_ships(tmp_path: Path) -> None:
    demo = load_sweep(shipped_or_path("demo"))
    text = "extends: demo\nname: mine\nsearch: {trials: 7}\ngrid.seeds: [1]\noptim.epochs: 9\n"
    mine = load_sweep(written(tmp_path, text))
    assert mine.file.name == "mine"
    assert mine.file.search is not None
    assert demo.file.search is not None
    assert mine.file.search == demo.file.search.model_copy(update={"trials": 7})
    assert mine.file.grid == demo.file.grid.model_copy(update={"seeds": [1]})
    assert mine.reference == demo.reference.with_values({"optim.epochs": 9})
    assert mine.origin.text == text
    assert "extends" not in mine.origin.document


def test_the_search_space_is_changed_key_by_key_and_null_takes_away(tmp_path: Path) -> None:
    text = """
extends: demo
baselines: null
search:
  space:
    prompt.n_prompts: {choice: [1, 4]}
    optim.learning_rate: null
"""
    mine, demo = load_sweep(written(tmp_path, text)), load_sweep(shipped_or_path("demo"))
    kept = {p.key: p for p in demo.space if p.key not in ("prompt.n_prompts", "optim.learning_rate")}
    assert {p.key: p for p in mine.space if p.key != "prompt.n_prompts"} == kept
    assert next(p for p in mine.space if p.key == "prompt.n_prompts").ends == (1, 4)
    assert mine.file.baselines == []


def test_files_beside_come_first_and_extend_in_turn(tmp_path: Path) -> None:
    written(tmp_path, "extends: demo\nsetting: {optim: {epochs: 3}, data.views: 2}\n", "first.yaml")
    mine = load_sweep(written(tmp_path, "extends: first.yaml\nsetting: {optim.epochs: 5}\n"))
    assert (mine.reference.optim.epochs, mine.reference.data.views) == (5, 2)


def test_overrides_stand_over_an_extending_file(tmp_path: Path) -> None:
    path = written(tmp_path, "extends: demo\nname: mine\nsearch: {trials: 7}\n")
    assert load_sweep(path, parse_overrides(["trials=3"])).file.search.trials == 3  # type: ignore[union-attr]


def test_an_ablation_extends_an_ablation(tmp_path: Path) -> None:
    text = "extends: components\nname: mine\ngrid: {shots: [16]}\nvariants: {long: {prompt.context_length: 32}}\n"
    mine = load_ablation(written(tmp_path, text))
    assert [v.name for v in mine.sweep.variants] == ["both alignments", "long"]
    assert mine.sweep.file.grid.shots == [16]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: mine.yaml\n", r"extends itself \(mine.yaml extends mine.yaml\)"),
        ("extends: dmeo\n", "mine.yaml: extends: dmeo: no such sweep file; did you mean 'demo'"),
        ("extends: 3\n", "extends: expected the name of a file that ships"),
        ("extends: demo\ngrid: {shots: [1]}\ngrid.shots: [4]\n", "grid.shots is given twice, nested and dotted"),
        ("extends: demo\nsetting: {optim.epoch: 3}\n", "unknown key 'optim.epoch'; did you mean 'optim.epochs'"),
    ],
)
def test_a_fault_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_sweep(written(tmp_path, text))


def test_a_circle_of_two_names_both(tmp_path: Path) -> None:
    written(tmp_path, "extends: mine.yaml\n", "other.yaml")
    with pytest.raises(UserError, match=r"mine.yaml extends other.yaml extends mine.yaml"):
        load_sweep(written(tmp_path, "extends: other.yaml\n"))
