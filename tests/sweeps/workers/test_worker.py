"""A worker: the threads it uses, and a disk that can't take what the cells need."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray import cloudpickle

from dualpt.core.errors import StorageError
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.stores.credentials import Credentials
from dualpt.sweeps.workers.worker import SweepWorker, train_pack
from dualpt.sweeps.workers.worker_config import WorkerConfig
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


def test_a_worker_uses_the_threads_it_was_given(declare: Declare, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray sets OMP_NUM_THREADS by itself: to 1 for half a core, or for none."""
    threads: list[int] = []
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(set_num_threads=threads.append))
    monkeypatch.setattr(WorkerConfig, "check_here", lambda self: None)
    uri = declare().file.run.tracking_uri
    config = WorkerConfig(lambda: FakeRunner(log), uri, threads=3)  # type: ignore[arg-type, return-value]
    worker = SweepWorker.__new__(SweepWorker)
    worker.setup({})
    worker.equip(cloudpickle.dumps((config, Credentials())))
    worker.step()
    worker.cleanup()
    assert threads == [3]


@pytest.mark.parametrize(("reserved", "seen"), [([], ""), (["0"], "0,1")])
def test_a_worker_that_reserved_no_gpu_sees_none(
    declare: Declare, log: Path, monkeypatch: pytest.MonkeyPatch, reserved: list[str], seen: str
) -> None:
    """Ray 2.60 leaves them visible, and the runner would take the first."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr("dualpt.sweeps.workers.worker.ray.is_initialized", lambda: True)
    monkeypatch.setattr("dualpt.sweeps.workers.worker.ray.get_gpu_ids", lambda: reserved)
    monkeypatch.setattr(WorkerConfig, "check_here", lambda self: None)
    visible: list[str] = []

    def runner() -> FakeRunner:
        visible.append(os.environ["CUDA_VISIBLE_DEVICES"])
        return FakeRunner(log)

    worker = SweepWorker.__new__(SweepWorker)
    worker.setup({})
    config = WorkerConfig(runner, declare().file.run.tracking_uri, threads=1)  # type: ignore[arg-type]
    worker._prepare(config, Credentials())
    worker.cleanup()
    assert visible == [seen]


def test_what_cannot_be_read_here_fails_the_first_step() -> None:
    """As on a machine with another version of this package: the call that brought it is awaited by nobody."""
    worker = SweepWorker.__new__(SweepWorker)
    worker.setup({})
    worker.equip(cloudpickle.dumps((SweepWorker, Credentials())).replace(b"SweepWorker", b"SweepPacker"))
    with pytest.raises(AttributeError, match="SweepPacker"):
        worker.step()


def test_lines_that_a_worker_prints_name_its_sweep_itself_and_ray_s_job(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = SweepWorker.__new__(SweepWorker)
    worker.setup({"number": 1, "sweep": "small"})
    assert repr(worker) == "small/worker-1"
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.get_runtime_context", lambda: SimpleNamespace(get_job_id=lambda: "02000000"))
    assert repr(worker) == "small/worker-1 job 02000000"
