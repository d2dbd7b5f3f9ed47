"""Sweeps between stores: all of a sweep, once, and nothing of a file that is not whole or not ours."""

import json
import math
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow.tracking import MlflowClient

from dualpt.core.errors import UserError
from dualpt.core.learned.prompts import LearnedPrompts, load_prompts
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps import records
from dualpt.sweeps.launching.status import status_of
from dualpt.sweeps.ledger.cell_names import cell_of, find_cell, prompts_of
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.moving import move
from dualpt.sweeps.moving.archive import Archive
from dualpt.sweeps.moving.move import export_sweep, import_archive
from dualpt.sweeps.records import KeyedCell
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import SPACE, changed, declaration

LESS = {"grid.datasets": ["mini-pets", "mini-cars"], "search.trials": 2}


@pytest.fixture(scope="module")
def sweep(fresh_stores: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedSweep:
    """A part of the small sweep, trained once for all tests, which leave its store as it is."""
    folder = Path(shutil.copytree(fresh_stores, tmp_path_factory.mktemp("here"), dirs_exist_ok=True))
    loaded = check_sweep(changed(declaration(folder), LESS), "test")
    train_here(loaded, folder / "trained.log")
    return loaded


@pytest.fixture(scope="module")
def archive(sweep: LoadedSweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "small.zip"
    export_sweep(Ledger(sweep.file.run.tracking_uri), "small", path)
    return path


@pytest.fixture
def elsewhere(fresh_stores: Path, tmp_path: Path) -> str:
    (tmp_path / "elsewhere").mkdir()
    return f"sqlite:///{shutil.copy(fresh_stores / 'mlflow.db', tmp_path / 'elsewhere')}"


def content(uri: str) -> list[tuple[object, ...]]:
    """What tables and launches read of the small sweep, without ids and times of recording."""
    rows = Ledger(uri).read_cells("small")
    return sorted(
        (
            *(row.trial, row.kind, row.key, row.status, row.seconds, row.reused_from is not None),
            *(str(sorted(values.items())) for values in (row.metrics, row.params, row.origin)),
        )
        for row in rows
    )


def test_an_imported_sweep_is_the_exported_one(sweep: LoadedSweep, archive: Path, elsewhere: str) -> None:
    uri = sweep.file.run.tracking_uri
    done = import_archive(archive, elsewhere)
    assert (done.added, done.known, done.kept) == (len(Ledger(uri).read_cells("small")), 0, 0)
    assert content(elsewhere) == content(uri)
    assert set(Ledger(elsewhere).finished_cells()) == set(Ledger(uri).finished_cells())  # known to launches
    before, after = (Ledger(store).read_sweep("small") for store in (uri, elsewhere))
    assert replace(before, run_id=after.run_id) == after


def test_runs_nest_and_keep_history_inputs_and_artifacts(sweep: LoadedSweep, archive: Path, elsewhere: str) -> None:
    import_archive(archive, elsewhere)
    client, ledger = MlflowClient(elsewhere), Ledger(elsewhere)
    row = next(row for row in ledger.read_cells("small") if row.trial == "coop")
    run = client.get_run(row.run_id)
    trial = client.get_run(run.data.tags[records.PARENT_TAG])
    assert trial.data.tags[records.LEVEL_TAG] == "trial"
    assert "grid/mean/val/accuracy" in trial.data.metrics
    assert client.get_run(trial.data.tags[records.PARENT_TAG]).data.tags[records.LEVEL_TAG] == "sweep"
    assert [(p.step, p.value) for p in client.get_metric_history(row.run_id, "train/loss")] == [
        (1, 2.0),
        (2, 1.0),
        (3, 0.5),
    ]
    assert run.inputs.dataset_inputs[0].dataset.name == row.dataset
    assert {file.path for file in client.list_artifacts(row.run_id)} == {"setting.json", "per_class.json"}


def test_importing_twice_adds_nothing(archive: Path, elsewhere: str) -> None:
    first = import_archive(archive, elsewhere)
    before = content(elsewhere)
    second = import_archive(archive, elsewhere)
    assert (second.added, second.known) == (0, first.added)
    assert content(elsewhere) == before


def test_cells_that_are_here_are_kept(sweep: LoadedSweep, archive: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{shutil.copy(sweep.file.run.tracking_uri.removeprefix('sqlite:///'), tmp_path)}"
    before = content(uri)
    done = import_archive(archive, uri)
    assert done.added == 0
    assert done.kept == len(before)
    assert content(uri) == before


def test_another_setting_of_the_same_name_is_recorded_and_not_shown(archive: Path, elsewhere: str, log: Path) -> None:
    """Here `coop` has other epochs than in the archive."""
    folder = Path(elsewhere.removeprefix("sqlite:///")).parent
    changes = {**LESS, "setting": {"optim.epochs": 7}, "search": None, "search.trials": None, "baselines": ["coop"]}
    train_here(check_sweep(changed(declaration(folder), changes), "test"), log)
    before = content(elsewhere)
    assert import_archive(archive, elsewhere).superseded == 1
    shown = [row for row in Ledger(elsewhere).read_cells("small") if row.trial == "coop"]
    assert {row.params["optim.epochs"] for row in shown} == {"7"}
    assert set(before) <= set(content(elsewhere))


def test_an_import_that_was_cut_off_is_finished_by_the_next(
    archive: Path, elsewhere: str, sweep: LoadedSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    create = move.create

    def create_some(*arguments: object) -> str:
        written.append(create(*arguments))  # type: ignore[arg-type]
        if len(written) == 7:
            raise KeyboardInterrupt
        return written[-1]

    monkeypatch.setattr(move, "create", create_some)
    with pytest.raises(KeyboardInterrupt):
        import_archive(archive, elsewhere)
    monkeypatch.setattr(move, "create", create)
    import_archive(archive, elsewhere)
    assert content(elsewhere) == content(sweep.file.run.tracking_uri)


def test_contexts_of_reused_cells_travel(sweep: LoadedSweep, tmp_path: Path, elsewhere: str) -> None:
    """A second sweep copies a cell of the first; only the second is exported, and its contexts are there."""
    ledger = Ledger(sweep.file.run.tracking_uri)
    row = next(row for row in ledger.read_cells("small") if row.trial == "coop")
    with ledger.calls() as client:
        folder = Path(client.get_run(row.run_id).info.artifact_uri.removeprefix("file://"))
    from dualpt.core.learned.prompts import save_prompts

    cell = cell_of(ledger, row, {})
    learned = LearnedPrompts(torch.ones(1, 2, 3), cell, row.key, ("a", "b"), None, "w")
    save_prompts(folder / "contexts.safetensors", learned)
    experiment = ledger.experiment("second")
    trial = ledger.open_trial(
        experiment, ledger.open_sweep(experiment, "second"), "second", "coop", "baseline", cell.setting
    )
    ledger.reuse(row.run_id, trial, KeyedCell(cell, row.key))
    export_sweep(ledger, "second", tmp_path / "second.zip")
    import_archive(tmp_path / "second.zip", elsewhere)
    there = Ledger(elsewhere)
    assert torch.equal(prompts_of(there, find_cell(there, "second/coop"), {}).contexts, learned.contexts)
    assert load_prompts(folder / "contexts.safetensors").cell_key == row.key


def rewritten(archive: Path, folder: Path, changes: dict[str, bytes | None]) -> Path:
    """A copy of an archive with entries replaced, added, or, where None, left out."""
    path = folder / f"changed-{len(list(folder.iterdir()))}.zip"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w") as target:
        kept = {name: source.read(name) for name in source.namelist() if name not in changes}
        for name, data in {**kept, **changes}.items():
            if data is not None:
                target.writestr(name, data)
    return path


def first_artifact(archive: Path) -> str:
    with Archive(archive) as opened:
        run = next(run for run in opened.runs if run.artifacts)
    return f"artifacts/{run.id}/{run.artifacts[0]}"


@pytest.mark.parametrize("name", ["artifacts/x/../../../evil", "/etc/evil", "artifacts/x/C:\\evil"])
def test_names_that_lead_out_of_the_archive_are_refused(
    archive: Path, tmp_path: Path, elsewhere: str, name: str
) -> None:
    changed = rewritten(archive, tmp_path, {name: b"evil"})
    with pytest.raises(UserError, match="leads out of the archive"):
        import_archive(changed, elsewhere)
    assert Ledger(elsewhere).sweeps() == []


def test_damaged_and_foreign_files_are_refused_before_the_store_is_made(archive: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'never' / 'mlflow.db'}"
    manifest = json.loads(zipfile.ZipFile(archive).read("manifest.json"))
    whole = archive.read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.zip").write_bytes(_flipped(whole, archive))
    (tmp_path / "text.zip").write_text("hello")
    for path, said in [
        (tmp_path / "none.zip", "no such archive"),
        (tmp_path / "cut.zip", "damaged"),
        (tmp_path / "flipped.zip", "damaged"),
        (tmp_path / "text.zip", "damaged, or no archive"),
        (rewritten(archive, tmp_path, {"manifest.json": None}), "not an archive of `dualpt export`"),
        (
            rewritten(archive, tmp_path, {"manifest.json": json.dumps({**manifest, "schema": 2}).encode()}),
            "schema version 2",
        ),
        (rewritten(archive, tmp_path, {"runs.jsonl": b"{}"}), "damaged"),
        (rewritten(archive, tmp_path, {first_artifact(archive): None}), "does not hold the runs and files it lists"),
        (rewritten(archive, tmp_path, {"extra.py": b"1"}), "which no sweep has"),
    ]:
        with pytest.raises(UserError, match=said):
            import_archive(path, store)
    assert not (tmp_path / "never").exists()


def _flipped(whole: bytes, archive: Path) -> bytes:
    """One bit of an artifact's packed content turned."""
    with zipfile.ZipFile(archive) as opened:
        entry = opened.getinfo(first_artifact(archive))
    place = entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2
    return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


def test_export_refuses_what_is_not_there_and_writes_whole_files(sweep: LoadedSweep, tmp_path: Path) -> None:
    ledger = Ledger(sweep.file.run.tracking_uri)
    with pytest.raises(UserError, match="did you mean 'small'"):
        export_sweep(ledger, "smal", tmp_path / "a.zip")
    with pytest.raises(UserError, match="cannot be written"):
        export_sweep(ledger, "small", Path("/proc/none/a.zip"))
    assert not list(tmp_path.glob("*a.zip*"))


# Stores that were copied or moved


@pytest.fixture
def moved(sweep: LoadedSweep, tmp_path: Path) -> str:
    """A copy of the sweep's store with its artifacts, in another folder."""
    here = Path(sweep.file.run.tracking_uri.removeprefix("sqlite:///")).parent
    return f"sqlite:///{shutil.copytree(here, tmp_path / 'moved store') / 'mlflow.db'}"


def test_a_copied_store_reads_its_own_artifacts(sweep: LoadedSweep, moved: str, tmp_path: Path) -> None:
    original, copy = Ledger(sweep.file.run.tracking_uri), Ledger(moved)
    row = next(row for row in copy.read_cells("small") if row.trial == "coop")
    found = copy.artifact(row.run_id, "setting.json", tmp_path)
    assert found is not None
    assert tmp_path / "moved store" in found.parents
    assert copy.trial_settings("small") == original.trial_settings("small")
    assert export_sweep(copy, "small", tmp_path / "a.zip") == export_sweep(original, "small", tmp_path / "b.zip")


def test_a_sweep_goes_on_beside_the_store_in_use(sweep: LoadedSweep, moved: str, tmp_path: Path, log: Path) -> None:
    original = Path(sweep.file.run.tracking_uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    before = {path: path.stat().st_mtime_ns for path in original.rglob("*")}
    changes = {**LESS, "grid.seeds": [1, 2, 3, 4]}
    continued = check_sweep(changed(declaration(tmp_path / "moved store"), changes), "test")
    train_here(continued, log)
    assert {path: path.stat().st_mtime_ns for path in original.rglob("*")} == before
    new = [row for row in Ledger(moved).read_cells("small") if row.seed == 4 and row.reused_from is None]
    assert new
    for row in new:
        found = Ledger(moved).artifact(row.run_id, "setting.json", tmp_path)
        assert found is not None
        assert tmp_path / "moved store" in found.parents


def test_files_that_are_missing_are_said_and_export_refuses(
    sweep: LoadedSweep, moved: str, tmp_path: Path, elsewhere: str
) -> None:
    original = Path(sweep.file.run.tracking_uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    hidden = original.rename(tmp_path / "hidden")
    try:
        shutil.rmtree(tmp_path / "moved store" / "mlartifacts")
        ledger = Ledger(moved)
        row = next(row for row in ledger.read_cells("small") if row.trial == "coop")
        with pytest.raises(UserError, match=r"has no setting.json .*copy the mlartifacts folder"):
            cell_of(ledger, row, {})
        with pytest.raises(UserError, match=r"the setting of 'best' has no setting.json"):
            ledger.trial_settings("small")
        with pytest.raises(UserError, match="--without-files"):
            export_sweep(ledger, "small", tmp_path / "a.zip")
        assert not (tmp_path / "a.zip").exists()
        assert export_sweep(ledger, "small", tmp_path / "a.zip", without_files=True).artifacts == 0
    finally:
        hidden.rename(original)
    import_archive(tmp_path / "a.zip", elsewhere)
    assert content(elsewhere) == content(moved)


def test_a_damaged_setting_is_one_line(moved: str, tmp_path: Path) -> None:
    ledger = Ledger(moved)
    row = next(row for row in ledger.read_cells("small") if row.trial == "coop" and row.reused_from is None)
    file = ledger.artifact(row.run_id, "setting.json", tmp_path)
    assert file is not None
    for damaged in (b"\x93", b"{", b"3", b""):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"^{file}: .*put a copy in its place") as caught:
            cell_of(ledger, row, {})
        assert "\n" not in str(caught.value)


def test_a_setting_of_another_run_is_refused_wherever_it_is_read(moved: str, tmp_path: Path) -> None:
    """Two candidates of one sweep differ in what is searched: the file of one was put in place of the other's."""
    ledger = Ledger(moved)
    rows = [row for row in ledger.read_cells("small") if row.kind == "search" and row.reused_from is None]
    one = rows[0]
    other = next(row for row in rows if row.trial != one.trial)
    trials = {row.ref.name: row.ref.run_id for row in ledger.trials(ledger.named_experiment("small"))}
    key = next(key for key in SPACE if one.params.get(key) != other.params.get(key))
    theirs = ledger.artifact(other.run_id, "setting.json", tmp_path)
    assert theirs is not None
    for run_id, read in (
        (one.run_id, lambda: cell_of(ledger, one, {})),
        (trials[one.trial], lambda: ledger.trial_settings(f"small/{one.trial}")),
    ):
        file = ledger.artifact(run_id, "setting.json", tmp_path)
        assert file is not None
        whole = file.read_bytes()
        read()
        file.write_bytes(theirs.read_bytes())
        with pytest.raises(UserError, match=rf"^{file}: is not its run's: {key} is .* in it and .* on record; put a c"):
            read()
        with pytest.raises(UserError, match=rf"run '{run_id}' .* has the file setting.json of another run \({key} is"):
            export_sweep(ledger, "small", tmp_path / "a.zip")
        file.write_bytes(whole)
    export_sweep(ledger, "small", tmp_path / "a.zip")


def test_an_archive_with_another_runs_setting_is_refused(archive: Path, tmp_path: Path) -> None:
    with Archive(archive) as opened:
        cells = [run for run in opened.runs if run.tags[records.LEVEL_TAG] == "cell" and run.artifacts]
        one = cells[0]
        other = next(run for run in cells if run.params["method"] != one.params["method"])
    theirs = zipfile.ZipFile(archive).read(f"artifacts/{other.id}/setting.json")
    changed = rewritten(archive, tmp_path, {f"artifacts/{one.id}/setting.json": theirs})
    with pytest.raises(UserError, match=rf"run '{one.id}' .* has the file setting.json of another run \(method is"):
        import_archive(changed, f"sqlite:///{tmp_path / 'never' / 'mlflow.db'}")
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("by", ["this version", "one before 0.2"])
def test_a_copy_takes_its_own_trials_setting_along(sweep: LoadedSweep, tmp_path: Path, elsewhere: str, by: str) -> None:
    """The same numbers under another spelling: epochs as the recipe has them, and as they were written out."""
    ledger = Ledger(sweep.file.run.tracking_uri)
    row = next(row for row in ledger.read_cells("small") if row.trial == "coop" and row.reused_from is None)
    known = cell_of(ledger, row, {})
    cell = replace(known, setting=known.setting.with_values({"optim.momentum": 0.123}))
    experiment = ledger.experiment(name := f"spelt-{by.split()[0]}")
    sweep_run = ledger.open_sweep(experiment, name)
    trial = ledger.open_trial(experiment, sweep_run, name, "coop", "baseline", cell.setting)
    ledger.reuse(row.run_id, trial, KeyedCell(cell, row.key))
    (copy,) = ledger.read_cells(name)
    assert cell_of(ledger, copy, {}).setting == known.setting  # of the run that learned it, whose record agrees
    export_sweep(ledger, name, archive := tmp_path / "spelt.zip")
    if by != "this version":  # the file of the run that it is a copy of travelled
        theirs = ledger.artifact(row.run_id, "setting.json", tmp_path)
        assert theirs is not None
        archive = rewritten(archive, tmp_path, {f"artifacts/{copy.run_id}/setting.json": theirs.read_bytes()})
    import_archive(archive, elsewhere)
    there = Ledger(elsewhere)
    assert cell_of(there, find_cell(there, f"{name}/coop"), {}).setting == cell.setting
    export_sweep(there, name, tmp_path / "again.zip")


def test_what_a_killed_worker_left_half_written_is_not_exported(moved: str, tmp_path: Path) -> None:
    row = next(row for row in Ledger(moved).read_cells("small") if row.trial == "coop" and row.reused_from is None)
    file = Ledger(moved).artifact(row.run_id, "setting.json", tmp_path)
    assert file is not None
    for name in (".setting.json.part", ".setting.json.another-machine-77.part"):
        file.with_name(name).write_bytes(b"{")
    export_sweep(Ledger(moved), "small", tmp_path / "a.zip")
    names = zipfile.ZipFile(tmp_path / "a.zip").namelist()
    assert f"artifacts/{row.run_id}/setting.json" in names
    assert [name for name in names if name.endswith(".part")] == []


def test_a_single_missing_file_of_a_cell_is_named(sweep: LoadedSweep, moved: str, tmp_path: Path) -> None:
    row = next(row for row in Ledger(moved).read_cells("small") if row.trial == "coop")
    for store in (tmp_path / "moved store", Path(sweep.file.run.tracking_uri.removeprefix("sqlite:///")).parent):
        (store / "mlartifacts" / "small" / row.run_id / "artifacts" / "per_class.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match=rf"run {row.run_id}\) are missing \(per_class\.json\)"):
        export_sweep(Ledger(moved), "small", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


# Archives that would write elsewhere, or whose runs cannot be read


def with_runs(archive: Path, folder: Path, change: Callable[[dict[str, Any]], None], level: str = "cell") -> Path:
    """A copy of an archive whose first finished run of a level is changed."""
    lines = zipfile.ZipFile(archive).read("runs.jsonl").decode().splitlines()
    runs = [json.loads(line) for line in lines]
    change(next(run for run in runs if run["tags"][records.LEVEL_TAG] == level and run["status"] == "FINISHED"))
    return rewritten(archive, folder, {"runs.jsonl": "\n".join(map(json.dumps, runs)).encode()})


@pytest.mark.parametrize(
    ("level", "changes", "said"),
    [
        ("cell", {"params": {"data.shots": "many"}}, "not a whole number"),
        ("cell", {"params": {"data.shots": "-1"}}, "not a whole number"),
        ("cell", {"params": {"data.seed": "²"}}, "not a whole number"),
        ("cell", {"params": {"data.dataset": "../x"}}, "for a dataset"),
        ("cell", {"params": {"data.protocol": "guess"}}, "unknown protocol"),
        ("cell", {"tags": {records.KEY_TAG: ""}}, f"no tag {records.KEY_TAG}"),
        ("cell", {"tags": {records.PARENT_TAG: ""}}, f"no tag {records.PARENT_TAG}"),
        ("cell", {"tags": {records.LEVEL_TAG: "atom"}}, "no known level"),
        ("cell", {"tags": {records.KIND_TAG: "other"}}, "unknown kind"),
        ("cell", {"tags": {records.SWEEP_TAG: "another"}}, "another sweep"),
        ("cell", {"tags": {records.SCHEMA_TAG: "9"}}, "schema"),
        ("cell", {"status": "LOST"}, "unknown status"),
        ("cell", {"name": "a\nb"}, "cannot be shown"),
        ("cell", {"id": "../../x"}, "an id that no store gives|does not hold the runs"),
        ("cell", {"artifacts": ["/tmp/evil"]}, "does not hold the runs and files"),
        ("cell", {"inputs": [{"name": 3}]}, "dataset input"),
        ("cell", {"start_ms": -5}, "no clock"),
        ("cell", {"metrics": {"test/accuracy": [["inf", 1, 0]]}}, r"\('zero-shot', '.*'\) has inf for test/acc"),
        ("cell", {"metrics": {"test/accuracy": [[1.7976931348623157e308, 1, 0]]}}, "has inf for test/accuracy"),
        ("cell", {"metrics": {"val/accuracy": [["nan", 1, 0]]}}, "has nan for val/accuracy"),
        ("cell", {"metrics": {"test/ece": [[250.0, 1, 0]]}}, "has 250 for test/ece, which is a percentage"),
        ("cell", {"metrics": {"train/loss": [[1.0, 1, 1], ["-inf", 1, 2]]}}, "has -inf for train/loss"),
        ("trial", {"metrics": {"grid/mean/test/accuracy": [["inf", 1, 0]]}}, "has inf for grid/mean/test/accuracy"),
        ("trial", {"tags": {records.TRIAL_TAG: " "}}, "cannot be shown"),
        ("trial", {"tags": {records.SETTING_TAG: ""}}, f"no tag {records.SETTING_TAG}"),
        ("sweep", {"tags": {records.GRID_TAG: '{"few-shot": 3}'}}, "not a declared grid"),
    ],
)
def test_damaged_runs_are_refused_before_the_store_is_made(
    archive: Path, tmp_path: Path, level: str, changes: dict[str, Any], said: str
) -> None:
    def change(run: dict[str, Any]) -> None:
        for key, value in changes.items():
            run[key] = {**run[key], **value} if isinstance(value, dict) else value

    with pytest.raises(UserError, match=said):
        import_archive(with_runs(archive, tmp_path, change, level), f"sqlite:///{tmp_path / 'never' / 'mlflow.db'}")
    assert not (tmp_path / "never").exists()


def test_values_that_a_sound_cell_may_have_are_taken(archive: Path, tmp_path: Path, elsewhere: str) -> None:
    """A step that diverged and recovered, and the infinite logarithm of a likelihood of zero."""

    def change(run: dict[str, Any]) -> None:
        run["metrics"] |= {"train/loss": [["inf", 1, 1], [0.5, 1, 2]], "test/nll": [["inf", 1, 0]]}

    import_archive(with_runs(archive, tmp_path, change), elsewhere)
    (row,) = [row for row in Ledger(elsewhere).read_cells("small") if row.metrics.get("test/nll") == math.inf]
    assert row.metrics["train/loss"] == 0.5


@pytest.mark.parametrize("name", ["setting.json", "per_class.json"])
def test_a_file_that_is_not_what_its_name_says_is_refused(archive: Path, tmp_path: Path, name: str) -> None:
    with Archive(archive) as opened:
        run = next(run for run in opened.runs if name in run.artifacts)
    changed = rewritten(archive, tmp_path, {f"artifacts/{run.id}/{name}": b"\x93garbage"})
    with pytest.raises(UserError, match=rf"run '{run.id}' \('.*'\) has a damaged file {name}"):
        import_archive(changed, f"sqlite:///{tmp_path / 'never' / 'mlflow.db'}")
    assert not (tmp_path / "never").exists()


def test_what_would_not_be_imported_is_not_exported(moved: str, tmp_path: Path) -> None:
    row = next(row for row in Ledger(moved).read_cells("small") if row.finished and row.reused_from is None)
    file = Ledger(moved).artifact(row.run_id, "per_class.json", tmp_path)
    assert file is not None
    whole = file.read_text()
    file.write_text("[")
    with pytest.raises(UserError, match=rf"{row.run_id}.*damaged file per_class.json.*or export the numbers alone"):
        export_sweep(Ledger(moved), "small", tmp_path / "a.zip")
    file.write_text(whole)
    MlflowClient(moved).log_metric(row.run_id, "test/accuracy", math.inf, step=1)
    with pytest.raises(UserError, match=rf"inf for test/accuracy.*mlflow runs delete --run-id {row.run_id}"):
        export_sweep(Ledger(moved), "small", tmp_path / "a.zip")
    assert not list(tmp_path.glob("*a.zip*"))


@pytest.mark.parametrize("sweep_name", ["../../evil", "a/b", "", "a\nb", "x" * 101, 5])
def test_a_sweep_named_like_a_path_is_refused(archive: Path, tmp_path: Path, sweep_name: object) -> None:
    manifest = json.loads(zipfile.ZipFile(archive).read("manifest.json"))
    changed = rewritten(archive, tmp_path, {"manifest.json": json.dumps({**manifest, "sweep": sweep_name}).encode()})
    with pytest.raises(UserError):
        import_archive(changed, f"sqlite:///{tmp_path / 'never' / 'mlflow.db'}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [changed.name]


def test_an_artifact_with_an_empty_component_writes_nothing(archive: Path, tmp_path: Path) -> None:
    """`artifacts/<run>//abs/file` once wrote to /abs/file."""
    evil = tmp_path / "evil.txt"
    found: list[str] = []

    def change(run: dict[str, Any]) -> None:
        run["artifacts"].append(str(evil))
        found.append(f"artifacts/{run['id']}/{evil}")

    listed = with_runs(archive, tmp_path, change)
    manifest = json.loads(zipfile.ZipFile(archive).read("manifest.json"))
    manifest["artifacts"] += 1
    changed = rewritten(listed, tmp_path, {found[0]: b"evil", "manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(UserError, match="empty component"):
        import_archive(changed, f"sqlite:///{tmp_path / 'never' / 'mlflow.db'}")
    assert not evil.exists()
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("place", "said"),
    [("setting.json/x", "'setting.json' as a file and as a folder"), ("/".join(["a" * 200] * 9), "longer than 1024")],
)
def test_files_that_no_folder_can_hold_are_refused(archive: Path, tmp_path: Path, place: str, said: str) -> None:
    found: list[str] = []

    def change(run: dict[str, Any]) -> None:
        run["artifacts"] += ["setting.json"] * ("setting.json" not in run["artifacts"]) + [place]
        found.extend(f"artifacts/{run['id']}/{name}" for name in run["artifacts"])

    listed = with_runs(archive, tmp_path, change)
    held = [name for name in zipfile.ZipFile(listed).namelist() if name.startswith("artifacts/")]
    manifest = json.loads(zipfile.ZipFile(archive).read("manifest.json"))
    manifest["artifacts"] = len({*held, *found})
    extra = {name: b"{}" for name in found if name not in held}
    changed = rewritten(listed, tmp_path, {**extra, "manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(UserError, match=said):
        import_archive(changed, f"sqlite:///{tmp_path / 'never' / 'mlflow.db'}")
    assert not (tmp_path / "never").exists()


def test_an_import_whose_artifacts_are_refused_is_one_line_and_can_be_finished(
    archive: Path, elsewhere: str, sweep: LoadedSweep
) -> None:
    """As on a full disk: a file lies where the folder should."""
    (blocked := Path(elsewhere.removeprefix("sqlite:///")).parent / "mlartifacts").touch()
    with pytest.raises(UserError, match=r"^artifact store .*NotADirectoryError") as caught:
        import_archive(archive, elsewhere)
    assert "\n" not in str(caught.value)
    blocked.unlink()
    import_archive(archive, elsewhere)
    assert content(elsewhere) == content(sweep.file.run.tracking_uri)


def test_a_damaged_run_in_a_store_is_left_out_and_named(moved: str, caplog: pytest.LogCaptureFixture) -> None:
    reader = open_reader(moved)
    before = reader.read_cells("small")
    bad, odd = [row for row in before if row.finished and row.trial == "coop"][:2]
    path = moved.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE params SET value = 'many' WHERE run_uuid = ? AND key = 'data.shots'", [bad.run_id])
        connection.execute("UPDATE runs SET status = 'FINISHED' WHERE run_uuid = ?", [odd.run_id])
        connection.execute(
            "UPDATE tags SET value = 'other' WHERE run_uuid = ? AND key = ?", [odd.run_id, records.KIND_TAG]
        )
    left = {row.run_id for row in open_reader(moved).read_cells("small")}
    assert left == {row.run_id for row in before} - {bad.run_id, odd.run_id}
    assert f"run {bad.run_id} has 'many' for data.shots" in caplog.text
    assert f"run {odd.run_id} is of the unknown kind" in caplog.text
    known = {row.run_id for row in Ledger(moved).finished_cells().values()}
    assert known
    assert not known & {bad.run_id, odd.run_id}
    assert status_of(open_reader(moved), "small").finished == sum(row.finished for row in before) - 2


@pytest.mark.parametrize("text", ["", "{", "3", '{"few-shot": 3}', '{"few-shot": [{"trials": {"a": "other"}}]}'])
@pytest.mark.parametrize("tag", [records.GRID_TAG, records.LAUNCH_TAG])
def test_a_damaged_note_of_a_launch_costs_no_table(moved: str, tag: str, text: str) -> None:
    with closing(sqlite3.connect(moved.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("UPDATE tags SET value = ? WHERE key = ?", [text, tag])
    assert status_of(open_reader(moved), "small").missing == 0


def test_a_sweep_that_lost_its_name_is_left_out(moved: str) -> None:
    with closing(sqlite3.connect(moved.removeprefix("sqlite:///"))) as connection, connection:
        found = "SELECT run_uuid FROM tags WHERE key = ? AND value = 'sweep'"
        connection.execute(
            f"DELETE FROM tags WHERE key = ? AND run_uuid IN ({found})", [records.SWEEP_TAG, records.LEVEL_TAG]
        )
    assert open_reader(moved).sweeps() == Ledger(moved).sweeps() == []
    assert status_of(open_reader(moved), "small").finished
