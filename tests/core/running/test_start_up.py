"""A process that trains on stored features imports nothing that image towers alone need; its numbers are the same."""

import json
import subprocess
import sys
from collections.abc import Callable
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
cell = Cell(method_setting({method!r}).with_values({values!r}), "mini-tiles", "few-shot", 2, 1)
runner = CellRunner(device="cpu")
runner.check([cell])
runner.prepare([cell])
(result,) = runner.run([cell])
print(json.dumps([result.key, result.metrics.test_accuracy, result.loss_curve]))
print([name for name in {heavy!r} if name in sys.modules])
"""


def in_mini_clip(_: Path) -> dict[str, Value]:
    return {}


def in_a_vit_of_ones_own(folder: Path) -> dict[str, Value]:
    """A folder as open_clip pushes it to the hub."""
    torch.manual_seed(3)
    save_file(CLIP(**TINY).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
    return {"backbone.name": "auto", "backbone.pretrained": str(folder)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "backbone", "heavy"),
    [
        ("dualpt", in_mini_clip, (*HEAVY, COMPILER)),
        ("dualpt", in_a_vit_of_ones_own, (*HEAVY, COMPILER)),
        ("prolip", in_mini_clip, HEAVY),  # it begins with the image tower's last linear map
    ],
)
def test_training_on_stored_features_loads_no_image_tower(
    private_cache: Path,
    tmp_path: Path,
    method: str,
    backbone: Callable[[Path], dict[str, Value]],
    heavy: tuple[str, ...],
) -> None:
    quick: dict[str, Value] = {"optim.epochs": 2, "prompt.context_length": 4} if method == "dualpt" else {}
    values = {**quick, **backbone(tmp_path)}
    cell = Cell(method_setting(method).with_values(values), "mini-tiles", "few-shot", 2, 1)
    runner = CellRunner(device="cpu")
    runner.check([cell])
    runner.prepare([cell])
    (result,) = runner.run([cell])
    program = PROGRAM.format(method=method, values=values, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found, imported = done.stdout.splitlines()
    assert imported == "[]"
    assert json.loads(found) == [result.key, result.metrics.test_accuracy, list(result.loss_curve)]
