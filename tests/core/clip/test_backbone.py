"""Backbones load from every allowed place, refuse what does not fit, and encode as open_clip does."""

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip import pretrained as open_clip_tags
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from dualpt.core.clip import whole_model
from dualpt.core.clip.architectures import architecture_config
from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.clip.local_features import projection
from dualpt.core.clip.weights import weights_fingerprint
from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import file_sha256

pytestmark = pytest.mark.usefixtures("private_cache")

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
VIT = {"layers": 2, "width": 32, "head_width": 8, "patch_size": 16, "image_size": 48}
CONFIGS = {
    "tiny-vit": {"embed_dim": 12, "vision_cfg": VIT, "text_cfg": TEXT},
    "tiny-vit-quickgelu": {"embed_dim": 12, "quick_gelu": True, "vision_cfg": VIT, "text_cfg": TEXT},
    "tiny-vit-64": {"embed_dim": 12, "vision_cfg": VIT | {"image_size": 64}, "text_cfg": TEXT},
    "tiny-resnet": {
        "embed_dim": 12,
        "vision_cfg": {"layers": [1, 1, 1, 1], "width": 4, "head_width": 8, "image_size": 64},
        "text_cfg": TEXT,
    },
}


@pytest.fixture(scope="module", autouse=True)
def tiny_architectures(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Register architectures that build in no time."""
    folder = tmp_path_factory.mktemp("configs")
    for name, config in CONFIGS.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    """Weights of `tiny-vit`."""
    path = tmp_path / "tiny.safetensors"
    torch.manual_seed(11)
    save_file(CLIP(**CONFIGS["tiny-vit"]).state_dict(), path)
    return path


def encode(backbone: Backbone, local=None):
    torch.manual_seed(5)
    return backbone.encode_images(torch.randn(3, 3, *backbone.image_size), local)


def fault(name: str, pretrained: str | Path | None) -> str:
    with pytest.raises(UserError) as caught:
        load_backbone(name, None if pretrained is None else str(pretrained))
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestEncoding:
    @pytest.mark.parametrize("name", ["mini-clip", "tiny-vit", "tiny-vit-quickgelu", "tiny-resnet"])
    @pytest.mark.parametrize("local", [None, "value", "tokens"])
    def test_global_features_are_open_clips(self, name: str, local) -> None:
        backbone = load_backbone(name, "random")
        features, positions = encode(backbone, local)
        torch.manual_seed(5)
        images = torch.randn(3, 3, *backbone.image_size)
        assert torch.allclose(features, backbone.model.encode_image(images, normalize=True), atol=1e-5)
        if local is not None:
            assert positions.shape == (3, backbone.n_positions, backbone.width)
            assert torch.allclose(positions.norm(dim=-1), torch.ones(3, backbone.n_positions))

    @pytest.mark.parametrize("name", ["mini-clip", "tiny-vit", "tiny-resnet"])
    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_half_precision_stays_near_and_gives_float32(self, name: str, precision) -> None:
        full, half = (load_backbone(name, "random", p) for p in ("fp32", precision))
        for exact, rounded in zip(encode(full, "value"), encode(half, "value"), strict=True):
            assert rounded.dtype == torch.float32
            assert torch.allclose(exact, rounded, atol=0.03)
        assert half.logit_scale == pytest.approx(full.logit_scale, rel=1e-6)

    def test_features_can_take_part_in_a_training_graph(self) -> None:
        features, _ = encode(load_backbone("tiny-vit", "random"))
        weight = torch.ones(12, requires_grad=True)
        (features @ weight).sum().backward()
        assert weight.grad is not None

    def test_all_is_frozen(self) -> None:
        model = load_backbone("tiny-resnet", "random").model
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())

    def test_the_tokenizer_does_not_cut_off(self) -> None:
        tokenizer = load_backbone("tiny-vit", "random").tokenizer
        assert len(tokenizer.encode("word " * 200)) == 200


class TestRandomWeights:
    def test_they_are_the_same_every_time(self) -> None:
        torch.manual_seed(1)
        first = load_backbone("tiny-vit", "random")
        after_first = torch.rand(1)
        torch.manual_seed(2)
        second = load_backbone("tiny-vit", "random")
        assert torch.equal(encode(first)[0], encode(second)[0])
        assert first.weights_fingerprint == weights_fingerprint("tiny-vit", "random")
        torch.manual_seed(1)
        assert torch.equal(torch.rand(1), after_first)  # the caller's generator was left alone

    def test_the_mini_clip_ships_trained(self) -> None:
        trained, random = load_backbone("mini-clip"), load_backbone("mini-clip", "random")
        assert trained.weights_fingerprint != random.weights_fingerprint
        assert not torch.allclose(encode(trained)[0], encode(random)[0], atol=0.01)


class TestFiles:
    def test_safetensors(self, weights_file: Path) -> None:
        backbone = load_backbone("tiny-vit", str(weights_file))
        torch.manual_seed(11)
        model = CLIP(**CONFIGS["tiny-vit"]).eval()
        torch.manual_seed(5)
        images = torch.randn(3, 3, 48, 48)
        assert torch.allclose(encode(backbone)[0], model.encode_image(images, normalize=True), atol=1e-5)
        assert backbone.weights_fingerprint == file_sha256(weights_file)

    @pytest.mark.parametrize("wrap", ["plain", "training checkpoint", "data parallel"])
    def test_torch_files(self, weights_file: Path, wrap: str) -> None:
        torch.manual_seed(11)
        state = dict(CLIP(**CONFIGS["tiny-vit"]).state_dict())
        state["logit_scale"] = state["logit_scale"][None]
        content = {
            "plain": state,
            "training checkpoint": {"epoch": 3, "state_dict": state},
            "data parallel": {f"module.{key}": value for key, value in state.items()},
        }[wrap]
        path = weights_file.with_name("tiny.pt")
        torch.save(content, path)
        expected = encode(load_backbone("tiny-vit", str(weights_file)))[0]
        assert torch.equal(encode(load_backbone("tiny-vit", str(path)))[0], expected)

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("tiny-resnet", "do not fit tiny-resnet: visual.conv1.weight is (32, 3, 16, 16), wanted is"),
            ("tiny-vit-64", "visual.positional_embedding is (10, 32), wanted is (17, 32)"),  # never resized silently
        ],
    )
    def test_another_architecture(self, weights_file: Path, name: str, words: str) -> None:
        assert words in fault(name, weights_file)

    def test_surplus_weights(self, weights_file: Path) -> None:
        surplus = CLIP(**CONFIGS["tiny-vit"]).state_dict() | {"visual.extra": torch.ones(2)}
        save_file(surplus, weights_file)
        assert "1 key is not in this architecture (visual.extra)" in fault("tiny-vit", weights_file)

    @pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
    @pytest.mark.parametrize("content", [b"7", b"<html>404</html>", b"PK\x03\x04 cut off"])
    def test_no_weights_at_all(self, tmp_path: Path, suffix: str, content: bytes) -> None:
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(content)
        assert fault("tiny-vit", path).startswith(f"{path}: not a safetensors file or a plain state dict")

    def test_a_pickle_that_runs_code_is_not_run(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self):
                return Path.touch, (tmp_path / "ran",)

        torch.save({"state_dict": Trap()}, tmp_path / "trap.pt")
        assert "not a safetensors file or a plain state dict" in fault("tiny-vit", tmp_path / "trap.pt")
        assert not (tmp_path / "ran").exists()

    def test_a_file_without_a_state_dict(self, tmp_path: Path) -> None:
        torch.save({"epoch": 3}, tmp_path / "odd.pt")
        assert "holds no state dict" in fault("tiny-vit", tmp_path / "odd.pt")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:FutureWarning")
class TestOpenAiArchives:
    """TorchScript archives may run code: they are opened only when their hash is a published one."""

    @pytest.fixture
    def archive(self, tmp_path: Path) -> Path:
        class Holder(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x

        torch.manual_seed(11)
        holder = Holder()
        for key, value in CLIP(**CONFIGS["tiny-vit-quickgelu"]).state_dict().items():
            module = holder
            *parents, leaf = key.split(".")
            for parent in parents:
                if not hasattr(module, parent):
                    module.add_module(parent, Holder())
                module = getattr(module, parent)
            module.register_buffer(leaf, value)
        holder.register_buffer("input_resolution", torch.tensor(48))
        path = tmp_path / "clip.pt"
        torch.jit.save(torch.jit.script(holder), path)
        return path

    def test_an_unknown_archive_is_refused(self, archive: Path) -> None:
        assert "a TorchScript archive, which may run code; convert it" in fault("tiny-vit-quickgelu", archive)

    def test_a_published_one_is_loaded(self, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = {"url": f"https://example.org/{file_sha256(archive)}/tiny.pt", "quick_gelu": True}
        monkeypatch.setitem(open_clip_tags._PRETRAINED["ViT-B-16"], "pretend", config)
        backbone = load_backbone("tiny-vit-quickgelu", str(archive))
        torch.manual_seed(11)
        expected = CLIP(**CONFIGS["tiny-vit-quickgelu"]).state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in backbone.model.state_dict().items())


class TestArchitectures:
    @pytest.mark.parametrize("name", ["ViT-B-16", "ViT-B-16-quickgelu", "RN50", "ViT-L-14-336-quickgelu"])
    def test_plain_clips_are_accepted(self, name: str) -> None:
        assert architecture_config(name)["embed_dim"] >= 512

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("ViT-B-16-SigLIP", "its text tower is not causal"),
            ("convnext_base", "its image tower is timm's"),
            ("EVA02-B-16", "its image tower is timm's"),
            ("coca_ViT-B-32", "its image tower pools by attention"),
            ("roberta-ViT-B-32", "its text tower is a Hugging Face model"),
            ("ViT-H-14-worldwide", "its tokenizer is not CLIP's"),
        ],
    )
    def test_others_are_refused_with_the_reason(self, name: str, reason: str) -> None:
        assert f"{name} is not supported, because {reason}; use a plain CLIP" in fault(name, "random")

    def test_an_unknown_name_gets_a_suggestion(self) -> None:
        assert "unknown architecture 'ViT-B16'; did you mean 'ViT-B-16'?" in fault("ViT-B16", None)

    def test_weights_must_be_named(self) -> None:
        assert "backbone.pretrained: ViT-B-16 needs one of" in fault("ViT-B-16", None)


class TestPreprocessing:
    def test_clips_own_by_default(self) -> None:
        preprocess = load_backbone("tiny-vit", "random").preprocess
        assert preprocess.size == (48, 48)
        assert preprocess.mean == open_clip.OPENAI_DATASET_MEAN

    def test_what_the_weights_say(self, weights_file: Path) -> None:
        known = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "resize_mode": "squash", "size": 999}
        config = {"model_cfg": CONFIGS["tiny-vit"], "preprocess_cfg": known}
        weights_file.with_name("open_clip_config.json").write_text(json.dumps(config))
        preprocess = load_backbone("tiny-vit", str(weights_file)).preprocess
        assert preprocess.mean == (0.5, 0.5, 0.5)
        assert preprocess.std == (0.25, 0.25, 0.25)
        assert preprocess.resize_mode == "squash"
        assert preprocess.size == (48, 48)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "width", "positions"), [("ViT-B-32", 512, 49), ("RN50", 1024, 49)])
def test_a_real_architecture_builds_offline(name: str, width: int, positions: int) -> None:
    backbone = load_backbone(name, "random")
    assert (backbone.width, backbone.n_positions, backbone.image_size) == (width, positions, (224, 224))
    features, local = encode(backbone, "value")
    assert features.shape == (3, width)
    assert local.shape == (3, positions, width)


def test_norms_are_those_of_raw_features() -> None:
    backbone = load_backbone("mini-clip")
    images = torch.randn(3, 3, *backbone.image_size)
    plain, hidden = backbone.encode(images, None), backbone.encode(images, "hidden")
    with torch.no_grad():
        raw = backbone.model.visual(images)
    assert torch.allclose(plain.global_features * plain.norms[:, None], raw, atol=1e-5)
    assert hidden.beside is not None
    assert hidden.beside.shape == (3, backbone.hidden_width)
    assert torch.allclose(hidden.beside @ backbone.projection, raw, atol=1e-4)


class TestTheImageSide:
    """It is open_clip's, and loaded when the first image is encoded."""

    @pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
    def test_its_features_are_those_of_open_clips_model(self, weights_file: Path, precision: Any) -> None:
        backbone = load_backbone("tiny-vit", str(weights_file), precision)
        assert "model" not in vars(backbone)
        model = whole_model.build(CONFIGS["tiny-vit"], precision)
        model.load_state_dict(load_file(weights_file))
        whole_model.round_towers(model, is_mini=False, precision=precision)
        torch.manual_seed(5)
        images = torch.randn(3, 3, *backbone.image_size)
        with torch.no_grad():
            wanted = F.normalize(model.eval().encode_image(images.to(model.visual.proj.dtype)).float(), dim=-1)
        assert torch.equal(encode(backbone)[0], wanted)

    @pytest.mark.parametrize("name", ["mini-clip", "tiny-vit", "tiny-resnet"])
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_its_last_map_is_known_before(self, name: str, precision: Any) -> None:
        backbone = load_backbone(name, "random", precision)
        wanted = projection(backbone.model.visual)
        assert wanted is not None
        assert backbone.projection is not None
        assert torch.equal(backbone.projection, wanted.float())
        assert backbone.projection.shape == (backbone.hidden_width, backbone.width)

    def test_weights_that_have_changed_meanwhile_are_refused(self, weights_file: Path) -> None:
        backbone = load_backbone("tiny-vit", str(weights_file))
        torch.manual_seed(12)
        save_file(CLIP(**CONFIGS["tiny-vit"]).state_dict(), weights_file)
        with pytest.raises(UserError, match=r"tiny\.safetensors: changed since the text tower was read"):
            encode(backbone)

    def test_faults_of_its_weights_are_found_before(self, weights_file: Path) -> None:
        state = load_file(weights_file)
        save_file({**state, "visual.ln_pre.bias": torch.zeros(7)}, weights_file)
        assert "visual.ln_pre.bias is (7,), wanted is (32,)" in fault("tiny-vit", weights_file)
        state["visual.conv1.weight"][0, 0, 0, 0] = 1e6
        save_file(state, weights_file)
        load_backbone("tiny-vit", str(weights_file), "bf16")
        with pytest.raises(UserError, match=r"fp16 cannot hold visual\.conv1\.weight; use bf16 or fp32"):
            load_backbone("tiny-vit", str(weights_file), "fp16")

    def test_text_towers_with_other_parts_are_refused(self, tmp_path: Path, weights_file: Path) -> None:
        for options, reason in (
            ({"ls_init_value": 0.1}, "its text tower has ls_init_value=0.1"),
            ({"norm_kwargs": {"elementwise_affine": False}}, "its text tower has layer norms of its own"),
        ):
            config = CONFIGS["tiny-vit"] | {"text_cfg": TEXT | options}
            weights_file.with_name("open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
            assert f"is not supported, because {reason}" in fault("auto", weights_file)
        spelt_out = {"pool_type": "argmax", "ls_init_value": None, "proj_bias": False, "norm_kwargs": None}
        config = CONFIGS["tiny-vit"] | {"text_cfg": TEXT | spelt_out}
        weights_file.with_name("open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
        assert load_backbone("auto", str(weights_file)).width == 12
