"""Figures of a bank against figures worked out by hand."""

import math

import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer

from dualpt.core.arrays import ImageFeatures
from dualpt.core.clip.text_tower import TextTower
from dualpt.core.descriptions.judging import feature_quality, zero_shot_gain
from dualpt.core.descriptions.quality import Flagged, distinct, text_quality
from dualpt.core.descriptions.reading import encode_bank, encode_template
from tests.core.text_side import text_tower_of

NAMES = ("marlet", "goby", "finch", "goby")
SENTENCES = (
    ("A marlet is striped.", "a marlet, is STRIPED", "It has round ears and a very long and bushy tail."),
    ("It has round ears.",),
    (),
    ("It has round ears.", "I'm sorry, I can't describe it."),
)


def test_text_quality() -> None:
    quality = text_quality(SENTENCES, NAMES, lambda text: len(text.split()), context_length=12)
    assert (quality.classes, quality.sentences, quality.fewest, quality.most) == (4, 6, 0, 3)
    assert quality.without == (2,)
    assert (quality.shortest, quality.longest) == (6, 13)
    assert quality.mean_tokens == pytest.approx((6 + 6 + 13 + 6 + 6 + 8) / 6)
    assert quality.too_long == (Flagged(0, SENTENCES[0][2]),)
    assert quality.refusals == (Flagged(3, SENTENCES[3][1]),)
    assert quality.repeated == (Flagged(0, SENTENCES[0][1]),)
    assert quality.shared == ()  # both classes are called goby
    assert quality.naming == pytest.approx(2 / 6)


def test_a_sentence_of_two_classes_tells_nothing_apart() -> None:
    quality = text_quality((("It has ears.",), ("It has ears!",)), ("a", "b"), len, 77)
    assert quality.shared == (Flagged(1, "It has ears!"),)
    assert quality.repeated == ()


def test_an_empty_bank() -> None:
    quality = text_quality(((), ()), ("a", "b"), len, 77)
    assert (quality.sentences, quality.mean_tokens, quality.distinct_1, quality.without) == (0, 0, 0, (0, 1))


def test_distinct_n_does_not_cross_sentences() -> None:
    texts = ["a red cat", "A red dog."]
    assert distinct(texts, 1) == 4 / 6
    assert distinct(texts, 2) == 3 / 4
    assert distinct(texts, 4) == 0


@pytest.fixture(scope="module")
def tower() -> TextTower:
    torch.manual_seed(2)
    model = CLIP(
        embed_dim=8,
        vision_cfg=CLIPVisionCfg(layers=1, width=16, head_width=8, patch_size=8, image_size=16),
        text_cfg=CLIPTextCfg(context_length=20, width=16, heads=2, layers=2),
    )
    return text_tower_of(model, SimpleTokenizer(context_length=20))


def test_cosines(tower: TextTower) -> None:
    sentences = (("a striped coat", "round ears", "a long tail"), ("one white wing",), (), ("two dots", "no dots"))
    features, mask = encode_bank(tower, tuple(s for s in sentences if s), ("a", "b", "d"))
    rows = [row[keep] for row, keep in zip(features, mask, strict=True)]

    def mean_cosine(vectors: torch.Tensor) -> float:
        cosines = vectors @ vectors.T
        return cosines[~torch.eye(len(vectors), dtype=torch.bool)].mean().item()

    quality = feature_quality(tower, sentences, ("a", "b", "c", "d"))
    assert quality.within == pytest.approx((mean_cosine(rows[0]) + mean_cosine(rows[2])) / 2, abs=1e-5)
    means = torch.stack([torch.nn.functional.normalize(row.mean(0), dim=0) for row in rows])
    assert quality.between == pytest.approx(mean_cosine(means), abs=1e-5)
    single = feature_quality(tower, (("a striped coat",),), ("a",))
    assert (single.within, single.between) == (None, None)


def test_gain_over_the_template(tower: TextTower) -> None:
    sentences, names = (("a striped coat",), ("round ears",)), ("marlet", "goby")
    features, _ = encode_bank(tower, sentences, names)
    template = encode_template(tower, "{} texture.", names)
    # Of four images, both classifiers get one, the bank alone two, and the template alone one.
    directions = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    by_bank, by_template = (directions @ features[:, 0].T).argmax(1), (directions @ template.T).argmax(1)
    agree, differ = directions[by_bank == by_template], directions[by_bank != by_template]
    images = torch.cat([agree[:1], differ[:3]])
    bank = (images @ features[:, 0].T).argmax(1)
    labels = torch.cat([bank[:3], 1 - bank[3:]])
    gain = zero_shot_gain(tower, sentences, names, "{} texture.", ImageFeatures(images, None, labels))
    assert (gain.images, gain.template, gain.descriptions, gain.gain) == (4, 50, 75, 25)
    # Differences 0, 1, 1, -1: variance (0.25² + 2 · 0.75² + 1.25²) / 3.
    variance = (0.25**2 + 2 * 0.75**2 + 1.25**2) / 3
    assert gain.standard_error == pytest.approx(100 * math.sqrt(variance / 4))
