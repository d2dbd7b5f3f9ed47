"""`dualpt remove`: gone from both stores, and what MLflow keeps can be restored."""

from pathlib import Path

from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.search.study_upkeep import studies_of
from tests.command_line import answer
from tests.sweeps.steering.a_launch import SMALL, declared


def test_a_removed_sweep_is_gone_from_both_stores_and_can_be_restored(store: str, tmp_path: Path) -> None:
    experiment = Ledger(store).named_experiment("small")
    said = answer(("remove", "small", "--yes", "--store", store))
    assert said.code == 0, said.error
    assert f"3 trials with 3 finished cells in {store} (experiment {experiment})" in said.out
    assert "Optuna's study 'small' with" in said.out
    assert f"mlflow experiments restore --experiment-id {experiment}" in said.out
    assert not Ledger(store).sweeps()
    assert not studies_of(declared(tmp_path, **SMALL).file.run.study_storage, "small")
    with Ledger(store).calls() as client:
        client.restore_experiment(experiment)
    assert len(Ledger(store).read_cells("small")) == 3
