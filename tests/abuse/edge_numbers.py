"""Numbers at the edges: in settings, in the sections of a sweep file, in search spaces, and in flags."""

from dualpt.core.config.setting import SETTING_KEYS
from tests.abuse.refusals import Bad, Prepare, bad

EDGES = (".inf", "-.inf", ".nan", "-1", "-0.0", "0", "0.5", "1e-9", "1e9", "1e308", "1e400", "9" * 30, "true", "[1]")
"""As they are typed behind `KEY=`."""

SETTINGS = tuple((key, edge) for key in SETTING_KEYS for edge in EDGES)
"""Each must be refused by its key, or be the setting's value."""

SECTION_KEYS = (
    "search.trials",
    "search.seed",
    "search.pack",
    "search.race_datasets",
    "search.race_reduction",
    "search.race_confidence",
    "run.cpus_per_trial",
    "run.gpus_per_trial",
    "run.max_concurrent",
    "run.max_hours",
    "grid.shots",
    "grid.seeds",
)
SECTIONS = tuple((key, edge) for key in SECTION_KEYS for edge in EDGES)
"""Likewise, of a sweep file."""

FLAGS = {
    "train --dataset mini-tiles": {
        "--shots": ("0", "-1", "1e9", ".inf", "nan", "", "1.5"),
        "--seeds": ("-1", "1.5", "inf", "", "1,,2", "1e3"),
    },
    "data draw mini-tiles": {"--shots": ("0", "-1", "nan"), "--seed": ("-1", "0.5")},
    "data show mini-tiles": {"--per-class": ("0", "21", "1e9"), "--classes": ("0", "-1")},
    "describe generate mini-tiles --llm nowhere": {
        "--per-class": ("0", "-1", "nan"),
        "--tries": ("0",),
        "--temperature": ("0", "nan", "inf", "1e308", "-1"),
        "--top-p": ("0", "nan", "1.5"),
        "--max-new-tokens": ("0", "-1"),
        "--batch-size": ("0",),
        "--seed": ("-1",),
    },
    "describe generate mini-tiles --endpoint http://127.0.0.1:9/v1 --model m": {
        "--timeout": ("0", "nan", "inf", "-1", "1e308", "1e9"),
        "--parallel": ("0", "-5"),
    },
    "features gc": {"--unused": ("-1", "nan", "inf", "-inf", "x", "1e308", "1e9")},
    "features build --dataset mini-tiles": {"--shots": ("0", "-1"), "--seeds": ("-1", "a", "")},
    "inspect small/best": {"--images": ("0", "51", "nan")},
    "predict --contexts kept.safetensors a.png": {"--top": ("0", "-1", "1.5")},
    "sweep demo --simulate": {
        "--gpus": ("0", "-1", "nan", "1e3", "", "1,,2", "²"),
        "--trials": ("0", "-1", "inf", ""),
    },
    "compare small --store sqlite:///{shared}/mlflow.db": {"--shots": ("-1", "x", "1.5")},
    "figure ranks small -o ranks.png --store sqlite:///{shared}/mlflow.db": {"--shots": ("-1", "x")},
}


def in_flags() -> list[Bad]:
    return [
        bad(f"{command} {flag} $value", flag, value=value)
        for command, flags in FLAGS.items()
        for flag, values in flags.items()
        for value in values
    ]


def _space(line: str, more: str = "") -> Prepare:
    text = f"name: s\ngrid: {{datasets: [mini-tiles]}}\nsearch:\n  space:\n    {line}\n{more}"
    return lambda folder: (folder / "s.yaml").write_text(text)


