"""Which kernels encode prompts: torch's own, unless `DUALPT_GPU_KERNELS=triton` asks for those of this room.

Not part of a setting or of a cell's key: like the replay of steps as a CUDA graph, kernels change how numbers are
calculated and not which, and differ from torch's by rounding. What was asked for is on record with the software.
"""

import logging
import os
from functools import cache
from importlib.util import find_spec

from dualpt.core.clip.text_tower import TextTower
from dualpt.core.prompts.trie import PromptTrie
from dualpt.core.prompts.trie_transformer import TrieTransformer
from dualpt.core.provenance import asked_kernels

logger = logging.getLogger(__name__)


def trie_transformer(tower: TextTower, trie: PromptTrie) -> TrieTransformer:
    """The transformer of a trie's prompts, with Triton's kernels where they are asked for and serve.

    Where they are asked for and don't, torch's are used, and a warning says why, once.

    Raises:
        UserError: the variable names no kernels.
    """
    if asked_kernels() == "torch":
        return TrieTransformer(tower, trie)
    reason = unavailable(tower.device.type)
    if not reason:
        from dualpt.core.prompts.fused.fused_transformer import FusedTrieTransformer, misfit

        if not (reason := misfit(tower, trie)):
            return FusedTrieTransformer(tower, trie)
    _say(reason)
    return TrieTransformer(tower, trie)


def unavailable(device: str) -> str:
    """Why Triton's kernels can't run on a type of device; empty where they can."""
    if find_spec("triton") is None:
        return "triton is not installed"
    if device == "cuda" or _interprets():
        return ""
    return f"they need a CUDA device, and this is {device}"


def _interprets() -> bool:
    """Whether Triton runs kernels on the CPU, in its interpreter, as the tests do."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def _say(reason: str) -> None:
    logger.warning("DUALPT_GPU_KERNELS=triton: prompts are encoded with torch's own kernels: %s", reason)
