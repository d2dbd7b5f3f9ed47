"""What a wheel installs: one package, `dualpt`, whose sweeps run beside other packages named as our floors are."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FLOORS = ("core", "search_spaces", "sweeps")
TINY = ["datasets=[mini-tiles]", "shots=[1]", "seeds=[1]", "optim.epochs=2", "search.trials=1", "baselines=[]"]

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source")
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=REPOSITORY).split(b"\0")
    subprocess.run(["cp", "-a", "--parents", *filter(None, tracked), source], cwd=REPOSITORY, check=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        source,
    ]
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment that holds the wheel; dependencies are those of the running one, which it can see."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel]
    subprocess.run(command, check=True)
    site_packages = next(folder.glob("lib/python*/site-packages"))
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture
def occupied(tmp_path: Path) -> Path:
    """A folder with packages that are called as our floors are, and that nobody may import."""
    for floor in FLOORS:
        (tmp_path / floor).mkdir()
        (tmp_path / floor / "__init__.py").write_text("raise ImportError('the package of somebody else')\n")
    return tmp_path


def run(*command: object, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "RAY_ADDRESS"}}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_one_package_with_its_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"dualpt"}
    tracked = subprocess.check_output(["git", "ls-files", *FLOORS], cwd=REPOSITORY, text=True).split()
    assert {f"dualpt/{name}" for name in tracked} <= set(names)


def test_no_top_level_names_but_dualpt(python: Path, tmp_path: Path) -> None:
    check = "from importlib.util import find_spec; import dualpt; print(dualpt.__file__)\n" + "".join(
        f"assert find_spec('{floor}') is None, '{floor}'\nimport dualpt.{floor}\n" for floor in FLOORS
    )
    assert Path(run(python, "-c", check, cwd=tmp_path).strip()).is_relative_to(python.parents[1])


def test_the_installed_wheel_sweeps_beside_packages_of_the_same_names(python: Path, occupied: Path) -> None:
    printed = run(python.with_name("dualpt"), "sweep", "demo", *TINY, cwd=occupied)
    assert "trained" in printed


def test_this_installation_sweeps_beside_packages_of_the_same_names(occupied: Path) -> None:
    """An editable one, as a rule: `make` and CI install so."""
    printed = run(Path(sys.executable).with_name("dualpt"), "sweep", "demo", *TINY, cwd=occupied)
    assert "trained" in printed
