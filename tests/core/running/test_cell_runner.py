"""The glue: protocols, packs, keys, and each bad input as one line before any training."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from dualpt.core.cell import Cell
from dualpt.core.config.sections import Value
from dualpt.core.descriptions.reading import encode_template
from dualpt.core.errors import UserError
from dualpt.core.inputs.key import cell_key
from dualpt.core.inputs.reading import CellInputs, split_of
from dualpt.core.inputs.templates import start_of
from dualpt.core.presets import method_setting
from dualpt.core.prompts.contexts_file import save_contexts
from dualpt.core.running.cell_runner import CellResult, CellRunner
from dualpt.core.training.progress import Progress

QUICK: dict[str, Value] = {"optim.epochs": 4, "prompt.context_length": 4}


def cell(method: str = "dualpt", protocol: str = "few-shot", seed: int = 1, **more: Value) -> Cell:
    setting = method_setting(method).with_values({**QUICK, **{k.replace("__", "."): v for k, v in more.items()}})
    shots, seed = (2, seed) if setting.method == "prompt" else (0, 0)
    return Cell(setting, "mini-tiles", protocol, shots, seed)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> CellRunner:
    torch.set_num_threads(1)
    return CellRunner(cache=tmp_path_factory.mktemp("store"), device="cpu")


def ready(runner: CellRunner, cells: Sequence[Cell]) -> None:
    """What every entry point does before it trains."""
    runner.check(cells)
    runner.prepare(cells)


def run(runner: CellRunner, *cells: Cell) -> list[CellResult]:
    ready(runner, cells)
    return runner.run(cells)


def test_few_shot_reports_val_test_and_every_class(runner: CellRunner) -> None:
    (result,) = run(runner, cell())
    metrics = result.metrics.by_name()
    assert {"val/accuracy", "test/accuracy", "train/loss"} <= set(metrics)
    per_class = result.per_class["test"]
    assert len(per_class) == 8
    assert sum(per_class.values()) / 8 == pytest.approx(metrics["test/accuracy"], abs=1e-4)
    assert result.contexts is not None
    assert result.contexts.shape == (2, 4, 128)


def test_base_to_new_divides_the_classes(runner: CellRunner) -> None:
    (result,) = run(runner, cell(protocol="base-to-new"))
    metrics = result.metrics
    assert metrics.test_accuracy is None
    assert metrics.base_accuracy is not None
    assert metrics.new_accuracy is not None
    assert set(result.per_class["base"]).isdisjoint(result.per_class["new"])
    base, new = metrics.base_accuracy, metrics.new_accuracy
    assert metrics.harmonic_mean == pytest.approx(2 * base * new / (base + new))
    assert set(metrics.beside_accuracy) == {
        f"{half}/{measure}" for half in ("base", "new") for measure in ("balanced_accuracy", "ece", "nll")
    }


def test_zero_shot_trains_nothing(runner: CellRunner) -> None:
    for method in ("zero-shot", "zero-shot-descriptions"):
        (result,) = run(runner, cell(method))
        assert result.contexts is None
        assert result.metrics.val_accuracy is None
        assert result.metrics.test_accuracy is not None
        assert result.metrics.test_accuracy > 100 / 8
        assert 0 < result.metrics.beside_accuracy["test/nll"] < math.log(8)


@pytest.mark.parametrize("views", [0, 1, 3])
def test_a_pack_equals_its_solo_runs(runner: CellRunner, views: int) -> None:
    cells = [cell(seed=1, data__views=views), cell(seed=2, data__views=views, alignment__llm_weight=5.0)]
    cells.append(cell(seed=1, data__views=views, optim__learning_rate=0.02))
    packed = run(runner, *cells)
    for one, together in zip(cells, packed, strict=True):
        (alone,) = run(runner, one)
        assert alone.contexts is not None
        assert together.contexts is not None
        torch.testing.assert_close(together.contexts, alone.contexts, atol=1e-5, rtol=1e-4)
        assert together.key == alone.key


class TestStartFromAFile:
    def test_training_starts_from_learned_contexts(self, runner: CellRunner, tmp_path: Path) -> None:
        start = torch.randn(2, 4, 128)
        save_contexts(tmp_path / "start.safetensors", start)
        begun = cell(prompt__init=str(tmp_path / "start.safetensors"), optim__learning_rate=1e-9)
        (result,) = run(runner, begun)
        assert result.contexts is not None
        assert torch.allclose(result.contexts, start, atol=1e-2)  # one warm-up epoch moves them a little
        assert result.key != cell_key(cell(optim__learning_rate=1e-9))

    def test_the_cell_is_known_by_the_files_content(self, tmp_path: Path) -> None:
        for name, value in (("one", 1.0), ("copy", 1.0), ("two", 2.0)):
            save_contexts(tmp_path / f"{name}.safetensors", torch.full((2, 4, 128), value))
        keys = [cell_key(cell(prompt__init=str(tmp_path / f"{name}.safetensors"))) for name in ("one", "copy", "two")]
        assert keys[0] == keys[1] != keys[2]

    def test_another_shape_is_refused_before_training(self, runner: CellRunner, tmp_path: Path) -> None:
        save_contexts(tmp_path / "start.safetensors", torch.randn(2, 16, 512))
        with pytest.raises(UserError, match=r"holds contexts of shape \(2, 16, 512\), the setting has \(2, 4, 128\)"):
            runner.check([cell(prompt__init=str(tmp_path / "start.safetensors"))])

    def test_a_path_without_a_file_is_refused(self) -> None:
        with pytest.raises(UserError, match=r"'model.pth.tar-50' looks like a path, and nothing is there"):
            cell_key(cell(prompt__init="model.pth.tar-50"))


def test_cells_that_may_not_share_steps_are_refused(runner: CellRunner) -> None:
    with pytest.raises(ValueError, match="share everything but their seed"):
        runner.run([cell(), cell(prompt__n_prompts=3)])


def test_a_killed_run_continues_to_the_same_numbers(runner: CellRunner, tmp_path: Path) -> None:
    (whole,) = run(runner, cell(optim__epochs=25))

    def kill(progress: Progress) -> None:
        if progress.epoch == 15:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        runner.run([cell(optim__epochs=25)], report=kill, checkpoint=checkpoint)
    assert checkpoint.exists()
    reported: list[Progress] = []
    (resumed,) = runner.run([cell(optim__epochs=25)], reported.append, checkpoint)
    assert reported[0].epoch > 1, "the checkpoint was not used"
    assert [one.loss for one in reported] == [(loss,) for loss in whole.loss_curve[reported[0].epoch - 1 :]]
    assert resumed.loss_curve == whole.loss_curve
    assert torch.equal(resumed.contexts, whole.contexts)


def test_a_key_hangs_on_seed_shots_protocol_and_bank() -> None:
    one = cell()
    others = [cell(seed=2), cell(protocol="base-to-new"), Cell(one.setting, "mini-tiles", "few-shot", 4, 1)]
    others += [cell(descriptions__per_class=2), cell("coop"), cell("zero-shot")]
    keys = [cell_key(other) for other in (one, *others)]
    assert len(set(keys)) == len(keys)


Damage = Callable[[Path], dict[str, Value]]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A data root with two classes of DescribableTextures."""
    root = tmp_path / "data"
    split: dict[str, list[list[object]]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(("banded", "dotted")):
        folder = root / "dtd" / "images" / name
        folder.mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (60, 50), (30 * number, 90 * label, 120)).save(folder / f"{number}.jpg")
            part = "train" if number < 4 else "val" if number < 6 else "test"
            split[part].append([f"{name}/{number}.jpg", label, name])
    (root / "dtd" / "split_zhou_DescribableTextures.json").write_text(json.dumps(split))
    return root


