"""What open_clip knows: architectures, and the published weights of each.

Only its plain `CLIP` is accepted (ViT and ResNet image towers, CLIP's own text tower and tokenizer): the text side and
local features rely on its parts.
"""

from pathlib import Path

from dualpt.core.clip.open_clip_cache import (
    Config,
    config_defaults,
    known_config,
    known_names,
    known_weights,
    remembered,
)
from dualpt.core.errors import UserError, nearest

NORM_EPS = 1e-5
"""torch's default, which open_clip leaves to it."""
TEXT_OPTIONS = ("context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "norm_kwargs")
"""What `text_transformer` knows of open_clip's text configurations; the rest must be as open_clip has it by default."""
IRRELEVANT_OPTIONS = ("pad_id", "eos_id", "output_tokens", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type")
"""Options that change nothing in a plain CLIP's text features."""


def architecture_config(name: str) -> Config:
    """open_clip's configuration of an architecture that can be used here.

    Raises:
        UserError: an unknown name (the nearest is suggested), or not a plain CLIP (the reason is given).
    """
    config = known_config(name)
    if config is None:
        raise UserError(
            f"backbone.name: unknown architecture '{name}'{nearest(name, ['mini-clip', 'auto', *known_names()])}"
        )
    return supported(config, f"backbone.name: {name}")


def joint_width(name: str) -> int | None:
    """D of an open_clip architecture; None for other names."""
    config = known_config(name)
    return None if config is None else int(config["embed_dim"])


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
    defaults = config_defaults("text_cfg")
    checked = {option: value for option, value in text.items() if option not in (*TEXT_OPTIONS, *IRRELEVANT_OPTIONS)}
    reasons |= {
        f"its text tower has {option}={value}": value != defaults.get(option, ())
        for option, value in checked.items()
        if (option, value) != ("pool_type", "eos")  # at the end token
    }
    reasons["its text tower has layer norms of its own"] = not {"eps"} >= (text.get("norm_kwargs") or {}).keys()
    for reason, applies in reasons.items():
        if applies:
            raise UserError(f"{named} is not supported, because {reason}; use a plain CLIP such as ViT-B-16 or RN50")
    return {key: value for key, value in config.items() if key != "custom_text"}


def text_shape(config: Config) -> tuple[int, bool, float]:
    """What no shape of a text tower's weights tells: heads of attention, whether it has QuickGELU, its norms' eps."""
    text = {**config_defaults("text_cfg"), **config["text_cfg"]}
    eps = (text["norm_kwargs"] or {}).get("eps", NORM_EPS)
    return int(text["heads"]), bool(config.get("quick_gelu", False)), float(eps)


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
    for part in ("vision_cfg", "text_cfg"):
        values = {**config_defaults(part), **config[part]}
        values["mlp_width"] = int(values["width"] * values.pop("mlp_ratio"))
        values["norm_eps"] = (values.pop("norm_kwargs") or {}).get("eps", NORM_EPS)
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
    tags = known_weights().get(name, {})
    allowed = f"the path of a weights file, 'random', or a tag ({', '.join(tags) or 'none for this architecture'})"
    if not tag:
        raise UserError(f"backbone.pretrained: {name} needs one of: {allowed}")
    config = tags.get(_plain(tag))
    if not config:
        having = [other for other, theirs in known_weights().items() if _plain(tag) in theirs]
        others = [other for other in having if _same_shape(other, name)]
        hint = f"; {others[0]} has it" if others else nearest(tag, tags)
        raise UserError(
            f"backbone.pretrained: '{tag}' is neither a file nor a tag of {name}{hint} (allowed: {allowed})"
        )
    return config


def _plain(tag: str) -> str:
    """A tag as open_clip lists it."""
    return tag.lower().replace("-", "_")


def _same_shape(one: str, other: str) -> bool:
    """Whether two architectures differ in the activation at most."""
    return one.removesuffix("-quickgelu") == other.removesuffix("-quickgelu")


def published_archive(sha256: str) -> Config | None:
    """The entry of OpenAI's original file with this hash: open_clip's table has it in the download address."""
    entries = (config for tags in known_weights().values() for config in tags.values())
    return next((config for config in entries if f"/{sha256}/" in config.get("url", "")), None)


def fetch(name: str, tag: str, config: Config) -> Path:
    """The file of published weights, downloaded where it is not cached; where it was before, it is looked for first.

    Raises:
        UserError: it could not be fetched.
    """

    def download() -> str:
        from open_clip.pretrained import download_pretrained

        return str(download_pretrained(config))

    try:
        path = Path(remembered("file", config, download))
        return path if path.is_file() else Path(download())
    except Exception as error:  # the hub client and urllib raise dozens of types
        raise UserError(
            f"backbone.pretrained: the weights '{tag}' of {name} could not be fetched ({first_line(error)}); "
            "give the path of a local file instead"
        ) from None


def first_line(error: BaseException) -> str:
    """The first line of a library's error, short enough to quote."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
