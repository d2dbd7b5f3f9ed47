"""What the package imports, it declares; and nothing that it declares is unused without a reason."""

import ast
import functools
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

REPOSITORY = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
FLOORS = ("core", "search_spaces", "sweeps")
NOT_IMPORTED = {
    "cmaes": "Optuna's CMA-ES sampler imports it",
}
"""Declared, though no module of the project imports them."""
NOT_DECLARED = {
    "triton": "torch brings it where there are CUDA devices, pinned to its release; without it torch's kernels stay",
}
"""Imported, though not declared."""


def normal(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    return {normal(re.split(r"[\s<>=!~\[;]", line, maxsplit=1)[0]) for line in PYPROJECT["dependencies"]}


@functools.cache
def imported() -> dict[str, set[str]]:
    """Top-level modules that the project imports -> the files that do, type-checking and lazy imports included."""
    found: dict[str, set[str]] = {}
    for path in (path for floor in FLOORS for path in (REPOSITORY / floor).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(str(path.relative_to(REPOSITORY)))
    return {name: files for name, files in found.items() if name not in sys.stdlib_module_names and name != "dualpt"}


@functools.cache
def distributions() -> dict[str, set[str]]:
    """Top-level module -> the installed distributions that provide it."""
    return {module: set(map(normal, names)) for module, names in packages_distributions().items()}


def test_every_import_is_a_declared_dependency() -> None:
    provided, wanted = distributions(), declared()
    undeclared = {
        f"{module} ({', '.join(sorted(files)[:2])})": sorted(provided.get(module, ()))
        for module, files in imported().items()
        if module not in NOT_DECLARED and not provided.get(module, set()) & wanted
    }
    assert not undeclared, "declare what provides these in pyproject.toml"


def test_every_declared_dependency_is_imported_or_says_why() -> None:
    provided = distributions()
    used = {name for module in imported() for name in provided.get(module, ())}
    assert declared() - used == set(NOT_IMPORTED)


def test_the_lowest_versions_that_are_tried_are_those_that_are_admitted() -> None:
    lines = (REPOSITORY / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    tried = [Requirement(line) for line in lines if not line.startswith("#")]
    admitted = [Requirement(line) for line in PYPROJECT["dependencies"]]
    assert [(wanted.name, bound(wanted)) for wanted in tried] == [(wanted.name, bound(wanted)) for wanted in admitted]


def bound(wanted: Requirement) -> Version:
    """The single version that a requirement names, as `==` or `>=`."""
    (specifier,) = wanted.specifier
    return Version(specifier.version)


def test_releases_of_mlflow_that_open_no_database_are_excluded() -> None:
    """They import a pool that SQLAlchemy 2.1 has removed."""
    (mlflow,) = (wanted for wanted in map(Requirement, PYPROJECT["dependencies"]) if wanted.name == "mlflow")
    assert [version for version in ("3.5.0", "3.8.1", "3.9.0") if version in mlflow.specifier] == ["3.9.0"]


@pytest.mark.xdist_group("ray")
def test_a_group_of_tests_is_kept_in_one_process(request: pytest.FixtureRequest) -> None:
    """Those of this one share a Ray, which takes seconds to start and half of the machine."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("not under `--dist loadgroup`")
    assert request.node.nodeid.endswith("@ray")


def test_tests_of_no_group_stay_with_their_file() -> None:
    """Two processes would make what its module's fixtures make twice."""
    pytest.importorskip("xdist")
    from tests.files_in_turn import FilesInTurn

    nodes = ("a/test_a.py::test_one", "a/test_a.py::Test::test_two[x@y::z]", "a/test_a.py::test_three@ray")
    scheduler = FilesInTurn.__new__(FilesInTurn)
    assert [scheduler._split_scope(node) for node in nodes] == ["a/test_a.py", "a/test_a.py", "ray"]
