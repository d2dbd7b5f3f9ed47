"""The command line as a newcomer types it: answers at once, one line for each fault, nothing half-written."""

import io
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.console import Console

from dualpt import search_spaces
from dualpt.core.config.setting import SETTING_KEYS
from dualpt.core.files.yaml_reader import read_yaml
from dualpt.search_spaces.shipped import shipped_folder, shipped_or_path
from dualpt.search_spaces.sweep_file import load_sweep
from dualpt.sweeps.cli import app
from dualpt.sweeps.launching.outcome import LaunchOutcome, report
from dualpt.sweeps.tools.settings import loaded
from tests.command_line import answer
from tests.sweeps.running import finished

DUALPT = [sys.executable, "-m", "dualpt"]
SHIPPED = sorted(path.stem for path in Path(search_spaces.__path__[0]).glob("mini-*.yaml"))
REPORTING = [["report"], ["inspect"], ["predict"], ["export"], ["import"]]
TINY = ["datasets=[mini-tiles]", "shots=[1]", "seeds=[1]", "optim.epochs=2"]


def dualpt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run([*DUALPT, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to type in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.mark.parametrize(
    ("imported", "heavy"),
    [
        ("dualpt.sweeps.cli", ("torch", "ray", "mlflow", "optuna", "pandas", "numpy", "PIL", "yaml", "pydantic")),
        ("dualpt.sweeps.planning.plan", ("torch", "ray", "mlflow", "optuna", "pandas")),
    ],
    ids=["--help", "a plan"],
)
def test_what_needs_no_heavy_library_loads_none(imported: str, heavy: tuple[str, ...]) -> None:
    check = f"import sys, {imported}\nprint(set({heavy}) & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout.strip() == "set()"


COMMANDS = ("train", "sweep", "compare", "figure", "evaluate", "ablate", "status", "spaces", "settings", "features")


@pytest.mark.parametrize(
    "command",
    [[], *([name] for name in COMMANDS), *REPORTING],
)
def test_every_command_has_help(command: list[str]) -> None:
    result = answer((*command, "--help"))
    assert result.code == 0
    assert "Usage" in result.out


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command prints, run in this process."""
    app(list(words), standalone_mode=False)
    return capsys.readouterr().out


def test_the_version_needs_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "--version") == f"dualpt {version('dualpt')}\n"


@pytest.mark.parametrize("command", [[], ["sweep"], ["spaces"], ["spaces", "show"], ["cluster", "check"]])
def test_h_is_help_everywhere(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert printed(capsys, *command, "-h") == printed(capsys, *command, "--help")


def test_a_shipped_file_is_shown_to_be_copied(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    copy = tmp_path / "mine.yaml"
    copy.write_text(printed(capsys, "spaces", "show", "demo"))
    assert load_sweep(copy).file == load_sweep(shipped_or_path("demo")).file
    listed = json.loads(printed(capsys, "spaces", "--json"))
    assert {("demo", "sweep"), ("components", "ablation")} <= {(one["name"], one["kind"]) for one in listed}


@pytest.mark.parametrize("file", ["demo", "components"])
def test_resolved_settings_are_a_file_that_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path, file: str) -> None:
    written = tmp_path / "mine.yaml"
    written.write_text(printed(capsys, "settings", "--resolved", file, "seeds=[7]", "optim.momentum=0.5"))
    again = loaded(str(written), {})
    assert (again.file.grid.seeds, again.reference.optim.momentum) == ([7], 0.5)
    assert again.space == loaded(file, {}).space


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_keys_and_words_are_never_cut(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("dualpt.sweeps.commands.help.out", Console(file=shown, width=width))
    app(["settings"], standalone_mode=False)
    lines = shown.getvalue().splitlines()
    keys = {*SETTING_KEYS, "run.tracking_uri", "search.race_confidence", "grid.targets"}
    assert {line.split()[0] for line in lines if line and line[0] != " "} >= keys
    shown.truncate(0)
    app(["spaces"], standalone_mode=False)
    assert set(read_yaml(shipped_folder() / "real-grid.yaml")["description"].split()) <= set(shown.getvalue().split())


FAULTS = [
    (["spaces", "show", "demoo"], "did you mean 'demo'?"),
    (["settings", "trials=3"], "trials=3: overrides belong to a sweep; name it with --resolved FILE"),
    (["settings", "gda", "clap"], "clap: name one method at a time"),
    (["settings", "--resolved", "demo", "optim.learning_rat=1"], "did you mean 'optim.learning_rate'?"),
    (["sweep", "--again", "demo"], "no such tracking store here; name the sweep's with run.tracking_uri=…"),
    (["sweep", "demoo"], "did you mean 'demo'?"),
    (["sweep", "demo", "optim.learning_rat=1"], "did you mean 'optim.learning_rate'?"),
    (["sweep", "demo", "datasets=[mini-pet]"], "did you mean 'mini-pets'?"),
    (["sweep", "demo", "datasets=[DescribableTextures]"], "data.root is not set"),
    (["sweep", "demo", "datasets=[DescribableTextures]", "data.root=nowhere"], "no folder 'nowhere'"),
    (["sweep", "demo", *TINY, "search.objective=test/accuracy"], "may not steer a search"),
    (["sweep", "demo", *TINY, "run.tracking_uri=sqlite:////proc/none/mlflow.db"], "/proc/none"),
    (["sweep", "demo", *TINY, "backbone.name=ViT-B-31"], "did you mean 'ViT-B-32'?"),
    (["sweep", "demo", *TINY, "backbone.name=ViT-B-32"], "backbone.pretrained"),
    (["sweep", "demo", *TINY, "--trials", "5"], "--trials: belongs to --simulate; a launch takes trials=N"),
    (["sweep", "demo", *TINY, "--simulate", "--gpus", ""], "--gpus"),
    (["sweep", "demo", *TINY, "--gpus", "2", "--dry-run"], "--gpus: belongs to --simulate"),
    (["sweep", "demo", *TINY, "--simulate", "--dry-run"], "--simulate, --dry-run and --only-failed: give one"),
    (["train", "--dataset", "mini-pets", "--seeds", "a"], "--seeds: 'a' names no seed"),
    (["train", "--dataset", "mini-pets", "--seeds=-1"], "--seeds: seeds are 0 or larger"),
    (["train", "--dataset", "mini-pets", "--save", "/proc/none"], "--save: /proc/none cannot be written"),
    (["train", "--dataset", "mini-pets", "--shots", "4", "data.shots=2"], "--shots 4 and data.shots=2 differ"),
    (["train", "--dataset", "mini-pets", "--method", "cop"], "did you mean 'coop'?"),
    (["train", "--dataset", "mini-pets", "--save", ""], "--save: the word after it is empty"),
    (["train", "--dataset", "mini-pets", "--method="], "--method: the word after it is empty"),
    (["train", "--dataset", "mini-pets", "--protocol", "base"], "unknown protocol 'base'"),
    (["train", "--dataset", "mini-pets", "prompt.n_prompts=0"], "prompt.n_prompts"),
    (["compare", "demo"], "no such tracking store"),
    (["ablate", "componets"], "did you mean 'components'?"),
    (["ablate", "components", "prompt.n_prompt=1"], "did you mean 'prompt.n_prompts'?"),
    (["ablate", "factorial-2x2", "alignment.llm_weight=0"], "both the reference's (alignment.llm_weight=0"),
    (["ablate", "components", "-o", "/proc/none/table.md"], "--output: /proc/none/table.md cannot be written"),
    (["ablate", "components", "--format", "xlm", "-o", "table.md"], "unknown format 'xlm'"),
    (["ablate", "components", "--format", "latex"], "--format: belongs to --output; name the file with -o FILE"),
    (
        ["features", "build", "mini-grid", "--seeds", "1,2"],
        "--seeds: belongs to --dataset; in mini-grid it is the key grid.seeds",
    ),
    (["figure", "curvs", "demo", "-o", "curves.png"], "did you mean 'curves'?"),
    (["figure", "curves", "demo", "-o", "curves.png"], "no such tracking store"),
    (["status"], "no such tracking store"),
    (["doctor", "--yes"], "--yes: goes with --clean"),
    (["doctor", "--store", "sqlite:///x.db"], "--store: goes with --clean"),
    (["report", "demo"], "no such tracking store"),
    (["inspect", "demo/best"], "no such tracking store"),
    (["export", "demo", "--out", "demo.zip"], "no such tracking store"),
    (["import", "demo.zip"], "no such archive"),
    (["predict", "--cell", "demo/best", "nowhere.png"], "no such image or folder"),
    (["compare", "demo", "--format", "xml"], "unknown format 'xml'"),
    (["compare", "demo", "--metric", "accuracy"], "unknown metric 'accuracy'"),
    (["compare", "demo", "--protocol", "few"], "unknown protocol 'few'"),
]


@pytest.mark.parametrize(("words", "said"), FAULTS, ids=[" ".join(words)[:60] for words, _ in FAULTS])
def test_each_fault_is_one_line_and_writes_nothing(here: Path, words: list[str], said: str) -> None:
    result = answer(tuple(words))
    assert result.code == 2, result.error
    assert said in result.error
    assert len(result.error.strip().splitlines()) == 1, result.error
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_a_fault_ends_the_process_with_one_line(tmp_path: Path) -> None:
    (words, said), *_ = FAULTS
    result = dualpt(tmp_path, *words)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert said in result.stderr


@pytest.mark.parametrize("words", [["--version"], ["spaces", "--json"]], ids=" ".join)
def test_the_module_is_the_command(here: Path, words: list[str]) -> None:
    result = dualpt(here, *words)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == answer(tuple(words)).out


def test_texts_in_brackets_are_no_markup(here: Path) -> None:
    result = answer(("settings",))
    assert "[sentence]" in " ".join(result.out.replace("│", " ").split())


@pytest.mark.parametrize("option", ["--progress", "--no-progress"])
def test_a_sweep_says_what_came_of_it_without_progress_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    outcome = finished("demo", trained=2, reused=1)

    def launch(sweep: object, *, console: Console, progress: bool, **asked: bool) -> LaunchOutcome:
        if progress:
            report(outcome, console)
        return outcome

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dualpt.sweeps.launching.launch.launch", launch)
    monkeypatch.setattr("dualpt.sweeps.launching.before_training.draw_mini_datasets", lambda *words, **more: None)
    printed = io.StringIO()
    monkeypatch.setattr("dualpt.sweeps.commands.running.out", Console(file=printed, width=120))
    with pytest.raises(SystemExit) as ended:
        app(["sweep", "demo", option])
    assert ended.value.code == 0
    assert printed.getvalue().count("3 cells done: 2 trained, 1 was known") == 1


@pytest.mark.slow
def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = dualpt(tmp_path, "sweep", "demoo", "--debug")
    assert result.returncode != 0
    assert "Traceback" in result.stderr


@pytest.mark.parametrize("name", ["demo", *SHIPPED])
def test_every_shipped_sweep_plans(here: Path, name: str) -> None:
    result = answer(("sweep", name, "datasets=[mini-tiles]", "--dry-run", "--json"))
    assert result.code == 0, result.error
    plan = json.loads(result.out)
    assert plan["cells"] > 0
    assert plan["done"] == 0
    assert list(here.iterdir()) == []


def test_ablate_plans_a_study(here: Path) -> None:
    result = answer(("ablate", "factorial-2x2", "datasets=[mini-tiles]", "seeds=[1]", "--dry-run", "--json"))
    assert result.code == 0, result.error
    assert json.loads(result.out)["cells"] == 4
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_train_prints_json_and_saves_contexts(here: Path) -> None:
    words = ["train", "--dataset", "mini-tiles", "--shots", "1", "--seeds", "1,2", "--json", "--save", "kept"]
    result = answer((*words, "optim.epochs=2"))
    assert result.code == 0, result.error
    rows = json.loads(result.out)
    assert [row["seed"] for row in rows] == [1, 2]
    assert all(0 <= row["test/accuracy"] <= 100 for row in rows)
    from dualpt.core.prompts.contexts_file import load_contexts

    contexts, about = load_contexts(here / "kept" / "mini-tiles-few-shot-1shot-seed1.safetensors")
    assert contexts.shape == (2, 16, 128)
    assert about["cell_key"] == rows[0]["cell_key"]


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_sweep_then_compare_then_again(here: Path, running_ray: None) -> None:
    """The main job in small, through real Ray, Optuna and MLflow: train, table, figure; then nothing is left to do."""
    words = ["sweep", "demo", *TINY, "trials=2", "search.shots=[1]", "baselines=[zero-shot, coop]", "--json"]
    first = answer(tuple(words))
    assert first.code == 0, first.error
    assert json.loads(first.out)["failed"] == 0
    table = answer(("compare", "demo", "--format", "json", "--figure", "curves.png")).out
    (document,) = json.loads(table[: table.rindex("}") + 1])["tables"]
    assert {row["method"] for row in document["rows"]} >= {"zero-shot CLIP", "CoOp", "best of the sweep"}
    assert (here / "curves.png").stat().st_size > 10_000
    again = json.loads(answer(tuple(words)).out)
    assert again["trained"] == 0
    status = json.loads(answer(("status", "--json")).out)
    assert (status["demo"]["launch"], status["demo"]["failed"], status["demo"]["killed"]) == ("FINISHED", 0, 0)
