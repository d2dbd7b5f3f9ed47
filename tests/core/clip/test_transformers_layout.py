"""Folders of `CLIPModel.save_pretrained` give the features that `transformers` itself computes, or one error line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.clip.weights import find_weights, weights_fingerprint
from dualpt.core.errors import UserError

pytestmark = pytest.mark.usefixtures("private_cache")

TEXT = {"hidden_size": 32, "intermediate_size": 88, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {"hidden_size": 48, "intermediate_size": 100, "num_hidden_layers": 3, "num_attention_heads": 3}
VISION |= {"image_size": 48, "patch_size": 16}
SENTENCES = ("a photo of a cat.", "x", "a striped cloth with many, many colours")
PREPROCESSOR = {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}, "do_center_crop": True}
PREPROCESSOR |= {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.25, 0.2, 0.15], "resample": 2}


def save_clip(folder: Path, *, half: bool = False, shard: str | None = None, **towers: Any) -> Any:
    """A random CLIPModel with every parameter away from its initial value, written as transformers writes it."""
    from transformers import CLIPConfig, CLIPModel

    both = {key: value for key, value in towers.items() if key in ("hidden_act", "layer_norm_eps")}
    text = TEXT | both | {"eos_token_id": towers.get("eos_token_id", 49407)}
    torch.manual_seed(7)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=VISION | both, projection_dim=20)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        model.logit_scale.fill_(4.0)
    if half:
        model.half()
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    return model.float()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    save_clip(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


def tower_features(backbone: Backbone) -> tuple[Tensor, Tensor]:
    torch.manual_seed(5)
    image, _ = backbone.encode_images(torch.randn(3, 3, 48, 48), None)
    tower = backbone.text
    tokens = [[tower.start_token, *backbone.tokenizer.encode(s), tower.end_token] for s in SENTENCES]
    return image, tower.encode_sentences(tokens)


def expected(model: Any, backbone: Backbone) -> tuple[Tensor, Tensor]:
    """By transformers' own forward pass, padded with the end token as its tokenizer pads."""
    torch.manual_seed(5)
    images = torch.randn(3, 3, 48, 48)
    ids = torch.full((len(SENTENCES), 77), 49407)
    for row, sentence in zip(ids, SENTENCES, strict=True):
        tokens = [49406, *backbone.tokenizer.encode(sentence), 49407]
        row[: len(tokens)] = torch.tensor(tokens)
    with torch.no_grad():
        output = model(input_ids=ids, pixel_values=images)
    return F.normalize(output.image_embeds, dim=-1), F.normalize(output.text_embeds, dim=-1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hidden_act": "gelu"},
        {"layer_norm_eps": 0.01},
        {"eos_token_id": 2},
        {"half": True},
        {"shard": "1MB"},
    ],
    ids=str,
)
def test_features_are_those_of_transformers(tmp_path: Path, options: dict[str, Any]) -> None:
    model = save_clip(tmp_path / "clip", **options)
    assert ("index" in "".join(p.name for p in (tmp_path / "clip").iterdir())) == ("shard" in options)
    backbone = load_backbone("auto", str(tmp_path / "clip"))
    for found, wanted in zip(tower_features(backbone), expected(model, backbone), strict=True):
        assert found.dtype == torch.float32
        assert (found - wanted).abs().max() <= 1e-5
    assert backbone.logit_scale == pytest.approx(54.598, rel=1e-4)


def test_activation_and_norms_matter_to_that_comparison(tmp_path: Path) -> None:
    """A conversion that ignored one of them would not pass."""
    features = []
    for number, options in enumerate(({}, {"hidden_act": "gelu"}, {"layer_norm_eps": 0.01})):
        save_clip(tmp_path / str(number), **options)
        features.append(tower_features(load_backbone("auto", str(tmp_path / str(number)))))
    for other in features[1:]:
        assert all((one - two).abs().max() > 1e-3 for one, two in zip(features[0], other, strict=True))


