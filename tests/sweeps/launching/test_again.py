"""A sweep is launched again from its store alone, and how it was launched is on record without its secrets."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualpt.core.errors import UserError
from dualpt.search_spaces.ablation import load_ablation
from dualpt.search_spaces.shipped import shipped_ablation_or_path
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import load_sweep
from dualpt.sweeps.launching.again import ablation_again, sweep_again
from dualpt.sweeps.launching.declaring import open_dispatcher
from dualpt.sweeps.ledger.launch_record import launch_record
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.moving.move import export_sweep, import_archive
from dualpt.sweeps.planning.plan import plan_sweep
from tests.sweeps.fake_runner import fake_key
from tests.sweeps.running import finish, quiet
from tests.sweeps.small_sweep import Declare, declaration


def launched(sweep: LoadedSweep, command: str = "dualpt sweep small.yaml") -> LoadedSweep:
    """The sweep with its launch on record, as a launch leaves it that was killed at once."""
    record = launch_record(sweep, command)
    open_dispatcher(sweep, plan_sweep(sweep), [], fake_key, quiet(), launched=record)
    return sweep


def written(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**declaration(folder), **(changes or {})}))
    return path


@pytest.fixture
def store(declare: Declare, tmp_path: Path) -> str:
    return declare().file.run.tracking_uri


def test_the_store_alone_suffices(store: str, tmp_path: Path) -> None:
    path = written(tmp_path)
    sweep = launched(load_sweep(path, {"trials": 3, "optim.epochs": 7}))
    path.unlink()
    again = sweep_again("small", {"run.tracking_uri": store})
    assert (again.file, again.space, again.reference) == (sweep.file, sweep.space, sweep.reference)
    longer = sweep_again("small", {"run.tracking_uri": store, "trials": 9, "grid.seeds": [1]})
    assert longer.file.search is not None
    assert longer.file.search.trials == 9
    assert longer.file.grid.seeds == [1]


def test_a_search_that_followed_a_narrower_grid_still_does(store: str, tmp_path: Path) -> None:
    narrowed = launched(load_sweep(written(tmp_path), {"grid.seeds": [2]}))
    assert sweep_again("small", {"run.tracking_uri": store}).file == narrowed.file


def test_what_is_recorded(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "correct-horse")
    path = written(tmp_path, {"description": "see http://me:secret-word@host/ and correct-horse"})
    sweep = launched(load_sweep(path, {"trials": 3}), "dualpt sweep small.yaml trials=3 x=http://me:secret-word@host")
    ledger = Ledger(store)
    row = ledger.read_sweep("small")
    run = ledger._client.get_run(row.run_id)
    everything = json.dumps([run.data.tags, run.data.params])
    folder = ledger.artifact(row.run_id, _artifacts(ledger, row.run_id, "launch.json"), tmp_path)
    assert folder is not None
    everything += folder.read_text()
    assert "secret-word" not in everything
    assert "correct-horse" not in everything
    record = json.loads(
        run.data.tags["dualpt.launched"] or "".join(run.data.tags[f"dualpt.launched.{n}"] for n in (1, 2))
    )
    assert record["overrides"] == {"trials": 3}
    assert record["command"] == "dualpt sweep small.yaml trials=3 x=http://me:***@host"
    assert record["resolved"]["search"]["sampler"] == "tpe"
    assert "alignment.llm_weight" in record["resolved"]["search"]["space"]
    assert "torch" in record["software"]
    assert len(record["commit"]) == 40
    assert run.data.params["optim.momentum"] == "0.9"
    assert "alignment.llm_weight" not in run.data.params, "it is searched"
    assert run.data.tags["mlflow.source.git.commit"] == record["commit"]
    assert sweep.file.search is not None


def _artifacts(ledger: Ledger, run_id: str, name: str) -> str:
    found = [file.path for file in ledger._client.list_artifacts(run_id, "launches")]
    return f"{found[0]}/{name}"


def test_an_export_carries_it(store: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = f"sqlite:///{shutil.copy(tmp_path / 'mlflow.db', tmp_path / 'elsewhere')}"
    sweep = launched(load_sweep(written(tmp_path), {"trials": 3}))
    export_sweep(Ledger(store), "small", tmp_path / "small.zip")
    import_archive(tmp_path / "small.zip", other)
    assert sweep_again("small", {"run.tracking_uri": other}).space == sweep.space
    ledger = Ledger(other)
    run_id = ledger.read_sweep("small").run_id
    assert ledger.artifact(run_id, _artifacts(ledger, run_id, "file.yaml"), tmp_path)


def test_an_ablation_too(store: str, tmp_path: Path, declare: Declare) -> None:
    ablation = load_ablation(shipped_ablation_or_path("components"), {"run.tracking_uri": store, "grid.seeds": [1]})
    launched(ablation.sweep, "dualpt ablate components")
    again = ablation_again("components", {"run.tracking_uri": store})
    assert again.sweep.variants == ablation.sweep.variants
    with pytest.raises(UserError, match="is an ablation; use `dualpt ablate --again components`"):
        sweep_again("components", {"run.tracking_uri": store})


def test_a_sweep_of_a_former_version_is_one_line(declare: Declare, log: Path) -> None:
    sweep = declare(search=None)
    finish(open_dispatcher(sweep, plan_sweep(sweep), [], fake_key, quiet()), sweep, log)
    with pytest.raises(UserError, match="keeps no record of how it was launched"):
        sweep_again("small", {"run.tracking_uri": sweep.file.run.tracking_uri})


def test_a_password_is_asked_for_again(declare: Declare) -> None:
    sweep = declare()
    document = {**sweep.origin.document, "run": {"study_storage": "postgresql+psycopg://me:word@host/optuna"}}
    hidden = replace(sweep, origin=replace(sweep.origin, document=document))
    open_dispatcher(
        sweep, plan_sweep(sweep), [], fake_key, quiet(), launched=launch_record(hidden, "dualpt sweep small.yaml")
    )
    with pytest.raises(UserError, match=r"passwords are not kept; give run.study_storage="):
        sweep_again("small", {"run.tracking_uri": sweep.file.run.tracking_uri})
