"""Learned classifiers as files: what comes back, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dualpt.core.cell import Cell
from dualpt.core.errors import UserError
from dualpt.core.files.tensor_file import read_tensors, write_tensors
from dualpt.core.learned.fitted import DOCUMENT, LearnedClassifier, holds_classifier, load_classifier, save_classifier
from dualpt.core.methods.interface import Images, LinearClassifier
from dualpt.core.presets import method_setting
from tests.core.own_method import SOURCE


def learned(method: str = "nearest-mean") -> LearnedClassifier:
    cell = Cell(method_setting(method), "mini-pets", "few-shot", 4, 1)
    weights = torch.randn(3, 2, 128)[1:2]  # a view of a pack
    classifier = LinearClassifier(weights, torch.zeros(1, 2))
    return LearnedClassifier(classifier, cell, "k" * 64, ("cat", "dog"), "a photo of a {}.", "f" * 64, {"alpha": 2.0})


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    path, kept = tmp_path / "a.safetensors", learned()
    save_classifier(path, kept, {"about": "x"})
    found = load_classifier(path)
    assert torch.equal(found.classifier.tensors()["weights"], kept.classifier.tensors()["weights"])
    assert replace(found, classifier=kept.classifier, chosen=kept.chosen).cell == kept.cell
    assert (found.class_names, found.template, found.weights) == (kept.class_names, kept.template, kept.weights)
    assert found.chosen == {"alpha": 2.0}
    assert holds_classifier(path)
    assert load_file(path)["weights"].shape == (1, 2, 128)


def test_it_gives_the_same_bits_behind_a_header_of_any_length(tmp_path: Path) -> None:
    """A cell's file and `train --save`'s differ in what they say about themselves, and so in where tensors begin."""
    path, kept = tmp_path / "a.safetensors", learned()
    images = Images(torch.nn.functional.normalize(torch.randn(5, 128), dim=-1), torch.ones(5), None)
    for length in range(0, 64, 8):
        save_classifier(path, kept, {"about": "x" * length})
        found = load_classifier(path).classifier
        assert {tensor.data_ptr() % 64 for tensor in found.tensors().values()} == {0}, length
        assert torch.equal(found.logits(images), kept.classifier.logits(images))


def test_a_users_own_needs_the_code_it_was_learned_with(tmp_path: Path) -> None:
    own, path = tmp_path / "own.py", tmp_path / "a.safetensors"
    own.write_text(SOURCE)
    save_classifier(path, learned(str(own)))
    moved, other = tmp_path / "moved.py", tmp_path / "other.py"
    moved.write_text(SOURCE)
    other.write_text(SOURCE + "# changed\n")
    assert load_classifier(path, method=str(moved)).cell.setting.method == str(moved)
    with pytest.raises(UserError, match="is not the one it was learned with"):
        load_classifier(path, method=str(other))


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """As in a file that something else has saved again; `predict` would print nan %."""
    path, one = tmp_path / "a.safetensors", learned()
    one.classifier.tensors()["weights"][0, 1, 5] = torch.nan
    save_classifier(path, one)
    with pytest.raises(UserError, match="its weights has values that are not finite"):
        load_classifier(path)


def rewritten(path: Path, **changes: object) -> Path:
    tensors, metadata = read_tensors(path)
    document = json.loads(metadata[DOCUMENT]) | changes
    other = path.with_name("changed.safetensors")
    write_tensors(other, tensors, {DOCUMENT: json.dumps(document)})
    return other


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 9}, "a file of a learned classifier of schema version 9, this dualpt reads 1"),
        ({"classifier": "os:system"}, "names a classifier of os, which holds no methods"),
        (
            {"classifier": "dualpt.core.methods.interface:Support"},
            "dualpt.core.methods.interface:Support is no classifier",
        ),
        (
            {"classifier": "dualpt.core.methods.gone:Gone"},
            "this version has no classifier dualpt.core.methods.gone:Gone",
        ),
        ({"setting": {"method": "gdaa"}}, "unknown method 'gdaa'; did you mean 'gda'?"),
        ({"shots": "many"}, "not a file of a learned classifier"),
    ],
)
def test_each_fault_is_one_line(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    save_classifier(path := tmp_path / "a.safetensors", learned())
    with pytest.raises(UserError) as caught:
        load_classifier(rewritten(path, **changes))
    assert said in str(caught.value)
    assert "changed.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_something_else(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", {"contexts": torch.zeros(1, 2, 3)}, {})
    assert not holds_classifier(tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="not a file of a learned classifier"):
        load_classifier(tmp_path / "a.safetensors")
