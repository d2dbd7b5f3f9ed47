"""What a worker does about a disk that can't take what the cells need."""

from pathlib import Path

import pytest

from dualpt.core.errors import StorageError
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.workers.worker import train_pack
from tests.sweeps.fake_runner import FakeRunner
from tests.sweeps.running import open_dispatcher, shown
from tests.sweeps.small_sweep import Declare


class NoRoom(FakeRunner):
    def run(self, cells, report=None, checkpoint=None):  # type: ignore[no-untyped-def]
        raise StorageError("/cache: the disk is full; make room, or set DUALPT_CACHE to another folder")


def test_a_full_disk_fails_no_cell(declare: Declare, log: Path) -> None:
    sweep = declare(baselines=["coop"], search=None)
    unit = open_dispatcher(sweep).assign()
    assert unit is not None
    with pytest.raises(StorageError, match="the disk is full"):
        train_pack(NoRoom(log), Ledger(sweep.file.run.tracking_uri), unit.packs[0])  # type: ignore[arg-type]
    assert shown(sweep) == []
