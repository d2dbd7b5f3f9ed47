"""Seeds as they are written: numbers, ranges such as `1-10`, and `draws(10)` for the field's first ten."""

import re
from collections.abc import Sequence

RANGE = re.compile(r"(\d{1,9})-(\d{1,9})", re.ASCII)
DRAWS = re.compile(r"draws\((\d{1,9})\)", re.ASCII)
MOST_SEEDS = 1000
"""Of one range: more are a slip of the keyboard, and each would be a training run."""
EXPECTED = "give numbers such as 1, ranges such as 1-10, or draws(10)"


def expand_seeds(words: Sequence[object]) -> list[object]:
    """A list of seeds with its ranges written out; what isn't text is left to whoever checks numbers.

    `draws(n)` is seeds 1 to n, so the field's three draws are the first three of any longer list.

    Raises:
        ValueError: a text that isn't a range, or one that runs backwards or holds too much.
    """
    return [seed for word in words for seed in (_range(word) if isinstance(word, str) else [word])]


def parse_seeds(text: str) -> list[int]:
    """Seeds of a comma-separated text: `1,2,3`, `1-10`, `draws(10)`, `0,5-7`.

    Raises:
        ValueError: it says something else.
    """
    words = [word.strip() for word in text.split(",")]
    return [seed for word in words for seed in ([int(word)] if re.fullmatch(r"-?\d{1,18}", word) else _range(word))]


def _range(word: str) -> list[int]:
    if (draws := DRAWS.fullmatch(word.strip())) is not None:
        first, last = 1, int(draws[1])
        if last < 1:
            raise ValueError(f"'{word}' draws nothing; {EXPECTED}")
    elif (ends := RANGE.fullmatch(word.strip())) is not None:
        first, last = int(ends[1]), int(ends[2])
    else:
        raise ValueError(f"'{word}' names no seed; {EXPECTED}")
    if last < first:
        raise ValueError(f"the range '{word}' runs backwards; write {last}-{first}")
    if last - first >= MOST_SEEDS:
        raise ValueError(f"'{word}' is {last - first + 1:,} seeds; at most {MOST_SEEDS:,} in one range")
    return list(range(first, last + 1))
