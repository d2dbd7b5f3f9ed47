"""The text tower that descriptions must fit: its positions, and how it counts tokens. Builds no model."""

from open_clip.tokenizer import SimpleTokenizer

from core.architectures import architecture_config
from core.describing.cleaning import Rules
from core.describing.questions import ClassNamePolicy
from core.mini.clip import CONTEXT_LENGTH
from core.weights import MINI_CLIP

CLIP_CONTEXT_LENGTH = 77
"""What open_clip's configurations leave unsaid."""


def rules_for(backbone: str, class_name: ClassNamePolicy = "any") -> Rules:
    """What descriptions must satisfy to be read whole by a backbone.

    Raises:
        UserError: an unknown or unsupported architecture.
    """
    if backbone == MINI_CLIP:
        context_length = CONTEXT_LENGTH
    else:
        context_length = int(architecture_config(backbone)["text_cfg"].get("context_length", CLIP_CONTEXT_LENGTH))
    tokenizer = SimpleTokenizer(context_length=context_length)
    return Rules(context_length, lambda text: len(tokenizer.encode(text)), class_name)
