"""Keys of cells whose inputs are literal bytes: a key that moves makes every stored sweep train again."""

import json
from pathlib import Path

import pytest

from dualpt.core.cell import Cell
from dualpt.core.errors import UserError
from dualpt.core.inputs.drawn_images import check_drawn_images
from dualpt.core.inputs.key import cell_key, key_of, numerics_of
from dualpt.core.inputs.reading import CellInputs, _read_bank_once
from dualpt.core.presets import method_setting
from tests.core.own_method import DESCRIBED, SOURCE

CLASSES = {"eurosat/2750": ("Forest", "River"), "ucf101/UCF-101-midframes": ("Archery", "Biking")}
KEYS = (
    "d46f66db23acddadc1cffac73f946915074effc79d289063b7874a2e7bf47ab5",
    "78ab45caef3f0ee1aa2d4a517d58aa193964db32897d10c76a00a3f60dbbd65f",
    "768782e60cff2d5d06c9323af878fcd2daf00cad62c65131a0f721b5b0a9fef7",
)
"""As the version before `CellInputs` computed them."""
FORMER_PLOT = "53fc3b3e4e83544cdae5f972c09ab3466b88b09924a1c9cda8ca89591f079242"
"""Of `plot` before its logits could be without the global term."""
FORMER_MEAN = "c5dd1179cb20638abeaf62cb240e2034ff4d8b11fd9a9c789228bb7fc711d3ed"
"""Of `nearest-mean` before methods on frozen features could read descriptions."""
NAMES = {"eurosat/2750": "EuroSAT", "ucf101/UCF-101-midframes": "UCF101"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two datasets with banks, and weights: files of known bytes, which keys hash and never decode."""
    monkeypatch.setenv("DUALPT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "descriptions").mkdir()
    for images, classes in CLASSES.items():
        parts: dict[str, list[list[object]]] = {"train": [], "val": [], "test": []}
        for label, name in enumerate(classes):
            for number, part in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 3):
                path = tmp_path / images / name / f"{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(f"{name} {number}".encode())
                parts[part].append([f"{name}/{number}.jpg", label, name])
        dataset = NAMES[images]
        (tmp_path / images).parent.joinpath(f"split_zhou_{dataset}.json").write_text(json.dumps(parts))
        bank = {name: [f"A photo of {name}.", f"It looks like {name}."] for name in classes}
        (tmp_path / "descriptions" / f"{dataset}.json").write_text(json.dumps(bank))
    (tmp_path / "weights.bin").write_bytes(b"keys load no model")
    return tmp_path


@pytest.mark.parametrize(
    ("method", "protocol", "targets", "key"),
    [
        ("dualpt", "few-shot", (), KEYS[0]),
        ("coop", "base-to-new", (), KEYS[1]),
        ("zero-shot-descriptions", "cross-dataset", ("UCF101",), KEYS[2]),
        ("plot-global", "few-shot", (), FORMER_PLOT),
        ("nearest-mean", "few-shot", (), FORMER_MEAN),
    ],
)
def test_keys_do_not_move(data: Path, method: str, protocol: str, targets: tuple[str, ...], key: str) -> None:
    """Where a change of the numerics moves them on purpose, `NUMERICS_VERSION` was raised: renew the hashes then."""
    values = {"data.root": str(data), "backbone.name": "ViT-B-32", "backbone.pretrained": str(data / "weights.bin")}
    setting = method_setting(method, values)
    shots, seed = (2, 1) if setting.trains else (0, 0)
    assert cell_key(Cell(setting, "EuroSAT", protocol, shots, seed, targets)) == key  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "moved"), [("Forest (green)", True), ("Forest 2", False), ("Forêt", False)])
@pytest.mark.parametrize(("method", "reads_names"), [("coop", True), ("zero-shot", False)])
def test_numbers_of_names_that_end_in_punctuation_moved_alone(
    data: Path, name: str, moved: bool, method: str, reads_names: bool
) -> None:
    split = data / "eurosat" / "split_zhou_EuroSAT.json"
    split.write_text(split.read_text().replace(', "Forest"]', f', "{name}"]'))
    setting = method_setting(method, {"data.root": str(data)})
    shots, seed = (2, 1) if setting.trains else (0, 0)
    inputs = CellInputs(Cell(setting, "EuroSAT", "few-shot", shots, seed))
    assert name in inputs.source.split.class_names
    assert numerics_of(inputs) == (3 if moved and reads_names else 2)


def test_plots_rule_for_global_logits_has_the_key_of_the_weight_that_it_gives(data: Path) -> None:
    values = {"data.root": str(data), "backbone.name": "ViT-B-32", "backbone.pretrained": str(data / "weights.bin")}
    plot = method_setting("plot", values)
    zero = plot.with_values({"alignment.global_weight": 0.0, "inference.global_weight": 0.0})
    one = plot.with_values({"alignment.global_weight": 1.0, "inference.global_weight": 1.0})
    rule, without, with_it = (cell_key(Cell(setting, "EuroSAT", "few-shot", 2, 1)) for setting in (plot, zero, one))
    assert rule == without != with_it


@pytest.mark.parametrize(("source", "reads"), [(DESCRIBED, True), (SOURCE, False)])
def test_descriptions_are_part_of_the_key_of_a_method_that_reads_them(data: Path, source: str, reads: bool) -> None:
    path = data / "own.py"
    path.write_text(source)
    values = {"data.root": str(data), "backbone.name": "ViT-B-32", "backbone.pretrained": str(data / "weights.bin")}

    def key(targets: tuple[str, ...] = (), **more: int) -> str:
        _read_bank_once.cache_clear()  # as in another process
        setting = method_setting(str(path), {**values, **{f"descriptions.{name}": one for name, one in more.items()}})
        return cell_key(Cell(setting, "EuroSAT", "cross-dataset" if targets else "few-shot", 2, 1, targets))

    before = [key(), key(("UCF101",))]
    assert (key(per_class=1) != before[0]) == reads
    assert key(per_class=2) == before[0], "the same sentences"
    other = data / "descriptions" / "UCF101.json"
    other.write_text(other.read_text().replace("looks", "seems"))
    assert [key(), key(("UCF101",))] == before, "a target's descriptions aren't read"
    own = data / "descriptions" / "EuroSAT.json"
    own.write_text(own.read_text().replace("looks", "seems"))
    assert [one != former for one, former in zip([key(), key(("UCF101",))], before, strict=True)] == [reads, reads]
    own.unlink()
    if reads:
        with pytest.raises(
            UserError, match=r"descriptions\.bank is not set and .*EuroSAT\.json.*, or leave described out"
        ):
            key()
    else:
        assert key() == before[0]


def test_how_classes_are_drawn_is_part_of_the_key_where_it_changes_the_draw(data: Path) -> None:
    values = {"data.root": str(data), "backbone.name": "ViT-B-32", "backbone.pretrained": str(data / "weights.bin")}
    make_uneven(data)

    def inputs(method: str, **more: str) -> CellInputs:
        setting = method_setting(method, {**values, **{f"data.{key}": value for key, value in more.items()}})
        shots, seed = (2, 1) if setting.trains else (0, 0)
        return CellInputs(Cell(setting, "EuroSAT", "few-shot", shots, seed))

    kinds = {kind: inputs("coop", draw=kind) for kind in ("standard", "relaxed", "realistic")}
    counts = {kind: [item.label for item in one.data.train].count(1) for kind, one in kinds.items()}
    assert counts == {"standard": 1, "relaxed": 1, "realistic": 0}
    assert len({key_of(one) for one in kinds.values()}) == 3
    assert key_of(inputs("coop")) == key_of(kinds["standard"])
    assert key_of(inputs("zero-shot", draw="realistic")) == key_of(inputs("zero-shot"))
    with pytest.raises(
        UserError, match=r"gda: needs an image of every class, and the draw at 2 shots seed 1 of EuroSAT has none "
    ):
        check_drawn_images(inputs("gda", draw="realistic"))
    for one in (inputs("gda", draw="relaxed"), inputs("ss-text", draw="realistic")):
        check_drawn_images(one)


def make_uneven(data: Path) -> None:
    """Give the second class of EuroSAT one training image of eight."""
    path = data / "eurosat" / "split_zhou_EuroSAT.json"
    parts = json.loads(path.read_text())
    forest = [row for row in parts["train"] if row[1] == 0]
    more = [[f"Forest/more{number}.jpg", 0, "Forest"] for number in range(4)]
    for name, *_ in more:
        (data / "eurosat" / "2750" / name).write_bytes(name.encode())
    river = [row for row in parts["train"] if row[1] == 1][:1]
    path.write_text(json.dumps({**parts, "train": [*forest, *more, *river]}))
