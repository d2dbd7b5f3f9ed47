"""ProKeR: kernel ridge regression of the residual that zero-shot logits leave.

    logits = s (f T^T + k(f, F) A),   A = (k(F, F) / l + I)^-1 (Y - F T^T),   k(x, y) = exp(-beta (1 - x y^T))

f (n, D) images and T (C, D) text features, normalised; F (N, D) the rows, all views of all training images, each
normalised; Y (N, C) their one-hot labels. The authors' logits lack CLIP's scale s, which changes no prediction but
gives a softmax of them its usual sharpness.

The authors search beta and l in ranges set per dataset, by default on the full validation split, and for ImageNet on
the test images. Here the widest of their grids (DTD's and Flowers') serves every dataset, searched on the cell's
validation images. One eigendecomposition of k(F, F) per beta serves every l.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from dualpt.core.errors import UserError
from dualpt.core.methods.choosing import check_classes, chosen, first_best, validation_images
from dualpt.core.methods.interface import Classifier, Fitted, Images, Method, MethodOptions, Needs, Support

BETAS = tuple(torch.linspace(0.1, 10, 20, dtype=torch.float64).tolist())
"""Candidates for beta."""
RIDGES = tuple(torch.linspace(0.001, 10, 100, dtype=torch.float64).tolist())
"""Candidates for l."""
ADVICE = "its authors transfer beta 1.7 and ridge 0.1 from ImageNet with 16 shots, beta 3 and ridge 0.05 with one"
MAX_ROWS = 65_536
"""Rows of the kernel, at most: in double precision it has 32 GiB then, and its eigenvectors are searched 20 times."""
MAX_ELEMENTS = 2**26
"""Coefficients held at once while candidates for l are tried: 256 MiB."""


class ProkerOptions(MethodOptions):
    beta: float | None = Field(None, ge=0, le=1000)
    """Sharpness of the kernel; None chooses it on validation images."""
    ridge: float | None = Field(None, gt=0, le=1000)
    """The regularisation l; None chooses it on validation images."""
    views: int = Field(10, ge=0, le=300)
    """Random crops of each training image, each a row of the kernel; 0 takes the plain crop."""
    min_crop_area: float = Field(0.5, gt=0, le=1)
    """Smallest share of an image that a random crop takes."""


@dataclass(frozen=True)
class KernelClassifier(Classifier):
    """Zero-shot logits plus a kernel expansion over training rows."""

    text: Tensor
    """(R, C, D), normalised."""
    scale: Tensor
    """(R,)"""
    rows: Tensor
    """(R, N, D), normalised."""
    coefficients: Tensor
    """(R, N, C)"""
    beta: Tensor
    """(R,)"""

    def logits(self, images: Images) -> Tensor:
        kernel = similarity(images.directions, self.rows, self.beta[:, None, None])
        return self.scale[:, None, None] * (images.directions @ self.text.mT + kernel @ self.coefficients)


class Proker(Method[ProkerOptions]):
    name = "proker"
    title = "ProKeR"
    short_title = "ProKeR"
    group = "training-free"
    source = "arXiv 2501.11175; omarnust/BReg-Adapter@c89ce54: trainers/proker.py, main.py, configs/RN50/configs_proker"
    options = ProkerOptions

    def needs(self, options: ProkerOptions) -> Needs:
        undecided = options.beta is None or options.ridge is None
        return Needs(views=options.views, min_crop_area=options.min_crop_area, validation=undecided)

    def fit(self, support: Support, options: Sequence[ProkerOptions]) -> Fitted:
        check_classes(support, self.name)
        settings, rows = options[0], support.rows
        if rows.shape[1] > MAX_ROWS:
            raise UserError(
                f"proker.views: {settings.views} views give a kernel of {rows.shape[1]:,} by {rows.shape[1]:,}; more "
                f"than {MAX_ROWS:,} are refused: set proker.views=0, the plain crop"
            )
        residual = support.one_hot.repeat(1, support.images.directions.shape[1], 1) - rows @ support.text.T
        used = [_decide(support, r, rows[r], residual[r], settings) for r in range(len(rows))]
        coefficients = [_solve(*cell) for cell in zip(rows, residual, used, strict=True)]
        classifier = KernelClassifier(
            text=support.text.expand(len(rows), -1, -1),
            scale=rows.new_full((len(rows),), support.scale),
            rows=rows,
            coefficients=torch.stack(coefficients),
            beta=rows.new_tensor([cell["beta"] for cell in used]),
        )
        return Fitted(classifier, chosen=chosen(settings, used))


def similarity(images: Tensor, rows: Tensor, beta: Tensor | float) -> Tensor:
    """exp(-beta (1 - x y^T)) of (..., n, D) and (..., N, D): (..., n, N)."""
    return (beta * (images @ rows.mT - 1)).exp()


def _solve(rows: Tensor, residual: Tensor, used: Mapping[str, float]) -> Tensor:
    """The coefficients (N, C) of one cell; in double precision, because a small l makes the system stiff."""
    kernel = similarity(rows.double(), rows.double(), used["beta"]) / used["ridge"]
    kernel.diagonal().add_(1)
    return torch.cholesky_solve(residual.double(), torch.linalg.cholesky(kernel)).float()


def _decide(support: Support, r: int, rows: Tensor, residual: Tensor, options: ProkerOptions) -> dict[str, float]:
    """Beta and ridge of one cell: as set, or the pair with the most hits on its validation images."""
    if options.beta is not None and options.ridge is not None:
        return {"beta": options.beta, "ridge": options.ridge}
    undecided = [f"proker.{name}" for name in ("beta", "ridge") if getattr(options, name) is None]
    val = validation_images(support, undecided, ADVICE)
    images, labels = val.images.directions[r], val.labels[r]
    zero_shot = images @ support.text.T
    betas = BETAS if options.beta is None else (options.beta,)
    ridges = RIDGES if options.ridge is None else (options.ridge,)
    hits = []
    for beta in betas:
        values, vectors = torch.linalg.eigh(similarity(rows, rows, beta))
        towards = similarity(images, rows, beta) @ vectors
        hits.append(_hits_by_ridge(zero_shot, towards, values, vectors.T @ residual, labels, rows.new_tensor(ridges)))
    ((b, i),) = first_best(torch.stack(hits)[None])
    return {"beta": betas[b], "ridge": ridges[i]}


def _hits_by_ridge(
    zero_shot: Tensor, towards: Tensor, values: Tensor, coordinates: Tensor, labels: Tensor, ridges: Tensor
) -> Tensor:
    """(L,) int64: validation images (M) that are classified correctly with every l.

    Args:
        zero_shot: (M, C)
        towards: (M, N), kernel with the training rows in the basis of its eigenvectors.
        values: (N,) eigenvalues.
        coordinates: (N, C), the residual in the same basis.
    """
    parts = []
    for part in ridges.split(max(1, MAX_ELEMENTS // coordinates.numel())):
        shrunk = coordinates / (values / part[:, None] + 1)[..., None]
        parts.append(((zero_shot + towards @ shrunk).argmax(-1) == labels).sum(-1))
    return torch.cat(parts)
