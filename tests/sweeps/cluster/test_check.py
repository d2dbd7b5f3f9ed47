"""`dualpt cluster check` on the files that ship, and on damaged ones: each fault is named where it is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.search_spaces.shipped import shipped_or_path
from dualpt.search_spaces.sweep_file import load_sweep
from dualpt.sweeps.cluster.check import check_file, show_check

ROOT = Path(__file__).parents[3]
SHIPPED = ("ray_cluster.yaml", "docs/cluster/local.yaml", "docs/cluster/kuberay.yaml")
EDITED = {
    "ami-00000000000000000": "ami-0123456789abcdef0",
    "192.0.2.": "10.0.0.",
    "EDIT_USER": "ada",
    "EDIT_SHARED": "efs",
    "EDIT_REGISTRY": "registry.example.org",
}
Change = Callable[[Any], None]


def edited(name: str) -> str:
    """A file that ships, as a user has filled it in."""
    text = (ROOT / name).read_text()
    for placeholder, value in EDITED.items():
        text = text.replace(placeholder, value)
    return text


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write an edited file with a change, beside the project's constraints."""
    (tmp_path / "constraints.txt").write_text((ROOT / "constraints.txt").read_text())

    def write(name: str = "ray_cluster.yaml", change: Change | None = None) -> Path:
        documents = list(yaml.safe_load_all(edited(name)))
        if change is not None:
            change(documents[-1])
        path = tmp_path / "cluster.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        return path

    return write


@pytest.mark.parametrize("name", SHIPPED)
def test_the_files_that_ship_are_good_once_they_are_edited(name: str, written: Callable[..., Path]) -> None:
    assert check_file(written(name)) == []


@pytest.mark.parametrize("name", SHIPPED)
def test_the_files_that_ship_say_what_is_to_be_edited(name: str) -> None:
    findings = check_file(ROOT / name)
    assert findings
    assert all("placeholder" in finding.text for finding in findings)


def in_commands(section: str, old: str, new: str) -> Change:
    def change(document: Any) -> None:
        before = document[section]
        document[section] = [command.replace(old, new) for command in before]
        assert document[section] != before, "the damage is done"

    return change


def at(dotted: str, value: Any) -> Change:
    """Set a key, or remove it with None."""

    def change(document: Any) -> None:
        *above, last = dotted.split(".")
        for key in above:
            document = document[int(key) if isinstance(document, list) else key]
        if value is None:
            del document[last]
        else:
            document[last] = value

    return change


