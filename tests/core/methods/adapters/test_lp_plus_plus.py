from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.errors import UserError
from dualpt.core.methods.adapters.lp_plus_plus import BlendedHead, LpPlusPlus, LpPlusPlusOptions
from dualpt.core.methods.interface import Images, Support
from tests.core.methods.clip_like import C, D, R, agree, clip_like_support, new_images

METHOD = LpPlusPlus()
OPTIONS = LpPlusPlusOptions(views=4, steps=35)


def published(support: Support, r: int, images: Images, steps: int) -> tuple[list[float], list[Tensor], int]:
    """Losses, logits of `images` after each step and the best step (from 1) on validation images, of one cell."""
    features, labels = (
        support.images.directions[r].flatten(0, 1),
        support.labels[r].repeat(len(support.images.norms[r])),
    )
    text_weights = support.text.T
    shots = len(features) / C
    one_hot = F.one_hot(labels).float()
    classifier = nn.Linear(D, C, bias=True)
    classifier.weight.data = one_hot.T @ features
    classifier.bias.data = BlendedHead(support).bias.detach()[r].clone()
    largest = np.linalg.eigvalsh((features.T @ features).numpy()).max()
    similarities = features @ text_weights
    of_class = (one_hot * similarities / one_hot.sum(0)).sum(0) * shots
    alpha = (torch.mean(250 / shots * of_class) * torch.ones(1, C)).requires_grad_()
    alpha_rate = len(features) / (max(torch.sum(torch.pow(similarities, 2), dim=0)) * 4)
    optimizer = torch.optim.SGD(classifier.parameters(), 4 * len(features) / float(largest), momentum=0.9)

    def logits_of(rows: Tensor) -> Tensor:
        return classifier(rows) + torch.ones(len(rows), 1) @ alpha * (rows @ text_weights)

    losses, after, best, best_step = [], [], 0.0, 0
    for step in range(1, steps + 1):
        loss = F.cross_entropy(logits_of(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            alpha.data -= alpha_rate * alpha.grad.data
        losses.append(loss.item())
        with torch.no_grad():
            after.append(logits_of(images.directions))
            right = (logits_of(support.val.images.directions[r]).argmax(1) == support.val.labels[r]).double().mean()
        if right >= best:
            best, best_step = float(right), step
    return losses, after, best_step


def test_steps_are_those_of_the_published_loop() -> None:
    support, images = clip_like_support(), new_images()
    fitted = METHOD.fit(support, [OPTIONS] * R)
    logits = fitted.classifier.logits(images)
    assert fitted.chosen == ()
    for r in range(R):
        losses, after, _ = published(support, r, images, 35)
        torch.testing.assert_close(torch.tensor(fitted.losses[r]), torch.tensor(losses), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(logits[r], after[-1], rtol=0, atol=1e-3)


def test_the_last_of_the_best_steps_on_validation_images_is_kept() -> None:
    support, images = clip_like_support(), new_images()
    fitted = METHOD.fit(support, [LpPlusPlusOptions(views=4)] * R)
    logits = fitted.classifier.logits(images)
    for r in range(R):
        losses, after, best = published(support, r, images, 300)
        assert fitted.chosen[r] == {"steps": best}
        assert len(fitted.losses[r]) == len(losses) == 300
        torch.testing.assert_close(logits[r], after[best - 1], rtol=0, atol=1e-2)
    assert len({one["steps"] for one in fitted.chosen}) > 1


def test_the_weight_of_names_moves_every_tenth_step_by_the_sum_of_all_gradients() -> None:
    head = BlendedHead(clip_like_support())
    blends, gradients = [head.blend.detach().clone()], []
    for _ in head.descend(20, momentum=0.9):
        blends.append(head.blend.detach().clone())
        assert head.blend.grad is not None
        gradients.append(head.blend.grad.clone())
    moved = [step for step in range(1, 21) if not torch.equal(blends[step], blends[step - 1])]
    assert moved == [10, 20]
    first, second = blends[0] - blends[10], blends[10] - blends[20]
    torch.testing.assert_close(second / gradients[19], first / gradients[9], rtol=1e-3, atol=0)
    assert all((late - early).abs().max() > 0 for early, late in pairwise(gradients))


def test_its_first_bias_depends_on_the_seed_alone() -> None:
    support = clip_like_support()
    bias = BlendedHead(support).bias
    again = BlendedHead(replace(support, seeds=[2, 1, 0])).bias
    assert torch.equal(bias, again.flip(0))
    assert float(bias.detach().abs().max()) <= 1 / D**0.5
    assert float(bias.detach().abs().max()) > 0.8 / D**0.5


@pytest.mark.parametrize("options", [OPTIONS, LpPlusPlusOptions()], ids=["steps given", "steps chosen"])
def test_a_cell_gets_packed_what_it_gets_alone(options: LpPlusPlusOptions) -> None:
    support = clip_like_support(views=1)
    packed = METHOD.fit(support, [options] * R)
    for r in range(R):
        alone = METHOD.fit(support.of_cell(r), [options])
        agree(packed.classifier, alone.classifier, r)
        assert packed.chosen[r : r + 1] == alone.chosen


def test_without_validation_images_the_steps_must_be_set() -> None:
    assert METHOD.needs(LpPlusPlusOptions()).validation
    assert not METHOD.needs(OPTIONS).validation
    with pytest.raises(UserError, match=r"no validation images to choose lp-plus-plus\.steps on; set it"):
        METHOD.fit(clip_like_support(val=False), [LpPlusPlusOptions()] * R)
    assert METHOD.fit(clip_like_support(val=False), [OPTIONS] * R).classifier.logits(new_images()).isfinite().all()


def test_draws_that_it_cannot_use_are_refused() -> None:
    support = clip_like_support()
    with pytest.raises(UserError, match="lp-plus-plus tells classes apart"):
        METHOD.fit(replace(support, raw_text=support.raw_text[:1], labels=0 * support.labels), [OPTIONS] * R)
    support.labels[0][support.labels[0] == 6] = 1
    with pytest.raises(UserError, match="lp-plus-plus needs an image of every class; number 6 of seed 0 has none"):
        METHOD.fit(support, [OPTIONS] * R)


def test_it_reads_one_large_crop_and_no_norms() -> None:
    needs = METHOD.needs(LpPlusPlusOptions())
    assert (needs.views, needs.min_crop_area, needs.norms) == (1, 0.5, False)
