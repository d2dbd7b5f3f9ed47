"""What the mini grid shows, measured: writes docs/mini-grid.md.

    python -m benchmarks.mini_grid                 half an hour to an hour on two cores; continues where it stopped

Runs every baseline over all shots and seeds (few-shot), base-to-new at 16 shots, and controls of both, through the
ordinary sweep machinery; then a linear probe on all training images as the ceiling; then the tables.
"""

import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console
from torch.nn import functional as F

from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import MINI_GRID, dataset_info
from dualpt.core.features.store import FeatureStore
from dualpt.core.files.locations import cache_root
from dualpt.core.inputs.reading import data_root, split_of
from dualpt.core.method_catalog import CATALOGUE
from dualpt.core.presets import METHODS
from dualpt.core.results import TEST_ACCURACY
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.comparison.formats.documents import to_markdown
from dualpt.sweeps.comparison.frames import read_frame
from dualpt.sweeps.comparison.labels import AVERAGE, method_title
from dualpt.sweeps.comparison.tables.averages import base_to_new
from dualpt.sweeps.comparison.tables.by_dataset import comparison
from dualpt.sweeps.comparison.values import Grid
from dualpt.sweeps.launching.launch import launch

STORE = "sqlite:///build/mini-grid.db"
STUDY = "sqlite:///build/mini-grid-study.db"
PAGE = Path("docs/mini-grid.md")
INTRODUCTION = Path(__file__).with_name("mini_grid_introduction.md")
SHOTS = [1, 2, 4, 8, 16]
SEEDS = (1, 2, 3)
PROMPTS = [name for name in METHODS if name not in CATALOGUE]
"""Zero-shot classifiers and learned prompts."""


def declared(
    name: str, *, baselines: Sequence[str], protocol: str, shots: Sequence[int], **setting: object
) -> LoadedSweep:
    grid = {"datasets": ["mini"], "protocol": protocol, "shots": list(shots), "seeds": list(SEEDS)}
    run = {"tracking_uri": STORE, "study_storage": STUDY}
    document = {"name": name, "grid": grid, "baselines": list(baselines), "setting": setting, "run": run}
    return check_sweep(document, source="benchmarks.mini_grid")


CONTROLS = {
    # Both alignments add a term to the loss, and the defaults have two prompts per class: is it that?
    "CoOp with its loss doubled": declared(
        "doubled", baselines=["coop"], protocol="few-shot", shots=[16], **{"optim.learning_rate": 0.004}
    ),
    "CoOp with two prompts": declared(
        "two-prompts", baselines=["dualpt-llm-only"], protocol="few-shot", shots=SHOTS, **{"alignment.llm_weight": 0.0}
    ),
}
WORDS = "DuAl-PT (a photo of a)"
FROM_WORDS = declared(
    # CoOp and KgCoOp start from these words where other classes are tested: is their lead that?
    "from-words",
    baselines=["dualpt"],
    protocol="base-to-new",
    shots=[16],
    **{"prompt.init": "a photo of a", "prompt.context_length": 4},
)


def main() -> None:
    console = Console()
    Path("build").mkdir(exist_ok=True)
    sweeps = (
        declared("few-shot", baselines=PROMPTS, protocol="few-shot", shots=SHOTS),
        declared("base-to-new", baselines=PROMPTS, protocol="base-to-new", shots=[16]),
        FROM_WORDS,
        *CONTROLS.values(),
    )
    for sweep in sweeps:
        launch(sweep, console=console)
    few_shot, base_to_new = (read_frame(name, STORE) for name in ("few-shot", "base-to-new"))
    from_words = read_frame(FROM_WORDS.file.name, STORE).assign(trial=WORDS)
    sections = [
        INTRODUCTION.read_text(encoding="utf-8").rstrip(),
        _measured_on(),
        "## Zero-shot: above chance, under the ceiling\n\n" + zero_shot_table(few_shot, ceiling()),
        "## Few-shot: accuracy against shots\n\n" + shots_table(few_shot),
        "## What each alignment adds to CoOp\n\n" + effects_table(few_shot),
        "## Base-to-new\n\n" + base_to_new_table(pd.concat([base_to_new, from_words])),
    ]
    PAGE.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    console.print(f"wrote {PAGE}")


