"""Class means against the formula in float64, packed and alone."""

import numpy as np
import torch
from torch.nn.functional import normalize

from dualpt.core.methods.interface import Images, MethodOptions, Support
from dualpt.core.methods.training_free.nearest_mean import NearestMean


def support(n_cells: int = 3) -> Support:
    generator = torch.Generator().manual_seed(0)
    directions = normalize(torch.randn(n_cells, 1, 12, 8, generator=generator), dim=-1)
    labels = torch.stack([torch.randperm(12, generator=generator) % 4 for _ in range(n_cells)])
    return Support(Images(directions), labels, torch.randn(4, 8, generator=generator), 100.0, range(n_cells))


def test_it_is_the_formula() -> None:
    given = support()
    images = Images(normalize(torch.randn(20, 8), dim=-1))
    logits = NearestMean().fit(given, [MethodOptions()] * 3).classifier.logits(images)
    for r in range(3):
        features, labels = given.images.directions[r, 0].double().numpy(), given.labels[r].numpy()
        means = np.stack([features[labels == label].sum(0) for label in range(4)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        np.testing.assert_allclose(logits[r].numpy(), 100 * images.directions.double().numpy() @ means.T, atol=1e-4)


def test_a_pack_gives_what_its_cells_give_alone() -> None:
    given = support()
    packed = NearestMean().fit(given, [MethodOptions()] * 3).classifier
    for r in range(3):
        alone = Support(given.images.at(torch.tensor([r])), given.labels[r : r + 1], given.raw_text, 100.0, [r])
        assert all(
            torch.allclose(mine, one)
            for mine, one in zip(
                packed.of_cell(r).tensors().values(),
                NearestMean().fit(alone, [MethodOptions()]).classifier.tensors().values(),
                strict=True,
            )
        )
