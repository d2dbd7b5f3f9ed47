"""Draw the classes of the mini grid in a process per core.

The processes are plain `python -m dualpt.core.mini.drawing_pool`, fed line by line. Multiprocessing would import the
calling script again in each of them (a script without a `__main__` guard would then wait for itself for ever, holding
the grid's lock) and would load torch where only NumPy is needed. A worker whose parent dies reads the end of its input
and exits.
"""

import json
import os
import queue
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from dualpt.core.errors import StorageError, UserError
from dualpt.core.files.locations import CACHE_REMEDY
from dualpt.core.mini.drawing import draw_class

Task = tuple[Path, str, int]
"""Root of the grid, dataset, label."""
Drawn = tuple[str, int, str]
"""Dataset, label, hash of all pixels."""


def draw_classes(tasks: Sequence[Task]) -> Iterator[Drawn]:
    """Draw every class; results as they come.

    Raises:
        UserError: a worker could not write (the disk is full, say) or was killed.
    """
    if not tasks:
        return
    n_workers = min(os.cpu_count() or 1, len(tasks))
    workers = [_start() for _ in range(n_workers)]
    idle: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)
    threads = ThreadPoolExecutor(n_workers)
    try:
        for future in as_completed([threads.submit(_draw_elsewhere, idle, task) for task in tasks]):
            yield future.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.kill()
            worker.communicate()


def _start() -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dualpt.core.mini.drawing_pool"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def _draw_elsewhere(idle: "queue.SimpleQueue[subprocess.Popen[str]]", task: Task) -> Drawn:
    worker = idle.get()
    root, dataset, label = task
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        worker.stdin.write(json.dumps([str(root), dataset, label]) + "\n")
        worker.stdin.flush()
        answer = worker.stdout.readline()
    except BrokenPipeError:
        answer = ""
    idle.put(worker)
    if not answer:
        raise UserError(f"{root}: drawing {dataset} was cut off; the same command goes on where it stopped")
    result = json.loads(answer)
    if isinstance(result, str):
        raise StorageError(f"{root}: {dataset} can't be written ({result}); {CACHE_REMEDY}")
    return (dataset, label, result["pixels"])


def _serve() -> None:
    """Answer each task with the hash of its pixels, or with a line that says what went wrong."""
    for line in sys.stdin:
        root, dataset, label = json.loads(line)
        try:
            answer: object = {"pixels": draw_class(Path(root), dataset, label)}
        except OSError as error:
            answer = error.strerror or str(error)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
