"""Files of an archive: what their names say, or one line."""

import json
from pathlib import Path

import pytest
import torch
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from dualpt.core.cell import Cell
from dualpt.core.files.tensor_file import tensors_as_bytes
from dualpt.core.learned.fitted import LearnedClassifier, classifier_file
from dualpt.core.methods.interface import LinearClassifier
from dualpt.core.presets import method_setting
from dualpt.sweeps import records
from dualpt.sweeps.moving.archive import ArchivedRun
from dualpt.sweeps.moving.file_checks import fault_of_file, is_read

CONTEXTS, CLASSIFIER = "contexts.safetensors", "classifier.safetensors"
RUN = ArchivedRun(
    id="a" * 32,
    name="pets",
    status="FINISHED",
    start_ms=1,
    end_ms=2,
    tags={records.KEY_TAG: "key"},
    params={},
    metrics={},
    inputs=[],
    artifacts=[CONTEXTS],
)


def contexts(about: dict[str, str], value: float = 1.0) -> bytes:
    return tensors_as_bytes({"contexts": torch.full((1, 2, 3), value)}, about)


SOUND = contexts({"cell_key": "key"})
FITTED = classifier_file(
    LearnedClassifier(
        LinearClassifier(torch.ones(1, 2, 4), torch.zeros(1, 2)),
        Cell(method_setting("nearest-mean"), "mini-pets", "few-shot", 4, 1),
        *("key", ("cat", "dog"), "a photo of a {}.", "f" * 64, {}),
    ),
    {"cell_key": "key"},
)


def fault(place: str, content: bytes, folder: Path) -> str | None:
    path = folder / "file"
    path.write_bytes(content)
    return fault_of_file(RUN, place, path)


@pytest.mark.parametrize(
    ("place", "content"),
    [
        (CONTEXTS, SOUND),
        (CLASSIFIER, FITTED),
        (CONTEXTS, contexts({})),  # of an earlier version
        ("setting.json", b'{"optim.epochs": 3}'),
        ("per_class.json", b'{"test": {"a": 100.0, "without images": NaN}}'),
        ("per_class.json", b"{}"),
    ],
    ids=["contexts", "classifier", "earlier", "setting", "classes", "no classes"],
)
def test_a_sound_file_has_no_fault(place: str, content: bytes, tmp_path: Path) -> None:
    assert is_read(place)
    assert fault(place, content, tmp_path) is None


@pytest.mark.parametrize(
    ("place", "content", "said"),
    [
        (CONTEXTS, b"garbage", f"has a damaged file {CONTEXTS} (not a file of learned contexts"),
        (CONTEXTS, b"", f"has a damaged file {CONTEXTS} (not a file of learned contexts"),
        (CLASSIFIER, FITTED[:-1], f"has a damaged file {CLASSIFIER} (not a file of a learned classifier"),
        (CLASSIFIER, FITTED[:-1] + b"\x40", "(damaged: its content is not what was written (the checksum differs))"),
        (CLASSIFIER, SOUND, "(not a file of a learned classifier (KeyError('dualpt.classifier')))"),
        (CONTEXTS, contexts({"dualpt.prompts": "{"}), "(not a file of learned prompts (JSONDecodeError("),
        (CONTEXTS, contexts({"dualpt.prompts": "{}"}), "(not a file of learned prompts (KeyError('schema_version')))"),
        (CONTEXTS, FITTED, "(not a file of learned contexts (no tensor 'contexts' of shape (N, L, W)))"),
        (CONTEXTS, contexts({}, torch.nan), "values that are not finite"),
        (CONTEXTS, contexts({"cell_key": "other"}), "of another cell (other…)"),
        ("setting.json", b"\x93", "(not JSON:"),
        ("setting.json", b"{", "(not JSON:"),
        ("setting.json", b"[" * 100_000, "(not JSON:"),
        ("setting.json", b"3", "(it holds something else)"),
        ("per_class.json", b'{"test": 3}', "(it holds something else)"),
        ("per_class.json", b'{"test": {"a": "most"}}', "(it holds something else)"),
        ("per_class.json", json.dumps({"test": {"a": float("inf")}}).encode(), "(it holds something else)"),
    ],
    ids=range(17),
)
def test_a_damaged_file_is_said_in_one_line(place: str, content: bytes, said: str, tmp_path: Path) -> None:
    found = fault(place, content, tmp_path)
    assert found is not None
    assert said in found
    assert "\n" not in found
    assert str(tmp_path) not in found


WORDS = "a photo of a " * 1000
SETTING = json.dumps(
    {"method": "prompt", "optim.epochs": 3, "optim.momentum": 0.9, "data.root": "/there", "prompt.init": WORDS}
).encode()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"method": "prompt", "optim.epochs": "3", "optim.momentum": "0.9", "data.dataset": "mini-pets"}, None),
        ({"method": "prompt", "data.root": "/here", "chosen.alpha": "3.0"}, None),
        ({"method": "prompt", "prompt.init": WORDS[:MAX_PARAM_VAL_LENGTH]}, None),  # as MLflow cuts it off
        ({"method": "prompt", "optim.epochs": "30"}, "optim.epochs is 3 in it and 30 on record"),
        ({"method": "gda"}, "method is prompt in it and gda on record"),
        ({"method": "own", "method.source": "f" * 64}, None),
        ({"method": "prompt", "optim.weight_decay": "0.0005"}, None),  # a default that is not in the file
        ({"method": "prompt", "optim.weight_decay": "0.1"}, "optim.weight_decay is 0.0005 in it and 0.1 on record"),
        ({"method": "rla", "method.source": "f" * 64, "rla.steps": "2"}, "it lacks rla.steps"),
    ],
    ids=range(9),
)
def test_a_setting_that_is_not_its_runs_is_said(params: dict[str, str], said: str | None, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(SETTING)
    run = RUN.model_copy(update={"params": params})
    expected = said and f"has the file setting.json of another run ({said})"
    assert fault_of_file(run, "setting.json", tmp_path / "file") == expected
    copied = run.model_copy(update={"tags": {**RUN.tags, records.REUSED_TAG: "b" * 32}})
    assert fault_of_file(copied, "setting.json", tmp_path / "file") is None


def test_what_was_learned_belongs_to_no_trial(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(SOUND)
    trial = RUN.model_copy(update={"tags": {}})
    assert fault_of_file(trial, CONTEXTS, tmp_path / "file") == f"has the file {CONTEXTS} of another cell (key…)"


@pytest.mark.parametrize("place", ["failure.txt", "access/host.txt", "more/setting.json"])
def test_what_is_for_people_may_hold_anything(place: str) -> None:
    assert not is_read(place)
