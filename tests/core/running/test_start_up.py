"""A process that trains on stored features imports nothing that image towers alone need; its numbers are the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

from dualpt.core.cell import Cell
from dualpt.core.config.sections import Value
from dualpt.core.presets import method_setting
from dualpt.core.running.cell_runner import CellRunner

HEAVY = ("open_clip", "torchvision", "transformers", "timm")
COMPILER = "torch._dynamo"
"""torch's, which its own optimisers import when the first of them is made; DuAl-PT's steps are without one."""
TINY = {
    "embed_dim": 12,
    "quick_gelu": True,
    "vision_cfg": {"layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 32},
    "text_cfg": {"width": 16, "heads": 2, "layers": 2},
}
PROGRAM = """
import json, sys
from dualpt.core.cell import Cell
from dualpt.core.presets import method_setting
from dualpt.core.running.cell_runner import CellRunner
import torch
torch.set_num_threads(1)
for method, values, heavy in {cases!r}:
    cell = Cell(method_setting(method).with_values(values), "mini-tiles", "few-shot", 2, 1)
    runner = CellRunner(device="cpu")
    runner.check([cell])
    runner.prepare([cell])
    (result,) = runner.run([cell])
    imported = [name for name in heavy if name in sys.modules]
    print(json.dumps([result.key, result.metrics.test_accuracy, result.loss_curve, imported]))
"""


def in_a_vit_of_ones_own(folder: Path) -> dict[str, Value]:
    """A folder as open_clip pushes it to the hub."""
    torch.manual_seed(3)
    save_file(CLIP(**TINY).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
    return {"backbone.name": "auto", "backbone.pretrained": str(folder)}


@pytest.mark.slow
def test_training_on_stored_features_loads_no_image_tower(private_cache: Path, tmp_path: Path) -> None:
    """In one process, what may import least first: what a case imported would show in those that follow."""
    quick: dict[str, Value] = {"optim.epochs": 2, "prompt.context_length": 4}
    cases = [
        ("dualpt", quick, (*HEAVY, COMPILER)),
        ("dualpt", {**quick, **in_a_vit_of_ones_own(tmp_path)}, (*HEAVY, COMPILER)),
        ("prolip", {}, HEAVY),  # it begins with the image tower's last linear map
    ]
    here = []
    for method, values, _ in cases:
        cell = Cell(method_setting(method).with_values(values), "mini-tiles", "few-shot", 2, 1)
        runner = CellRunner(device="cpu")
        runner.check([cell])
        runner.prepare([cell])
        (result,) = runner.run([cell])
        here.append([result.key, result.metrics.test_accuracy, list(result.loss_curve), []])
    program = PROGRAM.format(cases=cases)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == here
