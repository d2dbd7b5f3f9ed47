"""The ledger on a real SQLite store: what is written, nested, reused, closed, and refused."""

import contextlib
import json
import os
import shutil
import sqlite3
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from dualpt.core.cell import Cell
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.core.presets import method_setting
from dualpt.core.results import CellMetrics
from dualpt.sweeps import records
from dualpt.sweeps.ledger import attempts
from dualpt.sweeps.ledger.attempts import CellRecord
from dualpt.sweeps.ledger.contents import CURVE_POINTS
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.records import KeyedCell, TrialRef
from dualpt.sweeps.stores import Collision
from tests.sweeps.fake_runner import FakeResult, FakeRunner, fake_key

SETTING = Setting().with_values({"alignment.llm_weight": 1.0})


@pytest.fixture(scope="module")
def uri(fresh_stores: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One store for all tests, each with its own experiment."""
    return f"sqlite:///{shutil.copy(fresh_stores / 'mlflow.db', tmp_path_factory.mktemp('store'))}"


@pytest.fixture
def ledger(uri: str) -> Ledger:
    return Ledger(uri)


@pytest.fixture
def client(uri: str, ledger: Ledger) -> MlflowClient:
    return MlflowClient(uri)


@pytest.fixture
def trial(ledger: Ledger, request: pytest.FixtureRequest) -> TrialRef:
    return open_trial(ledger, request.node.name)


def open_trial(ledger: Ledger, sweep: str, name: str = "dualpt", setting: Setting = SETTING) -> TrialRef:
    experiment = ledger.experiment(sweep, "what it is for")
    return ledger.open_trial(experiment, ledger.open_sweep(experiment, sweep), sweep, name, "baseline", setting)


def keyed(seed: int = 1, shots: int = 4, setting: Setting = SETTING) -> KeyedCell:
    cell = Cell(setting, "mini-pets", "few-shot", shots, seed)
    return KeyedCell(cell, fake_key(cell))


def result(cell: KeyedCell) -> FakeResult:
    return FakeRunner(Path(os.devnull)).run([cell.cell])[0]


def record(ledger: Ledger, trial: TrialRef, cell: KeyedCell, seconds: float = 0.0) -> str:
    return ledger.record(trial, cell, result(cell), seconds)  # type: ignore[arg-type]


def begin(client: MlflowClient, record: CellRecord) -> str:
    """What a worker that is killed at once leaves of a record: a run without parameters."""
    return client.create_run(record.experiment_id, tags=dict(record.tags)).info.run_id


def test_a_cell_is_whole_and_nested(ledger: Ledger, client: MlflowClient, trial: TrialRef) -> None:
    cell = keyed()
    run = client.get_run(record(ledger, trial, cell, seconds=2.5))
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == pytest.approx(2500, abs=300)
    assert run.data.tags[records.KEY_TAG] == cell.key
    assert run.data.tags[records.LEVEL_TAG] == "cell"
    assert run.data.tags[records.PARENT_TAG] == trial.run_id
    assert run.data.params["alignment.llm_weight"] == "1.0"
    assert run.data.params["data.shots"] == "4"
    assert run.data.metrics["val/accuracy"] == pytest.approx(84.51)
    parent = client.get_run(trial.run_id)
    assert client.get_run(parent.data.tags[records.PARENT_TAG]).data.tags[records.LEVEL_TAG] == "sweep"
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.name == "mini-pets"
    assert (result(cell).sample_fingerprint or "").startswith(dataset.dataset.digest)


def test_artifacts_are_small_and_beside_the_store(
    ledger: Ledger, client: MlflowClient, trial: TrialRef, uri: str
) -> None:
    run_id = record(ledger, trial, keyed())
    assert {file.path for file in client.list_artifacts(run_id)} == {"setting.json", "per_class.json"}
    folder = Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://"))
    assert Path(uri.removeprefix("sqlite:///")).parent in folder.parents
    assert json.loads((folder / "setting.json").read_text()) == SETTING.flat()


def test_learned_contexts_can_be_loaded_back(ledger: Ledger, client: MlflowClient, trial: TrialRef) -> None:
    import torch

    from dualpt.core.learned.prompts import LearnedPrompts, load_prompts
    from dualpt.core.prompts.contexts_file import load_contexts

    cell = keyed()
    prompts = LearnedPrompts(torch.arange(6.0).reshape(1, 2, 3), cell.cell, cell.key, ("beagle", "pug"), None, "f" * 64)
    run_id = ledger.record(trial, cell, replace(result(cell), prompts=prompts), 0.0)  # type: ignore[arg-type]
    folder = Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://"))
    loaded, metadata = load_contexts(folder / "contexts.safetensors")
    assert torch.equal(loaded, prompts.contexts)
    assert metadata["cell_key"] == cell.key
    assert load_prompts(folder / "contexts.safetensors").cell == cell.cell


def test_a_long_loss_curve_is_thinned_and_keeps_its_end(ledger: Ledger, client: MlflowClient, trial: TrialRef) -> None:
    cell = keyed()
    curve = tuple(float(1000 - epoch) for epoch in range(950))
    run_id = ledger.record(trial, cell, replace(result(cell), loss_curve=curve), 0.0)  # type: ignore[arg-type]
    history = client.get_metric_history(run_id, "train/loss")
    assert CURVE_POINTS / 2 < len(history) <= CURVE_POINTS
    assert (history[-1].step, history[-1].value) == (950, 51.0)
    assert client.get_run(run_id).data.metrics["train/loss"] == 51.0


def test_failures_are_recorded_with_their_reason(ledger: Ledger, client: MlflowClient, trial: TrialRef) -> None:
    run_id = ledger.record_failure(trial, keyed(91), "RuntimeError: out of memory", 1.0, "Traceback: where it was")
    assert {file.path for file in client.list_artifacts(run_id)} == {"failure.txt"}
    failed = replace(result(keyed(92)), failure="loss is not finite", metrics=CellMetrics())
    ledger.record(trial, keyed(92), failed, 0.0)  # type: ignore[arg-type]
    rows = ledger.cells(trial.experiment_id)
    assert {row.failure for row in rows} == {"RuntimeError: out of memory", "loss is not finite"}
    assert {row.status for row in rows} == {"FAILED"}
    assert not {row.key for row in rows} & set(ledger.finished_cells())


def test_a_finished_cell_is_found_from_any_experiment_and_reused(
    ledger: Ledger, client: MlflowClient, trial: TrialRef
) -> None:
    cell = keyed(seed=77)
    source = record(ledger, trial, cell, seconds=3.0)
    assert ledger.finished_cells()[cell.key].run_id == source
    elsewhere = open_trial(ledger, f"{trial.sweep} again")
    third = ledger.reuse(ledger.reuse(source, elsewhere, cell), elsewhere, cell)
    run = client.get_run(third)
    assert run.data.tags[records.REUSED_TAG] == source
    assert run.data.metrics["test/accuracy"] == pytest.approx(53.0)
    (row,) = ledger.read_cells(f"{trial.sweep} again")
    assert (row.finished, row.seed, row.seconds) == (True, 77, pytest.approx(3.0, abs=0.5))


def test_orphans_are_closed_and_never_count(ledger: Ledger, client: MlflowClient, trial: TrialRef) -> None:
    cell = keyed()
    orphan = begin(client, attempts.failed(trial, cell, "cut off"))
    assert ledger.read_cells(trial.sweep) == []
    assert ledger.close_orphans(trial.experiment_id) == 1
    assert client.get_run(orphan).info.status == "KILLED"
    assert ledger.close_orphans(trial.experiment_id) == 0


def test_trials_and_sweeps_are_reopened_and_not_doubled(ledger: Ledger, client: MlflowClient, trial: TrialRef) -> None:
    ledger.close_trial(trial, "FINISHED")
    assert open_trial(ledger, trial.sweep) == trial
    assert client.get_run(trial.run_id).info.status == "RUNNING"
    assert len(client.search_runs([trial.experiment_id])) == 2


def test_a_trial_of_an_earlier_version_gets_the_parameters_it_lacks(
    ledger: Ledger, client: MlflowClient, trial: TrialRef, uri: str
) -> None:
    """Those it has stay, since MLflow changes none; a data root that has moved is no other setting."""
    before = client.get_run(trial.run_id).data.params
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as store, store:
        deleted = store.execute("DELETE FROM params WHERE run_uuid = ? AND key = 'optim.momentum'", (trial.run_id,))
        assert deleted.rowcount == 1
    assert open_trial(ledger, trial.sweep, setting=SETTING.with_values({"data.root": "elsewhere"})) == trial
    assert client.get_run(trial.run_id).data.params == before
    assert ledger.trial_settings(trial.sweep + "/dualpt")["dualpt"]["alignment.llm_weight"] == 1.0


def test_another_setting_under_the_same_name_supersedes(ledger: Ledger, trial: TrialRef) -> None:
    record(ledger, trial, keyed())
    changed = SETTING.with_values({"optim.epochs": 3})
    after = open_trial(ledger, trial.sweep, setting=changed)
    assert after.run_id != trial.run_id
    assert ledger.read_cells(trial.sweep) == []
    assert open_trial(ledger, trial.sweep) == trial, "the first setting again: its run is current again"
    assert len(ledger.read_cells(trial.sweep)) == 1


def test_a_trial_is_closed_with_its_grid_aggregates(ledger: Ledger, client: MlflowClient, trial: TrialRef) -> None:
    for seed in (1, 2, 3):
        record(ledger, trial, keyed(seed))
    ledger.close_trial(trial, "FINISHED")
    run = client.get_run(trial.run_id)
    assert run.data.metrics["grid/mini-pets/val/accuracy"] == pytest.approx(84.52)
    assert run.data.metrics["grid/mean/test/accuracy"] == pytest.approx(53.0)
    assert run.data.metrics["grid/cells"] == 3
    assert run.info.status == "FINISHED"


def test_aggregates_of_named_cells_are_those_of_all(ledger: Ledger, client: MlflowClient, trial: TrialRef) -> None:
    cells = [record(ledger, trial, keyed(seed)) for seed in (1, 2, 3)]
    cells.append(ledger.record_failure(trial, keyed(4), "no memory"))
    ledger.close_trial(trial, "FAILED")
    searched = client.get_run(trial.run_id).data.metrics
    again = open_trial(ledger, f"{trial.sweep} again")
    ledger.close_trial(again, "FAILED", cells=cells)
    assert client.get_run(again.run_id).data.metrics == searched
    assert searched["grid/cells"] == 3


def test_a_new_trial_is_looked_for_only_where_its_opening_is_repeated(
    ledger: Ledger, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = ledger.experiment("opened once")
    sweep = ledger.open_sweep(experiment, "opened once")
    begin_run, searched = ledger._client.create_run, []

    def answer_lost(*args: object, **kwargs: object) -> object:
        monkeypatch.setattr(ledger._client, "create_run", begin_run)
        begin_run(*args, **kwargs)  # type: ignore[arg-type]
        raise Collision("the run is there, and its answer is not")

    find = ledger._client.search_runs
    monkeypatch.setattr(ledger._client, "search_runs", lambda *a, **k: searched.append(a) or find(*a, **k))
    first = ledger.open_trial(experiment, sweep, "opened once", "trial-001", "search", SETTING, new=True)
    assert searched == []
    monkeypatch.setattr(ledger._client, "create_run", answer_lost)
    second = ledger.open_trial(experiment, sweep, "opened once", "trial-002", "search", SETTING, new=True)
    assert len(searched) == 1
    runs = client.search_runs([experiment], f"tags.`{records.LEVEL_TAG}` = 'trial'")
    assert {run.info.run_id for run in runs} == {first.run_id, second.run_id}
    assert {len(run.data.params) for run in runs} == {len(SETTING.flat())}


def test_zero_shot_cells_are_recorded_without_a_sample(ledger: Ledger, client: MlflowClient) -> None:
    setting = method_setting("zero-shot")
    trial = open_trial(ledger, "zero", "zero-shot", setting)
    cell = keyed(seed=0, shots=0, setting=setting)
    sampleless = replace(result(cell), sample_fingerprint=None, loss_curve=())
    run = client.get_run(ledger.record(trial, cell, sampleless, 0.0))  # type: ignore[arg-type]
    assert "prompt.n_prompts" not in run.data.params
    assert "val/accuracy" not in run.data.metrics


def test_rows_hold_what_a_table_needs(ledger: Ledger, trial: TrialRef) -> None:
    record(ledger, trial, keyed())
    (row,) = ledger.read_cells(trial.sweep)
    flat = row.flat()
    assert flat["trial"] == "dualpt"
    assert (flat["dataset"], flat["protocol"], flat["shots"], flat["seed"]) == ("mini-pets", "few-shot", 4, 1)
    assert flat["test/accuracy"] == pytest.approx(53.0)


def test_an_unknown_sweep_is_answered_with_the_known_ones(ledger: Ledger, trial: TrialRef) -> None:
    with pytest.raises(UserError, match=trial.sweep):
        ledger.read_cells("nowhere")


def test_a_deleted_experiment_is_explained(ledger: Ledger, client: MlflowClient, trial: TrialRef) -> None:
    client.delete_experiment(trial.experiment_id)
    with pytest.raises(UserError, match="restore"):
        ledger.experiment(trial.sweep)


@pytest.mark.parametrize(
    ("bad", "remedy"),
    [
        ("sqlite:////dev/null/mlflow.db", "cannot be written"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("./mlruns", "plain files"),
        ("file:///tmp/mlruns", "plain files"),
        ("http://127.0.0.1:9", "no MLflow server answers"),
        ("ftp://example.org", "ftp"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line(bad: str, remedy: str) -> None:
    with pytest.raises(UserError, match=remedy) as caught:
        Ledger(bad)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("These are notes, and no database at all. " * 30)
    with pytest.raises(UserError, match="cannot be written"):
        Ledger(f"sqlite:///{tmp_path / 'notes.db'}")


def test_a_server_that_is_no_mlflow_is_one_line() -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(UserError, match="tracking store") as caught:
        Ledger(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    assert "\n" not in str(caught.value)


def test_mlflow_variables_of_an_enclosing_run_change_nothing(
    uri: str, trial: TrialRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", trial.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "elsewhere")
    run_id = record(Ledger(uri), trial, keyed())
    run = MlflowClient(uri).get_run(run_id)
    assert run_id != trial.run_id
    assert run.info.experiment_id == trial.experiment_id


def test_a_relative_store_is_the_same_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uri = Ledger("sqlite:///here.db").uri
    assert uri == f"sqlite:///{tmp_path}/here.db"
    monkeypatch.chdir("/")
    assert Ledger(uri, create=False).find_experiment("x") is None
    Ledger(uri).experiment("x")
    monkeypatch.chdir(tmp_path)
    assert Ledger("sqlite:///here.db").find_experiment("x") is not None


@pytest.mark.parametrize(
    "name", ["a;b", "a -- b", "a\\", "/* x", "100%", "ViT-B/16", "x = :p", "ä" * 200, "costs $5 {b}"]
)
def test_any_name_finds_its_trial_again(ledger: Ledger, name: str) -> None:
    """The name is part of MLflow's query."""
    experiment = ledger.experiment("named")
    sweep = ledger.open_sweep(experiment, "named")
    first, second = (ledger.open_trial(experiment, sweep, "named", name, "variant", SETTING) for _ in range(2))
    assert first == second
    assert first.name == name
