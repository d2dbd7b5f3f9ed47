"""What open_clip knows: architectures, and the published weights of each.

Only its plain `CLIP` is accepted (ViT and ResNet image towers, CLIP's own text tower and tokenizer): the text side and
local features rely on its parts.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from open_clip import get_model_config, list_models
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from open_clip.pretrained import (
    download_pretrained,
    get_pretrained_cfg,
    list_pretrained,
    list_pretrained_models_by_tag,
    list_pretrained_tags_by_model,
)

from dualpt.core.errors import UserError, nearest

Config = dict[str, Any]


def architecture_config(name: str) -> Config:
    """open_clip's configuration of an architecture that can be used here.

    Raises:
        UserError: an unknown name (the nearest is suggested), or not a plain CLIP (the reason is given).
    """
    if name not in list_models():
        raise UserError(
            f"backbone.name: unknown architecture '{name}'{nearest(name, ['mini-clip', 'auto', *list_models()])}"
        )
    return supported(get_model_config(name), f"backbone.name: {name}")


def joint_width(name: str) -> int | None:
    """D of an open_clip architecture; None for other names."""
    return int(get_model_config(name)["embed_dim"]) if name in list_models() else None


def supported(config: Config, named: str) -> Config:
    """The configuration as open_clip's `CLIP` takes it.

    Raises:
        UserError: it is not a plain CLIP; `named` begins the line, the reason follows.
    """
    text, vision = config["text_cfg"], config["vision_cfg"]
    reasons = {
        "its text tower is not causal": bool(text.get("no_causal_mask")),
        "its image tower is timm's": "timm_model_name" in vision,
        "its image tower pools by attention": bool(vision.get("attentional_pool")),
        "its text tower is a Hugging Face model": "hf_model_name" in text,
        "its tokenizer is not CLIP's": "hf_tokenizer_name" in text or "tokenizer_kwargs" in text,
        "it is not a plain CLIP": bool(config.get("custom_text")) or "multimodal_cfg" in config,
    }
    for reason, applies in reasons.items():
        if applies:
            raise UserError(f"{named} is not supported, because {reason}; use a plain CLIP such as ViT-B-16 or RN50")
    return {key: value for key, value in config.items() if key != "custom_text"}


def check_same(name: str, config: Config, source: Path) -> None:
    """Refuse an architecture other than the checkpoint's own: the number of heads shows in no tensor's shape.

    Args:
        name: the architecture in `backbone.name`.
        config: the checkpoint's own.
        source: the checkpoint, for the error line.

    Raises:
        UserError: naming the first difference.
    """
    named, brought = _shape(architecture_config(name)), _shape(config)
    for key, wanted in named.items():
        if brought[key] != wanted:
            raise UserError(
                f"backbone.name: {name} has {key} {wanted}, {source} has {brought[key]}; "
                "set backbone.name=auto to take the checkpoint's own"
            )


def _shape(config: Config) -> dict[str, object]:
    """What tells two plain CLIPs apart, with open_clip's defaults for what is left out."""
    shape: dict[str, object] = {"embed_dim": config["embed_dim"]}
    for part, defaults in (("vision_cfg", CLIPVisionCfg), ("text_cfg", CLIPTextCfg)):
        values = asdict(defaults(**config[part]))
        values["mlp_width"] = int(values["width"] * values.pop("mlp_ratio"))
        values["norm_eps"] = (values.pop("norm_kwargs") or {}).get("eps", 1e-5)
        shape |= {f"{part}.{key}": tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return shape


def check_activation(name: str, pretrained: str, trained_quick: bool) -> None:
    """Refuse weights trained with another activation than the architecture has: they load silently and lose accuracy.

    Args:
        name: the architecture.
        pretrained: how the user named the weights.
        trained_quick: whether they were trained with QuickGELU, as OpenAI's were.

    Raises:
        UserError: naming the architecture to use.
    """
    if trained_quick == bool(architecture_config(name).get("quick_gelu", False)):
        return
    other = f"{name}-quickgelu" if trained_quick else name.removesuffix("-quickgelu")
    trained, built = ("QuickGELU", "GELU") if trained_quick else ("GELU", "QuickGELU")
    raise UserError(
        f"backbone.name: the weights '{pretrained}' were trained with {trained}, {name} has {built}; use {other}"
    )


def tag_config(name: str, tag: str) -> Config:
    """open_clip's entry for published weights of an architecture.

    Raises:
        UserError: an empty tag, or not one of this architecture; the line lists what is allowed.
    """
    tags = list_pretrained_tags_by_model(name)
    allowed = f"the path of a weights file, 'random', or a tag ({', '.join(tags) or 'none for this architecture'})"
    if not tag:
        raise UserError(f"backbone.pretrained: {name} needs one of: {allowed}")
    config: Config = get_pretrained_cfg(name, tag)
    if not config:
        others = [other for other in list_pretrained_models_by_tag(tag) if _same_shape(other, name)]
        hint = f"; {others[0]} has it" if others else nearest(tag, tags)
        raise UserError(
            f"backbone.pretrained: '{tag}' is neither a file nor a tag of {name}{hint} (allowed: {allowed})"
        )
    return config


def _same_shape(one: str, other: str) -> bool:
    """Whether two architectures differ in the activation at most."""
    return one.removesuffix("-quickgelu") == other.removesuffix("-quickgelu")


def published_archive(sha256: str) -> Config | None:
    """The entry of OpenAI's original file with this hash: open_clip's table has it in the download address."""
    for name, tag in list_pretrained():
        config: Config = get_pretrained_cfg(name, tag)
        if f"/{sha256}/" in config.get("url", ""):
            return config
    return None


def fetch(name: str, tag: str, config: Config) -> Path:
    """The file of published weights, downloaded where it is not cached.

    Raises:
        UserError: it could not be fetched.
    """
    try:
        return Path(download_pretrained(config))
    except Exception as error:  # the hub client and urllib raise dozens of types
        raise UserError(
            f"backbone.pretrained: the weights '{tag}' of {name} could not be fetched ({first_line(error)}); "
            "give the path of a local file instead"
        ) from None


def first_line(error: BaseException) -> str:
    """The first line of a library's error, short enough to quote."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
