"""A path is never taken for words: its tokens would be trained from without a remark."""

from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.core.prompts.init_path import init_identity, init_path

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