RANGES = {
    "optim.learning_rate: {float: [0.001, .inf]}": "optim.learning_rate",
    "optim.learning_rate: {float: [-.inf, 0.1]}": "optim.learning_rate",
    "optim.learning_rate: {float: [.nan, 0.1]}": "optim.learning_rate",
    "optim.learning_rate: {float: [0.001, .nan]}": "optim.learning_rate",
    "optim.learning_rate: {float: [0.1, 0.1]}": "reversed or equal",
    "optim.learning_rate: {float: [0, 0.1], log: true}": "log needs low > 0",
    "optim.learning_rate: {float: [-1, 0.1]}": "optim.learning_rate",
    "optim.learning_rate: {float: [0.001, 1e9]}": "optim.learning_rate",
    "optim.learning_rate: {float: [1e400, 1e401]}": "optim.learning_rate",
    "inference.local_weight: {float: [0, 1], step: 0}": "step",
    "inference.local_weight: {float: [0, 1], step: -0.5}": "step",
    "inference.local_weight: {float: [0, 1], step: .nan}": "step",
    "inference.local_weight: {float: [0, 1], step: .inf}": "step",
    "inference.local_weight: {float: [0, 1], step: 1e-9}": "step",
    "inference.local_weight: {float: [0, 1], step: 1e-320}": "step",
    "inference.local_weight: {float: [0, 1], step: 5}": "step",
    "inference.local_weight: {float: [0, 1], step: 0.3}": "step",
    "inference.local_weight: {float: [0, 1], step: true}": "step",
    "inference.local_weight: {float: [0, 1], step: '0.5'}": "step",
    "prompt.n_prompts: {int: [1, 1000000000000]}": "prompt.n_prompts",
    "prompt.n_prompts: {int: [0, 4]}": "prompt.n_prompts",
    "prompt.n_prompts: {int: [1.0, 4]}": "int numbers",
    "prompt.n_prompts: {int: [1, 4], step: 0.5}": "step",
    "prompt.n_prompts: {int: [1, 4], step: .inf}": "step",
    "prompt.n_prompts: {int: [true, 4]}": "int numbers",
    "prompt.n_prompts: {choice: [.nan, 1]}": "prompt.n_prompts",
    "prompt.n_prompts: {choice: [1, 1.0]}": "prompt.n_prompts",
    "prompt.n_prompts: {choice: [1, true]}": "prompt.n_prompts",
    "prompt.n_prompts: {choice: []}": "prompt.n_prompts",
    "data.shots: {int: [0, 4]}": "shots",
    "data.shots: {int: [1, 1000000000000]}": "data.shots",
    "inference.local_weight: {float: [-1e308, 1e308], step: 1e308}": "inference.local_weight",
    "inference.local_weight: {float: [0, 1], step: 0.00000001}": "step",
    "data.shots: {choice: [1, .inf]}": "shots",
    "data.shots: {float: [1, 4]}": "shots",
}
GRIDS = {
    "data.shots: {int: [1, 1000000000000]}": "data.shots",
    "inference.local_weight: {float: [0, 1], step: 0.000001}": "grid of more than",
    "optim.epochs: {int: [1, 100000]}": "grid of more than",
    "optim.learning_rate: {float: [0.001, 0.1]}": "needs values",
}
"""Spaces that no grid can list; they must be refused at once."""


def in_spaces() -> list[Bad]:
    ranges = [bad("sweep s.yaml --dry-run", said, _space(line), note=line) for line, said in RANGES.items()]
    return [
        *ranges,
        *(
            bad("sweep s.yaml --dry-run", said, _space(line, "  sampler: grid\n"), note=line)
            for line, said in GRIDS.items()
        ),
    ]


def in_constraints() -> list[Bad]:
    texts = (
        "prompt.n_prompts / 0 > 1",
        "prompt.n_prompts ** 99999 ** 9999 > 1",
        "1e400 < 1",
        "prompt.n_prompts > 1e308",
        "()" * 500,
        "not " * 3000 + "1",
    )
    space = "prompt.n_prompts: {int: [1, 4]}"
    return [
        bad("sweep s.yaml --dry-run", "search.constraints", _space(space, f"  constraints: ['{text}']\n"), note=text)
        for text in texts
    ]


INPUTS = (*in_flags(), *in_spaces(), *in_constraints())


def value_named(loaded: object, key: str) -> object:
    """The value of a section's key in a checked sweep file."""
    for name in key.split("."):
        loaded = getattr(loaded, name)
    return loaded