def no_root(root: Path) -> dict[str, Value]:
    return {"data.root": None}


def wrong_root(root: Path) -> dict[str, Value]:
    return {"data.root": str(root / "nowhere")}


def no_split(root: Path) -> dict[str, Value]:
    (root / "dtd" / "split_zhou_DescribableTextures.json").unlink()
    return {}


def broken_split(root: Path) -> dict[str, Value]:
    (root / "dtd" / "split_zhou_DescribableTextures.json").write_text('{"train": [')
    return {}


def missing_image(root: Path) -> dict[str, Value]:
    (root / "dtd" / "images" / "banded" / "7.jpg").unlink()
    return {}


def corrupt_image(root: Path) -> dict[str, Value]:
    path = root / "dtd" / "images" / "banded" / "7.jpg"
    path.write_bytes(path.read_bytes()[:200])
    return {}


def bank_without_class(root: Path) -> dict[str, Value]:
    (root / "descriptions").mkdir()
    (root / "descriptions" / "DescribableTextures.json").write_text(json.dumps({"banded": ["Bands."]}))
    return {}


def bank_too_long(root: Path) -> dict[str, Value]:
    (root / "descriptions").mkdir()
    bank = {"banded": ["band " * 90], "dotted": ["Dots."]}
    (root / "descriptions" / "DescribableTextures.json").write_text(json.dumps(bank))
    return {}


