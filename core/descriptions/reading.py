"""Class descriptions: read a bank, align it with a dataset's labels, and encode it with the frozen text tower.

A bank is a folder with one `<dataset>.json`: in this project's format, aligned by label (`bank`), or
plain, `{class name: [sentence, ...]}`. Plain banks by other authors spell class names otherwise, so their names are
matched without regard to case, underscores, hyphens and blanks; anything further from the name is only suggested (and
`dualpt describe import` goes further). Shapes: C classes, K sentences per class, D joint width. Reading a bank loads no
torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.descriptions.bank import Sentences, check_hash, is_bank, parse_bank, sentences_of_bank
from dualpt.core.descriptions.names import display_name, normal_name, suggestion
from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.json_reader import parse_json
from dualpt.core.files.regular import check_regular

if TYPE_CHECKING:
    from torch import Tensor

    from dualpt.core.clip.text_tower import TextTower, Tokenizer

SHOWN_CLASSES = 5
"""Classes that an error line names."""


def read_bank(
    folder: Path,
    info: DatasetInfo,
    class_names: Sequence[str],
    per_class: int | None,
    wnids: Sequence[str] | None = None,
) -> Sentences:
    """The first `per_class` sentences of each class, in the order of labels.

    A class may have fewer sentences than others, but needs at least one.

    Args:
        folder: the bank.
        info: the dataset; its file is `info.bank_name`.
        class_names: names by label; equal names get equal sentences from a plain bank.
        per_class: K, at least 1; None takes all.
        wnids: WordNet ids by label, where the split may hold some of the bank's classes alone.

    Raises:
        UserError: no such file, no such structure, text that was changed, classes of another split, classes without
            sentences, or fewer than K in every class.
    """
    source = folder / info.bank_name
    content = read_content(source, info)
    if is_bank(content):
        bank = parse_bank(content, source)
        check_hash(bank, source)
        sentences = sentences_of_bank(bank, class_names, source, wnids)
    else:
        sentences = plain_sentences(content, source, class_names)
    missing = [name for name, texts in zip(class_names, sentences, strict=True) if not texts]
    if missing:
        known = [] if is_bank(content) else [name for name in content if content[name]]
        shown = [f"'{name}'{_hint(name, known)}" for name in missing[:SHOWN_CLASSES]]
        rest = f" and {len(missing) - SHOWN_CLASSES} more" if len(missing) > SHOWN_CLASSES else ""
        raise UserError(f"{source}: no sentences for class {', '.join(shown)}{rest}; add them under the class's name")
    longest = max(map(len, sentences))
    if per_class is not None and longest < per_class:
        raise UserError(
            f"{source}: descriptions.per_class is {per_class}, but no class has more than {longest} sentences; "
            f"choose 1 to {longest}"
        )
    return tuple(texts[:per_class] for texts in sentences)


def read_content(source: Path, info: DatasetInfo) -> dict[str, Any]:
    """The JSON object of a bank file, of either format, not yet checked further.

    Raises:
        UserError: it cannot be read or is not a JSON object.
    """
    check_regular(source, "name the bank's file, or set descriptions.bank")
    try:
        text = source.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{source}: no descriptions of {info.name}; add the file or set descriptions.bank") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: cannot be read ({error})") from None
    content = parse_json(text, source, remedy="correct it, or fetch the bank again")
    if not isinstance(content, dict):
        raise UserError(f"{source}: expected an object of {{class name: [sentence, ...]}}")
    return content


def plain_sentences(content: Mapping[str, object], source: Path, class_names: Sequence[str]) -> Sentences:
    """All sentences of each class in a plain bank, by label; an empty tuple for a class that it lacks.

    Raises:
        UserError: a malformed bank.
    """
    bank = _by_normal_name(_checked(content, source), source)
    return tuple(tuple(bank.get(normal_name(name), ())) for name in class_names)


def bank_fingerprint(sentences: Sentences) -> str:
    """SHA-256 of aligned sentences."""
    return fingerprint(sentences)


def name_tokens(tokenizer: "Tokenizer", class_names: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """BPE ids of each class name and the full stop behind it, as one text without start and end tokens.

    As in CoOp, whose prompts end in `name + "."`: a name that ends in a bracket shares a token with the full stop.
    """
    return tuple(tuple(tokenizer.encode(f"{display_name(name)}.")) for name in class_names)


def encode_template(tower: "TextTower", template: str, class_names: Sequence[str], *, raw: bool = False) -> "Tensor":
    """Features (C, D) of the hand-written template, `{}` being the class name; `raw` ones keep their lengths."""
    texts = [template.replace("{}", display_name(name)) for name in class_names]
    return tower.encode_sentences([sentence_tokens(tower, text) for text in texts], raw=raw)


def encode_bank(tower: "TextTower", sentences: Sentences, class_names: Sequence[str]) -> "tuple[Tensor, Tensor]":
    """Features (C, K, D), zero where a class has fewer sentences than K, and mask (C, K).

    Raises:
        UserError: a sentence does not fit the text tower, which would silently cut it off.
    """
    import torch  # here and not above: plans read banks without it

    tokens = []
    for name, texts in zip(class_names, sentences, strict=True):
        for text in texts:
            tokens.append(sentence_tokens(tower, text))
            if len(tokens[-1]) > tower.context_length:
                raise UserError(
                    f"description of '{name}' has {len(tokens[-1])} tokens, the text tower takes "
                    f"{tower.context_length}; shorten '{text:.60}...'"
                )
    features = tower.encode_sentences(tokens)
    counts = torch.tensor([len(texts) for texts in sentences])
    mask = torch.arange(int(counts.max())) < counts[:, None]
    mask = mask.to(features.device)
    descriptions = features.new_zeros(*mask.shape, features.shape[-1])
    descriptions[mask] = features
    return descriptions, mask


def sentence_tokens(tower: "TextTower", text: str) -> list[int]:
    """From start token to end token, never cut off."""
    return [tower.start_token, *tower.tokenizer.encode(text), tower.end_token]


def _checked(content: Mapping[str, object], source: Path) -> Mapping[str, list[str]]:
    """The content of a plain bank, if it is one."""
    for name, texts in content.items():
        if not isinstance(texts, list):
            raise UserError(
                f"{source}: '{name}' must have a list of sentences, got {texts!r:.60}; `dualpt describe import` reads "
                "other layouts"
            )
        for text in texts:
            if not isinstance(text, str) or not text.strip():
                raise UserError(f"{source}: '{name}' has {text!r:.60} where a sentence belongs")
    return cast(Mapping[str, list[str]], content)


def _by_normal_name(content: Mapping[str, list[str]], source: Path) -> dict[str, list[str]]:
    """Sentences by normal name; names that become equal must say the same."""
    spelled: dict[str, str] = {}
    for name, texts in content.items():
        first = spelled.setdefault(normal_name(name), name)
        if content[first] != texts:
            raise UserError(f"{source}: '{first}' and '{name}' are one class with different sentences; keep one")
    return {normal: content[name] for normal, name in spelled.items()}


def _hint(name: str, known: Sequence[str]) -> str:
    close = suggestion(name, known)
    return f" (did you mean '{close}'?)" if close else ""
