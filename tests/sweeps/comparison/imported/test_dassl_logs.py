"""Logs of CoOp's code give the result on the test images of what was trained, and nothing else."""

import re
from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.core.results import BASE_ACCURACY, NEW_ACCURACY, TEST_ACCURACY
from dualpt.sweeps.comparison.imported import dassl_logs
from dualpt.sweeps.comparison.imported.dassl_logs import read_log, read_logs
from tests.sweeps.comparison.imported.output_folder import write_log


def test_a_training(tmp_path: Path) -> None:
    path = write_log(tmp_path, 85.7, seed=2, validated=91.2)
    (result,) = read_logs(tmp_path, ()).results
    assert (result.method, result.dataset, result.shots, result.seed) == ("CoOp", "EuroSAT", 16, 2)
    assert (result.metric, result.value, result.backbone) == (TEST_ACCURACY, 85.7, "ViT-B-16")
    assert (result.protocol, result.source) == ("few-shot", str(path))
    assert read_logs(path, ()).results == [result]


def test_what_the_configuration_says(tmp_path: Path) -> None:
    config = read_log(write_log(tmp_path, 85.7)).config
    assert config["DATALOADER.TRAIN_X.BATCH_SIZE"] == "32"
    assert config["MODEL.HEAD.NAME"] == ""
    assert config["TRAINER.COOP.CSC"] == "False"
    assert config["TRAINER.NAME"] == "CoOp"


def test_a_validation_during_training_is_no_result(tmp_path: Path) -> None:
    path = write_log(tmp_path, None, validated=91.2)
    found = read_logs(tmp_path, ())
    assert (found.results, found.set_aside) == ([], {dassl_logs.UNFINISHED: [path]})


def test_a_test_during_training_is_no_result(tmp_path: Path) -> None:
    path = write_log(tmp_path, None, validated=91.2)
    path.write_text(path.read_text().replace("*val* set", "*test* set"))
    assert read_logs(tmp_path, ()).results == []


def test_the_same_run_again_in_its_folder(tmp_path: Path) -> None:
    earlier = write_log(tmp_path, 70.0)
    write_log(tmp_path, 85.7, name="log.txt-2026-11-28-10-00-00")
    write_log(tmp_path, None, name="log.txt-2026-11-29-10-00-00")
    found = read_logs(tmp_path, ())
    assert [one.value for one in found.results] == [85.7]
    assert found.set_aside["a later log in the same folder repeats it"] == [earlier]


def test_base_to_new(tmp_path: Path) -> None:
    base = write_log(tmp_path, 92.0, classes="base")
    write_log(tmp_path, 64.0, classes="new", model_dir=str(base.parent))
    found = {one.metric: one.value for one in read_logs(tmp_path, ()).results}
    assert found == {BASE_ACCURACY: 92.0, NEW_ACCURACY: 64.0}


def test_without_training(tmp_path: Path) -> None:
    write_log(tmp_path, 48.2, trainer="ZeroshotCLIP", model_dir="", config_seed=-1)
    (result,) = read_logs(tmp_path, ()).results
    assert (result.shots, result.seed) == (0, 0)


def test_prompts_of_another_dataset_are_none_of_this_one(tmp_path: Path) -> None:
    path = write_log(tmp_path, 46.2, model_dir="output/imagenet/CoOp/vit_16shots/seed1")
    assert read_logs(tmp_path, ()).set_aside == {dassl_logs.TRANSFERRED: [path]}
    own = write_log(tmp_path, 85.7, model_dir="output/eurosat/CoOp/vit_16shots/seed1")
    assert own == path
    assert [one.value for one in read_logs(tmp_path, ()).results] == [85.7]


def test_where_the_folder_alone_says_the_seed(tmp_path: Path) -> None:
    path = write_log(tmp_path, 85.7, seed=3, config_seed=-1)
    assert [one.seed for one in read_logs(tmp_path, ()).results] == [3]
    unnamed = tmp_path / "elsewhere" / "log.txt"
    unnamed.parent.mkdir()
    path.rename(unnamed)
    assert read_logs(unnamed, ()).set_aside == {dassl_logs.NO_SEED: [unnamed]}


def test_what_gives_no_row(tmp_path: Path) -> None:
    write_log(tmp_path / "all", 95.0, shots=-1)
    folder = tmp_path / "all"
    (path,) = folder.rglob("log.txt")
    assert read_logs(folder, ()).set_aside == {dassl_logs.NOT_FEW_SHOT: [path]}
    path = write_log(tmp_path / "office", 80.0, dataset="Office31")
    assert read_logs(tmp_path / "office", ()).set_aside == {dassl_logs.UNKNOWN: [path]}
    assert [one.dataset for one in read_logs(tmp_path / "office", ["Office31"]).results] == ["Office31"]
    other = tmp_path / "other" / "log.txt"
    other.parent.mkdir()
    other.write_text("step 1\n* accuracy: 99.0%\n")
    assert read_logs(other.parent, ()).set_aside == {dassl_logs.NOT_A_LOG: [other]}


def test_settings_that_differ_are_told_apart(tmp_path: Path) -> None:
    write_log(tmp_path, 85.7)
    write_log(tmp_path, 84.1, csc=True)
    write_log(tmp_path, 83.0, trainer="KgCoOp")
    methods = {one.method: one.value for one in read_logs(tmp_path, ()).results}
    assert methods == {"CoOp, CSC False": 85.7, "CoOp, CSC True": 84.1, "KgCoOp": 83.0}


def test_a_folder_without_a_log(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"--imported: {re.escape(str(tmp_path))} holds no log\.txt"):
        read_logs(tmp_path, ())


def test_both_spellings_of_dassl(tmp_path: Path) -> None:
    path = write_log(tmp_path, 85.7)
    said = path.read_text().replace("Finish training", "Finished training")
    path.write_text(said.replace("Evaluate on the *test* set", "Do evaluation on test set"))
    assert [one.value for one in read_logs(tmp_path, ()).results] == [85.7]
