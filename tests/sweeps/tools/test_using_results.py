"""From a recorded cell to its use: found by name, looked into, put to work on images. Tiny cells, truly trained."""

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console

from dualpt.core.cell import Cell
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import mini_root
from dualpt.core.learned.fitted import classifier_file, load_classifier
from dualpt.core.presets import method_setting
from dualpt.core.running.cell_runner import CellRunner
from dualpt.sweeps.comparison.frames import read_frame
from dualpt.sweeps.inspecting.inspect import inspect_cell
from dualpt.sweeps.ledger.cell_names import find_cell, prompts_of
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.moving.move import export_sweep, import_archive
from dualpt.sweeps.records import KeyedCell
from dualpt.sweeps.tools.predict import FORMATS, image_files, predict
from dualpt.sweeps.tools.train import save_result
from tests.sweeps.services import MlflowServer

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def store(fresh_stores: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """`plot` at two seeds and `zero-shot`, trained, and `coop`, failed, on mini-tiles."""
    folder = tmp_path_factory.mktemp("used")
    ledger = Ledger(f"sqlite:///{shutil.copy(fresh_stores / 'mlflow.db', folder)}")
    torch.set_num_threads(1)
    runner = CellRunner(cache=tmp_path_factory.mktemp("features"), device="cpu")
    experiment = ledger.experiment("tiny")
    sweep = ledger.open_sweep(experiment, "tiny")
    quick = {"optim.epochs": 2, "prompt.context_length": 4}
    for name, seeds in (("plot", (1, 2)), ("zero-shot", (0,))):
        setting = method_setting(name).with_values(quick)
        cells = [Cell(setting, "mini-tiles", "few-shot", 1 if seed else 0, seed) for seed in seeds]
        runner.check(cells)
        runner.prepare(cells)
        trial = ledger.open_trial(experiment, sweep, "tiny", name, "baseline", setting)
        for result in runner.run(cells):
            ledger.record(trial, KeyedCell(result.cell, result.key), result, 0.1)
            save_result(result, folder)
    failed = Cell(method_setting("coop").with_values(quick), "mini-tiles", "few-shot", 1, 1)
    trial = ledger.open_trial(experiment, sweep, "tiny", "coop", "baseline", failed.setting)
    ledger.record_failure(trial, KeyedCell(failed, "f" * 64), "the loss became nan")
    record_features(ledger, runner, folder)
    return ledger.uri


def record_features(ledger: Ledger, runner: CellRunner, folder: Path) -> None:
    """A cell of a method on frozen features, in a sweep of its own."""
    cell = Cell(method_setting("gda"), "mini-tiles", "few-shot", 2, 1)
    runner.prepare([cell])
    experiment = ledger.experiment("features")
    sweep = ledger.open_sweep(experiment, "features")
    trial = ledger.open_trial(experiment, sweep, "features", "gda", "baseline", cell.setting)
    (result,) = runner.run([cell])
    ledger.record(trial, KeyedCell(cell, result.key), result, 0.1)
    save_result(result, folder)


@pytest.fixture(scope="module")
def images(store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two images, of which one lies deeper, a broken one and a text."""
    folder = tmp_path_factory.mktemp("images")
    source = sorted((mini_root() / "mini_tiles" / "images").rglob("*.png"))
    (folder / "deeper").mkdir()
    shutil.copy(source[0], folder / "a.png")
    shutil.copy(source[-1], folder / "deeper" / "b.png")
    (folder / "broken.jpg").write_text("no image")
    (folder / "notes.txt").write_text("no image either")
    return folder


def contexts_file(store: str) -> Path:
    return Path(store.removeprefix("sqlite:///")).parent / "mini-tiles-few-shot-1shot-seed1.safetensors"


def test_a_cell_is_found_by_any_unambiguous_name(store: str) -> None:
    ledger = Ledger(store)
    row = find_cell(ledger, "tiny/plot/mini-tiles/1/2")
    assert (row.trial, row.seed) == ("plot", 2)
    for name in (row.run_id, row.run_id[:10], row.key, row.key[:10]):
        assert find_cell(ledger, name).run_id == row.run_id


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny/plott", "did you mean 'plot'"),
        ("tinny/plot", "did you mean 'tiny'"),
        ("tiny/plot", r"stands for 2 cells: plot/mini-tiles/1/1 \("),
        ("tiny/plot/mini-tiles/1/7", r"of seed '7' \(there are: 1, 2\)"),
        ("abcdef0123456789", "no recorded cell is"),
        ("tiny/plot/a/b/c/d", "a cell's place is"),
    ],
)
def test_other_names_are_refused_with_the_nearest(store: str, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        find_cell(Ledger(store), name)


def test_cells_without_prompts_are_refused(store: str) -> None:
    ledger = Ledger(store)
    with pytest.raises(UserError, match="learned no prompts"):
        prompts_of(ledger, find_cell(ledger, "tiny/zero-shot"), {})
    with pytest.raises(UserError, match="is failed: the loss became nan"):
        prompts_of(ledger, find_cell(ledger, "ffffffff"), {})
    with pytest.raises(UserError, match="a finished cell keeps its setting"):
        prompts_of(ledger, find_cell(ledger, "tiny/plot/mini-tiles/1/1"), {"optim.epochs": 5})


def test_best_setting_comes_back_in_two_lines(store: str) -> None:
    """As docs/inspecting.md shows it."""
    from dualpt.core.learned.classifier import PromptClassifier
    from dualpt.core.learned.prompts import load_prompts

    classifier = PromptClassifier(load_prompts(contexts_file(store)))
    assert classifier.prompt_features.shape == (8, 4, 128)


@pytest.mark.slow
def test_inspect_draws_and_tells(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "looks"
    ask: dict[str, Any] = {"store": store, "out": out, "images": 3, "overrides": {}}
    inspect_cell(QUIET, "tiny/plot/mini-tiles/1/1", as_json=True, **ask)
    told = json.loads(capsys.readouterr().out)
    assert len(told["tables"]["nearest words to the learned contexts"]) == 4
    assert len(told["tables"]["similarity of prompts to descriptions"]) == 8
    for name in told["pictures"]:
        with Image.open(name) as picture:
            assert min(picture.size) > 200
            assert len(picture.convert("L").getcolors(1 << 20)) > 50
    page = (out / "index.html").read_text()
    assert all(Path(name).name in page for name in told["pictures"])


def test_inspect_shows_of_a_classifier_what_needs_no_prompts(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gda"
    ask: dict[str, Any] = {"store": store, "out": out, "images": 3, "overrides": {}}
    inspect_cell(QUIET, "features/gda", as_json=True, **ask)
    told = json.loads(capsys.readouterr().out)
    assert list(told["tables"]) == ["calibration", "most confused classes, test set", "classes of the test set"]
    classes = told["tables"]["classes of the test set"]
    accuracies = [float(row["accuracy"]) for row in classes]
    assert len(classes) == 8
    assert accuracies == sorted(accuracies)
    (row,) = [row for row in Ledger(store).read_cells("features") if row.finished]
    assert float(told["tables"]["calibration"][0]["accuracy"]) == pytest.approx(row.metrics["test/accuracy"], abs=0.05)
    for one in classes:
        assert float(one["difference"]) == pytest.approx(float(one["accuracy"]) - float(one["zero-shot"]), abs=0.11)
    assert sorted(Path(name).name for name in told["pictures"]) == ["confusions-test.png", "reliability-test.png"]
    assert "Gda learns no prompts, so there are no nearest words" in (out / "index.html").read_text()


def ask(store: str, images: list[Path], console: Console = QUIET, **more: Any) -> int:
    words: dict[str, Any] = {"cell": None, "contexts": None, "overrides": {}, "classes": None, "top": 2}
    words |= {"form": "csv", "output": None, "store": store}
    return predict(console, images, **{**words, **more})


def test_predict_lists_unreadable_images_and_exits_3(store: str, images: Path, tmp_path: Path) -> None:
    output, said = tmp_path / "predictions.csv", io.StringIO()
    narrow = Console(file=said, width=30)
    assert ask(store, [images], narrow, contexts=contexts_file(store), output=output) == 3
    assert {str(output), f"{images / 'broken.jpg'}:"} <= set(said.getvalue().split()), "whole, to be copied"
    rows = list(csv.DictReader(output.open()))
    assert [Path(row["image"]).name for row in rows] == ["a.png", "broken.jpg", "b.png"]
    assert "not a readable image" in rows[1]["error"]
    assert float(rows[0]["probability_1"]) >= float(rows[0]["probability_2"]) > 0


@pytest.mark.parametrize("form", FORMATS)
def test_no_readable_image_is_an_error_and_writes_nothing(
    store: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    output = tmp_path / "predictions"
    more: dict[str, Any] = {"contexts": contexts_file(store), "form": form}
    with pytest.raises(UserError, match=r"none of the 2 images can be read: \S*broken.jpg: not a readable image"):
        ask(store, [images / "broken.jpg", images / "notes.txt"], output=output, **more)
    with pytest.raises(UserError, match=r"the image cannot be read: \S*notes.txt"):
        ask(store, [images / "notes.txt"], **more)
    assert not output.exists()
    assert capsys.readouterr().out == ""


def test_a_cell_and_its_saved_file_predict_the_same(store: str, images: Path, tmp_path: Path) -> None:
    found = []
    for source in ({"cell": "tiny/plot/mini-tiles/1/1"}, {"contexts": contexts_file(store)}):
        output = tmp_path / f"{len(found)}.json"
        assert ask(store, [images / "a.png"], form="json", output=output, **source) == 0
        found.append(json.loads(output.read_text()))
    assert found[0] == found[1]
    assert found[0][0]["error"] is None


def test_a_method_on_features_predicts_from_its_cell_its_file_and_an_archive(
    store: str, images: Path, tmp_path: Path
) -> None:
    archive, imported = tmp_path / "features.zip", f"sqlite:///{tmp_path / 'imported.db'}"
    export_sweep(Ledger(store), "features", archive)
    import_archive(archive, imported)
    file = contexts_file(store).with_name("mini-tiles-few-shot-2shot-seed1.safetensors")
    found = []
    for where, source in (
        (store, {"cell": "features/gda"}),
        (store, {"contexts": file}),
        (imported, {"cell": "features"}),
    ):
        output = tmp_path / f"{len(found)}.json"
        assert ask(where, [images / "a.png"], form="json", output=output, **source) == 0
        found.append(json.loads(output.read_text()))
    assert found[0] == found[1] == found[2]
    assert len(found[0][0]["predictions"]) == 2


def test_what_another_cell_learned_is_refused(store: str, images: Path, tmp_path: Path) -> None:
    """The file of one seed lies in the place of another's: it would classify, and nothing would show."""
    folder = shutil.copytree(Path(store.removeprefix("sqlite:///")).parent, tmp_path / "copy")
    ledger = Ledger(f"sqlite:///{folder / 'mlflow.db'}")
    one, other = (find_cell(ledger, f"tiny/plot/mini-tiles/1/{seed}") for seed in (1, 2))
    gda = find_cell(ledger, "features/gda")
    files = {row.run_id: next(folder.glob(f"mlartifacts/*/{row.run_id}/artifacts/c*.*")) for row in (one, other, gda)}
    shutil.copy(files[other.run_id], files[one.run_id])
    said = (
        rf"^{files[one.run_id]}: is of another cell \({other.key[:16]}…\), and plot/mini-tiles/1/1 is {one.key[:16]}…"
    )
    with pytest.raises(UserError, match=said):
        ask(ledger.uri, [images / "a.png"], cell=one.run_id)
    with pytest.raises(UserError, match=said):
        inspect_cell(QUIET, one.run_id, store=ledger.uri, out=tmp_path / "looks", images=1, overrides={})
    assert not (tmp_path / "looks").exists()
    learned = load_classifier(files[gda.run_id])
    files[gda.run_id].write_bytes(classifier_file(replace(learned, cell_key="f" * 64)))
    with pytest.raises(UserError, match=r"is of another cell \(ffffffffffffffff…\), and gda/mini-tiles/2/1 is "):
        ask(ledger.uri, [images / "a.png"], cell="features/gda")


def test_what_a_method_on_features_cannot_do_is_one_line(store: str, images: Path, tmp_path: Path) -> None:
    ledger = Ledger(store)
    with pytest.raises(UserError, match=r"cell gda/mini-tiles/2/1 is of gda: it learned no prompts; `dualpt inspect`"):
        prompts_of(ledger, find_cell(ledger, "features/gda"), {})
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    with pytest.raises(UserError, match="gda: new classes need"):
        ask(store, [images / "a.png"], cell="features/gda", classes=tmp_path / "names.txt")


def test_image_files_are_those_of_folders_and_any_that_are_named(images: Path) -> None:
    files, others = image_files([images / "notes.txt", images])
    assert [file.name for file in files] == ["notes.txt", "a.png", "broken.jpg", "b.png"]
    assert others == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "give the prompts once"),
        ({"cell": "tiny/plot", "contexts": Path("x")}, "give the prompts once"),
        ({"contexts": Path("nowhere.safetensors")}, "not a file of learned contexts"),
        ({"form": "xml"}, "unknown format 'xml'"),
        ({"output": Path("/proc/none/x.csv"), "cell": "tiny/plot"}, "cannot be written"),
        ({"cell": "tiny/plot/mini-tiles/1/1", "classes": Path("none.txt")}, "--classes: none.txt cannot be read"),
    ],
)
def test_predict_refuses_in_one_line(store: str, images: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ask(store, [images / "a.png"], **more)


@pytest.mark.cluster
def test_a_server_gives_what_the_store_behind_it_gave(
    store: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs and artifacts come over HTTP alone: the sweep is moved to the server, and used from there."""
    archives = {name: tmp_path / f"{name}.zip" for name in ("tiny", "features")}
    for name, archive in archives.items():
        export_sweep(Ledger(store), name, archive)
    server = MlflowServer(tmp_path, f"sqlite:///{tmp_path / 'server.db'}")
    try:
        server.await_answer()
        for archive in archives.values():
            import_archive(archive, server.uri)
        assert told_by(server.uri, images, tmp_path, capsys) == told_by(store, images, tmp_path, capsys)
    finally:
        server.kill()


def told_by(store: str, images: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Any, ...]:
    """What every command that reads says of the store."""
    name = "tiny/plot/mini-tiles/1/1"
    assert ask(store, [images], cell=name) == 3
    predictions = capsys.readouterr().out
    inspect_cell(QUIET, name, store=store, out=folder / "looks", images=1, overrides={}, as_json=True)
    tables = json.loads(capsys.readouterr().out)["tables"]
    cells = read_frame("tiny", store).drop(columns=["run_id"]).sort_values("key").astype(str).to_dict("records")
    reader = open_reader(store)
    curves = reader.loss_curves([row.run_id for row in reader.read_cells("tiny") if row.trial == "plot"])
    return predictions, tables, cells, sorted(curves.values()), reader.sweeps()


def test_options_chosen_on_validation_images_are_on_record_and_copied(store: str) -> None:
    ledger = Ledger(store)
    row = find_cell(ledger, "features/gda")
    assert float(row.params["chosen.alpha"]) > 0
    experiment = ledger.experiment("copies")
    sweep = ledger.open_sweep(experiment, "copies")
    cell = Cell(method_setting("gda"), "mini-tiles", "few-shot", 2, 1)
    trial = ledger.open_trial(experiment, sweep, "copies", "gda", "baseline", cell.setting)
    ledger.reuse(row.run_id, trial, KeyedCell(cell, row.key))
    assert find_cell(ledger, "copies/gda").params["chosen.alpha"] == row.params["chosen.alpha"]
