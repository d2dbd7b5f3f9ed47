"""What is found inside prompts, on contexts, features and logits whose answers are known."""

from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from open_clip.transformer import VisionTransformer
from torch.nn import functional as F

from dualpt.core.clip.backbone import load_backbone
from dualpt.core.config.sections import LocalForm
from dualpt.core.learned.inspection.confusion import Judgement
from dualpt.core.learned.inspection.patches import patch_grid, patch_maps
from dualpt.core.learned.inspection.similarity import description_similarity
from dualpt.core.learned.inspection.vocabulary import nearest_words
from dualpt.core.training.evaluate import measure, score
from tests.core.training.scorers import local_scorer


def test_a_context_that_is_a_word_is_found_and_noise_is_far() -> None:
    backbone = load_backbone("mini-clip")
    (token,) = backbone.tokenizer.encode("striped")
    word = backbone.model.token_embedding.weight[token]
    contexts = torch.stack([word, word + 1.0])[None]
    found = nearest_words(backbone, contexts, 3)
    first, second = found.contexts[0]
    assert (first[0].word, first[0].distance) == ("striped", pytest.approx(0, abs=1e-3))
    assert [near.distance for near in first] == sorted(near.distance for near in first)
    assert second[0].distance > 5 * found.between_words > 0


def test_similarity_ranks_the_own_description_and_names_the_rival() -> None:
    descriptions = F.normalize(
        torch.tensor([[[1.0, 0, 0], [1, 0.2, 0]], [[0, 1, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 0]]]), dim=-1
    )
    mask = torch.tensor([[True, True], [True, False], [True, False]])
    prompts = F.normalize(torch.tensor([[[1.0, 0.1, 0]], [[0, 1.0, 0.9]], [[0, 1.0, 0.9]]]), dim=-1)
    texts = (("first", "second"), ("third",), ("fourth",))
    found = description_similarity(prompts, descriptions, mask, texts)
    assert found.rank.tolist() == [1, 1, 2]
    assert found.rival.tolist() == [1, 2, 1]
    assert found.closest == (("second",), ("third",), ("fourth",))
    assert found.by_prompt[1].item() == pytest.approx(float(prompts[1, 0] @ descriptions[1, 0]))


def test_confusions_are_counted_and_the_surest_mistakes_come_first() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    logits = torch.tensor([[0.0, 1, 0], [0, 5, 0], [2, 0, 0], [0, 0, 1], [3, 0, 0], [0, 9, 0], [0, 0, 1]])
    judged = Judgement(logits, labels)
    assert judged.accuracy == pytest.approx(100 * 3 / 7)
    first, *rest = judged.confusions(5)
    assert (first.true, first.predicted, first.images, first.share) == (0, 1, (1, 0), 0.5)
    assert [(pair.true, pair.predicted) for pair in rest] == [(1, 0), (0, 2)]
    assert judged.surest(2) == [5, 2]


def test_reliability_and_likelihood_are_those_of_the_cells_metrics() -> None:
    logits = torch.randn(40, 4, generator=torch.Generator().manual_seed(3))
    labels = torch.randint(4, (40,), generator=torch.Generator().manual_seed(4))
    judged, measured = Judgement(logits, labels), measure(score(logits, labels), labels, 4)
    assert judged.reliability.expected_calibration_error == measured.expected_calibration_error
    assert judged.scores.losses.double().mean().item() == measured.negative_log_likelihood
    assert judged.reliability.mean_confidence == pytest.approx(logits.softmax(-1).max(-1).values.mean().item())


@pytest.mark.parametrize("form", get_args(LocalForm))
def test_patch_weights_are_shares_of_a_prompts_score(form: LocalForm) -> None:
    generator = torch.Generator().manual_seed(1)
    patches = F.normalize(torch.randn(6, 8, generator=generator), dim=-1)
    prompts = F.normalize(torch.randn(2, 8, generator=generator), dim=-1)
    maps = patch_maps(patches, prompts, local_scorer(form, topk=2), grid=(2, 3))
    assert maps.weights.shape == maps.plan.shape == (2, 2, 3)
    assert torch.allclose(maps.similarity.flatten(1), prompts @ patches.T, atol=1e-6)
    assert torch.allclose(maps.weights.sum((1, 2)), torch.ones(2), atol=1e-5)
    assert maps.plan.sum().item() == pytest.approx(1, abs=1e-5)
    assert 0 < maps.plan_entropy <= 1
    if form == "attention":
        assert torch.equal(maps.weights.flatten(1).argmax(1), maps.similarity.flatten(1).argmax(1))
    if form == "topk":
        assert ((maps.weights > 0).flatten(1).sum(1) == 2).all()
    if form == "ot":
        assert torch.allclose(maps.weights, 2 * maps.plan, atol=1e-5)  # two prompts carry half of the mass each


def test_the_grid_is_the_towers() -> None:
    assert patch_grid(load_backbone("mini-clip")) == (6, 6)
    visual = VisionTransformer((32, 48), 16, width=16, layers=1, heads=2, mlp_ratio=2.0)
    assert patch_grid(SimpleNamespace(model=SimpleNamespace(visual=visual))) == (2, 3)  # type: ignore[arg-type]
