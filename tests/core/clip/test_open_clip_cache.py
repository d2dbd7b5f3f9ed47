"""What open_clip said is read back as it was, asked again where it is damaged, and costs an import at most."""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest

from dualpt.core.clip import open_clip_cache
from dualpt.core.clip.architectures import architecture_config, joint_width
from dualpt.core.clip.open_clip_cache import (
    config_defaults,
    known_config,
    known_names,
    known_weights,
    outline,
    remembered,
)
from dualpt.core.clip.whole_model import build
from dualpt.core.files.locations import leaving_no_trace

KEPT = "open-clip"
VIT = {"layers": 1, "width": 32, "head_width": 16, "image_size": [32, 48], "patch_size": 16}


@pytest.fixture
def without_import(private_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As in a process that has not imported open_clip; the private cache."""
    monkeypatch.setattr(open_clip_cache, "_is_imported", lambda: False)
    open_clip_cache._tables_in.cache_clear()
    return private_cache


@pytest.fixture
def asked() -> tuple[list[str], Callable[[], object]]:
    """How often open_clip was asked, and the question."""
    times: list[str] = []

    def learn() -> object:
        times.append("asked")
        return {"answer": (1, 2)}

    return times, learn


def kept_file(cache: Path) -> Path:
    (file,) = (cache / KEPT).iterdir()
    return file


class TestRemembering:
    def test_what_is_asked_once_is_read_then(self, private_cache: Path, asked) -> None:
        times, learn = asked
        assert remembered("thing", {"a": 1}, learn) == remembered("thing", {"a": 1}, learn) == {"answer": [1, 2]}
        assert times == ["asked"]
        remembered("thing", {"a": 2}, learn)
        remembered("other", {"a": 1}, learn)
        assert len(times) == 3

    @pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"0" * 64 + b'\n{"answer": [1, 3]}'], ids=str)
    def test_damaged_files_are_asked_for_again(self, private_cache: Path, asked, damage: bytes) -> None:
        times, learn = asked
        remembered("thing", None, learn)
        kept_file(private_cache).write_bytes(damage)
        assert remembered("thing", None, learn) == {"answer": [1, 2]}
        assert remembered("thing", None, learn) == {"answer": [1, 2]}
        assert len(times) == 2

    def test_a_changed_digit_is_found(self, private_cache: Path, asked) -> None:
        _, learn = asked
        remembered("thing", None, learn)
        file = kept_file(private_cache)
        file.write_text(file.read_text().replace("[1, 2]", "[1, 3]"))
        assert remembered("thing", None, learn) == {"answer": [1, 2]}

    def test_a_cache_that_cannot_be_written_costs_the_question(self, tmp_path: Path, monkeypatch, asked) -> None:
        times, learn = asked
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("DUALPT_CACHE", str(tmp_path / "file" / "cache"))
        for _ in range(2):
            assert remembered("thing", None, learn) == {"answer": [1, 2]}
        assert len(times) == 2

    def test_no_trace_is_left_where_none_may_be(self, private_cache: Path, asked) -> None:
        with leaving_no_trace():
            assert remembered("thing", None, asked[1]) == {"answer": [1, 2]}
        assert not private_cache.exists()

    def test_another_open_clip_is_asked_itself(self, private_cache: Path, asked, monkeypatch) -> None:
        times, learn = asked
        remembered("thing", None, learn)
        monkeypatch.setattr(open_clip_cache, "version", lambda name: "99.0")
        remembered("thing", None, learn)
        assert len(times) == 2


class TestTables:
    def test_they_are_open_clips(self, without_import: Path) -> None:
        for _ in range(2):  # asked, and read
            assert known_names() == open_clip.list_models()
            assert all(known_config(name) == open_clip.get_model_config(name) for name in open_clip.list_models())
            listed = [(name, tag) for name, tags in known_weights().items() for tag in tags]
            assert sorted(listed) == sorted(open_clip.list_pretrained())
            entry = known_weights()["ViT-B-32-quickgelu"]["openai"]
            assert entry == json.loads(json.dumps(open_clip.get_pretrained_cfg("ViT-B-32-quickgelu", "openai")))
            open_clip_cache._tables_in.cache_clear()
        assert known_config("ViT-B-33") is None
        assert joint_width("ViT-B-33") is None
        assert config_defaults("text_cfg")["context_length"] == 77

    def test_architectures_registered_in_this_process_are_known(self, private_cache: Path, tmp_path: Path) -> None:
        config = {"embed_dim": 12, "vision_cfg": VIT, "text_cfg": {"width": 16, "heads": 2, "layers": 1}}
        (tmp_path / "registered-late.json").write_text(json.dumps(config))
        open_clip.add_model_config(tmp_path)
        assert architecture_config("registered-late") == config


class TestOutlines:
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_it_is_the_models(self, private_cache: Path, precision: str) -> None:
        config = {"embed_dim": 12, "vision_cfg": VIT, "text_cfg": {"width": 16, "heads": 2, "layers": 1}}
        found, again = (outline(config, precision) for _ in range(2))
        assert found == again
        model = build(config, precision)
        assert found.shapes == {key: tuple(value.shape) for key, value in model.state_dict().items()}
        assert (found.image_size, found.width, found.n_positions, found.hidden_width) == ((32, 48), 12, 6, 32)
        assert found.formats["logit_scale"] == found.formats["ln_final.weight"] == "float32"
        assert found.formats["text_projection"] == {"fp32": "float32", "bf16": "bfloat16"}[precision]

    def test_the_mini_clips(self, private_cache: Path) -> None:
        found = outline(None, "bf16")
        assert (found.image_size, found.width, found.n_positions, found.hidden_width) == ((48, 48), 128, 36, 513)
        assert found.formats["ln_final.weight"] == "bfloat16"
        assert found.formats["logit_scale"] == "float32"


def test_facts_and_faults_need_no_import_once_they_are_remembered(without_import: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    program = f"""
import sys
from dualpt.core.clip.backbone import backbone_facts, load_backbone
from dualpt.core.errors import UserError
facts = backbone_facts("ViT-B-16", {str(tmp_path / "weights.safetensors")!r})
print(facts.width, facts.n_positions, facts.hidden_width, facts.image_size)
for name, pretrained in (("ViT-B-17", None), ("ViT-B-16", "opena"), ("coca_ViT-B-32", "x"), ("ViT-B-16", "openai")):
    try:
        load_backbone(name, pretrained)
    except UserError as error:
        print(error)
print("open_clip" in sys.modules, "torchvision" in sys.modules)
"""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(program, {})  # here, where open_clip is imported already
    first = said.getvalue().splitlines()
    again = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    second = again.stdout.splitlines()
    assert first[-1] == "True True"
    assert first[:-1] == second[:-1]
    assert second[0] == "512 196 768 (224, 224)"
    assert "unknown architecture 'ViT-B-17'; did you mean 'ViT-B-16'?" in second[1]
    assert "trained with QuickGELU" in second[4]
    assert second[-1] == "False False"
