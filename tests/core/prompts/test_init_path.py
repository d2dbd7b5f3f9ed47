"""A path is never taken for words: its tokens would be trained from without a remark."""

from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.core.prompts.init_path import TEMPLATE, init_identity, init_path, init_words

pytestmark = pytest.mark.usefixtures("private_cache")


@pytest.mark.parametrize(
    "init",
    [
        "prompt_learner/model.pth.tar-50",
        "model.pth.tar-200",
        "model.pth",
        "MODEL.PT",
        "contexts.safetensors",
        "output/my run/model.pth.tar",
        "out/seed1",
        "C:\\runs\\seed1",
        "/a folder/with blanks",
        "~/learned",
        "./learned",
    ],
)
def test_what_looks_like_a_path(init: str) -> None:
    assert init_path(init) == Path(init).expanduser()
    with pytest.raises(UserError, match="looks like a path, and nothing is there; give a file of learned contexts"):
        init_identity(init)


@pytest.mark.parametrize(
    "init", [None, "", "a photo of a", "a photo of a cat/dog", "an image. of", "e.g. a", "X X X X", "word " * 200]
)
def test_words_stay_words(init: str | None) -> None:
    assert init_path(init) is None
    assert init_identity(init) == init


def test_a_file_is_known_by_its_content_and_not_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("learned").write_bytes(b"one")
    assert init_path("learned") == Path("learned")
    before = init_identity("learned")
    Path("learned").rename("moved.pth")
    assert init_identity("moved.pth") == before
    Path("moved.pth").write_bytes(b"two")
    assert init_identity("moved.pth") != before


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("a photo of a {}.", "a photo of a"),
        ("a type of pet, a photo of a {}.", "a type of pet, a photo of a"),
        ("a photo of {}, a type of food.", "a photo of"),
    ],
)
def test_a_datasets_template_stands_for_what_is_before_the_class_name(template: str, words: str) -> None:
    assert init_words(TEMPLATE, template) == words


@pytest.mark.parametrize("init", [None, "a photo of a", "the dataset-template", "runs/contexts.safetensors"])
def test_all_else_stays_what_it_is(init: str | None) -> None:
    assert init_words(init, "{} texture.") == init


def test_a_template_that_begins_with_the_name_has_no_words() -> None:
    with pytest.raises(UserError, match=r"the template '\{\} texture.' has no words before the class name; give words"):
        init_words(TEMPLATE, "{} texture.")