WORKER = "available_node_types.gpu_worker"
SQLITE = "sqlite:///m.db"
JOB = "spec.rayClusterSpec"
DAMAGED: list[tuple[str, Change, str, str]] = [
    ("ray_cluster.yaml", at("docker.image", "rayproject/ray:2.40.0-py311-gpu"), "docker.image", "2.60.0"),
    ("ray_cluster.yaml", at("docker.image", "rayproject/ray:2.60.0-py310-gpu"), "docker.image", "3.11"),
    ("ray_cluster.yaml", at("setup_commands", ["pip install ray==2.9.0"]), "setup_commands", "2.60.0"),
    ("ray_cluster.yaml", at("setup_commands", []), "setup_commands", "nothing installs"),
    (
        "ray_cluster.yaml",
        in_commands("setup_commands", "--constraint constraints.txt", ""),
        "setup_commands",
        "without --constraint",
    ),
    ("ray_cluster.yaml", at("file_mounts", {}), "setup_commands[0]", "file_mounts does not fill"),
    ("ray_cluster.yaml", at(f"{WORKER}.resources", {"CPU": 16}), f"{WORKER}.resources", "not declared"),
    ("ray_cluster.yaml", at(f"{WORKER}.resources.GPU", 0.5), f"{WORKER}.resources.GPU", "schema"),
    (
        "ray_cluster.yaml",
        at("head_start_ray_commands", ["ray start --head"]),
        "head_start_ray_commands",
        "mlflow server",
    ),
    (
        "ray_cluster.yaml",
        in_commands("head_start_ray_commands", "--host $(hostname -i)", "--host 127.0.0.1"),
        "head_start_ray_commands[2]",
        "--host $(hostname -i)",
    ),
    (
        "ray_cluster.yaml",
        in_commands("head_start_ray_commands", "RAY_AUTH_MODE=token ", ""),
        "head_start_ray_commands",
        "anyone who reaches this machine can run code on it",
    ),
    (
        "docs/cluster/local.yaml",
        in_commands("worker_start_ray_commands", "RAY_AUTH_MODE=token ", ""),
        "worker_start_ray_commands",
        "RAY_AUTH_MODE=token",
    ),
    ("docs/cluster/local.yaml", at("file_mounts", {"~/dualpt": "."}), "file_mounts", "the token isn't mounted"),
    (
        "ray_cluster.yaml",
        in_commands("head_start_ray_commands", "--port=6379", "--port=6379 --dashboard-host=0.0.0.0"),
        "head_start_ray_commands[3]",
        "the dashboard, which runs jobs, listens on every interface",
    ),
    (
        "ray_cluster.yaml",
        in_commands("head_start_ray_commands", "dualpt@127.0.0.1", "dualpt:hunter2@127.0.0.1"),
        "head_start_ray_commands[2]",
        "postgresql+psycopg://dualpt:…@127.0.0.1 carries a password",
    ),
    (
        "ray_cluster.yaml",
        in_commands("head_start_ray_commands", "--port=6379", "--port=6379 --dashboard-host '::'"),
        "head_start_ray_commands[3]",
        "the dashboard, which runs jobs, listens on every interface",
    ),
    (
        "ray_cluster.yaml",
        in_commands("head_start_ray_commands", "nohup mlflow", "PGPASSWORD=hunter2 nohup mlflow"),
        "head_start_ray_commands[2]",
        "PGPASSWORD is written out",
    ),
    (
        "ray_cluster.yaml",
        at("setup_commands", ["redis-cli -u redis://:hunter2@10.0.0.1 ping"]),
        "setup_commands[0]",
        "redis://:…@10.0.0.1 carries a password",
    ),
    (
        "ray_cluster.yaml",
        at("docker.run_options", ["--env MLFLOW_TRACKING_PASSWORD=hunter2"]),
        "docker.run_options[0]",
        "MLFLOW_TRACKING_PASSWORD is written out",
    ),
    (
        "ray_cluster.yaml",
        at("provider.security_group", {"IpPermissions": [{"FromPort": 8265, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]}),
        "provider.security_group",
        "ports 8265 to all are open to the whole internet",
    ),
    (
        "docs/cluster/kuberay.yaml",
        at(f"{JOB}.headGroupSpec.template.spec.containers.0.env", [{"name": "PGPASSWORD", "value": "hunter2"}]),
        "headGroupSpec.template.spec.containers[0].env[0]",
        "PGPASSWORD is written out",
    ),
    (
        "docs/cluster/kuberay.yaml",
        at(f"{JOB}.headGroupSpec.serviceType", "LoadBalancer"),
        "spec.headGroupSpec.serviceType",
        "LoadBalancer opens the head",
    ),
    ("docs/cluster/kuberay.yaml", at(f"{JOB}.authOptions", None), "spec.authOptions", "can run code there"),
    (
        "docs/cluster/kuberay.yaml",
        at("spec.entrypoint", "dualpt sweep demo run.tracking_uri=http://ada:hunter2@m:5000"),
        "spec.entrypoint",
        "carries a password",
    ),
    (
        "ray_cluster.yaml",
        in_commands("head_start_ray_commands", "--artifacts-destination", "--default-artifact-root"),
        "head_start_ray_commands[2]",
        "own disks",
    ),
    (
        "ray_cluster.yaml",
        in_commands("head_start_ray_commands", "--autoscaling-config=~/ray_bootstrap_config.yaml", ""),
        "head_start_ray_commands",
        "no worker would ever be started",
    ),
    ("ray_cluster.yaml", in_commands("worker_start_ray_commands", ":6379", ":6380"), "worker_start", "6380"),
    ("ray_cluster.yaml", at("worker_start_ray_commands", ["ray stop"]), "worker_start", "would not join"),
    ("ray_cluster.yaml", at("max_workers", "many"), "max_workers", "schema"),
    ("ray_cluster.yaml", at("head_node_type", "boss"), "file", "head_node_type"),
    ("ray_cluster.yaml", at("provider.type", None), "file", "the key 'type' is missing"),
    ("docs/cluster/local.yaml", at("provider.head_ip", None), "file", "head_ip"),
    ("docs/cluster/kuberay.yaml", at(f"{JOB}.rayVersion", "2.9.0"), "spec.rayVersion", "2.60.0"),
    ("docs/cluster/kuberay.yaml", at("spec.entrypoint", "dualpt sweep demo"), "spec.entrypoint", "run.tracking_uri"),
    ("docs/cluster/kuberay.yaml", at(f"{JOB}.workerGroupSpecs.0.replicas", 9), "replicas", "between"),
    ("docs/cluster/kuberay.yaml", at(f"{JOB}.headGroupSpec.template.spec.volumes", []), "volumeMounts", "not a volume"),
    ("docs/cluster/kuberay.yaml", at("apiVersion", "ray.io/v1alpha1"), "apiVersion", "ray.io/v1"),
]


@pytest.mark.parametrize(("name", "change", "where", "text"), DAMAGED)
def test_damage_is_an_error_where_it_is(
    name: str, change: Change, where: str, text: str, written: Callable[..., Path]
) -> None:
    errors = [finding for finding in check_file(written(name, change)) if finding.level == "error"]
    assert any(where in finding.where and text in finding.text for finding in errors), errors
    assert not any("\n" in finding.text or "hunter2" in finding.text for finding in errors)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (at(f"{WORKER}.node_config.InstanceMarketOptions", None), "spot"),
        (at(f"{WORKER}.node_config.ImageId", "ami-0fedcba9876543210"), "different images"),
        (at(f"{WORKER}.max_workers", 20), "max_workers"),
        (at("rsync_exclude", []), "every machine"),
        (
            in_commands("head_start_ray_commands", "--host $(hostname -i)", "--host 0.0.0.0"),
            "opens the MLflow server on every interface, without a password",
        ),
        (
            in_commands("head_start_ray_commands", "--host $(hostname -i)", "-h '0.0.0.0'"),
            "opens the MLflow server on every interface, without a password",
        ),
        (
            in_commands("head_start_ray_commands", "postgresql+psycopg://dualpt@127.0.0.1/mlflow", "sqlite:///m.db"),
            "SQLite",
        ),
    ],
)
def test_what_only_costs_is_a_warning(change: Change, text: str, written: Callable[..., Path]) -> None:
    findings = check_file(written(change=change))
    assert [finding.level for finding in findings] == ["warning"]
    assert text in findings[0].text


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"run.cpus_per_trial": 32}, "32 CPU"),
        ({"run.gpus_per_trial": 2}, "2 GPU"),
        ({}, "is a file"),
    ],
)
def test_a_sweep_must_fit_the_machines(overrides: dict[str, Any], text: str, written: Callable[..., Path]) -> None:
    sweep = load_sweep(shipped_or_path("demo"), overrides)
    assert any(text in finding.text for finding in check_file(written(), sweep))
    servers = {"run.tracking_uri": "http://head:5000", "run.study_storage": "postgresql+psycopg://head/optuna"}
    assert check_file(written(), load_sweep(shipped_or_path("demo"), {"run.gpus_per_trial": 0.25, **servers})) == []


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a: [1", "not YAML in line"),
        ("", "mapping"),
        ("- 1", "mapping"),
        ("kind: Pod", "neither"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_cluster_file_is_one_line(tmp_path: Path, content: str | None, text: str) -> None:
    path = tmp_path / "cluster.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=text) as caught:
        check_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_programs_read_the_answer(written: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = written(change=at("docker.image", "rayproject/ray:2.40.0-py311-gpu"))
    assert show_check(Console(quiet=True), path, as_json=True) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["errors"] == 1
    assert answer["findings"][0]["where"] == "docker.image"
    assert show_check(Console(quiet=True), written()) == 0


def test_constraints_hold_versions_and_no_addresses() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all("==" in line and "/" not in line for line in lines)
