"""Weights are named, found and fingerprinted without building a model, and nothing is fetched unasked."""

import json
import os
import shutil
from pathlib import Path

import pytest
from open_clip import pretrained as open_clip_tags

from dualpt.core.clip.weights import MINI_CLIP_FILE, find_weights, weights_fingerprint
from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import file_sha256

pytestmark = pytest.mark.usefixtures("private_cache", "no_downloads")


@pytest.fixture
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(config: object) -> str:
        raise OSError("no network\nin this test")

    monkeypatch.setattr(open_clip_tags, "download_pretrained", refuse)


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    path = tmp_path / "weights" / "clip.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"some weights")
    return path


def fault(name: str, pretrained: str | None) -> str:
    with pytest.raises(UserError) as caught:
        find_weights(name, pretrained)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_mini_clip_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_weights("mini-clip", None).path == MINI_CLIP_FILE
    assert weights_fingerprint("mini-clip", None) == file_sha256(MINI_CLIP_FILE)


def test_a_files_fingerprint_is_its_content(weights_file: Path, tmp_path: Path) -> None:
    before = weights_fingerprint("ViT-B-16", str(weights_file))
    moved = shutil.move(weights_file, tmp_path / "moved.safetensors")
    assert weights_fingerprint("ViT-B-16", str(moved)) == before
    moved.write_bytes(b"other content")
    assert weights_fingerprint("ViT-B-16", str(moved)) != before


def test_a_files_hash_is_kept_until_it_changes(weights_file: Path, private_cache: Path) -> None:
    digest = file_sha256(weights_file)
    (kept,) = (private_cache / "file-hashes").iterdir()
    kept.write_text("remembered")
    assert file_sha256(weights_file) == "remembered"
    os.utime(weights_file, ns=(1, 1))
    assert file_sha256(weights_file) == digest


def test_random_weights_need_no_file_and_differ_by_architecture() -> None:
    assert find_weights("ViT-B-16", "random").path is None
    prints = {weights_fingerprint(name, "random") for name in ("mini-clip", "ViT-B-16", "RN50")}
    assert len(prints) == 3


class TestNaming:
    def test_nothing_named(self) -> None:
        line = fault("ViT-B-16-quickgelu", None)
        assert line.startswith(
            "backbone.pretrained: ViT-B-16-quickgelu needs one of: the path of a weights file, 'random'"
        )
        assert "openai" in line

    def test_a_misspelled_tag(self) -> None:
        assert "'opanai' is neither a file nor a tag of RN50-quickgelu; did you mean 'openai'?" in fault(
            "RN50-quickgelu", "opanai"
        )

    def test_a_path_without_a_file(self, tmp_path: Path) -> None:
        assert "nothing.pt' is neither a file nor a tag of ViT-B-16" in fault("ViT-B-16", str(tmp_path / "nothing.pt"))

    def test_a_tag_of_the_other_activation(self) -> None:
        assert "ViT-B-16 has it" in fault("ViT-B-16-quickgelu", "laion2b_s34b_b88k")

    def test_no_path_for_the_mini_clip(self) -> None:
        assert "'openai' is not a file; leave it out for the weights that ship with mini-clip" in fault(
            "mini-clip", "openai"
        )

    def test_an_architecture_that_does_not_exist(self) -> None:
        assert "unknown architecture 'ViT-B16'; did you mean 'ViT-B-16'?" in fault("ViT-B16", "openai")

    def test_a_failed_download(self) -> None:
        line = fault("ViT-B-16-quickgelu", "openai")
        assert "the weights 'openai' of ViT-B-16-quickgelu could not be fetched (no network)" in line
        assert "give the path of a local file" in line


class TestActivation:
    """OpenAI's weights need QuickGELU; they load into GELU models without complaint."""

    def test_a_tag(self) -> None:
        assert fault("ViT-B-16", "openai") == (
            "backbone.name: the weights 'openai' were trained with QuickGELU, ViT-B-16 has GELU; use ViT-B-16-quickgelu"
        )

    @pytest.mark.parametrize(("trained_quick", "name"), [(True, "ViT-B-16"), (False, "ViT-B-16-quickgelu")])
    def test_a_file_with_its_configuration(self, weights_file: Path, trained_quick: bool, name: str) -> None:
        config = {"model_cfg": {"quick_gelu": trained_quick}, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}
        weights_file.with_name("open_clip_config.json").write_text(json.dumps(config))
        assert "were trained with" in fault(name, str(weights_file))
        fitting = "ViT-B-16-quickgelu" if trained_quick else "ViT-B-16"
        weights = find_weights(fitting, str(weights_file))
        assert weights.preprocess == {"mean": [0.5, 0.5, 0.5]}

    def test_a_damaged_configuration(self, weights_file: Path) -> None:
        weights_file.with_name("open_clip_config.json").write_text("{")
        assert "open_clip_config.json: line 1, column 2: not JSON" in fault("ViT-B-16", str(weights_file))
        weights_file.with_name("open_clip_config.json").write_text("[]")
        assert "open_clip_config.json: not an open_clip configuration" in fault("ViT-B-16", str(weights_file))

    def test_openais_own_archive_is_known_by_its_hash(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        archive = tmp_path / "renamed.pt"
        archive.write_bytes(b"pretend archive")
        config = {"url": f"https://example.org/models/{file_sha256(archive)}/ViT-B-16.pt", "quick_gelu": True}
        monkeypatch.setitem(open_clip_tags._PRETRAINED["ViT-B-16"], "pretend", config)
        assert "use ViT-B-16-quickgelu" in fault("ViT-B-16", str(archive))
        assert find_weights("ViT-B-16-quickgelu", str(archive)).by_openai
