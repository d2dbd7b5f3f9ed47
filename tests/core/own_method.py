"""A user's own method as text, for tests that write it to a file."""

SOURCE = """from pydantic import Field
import torch
from dualpt.core.methods.interface import Fitted, LinearClassifier, Method, MethodOptions


class PulledOptions(MethodOptions):
    pull: float = Field(1.0, ge=0, le=100)


class Pulled(Method[PulledOptions]):
    name = "pulled"
    title = "Pulled means"
    short_title = "Pulled"
    group = "training-free"
    source = "a test"
    options = PulledOptions
    packable = frozenset({"pull"})

    def fit(self, support, options):
        pull = torch.tensor([one.pull for one in options])[:, None, None]
        weights = support.one_hot.mT @ support.images.directions[:, 0] + pull * support.text
        return Fitted(LinearClassifier(support.scale * weights, torch.zeros_like(weights[..., 0])))
"""
"""`fit` begins on line 19."""
