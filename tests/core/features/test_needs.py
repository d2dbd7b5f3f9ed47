"""What cells read, each image once, and what of it is missing."""

from pathlib import Path

import pytest

from dualpt.core.cell import Cell
from dualpt.core.features.needs import FeatureNeed, needs_of
from dualpt.core.presets import method_setting
from tests.core.features.tiny import NAME, TEXTURES

pytestmark = pytest.mark.usefixtures("private_cache")


class TestNeeds:
    def cell(self, method: str = "dualpt", **more) -> Cell:
        values = {key.replace("__", "."): value for key, value in more.items()}
        return Cell(method_setting(method).with_values(values), "mini-tiles", "few-shot", 2, 1)

    def test_views_are_of_training_images_alone(self) -> None:
        by_view = {need.view and need.view.number: len(need.items) for need in needs_of([self.cell(data__views=2)])}
        plain = {need.view: len(need.items) for need in needs_of([self.cell()])}
        online = {need.view: len(need.items) for need in needs_of([self.cell(data__views=0)])}
        assert set(by_view) == {None, 0, 1}
        assert by_view[0] == by_view[1] == 16
        assert set(plain) == set(online) == {None}
        assert plain[None] - online[None] == 16
        assert by_view[None] == online[None]

    def test_local_features_only_where_used_and_once(self) -> None:
        assert [need.local for need in needs_of([self.cell("coop")])] == [None]
        assert [need.local for need in needs_of([self.cell("coop"), self.cell()])] == ["value"]

    def test_estimates_are_what_a_build_writes(self, tmp_path) -> None:
        from dualpt.core.running.frozen_parts import FrozenParts

        parts, cells = FrozenParts(cache=tmp_path / "cache", device="cpu"), [self.cell()]
        parts.prepare_data(cells)
        (estimate,) = parts.estimate_features(cells)
        assert estimate.seconds is not None
        assert estimate.seconds > 0
        assert parts.compute([estimate]) == (estimate.missing, estimate.bytes)
        on_disk = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.safetensors"))
        assert estimate.bytes < on_disk < 1.05 * estimate.bytes
        (after,) = parts.estimate_features(cells)
        assert (after.missing, after.bytes, after.seconds) == (0, 0, 0.0)
        other = FrozenParts(cache=tmp_path / "cache", device="cpu")
        assert other.compute([estimate]) == (0, 0)  # as after waiting for a builder that has done it


def test_needs_know_their_images(tiny_textures: Path) -> None:
    setting = method_setting("coop").with_values({"data.root": str(tiny_textures)})
    cells = [Cell(setting, NAME, "base-to-new", 1, 1)]
    (need,) = needs_of(cells)
    assert isinstance(need, FeatureNeed)
    assert need.image_root == TEXTURES.image_root(tiny_textures)
    assert {item.label for item in need.items} == {0}