def test_a_torch_file_in_place_of_safetensors(folder: Path) -> None:
    before = tower_features(load_backbone("auto", str(folder)))
    state = load_file(folder / "model.safetensors")
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]  # old checkpoints hold it
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    after = tower_features(load_backbone("auto", str(folder)))
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))


def test_the_fingerprint_is_weights_and_architecture_and_not_the_place(folder: Path, tmp_path: Path) -> None:
    before = weights_fingerprint("auto", str(folder))
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    assert weights_fingerprint("auto", str(moved)) == before == load_backbone("auto", str(moved)).weights_fingerprint
    change_config(moved, "text_config", hidden_act="gelu")
    change_config(moved, "vision_config", hidden_act="gelu")
    assert weights_fingerprint("auto", str(moved)) != before


class TestPreprocessing:
    def test_clips_own_where_the_folder_says_nothing(self, folder: Path) -> None:
        preprocess = load_backbone("auto", str(folder)).preprocess
        assert preprocess.size == (48, 48)
        assert preprocess.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)
        assert preprocess.interpolation == "bicubic"

    @pytest.mark.parametrize("nested", [False, True])
    def test_the_folders_own(self, folder: Path, nested: bool) -> None:
        name = "processor_config.json" if nested else "preprocessor_config.json"
        content = {"image_processor": PREPROCESSOR, "processor_class": "CLIPProcessor"} if nested else PREPROCESSOR
        (folder / name).write_text(json.dumps(content))
        preprocess = load_backbone("auto", str(folder)).preprocess
        assert preprocess.mean == (0.5, 0.4, 0.3)
        assert preprocess.std == (0.25, 0.2, 0.15)
        assert (preprocess.interpolation, preprocess.resize_mode) == ("bilinear", "shortest")

    def test_old_sizes_are_plain_numbers(self, folder: Path) -> None:
        (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | {"size": 48, "crop_size": 48}))
        assert find_weights("auto", str(folder)).preprocess["resize_mode"] == "shortest"

    def test_squashed_images(self, folder: Path) -> None:
        square = PREPROCESSOR | {"size": {"height": 48, "width": 48}, "do_center_crop": False}
        (folder / "preprocessor_config.json").write_text(json.dumps(square))
        assert load_backbone("auto", str(folder)).preprocess.resize_mode == "squash"

    def test_pixels_are_those_of_transformers(self, folder: Path) -> None:
        from PIL import Image
        from transformers import CLIPImageProcessor

        processor = CLIPImageProcessor(**{**PREPROCESSOR, "resample": 3})
        processor.save_pretrained(folder)
        generator = torch.Generator().manual_seed(1)
        pixels = torch.randint(0, 256, (90, 120, 3), dtype=torch.uint8, generator=generator).numpy()
        image = Image.fromarray(pixels)
        theirs = processor(images=image, return_tensors="pt")["pixel_values"][0]
        ours = load_backbone("auto", str(folder)).preprocess.plain(image)
        assert (ours - theirs).abs().max() < 2 / 255 / 0.15  # resized pixels are whole numbers in both

    def test_an_unsupported_one_is_refused(self, folder: Path) -> None:
        for change in ({"size": {"shortest_edge": 64}}, {"do_normalize": False}, {"rescale_factor": 1 / 127.5}):
            (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | change))
            assert "preprocessor_config.json: only resizing to the tower's 48 pixels" in fault("auto", folder)


def test_a_named_architecture_must_be_the_folders(folder: Path) -> None:
    assert "the architecture of" in fault("mini-clip", folder)
    assert "set backbone.name=auto" in fault("mini-clip", folder)
    assert "were trained with QuickGELU, ViT-B-32 has GELU; use ViT-B-32-quickgelu" in fault("ViT-B-32", folder)
    line = fault("ViT-B-32-quickgelu", folder)
    assert "ViT-B-32-quickgelu has embed_dim 512" in line
    assert "has 20; set backbone.name=auto" in line


