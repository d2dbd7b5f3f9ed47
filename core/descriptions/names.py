"""When two spellings name one class: class names are written differently by every author of a bank."""

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

NEAR = 0.8
"""Least similarity (difflib's ratio) of two names that are called near spellings."""


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


def ends_in_punctuation(name: str) -> bool:
    """Whether a class name ends in neither letter nor digit: CLIP's tokenizer may then join a full stop to it."""
    return not display_name(name).rstrip()[-1:].isalnum()


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
    """The one candidate that may be meant by `name` (see `suggestions`), or None."""
    return next((found.name for found in suggestions([name], candidates).values()), None)


class Suggestion(NamedTuple):
    """What may be meant by a class name."""

    name: str
    """The candidate."""
    likeness: Literal["words", "plural", "spelling"]
    """The same words in another order; the same but for a plural; a near spelling, which may be another class."""


def suggestions(names: Iterable[str], candidates: Iterable[str]) -> dict[str, Suggestion]:
    """Which candidate may be meant by which name: each candidate by one name at most.

    The same words come first, wherever punctuation and brackets put them ("outdoor control tower" and "control tower
    (outdoor)", "C/V" and "CV"), then a plural, then the nearest spelling; each counts only where one name and one
    candidate fit each other and nothing else does. Nothing takes a suggestion unless the user says so.
    """
    left, free = dict.fromkeys(names), dict.fromkeys(candidates)
    found: dict[str, Suggestion] = {}
    forms: tuple[tuple[Literal["words", "plural"], Callable[[str], tuple[str, ...]]], ...] = (
        ("words", _sorted_words),
        ("words", _sorted_blocks),
        ("plural", _singular_words),
    )
    for likeness, form in forms:
        named, by_form = defaultdict(list), defaultdict(list)
        for name in left:
            named[form(name)].append(name)
        for candidate in free:
            by_form[form(candidate)].append(candidate)
        for words, same in named.items():
            if words and len(same) == len(by_form[words]) == 1:
                found[same[0]] = Suggestion(by_form[words][0], likeness)
        left = {name: None for name in left if name not in found}
        taken = {suggested.name for suggested in found.values()}
        free = {candidate: None for candidate in free if candidate not in taken}
    for name in left:
        close = _nearest(name, free)
        if close is not None and _nearest(close, left) == name:
            found[name] = Suggestion(close, "spelling")
    return found


def _nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate of nearest spelling; None where none is near, or two are equally near."""
    spelled: defaultdict[str, list[str]] = defaultdict(list)
    for candidate in candidates:
        spelled[" ".join(_sorted_words(candidate))].append(candidate)
    close = difflib.get_close_matches(" ".join(_sorted_words(name)), spelled, n=1, cutoff=NEAR)
    return spelled[close[0]][0] if close and len(spelled[close[0]]) == 1 else None


def _sorted_words(name: str) -> tuple[str, ...]:
    """The words of a name in alphabetical order, in lower case, without accents, apostrophes and other punctuation."""
    decomposed = unicodedata.normalize("NFKD", name).casefold().replace("&", " and ")
    plain = "".join(c for c in decomposed if not unicodedata.combining(c) and c not in "'’")
    return tuple(sorted(re.findall(r"[^\W_]+", plain)))


def _sorted_blocks(name: str) -> tuple[str, ...]:
    """Words as blanks and brackets part them, without the punctuation inside: `C/V` is `cv`, `SRT-8` is `srt8`."""
    return tuple(sorted(filter(None, map(loose_name, re.split(r"[\s_()\[\],;]+", name)))))


def _singular_words(name: str) -> tuple[str, ...]:
    """Words without a plural's ending, and without an `e` that could be part of one: for comparison alone."""
    return tuple(sorted(re.sub(r"(?<=\w{2})e?s?$", "", word) for word in _sorted_words(name)))
