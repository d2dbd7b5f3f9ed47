"""Where artifacts lie: beside the SQLite file that is in use, and elsewhere as recorded."""

import re
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from dualpt.core.errors import UserError
from dualpt.sweeps.ledger.mlflow.artifact_places import ArtifactPlaces
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import Declare

PAGE = Path(__file__).resolve().parents[4] / "docs" / "reports.md"
RUN = "0123456789abcdef" * 2


def run_at(uri: str) -> SimpleNamespace:
    return SimpleNamespace(info=SimpleNamespace(run_id=RUN, artifact_uri=uri))


def test_our_layout_follows_the_store() -> None:
    places = ArtifactPlaces("sqlite:////new place/mlflow.db")
    run = run_at(f"file:///old%20place/mlartifacts/demo/{RUN}/artifacts")
    new, old = (Path(f"/{where} place/mlartifacts/demo/{RUN}/artifacts") for where in ("new", "old"))
    assert places.to_write(run) == new  # type: ignore[arg-type]
    assert places.to_read(run) == (new, old)  # type: ignore[arg-type]
    assert "copy the mlartifacts folder" in places.whereabouts(run)  # type: ignore[arg-type]
    assert places.root("demo") == "file:///new%20place/mlartifacts/demo"


@pytest.mark.parametrize(
    "path",
    [
        f"/elsewhere/{RUN}/artifacts",
        f"/elsewhere/mlruns/1/{RUN}/artifacts",
        f"/elsewhere/mlartifacts/demo/{RUN}",
        f"/elsewhere/mlartifacts/demo/{'f' * 32}/artifacts",
        f"/elsewhere/mlartifacts/../{RUN}/artifacts",
    ],
)
def test_other_roots_are_taken_as_recorded(path: str) -> None:
    places = ArtifactPlaces("sqlite:////here/mlflow.db")
    assert places.to_write(run_at(f"file://{path}")) == Path(path)  # type: ignore[arg-type]
    assert places.to_read(run_at(path)) == (Path(path),)  # type: ignore[arg-type]


def test_servers_keep_their_artifacts() -> None:
    run = run_at(f"mlflow-artifacts:/1/{RUN}/artifacts")
    for store in ("http://host:5000", "sqlite:////here/mlflow.db"):
        assert ArtifactPlaces(store).to_write(run) is None  # type: ignore[arg-type]
        assert ArtifactPlaces(store).to_read(run) == ()  # type: ignore[arg-type]
    assert ArtifactPlaces("http://host:5000").root("demo") is None


@pytest.mark.parametrize("name", ["..", "../x", "/x", "a//b", ""])
def test_no_experiment_leaves_the_folder(name: str) -> None:
    with pytest.raises(UserError, match="choose a name"):
        ArtifactPlaces("sqlite:////here/mlflow.db").root(name)


def test_the_documented_sql_moves_the_recorded_places(declare: Declare, log: Path, tmp_path: Path) -> None:
    sweep = declare(search=None)
    train_here(sweep, log)
    old, new = tmp_path, tmp_path.parent / f"{tmp_path.name} moved"
    new.mkdir()
    for name in ("mlflow.db", "mlartifacts"):
        shutil.move(old / name, new / name)
    (sql,) = re.findall(r'sqlite3 mlflow.db "(.*?)"\n```', PAGE.read_text(encoding="utf-8"), re.DOTALL)
    with sqlite3.connect(new / "mlflow.db") as connection:
        connection.executescript(sql.replace("file:///old", old.as_uri()).replace("file:///new", new.as_uri()))
    client = MlflowClient(f"sqlite:///{new / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    assert experiment.artifact_location == (new / "mlartifacts" / "small").as_uri()
    cells = client.search_runs([experiment.experiment_id], "tags.`dualpt.level` = 'cell'")
    assert cells
    for run in cells:
        assert "setting.json" in {file.path for file in client.list_artifacts(run.info.run_id)}
        assert str(run.info.artifact_uri).startswith((new / "mlartifacts" / "small" / run.info.run_id).as_uri())
