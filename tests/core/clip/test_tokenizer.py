"""Texts become the ids that open_clip gives them, whatever is in them."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer

from dualpt.core.clip.tokenizer import clip_vocabulary, tokenizer_of

OURS, THEIRS = tokenizer_of(None), SimpleTokenizer()
ODD = (
    "",
    " \t\n",
    "a",
    "banananana aaaa",
    "don't WE'LL 12345 it's",
    "&amp;lt;tag&amp;gt; &eacute;",
    "İstanbul ſt ǅ ﬁ ½ ² Ⅷ ١٢٣",
    "zero\u200bwidth nul\u0000 bell\u0007",
    "👩‍👩‍👧 🇫🇷 日本語 한국어 ไทย",
    "â€œmojibakeâ€\x9d L&AMP;AMP;ATILDE;&AMP;AMP;SUP3;PEZ",
    "<start_of_text> a <END_OF_TEXT>b <|endoftext|>",
)


def same(text: str) -> None:
    ids = THEIRS.encode(text)
    assert OURS.encode(text) == ids
    assert OURS.decode(ids) == THEIRS.decode(ids)


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_odd_texts(text: str) -> None:
    same(text)


@settings(deadline=None, max_examples=300)
@given(st.text())
def test_any_text(text: str) -> None:
    same(text)


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="ab'st<>_ eétË0.,!", max_size=40))
def test_texts_of_a_few_letters(text: str) -> None:
    """Many merges, contractions and marks."""
    same(text)


def test_names_and_descriptions_of_the_field(shared_data: Path) -> None:
    texts: set[str] = set()

    def collect(content: object) -> None:
        if isinstance(content, str):
            texts.add(content)
        elif isinstance(content, dict):
            texts.update(content)
            collect(list(content.values()))
        elif isinstance(content, list):
            for one in content:
                collect(one)

    for file in sorted((shared_data / "classnames").glob("*.txt")):
        texts.update(file.read_text(encoding="utf-8").splitlines())
    for folder in ("classnames", "descriptions"):
        for file in sorted((shared_data / folder).rglob("*.json")):
            collect(json.loads(file.read_text(encoding="utf-8")))
    assert len(texts) > 5000
    for text in sorted(texts)[:: max(1, len(texts) // 20_000)]:
        assert OURS.encode(text) == THEIRS.encode(text), text


def test_ids_and_tokens() -> None:
    assert (OURS.sot_token_id, OURS.eot_token_id) == (THEIRS.sot_token_id, THEIRS.eot_token_id) == (49406, 49407)
    assert OURS.decoder == THEIRS.decoder
    assert clip_vocabulary().merges == tuple(THEIRS.bpe_ranks)


def test_nothing_is_cut_off() -> None:
    assert len(OURS.encode("word " * 200)) == 200