def _measured_on() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "open_clip_torch", "numpy"))
    machine = f"{platform.machine()}, {torch.get_num_threads()} CPU cores, Python {platform.python_version()}"
    seeds = ", ".join(map(str, SEEDS))
    return f"Measured with seeds {seeds} on {machine}, {versions}."


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def ceiling() -> dict[str, float]:
    """Accuracy (percent) of a linear probe on the global features of all training images, by dataset."""
    backbone, store = load_backbone("mini-clip"), FeatureStore(cache_root() / "features")
    return {name: _linear_probe(backbone, store, name) for name in MINI_GRID}


def _linear_probe(backbone: Backbone, store: FeatureStore, dataset: str) -> float:
    split, info = split_of(Setting(), dataset), dataset_info(dataset)
    folder = info.image_root(data_root(Setting(), info))
    train, test = (store.features(backbone, dataset, folder, items, local=None) for items in (split.train, split.test))
    torch.manual_seed(0)
    layer = torch.nn.Linear(train.global_features.shape[1], len(split.class_names))
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(10 * layer(train.global_features), train.labels) + 1e-2 * layer.weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return 100 * (layer(test.global_features).argmax(1) == test.labels).float().mean().item()


def zero_shot_table(cells: pd.DataFrame, ceilings: dict[str, float]) -> str:
    table = comparison(cells, Grid(MINI_GRID, SEEDS), shots=16)
    rows = []
    for name in MINI_GRID:
        classes = len(split_of(Setting(), name).class_names)
        measured = [f"{table.entries[m, name].mean:.1f}" for m in ("zero-shot", "zero-shot-descriptions")]  # type: ignore[union-attr]
        rows.append([name, f"{100 / classes:.1f}", *measured, f"{ceilings[name]:.1f}"])
    means = [f"{statistics.fmean(float(row[column]) for row in rows):.1f}" for column in range(1, 5)]
    return markdown(
        ["dataset", "chance", "by name", "by description", "linear probe, 20 images per class"],
        [*rows, ["**mean**", *means]],
    )


def shots_table(cells: pd.DataFrame) -> str:
    tables = {k: comparison(cells, Grid(MINI_GRID, SEEDS), shots=k) for k in SHOTS}
    rows = [
        [method_title(method), *[str(tables[k].entries[method, AVERAGE]) for k in SHOTS]]
        for method in tables[16].methods
    ]
    note = "Mean over the eleven datasets, ± standard deviation over three seeds."
    return markdown(["method", *[f"{k} shot{'s' * (k > 1)}" for k in SHOTS]], rows) + f"\n\n{note}"


def effects_table(cells: pd.DataFrame) -> str:
    """Paired differences to CoOp: mean over datasets, spread over seeds, datasets above and below."""
    added = ("dualpt-llm-only", "dualpt-local-only", "dualpt")
    rows = [[method_title(method), *[_difference(cells, method, k) for k in SHOTS]] for method in added]
    for title, control in CONTROLS.items():
        pair = pd.concat(
            [cells[cells["trial"] == "coop"], read_frame(control.file.name, STORE).assign(trial="control")]
        )
        run = control.file.grid.shots
        rows.append([f"control: {title}", *[_difference(pair, "control", k) if k in run else "" for k in SHOTS]])
    note = (
        "Difference of test accuracy in points, ± standard deviation over three seeds; in brackets the datasets whose "
        "mean over seeds is higher / lower."
    )
    return markdown(["added to CoOp", *[f"{k} shot{'s' * (k > 1)}" for k in SHOTS]], rows) + f"\n\n{note}"


def _difference(cells: pd.DataFrame, method: str, shots: int) -> str:
    at = cells[cells["shots"] == shots]
    wide = at.pivot_table(index=["seed", "dataset"], columns="trial", values=TEST_ACCURACY)
    differences = (wide[method] - wide["coop"]).unstack("dataset")
    per_seed, per_dataset = differences.mean(axis=1), differences.mean(axis=0)
    above, below = int((per_dataset > 0).sum()), int((per_dataset < 0).sum())
    return f"{per_seed.mean():+.1f} ± {per_seed.std():.1f} ({above}/{below})"


def base_to_new_table(cells: pd.DataFrame) -> str:
    return to_markdown(base_to_new(cells, Grid(MINI_GRID, SEEDS), shots=16))


if __name__ == "__main__":
    main()
