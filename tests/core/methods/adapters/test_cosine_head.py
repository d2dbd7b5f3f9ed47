import torch
from torch.nn import functional as F

from dualpt.core.methods.adapters.cosine_head import cosine_classifier, cosine_logits
from tests.core.methods.clip_like import C, D, R, new_images


def test_logits_are_scaled_cosines_and_the_classifier_gives_them() -> None:
    images = new_images()
    prototypes = torch.randn(R, C, D, generator=torch.Generator().manual_seed(0)) * 5
    expected = 20 * F.cosine_similarity(images.directions[None, :, None].double(), prototypes[:, None].double(), dim=-1)
    logits = cosine_logits(images.directions.expand(R, -1, -1), prototypes, 20.0)
    torch.testing.assert_close(logits.double(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(cosine_classifier(prototypes, 20.0).logits(images), logits, rtol=0, atol=1e-5)


def test_gradients_agree_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    directions = F.normalize(torch.randn(2, 3, D, dtype=torch.float64, generator=generator), dim=-1)
    prototypes = torch.randn(2, C, D, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: cosine_logits(directions, w, 20.0), [prototypes])
