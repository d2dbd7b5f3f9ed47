"""What is not a description is recognised; the patterns are those of public banks (CuPL, HPT)."""

import pytest

from dualpt.core.descriptions.importing.screening import fault_of, screened


@pytest.mark.parametrize(
    "text",
    [".", "1.", "-6.", "a.", " K.", "?.", "131.", "https://www.", "](https://www.", "http://www.x.org/a-b.jpg", ""],
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
    ],
)
def test_descriptions(text: str) -> None:
    assert fault_of(text) is None


def test_a_bank_is_divided() -> None:
    kept, dropped = screened({"marlet": ("Striped.", "1.", "N/A"), "finch": ("White.",), "goby": (".",)})
    assert kept == {"marlet": ("Striped.",), "finch": ("White.",), "goby": ()}
    assert dropped == {"marlet": ("1.", "N/A"), "goby": (".",)}
