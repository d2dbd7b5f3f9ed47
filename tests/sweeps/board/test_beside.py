"""Two sweeps side by side."""

from pathlib import Path

from dualpt.core.config.activity import active_values
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.board.beside import differences
from dualpt.sweeps.ledger.opening import open_reader
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import Declare


def test_only_what_differs_is_listed(done: LoadedSweep, declare: Declare, log: Path) -> None:
    second = declare(name="second", setting={"optim": {"epochs": 7}}, **{"grid.seeds": [1], "search.trials": 2})
    train_here(second, log)
    found = differences(open_reader(done.file.run.tracking_uri), ("small", "second"))
    rows = {key: values for key, *values in found["differing"]}
    assert rows["seeds"] == ["1, 2", "1"]
    assert rows["candidates"] == ["4", "2"]
    assert rows["optim.epochs"] == [active_values(done.reference)["optim.epochs"] or "null", "7"]
    assert rows["optim.epoch_scale"][1] == "not used"
    assert set(rows) == {"seeds", "candidates", "optim.epochs", "optim.epoch_scale"}
    assert found["equal"] > 10
    assert [row[0] for row in found["averages"][1]["rows"]] == ["zero-shot CLIP", "CoOp", "best of the sweep"]


def test_a_sweep_without_results_says_so(done: LoadedSweep, declare: Declare, log: Path) -> None:
    second = declare(name="second", setting={"optim": {"epochs": 7}}, baselines=["coop"])
    train_here(second, log, stop_after=0)
    found = differences(open_reader(done.file.run.tracking_uri), ("small", "second"))
    assert found["averages"][0]["absent"] == ""
    assert found["averages"][1]["absent"]
