"""Titles and groups of methods, users' own among them."""

import pytest

from dualpt.core.errors import UserError
from dualpt.core.method_catalog import CATALOGUE
from dualpt.core.presets import METHODS
from dualpt.sweeps.comparison import labels
from dualpt.sweeps.comparison.labels import GROUPS, find_method, group_of, method_title, ordered_methods, short_title
from dualpt.sweeps.records import MethodTitle


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "_OWN_METHODS", {"prior": MethodTitle("Class means, shrunk", "shrunk", "adapter")})


def test_published_methods_stand_in_their_groups() -> None:
    assert ordered_methods(METHODS) == tuple(METHODS)
    assert {group_of(name) for name in METHODS} == set(GROUPS) - {"settings"}
    assert all(group_of(name) == entry.group for name, entry in CATALOGUE.items())
    assert group_of("zero-shot-descriptions") == "zero-shot"
    assert group_of("plot-global") == group_of("dualpt [second]") == "prompt"


def test_own_methods_have_the_titles_and_groups_that_their_sweep_recorded() -> None:
    assert (method_title("prior"), short_title("prior"), group_of("prior")) == (
        "Class means, shrunk",
        "shrunk",
        "adapter",
    )
    assert method_title("prior [second]") == "Class means, shrunk [second]"
    assert ordered_methods(["best", "variant", "coop", "prior", "gda"]) == ("gda", "prior", "coop", "variant", "best")


def test_names_that_no_sweep_explained_stay_names() -> None:
    assert (method_title("unknown"), short_title("unknown"), group_of("unknown")) == ("unknown", "unknown", "settings")


def test_a_method_is_found_by_name_or_title() -> None:
    names = ("coop", "best [a]")
    assert find_method("CoOp", names, "--baseline") == find_method("COOP", names, "--baseline") == "coop"
    assert find_method("best of the sweep [a]", names, "--baseline") == "best [a]"
    with pytest.raises(UserError, match=r"--baseline: no method 'CoOpp' in this table; did you mean 'coop'"):
        find_method("CoOpp", names, "--baseline")