def missing_bank(root: Path) -> dict[str, Value]:
    return {"descriptions.bank": str(root / "nowhere")}


def wrong_weights(root: Path) -> dict[str, Value]:
    from safetensors.torch import save_file

    save_file({"some.weight": torch.zeros(2)}, root / "weights.safetensors")
    return {"backbone.pretrained": str(root / "weights.safetensors")}


def prompt_too_long(root: Path) -> dict[str, Value]:
    return {"prompt.context_length": 64, "backbone.name": "mini-clip", "data.root": str(_long_names(root))}


def _long_names(root: Path) -> Path:
    path = root / "dtd" / "split_zhou_DescribableTextures.json"
    long = " ".join(["verylongtexturename"] * 6)
    path.write_text(path.read_text().replace('"dotted"]', f'"{long}"]'))
    return root


def too_many_patches(root: Path) -> dict[str, Value]:
    return {"alignment.local_form": "topk", "alignment.topk": 37}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (no_root, "data.root is not set"),
        (wrong_root, "data.root: no folder"),
        (no_split, "is missing"),
        (broken_split, "line 1, column"),
        (missing_image, "banded/7.jpg missing"),
        (corrupt_image, "banded/7.jpg"),
        (bank_without_class, "no sentences for class 'dotted'"),
        (bank_too_long, "description of 'banded' has 9"),
        (missing_bank, "DescribableTextures.json"),
        (wrong_weights, "not the tiny CLIP's weights"),
        (prompt_too_long, "prompt.context_length: 64"),
        (too_many_patches, "alignment.topk: 37 patches asked for, mini-clip has 36"),
    ],
)
def test_each_bad_input_is_one_line_before_training(
    damage: Damage, said: str, photographs: Path, tmp_path: Path
) -> None:
    values: dict[str, Value] = {**QUICK, "data.root": str(photographs), "alignment.llm_weight": 1.0}
    values |= damage(photographs)
    if damage in (prompt_too_long,):
        values["alignment.llm_weight"] = 0.0
    setting = method_setting("dualpt").with_values(values)
    runner = CellRunner(cache=tmp_path / "store", device="cpu")
    cells = [Cell(setting, "DescribableTextures", "few-shot", 2, 1)]
    with pytest.raises(UserError) as caught:
        ready(runner, cells)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_shots_than_images_takes_all_of_a_class(photographs: Path, tmp_path: Path) -> None:
    from dualpt.core.inputs.reading import data_of

    values: dict[str, Value] = {**QUICK, "data.root": str(photographs)}
    many = Cell(method_setting("dualpt").with_values(values), "DescribableTextures", "few-shot", 16, 1)
    assert len(data_of(many).train) == 8
    (result,) = run(CellRunner(cache=tmp_path / "store", device="cpu"), many)
    assert result.failure is None


def test_kgcoop_is_aligned_with_its_own_template_of_textures(photographs: Path, tmp_path: Path) -> None:
    """CoOp writes "{} texture." and so does zero-shot CLIP; KgCoOp "a photo of a {}, a type of texture."."""
    runner = CellRunner(cache=tmp_path / "store", device="cpu")

    def template(method: str) -> Tensor:
        setting = method_setting(method).with_values({**QUICK, "data.root": str(photographs)})
        text = runner.parts.class_text(CellInputs(Cell(setting, "DescribableTextures", "few-shot", 2, 1)), "train")
        assert text.template is not None
        return text.template

    tower = runner.parts.towers_of(method_setting("kgcoop")).text
    names = split_of(
        method_setting("coop").with_values({"data.root": str(photographs)}), "DescribableTextures"
    ).class_names
    for method, words in (
        ("kgcoop", "a photo of a {}, a type of texture."),
        ("prograd", "a texture of {}."),
        ("coop", "{} texture."),
    ):
        torch.testing.assert_close(template(method), encode_template(tower, words, names))


