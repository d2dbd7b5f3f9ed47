"""What is taken from the driver's environment to its workers, and what is not."""

import os
from pathlib import Path

import pytest

from dualpt.sweeps.stores.credentials import adopt, credentials_here, without_secrets

SECRET = "hush"


def test_logins_are_carried_and_nothing_else() -> None:
    carried = {
        "MLFLOW_TRACKING_USERNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": SECRET,
        "MLFLOW_TRACKING_TOKEN": SECRET,
        "MLFLOW_S3_ENDPOINT_URL": "http://minio:9000",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": SECRET,
        "AZURE_STORAGE_CONNECTION_STRING": SECRET,
        "PGPASSWORD": SECRET,
        "https_proxy": "http://proxy",
    }
    left = {
        "MLFLOW_TRACKING_URI": "http://elsewhere",
        "MLFLOW_RUN_ID": "run",
        "MLFLOW_EXPERIMENT_NAME": "other",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/of/this/machine",
        "PATH": "/bin",
        "CUDA_VISIBLE_DEVICES": "0",
        "AWS_PROFILE": "",
    }
    assert credentials_here({**carried, **left}, Path("/nowhere")) == carried


def test_a_login_that_mlflow_finds_in_its_file_is_carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `mlflow.utils.credentials` reads it: for itself each value of the environment comes first."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (path := tmp_path / ".mlflow" / "credentials").parent.mkdir()
    path.write_text(f"[mlflow]\nmlflow_tracking_username = filed\nmlflow_tracking_password = {SECRET}\n")
    filed = {"MLFLOW_TRACKING_USERNAME": "filed", "MLFLOW_TRACKING_PASSWORD": SECRET}
    assert credentials_here({}) == filed
    assert credentials_here({"MLFLOW_TRACKING_USERNAME": "me"}) == {**filed, "MLFLOW_TRACKING_USERNAME": "me"}
    for damaged in ("[mlflow", "[other]\nmlflow_tracking_username = x", "[mlflow]\nmlflow_tracking_password = 50%x"):
        path.write_text(damaged)
        assert credentials_here({}) == {}


def test_they_are_not_printed() -> None:
    assert SECRET not in f"{credentials_here({'PGPASSWORD': SECRET})} {credentials_here({'PGPASSWORD': SECRET})!r}"


def test_a_path_counts_only_where_its_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "of this machine")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "of this machine")
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN", raising=False)
    (here := tmp_path / "key.json").touch()
    there = {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials", "GOOGLE_APPLICATION_CREDENTIALS": str(here)}
    adopt(credentials_here({**there, "MLFLOW_TRACKING_TOKEN": "t"}))
    assert os.environ["AWS_SHARED_CREDENTIALS_FILE"] == "of this machine"
    assert os.environ["GOOGLE_APPLICATION_CREDENTIALS"] == str(here)
    assert os.environ["MLFLOW_TRACKING_TOKEN"] == "t"


def test_a_text_is_written_down_without_secrets() -> None:
    environment = {
        "AWS_SECRET_ACCESS_KEY": "abc/def+ghi",
        "MLFLOW_TRACKING_TOKEN": "t0k",
        "HOME": "/home/me",
        "X": "abcdefg",
    }
    text = "store=postgresql://me:word@host/db key=abc/def+ghi abcdefg /home/me t0k"
    masked = "store=postgresql://me:***@host/db key=*** abcdefg /home/me t0k"
    assert without_secrets(text, environment) == masked, (
        "a value of three letters is no secret that could be told apart"
    )
