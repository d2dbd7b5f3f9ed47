import copy

import pytest
import torch
from torch.nn import functional as F

import dualpt.core.clip.text_tower
from dualpt.core.errors import UserError
from tests.core.text_side import text_tower_of

SENTENCES = [
    "a photo of a cat.",
    "x",
    "a rather long description of a thing that has many parts, and colours.",
    "two words",
]


def tokens_of(tokenizer, sentences):
    return [[tokenizer.sot_token_id, *tokenizer.encode(s), tokenizer.eot_token_id] for s in sentences]


@pytest.mark.parametrize("options", [{}, {"quick_gelu": True}, {"norm_kwargs": {"eps": 1e-3}}], ids=str)
def test_sentences_are_encoded_as_open_clip_encodes_them(make_clip, tokenizer, options):
    model = make_clip(**options)
    expected = model.encode_text(tokenizer(SENTENCES), normalize=True)
    encoded = text_tower_of(model, tokenizer).encode_sentences(tokens_of(tokenizer, SENTENCES))
    assert (encoded - expected).abs().max() <= 1e-5


def test_sentences_keep_their_order_in_small_batches(tower, tokenizer, monkeypatch):
    sentences = tokens_of(tokenizer, SENTENCES)
    whole = tower.encode_sentences(sentences)
    monkeypatch.setattr(dualpt.core.clip.text_tower, "TOKENS_PER_BATCH", 12)
    assert (tower.encode_sentences(sentences) - whole).abs().max() <= 1e-5


def test_no_sentences_give_no_features(tower):
    assert tower.encode_sentences([]).shape[0] == 0


def test_a_sentence_that_would_be_cut_is_refused(tower):
    with pytest.raises(UserError, match="78 tokens does not fit the text encoder's 77"):
        tower.encode_sentences([[49406] + [320] * 76 + [49407]])


def test_the_model_is_frozen_and_its_logit_scale_read(make_clip, tokenizer):
    model = make_clip()
    model.logit_scale.data.fill_(4.0)
    tower = text_tower_of(model, tokenizer)
    assert tower.logit_scale == pytest.approx(54.598, rel=1e-4)
    assert not any(p.requires_grad for p in tower.model.parameters())


def test_half_precision_towers_return_float32_near_the_full_one(clip, tower, tokenizer):
    half = text_tower_of(copy.deepcopy(clip).bfloat16(), tokenizer)
    sentences = tokens_of(tokenizer, SENTENCES)
    encoded = half.encode_sentences(sentences)
    assert encoded.dtype == torch.float32
    assert F.cosine_similarity(encoded, tower.encode_sentences(sentences)).min() > 0.999
