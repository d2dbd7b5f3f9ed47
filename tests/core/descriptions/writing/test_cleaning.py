"""Answers as models give them: what can be saved becomes one description, and the rest has a reason."""

import pytest

from dualpt.core.descriptions.writing.cleaning import Answer, Rules, clean, sentence_key, split_sentences

RULES = Rules(context_length=20, count_tokens=lambda text: len(text.split()))
GOOD = "A marlet has a striped coat and round ears."


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"  {GOOD}\n",
        f'"{GOOD}"',
        f"“{GOOD}”",
        f"**{GOOD}**",
        "A *marlet* has a **striped coat** and `round ears`.",
        "A [marlet](http://example.org) has a striped coat and round ears.",
        f"Sure! Here is a description:\n\n{GOOD}",
        f"Certainly, here's one: {GOOD}",
        f"Sure. {GOOD}",
        f"Caption: {GOOD}",
        f"## Marlet\n\n{GOOD}",
        f"**Marlet:**\n{GOOD}",
        f"1. {GOOD}",
        f"- {GOOD}",
        f"<think>What is a marlet? - a pet</think>\n\n{GOOD}",
        f"a pet, I think.</think>{GOOD}",
        f"{GOOD}\n\nLet me know if you need more!",
        "A marlet has a striped coat\nand round ears.",
        f"{GOOD} It often lies on a sofa in a large and sunny room with plants and many books.",
    ],
)
def test_what_becomes_one_description(text: str) -> None:
    assert clean(Answer(text, whole=True), "marlet", RULES).text == GOOD


def test_several_sentences_stay_where_they_fit() -> None:
    text = f"{GOOD} Its tail is long."
    assert clean(Answer(text, whole=True), "marlet", RULES).text == text


@pytest.mark.parametrize(
    ("text", "whole", "reason"),
    [
        ("", True, "no text"),
        (" \n", True, "no text"),
        ("Marlet.", True, "no text"),
        ("12 34 56 78", True, "no text"),
        ("A marlet\x00 has a striped coat.", True, "unreadable"),
        ("A marlet \ufffd\ufffd has a coat.", True, "unreadable"),
        ("I'm sorry, but I can't describe that.", True, "refusal"),
        ("I’m sorry, but I cannot help with this.", True, "refusal"),
        ("As an AI language model, I have never seen a marlet.", True, "refusal"),
        ("Could you please provide more about the marlet.", True, "refusal"),
        ("- a striped coat\n- round ears", True, "list"),
        ("Features:\n1. a striped coat\n2. round ears", True, "list"),
        ("It has: 1) a striped coat 2) round ears", True, "list"),
        ("```\nA marlet has a coat.\n```", True, "markup"),
        ("| part | colour |\n|---|---|\n| coat | blue |", True, "markup"),
        ("<p>A marlet has a striped coat.</p>", True, "markup"),
        ("Is a marlet striped or plain?", True, "question"),
        ("A marlet has a striped coat and round", False, "cut off"),
        ("<think>What is a marlet, and what does", False, "cut off"),
        ("A marlet " + "very " * 20 + "striped.", True, "too long"),
    ],
)
def test_what_is_rejected(text: str, whole: bool, reason: str) -> None:
    cleaned = clean(Answer(text, whole), "marlet", RULES)
    assert (cleaned.text, cleaned.reason) == (None, reason)


def test_an_answer_at_the_limit_keeps_its_whole_sentences() -> None:
    assert clean(Answer(f"{GOOD} Its tail is", whole=False), "marlet", RULES).text == GOOD
    assert clean(Answer(GOOD, whole=False), "marlet", RULES).text == GOOD


def test_start_and_end_token_count() -> None:
    words = "A marlet has " + "very " * 14 + "soft"
    assert clean(Answer(words, whole=True), "marlet", RULES).text == words  # 18 words and 2 tokens
    assert clean(Answer(f"{words} fur", whole=True), "marlet", RULES).reason == "too long"


def test_whether_the_class_may_be_named() -> None:
    unnamed = "It has a striped coat and round ears."
    required = Rules(20, RULES.count_tokens, "required")
    forbidden = Rules(20, RULES.count_tokens, "forbidden")
    assert clean(Answer(GOOD, True), "marlet", required).text == GOOD
    assert clean(Answer(unnamed, True), "marlet", required).reason == "does not name the class"
    assert clean(Answer(unnamed, True), "marlet", forbidden).text == unnamed
    assert clean(Answer(GOOD, True), "marlet", forbidden).reason == "names the class"


def test_abbreviations_end_no_sentence() -> None:
    text = 'A St. Bernard is large, e.g. 80 kg. It is "brown and white." It lies.'
    assert split_sentences(text) == ["A St. Bernard is large, e.g. 80 kg.", 'It is "brown and white."', "It lies."]


@pytest.mark.parametrize("text", ["An artificial lake lies in a park.", "It serves as an artificial pond in a park."])
def test_words_that_only_look_like_a_refusal(text: str) -> None:
    assert clean(Answer(text, True), "lake", RULES).text == text


def test_duplicates_are_told_by_their_words() -> None:
    assert sentence_key("A  striped coat.") == sentence_key("a striped, coat")
    assert sentence_key("A striped coat.") != sentence_key("A striped tail.")
