"""The text tower that descriptions must fit: its positions, and how it counts tokens. Builds no model."""

from open_clip.tokenizer import SimpleTokenizer

from dualpt.core.clip.architectures import architecture_config
from dualpt.core.clip.weights import AUTO, MINI_CLIP, find_weights
from dualpt.core.descriptions.writing.cleaning import Rules
from dualpt.core.descriptions.writing.questions import ClassNamePolicy
from dualpt.core.mini.clip import CONTEXT_LENGTH

CLIP_CONTEXT_LENGTH = 77
"""What open_clip's configurations leave unsaid."""


def rules_for(backbone: str, pretrained: str | None, class_name: ClassNamePolicy = "any") -> Rules:
    """What descriptions must satisfy to be read whole by a backbone.

    Raises:
        UserError: an unknown or unsupported architecture, or none in the weights' folder.
    """
    if backbone == MINI_CLIP:
        context_length = CONTEXT_LENGTH
    else:
        brought = find_weights(backbone, pretrained).config if backbone == AUTO else None
        config = brought or architecture_config(backbone)
        context_length = int(config["text_cfg"].get("context_length", CLIP_CONTEXT_LENGTH))
    tokenizer = SimpleTokenizer(context_length=context_length)
    return Rules(context_length, lambda text: len(tokenizer.encode(text)), class_name)
