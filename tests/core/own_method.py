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

DESCRIBED = """import torch
from torch.nn.functional import normalize
from dualpt.core.methods.interface import Fitted, LinearClassifier, Method, Needs


class Described(Method):
    name = "described"
    title = "Mean descriptions"
    short_title = "Described"
    group = "training-free"
    source = "a test"

    def needs(self, options):
        return Needs(text=False, descriptions=True)

    def fit(self, support, options):
        means = support.scale * normalize(support.descriptions.sum(1), dim=-1)
        weights = means.expand(len(options), -1, -1)
        return Fitted(LinearClassifier(weights, torch.zeros_like(weights[..., 0])))
"""
"""Classifies by what `zero-shot-descriptions` classifies by."""
