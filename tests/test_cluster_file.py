"""`ray_cluster.yaml` is accepted by Ray's own schema, offline, and installs what the project is tested with."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cluster() -> dict[str, object]:
    return yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())


def test_ray_accepts_the_cluster_file(cluster: dict[str, object]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster))


def test_workers_scale_from_zero_on_spot(cluster: dict) -> None:
    worker = cluster["available_node_types"]["gpu_worker"]
    assert worker["min_workers"] == 0
    assert worker["max_workers"] <= cluster["max_workers"]
    assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert worker["resources"]["GPU"] >= 1


def test_every_machine_installs_the_tested_versions(cluster: dict) -> None:
    assert any("--constraint constraints.txt" in command for command in cluster["setup_commands"])
    assert any("mlflow server" in command for command in cluster["head_start_ray_commands"])


def test_constraints_hold_versions_and_no_addresses() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all("==" in line and "/" not in line for line in lines)
