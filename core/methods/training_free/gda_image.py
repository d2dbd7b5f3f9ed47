"""The image part of GDA alone: Gaussian discriminant analysis with one shrunk covariance, and no text.

    logits = f W + b,   W = mu P,   b = log(1/C) - diag(mu P mu^T) / 2

with the mean mu of each class and the precision P of `dualpt.core.methods.training_free.gda`, whose zero-shot logits
are left out: the limit of a large alpha. It needs class labels, and neither names nor a text tower.
"""

from collections.abc import Sequence

from pydantic import Field

from dualpt.core.methods.choosing import check_every_class
from dualpt.core.methods.interface import Fitted, LinearClassifier, Method, MethodOptions, Needs, Support
from dualpt.core.methods.training_free.gda import discriminant


class GdaImageOptions(MethodOptions):
    views: int = Field(10, ge=0, le=300)
    """Random crops of each training image, each a row of the estimates; 0 takes the plain crop."""
    min_crop_area: float = Field(0.5, gt=0, le=1)
    """Smallest share of an image that a random crop takes."""


class GdaImage(Method[GdaImageOptions]):
    name = "gda-image"
    title = "GDA, images alone"
    short_title = "GDA img."
    group = "training-free"
    source = "arXiv 2402.04087; mrflogs/ICLR24@560fe21: main_few_shots.py, without its zero-shot logits"
    every_class = True
    options = GdaImageOptions

    def needs(self, options: GdaImageOptions) -> Needs:
        views, min_crop_area = options.views, options.min_crop_area
        return Needs(views=views, min_crop_area=min_crop_area, rows=2, rows_of_one=True, text=False)

    def fit(self, support: Support, options: Sequence[GdaImageOptions]) -> Fitted:
        check_every_class(support, self.name)
        weights, bias = discriminant(support.rows, support.row_labels, len(support.raw_text), "shrunk")
        return Fitted(LinearClassifier(weights, bias))
