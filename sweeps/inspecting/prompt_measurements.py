"""What only learned prompts have: words near them, descriptions that they resemble, and where they look."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dualpt.core.data.checking.image_faults import decode_faithfully
from dualpt.core.descriptions.reading import encode_bank
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import sentences_of
from dualpt.core.learned.classifier import PromptClassifier
from dualpt.core.learned.inspection.patches import PatchMaps, patch_grid, patch_maps
from dualpt.core.learned.inspection.similarity import DescriptionSimilarity, description_similarity
from dualpt.core.learned.inspection.vocabulary import NearestWords, nearest_words
from dualpt.core.learned.prompts import LearnedPrompts

NEAREST = 3
"""Vocabulary words shown for each context token."""


@dataclass(frozen=True, eq=False)
class Look:
    """One test image, and where the prompts of its own and of the predicted class look."""

    pixels: Tensor
    """(height, width, 3), 0..1: the image as the tower sees it, resized and cropped."""
    maps: tuple[tuple[str, PatchMaps], ...]
    """Class name and maps: of the true class, then, where it is another, of the predicted one."""


@dataclass(frozen=True, eq=False)
class InsidePrompts:
    classifier: PromptClassifier
    class_names: tuple[str, ...]
    """Every class of the dataset by label."""
    words: NearestWords
    descriptions: DescriptionSimilarity | None
    """None where no bank describes the classes; `no_descriptions` says why."""
    no_descriptions: str

    @classmethod
    def of(cls, prompts: LearnedPrompts) -> "InsidePrompts":
        """
        Raises:
            UserError: the weights are not those that the prompts were learned with.
        """
        classifier = PromptClassifier(prompts)
        descriptions, reason = _descriptions(prompts, classifier)
        words = nearest_words(classifier.backbone, _shared_contexts(prompts), NEAREST)
        return cls(classifier, prompts.class_names, words, descriptions, reason)

    def look(self, file: Path, pixels: Tensor, labels: Sequence[int]) -> Look:
        """Maps of one image, for the classes of the given labels.

        Args:
            pixels: of the same image, (height, width, 3).
        """
        classifier = self.classifier
        image = classifier.backbone.preprocess.plain(decode_faithfully(file))
        encoded = classifier.encode(image[None], local=True).local_features
        assert encoded is not None
        (patches,) = encoded[:1]  # stored rows are sliced, not indexed
        grid = patch_grid(classifier.backbone)
        maps = {
            label: patch_maps(patches, classifier.prompt_features[label], classifier.local_scorer, grid)
            for label in dict.fromkeys(labels)
        }
        return Look(pixels, tuple((classifier.class_names[label], own) for label, own in maps.items()))


def _shared_contexts(prompts: LearnedPrompts) -> Tensor:
    """(N, L, W): shared contexts, or, where they are class-specific, those of the first class."""
    return prompts.contexts[0] if prompts.cell.setting.prompt.class_specific else prompts.contexts


def _descriptions(prompts: LearnedPrompts, classifier: PromptClassifier) -> tuple[DescriptionSimilarity | None, str]:
    """Similarities with the descriptions, or the reason why there are none."""
    try:
        sentences = sentences_of(prompts.cell.setting, prompts.cell.dataset)
    except UserError as error:
        return None, str(error)
    features, mask = encode_bank(classifier.tower, sentences, prompts.class_names)
    return description_similarity(classifier.prompt_features, features, mask, sentences), ""
