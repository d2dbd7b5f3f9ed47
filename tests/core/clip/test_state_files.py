"""Weights are read however a training script wrapped them, nothing in a file is run, and damage is named."""

import argparse
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor

from dualpt.core.clip.backbone import load_backbone
from dualpt.core.clip.state_files import read_state
from dualpt.core.errors import UserError

pytestmark = pytest.mark.usefixtures("private_cache")

CONFIG: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 48, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module", autouse=True)
def tiny_architecture(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("configs")
    (folder / "tiny-state.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)


@pytest.fixture
def state() -> dict[str, Tensor]:
    torch.manual_seed(11)
    return dict(CLIP(**CONFIG).state_dict())


def loads_as(path: Path, state: Mapping[str, Tensor]) -> bool:
    found = load_backbone("tiny-state", str(path)).model.state_dict()
    return found.keys() == state.keys() and all(torch.equal(found[key], state[key]) for key in state)


def fault(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_backbone("tiny-state", str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestWrappings:
    @pytest.mark.parametrize(
        "prefix",
        [
            "model.",
            "module.",
            "_orig_mod.",
            "clip_model.",
            "base_model.model.",
            "module._orig_mod.model.",
            "_orig_mod.module.",
            "anything.they.called.it.",
        ],
    )
    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_a_prefix_before_every_key(
        self, tmp_path: Path, state: dict[str, Tensor], prefix: str, suffix: str
    ) -> None:
        path = tmp_path / f"weights{suffix}"
        prefixed = {prefix + key: value for key, value in state.items()}
        save_file(prefixed, path) if suffix == ".safetensors" else torch.save(prefixed, path)
        assert loads_as(path, state)

    def test_one_compiled_tower(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        inner = {key.replace("visual.", "visual._orig_mod."): value for key, value in state.items()}
        torch.save(inner, tmp_path / "weights.pt")
        assert loads_as(tmp_path / "weights.pt", state)

    @pytest.mark.parametrize(
        "keys", [("state_dict",), ("model_state_dict",), ("model",), ("net",), ("checkpoint", "model"), ("a", "b", "c")]
    )
    def test_a_key_of_their_own(self, tmp_path: Path, state: dict[str, Tensor], keys: tuple[str, ...]) -> None:
        content: Any = state
        for key in reversed(keys):
            content = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}, key: content}
        torch.save(content, tmp_path / "weights.pt")
        assert loads_as(tmp_path / "weights.pt", state)

    def test_the_usual_key_goes_before_an_averaged_copy(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        average = {key: value + 1 for key, value in state.items()}
        torch.save({"ema": average, "model": state}, tmp_path / "weights.pt")
        assert loads_as(tmp_path / "weights.pt", state)

    def test_several_without_a_usual_key_are_named(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        torch.save({"student": state, "teacher": state}, tmp_path / "weights.pt")
        assert "holds several state dicts (student, teacher); save the one to use alone" in fault(
            tmp_path / "weights.pt"
        )

    def test_pytorchs_averaged_models_count_beside_the_weights(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        model = CLIP(**CONFIG)
        model.load_state_dict(state)
        torch.save(torch.optim.swa_utils.AveragedModel(model).state_dict(), tmp_path / "weights.pt")
        assert loads_as(tmp_path / "weights.pt", state)

    def test_what_stands_beside_a_wrapped_model_is_left_out_aloud(
        self, tmp_path: Path, state: dict[str, Tensor], caplog: pytest.LogCaptureFixture
    ) -> None:
        """A module of Lightning counts in its metrics, and has a head; neither is of the CLIP."""
        module = {f"model.{key}": value for key, value in state.items()}
        beside = {"accuracy.correct": torch.tensor(7), "head.weight": torch.ones(2, 12)}
        torch.save({"state_dict": module | beside, "epoch": 3}, tmp_path / "weights.ckpt")
        assert loads_as(tmp_path / "weights.ckpt", state)
        assert "the CLIP is what stands under 'model.'; left out: accuracy.correct, head.weight" in caplog.text

    def test_adapters_beside_a_wrapped_model_are_not_left_out(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        module = {f"clip.{key}": value for key, value in state.items()}
        torch.save({**module, "lora_layers.0.A": torch.ones(2, 12)}, tmp_path / "weights.pt")
        assert "holds adapters (lora_layers.0.A); merge them into the weights" in fault(tmp_path / "weights.pt")

    def test_one_weight_under_two_names(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        torch.save({**state, "module.ln_final.bias": torch.ones(16)}, tmp_path / "weights.pt")
        assert "holds one weight under two names" in fault(tmp_path / "weights.pt")


class TestOtherObjects:
    """open_clip's training files hold an optimiser, and theirs may hold NumPy scalars."""

    def test_numpy_scalars_and_arguments_do_not_keep_weights_from_being_read(
        self, tmp_path: Path, state: dict[str, Tensor]
    ) -> None:
        path = tmp_path / "epoch_3.pt"
        optimiser = {"state": {0: {"step": np.float64(3)}}, "param_groups": [{"lr": np.float32(0.1)}]}
        arguments = argparse.Namespace(model="ViT-B-16", history=np.arange(3))
        torch.save({"name": "run", "state_dict": state, "optimizer": optimiser, "args": arguments}, path)
        with pytest.raises(Exception, match="Unsupported global"):
            torch.load(path, weights_only=True)
        assert loads_as(path, state)

    def test_what_a_file_would_run_is_not_run(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        class Trap:
            def __reduce__(self) -> tuple[Any, ...]:
                return shutil.copyfile, (str(Path(__file__)), str(tmp_path / "ran"))

        torch.save({"state_dict": state, "trap": Trap()}, tmp_path / "trap.pt")
        assert loads_as(tmp_path / "trap.pt", state)
        assert not (tmp_path / "ran").exists()

    def test_system_calls_are_refused(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        class Trap:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.system, (f"touch {tmp_path}/ran",)

        torch.save({"state_dict": state, "trap": Trap()}, tmp_path / "trap.pt")
        assert "not a safetensors file or a plain state dict (damaged, or with objects" in fault(tmp_path / "trap.pt")
        assert not (tmp_path / "ran").exists()

    def test_a_pickled_model_is_no_state_dict(self, tmp_path: Path) -> None:
        torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
        assert "holds no state dict; save the model's state_dict() as safetensors" in fault(tmp_path / "model.pt")


class TestMisfits:
    def test_missing_and_unknown_keys_are_counted_and_the_first_named(
        self, tmp_path: Path, state: dict[str, Tensor]
    ) -> None:
        kept = {key: value for key, value in state.items() if not key.startswith("transformer.")}
        save_file({**kept, "head.weight": torch.ones(2)}, tmp_path / "odd.safetensors")
        line = fault(tmp_path / "odd.safetensors")
        assert "these weights do not fit tiny-state: 24 keys are missing (transformer.resblocks.0.ln_1.weight, " in line
        assert " and 21 more); 1 key is not in this architecture (head.weight); name their architecture" in line

    def test_a_key_too_many_is_to_be_left_out(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        save_file({**state, "prompt_learner.ctx": torch.ones(4, 16)}, tmp_path / "odd.safetensors")
        assert "(prompt_learner.ctx); leave them out of the file, or name the" in fault(tmp_path / "odd.safetensors")

    def test_adapters_are_to_be_merged(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        adapted = {f"base_model.model.{key}": value for key, value in state.items()}
        adapted["base_model.model.visual.lora_A.weight"] = torch.ones(2, 2)
        save_file(adapted, tmp_path / "odd.safetensors")
        assert "(visual.lora_A.weight); merge the adapters into the weights" in fault(tmp_path / "odd.safetensors")


class TestValues:
    """Damaged weights classify too: zero-shot gives the accuracy of chance, and training blames the learning rate."""

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    @pytest.mark.parametrize("key", ["text_projection", "visual.proj", "ln_final.bias", "logit_scale"])
    def test_one_value_that_is_not_finite(
        self, tmp_path: Path, state: dict[str, Tensor], key: str, value: float
    ) -> None:
        state[key].view(-1)[-1] = value
        save_file(state, tmp_path / "odd.safetensors")
        assert fault(tmp_path / "odd.safetensors") == (
            f"{tmp_path}/odd.safetensors: {key} holds values that are not finite; fetch or train the weights again"
        )

    def test_a_matrix_of_zeros(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        state["text_projection"].zero_()
        save_file(state, tmp_path / "odd.safetensors")
        assert "text_projection is zero everywhere" in fault(tmp_path / "odd.safetensors")

    def test_a_bias_of_zeros_is_sound(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        state["ln_final.bias"].zero_()
        save_file(state, tmp_path / "sound.safetensors")
        assert loads_as(tmp_path / "sound.safetensors", state)

    @pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.float8_e4m3fn])
    def test_integers_and_eight_bits(self, tmp_path: Path, state: dict[str, Tensor], dtype: torch.dtype) -> None:
        state["visual.proj"] = state["visual.proj"].to(dtype)
        save_file(state, tmp_path / "odd.safetensors")
        assert f"visual.proj is {str(dtype)[6:]}; quantised or truncated weights" in fault(tmp_path / "odd.safetensors")

    @pytest.mark.parametrize("stored", [100.0, -20.0])
    def test_a_logit_scale_that_is_no_logarithm(self, tmp_path: Path, state: dict[str, Tensor], stored: float) -> None:
        state["logit_scale"].fill_(stored)
        save_file(state, tmp_path / "odd.safetensors")
        assert f"logit_scale is {stored:g}; CLIP stores its logarithm, 4.6052 for a scale of 100" in fault(
            tmp_path / "odd.safetensors"
        )

    def test_text_features_without_a_direction(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        """A final norm of zeros passes by matrix, and not by what comes out."""

        state["ln_final.weight"].zero_()
        state["ln_final.bias"].zero_()
        save_file(state, tmp_path / "odd.safetensors")
        backbone = load_backbone("tiny-state", str(tmp_path / "odd.safetensors"))
        with pytest.raises(
            UserError, match="the features of the text tower are not finite, or zero; check the weights"
        ):
            backbone.text.encode_sentences([[49406, 320, 49407]])

    def test_values_that_half_precision_cannot_hold(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        state["visual.proj"][0, 0] = 70_000.0
        save_file(state, tmp_path / "large.safetensors")
        load_backbone("tiny-state", str(tmp_path / "large.safetensors"), "bf16")
        with pytest.raises(UserError, match=r"backbone.precision: fp16 cannot hold visual.proj; use bf16 or fp32"):
            load_backbone("tiny-state", str(tmp_path / "large.safetensors"), "fp16")

    def test_counters_are_integers_by_right(self, tmp_path: Path) -> None:
        save_file(
            {"logit_scale": torch.tensor(4.6), "visual.bn1.num_batches_tracked": torch.tensor(0)},
            tmp_path / "part.safetensors",
        )
        assert len(read_state(tmp_path / "part.safetensors")) == 2