@pytest.mark.parametrize("protocol", ["few-shot", "base-to-new"])
def test_prograd_begins_with_its_template_and_learns(runner: CellRunner, protocol: str) -> None:
    """Two cells that share steps, each as it is alone."""
    pack = [cell("prograd", protocol, seed, prompt__context_length=16, optim__epochs=6) for seed in (1, 2)]
    assert start_of(CellInputs(pack[0])) == "a centered satellite photo of"
    for one, result in zip(pack, run(runner, *pack), strict=True):
        (alone,) = runner.run([one])
        assert result.failure is None
        assert result.loss_curve[-1] < result.loss_curve[0]
        assert result.loss_curve == pytest.approx(alone.loss_curve, abs=1e-5)
        assert result.per_class == alone.per_class


def test_a_template_that_begins_with_the_name_is_no_start(runner: CellRunner, photographs: Path) -> None:
    textures = replace(
        cell("coop", prompt__init="dataset-template", data__root=str(photographs)), dataset="DescribableTextures"
    )
    with pytest.raises(UserError, match=r"prompt\.init: the template '\{\} texture\.' has no words before"):
        runner.check([textures])


def test_class_contexts_have_none_for_new_classes(runner: CellRunner) -> None:
    with pytest.raises(UserError, match=r"prompt\.class_specific"):
        runner.check([cell(protocol="base-to-new", prompt__class_specific=True)])


def test_a_key_hangs_on_what_is_in_the_images_and_not_on_where_they_are(photographs: Path, tmp_path: Path) -> None:
    from dualpt.core.inputs.key import _tested_pixels, _trained_pixels

    def key() -> str:
        _trained_pixels.cache_clear()  # as in another process
        _tested_pixels.cache_clear()
        setting = method_setting("coop").with_values({**QUICK, "data.root": str(photographs)})
        return cell_key(Cell(setting, "DescribableTextures", "few-shot", 2, 1))

    before = key()
    image = photographs / "dtd" / "images" / "dotted" / "7.jpg"
    image.touch()
    assert key() == before
    Image.new("RGB", (60, 50), (1, 2, 3)).save(image)
    assert key() != before


def test_a_key_hangs_on_how_images_are_prepared_for_the_weights(tmp_path: Path) -> None:
    weights = tmp_path / "open_clip_model.safetensors"
    weights.write_bytes(b"any content: keys load no model")
    one = cell("coop", backbone__name="ViT-B-32", backbone__pretrained=str(weights))
    before = cell_key(one)
    config = {"model_cfg": {"quick_gelu": False}, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    assert cell_key(one) != before


def test_all_sentences_are_the_same_key_as_their_number() -> None:
    assert cell_key(cell()) == cell_key(cell(descriptions__per_class=5))


def test_two_banks_share_no_steps() -> None:
    from dualpt.core.cell import pack_of

    assert pack_of(cell()) != pack_of(cell(descriptions__bank="elsewhere"))


def test_a_half_without_test_images_is_one_line(photographs: Path, tmp_path: Path) -> None:
    path = photographs / "dtd" / "split_zhou_DescribableTextures.json"
    split = json.loads(path.read_text())
    split["test"] = [item for item in split["test"] if item[1] == 0]
    path.write_text(json.dumps(split))
    setting = method_setting("coop").with_values({**QUICK, "data.root": str(photographs)})
    with pytest.raises(UserError, match="no test images of its new classes"):
        ready(CellRunner(cache=tmp_path, device="cpu"), [Cell(setting, "DescribableTextures", "base-to-new", 2, 1)])


def test_a_mini_grid_is_never_drawn_into_a_users_folder(photographs: Path) -> None:
    before = sorted(photographs.rglob("*"))
    assert cell_key(cell(data__root=str(photographs))) == cell_key(cell())
    assert sorted(photographs.rglob("*")) == before
