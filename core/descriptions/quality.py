"""What can be said of a bank by its text: coverage, length, diversity, and sentences that should not be there.

Loads no torch: whoever asks brings the tokenizer.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from dualpt.core.descriptions.bank import Sentences
from dualpt.core.descriptions.importing.screening import fault_of
from dualpt.core.descriptions.names import names_class, words_of
from dualpt.core.descriptions.writing.cleaning import sentence_key


@dataclass(frozen=True)
class Flagged:
    """A sentence with something to look at."""

    label: int
    text: str


@dataclass(frozen=True)
class TextQuality:
    """Figures of one bank; shares are in 0..1."""

    classes: int
    without: tuple[int, ...]
    """Labels without a sentence."""
    sentences: int
    fewest: int
    """Sentences of the class that has fewest."""
    most: int
    shortest: int
    """Tokens with start and end token, as the text tower sees them."""
    mean_tokens: float
    longest: int
    too_long: tuple[Flagged, ...]
    """Sentences that do not fit the text tower."""
    refusals: tuple[Flagged, ...]
    """Texts that describe nothing: a model's refusals, "N/A", list marks, links."""
    repeated: tuple[Flagged, ...]
    """Sentences that a class has already, case and punctuation aside."""
    shared: tuple[Flagged, ...]
    """Sentences that an earlier class has as well: they tell nothing apart."""
    naming: float
    """Share of sentences that name their class."""
    distinct_1: float
    """Distinct words over words, within each class, averaged over classes (distinct-n, arXiv 1510.03055)."""
    distinct_2: float
    """The same of pairs of neighbouring words."""

    @property
    def usable(self) -> bool:
        """Whether training can use the bank: every class has sentences, and all fit."""
        return not self.without and not self.too_long


def text_quality(
    sentences: Sentences, class_names: Sequence[str], count_tokens: Callable[[str], int], context_length: int
) -> TextQuality:
    """Figures of a bank.

    Args:
        sentences: by label; classes may have none.
        class_names: by label.
        count_tokens: tokens of a text, without start and end token.
        context_length: positions of the text tower.
    """
    every = [Flagged(label, text) for label, texts in enumerate(sentences) for text in texts]
    tokens = [count_tokens(item.text) + 2 for item in every]
    repeated, shared = _repetitions(every, class_names)
    counts = [len(texts) for texts in sentences]
    named = [names_class(item.text, class_names[item.label]) for item in every]
    described = [texts for texts in sentences if texts]
    return TextQuality(
        classes=len(sentences),
        without=tuple(label for label, count in enumerate(counts) if not count),
        sentences=len(every),
        fewest=min(counts),
        most=max(counts),
        shortest=min(tokens, default=0),
        mean_tokens=mean(tokens) if tokens else 0.0,
        longest=max(tokens, default=0),
        too_long=tuple(item for item, count in zip(every, tokens, strict=True) if count > context_length),
        refusals=tuple(item for item in every if fault_of(item.text) is not None),
        repeated=repeated,
        shared=shared,
        naming=mean(named) if named else 0.0,
        distinct_1=mean(distinct(texts, 1) for texts in described) if described else 0.0,
        distinct_2=mean(distinct(texts, 2) for texts in described) if described else 0.0,
    )


def distinct(texts: Sequence[str], n: int) -> float:
    """Distinct n-grams over n-grams of some texts; n-grams do not cross from one text to the next."""
    grams: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = words_of(text)
        grams.update(tuple(words[place : place + n]) for place in range(len(words) - n + 1))
    return len(grams) / grams.total() if grams else 0.0


def _repetitions(
    every: Sequence[Flagged], class_names: Sequence[str]
) -> tuple[tuple[Flagged, ...], tuple[Flagged, ...]]:
    """Sentences that their class has already, and sentences that a class of another name has."""
    repeated, shared = [], []
    labels: defaultdict[str, set[int]] = defaultdict(set)
    for item in every:
        known = labels[sentence_key(item.text)]
        if item.label in known:
            repeated.append(item)
        elif any(class_names[label] != class_names[item.label] for label in known):
            shared.append(item)
        known.add(item.label)
    return tuple(repeated), tuple(shared)
