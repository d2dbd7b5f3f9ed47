import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.errors import UserError
from dualpt.core.methods import descent
from dualpt.core.methods.adapters.clip_adapter import ClipAdapter, ClipAdapterOptions, adapted, initial_weights
from tests.core.methods.clip_like import C, D, N, R, V, check_packed_as_alone, clip_like_support, new_images

METHOD = ClipAdapter()
OPTIONS = ClipAdapterOptions(epochs=12, batch_size=8, learning_rate=0.05)


def published(
    features: Tensor, labels: Tensor, text: Tensor, seed: int, *, ratio: float = 0.2
) -> tuple[nn.Module, list[float]]:
    """The adapter and losses by epoch of one cell, from raw features (V * N, D)."""
    adapter = nn.Sequential(
        nn.Linear(D, D // 4, bias=False), nn.ReLU(inplace=True), nn.Linear(D // 4, D, bias=False), nn.ReLU(inplace=True)
    )
    down, up = initial_weights([seed], D)
    adapter[0].weight, adapter[2].weight = nn.Parameter(down[0]), nn.Parameter(up[0])
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    losses = []
    epochs = descent.image_batches([seed], views=V, images=N, size=8, epochs=12, drop_last=True)
    for epoch, batches in enumerate(epochs):
        rate = 1e-5 if epoch == 0 else 0.05 * (1 + math.cos(math.pi * (epoch - 1) / 12)) / 2
        optimizer.param_groups[0]["lr"] = rate
        seen = []
        for (rows,) in batches:
            loss = F.cross_entropy(logits_of(adapter, features[rows], text, ratio), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen.append(loss.item())
        losses.append(sum(seen) / len(seen))
    return adapter, losses


def logits_of(adapter: nn.Module, features: Tensor, text: Tensor, ratio: float) -> Tensor:
    images = ratio * adapter(features) + (1 - ratio) * features
    images = images / images.norm(dim=-1, keepdim=True)
    return 20.0 * images @ (text / text.norm(dim=-1, keepdim=True)).t()


def test_steps_are_those_of_the_published_loop() -> None:
    support, images = clip_like_support(), new_images()
    ratios = [0.2, 0.6, 0.9]
    fitted = METHOD.fit(support, [OPTIONS.model_copy(update={"ratio": ratio}) for ratio in ratios])
    logits = fitted.classifier.logits(images)
    start = initial_weights(support.seeds, D)[0]
    for r, ratio in enumerate(ratios):
        features, labels = support.images.raw[r].flatten(0, 1), support.labels[r].repeat(V)
        adapter, losses = published(features, labels, support.raw_text, support.seeds[r], ratio=ratio)
        torch.testing.assert_close(torch.tensor(fitted.losses[r]), torch.tensor(losses), rtol=1e-4, atol=1e-5)
        expected = logits_of(adapter, images.raw, support.raw_text, ratio)
        torch.testing.assert_close(logits[r], expected, rtol=0, atol=1e-3)
        assert (fitted.classifier.tensors()["down"][r] - start[r]).abs().max() > 1e-3


def test_it_begins_as_torch_linear_does() -> None:
    down, up = initial_weights([0, 1], 512)
    assert (down.shape, up.shape) == ((2, 128, 512), (2, 512, 128))
    for weights, like in ((down, nn.Linear(512, 128)), (up, nn.Linear(128, 512))):
        bound = float(like.weight.detach().abs().max())
        assert float(weights.abs().max()) == pytest.approx(bound, rel=1e-3)
        assert float(weights.std()) == pytest.approx(float(like.weight.detach().std()), rel=0.01)
    assert not torch.equal(down[0], down[1])


def test_gradients_agree_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(2, 3, D, dtype=torch.float64, generator=generator)
    down, up = (one.double().requires_grad_() for one in initial_weights([3, 4], D))
    ratio = torch.tensor([0.2, 0.7], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: adapted(raw, a, b, ratio), [down, up])


def test_a_cell_gets_packed_what_it_gets_alone() -> None:
    support = clip_like_support()
    check_packed_as_alone(METHOD, support, [OPTIONS] * R)


def test_the_length_of_a_feature_cancels() -> None:
    """So what the published code gets from raw features is got from their directions."""
    down, up = (one.requires_grad_() for one in initial_weights([0], D))
    features = new_images().raw[None]
    lengths = torch.linspace(0.1, 40.0, 40)[None, :, None]
    once, longer = (adapted(one, down, up, torch.tensor([0.6])) for one in (features, features * lengths))
    torch.testing.assert_close(once, longer)
    once_by, longer_by = (torch.autograd.grad(one.sin().sum(), [down, up]) for one in (once, longer))
    torch.testing.assert_close(once_by, longer_by, rtol=1e-4, atol=1e-5)


def test_other_classes_are_read_by_their_names() -> None:
    support, images = clip_like_support(), new_images()
    classifier = METHOD.fit(support, [OPTIONS] * R).classifier
    again = METHOD.for_classes(classifier, support.raw_text[[2, 0]], 20.0)
    torch.testing.assert_close(again.logits(images), classifier.logits(images)[..., [2, 0]])
    halved = METHOD.for_classes(classifier, support.raw_text, 10.0)
    torch.testing.assert_close(2 * halved.logits(images), classifier.logits(images))
    assert "base-to-new" in METHOD.protocols


@pytest.mark.parametrize(("n_images", "epochs"), [(7, 50), (14, 100), (28, 100), (56, 200)])
def test_epochs_are_coops_by_shots(n_images: int, epochs: int) -> None:
    fitted = METHOD.fit(clip_like_support(cells=1, n_images=n_images), [ClipAdapterOptions()])
    assert len(fitted.losses[0]) == epochs


def test_data_that_it_cannot_use_are_refused() -> None:
    support = clip_like_support()
    with pytest.raises(UserError, match="clip-adapter tells classes apart"):
        METHOD.fit(replace(support, raw_text=support.raw_text[:1], labels=0 * support.labels), [OPTIONS] * R)
    with pytest.raises(UserError, match="clip-adapter: needs features at least 4 wide, these are 3"):
        initial_weights([0], 3)


def test_it_reads_crops_of_any_size_and_no_norms() -> None:
    needs = METHOD.needs(ClipAdapterOptions())
    assert (needs.views, needs.min_crop_area, needs.norms, needs.validation) == (20, 0.08, False, False)
    plain = METHOD.fit(clip_like_support(views=1), [ClipAdapterOptions(views=0, epochs=2)] * R)
    assert plain.classifier.logits(new_images()).shape == (R, 40, C)
