"""`data.root=FOLDER` means to `dualpt data` what it means everywhere."""

from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.tools.words import dataset_and_root, names_and_root


def test_names_and_a_root_in_any_order() -> None:
    assert names_and_root(["data.root=R", "EuroSAT", "mini"], None) == (["EuroSAT", "mini"], Path("R"))
    assert names_and_root(None, Path("R")) == ([], Path("R"))
    assert dataset_and_root(["EuroSAT", "data.root=2020"], None) == ("EuroSAT", Path("2020"))
    assert dataset_and_root(["data.root=R"], Path("R")) == (None, Path("R"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optim.epochs=3"], "optim.epochs means nothing here, only data.root does"),
        (["data.rot=3"], "did you mean 'data.root'?"),
        (["data.root=a"], "--root b and data.root=a differ; give one of them"),
        (["data.root="], "data.root=null for the default"),
        (["data.root=[a]"], "data.root: expected a folder, found ['a']"),
        (["=x"], "override '=x' is not of the form key=value"),
        (["EuroSAT", "Food101"], "EuroSAT and Food101: this command takes one dataset"),
    ],
)
def test_what_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        dataset_and_root(words, Path("b"))
    assert said in str(caught.value)
