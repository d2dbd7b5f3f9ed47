"""Options of baselines go with them."""

from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep_file import load_sweep
from tests.search_spaces.documents.test_fixing import demo


def test_options_of_baselines_that_are_overridden_go_with_them() -> None:
    assert "gda.views" in demo().file.base_values()
    assert "gda.views" not in demo("baselines=[coop]").file.base_values()
    assert demo("baselines=[coop, gda]").file.base_values()["gda.views"] == 2
    with pytest.raises(UserError, match=r"gda\.views belongs to the method gda"):
        demo("baselines=[coop]", "gda.views=3")


def test_options_of_baselines_that_an_extending_file_takes_away_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: demo\nbaselines: [gda]\nsetting: {gda.views: 4}\n")
    values = load_sweep(file).file.base_values()
    assert values["gda.views"] == 4
    assert not {"clap.views", "linear-probe.views"} & values.keys()
