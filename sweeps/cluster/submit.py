"""`dualpt cluster submit`: a sweep as a Ray job, its log followed, its exit code returned."""

import asyncio
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from tenacity import Retrying, retry_if_exception_message, stop_after_delay, wait_fixed

from dualpt.core.errors import UserError
from dualpt.search_spaces.overrides import parse_overrides
from dualpt.search_spaces.shipped import shipped_or_path
from dualpt.search_spaces.sweep_file import load_sweep

COMMAND = "dualpt"
AGENT_SECONDS = 90.0
"""How long a head may take until jobs can start."""
UNKNOWN_EXIT = 1
"""Of a job that Ray ended before its process could."""


def submit_sweep(
    console: Console,
    file: str,
    overrides: Sequence[str],
    *,
    address: str,
    follow: bool = True,
    options: Sequence[str] = (),
) -> int:
    """Run `dualpt sweep` on the cluster's head.

    Args:
        console: where progress is printed; the job's log goes there too.
        file: a sweep file here, which is sent along, or the name of one that ships.
        overrides: `key=value` words.
        address: of the cluster's dashboard, such as http://head:8265.
        follow: print the job's log until it ends.
        options: further options of `dualpt sweep`.

    Returns:
        The job's exit code; 0 once it is submitted where it is not followed.

    Raises:
        UserError: no such sweep file, or no cluster takes jobs at the address.
    """
    path = shipped_or_path(file)
    load_sweep(path, parse_overrides(list(overrides)))  # its faults are known here at once
    client = _client(address)
    job, entrypoint = _submit(client, file, path, [*overrides, *options], address)
    console.print(f"submitted {job}: {entrypoint}", highlight=False, soft_wrap=True, markup=False)
    if not follow:
        console.print(
            f"  follow it with: ray job logs {job} --follow --address {address}", highlight=False, markup=False
        )
        return 0
    try:
        asyncio.run(_follow(client, job, console))
    except KeyboardInterrupt:
        console.print(
            f"  no longer followed; the job goes on. Stop it with: ray job stop {job} --address {address}",
            highlight=False,
            markup=False,
        )
        return 130
    return _exit_code(client, job, console)


def _submit(client: Any, file: str, path: Path, words: Sequence[str], address: str) -> tuple[str, str]:
    """Hand `dualpt sweep` to the cluster, with the sweep file at `path` unless it ships; the job, and its command."""
    with tempfile.TemporaryDirectory(prefix="dualpt-job-") as folder:
        environment: dict[str, Any] = {}
        word = file
        if path == Path(file):  # not one that ships: the head has no copy
            shutil.copy(path, folder)
            word, environment = path.name, {"working_dir": folder}
        entrypoint = shlex.join([COMMAND, "sweep", word, *words])
        try:
            return _patient()(client.submit_job, entrypoint=entrypoint, runtime_env=environment), entrypoint
        except Exception as error:
            raise UserError(f"--address {address}: the job was not taken ({_one_line(error)})") from None


async def _follow(client: Any, job: str, console: Console) -> None:
    async for text in client.tail_job_logs(job):
        console.out(text, end="", highlight=False)


def _exit_code(client: Any, job: str, console: Console) -> int:
    info = client.get_job_info(job)
    if info.driver_exit_code is not None:
        return int(info.driver_exit_code)
    if str(info.status) != "SUCCEEDED":
        console.print(f"job {job} {info.status}: {' '.join(str(info.message).split())}", highlight=False, markup=False)
        return UNKNOWN_EXIT
    return 0


def _patient() -> Retrying:
    """A head that has just started answers before it has an agent to give jobs to."""
    return Retrying(
        retry=retry_if_exception_message(match=".*No available agent.*"),
        stop=stop_after_delay(AGENT_SECONDS),
        wait=wait_fixed(2),
        reraise=True,
    )


def _client(address: str) -> Any:
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except AuthenticationError:
        raise UserError(
            f"--address {address}: the cluster requires its token; set RAY_AUTH_MODE=token, and put what "
            "`ray get-auth-token` prints on the head into ~/.ray/auth_token here"
        ) from None
    except Exception as error:
        raise UserError(
            f"--address {address}: no Ray cluster takes jobs there ({_one_line(error)}); name the dashboard, such as "
            "http://HEAD:8265"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