def test_a_named_architecture_that_fits_is_loaded(folder: Path, tmp_path: Path) -> None:
    import open_clip

    config = dict(find_weights("auto", str(folder)).config or {})
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "tiny-hf.json").write_text(json.dumps(config))
    fewer_heads = {**config, "vision_cfg": {**config["vision_cfg"], "head_width": 24}}
    (tmp_path / "named" / "tiny-hf-heads.json").write_text(json.dumps(fewer_heads))
    open_clip.add_model_config(tmp_path / "named")
    named, auto = (load_backbone(name, str(folder)) for name in ("tiny-hf", "auto"))
    assert torch.equal(tower_features(named)[0], tower_features(auto)[0])
    assert "tiny-hf-heads has vision_cfg.head_width 24" in fault("tiny-hf-heads", folder)


def change_config(folder: Path, section: str | None = None, **values: Any) -> None:
    content = json.loads((folder / "config.json").read_text())
    (content if section is None else content[section]).update(values)
    (folder / "config.json").write_text(json.dumps(content))


def lose_a_tensor(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["vision_model.encoder.layers.1.self_attn.k_proj.weight"]
    save_file(state, folder / "model.safetensors")


def replace(file: Path, make: Callable[[Path], object]) -> None:
    file.unlink()
    make(file)


DAMAGE: list[tuple[str, Callable[[Path], object]]] = [
    (
        "model_type 'siglip' is not supported: its text tower is not causal",
        lambda f: change_config(f, model_type="siglip"),
    ),
    ("model_type 'bert' is not supported; give a folder of a CLIPModel", lambda f: change_config(f, model_type="bert")),
    ("vocab_size 1000 is not CLIP's 49408", lambda f: change_config(f, "text_config", vocab_size=1000)),
    ("eos_token_id 5 is not CLIP's", lambda f: change_config(f, "text_config", eos_token_id=5)),
    ("num_channels 1 is not 3", lambda f: change_config(f, "vision_config", num_channels=1)),
    ("the towers' activations differ", lambda f: change_config(f, "text_config", hidden_act="gelu")),
    ("not a multiple of num_attention_heads", lambda f: change_config(f, "text_config", num_attention_heads=5)),
    ("not a configuration of CLIPModel", lambda f: change_config(f, "text_config", hidden_size="wide")),
    ("config.json: line 1, column 2: not JSON", lambda f: (f / "config.json").write_text("{")),
    ("config.json: expected a JSON object", lambda f: (f / "config.json").write_text("[]")),
    ("but no weights (model.safetensors or pytorch_model.bin)", lambda f: (f / "model.safetensors").unlink()),
    ("is not a checkpoint folder", lambda f: (f / "config.json").unlink()),
    ("model.safetensors: not a safetensors file", lambda f: (f / "model.safetensors").write_bytes(b"<html>")),
    ("visual.transformer.resblocks.1.attn.in_proj_weight is (96, 48), wanted is (144, 48)", lose_a_tensor),
    (
        "model-2.safetensors: named in model.safetensors.index.json, but missing",
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-2.safetensors"}}'),
    ),
    (
        "model.safetensors.index.json: lists no weights; save the checkpoint again",
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {}}'),
    ),
    (
        "model.safetensors.index.json: lists no weights; save the checkpoint again",
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": [1]}'),
    ),
    (
        "index.json: '../other.safetensors' leads out of the folder",
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../other.safetensors"}}'),
    ),
    (
        "config.json: nested too deeply",
        lambda f: (f / "config.json").write_text("[" * 200_000),
    ),
    ("config.json: not a JSON file (byte 0 is not UTF-8)", lambda f: (f / "config.json").write_bytes(b"\xff\xfe")),
    ("config.json: is a folder and cannot be read as a file", lambda f: replace(f / "config.json", Path.mkdir)),
    ("config.json: is a named pipe and cannot be read as a file", lambda f: replace(f / "config.json", os.mkfifo)),
    (
        "model.safetensors: is a folder and cannot be read as a file",
        lambda f: replace(f / "model.safetensors", Path.mkdir),
    ),
    (
        "model.safetensors: is a named pipe and cannot be read as a file",
        lambda f: replace(f / "model.safetensors", os.mkfifo),
    ),
    ("model.safetensors: the file is empty", lambda f: replace(f / "model.safetensors", Path.touch)),
    (
        "model.safetensors: a Git LFS pointer, not the file itself; run `git lfs pull`",
        lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    ),
    ("preprocessor_config.json: is a named pipe", lambda f: os.mkfifo(f / "preprocessor_config.json")),
    ("tokenizer.json: is a named pipe", lambda f: os.mkfifo(f / "tokenizer.json")),
    ("vocab.json and merges.txt alone; complete the folder", lambda f: (f / "vocab.json").write_text("{}")),
    (
        "preprocessor_config.json: KeyError('image_mean')",
        lambda f: (f / "preprocessor_config.json").write_text('{"size": 48}'),
    ),
]


