"""A folder written by `CLIPModel.save_pretrained` of transformers: its files, and its configuration in open_clip's
words.

Loads no torch: fingerprints and cell keys are computed without it. `transformers_weights` converts the weights.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualpt.core.clip.transformers_vocabulary import Vocabulary, read_vocabulary
from dualpt.core.errors import UserError
from dualpt.core.files.json_reader import read_json
from dualpt.core.files.regular import check_regular

CONFIG_FILE = "config.json"
INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
PREPROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""The first is the image processor's own; the second, newer one holds it under `image_processor`."""

CLIP_VOCABULARY = 49408
CLIP_END_TOKENS = (2, 49407)
"""`eos_token_id` in old configurations, which then read the feature at the largest id, and in new ones: the same."""

TEXT_DEFAULTS = {
    "vocab_size": CLIP_VOCABULARY,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "eos_token_id": 49407,
}
"""What `CLIPTextConfig` takes for keys that a file leaves out."""
VISION_DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""The same of `CLIPVisionConfig`."""
PROJECTION_DEFAULT = 512

INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, which `resample` holds."""


@dataclass(frozen=True)
class TransformersFolder:
    """What is in a checkpoint folder, before any weights are read."""

    files: tuple[Path, ...]
    """The weights: one file, or all shards in order."""
    config: dict[str, Any]
    """As open_clip's `CLIP` takes it."""
    preprocess: dict[str, Any]
    """open_clip's `mean`, `std`, `interpolation` and `resize_mode`; empty where the folder does not say."""
    vocabulary: Vocabulary | None
    """The folder's own tokens and ids; None for CLIP's."""


def read_folder(folder: Path) -> TransformersFolder:
    """Read a checkpoint folder's configuration and find its weights.

    Raises:
        UserError: another kind of model, a part of its configuration that has no counterpart here, or missing files.
    """
    file = folder / CONFIG_FILE
    content = _read_json(file)
    try:
        config = _architecture(content, file)
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise UserError(f"{file}: {error!r}; not a configuration of CLIPModel, save the checkpoint again") from None
    return TransformersFolder(
        _weight_files(folder),
        config,
        _preprocess(folder, config["vision_cfg"]["image_size"]),
        read_vocabulary(folder, config["text_cfg"]["vocab_size"]),
    )


def _read_json(path: Path) -> dict[str, Any]:
    content = read_json(path, "save the checkpoint again")
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object; save the checkpoint again")
    return content


def _weight_files(folder: Path) -> tuple[Path, ...]:
    """One file, or the shards that an index lists; the first of those that are there, in transformers' order."""
    for index in INDEX_FILES:
        if (folder / index).exists():
            return _shards(folder / index)
    for name in SINGLE_FILES:
        if (folder / name).exists():
            check_regular(folder / name)
            return (folder / name,)
    raise UserError(f"{folder}: has {CONFIG_FILE}, but no weights ({' or '.join(SINGLE_FILES)}); complete the folder")


def _shards(index: Path) -> tuple[Path, ...]:
    listed = _read_json(index).get("weight_map")
    names = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
    if not names:
        raise UserError(f"{index}: lists no weights; save the checkpoint again")
    for name in names:
        if Path(name).name != name:
            raise UserError(f"{index}: '{name}' leads out of the folder; save the checkpoint again")
        check_regular(index.with_name(name))
        if not index.with_name(name).exists():
            raise UserError(f"{index.with_name(name)}: named in {index.name}, but missing; complete the folder")
    return tuple(index.with_name(name) for name in names)


