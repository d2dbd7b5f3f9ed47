"""Which targets a protocol has, and what is trained and tested on."""

from pathlib import Path

import pytest

from dualpt.core.cell import Cell
from dualpt.core.data.catalog import IMAGENET_VARIANTS, MINI_GRID, REAL_GRID
from dualpt.core.data.protocols import TRANSFER_PROTOCOLS, divide, targets_of
from dualpt.core.data.splits import Item, Split, make_split
from dualpt.core.errors import UserError
from dualpt.core.inputs.key import cell_key
from dualpt.core.inputs.reading import CellInputs, check_cell_files, data_of, mini_datasets_of
from dualpt.core.presets import method_setting


def split_of(*names: str, tests_only: bool = False) -> Split:
    items = [Item(f"{name}.png", label, name) for label, name in enumerate(names)]
    train = [] if tests_only else items
    return make_split({"train": train, "val": [], "test": items}, Path("x"), tests_only=tests_only)


class TestTargets:
    def test_the_rest_of_the_sources_grid_by_default(self) -> None:
        assert targets_of("cross-dataset", "ImageNet", None) == REAL_GRID[1:]
        assert targets_of("cross-dataset", "mini-pets", None) == tuple(n for n in MINI_GRID if n != "mini-pets")

    def test_imagenets_variants_by_default(self) -> None:
        assert targets_of("domain-generalization", "ImageNet", None) == IMAGENET_VARIANTS

    def test_named_ones_without_the_source(self) -> None:
        assert targets_of("cross-dataset", "EuroSAT", ["EuroSAT", "UCF101", "UCF101"]) == ("UCF101",)
        assert targets_of("cross-dataset", "EuroSAT", ["mini"]) == MINI_GRID

    @pytest.mark.parametrize("protocol", ["few-shot", "base-to-new"])
    def test_other_protocols_have_none(self, protocol: str) -> None:
        assert targets_of(protocol, "EuroSAT", None) == ()  # type: ignore[arg-type]
        with pytest.raises(UserError, match=f"protocol {protocol} has no targets"):
            targets_of(protocol, "EuroSAT", ["UCF101"])  # type: ignore[arg-type]

    @pytest.mark.parametrize("protocol", TRANSFER_PROTOCOLS)
    def test_a_target_is_needed(self, protocol: str) -> None:
        with pytest.raises(UserError, match="EuroSAT is its only target"):
            targets_of(protocol, "EuroSAT", ["EuroSAT"])  # type: ignore[arg-type]

    def test_only_imagenet_has_known_variants(self) -> None:
        with pytest.raises(UserError, match="mini-pets has no known variants"):
            targets_of("domain-generalization", "mini-pets", None)

    def test_a_variant_belongs_to_no_grid(self) -> None:
        with pytest.raises(UserError, match="ImageNetA belongs to no grid"):
            targets_of("cross-dataset", "ImageNetA", None)

    def test_an_unknown_target(self) -> None:
        with pytest.raises(UserError, match="did you mean 'UCF101'"):
            targets_of("cross-dataset", "EuroSAT", ["UCF10"])


class TestDivision:
    def test_each_target_is_tested_among_its_own_classes(self) -> None:
        targets = {"b": split_of("x", "y", "z"), "c": split_of("w")}
        data = divide("cross-dataset", "a", split_of("u", "v"), None, targets)
        assert data.tests == {
            "test": split_of("u", "v").test,
            "target/b": targets["b"].test,
            "target/c": targets["c"].test,
        }
        assert data.classes["target/b"] == slice(0, 3)
        assert data.datasets == {"train": "a", "test": "a", "target/b": "b", "target/c": "c"}

    def test_variants_may_have_a_part_of_the_classes(self) -> None:
        data = divide("domain-generalization", "a", split_of("u", "v"), None, {"a2": split_of("v", tests_only=True)})
        assert data.tests["target/a2"][0].label == 0
        assert data.classes["target/a2"] == slice(0, 1)

    def test_variants_have_no_other_classes(self) -> None:
        with pytest.raises(UserError, match="a2: class z is none of a's"):
            divide("domain-generalization", "a", split_of("u", "v"), None, {"a2": split_of("v", "z", tests_only=True)})


def cell(
    miniature: Path, dataset: str = "EuroSAT", targets: tuple[str, ...] = ("UCF101",), method: str = "dualpt"
) -> Cell:
    setting = method_setting(method).with_values({"data.root": str(miniature)})
    shots, seed = (2, 1) if setting.method == "prompt" else (0, 0)
    return Cell(setting, dataset, "cross-dataset", shots, seed, targets)


class TestCells:
    def test_a_key_hangs_on_the_targets(self, miniature: Path) -> None:
        targets: list[tuple[str, ...]] = [("UCF101",), ("Food101",), ("UCF101", "Food101"), ("mini-tiles",)]
        keys = [cell_key(cell(miniature, targets=each)) for each in targets]
        assert len(set(keys)) == len(keys)

    def test_a_key_hangs_on_the_targets_pixels(self, miniature_copy: Path) -> None:
        from dualpt.core.inputs.key import _tested_pixels

        before = cell_key(cell(miniature_copy))
        image = miniature_copy / "ucf101" / "UCF-101-midframes" / "Archery" / "1_0008.jpg"
        image.write_bytes((image.parent / "1_0007.jpg").read_bytes())
        _tested_pixels.cache_clear()  # as in another process
        assert cell_key(cell(miniature_copy)) != before

    @pytest.mark.parametrize("method", ["zero-shot-descriptions", "dualpt"])
    def test_a_targets_descriptions_matter_where_classifying_needs_them(
        self, miniature_copy: Path, method: str
    ) -> None:
        bank = miniature_copy / "descriptions" / "UCF101.json"
        keys = []
        for text in (bank.read_text(), bank.read_text().replace("looks", "seems")):
            bank.write_text(text)
            from dualpt.core.inputs.reading import _read_bank_once

            _read_bank_once.cache_clear()
            keys.append(cell_key(cell(miniature_copy, method=method)))
        assert (keys[0] != keys[1]) == (method == "zero-shot-descriptions")

    def test_a_targets_missing_image_is_found_before_training(self, miniature_copy: Path) -> None:
        (miniature_copy / "ucf101" / "UCF-101-midframes" / "Archery" / "1_0008.jpg").unlink()
        with pytest.raises(UserError, match=r"UCF-101-midframes: Archery/1_0008\.jpg missing"):
            check_cell_files([CellInputs(cell(miniature_copy))])
        check_cell_files([CellInputs(cell(miniature_copy, targets=("Food101",)))])

    def test_a_dataset_that_is_only_tested_on_is_no_source(self, miniature: Path) -> None:
        with pytest.raises(UserError, match="ImageNetA has test images only"):
            data_of(cell(miniature, "ImageNetA"))
        assert data_of(cell(miniature, "ImageNetA", method="zero-shot")).train == ()

    def test_mini_targets_are_drawn_too(self, miniature: Path) -> None:
        inputs = CellInputs(cell(miniature, targets=("UCF101", "mini-tiles", "mini-pets")))
        ((_, names),) = mini_datasets_of([inputs]).items()
        assert names == ["mini-tiles", "mini-pets"]
