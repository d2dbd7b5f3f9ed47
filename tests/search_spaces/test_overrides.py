"""Overrides on the command line mean what they seem to mean, or are refused."""

import pytest

from dualpt.core.errors import UserError
from dualpt.search_spaces.overrides import parse_overrides, recorded_override


@pytest.mark.parametrize(
    ("word", "value"),
    [("a=3", 3), ("a=1e-3", 1e-3), ("a=[x, y]", ["x", "y"]), ("a=b=c", "b=c"), ("a=null", None), ("a=[x", "[x")],
)
def test_a_value(word: str, value: object) -> None:
    assert parse_overrides([word]) == {"a": value}


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["epochs"], "override 'epochs' is not of the form key=value"),
        (["=3"], "override '=3' is not of the form key=value"),
        (["optim.learning_rate="], "override 'optim.learning_rate=' has no value; write optim.learning_rate=null"),
        (["optim.epochs= "], "has no value"),
        (["a=1", "a=2"], "a is given twice on the command line"),
        (["run.max_hours=1:30"], "run.max_hours: '1:30' can be read as several numbers"),
        (["seeds=[01]"], "seeds: '01' can be read as several numbers"),
    ],
)
def test_what_could_mean_something_else_is_refused(words: list[str], fault: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_overrides(words)
    assert fault in str(refused.value)


@pytest.mark.parametrize(("recorded", "value"), [("None", None), ("0.5", 0.5), ("topk", "topk"), ("True", True)])
def test_a_recorded_value_is_read_back_as_it_was(recorded: str, value: object) -> None:
    assert parse_overrides([recorded_override("a.key", recorded)]) == {"a.key": value}
