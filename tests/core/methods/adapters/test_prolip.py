import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.methods.adapters.prolip import Prolip, ProlipOptions
from tests.core.methods.clip_like import C, R, check_packed_as_alone, clip_like_support, new_images

METHOD = Prolip()
OPTIONS = ProlipOptions(learning_rate=1e-3, steps=15)


def published(hidden: list[Tensor], labels: Tensor, start: Tensor, text: Tensor) -> tuple[Tensor, list[float]]:
    """The projection and the losses, for one cell."""
    projection = nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([projection], lr=1e-3, eps=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 15)
    count, losses = 0, []
    for _ in range(15):
        count = 0 if (count + 1) % len(hidden) == 0 else count + 1
        logits = 20.0 * F.normalize(hidden[count] @ projection, dim=-1) @ text.T
        distance = nn.MSELoss(reduction="sum")(start.view(-1), projection.view(-1))
        loss = F.cross_entropy(logits, labels) + 1 / (28 / C) * distance
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return projection.detach(), losses


def test_steps_are_those_of_the_published_loop() -> None:
    support = clip_like_support()
    assert support.images.hidden is not None
    assert support.projection is not None
    fitted = METHOD.fit(support, [OPTIONS] * R)
    for r in range(R):
        projection, losses = published(
            list(support.images.hidden[r]), support.labels[r], support.projection, support.text
        )
        torch.testing.assert_close(torch.tensor(fitted.losses[r]), torch.tensor(losses), rtol=1e-4, atol=1e-5)
        learned = fitted.classifier.tensors()["projection"][r]
        torch.testing.assert_close(learned, projection, rtol=0, atol=1e-5)
        assert (learned - support.projection).abs().max() > 5e-3


def test_it_begins_at_zero_shot() -> None:
    support, images = clip_like_support(), new_images()
    assert support.projection is not None
    assert images.hidden is not None
    fitted = METHOD.fit(support, [ProlipOptions(learning_rate=1e-12, steps=1)] * R)
    expected = 20.0 * F.normalize(images.hidden @ support.projection, dim=-1) @ support.text.T
    torch.testing.assert_close(fitted.classifier.logits(images), expected.expand(R, -1, -1), rtol=0, atol=1e-4)


def test_a_cell_gets_packed_what_it_gets_alone() -> None:
    support = clip_like_support()
    check_packed_as_alone(METHOD, support, [OPTIONS] * R)


def test_other_classes_are_read_by_their_text() -> None:
    support, images = clip_like_support(), new_images()
    classifier = METHOD.fit(support, [OPTIONS] * R).classifier
    again = METHOD.for_classes(classifier, support.raw_text[[2, 0]], 20.0)
    torch.testing.assert_close(again.logits(images), classifier.logits(images)[..., [2, 0]])


def test_it_reads_features_before_the_projection() -> None:
    needs = METHOD.needs(ProlipOptions())
    assert (needs.views, needs.min_crop_area, needs.hidden, needs.validation) == (20, 0.5, True, False)
    assert METHOD.needs(ProlipOptions(min_crop_area=0.08)).min_crop_area == 0.08
