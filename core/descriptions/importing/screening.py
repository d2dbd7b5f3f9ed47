"""What stands in other authors' banks where a description belongs: list marks, links, and a model's non-answers.

CuPL's public files hold 106 times ".", 44 times "1." and 13 times "I cannot answer this question." among their
sentences. Such a string would become a text feature like any other, so it is dropped, and reported.
"""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from dualpt.core.descriptions.writing.cleaning import is_refusal

Fault = Literal["no word", "no answer"]
"""Only marks, digits, single letters or links; or words that decline, or say that there is nothing to say."""

_LINK = re.compile(r"\S*(?:https?:|www\.)\S*", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2}|[\u3040-\u30ff\u3400-\u9fff]")
"""Two letters side by side, or one character of a script that writes words without blanks."""
_NON_ANSWER = re.compile(
    r"(?:(?:it is |that is )?(?:not (?:applicable|available|specified|known|provided|sure)|unknown|unsure|undefined)|"
    r"n\.? ?/ ?a|n\.a|nan|none(?: (?:available|given|provided))?|null|nil|nothing|t\.?b\.?[ad]|todo|"
    r"(?:there is )?no (?:answer|description|idea|information|response|text)(?: to this question)?"
    r"(?: (?:available|found|given|provided))?|"
    r"(?:lorem ipsum.*))",
    re.IGNORECASE,
)
_AROUND = re.compile(r"^[\W_]+|[\W_]+$")


def fault_of(text: str) -> Fault | None:
    """Why a text describes nothing, or None where it may describe something."""
    if not _WORD.search(_LINK.sub(" ", text)):
        return "no answer" if _NON_ANSWER.fullmatch(_AROUND.sub("", text)) else "no word"
    if _NON_ANSWER.fullmatch(_AROUND.sub("", text)) or is_refusal(text):
        return "no answer"
    return None


class Screened(NamedTuple):
    """The entries of a bank without what describes nothing."""

    kept: dict[str, tuple[str, ...]]
    """Name -> sentences; empty where none is left."""
    dropped: dict[str, tuple[str, ...]]
    """Name -> texts that were dropped, of those entries that had some."""


def screened(entries: Mapping[str, tuple[str, ...]]) -> Screened:
    """Divide the texts of a bank into sentences and what describes nothing."""
    kept, dropped = {}, {}
    for name, texts in entries.items():
        kept[name] = tuple(text for text in texts if fault_of(text) is None)
        if len(kept[name]) < len(texts):
            dropped[name] = tuple(text for text in texts if fault_of(text) is not None)
    return Screened(kept, dropped)
