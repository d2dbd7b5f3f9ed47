"""docs/cluster/slurm.sh under stand-ins for Slurm, Ray and dualpt that write down how they were called."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "docs" / "cluster" / "slurm.sh"
STANDINS = {
    "scontrol": 'printf "node1\\nnode2\\n"; [ -z "${MANY_NODES:-}" ] || seq -f node%g 3 100000',
    # options first, then the command of the step; what Slurm sets in a step is already in the environment
    "srun": """
        echo "srun $*" >> "$CALLS"
        echo "${SRUN_CPUS_PER_TASK:-}" >> step_cpus
        while [[ "$1" == --* ]]; do shift; done
        exec "$@" """,
    "hostname": "echo 10.0.0.1",
    "ray": """
        echo "ray $*" >> "$CALLS"
        case "$1" in
          start) [ -z "${RAY_FAILS:-}" ] || { echo "no port" >&2; exit 1; }; touch started; exec sleep 60 ;;
          status) [ -e started ] ;;
        esac""",
    "python": 'case "$1" in -c) exec "$REAL_PYTHON" "$@" ;; -) cat > /dev/null; exit "${NODES_MISSING:-0}" ;; esac',
    "dualpt": """
        echo "dualpt $* RAY_ADDRESS=$RAY_ADDRESS" >> "$CALLS"
        stat -c %a "$RAY_AUTH_TOKEN_PATH" >> token_mode
        exit "${SWEEP_CODE:-0}" """,
}
Job = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Run the script as a job of one node, or of several: its exit code, the calls it made, what it said."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")
    for name, body in STANDINS.items():
        path = tools / name
        path.write_text(f"#!/usr/bin/env bash\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(*words: str, nodes: int = 1, **environment: str) -> tuple[int, list[str], str]:
        slurm: Mapping[str, str] = {
            "SLURM_JOB_ID": "4711",
            "SLURM_NNODES": str(nodes),
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_CPUS_PER_TASK": "16",
            "RECORDS": "login1",
        }
        given = {"PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "HOME": str(tmp_path)}
        given["REAL_PYTHON"] = sys.executable
        done = subprocess.run(
            ["bash", str(SCRIPT), *words],
            cwd=tmp_path,
            env={**given, **slurm, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, (tmp_path / "calls").read_text().splitlines(), done.stderr

    return run


@pytest.mark.parametrize("code", [0, 3, 4, 130])
def test_the_job_ends_with_the_sweeps_exit_code(job: Job, code: int, tmp_path: Path) -> None:
    ended, calls, _ = job("mini-grid", "run.gpus_per_trial=0.25", SWEEP_CODE=str(code))
    assert ended == code
    (sweep,) = (call for call in calls if call.startswith("dualpt"))
    assert sweep.startswith("dualpt sweep mini-grid run.gpus_per_trial=0.25 run.max_hours=11.5 ")
    assert "run.tracking_uri=http://login1:5000" in sweep
    assert sweep.endswith(f"RAY_ADDRESS=10.0.0.1:{20000 + 4711 % 4000 * 3}")


def test_a_job_whose_ray_does_not_start_fails_and_trains_nothing(job: Job) -> None:
    ended, calls, said = job("mini-grid", RAY_FAILS="1")
    assert ended == 1
    assert "Ray did not start on node1" in said
    assert not any(call.startswith("dualpt") for call in calls)


def test_a_job_that_lacks_nodes_fails_and_trains_nothing(job: Job) -> None:
    ended, calls, said = job("mini-grid", nodes=2, NODES_MISSING="1")
    assert ended == 1
    assert "not every node joined" in said
    assert not any(call.startswith("dualpt") for call in calls)


@pytest.mark.parametrize(
    ("environment", "gpus"),
    [
        ({"SLURM_GPUS_ON_NODE": "4"}, 4),  # however they were requested
        ({"SLURM_GPUS_PER_TASK": "a100:2"}, 2),
        ({"SLURM_GPUS_PER_NODE": "h100:8"}, 8),
        ({"SLURM_GPUS_PER_TASK": "1"}, 1),
        ({"SLURM_GPUS_PER_NODE": "a100"}, 1),
        ({}, 0),
    ],
)
def test_gpus_are_counted_however_they_were_requested(job: Job, environment: dict[str, str], gpus: int) -> None:
    ended, calls, _ = job("mini-grid", **environment)
    assert ended == 0
    (head,) = (call for call in calls if call.startswith("ray start"))
    assert f"--num-gpus={gpus} " in head
    assert "--num-cpus=16 " in head


def test_steps_have_the_cores_of_the_job(job: Job, tmp_path: Path) -> None:
    """Slurm's steps do not inherit --cpus-per-task."""
    assert job("mini-grid", nodes=2)[0] == 0
    assert set((tmp_path / "step_cpus").read_text().splitlines()) == {"16"}


def test_the_first_of_many_nodes_is_found(job: Job) -> None:
    """A reader that closes the pipe after one line ends scontrol by a signal, and with pipefail the job."""
    ended, calls, _ = job("mini-grid", MANY_NODES="1")
    assert ended == 0
    assert any("--nodelist=node1 " in call for call in calls)


def test_every_node_gets_ray_and_nobody_else_s_ray_is_stopped(job: Job, tmp_path: Path) -> None:
    ended, calls, _ = job("mini-grid", nodes=2)
    assert ended == 0
    assert [call.split()[-1].startswith("--address=10.0.0.1") for call in calls if "srun" in call and "node1" in call]
    assert sum("bash -c" in call for call in calls if call.startswith("srun")) == 2
    assert not any(call.startswith("ray stop") for call in calls)


def test_the_token_is_the_jobs_own_and_goes_with_it(job: Job, tmp_path: Path) -> None:
    assert job("mini-grid")[0] == 0
    assert (tmp_path / "token_mode").read_text().split() == ["600"]
    assert list(tmp_path.glob(".ray-token-*")) == []


def test_a_job_without_a_records_node_says_what_is_missing(job: Job, tmp_path: Path) -> None:
    (tmp_path / "calls").touch()
    ended, calls, said = job("mini-grid", RECORDS="")
    assert ended != 0
    assert "name the node with the MLflow server and PostgreSQL" in said
    assert calls == []
