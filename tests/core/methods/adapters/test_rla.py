import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.methods.adapters.rla import Rla, RlaOptions
from dualpt.core.methods.interface import Images
from tests.core.methods.clip_like import C, D, R, check_packed_as_alone, clip_like_support, new_images

METHOD = Rla()
OPTIONS = RlaOptions(learning_rate=1e-3, steps=15)


def published(views: list[Tensor], labels: Tensor, text: Tensor, *, shots: float) -> tuple[Tensor, list[float]]:
    """The linear layer's weight and the losses, for one cell: raw features, as the authors' script feeds them."""
    linear = nn.Linear(D, D, bias=False)
    linear.weight = nn.Parameter(torch.eye(D))
    optimizer = torch.optim.Adam(linear.parameters(), lr=1e-3, eps=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 15)
    count, losses = 0, []
    for _ in range(15):
        count = 0 if (count + 1) % len(views) == 0 else count + 1
        logits = 20.0 * F.normalize(linear(views[count]), dim=-1) @ text.T
        distance = nn.MSELoss(reduction="sum")(torch.eye(D).view(-1), linear.weight.view(-1))
        loss = F.cross_entropy(logits, labels) + 1 / shots * distance
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return linear.weight.detach(), losses


def test_steps_are_those_of_the_published_loop() -> None:
    support, images = clip_like_support(), new_images()
    fitted = METHOD.fit(support, [OPTIONS] * R)
    logits = fitted.classifier.logits(images)
    assert logits.shape == (R, 40, C)
    for r in range(R):
        weight, losses = published(list(support.images.raw[r]), support.labels[r], support.text, shots=28 / C)
        torch.testing.assert_close(torch.tensor(fitted.losses[r]), torch.tensor(losses), rtol=1e-4, atol=1e-5)
        expected = 20.0 * F.normalize(images.raw @ weight.T, dim=-1) @ support.text.T
        torch.testing.assert_close(logits[r], expected, rtol=0, atol=1e-3)
    assert (fitted.classifier.tensors()["projection"] - torch.eye(D)).abs().max() > 5e-3


def test_a_cell_gets_packed_what_it_gets_alone() -> None:
    support = clip_like_support()
    check_packed_as_alone(METHOD, support, [OPTIONS] * R)


def test_other_classes_are_read_by_their_text() -> None:
    support, images = clip_like_support(), new_images()
    classifier = METHOD.fit(support, [OPTIONS] * R).classifier
    again = METHOD.for_classes(classifier, support.raw_text[[2, 0]], 20.0)
    torch.testing.assert_close(again.logits(images), classifier.logits(images)[..., [2, 0]])
    halved = METHOD.for_classes(classifier, support.raw_text, 10.0)
    torch.testing.assert_close(2 * halved.logits(images), classifier.logits(images))


def test_it_reads_crops_and_no_hidden_features() -> None:
    needs = METHOD.needs(RlaOptions())
    assert (needs.views, needs.min_crop_area, needs.hidden, needs.validation) == (20, 0.5, False, False)
    plain = METHOD.fit(clip_like_support(views=1), [RlaOptions(views=0, steps=2)] * R)
    assert plain.classifier.logits(Images(torch.eye(D), torch.ones(D))).shape == (R, D, C)
    assert METHOD.needs(RlaOptions(min_crop_area=0.08)).min_crop_area == 0.08
