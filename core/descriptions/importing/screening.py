"""What stands in other authors' banks where a description belongs: list marks, links, and a model's non-answers.

CuPL's public files hold 106 times ".", 44 times "1." and 13 times "I cannot answer this question." among their
sentences. Such a string would become a text feature like any other, so it is dropped, and reported.
"""

import html
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from dualpt.core.descriptions.writing.cleaning import is_refusal

Fault = Literal["no word", "no answer"]
"""Only marks, digits, single letters, links or tags; or words that decline, or say that there is nothing to say."""

_NO_TEXT = re.compile(r"\S*(?:https?:|www\.)\S*|</?[a-z]+ ?/?>|&#?\w+;", re.IGNORECASE)
"""Links, tags and entities of HTML."""
_WORD = re.compile(r"[^\W\d_]{2}|[\u3040-\u30ff\u3400-\u9fff]")
"""Two letters side by side, or one character of a script that writes words without blanks."""
_NON_ANSWER = re.compile(
    r"(?:not applicable|n\.? ?/ ?a)\b.*|"
    r"(?:(?:it|that|this|the (?:answer|description|information|question)|(?:no )?information) (?:is )?)?"
    r"(?:not (?:applicable|available|found|given|known|provided|specified|sure)|available|unavailable)|"
    r"(?:it is |that is )?(?:unknown|unsure|undefined|undetermined)|n\.a|nan|null|nil|nothing|t\.?b\.?[ad]|todo|"
    r"none(?: (?:available|given|provided|of (?:the above|these|them)))?|"
    r"(?:there is )?no (?:answer|comment|data|description|idea|info(?:rmation)?|results?|response|text)"
    r"(?: to this question)?(?: (?:available|found|given|provided))?|"
    r"(?:it |this )?do(?:es not|esn't) apply|(?:it|that) depends|cannot (?:say|tell)|yes|no|"
    r"ditto|idem|(?:see|same as|as) (?:above|before)|"
    r"(?:the )?(?:answer|caption|description|question|response|sentence|text)s?|"
    r"(?:add|enter|insert|your)\b.*\bhere|unk|ref|(?:http )?error:? \d+\b.*|lorem ipsum.*",
    re.IGNORECASE,
)
_AROUND = re.compile(r"^[\W_]+|[\W_]+$")


def fault_of(text: str) -> Fault | None:
    """Why a text describes nothing, or None where it may describe something."""
    bare = _AROUND.sub("", html.unescape(text))
    if not _WORD.search(_NO_TEXT.sub(" ", text)):
        return "no answer" if _NON_ANSWER.fullmatch(bare) else "no word"
    return "no answer" if _NON_ANSWER.fullmatch(bare) or is_refusal(text) else None


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
