"""What each worker of a running launch trains, and its GPU, as a table of `dualpt status`."""

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from dualpt.sweeps.dispatch.worker_reports import WorkerReport


def workers_table(reports: Sequence[WorkerReport]) -> list[Table]:
    """One row per worker; no table where none reports."""
    if not reports:
        return []
    table = Table("worker", "trains", "epoch", "loss", "GPU memory", "busy", header_style="bold", box=box.SIMPLE_HEAD)
    for report in reports:
        gpu = report.gpu
        busy = "" if gpu is None else "unknown" if gpu.busy is None else f"{gpu.busy} %"
        epoch, loss = report.epochs_text.removeprefix("epoch "), report.loss_text.removeprefix("loss ")
        memory = "no GPU" if gpu is None else gpu.memory()
        table.add_row(escape(f"{report.worker} on {report.host}"), escape(report.place), epoch, loss, memory, busy)
    return [table]
