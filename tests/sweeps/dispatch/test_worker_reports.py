"""Reports of workers: read as they were sent, forgotten when they rest, small enough for a tag."""

import json
from dataclasses import replace

from dualpt.sweeps.dispatch.worker_reports import (
    MOST_KEPT,
    STALE_SECONDS,
    FreshReports,
    GpuState,
    WorkerReport,
    kept,
    report_from,
    reports_in,
)
from dualpt.sweeps.ledger.contents import LONGEST_TAG

GPU = GpuState("NVIDIA H100 80GB HBM3", 3.14, 79.6, 12.4, 87)
REPORT = WorkerReport(2, "a-machine-of-a-cluster-17", "trial-004", "DescribableTextures", 3, 12, 50, 1.23456789, GPU)


def test_a_report_is_read_as_it_was_sent() -> None:
    assert report_from(REPORT.text()) == REPORT
    assert reports_in(json.loads(json.dumps([REPORT.document()]))) == [REPORT]
    assert report_from("") is report_from('{"worker": 1}') is None
    assert reports_in(None) == reports_in([{"worker": "of another version"}]) == []


def test_a_report_in_words() -> None:
    assert str(REPORT) == "trial-004 DescribableTextures epoch 12/50 loss 1.235"
    assert str(replace(REPORT, epoch=3, epochs=16, unit="fit", loss=None)) == "trial-004 DescribableTextures fit 3/16"
    assert str(replace(REPORT, epoch=0, epochs=0, loss=None)) == "trial-004 DescribableTextures"
    assert GPU.memory() == "3.1 GiB (12.4 of 80 in use)"
    assert replace(GPU, used_gib=None).memory() == "3.1 GiB"


def test_workers_that_have_fallen_silent_are_forgotten() -> None:
    seconds = 0.0
    fresh, silent = FreshReports(lambda: seconds), replace(REPORT, worker=1)
    notes = {"b": REPORT.text(), "a": silent.text(), "idle": ""}
    assert fresh.among(notes) == [silent, REPORT]
    seconds = STALE_SECONDS
    notes["b"] = replace(REPORT, beat=1).text()
    assert fresh.among(notes) == [replace(REPORT, beat=1)]


def test_what_a_driver_writes_down_fits_a_tag() -> None:
    many = [replace(REPORT, worker=number) for number in range(1000)]
    assert len(json.dumps(kept(many))) < LONGEST_TAG - 500
    assert [report.worker for report in reports_in(kept(many))] == list(range(MOST_KEPT))
    assert reports_in(kept([REPORT]))[0].loss == 1.235
    assert reports_in(kept([replace(REPORT, loss=0.44949)]))[0].loss_text == "loss 0.449", "0.450 if rounded twice"
