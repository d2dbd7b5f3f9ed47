"""CLIP's byte-level BPE, with its own vocabulary or with that of a checkpoint folder.

As open_clip's `SimpleTokenizer` encodes and decodes, id for id, without importing open_clip, which takes 3.3 s; only
its vocabulary file is read.
"""

import gzip
import html
from functools import cache
from itertools import pairwise

import ftfy
import regex

from dualpt.core.clip.open_clip_cache import open_clip_folder
from dualpt.core.clip.transformers_vocabulary import END_OF_WORD, WORDS, Vocabulary, byte_symbols

VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"
"""In open_clip's folder: a line per merge, in order of priority, after one that says what it is."""
MERGES = 49152 - 256 - 2
"""Those that CLIP uses; the file has more."""
START, END = "<start_of_text>", "<end_of_text>"
"""open_clip's spelling of what `transformers` calls `<|startoftext|>` and `<|endoftext|>`."""


class Tokenizer:
    """Texts to ids and back.

    Args:
        vocabulary: tokens, ids and merges.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.sot_token_id, self.eot_token_id = vocabulary.start, vocabulary.end
        self._ids = {**vocabulary.ids, START: vocabulary.start, END: vocabulary.end}
        self.decoder = {number: token for token, number in self._ids.items()}
        """Every token by its id."""
        self._ranks = {pair: rank for rank, pair in enumerate(vocabulary.merges)}
        self._words: dict[str, tuple[int, ...]] = {START: (vocabulary.start,), END: (vocabulary.end,)}
        """Ids of the words met so far."""
        self._symbols = list(byte_symbols())
        self._bytes = {symbol: byte for byte, symbol in enumerate(self._symbols)}
        self._pattern = regex.compile(f"{START}|{END}|{WORDS}", regex.IGNORECASE)

    def encode(self, text: str) -> list[int]:
        """BPE ids of `text`, without start and end tokens; nothing is cut off."""
        text = html.unescape(html.unescape(ftfy.fix_text(text)))
        text = " ".join(text.split()).lower()
        return [number for word in self._pattern.findall(text) for number in self._word(word)]

    def decode(self, ids: list[int]) -> str:
        """The text of ids, words parted by spaces; bytes that are no character are replaced by a mark."""
        symbols = "".join(self.decoder[number] for number in ids)
        text = bytes(self._bytes[symbol] for symbol in symbols).decode("utf-8", errors="replace")
        return text.replace(END_OF_WORD, " ")

    def _word(self, word: str) -> tuple[int, ...]:
        written = "".join(self._symbols[byte] for byte in word.encode("utf-8"))
        if written not in self._words:
            self._words[written] = tuple(self._ids[part] for part in self._merged(written))
        return self._words[written]

    def _merged(self, written: str) -> list[str]:
        """A word's symbols, joined pair by pair as long as a merge joins some."""
        parts = [*written[:-1], written[-1] + END_OF_WORD]
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            joined: list[str] = []
            for part in parts:
                if joined and (joined[-1], part) == best:
                    joined[-1] += part
                else:
                    joined.append(part)
            parts = joined
        return parts


def tokenizer_of(vocabulary: Vocabulary | None) -> Tokenizer:
    """The tokenizer of a vocabulary; None for CLIP's own."""
    return Tokenizer(clip_vocabulary() if vocabulary is None else vocabulary)


@cache
def clip_vocabulary() -> Vocabulary:
    """CLIP's own vocabulary, from the file that open_clip ships."""
    lines = gzip.decompress((open_clip_folder() / VOCABULARY_FILE).read_bytes()).decode("utf-8").split("\n")
    merges = tuple((first, second) for first, second in (line.split() for line in lines[1 : MERGES + 1]))
    # Of bytes, those that are written as themselves come first: open_clip's order, which the ids follow.
    symbols = sorted(byte_symbols(), key=lambda symbol: (ord(symbol) >= 256, ord(symbol)))
    tokens = [*symbols, *(symbol + END_OF_WORD for symbol in symbols), *(first + second for first, second in merges)]
    ids = {token: number for number, token in enumerate(tokens)}
    return Vocabulary(ids, merges, start=len(tokens), end=len(tokens) + 1)
