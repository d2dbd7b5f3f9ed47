"""What a sweep selected, or any trial of it, is trained elsewhere and is the reference of an ablation."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.search_spaces.ablation import load_ablation
from dualpt.search_spaces.shipped import shipped_ablation_or_path
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.launching.earlier_launches import selected_before
from dualpt.sweeps.launching.preview import dry_run
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.trial_settings import trial_setting, trial_values
from dualpt.sweeps.tools.train import cells_of
from tests.sweeps.fake_runner import fake_key, no_notes
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import SPACE, Declare, changed, declaration


@pytest.fixture
def sweep(done: LoadedSweep) -> LoadedSweep:
    return done


def winner(sweep: LoadedSweep) -> tuple[str, dict[str, str]]:
    """Name and recorded values of the best candidate."""
    ledger = Ledger(sweep.file.run.tracking_uri)
    best = ledger.read_sweep("small").best
    assert best is not None
    row = next(row for row in ledger.read_cells("small") if row.trial == best)
    return best, {key: row.params[key] for key in SPACE if key in row.params}


def test_every_name_gives_its_setting(sweep: LoadedSweep) -> None:
    store = sweep.file.run.tracking_uri
    best, values = winner(sweep)
    selected = trial_setting(store, "small").flat()
    assert {key: str(selected[key]) for key in values} == values
    assert trial_setting(store, f"small/{best}").flat() == selected
    assert trial_setting(store, "small/coop").alignment.llm_weight == 0
    (cell,) = cells_of("mini-pets", 2, "1", trial_setting(store, "small"), "few-shot", None, ["optim.epochs=3"])
    assert cell.setting.flat() == {**selected, "optim.epochs": 3}


def test_an_ablation_takes_it_as_its_reference(sweep: LoadedSweep) -> None:
    store = sweep.file.run.tracking_uri
    values = trial_values(store, "small") | {"run.tracking_uri": store, "name": "mine"}
    ablation = load_ablation(shipped_ablation_or_path("components"), values)
    assert ablation.reference.setting == trial_setting(store, "small")
    llm_free = next(one for one in ablation.sweep.variants if one.name == "without LLM alignment")
    assert llm_free.setting.alignment.local_form == ablation.reference.setting.alignment.local_form


def test_a_search_begins_with_a_trial_of_an_earlier_one(sweep: LoadedSweep, tmp_path: Path) -> None:
    best, values = winner(sweep)
    changes = {"name": "next", "search.start_from": [f"sweep:small/{best}"]}
    (point,) = selected_before(check_sweep(changed(declaration(tmp_path), changes), "test"))
    assert {key: str(value) for key, value in point.point.items()} == values


def test_bad_names_are_one_line(sweep: LoadedSweep, declare: Declare, log: Path) -> None:
    store = sweep.file.run.tracking_uri
    with pytest.raises(UserError, match=r"^small/trial-01: .* has no trial 'trial-01'; did you mean 'trial-001'\?"):
        trial_setting(store, "small/trial-01")
    with pytest.raises(UserError, match=r"no sweep named 'smal'.*did you mean 'small'"):
        trial_setting(store, "smal")
    with pytest.raises(UserError, match=r"nowhere/mlflow.db: no such tracking store here"):
        trial_setting("sqlite:///nowhere/mlflow.db", "small")
    train_here(declare(name="bare", search=None), log)
    with pytest.raises(UserError, match=r"sweep 'bare' in .* has selected no setting yet"):
        trial_setting(store, "bare")


def test_several_selected_settings_are_to_be_named(declare: Declare, log: Path) -> None:
    space = {**SPACE, "data.shots": {"choice": [1, 4]}}
    sweep = declare(**{"search.space": space, "grid.shots": [1, 4], "search.trials": 6})
    train_here(sweep, log)
    store = sweep.file.run.tracking_uri
    front = Ledger(store).trial_settings("small")
    assert len(front) == 2
    with pytest.raises(UserError, match=f"name one: small/{next(iter(front))}, small/"):
        trial_setting(store, "small")
    assert trial_setting(store, f"small/{next(iter(front))}").flat() == front[next(iter(front))]


def test_a_look_at_an_older_store_migrates_nothing(sweep: LoadedSweep, tmp_path: Path) -> None:
    """Whatever else opens it makes a copy first (`stores/test_sqlite_files.py`)."""
    store = sweep.file.run.tracking_uri
    path = Path(store.removeprefix("sqlite:///"))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '90e64c465722'")
    content = path.read_bytes()
    with pytest.raises(UserError, match=r"of another MLflow .* would migrate them; leave out --dry-run"):
        trial_values(store, "small", only_looking=True)
    started = check_sweep(changed(declaration(tmp_path), {"search.start_from": ["sweep:small"]}), "test")
    with pytest.raises(UserError, match=r"^search\.start_from: .* would migrate them"):
        selected_before(started, only_looking=True)
    assert path.read_bytes() == content
    assert not list(tmp_path.glob("mlflow.db.before-*"))


def test_a_plan_of_a_sweep_checks_where_its_search_begins(sweep: LoadedSweep, tmp_path: Path) -> None:
    for name, said in (("smal", "no sweep named 'smal'"), ("small/trial-9", "has no trial 'trial-9'")):
        changes = {"name": "next", "search.start_from": [f"sweep:{name}"]}
        begun = check_sweep(changed(declaration(tmp_path), changes), "test")
        with pytest.raises(UserError, match=rf"^search\.start_from: .*{said}"):
            dry_run(begun, console=Console(quiet=True), key=fake_key, notes=no_notes)
