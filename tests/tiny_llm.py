"""A real causal LM in small, made on the spot: two layers, random weights, a byte-level tokenizer."""

import string
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PhiConfig, PhiForCausalLM, PreTrainedTokenizerFast

END = "<|end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def save_tiny_llm(folder: Path, *, chat: bool = True, words: bool = True, seed: int = 0, positions: int = 2048) -> Path:
    """Write a model's folder.

    Args:
        folder: where.
        chat: with a chat template, or a plain model.
        words: answers are of letters and blanks; else of any bytes.
        seed: of the weights.
        positions: longest text.
    """
    special = [END, "<|user|>", "<|assistant|>"]
    letters = sorted(ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*letters, *special])}
    backend = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.decoder = ByteLevelDecoder()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END,
        additional_special_tokens=special[1:],
        clean_up_tokenization_spaces=False,
    )
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    torch.manual_seed(seed)
    config = PhiConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=positions,
        bos_token_id=None,
        eos_token_id=vocabulary[END],
    )
    model = PhiForCausalLM(config).eval()
    if words:
        # Random weights alone give any byte; a bias to letters and blanks gives answers that read like words.
        with torch.no_grad():
            model.lm_head.bias[[vocabulary[letter] for letter in string.ascii_lowercase]] = 6.0
            model.lm_head.bias[vocabulary["Ġ"]] = 7.5
            model.lm_head.bias[vocabulary[END]] = 6.2
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
