"""Launch the small sweep in a process of its own, to be interrupted or killed: FOLDER SECONDS_A_PACK [KEY=JSON]..."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.launching.launch import launch
from tests.sweeps.fake_runner import fake_key, fake_runner, no_notes
from tests.sweeps.small_sweep import changed, declaration


def command_of(folder: Path, seconds: float, changes: Mapping[str, object] | None = None) -> list[str]:
    """The command that launches it.

    Args:
        folder: where its stores and the log of what it trains lie.
        seconds: of a pack.
        changes: dotted keys of the sweep file -> other values.
    """
    words = [f"{key}={json.dumps(value)}" for key, value in (changes or {}).items()]
    return [sys.executable, "-m", "tests.sweeps.sweep_process", str(folder), str(seconds), *words]


def started(command: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """A command in its own process group, as a terminal starts it; all that it says can be read from `stdout`."""
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=environment,
    )


def main() -> None:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    changes = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in sys.argv[3:])}
    sweep = check_sweep(changed(declaration(folder), changes), "test")
    outcome = launch(
        sweep, console=Console(), runner=fake_runner(folder / "trained.log", seconds), key=fake_key, notes=no_notes
    )
    print(json.dumps(outcome.summary()))
    sys.exit(outcome.exit_code)


if __name__ == "__main__":
    main()
