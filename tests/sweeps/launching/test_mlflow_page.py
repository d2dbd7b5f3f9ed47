"""MLflow's page of a sweep opens on its trials, with the accuracies of its datasets as columns."""

import io
import json
from pathlib import Path

from mlflow import MlflowClient
from rich.console import Console

from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.launching.declaring import open_dispatcher
from dualpt.sweeps.launching.mlflow_page import page_of
from dualpt.sweeps.ledger.launch_record import launch_record
from dualpt.sweeps.ledger.trials_page import FILTER, KIND_TAG, MODELS, ORDER, SHARED_TAG
from dualpt.sweeps.planning.plan import plan_sweep
from tests.sweeps.fake_runner import fake_key
from tests.sweeps.running import finish
from tests.sweeps.small_sweep import Declare


def test_a_launch_tags_its_experiment_and_says_the_address(declare: Declare, log: Path) -> None:
    sweep, text = declare(), io.StringIO()
    shown = SweepProgress(Console(file=text, width=400))
    record = launch_record(sweep, "dualpt sweep small.yaml")
    dispatcher = open_dispatcher(sweep, plan_sweep(sweep), [], fake_key, shown, launched=record)
    finish(dispatcher, sweep, log)
    store = sweep.file.run.tracking_uri
    client = MlflowClient(store)
    experiment = client.get_experiment(dispatcher.experiment)
    assert experiment.tags[KIND_TAG] == MODELS
    state = json.loads(experiment.tags[SHARED_TAG])
    grid = [f"metrics.`grid/{place}/test/accuracy`" for place in ("mean", "mini-pets", "mini-cars", "mini-dishes")]
    assert state["selectedColumns"] == [ORDER, *grid]
    page, served = page_of(store, dispatcher.experiment)
    assert f"  in MLflow, while `{served}` runs:\n  {page}\n" in text.getvalue()
    # what the page asks the store for: all trials and nothing else, each with the columns
    found = client.search_runs([dispatcher.experiment], FILTER, order_by=[f"{ORDER} DESC"])
    assert len(found) == 2 + 4 + 1
    names = {column.split("`")[1] for column in state["selectedColumns"][1:]}
    assert all(names <= run.data.metrics.keys() for run in found if run.info.run_name in ("coop", "best"))
    values = [run.data.metrics[ORDER.split("`")[1]] for run in found if ORDER.split("`")[1] in run.data.metrics]
    assert values == sorted(values, reverse=True)


def test_the_address_is_the_servers_own_or_names_the_command() -> None:
    page = "/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=dualpt"
    assert page_of("https://mlflow.lab:5001/", "7") == (f"https://mlflow.lab:5001{page}", "")
    served = "mlflow ui --backend-store-uri 'sqlite:///my store.db'"
    assert page_of("sqlite:///my store.db", "7") == (f"http://127.0.0.1:5000{page}", served)
