"""From learned contexts back to a classifier: the same predictions, and nothing that is not the contexts'."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from dualpt.core.cell import Cell
from dualpt.core.config.sections import Value
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.learned.classifier import PromptClassifier
from dualpt.core.learned.prompts import DOCUMENT, LearnedPrompts, load_prompts, save_prompts
from dualpt.core.presets import method_setting
from dualpt.core.prompts.contexts_file import save_contexts
from dualpt.core.running.cell_runner import CellResult, CellRunner

SETTINGS: dict[str, tuple[str, dict[str, Value]]] = {
    "attention": ("dualpt", {}),
    "transport": ("plot", {"prompt.n_prompts": 2}),
    "global only": ("coop", {}),
    "descriptions at test, class-specific": (
        "dualpt",
        {"inference.description_weight": 1.0, "prompt.class_specific": True},
    ),
}


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> CellRunner:
    torch.set_num_threads(1)
    return CellRunner(cache=tmp_path_factory.mktemp("store"), device="cpu")


def trained(runner: CellRunner, name: str, protocol: str = "few-shot") -> CellResult:
    method, values = SETTINGS[name]
    setting = method_setting(method).with_values({"optim.epochs": 3, "prompt.context_length": 4, **values})
    cell = Cell(setting, "mini-tiles", protocol, 2, 1)  # type: ignore[arg-type]
    runner.check([cell])
    runner.prepare([cell])
    (result,) = runner.run([cell])
    return result


@pytest.fixture(scope="module")
def prompts(runner: CellRunner) -> LearnedPrompts:
    learned = trained(runner, "attention").prompts
    assert learned is not None
    return learned


@pytest.mark.parametrize("name", SETTINGS)
def test_a_loaded_classifier_judges_as_the_cell_was_judged(runner: CellRunner, tmp_path: Path, name: str) -> None:
    result = trained(runner, name)
    assert result.prompts is not None
    save_prompts(tmp_path / "contexts.safetensors", result.prompts)
    prompts = load_prompts(tmp_path / "contexts.safetensors")
    assert prompts.cell == result.cell
    classifier = PromptClassifier(prompts)
    images = runner.parts.test_sets(CellInputs(result.cell))["test"].images
    correct = classifier.logits(images).argmax(1).cpu() == images.labels
    assert 100 * correct.double().mean().item() == pytest.approx(result.metrics.test_accuracy)


def test_base_to_new_prompts_name_all_classes(runner: CellRunner) -> None:
    result = trained(runner, "attention", "base-to-new")
    assert result.prompts is not None
    names = result.prompts.class_names
    assert set(names) == set(result.per_class["base"]) | set(result.per_class["new"])


def test_files_are_scored_and_unreadable_ones_listed(prompts: LearnedPrompts, tmp_path: Path) -> None:
    Image.new("L", (1, 70), 30).save(tmp_path / "narrow.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    paths = [tmp_path / "narrow.png", tmp_path / "broken.jpg", tmp_path / "gone.png"]
    classifier = PromptClassifier(prompts)
    seen: list[tuple[int, int]] = []
    scored = list(classifier.score_files(paths, lambda done, total: seen.append((done, total))))
    assert [path for path, _ in scored] == paths
    logits, *faults = [answer for _, answer in scored]
    assert isinstance(logits, torch.Tensor)
    assert all(isinstance(fault, UserError) for fault in faults)
    best = classifier.best(logits, 99)
    assert sum(score.probability for score in best) == pytest.approx(1, abs=1e-5)
    assert best[0].probability == max(score.probability for score in best)
    assert {score.name for score in best} == set(prompts.class_names)
    assert seen[-1] == (3, 3)


def test_other_class_names_are_served_by_shared_contexts(prompts: LearnedPrompts) -> None:
    classifier = PromptClassifier(prompts, class_names=["cat", "dog"])
    assert classifier.prompt_features.shape[0] == 2
    with pytest.raises(UserError, match="give each class once"):
        PromptClassifier(prompts, class_names=["cat", "cat"])


def test_other_class_names_are_refused_where_contexts_or_descriptions_have_none(runner: CellRunner) -> None:
    learned = trained(runner, "descriptions at test, class-specific").prompts
    assert learned is not None
    with pytest.raises(UserError, match="class-specific"):
        PromptClassifier(learned, class_names=["cat"])


def test_other_weights_are_refused(prompts: LearnedPrompts) -> None:
    setting = prompts.cell.setting.with_values({"backbone.pretrained": "random"})
    with pytest.raises(UserError, match="learned with other weights"):
        PromptClassifier(replace(prompts, cell=replace(prompts.cell, setting=setting)))


def test_contexts_without_classes_are_refused_or_explained_by_their_cell(
    prompts: LearnedPrompts, tmp_path: Path
) -> None:
    save_contexts(tmp_path / "old.safetensors", prompts.contexts, {"cell_key": "k"})
    with pytest.raises(UserError, match="without the classes"):
        load_prompts(tmp_path / "old.safetensors")
    found = load_prompts(tmp_path / "old.safetensors", prompts.cell)
    assert (found.class_names, found.weights) == (prompts.class_names, prompts.weights)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 9}, "schema version 9"),
        ({"class_names": 3}, "class_names"),
        ({"setting": {"optim.epoch": 3}}, "did you mean 'optim.epochs'"),
        (None, "not a file of learned prompts"),
    ],
)
def test_damaged_files_are_refused(
    prompts: LearnedPrompts, tmp_path: Path, change: dict[str, object] | None, said: str
) -> None:
    path = tmp_path / "p.safetensors"
    save_prompts(path, prompts)
    with safe_open(path, framework="pt") as file:
        document = json.loads(file.metadata()[DOCUMENT])
    text = "[" if change is None else json.dumps({**document, **change})
    save_file({"contexts": prompts.contexts}, path, {DOCUMENT: text})
    with pytest.raises(UserError, match=said):
        load_prompts(path)