def _architecture(content: dict[str, Any], file: Path) -> dict[str, Any]:
    """open_clip's configuration of a `CLIPConfig`."""
    if (kind := content.get("model_type")) != "clip":
        hint = ": its text tower is not causal" if str(kind).startswith("siglip") else ""
        raise UserError(f"{file}: model_type '{kind}' is not supported{hint}; give a folder of a CLIPModel ('clip')")
    text = _section(content, "text", TEXT_DEFAULTS)
    vision = _section(content, "vision", VISION_DEFAULTS)
    reasons = {
        f"vocab_size {text['vocab_size']} is not CLIP's {CLIP_VOCABULARY}": text["vocab_size"] != CLIP_VOCABULARY,
        f"eos_token_id {text['eos_token_id']} is not CLIP's": text["eos_token_id"] not in CLIP_END_TOKENS,
        f"num_channels {vision['num_channels']} is not 3": vision["num_channels"] != 3,
        f"the towers' activations differ ({text['hidden_act']}, {vision['hidden_act']})": text["hidden_act"]
        != vision["hidden_act"],
        f"hidden_act '{text['hidden_act']}' is neither quick_gelu nor gelu": text["hidden_act"]
        not in ("quick_gelu", "gelu"),
    }
    for reason, applies in reasons.items():
        if applies:
            raise UserError(f"{file}: {reason}; such a CLIP is not supported")
    for part, section in (("text_config", text), ("vision_config", vision)):
        if section["hidden_size"] % section["num_attention_heads"]:
            raise UserError(f"{file}: {part}: hidden_size is not a multiple of num_attention_heads; correct the file")
    return {
        "embed_dim": content.get("projection_dim", PROJECTION_DEFAULT),
        "quick_gelu": text["hidden_act"] == "quick_gelu",
        "vision_cfg": {
            "layers": vision["num_hidden_layers"],
            "width": vision["hidden_size"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "mlp_ratio": _mlp_ratio(vision),
            "patch_size": vision["patch_size"],
            "image_size": vision["image_size"],
            "norm_kwargs": {"eps": vision["layer_norm_eps"]},
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "width": text["hidden_size"],
            "heads": text["num_attention_heads"],
            "layers": text["num_hidden_layers"],
            "mlp_ratio": _mlp_ratio(text),
            "norm_kwargs": {"eps": text["layer_norm_eps"]},
        },
    }


def _section(content: dict[str, Any], part: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """`text_config` or `vision_config` over the defaults; the `*_config_dict` of old files has the last word."""
    return {**defaults, **(content.get(f"{part}_config") or {}), **(content.get(f"{part}_config_dict") or {})}


def _mlp_ratio(section: dict[str, Any]) -> float:
    """The ratio for which open_clip's `int(width * ratio)` is the intermediate size, however the quotient rounds."""
    width, wanted = section["hidden_size"], section["intermediate_size"]
    ratio: float = wanted / width
    return ratio if int(width * ratio) == wanted else math.nextafter(ratio, math.inf)


def _preprocess(folder: Path, image_size: int) -> dict[str, Any]:
    """How the folder says that images are prepared, in open_clip's words."""
    file = next((folder / name for name in PREPROCESSOR_FILES if (folder / name).exists()), None)
    if file is None:
        return {}
    content = _read_json(file)
    content = content.get("image_processor", content)
    try:
        resize_mode = _resize_mode(content, image_size)
        normalises = content.get("do_normalize", True) and content.get("do_rescale", True)
        if resize_mode is None or not normalises or abs(content.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
            raise UserError(
                f"{file}: only resizing to the tower's {image_size} pixels, cropping to them, rescaling by 1/255 and "
                "normalising are supported; correct the file if it is not the one the weights were trained with"
            )
        return {
            "mean": [float(value) for value in content["image_mean"]],
            "std": [float(value) for value in content["image_std"]],
            "interpolation": INTERPOLATIONS[content.get("resample", 3)],
            "resize_mode": resize_mode,
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{file}: {error!r} is missing or not understood; correct the file") from None


def _resize_mode(content: dict[str, Any], image_size: int) -> str | None:
    """`shortest` (resize, then centre crop), `squash`, or None for anything else."""
    size, crop = content.get("size"), content.get("crop_size", image_size)
    if isinstance(size, int):  # before sizes had names
        size = {"shortest_edge": size}
    if isinstance(crop, int):
        crop = {"height": crop, "width": crop}
    square = {"height": image_size, "width": image_size}
    if not content.get("do_resize", True):
        return None
    if size == {"shortest_edge": image_size} and content.get("do_center_crop", True) and crop == square:
        return "shortest"
    return "squash" if size == square and (crop == square or not content.get("do_center_crop", True)) else None
