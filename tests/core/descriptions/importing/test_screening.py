"""What is not a description is recognised; the patterns are those of public banks (CuPL, HPT)."""

import pytest

from dualpt.core.descriptions.importing.screening import fault_of, screened


@pytest.mark.parametrize(
    "text",
    [
        ".",
        "1.",
        "-6.",
        "a.",
        " K.",
        "?.",
        "131.",
        "https://www.",
        "](https://www.",
        "http://www.x.org/a-b.jpg",
        "",
        "<br>",
        "&nbsp;",
    ],
)
def test_texts_without_a_word(text: str) -> None:
    assert fault_of(text) == "no word"


@pytest.mark.parametrize(
    "text",
    [
        "Not applicable",
        "Not applicable.",
        "N/A.",
        "n/a",
        "None.",
        "Unsure.",
        "No answer provided.",
        "There is no answer to this question.",
        "I'm sorry, but I cannot describe it.",
        "I cannot answer this question.",
        "As an AI language model, I cannot see images.",
        "I don’t know.",
        "This question cannot be answered.",
        "There is not enough information to answer this question.",
        "It is impossible to say.",
        "I have no idea.",
        "Unfortunately, your question is incomplete. Please specify which stage and objects you are referring to.",
        "It's difficult to answer without further context.",
        "Sorry, no description.",
        "Not Applicable: class has no visual features",
        "N/A - not a real class",
        "This is not applicable.",
        "Information not available",
        "Does not apply.",
        "None of the above",
        "same as above",
        "It depends.",
        "No.",
        "<description>",
        "[insert description here]",
        "Answer:",
        "&lt;unk&gt;",
        "#REF!",
        "Error 429: rate limit exceeded",
    ],
)
def test_answers_that_say_nothing(text: str) -> None:
    assert fault_of(text) == "no answer"


@pytest.mark.parametrize(
    "text",
    [
        "Green.",
        "A large bird that cannot fly.",
        "None of its petals are open.",
        "Nothing but sand.",
        "A sign with the words not applicable on it.",
        "雪地里的一只鸟。",
        "Ox.",
        "A plane with N/A on its tail.",
        "It can be 1. striped or 2. plain.",
        "It is impossible to tell the male from the female.",
        "A road sign with information to drivers.",
        "Text on a blank page.",
        "Insert a coin beside the lever.",
        "Yes and no on two buttons.",
        "A bird that is not found in towns.",
    ],
)
def test_descriptions(text: str) -> None:
    assert fault_of(text) is None


def test_a_bank_is_divided() -> None:
    kept, dropped = screened({"marlet": ("Striped.", "1.", "N/A"), "finch": ("White.",), "goby": (".",)})
    assert kept == {"marlet": ("Striped.",), "finch": ("White.",), "goby": ()}
    assert dropped == {"marlet": ("1.", "N/A"), "goby": (".",)}
