"""Where artifacts lie: beside the SQLite file that is in use, and elsewhere as recorded."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.ledger.mlflow.artifact_places import ArtifactPlaces

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
