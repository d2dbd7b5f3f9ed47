"""What each worker of a running launch trains, and its GPU, as a table of `dualpt status`."""

from collections.abc import Sequence

from rich import box
from rich.markup import escape

from dualpt.sweeps.dispatch.worker_reports import WorkerReport
from dualpt.sweeps.word_table import WordTable


def workers_table(reports: Sequence[WorkerReport]) -> list[WordTable]:
    """One row per worker; no table where none reports."""
    if not reports:
        return []
    table = WordTable("worker", "trains", "epoch", "loss", "GPU memory", "busy", look=box.SIMPLE_HEAD)
    for report in reports:
        gpu = report.gpu
        busy = "" if gpu is None else "unknown" if gpu.busy is None else f"{gpu.busy} %"
        epoch, loss = report.epochs_text.removeprefix("epoch "), report.loss_text.removeprefix("loss ")
        memory = "no GPU" if gpu is None else gpu.memory()
        table.add_row(escape(f"{report.worker} on {report.host}"), escape(report.place), epoch, loss, memory, busy)
    return [table]
