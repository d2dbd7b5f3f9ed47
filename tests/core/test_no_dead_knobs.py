"""No dead knobs: for every key of a setting, two values whose runs differ, and whose cell keys differ too."""

import json
from pathlib import Path

import open_clip
import pytest
import torch

from dualpt.core.cell import Cell
from dualpt.core.config.activity import LOCATIONS
from dualpt.core.config.sections import Value
from dualpt.core.config.setting import SETTING_KEYS, Setting
from dualpt.core.inputs.key import cell_key
from dualpt.core.running.cell_runner import CellResult, CellRunner

TINY = "dualpt-test-vit"
BASE: dict[str, Value] = {"optim.epochs": 3, "prompt.context_length": 4, "alignment.llm_weight": 2.0}
OT: dict[str, Value] = {"alignment.local_form": "ot", "prompt.n_prompts": 2}

KNOBS: dict[str, tuple[dict[str, Value], Value, Value]] = {
    # key: (what else is set, one value, another)
    "method": ({}, "prompt", "zero-shot"),
    "backbone.name": ({"backbone.pretrained": "random"}, "mini-clip", TINY),
    "backbone.pretrained": ({}, None, "random"),
    "backbone.precision": (
        {"backbone.name": TINY, "backbone.pretrained": "random"},
        "fp32",
        "bf16",
    ),  # the mini CLIP takes long in bf16
    "backbone.local_features": ({}, "value", "tokens"),
    "prompt.context_length": ({}, 4, 5),
    "prompt.n_prompts": ({}, 1, 2),
    "prompt.class_token_position": ({}, "end", "front"),
    "prompt.class_specific": ({}, False, True),
    "prompt.init": ({}, None, "a photo of a"),
    "prompt.init_at": ({"prompt.init": "a photo"}, "start", "end"),
    "prompt.init_std": ({}, 0.02, 0.05),
    "alignment.llm_weight": ({}, 1.0, 4.0),
    "alignment.llm_form": ({}, "cosine", "contrastive"),
    "alignment.llm_target": ({}, "descriptions", "template"),
    "alignment.llm_gradient": ({}, "added", "projected"),
    "alignment.local_weight": ({}, 0.5, 2.0),
    "alignment.local_form": ({}, "topk", "attention"),
    "alignment.global_weight": ({}, 1.0, 0.0),
    "alignment.cross_entropy": ({}, "separate", "summed"),
    "alignment.topk": ({"alignment.local_form": "topk"}, 2, 6),
    "alignment.topk_step": ({"alignment.local_form": "multiscale", "prompt.n_prompts": 2}, 2, 8),
    "alignment.attention_beta": ({"alignment.local_form": "attention"}, 5.0, 30.0),
    "alignment.ot_epsilon": (OT, 0.1, 0.3),
    "alignment.ot_iterations": (OT, 1, 20),
    "alignment.ot_marginals": (OT, "uniform", "unbalanced"),
    "alignment.ot_relaxation": ({**OT, "alignment.ot_marginals": "unbalanced"}, 0.05, 1.0),
    "inference.global_weight": ({}, 1.0, 0.0),
    "inference.local_weight": ({}, 0.0, 2.0),
    "inference.description_weight": ({}, 0.0, 5.0),
    "optim.recipe": ({"optim.epochs": None}, "mini", "coop"),
    "optim.learning_rate": ({}, 0.002, 0.01),
    "optim.batch_size": ({}, 4, 8),
    "optim.epochs": ({}, 3, 4),
    "optim.epoch_scale": ({"optim.epochs": None}, 0.05, 0.1),
    "optim.momentum": ({}, 0.9, 0.5),
    "optim.weight_decay": ({}, 0.0, 0.5),
    "optim.warmup_learning_rate": ({}, 1e-5, 1e-2),
    "data.views": ({}, 1, 3),
    "descriptions.per_class": ({}, 1, 5),
}


WHERE_CLASSES_DIFFER = {"data.draw"}
"""Means nothing on the mini grid, whose classes are equally large: `tests/core/inputs/test_key.py` has it."""

TINY_CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module", autouse=True)
def second_architecture(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Besides the tiny CLIP, one more architecture that loads in a moment."""
    path = tmp_path_factory.mktemp("configs") / f"{TINY}.json"
    path.write_text(json.dumps(TINY_CONFIG))
    open_clip.add_model_config(path)


def values_of(key: str, which: int) -> dict[str, Value]:
    others, *choices = KNOBS[key]
    return {**BASE, **others, key: choices[which]}


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> CellRunner:
    torch.set_num_threads(1)
    return CellRunner(cache=tmp_path_factory.mktemp("store"), device="cpu")


def run(runner: CellRunner, setting: Setting) -> CellResult:
    shots, seed = (1, 1) if setting.method == "prompt" else (0, 0)
    cell = Cell(setting, "mini-tiles", "few-shot", shots, seed)
    runner.prepare([cell])
    (result,) = runner.run([cell])
    assert result.failure is None
    return result


def outcome(result: CellResult) -> tuple[object, ...]:
    contexts = None if result.contexts is None else result.contexts.numpy().tobytes()
    return contexts, result.loss_curve, result.metrics.test_accuracy


def test_every_key_is_listed() -> None:
    assert set(KNOBS) == set(SETTING_KEYS) - LOCATIONS - WHERE_CLASSES_DIFFER


@pytest.mark.slow
@pytest.mark.parametrize("key", KNOBS)
def test_changing_a_knob_changes_the_run_and_the_key(key: str, runner: CellRunner) -> None:
    one, other = (Setting().with_values(values_of(key, which)) for which in (0, 1))
    first, second = run(runner, one), run(runner, other)
    assert outcome(first) != outcome(second), f"{key} changes nothing"
    assert first.key != second.key, f"{key} is not part of the cell key"


def test_a_moved_data_root_keeps_its_keys(tmp_path: Path) -> None:
    import shutil

    from dualpt.core.inputs.reading import mini_root
    from dualpt.core.mini.grid import ensure_mini_grid

    ensure_mini_grid(mini_root(), ["mini-tiles"])
    shutil.copytree(mini_root() / "mini_tiles", tmp_path / "mini_tiles")
    shutil.copytree(mini_root() / "descriptions", tmp_path / "descriptions")
    shutil.copy(mini_root() / "grid.json", tmp_path / "grid.json")
    here = Cell(Setting(), "mini-tiles", "few-shot", 1, 1)
    there = Cell(Setting().with_values({"data.root": str(tmp_path)}), "mini-tiles", "few-shot", 1, 1)
    assert cell_key(here) == cell_key(there)
