"""GDA without text: a linear discriminant with the shrunk covariance, written out in float64."""

import numpy as np
import torch
from torch.nn.functional import normalize

from dualpt.core.methods.interface import Images, Support
from dualpt.core.methods.training_free.gda_image import GdaImage, GdaImageOptions


def test_it_is_the_formula_and_needs_no_text() -> None:
    generator = torch.Generator().manual_seed(0)
    directions = normalize(torch.randn(2, 3, 20, 6, generator=generator), dim=-1)
    labels = torch.stack([torch.randperm(20, generator=generator) % 4 for _ in range(2)])
    images = Images(normalize(torch.randn(30, 6, generator=generator), dim=-1))
    support = Support(Images(directions), labels, torch.empty(4, 0), 100.0, range(2))
    logits = GdaImage().fit(support, [GdaImageOptions()] * 2).classifier.logits(images)
    for r in range(2):
        rows, of = directions[r].flatten(0, 1).double().numpy(), np.tile(labels[r].numpy(), 3)
        means = np.stack([rows[of == c].mean(0) for c in range(4)])
        centred = rows - means[of]
        covariance = np.cov(centred.T)
        precision = 6 * np.linalg.inv((len(rows) - 1) * covariance + np.trace(covariance) * np.eye(6))
        bias = np.log(1 / 4) - np.einsum("cd,de,ce->c", means, precision, means) / 2
        wanted = images.directions.double().numpy() @ (means @ precision).T + bias
        np.testing.assert_allclose(logits[r].numpy(), wanted, rtol=1e-4, atol=1e-4)
