"""The floor plan: the page, the import rules and the tree say the same, and tests stand where the source does."""

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text()
CONTRACTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
FLOORS = ("core", "search_spaces", "sweeps")
BESIDE = ("benchmarks",)
"""What stands beside the floors, and has rooms as well."""
MOST_MODULES = 15
"""In one folder, so that `ls` can be read."""

PLAIN_BY_FOLDER: dict[str, set[str]] = {
    "core": {"reading"},
    "search_spaces": set(),
    "sweeps": {"data", "features", "inspect", "predict", "report"},
}
"""Basenames that occur twice on a floor and whose folder makes plain what they are."""

ACROSS_MODULES: dict[str, set[str]] = {
    "core": {
        "choosing_methods",
        "folder_links",
        "inspection",
        "key_without_trace",
        "missing_class",
        "no_dead_knobs",
        "numerics",
        "on_gpu",
        "reading_descriptions",
        "singular",
        "start_up",
        "transfer",
        "uneven_draws",
    },
    "search_spaces": set(),
    "sweeps": {
        "collisions",
        "damaged_studies",
        "describe",
        "dispatcher_at_random",
        "figures",
        "launch_processes",
        "on_a_cluster",
        "packing_settings",
        "restarting",
        "sessions_in_turn",
        "signals",
        "slurm",
        "stopped_trials",
        "transfer_sweep",
        "using_results",
    },
}
"""Test files about several modules at once, by the behaviour that they hold."""


def rooms(floor: str) -> set[str]:
    """Folders and modules directly on a floor."""
    entries = {path.parent.name for path in (REPOSITORY / floor).glob("*/__init__.py")}
    return entries | {path.stem for path in (REPOSITORY / floor).glob("*.py") if path.stem != "__init__"}


def packages() -> list[Path]:
    return sorted(path.parent for floor in (*FLOORS, *BESIDE) for path in (REPOSITORY / floor).rglob("__init__.py"))


def modules(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("__"))


@pytest.mark.parametrize("floor", FLOORS)
def test_the_page_the_import_rules_and_the_tree_name_the_same_rooms(floor: str) -> None:
    (contract,) = (one for one in CONTRACTS if one.get("containers") == [f"dualpt.{floor}"])
    layered = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    table = ARCHITECTURE.split(f"| `{floor}/` | |")[1].split("\n\n")[0]
    described = {name.removesuffix("/").removesuffix(".py") for name in re.findall(r"`([a-z_]+(?:/|\.py))`", table)}
    assert contract["exhaustive"]
    assert layered == rooms(floor)
    assert described == rooms(floor)


def test_a_folder_can_be_read_at_a_glance() -> None:
    assert {str(folder): n for folder in packages() if (n := len(modules(folder))) > MOST_MODULES} == {}


@pytest.mark.parametrize("folder", [one for one in packages() if one.parent != REPOSITORY], ids=lambda one: one.name)
def test_a_room_says_what_its_modules_are_for(folder: Path) -> None:
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    assert [name for name in modules(folder) if f"`{name}`" not in said] == []


def test_every_module_of_the_map_exists() -> None:
    rows = [line for line in (REPOSITORY / "docs" / "modules.md").read_text().splitlines() if line.startswith("| `")]
    now = {name for row in rows for name in re.findall(r"`dualpt\.([\w.]+)`", row)}
    places = {name: REPOSITORY / name.replace(".", "/") for name in now}
    assert len(rows) > 200
    assert [name for name, path in places.items() if not path.is_dir() and not path.with_suffix(".py").is_file()] == []


@pytest.mark.parametrize("floor", FLOORS)
def test_a_basename_says_which_module_is_meant(floor: str) -> None:
    inside = [folder for folder in packages() if folder.is_relative_to(REPOSITORY / floor)]
    names = Counter(name for folder in inside for name in modules(folder))
    assert {name for name, n in names.items() if n > 1} == PLAIN_BY_FOLDER[floor]


@pytest.mark.parametrize("floor", FLOORS)
def test_tests_stand_where_the_source_does(floor: str) -> None:
    tests = REPOSITORY / "tests" / floor
    strays = {
        path.stem.removeprefix("test_")
        for path in tests.rglob("test_*.py")
        if not (REPOSITORY / floor / path.parent.relative_to(tests) / f"{path.stem.removeprefix('test_')}.py").exists()
    }
    assert strays == ACROSS_MODULES[floor]
