"""The tokenizer in a folder of `transformers`: is its vocabulary CLIP's, another of the same kind, or unusable?

A folder may number words differently from CLIP. Encoding with CLIP's ids then gives features of other sentences without
any error. Loads no torch.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import file_sha256, fingerprint
from dualpt.core.files.json_reader import read_json
from dualpt.core.files.regular import check_regular

TOKENIZER_FILE = "tokenizer.json"
VOCABULARY_FILE, MERGES_FILE = "vocab.json", "merges.txt"
"""The older pair of files with the same content."""
CONFIG_FILE = "tokenizer_config.json"

START, END = "<|startoftext|>", "<|endoftext|>"
CLIP_END = 49407
"""Id of the end token, at which transformers reads the text feature."""
CLIP_SHA256 = "e544cf3cb8087c96a78061ef3cf42b0132a755a51a6244c9224038a6657c7e82"
"""Fingerprint of CLIP's own vocabulary: a test compares it with open_clip's file."""
END_OF_WORD = "</w>"
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""How CLIP splits a text into words."""
CLIP_CLASSES = ("CLIPTokenizer", "CLIPTokenizerFast")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A byte-level BPE of CLIP's kind with other tokens, ids or merges."""

    ids: Mapping[str, int]
    """Of every token but start and end."""
    merges: tuple[tuple[str, str], ...]
    """Pairs to join, in order of priority."""
    start: int
    end: int

    @property
    def fingerprint(self) -> str:
        """SHA-256 of tokens, ids and merges."""
        return fingerprint([sorted(self.ids.items()), self.merges, self.start, self.end])


def read_vocabulary(folder: Path, size: int) -> Vocabulary | None:
    """The folder's own vocabulary; None where that is CLIP's, or where the folder has no tokenizer.

    Args:
        folder: as `save_pretrained` wrote it.
        size: rows of the text tower's embedding.

    Raises:
        UserError: the tokenizer is of another kind than CLIP's, incomplete, or does not fit the text tower.
    """
    names = [name for name in (TOKENIZER_FILE, VOCABULARY_FILE, MERGES_FILE, CONFIG_FILE) if (folder / name).exists()]
    for name in names:
        check_regular(folder / name)
    return _read(folder, size, tuple(file_sha256(folder / name) for name in names))


@lru_cache(maxsize=8)
def _read(folder: Path, size: int, content: tuple[str, ...]) -> Vocabulary | None:
    """Read once per content: every cell asks."""
    if (folder / TOKENIZER_FILE).is_file():
        source = folder / TOKENIZER_FILE
        tokens, merges = _from_tokenizer_file(source)
    elif (folder / VOCABULARY_FILE).is_file() and (folder / MERGES_FILE).is_file():
        source = folder / VOCABULARY_FILE
        tokens, merges = _from_pair(folder)
    elif (folder / VOCABULARY_FILE).is_file() or (folder / MERGES_FILE).is_file():
        raise UserError(f"{folder}: has one of {VOCABULARY_FILE} and {MERGES_FILE} alone; complete the folder")
    else:
        return None
    vocabulary = _checked(tokens, merges, source, size)
    return None if vocabulary.fingerprint == CLIP_SHA256 else vocabulary


def _from_tokenizer_file(source: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    content = read_json(source, "save the tokenizer again")
    try:
        model = content["model"]
        parts = [*_parts(content.get("normalizer")), *_parts(content.get("pre_tokenizer"))]
        if model.get("type", "BPE") != "BPE" or model.get("end_of_word_suffix") != END_OF_WORD:
            raise _other_kind(source, f"its model is not a byte-pair encoding with words that end in {END_OF_WORD}")
        if not {"Lowercase", "ByteLevel"} <= {part["type"] for part in parts}:
            raise _other_kind(source, "it does not write in lower case and bytes")
        if not any(WORDS in str(part["pattern"].get("Regex")) for part in parts if part["type"] == "Split"):
            raise _other_kind(source, "it splits texts into other words")
        added = {token["content"]: int(token["id"]) for token in content.get("added_tokens", [])}
        merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
        return {**model["vocab"], **added}, [(first, second) for first, second in merges]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{source}: {error!r}; not a tokenizer of transformers, save it again") from None


def _from_pair(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    config = read_json(folder / CONFIG_FILE) if (folder / CONFIG_FILE).is_file() else {}
    kind = config.get("tokenizer_class", CLIP_CLASSES[0]) if isinstance(config, dict) else None
    if kind not in CLIP_CLASSES:
        raise _other_kind(folder / CONFIG_FILE, f"its class is {kind}")
    source = folder / MERGES_FILE
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
        merges = [tuple(line.split()) for line in lines if line.strip() and not line.startswith("#version")]
        return dict(read_json(folder / VOCABULARY_FILE)), [(first, second) for first, second in merges]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{source}: cannot be read as pairs of tokens ({error}); save the tokenizer again") from None


def _parts(component: Any) -> Iterator[dict[str, Any]]:
    """The steps of a normaliser or pre-tokeniser, sequences unpacked."""
    if component is None:
        return
    inner = component.get("normalizers", component.get("pretokenizers"))
    if inner is None:
        yield component
    for one in inner or ():
        yield from _parts(one)


def _checked(tokens: Mapping[str, int], merges: Iterable[tuple[str, str]], source: Path, size: int) -> Vocabulary:
    """The vocabulary, if it gives every text ids that the text tower has."""
    if missing := [special for special in (START, END) if special not in tokens]:
        raise _other_kind(source, f"it has no token {missing[0]}")
    vocabulary = Vocabulary(
        {token: number for token, number in tokens.items() if token not in (START, END)},
        tuple(merges),
        tokens[START],
        tokens[END],
    )
    numbers = list(tokens.values())
    if not all(isinstance(number, int) and 0 <= number < size for number in numbers):
        raise UserError(
            f"{source}: has ids outside the text tower's {size} embeddings; use the tokenizer the weights came with"
        )
    if len(set(numbers)) != len(numbers):
        raise UserError(f"{source}: gives two tokens one id; save the tokenizer again")
    if vocabulary.end != CLIP_END:
        raise UserError(
            f"{source}: its end token is {vocabulary.end}, the text tower reads at {CLIP_END}; use the tokenizer the "
            "weights came with"
        )
    needed = {symbol + suffix for symbol in byte_symbols() for suffix in ("", END_OF_WORD)}
    needed |= {first + second for first, second in vocabulary.merges}
    if absent := sorted(needed - vocabulary.ids.keys()):
        raise UserError(f"{source}: has no token '{absent[0]}', which some words need; save the tokenizer again")
    return vocabulary


def byte_symbols() -> Iterator[str]:
    """The characters that byte-level BPE writes bytes as: printable ones unchanged, others from U+0100 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = 0
    for byte in range(256):
        if byte in printable:
            yield chr(byte)
        else:
            yield chr(256 + others)
            others += 1


def _other_kind(source: Path, reason: str) -> UserError:
    return UserError(f"{source}: not a tokenizer of CLIP's kind: {reason}; such a CLIP is not supported")
