"""What is private of Ray: all of it is where it was, and the doctor says when another release is installed."""

import io
import re
from pathlib import Path

import pytest
from ray._private.accelerators import get_accelerator_manager_for_resource
from ray._private.resource_and_label_spec import ResourceAndLabelSpec
from rich.console import Console

import dualpt.sweeps
from dualpt.core.errors import UserError
from dualpt.sweeps import ray_private
from dualpt.sweeps.tools import doctor

SWEEPS = Path(dualpt.sweeps.__path__[0])
PRIVATE = re.compile(r"\bray(\.\w+)*\._\w+|\bfrom ray(\.\w+)* import _\w+|\btemporary_state\b")


def test_nothing_private_of_ray_is_used_elsewhere() -> None:
    users = {path.relative_to(SWEEPS).as_posix() for path in SWEEPS.rglob("*.py") if PRIVATE.search(path.read_text())}
    assert users == {"ray_private.py"}


def test_the_installed_release_has_all_of_it() -> None:
    assert ray_private.missing() == []


@pytest.mark.parametrize(
    "name", ["ray._private.worker._no_switch", "ray._private.no_module.name", "ray._private.state.state.nothing"]
)
def test_what_another_release_lacks_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(ray_private, "NAMES", (*ray_private.NAMES, name))
    assert ray_private.missing() == [name]


def test_the_release_that_was_read_is_the_one_that_constraints_pin() -> None:
    constraints = SWEEPS.resolve().parent / "constraints.txt"
    assert f"ray=={ray_private.READ_FROM}" in constraints.read_text().splitlines()


def test_the_doctor_names_another_release(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._ray().startswith(ray_private.installed())
    monkeypatch.setattr(ray_private, "installed", lambda: "3.1.0")
    assert f"this version was written for ray {ray_private.READ_FROM}" in doctor._ray()
    monkeypatch.setattr(ray_private, "missing", lambda: ["ray._private.worker._worker_logs_enabled"])
    with pytest.raises(UserError, match=r"ray 3\.1\.0 lacks ray\._private\.worker\._worker_logs_enabled"):
        doctor._ray()


def test_the_doctor_shows_it_among_its_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_private, "installed", lambda: "3.1.0")
    monkeypatch.setattr(doctor, "_training_step", lambda: "skipped")
    text = io.StringIO()
    assert doctor.examine(Console(file=text, width=400)) == 0
    assert "ray: 3.1.0: everything private to Ray that is used here is still there" in text.getvalue()


@pytest.mark.parametrize(
    ("there", "visible", "counted"), [(0, None, 0), (0, "0", 0), (2, None, 2), (2, "1", 1), (2, "", 0), (1, "0,1", 1)]
)
def test_gpus_are_counted_as_ray_does_when_it_starts(
    monkeypatch: pytest.MonkeyPatch, there: int, visible: str | None, counted: int
) -> None:
    manager = get_accelerator_manager_for_resource("GPU")
    monkeypatch.setattr(manager, "get_current_node_num_accelerators", lambda: there)
    name = manager.get_visible_accelerator_ids_env_var()
    monkeypatch.delenv(name, raising=False)
    if visible is not None:
        monkeypatch.setenv(name, visible)
    assert ray_private.gpus_counted() == counted
    by_ray = ResourceAndLabelSpec._get_current_node_accelerator(num_gpus=None, resources={})
    assert by_ray == ((manager, counted) if counted else (None, 0))
