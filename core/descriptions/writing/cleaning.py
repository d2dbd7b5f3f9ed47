"""From a model's answer to one description, or the reason why there is none.

Models introduce, list, decorate, refuse and run on. What can be removed without touching the statement is removed; what
cannot is rejected, and asked again.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dualpt.core.descriptions.names import names_class, words_of
from dualpt.core.descriptions.writing.questions import ClassNamePolicy

Reason = Literal[
    "no text",
    "unreadable",
    "refusal",
    "list",
    "markup",
    "question",
    "cut off",
    "too long",
    "names the class",
    "does not name the class",
    "duplicate",
]


class Answer(NamedTuple):
    """What a model said."""

    text: str
    whole: bool
    """Whether it ended by itself, rather than at the limit of new tokens."""


class Cleaned(NamedTuple):
    """A description, or why there is none."""

    text: str | None
    reason: Reason | None = None


@dataclass(frozen=True)
class Rules:
    """What a description must satisfy."""

    context_length: int
    """Positions of the text tower, start and end token included; 77 in CLIP."""
    count_tokens: Callable[[str], int]
    """Tokens of a text, without start and end token."""
    class_name: ClassNamePolicy = "any"


MIN_WORDS = 3
"""Fewer words are not a description."""

_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able|not sure)|"
    r"i (?:can(?:no|')t|do(?:n't| not) (?:have|know)|have no idea|apologi[sz]e)|"
    r"as an? (?:ai|(?:ai|artificial intelligence|large language|language) (?:model|assistant))\b|"
    r"(?:can(?:no|')t|unable to) (?:assist|help|comply|fulfil)|(?:could|can) you (?:please )?(?:provide|clarify)|"
    r"(?:can(?: ?not|'t)|(?:un|not )able to|(?:im|not )possible to|information to|context to) (?:be )?answer(?:ed)?\b|"
    r"(?:not enough|insufficient|without (?:more|further|any)|need (?:more|further|additional)) "
    r"(?:context|information|details)\b|"
    r"impossible to (?:say|describe)|your question|(?:are you|you are) referring to|"
    r"please (?:provide|specify|clarify)|no image (?:was |is )?(?:provided|attached))|^\W*sorry\b",
    re.IGNORECASE,
)
_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)
_OPEN_THOUGHT = re.compile(r"<(?:think|thinking|reasoning)>", re.IGNORECASE)
_LIST_ITEM = re.compile(r"^\s*(?:[-*•–▪]|\(?\d{1,2}[.)]|\(?[a-z]\))\s+")
_LIST_ITEM_INSIDE = re.compile(r"(?:^|\s)(?:[2-9][.)]|•)\s+\S")
_HEADING = re.compile(r"^\s*(?:#{1,6}\s|\*\*[^*]+\*\*:?\s*$|.{1,120}:\s*$)")
_OPENER = re.compile(
    r"^(?:(?:sure|certainly|of course|okay|ok|absolutely|yes)\b[,.!]?\s*)?"
    r"(?:here(?:'s| is| are)\b[^:.]{0,80}:|(?:a )?(?:caption|answer|description|sentence|response|output)\s*:)\s*",
    re.IGNORECASE,
)
_BARE_OPENER = re.compile(r"^(?:sure|certainly|of course|okay|absolutely)\s*[!.:]\s+", re.IGNORECASE)
_QUOTES = {'"': '"', "“": "”", "'": "'", "«": "»", "‘": "’"}
_ABBREVIATION = re.compile(r"\b(?:st|mt|dr|mr|mrs|ms|vs|etc|e\.g|i\.e|approx|no|jr|sr|[a-z])\.$", re.IGNORECASE)
_BETWEEN_SENTENCES = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)\]]))\s+(?=[\"'“‘(]?[A-Z0-9])")
_END = re.compile(r"[.!?…][\"'”’)\]]*$")


def clean(answer: Answer, class_name: str, rules: Rules) -> Cleaned:
    """One description of a class out of an answer: its leading sentences, as many as fit the text tower.

    Args:
        answer: what the model said.
        class_name: as shown to the model.
        rules: what a description must satisfy.
    """
    text, reason = _plain_text(answer)
    if text is None:
        return Cleaned(None, reason)
    if is_refusal(text):
        return Cleaned(None, "refusal")
    if not text.isprintable() or "\ufffd" in text:
        return Cleaned(None, "unreadable")
    if len([word for word in words_of(text) if any(map(str.isalpha, word))]) < MIN_WORDS:
        return Cleaned(None, "no text")
    sentences = split_sentences(text)
    if not answer.whole and not _END.search(text):
        sentences.pop()  # it stops in the middle
    if not sentences:
        return Cleaned(None, "cut off")
    if any("?" in sentence for sentence in sentences):
        return Cleaned(None, "question")
    while sentences and rules.count_tokens(" ".join(sentences)) + 2 > rules.context_length:
        sentences.pop()
    if not sentences:
        return Cleaned(None, "too long")
    description = " ".join(sentences)
    named = names_class(description, class_name)
    if rules.class_name == "forbidden" and named:
        return Cleaned(None, "names the class")
    if rules.class_name == "required" and not named:
        return Cleaned(None, "does not name the class")
    return Cleaned(description)


def is_refusal(sentence: str) -> bool:
    """Whether a sentence declines, or asks back, instead of describing."""
    return _REFUSAL.search(sentence.replace("’", "'")) is not None


def sentence_key(sentence: str) -> str:
    """What two sentences share that say the same in the same words: case, punctuation and blanks aside."""
    return " ".join(words_of(sentence))


def split_sentences(text: str) -> list[str]:
    """Sentences of one line of text; a point after an abbreviation or an initial ends none."""
    sentences: list[str] = []
    for part in _BETWEEN_SENTENCES.split(text):
        if sentences and _ABBREVIATION.search(sentences[-1]):
            sentences[-1] += f" {part}"
        else:
            sentences.append(part)
    return sentences


def _plain_text(answer: Answer) -> tuple[str | None, Reason | None]:
    """The answer's first paragraph as one line, without thoughts, headings, introduction, markup and quotes."""
    # Some chat templates open the thought themselves, so only its end is in the answer.
    text = _THOUGHT_END.split(_THOUGHT.sub("", answer.text))[-1].strip()
    if _OPEN_THOUGHT.search(text):
        return None, "cut off"
    if "```" in text or re.search(r"^\s*\|.*\|\s*$", text, re.MULTILINE) or re.search(r"</?\w+[^<>]*>", text):
        return None, "markup"
    lines = [line.rstrip() for line in text.replace("’", "'").splitlines()]
    while lines and (not lines[0].strip() or (_HEADING.match(lines[0]) and any(map(str.strip, lines[1:])))):
        lines.pop(0)
    items = [line for line in lines if _LIST_ITEM.match(line)]
    if len(items) > 1 or (items and len([line for line in lines if line.strip()]) > 1):
        return None, "list"
    if not lines:
        return None, "no text"
    paragraph = lines[: lines.index("")] if "" in lines else lines
    line = _LIST_ITEM.sub("", " ".join(part.strip() for part in paragraph))
    line = _without_markup(line)
    line = _unquoted(_BARE_OPENER.sub("", _OPENER.sub("", line, count=1), count=1))
    if _LIST_ITEM_INSIDE.search(line) and re.search(r"(?:^|\s)(?:1[.)]|•)\s", line):
        return None, "list"
    return (line, None) if line else (None, "no text")


def _without_markup(line: str) -> str:
    """Emphasis, code and links of Markdown as plain words."""
    line = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", line)
    line = re.sub(r"(\*{1,3}|`)(\S(?:.*?\S)?)\1", r"\2", line)
    line = re.sub(r"(?<!\w)(_{1,3})(\S(?:.*?\S)?)\1(?!\w)", r"\2", line)
    return " ".join(line.split())


def _unquoted(line: str) -> str:
    """The line without quotation marks around all of it."""
    line = line.strip()
    closing = _QUOTES.get(line[:1])
    inside = line[1:-1]
    return inside.strip() if closing and len(line) > 2 and line[-1] == closing and closing not in inside else line
