"""When two spellings name one class: class names are written differently by every author of a bank."""

import difflib
import re
import unicodedata
from collections.abc import Iterable


def normal_name(name: str) -> str:
    """A class name without regard to case, underscores, hyphens and blanks."""
    return " ".join(re.sub(r"[_\-]", " ", name).casefold().split())


def loose_name(name: str) -> str:
    """A class name by its letters and digits alone: without accents, punctuation, blanks and a leading article.

    `ApplyEyeMakeup` and `apply eye make-up`, `crème brûlée` and `creme brulee`, `the abbey` and `abbey` are equal; the
    order of words and plurals still count. `An-12` keeps its `An`: an article is followed by a blank and a letter.
    """
    decomposed = unicodedata.normalize("NFKD", name).casefold().replace("&", " and ")
    without_article = re.sub(r"^\s*(?:the|an?)[ _]+(?=[^\W\d_])", "", decomposed)
    point_in_number = re.sub(r"(?<=\d)\.(?=\d)", "p", without_article)
    return "".join(character for character in point_in_number if character.isalnum())


def display_name(name: str) -> str:
    """A class name as it stands in a sentence: underscores are blanks."""
    return name.replace("_", " ")


def words_of(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return re.findall(r"\w+", normal_name(text))


def names_class(sentence: str, name: str) -> bool:
    """Whether a sentence holds the words of a class name, in order and side by side; the last may be a plural."""
    wanted = words_of(name)
    if not wanted:
        return False
    *first, last = map(re.escape, wanted)
    pattern = r"\b" + " ".join([*first, rf"{last}(?:s|es)?"]) + r"\b"
    return re.search(pattern, " ".join(words_of(sentence))) is not None


def suggestion(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that may be meant by `name`: the same words in another order, a plural, else the nearest spelling.

    A suggestion is never taken automatically.
    """
    by_normal = {normal_name(candidate): candidate for candidate in candidates}
    wanted = normal_name(name)
    for form in (_sorted_words, _singular_words):
        for normal, candidate in by_normal.items():
            if form(normal) == form(wanted):
                return candidate
    close = difflib.get_close_matches(wanted, by_normal, n=1, cutoff=0.6)
    return by_normal[close[0]] if close else None


def _sorted_words(normal: str) -> list[str]:
    return sorted(normal.split())


def _singular_words(normal: str) -> list[str]:
    """Words without a plural's ending, and without an `e` that could be part of one: for comparison alone."""
    return [re.sub(r"(?<=\w{2})e?s?$", "", word) for word in normal.split()]
