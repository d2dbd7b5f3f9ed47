"""Names that Ray Tune makes folders of."""

from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

from dualpt.sweeps.workers.pool import shard_name


@pytest.mark.parametrize("name", ["ViT-B/16", "ä" * 200, "a\\b", "..", "costs $5"])
def test_any_trials_name_can_be_a_folder_of_tune(name: str) -> None:
    shard = SimpleNamespace(number=7, trial=SimpleNamespace(name=name))
    made = shard_name(SimpleNamespace(config={"shard": shard}))
    assert made.startswith("00007-")
    Trial(
        "training_function", trial_name_creator=lambda trial: made, trial_dirname_creator=lambda trial: made, stub=True
    )
    assert len(made.encode()) < 100


def test_tune_itself_takes_no_slash() -> None:
    with pytest.raises(ValueError, match="must not contain '/'"):
        Trial("training_function", trial_dirname_creator=lambda trial: "ViT-B/16", stub=True)
