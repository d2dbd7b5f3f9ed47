"""The text tower that descriptions must fit: its positions, and how it counts tokens. Builds no model."""

from pathlib import Path

from dualpt.core.clip.architectures import architecture_config
from dualpt.core.clip.tokenizer import tokenizer_of
from dualpt.core.clip.weights import AUTO, MINI_CLIP, Weights, find_weights
from dualpt.core.descriptions.writing.cleaning import Rules
from dualpt.core.descriptions.writing.questions import ClassNamePolicy
from dualpt.core.mini.clip import CONTEXT_LENGTH

CLIP_CONTEXT_LENGTH = 77
"""What open_clip's configurations leave unsaid."""


def rules_for(backbone: str, pretrained: str | None, class_name: ClassNamePolicy = "any") -> Rules:
    """What descriptions must satisfy for a backbone to read them to their end.

    Raises:
        UserError: an unknown or unsupported architecture, or none in the weights' folder.
    """
    weights = _folder_weights(backbone, pretrained)
    brought, vocabulary = (None, None) if weights is None else (weights.config, weights.vocabulary)
    if backbone == MINI_CLIP:
        context_length = CONTEXT_LENGTH
    else:
        config = brought or architecture_config(backbone)
        context_length = int(config["text_cfg"].get("context_length", CLIP_CONTEXT_LENGTH))
    tokenizer = tokenizer_of(vocabulary)
    return Rules(context_length, lambda text: len(tokenizer.encode(text)), class_name)


def _folder_weights(backbone: str, pretrained: str | None) -> Weights | None:
    """Weights in a folder, which may bring an architecture and a vocabulary; nothing is downloaded for a tag."""
    in_folder = bool(pretrained) and Path(str(pretrained)).expanduser().is_dir()
    return find_weights(backbone, pretrained) if backbone == AUTO or in_folder else None
