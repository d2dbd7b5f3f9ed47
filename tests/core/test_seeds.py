"""Seeds as they are written: ranges and `draws(n)` stand for what they say, and slips are one line."""

import pytest

from dualpt.core.seeds import expand_seeds, parse_seeds


def test_draws_are_the_fields_first_ones() -> None:
    assert expand_seeds(["draws(10)"]) == list(range(1, 11))
    assert expand_seeds(["draws(3)"]) == [1, 2, 3]


def test_ranges_and_numbers_mix() -> None:
    assert expand_seeds([0, "5-7", "9-9", 20]) == [0, 5, 6, 7, 9, 20]
    assert parse_seeds("0, 5-7,20") == [0, 5, 6, 7, 20]
    assert parse_seeds("draws(2)") == [1, 2]


def test_what_is_not_text_is_left_to_the_checks_of_numbers() -> None:
    assert expand_seeds([1.5, True, None]) == [1.5, True, None]
    assert parse_seeds("-1") == [-1]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("10-1", "the range '10-1' runs backwards; write 1-10"),
        ("draws(0)", "draws nothing"),
        ("draws(5000)", "is 5,000 seeds; at most 1,000"),
        ("1-1001", "is 1,001 seeds"),
        ("ten", "'ten' names no seed; give numbers such as 1, ranges such as 1-10, or draws"),
        ("draws(-1)", "names no seed"),
        ("", "names no seed"),
        ("1..10", "names no seed"),
        ("١-٣", "names no seed"),
    ],
)
def test_slips_are_one_line(word: str, said: str) -> None:
    for read in (lambda: expand_seeds([word]), lambda: parse_seeds(word)):
        with pytest.raises(ValueError, match=said.replace("(", r"\(")) as fault:
            read()
        assert "\n" not in str(fault.value)
