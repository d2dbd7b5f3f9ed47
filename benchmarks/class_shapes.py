"""The class lists of the eleven real datasets as shapes: how long names are, and which beginnings they share.

A text step's time depends on nothing else, so the names themselves are not needed. `class_shapes.json` holds, for
the names of each dataset in sorted order of their tokens, the tokens of each and how many of them it shares with the
one before. Written from a folder of <dataset>.txt files, one name per line, by

    python -m benchmarks.class_shapes FOLDER
"""

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from open_clip.tokenizer import SimpleTokenizer

from dualpt.core.prompts.grouping import common_beginning

SHAPES = Path(__file__).with_name("class_shapes.json")
FIRST_TOKEN = 1000
"""Where made-up token ids start: beyond single characters, and with the punctuation left out."""
END_OF_WORD = "</w>"
"""How a token of CLIP's vocabulary ends that ends a word."""

Names = list[tuple[int, ...]]


def real_class_shapes() -> dict[str, Names]:
    """For each dataset, made-up names with the lengths and shared beginnings of the real ones."""
    return {name: _made_up(**shape) for name, shape in json.loads(SHAPES.read_text()).items()}


def in_words(names: Names, tokenizer: SimpleTokenizer) -> list[str]:
    """Class names that the tokenizer makes into tokens of the same lengths and shared beginnings: one word a token."""
    wanted = sorted({token for name in names for token in name})
    words = dict(zip(wanted, _words(tokenizer), strict=False))
    return [" ".join(words[token] for token in name) for name in names]


def _words(tokenizer: SimpleTokenizer) -> Iterator[str]:
    """Words that are a token of the vocabulary each."""
    for number, token in tokenizer.decoder.items():
        word = token.removesuffix(END_OF_WORD)
        if (
            token.endswith(END_OF_WORD)
            and len(word) > 1
            and word.isascii()
            and word.isalpha()
            and tokenizer.encode(word) == [number]
        ):
            yield word


def _made_up(lengths: list[int], shared: list[int]) -> Names:
    names: Names = []
    fresh = FIRST_TOKEN
    before: tuple[int, ...] = ()
    for length, kept in zip(lengths, shared, strict=True):
        before = (*before[:kept], *range(fresh, fresh + length - kept))
        fresh += length - kept
        names.append(before)
    return names


def write_shapes(folder: Path) -> None:
    tokenizer, shapes = SimpleTokenizer(), {}
    for file in sorted(folder.glob("*.txt")):
        lines = [line.strip().replace("_", " ") for line in file.read_text().splitlines() if line.strip()]
        names = sorted(tuple(tokenizer.encode(line)) for line in lines)
        shared = [0, *(common_beginning(one, other) for one, other in pairwise(names))]
        shapes[file.stem] = {"lengths": [len(name) for name in names], "shared": shared}
    SHAPES.write_text(json.dumps(shapes) + "\n")


if __name__ == "__main__":
    write_shapes(Path(sys.argv[1]))
