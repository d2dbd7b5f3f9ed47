"""A name belongs to one fixed setting: another file does not take its experiment over."""

from pathlib import Path

import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.core.method_catalog import read_files_again
from dualpt.sweeps.launching.earlier_launches import refuse_another_file
from dualpt.sweeps.launching.preview import dry_run
from dualpt.sweeps.ledger.fixed_setting import fixed_text, refuse_other_file
from dualpt.sweeps.ledger.mlflow import Ledger
from tests.core.own_method import SOURCE as OWN
from tests.sweeps.fake_runner import fake_key
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import Declare


def test_another_fixed_setting_is_refused_with_its_keys(declare: Declare, log: Path) -> None:
    train_here(declare(search=None), log)
    other = declare(search=None, setting={"optim.epochs": 3})
    with pytest.raises(UserError, match=r"optim\.epochs: null there, 3 here; .*would mix both; .* name=…"):
        refuse_another_file(other)
    with pytest.raises(UserError, match="another fixed setting"):
        dry_run(other, console=Console(quiet=True), key=fake_key)
    refuse_another_file(declare(search=None, setting={"optim.epochs": 3}, name="another"))


def test_an_edited_method_of_ones_own_is_another_one(declare: Declare, log: Path, tmp_path: Path) -> None:
    file = tmp_path / "pulled.py"
    file.write_text(OWN)
    train_here(declare(search=None, setting={"method": str(file)}), log)
    file.write_text(OWN + "# edited\n")
    read_files_again()
    with pytest.raises(UserError, match=r"another fixed setting \(method.source: .* there, .* here\)"):
        refuse_another_file(declare(search=None, setting={"method": str(file)}))


def test_growth_and_places_are_the_same_sweep(declare: Declare, log: Path) -> None:
    train_here(declare(search=None), log)
    refuse_another_file(declare())
    refuse_another_file(declare(baselines=["coop"], search=None))
    refuse_another_file(declare(search=None, setting={"data.root": "/elsewhere"}))
    refuse_another_file(
        declare(search=None, **{"grid.seeds": [1, 2, 3], "grid.shots": [1, 4], "grid.datasets": ["mini-pets"]})
    )


def test_a_sweep_of_a_former_version_is_taken_as_it_is(declare: Declare, log: Path) -> None:
    sweep = declare(search=None)
    train_here(sweep, log)
    ledger = Ledger(sweep.file.run.tracking_uri)
    row = ledger.read_sweep("small")
    assert row.fixed
    ledger.mark_fixed(row.run_id, "")
    refuse_another_file(declare(search=None, setting={"optim.epochs": 3}))


def test_the_address_of_the_environment_is_the_store_where_none_is_given(
    declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert declare(**{"run.tracking_uri": None}).file.run.tracking_uri == "http://server:5000"
    assert declare().file.run.tracking_uri.startswith("sqlite:///")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert declare(**{"run.tracking_uri": None}).file.run.tracking_uri == "sqlite:///mlflow.db"


def test_a_name_belongs_to_one_selection(declare: Declare) -> None:
    usual, held = declare(), declare(**{"grid.selection": "support-holdout"})
    assert "selection" not in fixed_text(usual)
    with pytest.raises(UserError, match=r"grid\.selection: not used there, support-holdout here"):
        refuse_other_file(held, fixed_text(usual))
    refuse_other_file(held, fixed_text(held))