@pytest.mark.timeout(60)  # a named pipe would keep its reader waiting
@pytest.mark.parametrize(("said", "damage"), DAMAGE, ids=[said for said, _ in DAMAGE])
def test_each_fault_is_one_line(folder: Path, said: str, damage: Callable[[Path], object]) -> None:
    damage(folder)
    assert said in fault("auto", folder)


def test_shards_of_torch_files_are_read(folder: Path) -> None:
    before = tower_features(load_backbone("auto", str(folder)))
    state = list(load_file(folder / "model.safetensors").items())
    state = [(f"clip.{key}", value) for key, value in state]  # a prefix shows in the shard with the logit scale alone
    shards = {"pytorch_model-1.bin": dict(state[:20]), "pytorch_model-2.bin": dict(state[20:])}
    for name, part in shards.items():
        torch.save(part, folder / name)
    weight_map = {key: name for name, part in shards.items() for key in part}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "model.safetensors").unlink()
    after = tower_features(load_backbone("auto", str(folder)))
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))


def test_a_logit_scale_in_bfloat16_is_said_to_be_rounded(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A scale of 100 is 98.86 there."""
    state = {key: value.clone() for key, value in load_file(folder / "model.safetensors").items()}  # else mapped
    state["logit_scale"] = torch.tensor(100.0).log()
    save_file({key: value.bfloat16() for key, value in state.items()}, folder / "model.safetensors")
    assert load_backbone("auto", str(folder)).logit_scale == pytest.approx(98.86, abs=0.01)
    assert [record.message for record in caplog.records] == [
        f"{folder}: logit_scale is stored in bfloat16 and reads 98.86; eight bits are too few for it (a scale of 100 "
        "reads 98.86), so store it in float32 if it matters"
    ]
    caplog.clear()
    save_file({key: value.half() for key, value in state.items()}, folder / "model.safetensors")
    assert load_backbone("auto", str(folder)).logit_scale == pytest.approx(100, abs=0.05)
    assert not caplog.records


def test_the_weights_file_alone_names_its_folder_as_the_remedy(folder: Path) -> None:
    line = fault("ViT-B-32-quickgelu", folder / "model.safetensors")
    assert "a checkpoint of transformers; give the folder it lies in" in line


@pytest.mark.parametrize("pretrained", [None, "random", "nowhere"])
def test_auto_needs_a_folder(pretrained: str | None) -> None:
    assert "backbone.name: auto takes the architecture from a checkpoint folder" in fault("auto", pretrained)


def fault(name: str, pretrained: str | Path | None) -> str:
    with pytest.raises(UserError) as caught:
        load_backbone(name, None if pretrained is None else str(pretrained))
    assert "\n" not in str(caught.value)
    return str(caught.value)
