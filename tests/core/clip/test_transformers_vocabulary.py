"""A folder's own tokenizer is compared with CLIP's, used where it differs, and refused where it is of another kind."""

import json
from pathlib import Path
from typing import Any

import pytest
from open_clip.tokenizer import SimpleTokenizer

from dualpt.core.clip.tokenizer import tokenizer_of
from dualpt.core.clip.transformers_vocabulary import CLIP_SHA256, Vocabulary, read_vocabulary
from dualpt.core.errors import UserError

pytestmark = pytest.mark.usefixtures("private_cache")

TEXTS = ("a photo of a Cat.", "Boeing 737-800, F/A-18!", "it's 12 o'clock", "crème brûlée", "日本", "a  b")


@pytest.fixture(scope="module")
def clip() -> SimpleTokenizer:
    return SimpleTokenizer()


@pytest.fixture(scope="module")
def own_ids(clip: SimpleTokenizer) -> dict[str, int]:
    """As transformers names them."""
    words = {token: number for token, number in clip.encoder.items() if number < clip.sot_token_id}
    return {**words, "<|startoftext|>": clip.sot_token_id, "<|endoftext|>": clip.eot_token_id}


@pytest.fixture(scope="module")
def reversed_ids(own_ids: dict[str, int]) -> dict[str, int]:
    """Every word has another id; the special tokens keep theirs."""
    return {token: 49405 - number if number < 49406 else number for token, number in own_ids.items()}


def save(folder: Path, ids: dict[str, int], merges: Any, pair: bool = False) -> Any:
    """With transformers, as a folder that was saved with its tokenizer has it; or as the older pair of files."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer(vocab=ids, merges=list(merges))
    if pair:
        (folder / "vocab.json").write_text(json.dumps(ids))
        lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    else:
        tokenizer.save_pretrained(folder)
        assert (folder / "tokenizer.json").is_file()
    return tokenizer


def test_clips_own_is_open_clips(clip: SimpleTokenizer) -> None:
    words = {token: number for token, number in clip.encoder.items() if number < clip.sot_token_id}
    own = Vocabulary(words, tuple(clip.bpe_ranks), clip.sot_token_id, clip.eot_token_id)
    assert own.fingerprint == CLIP_SHA256


@pytest.mark.parametrize("pair", [False, True])
def test_clips_own_in_a_folder_is_recognised(
    tmp_path: Path, clip: SimpleTokenizer, own_ids: dict[str, int], pair: bool
) -> None:
    save(tmp_path, own_ids, clip.bpe_ranks, pair)
    assert read_vocabulary(tmp_path, 49408) is None


def test_a_folder_without_a_tokenizer_has_clips(tmp_path: Path) -> None:
    assert read_vocabulary(tmp_path, 49408) is None


@pytest.mark.parametrize("pair", [False, True])
def test_another_order_of_words_is_encoded_as_transformers_does(
    tmp_path: Path, clip: SimpleTokenizer, reversed_ids: dict[str, int], pair: bool
) -> None:
    theirs = save(tmp_path, reversed_ids, clip.bpe_ranks, pair)
    ours = tokenizer_of(read_vocabulary(tmp_path, 49408))
    for text in TEXTS:
        expected = theirs(text)["input_ids"]
        assert [ours.sot_token_id, *ours.encode(text), ours.eot_token_id] == expected
        assert ours.encode(text) != clip.encode(text)


def test_another_vocabulary_is_another_fingerprint(
    tmp_path: Path, clip: SimpleTokenizer, reversed_ids: dict[str, int]
) -> None:
    save(tmp_path, reversed_ids, clip.bpe_ranks)
    found = read_vocabulary(tmp_path, 49408)
    assert found is not None
    assert found.fingerprint != CLIP_SHA256


def change(content: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {**content, **values}


FAULTS: dict[str, Any] = {
    "tokenizer.json: not a tokenizer of CLIP's kind: its model is not a byte-pair": lambda c: change(
        c, model=change(c["model"], type="WordPiece")
    ),
    "it does not write in lower case and bytes": lambda c: change(c, normalizer=None),
    "it splits texts into other words": lambda c: change(
        c, pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False}
    ),
    "it has no token <|startoftext|>": lambda c: change(
        c,
        added_tokens=[],
        model=change(c["model"], vocab={k: v for k, v in c["model"]["vocab"].items() if k != "<|startoftext|>"}),
    ),
    "has ids outside the text tower's 49408 embeddings": lambda c: change(
        c, model=change(c["model"], vocab=change(c["model"]["vocab"], new=49408))
    ),
    "gives two tokens one id": lambda c: change(c, model=change(c["model"], vocab=change(c["model"]["vocab"], new=5))),
    "has no token 'cat</w>', which some words need": lambda c: change(
        c, model=change(c["model"], vocab={k: v for k, v in c["model"]["vocab"].items() if k != "cat</w>"})
    ),
    "not a tokenizer of transformers, save it again": lambda c: change(c, model=change(c["model"], merges=[7])),
}


@pytest.mark.parametrize("said", FAULTS)
def test_another_kind_is_refused_in_one_line(
    tmp_path: Path, clip: SimpleTokenizer, own_ids: dict[str, int], said: str
) -> None:
    save(tmp_path, own_ids, clip.bpe_ranks)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(FAULTS[said](content)))
    with pytest.raises(UserError) as caught:
        read_vocabulary(tmp_path, 49408)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_end_token_elsewhere_is_refused(tmp_path: Path, clip: SimpleTokenizer, own_ids: dict[str, int]) -> None:
    """transformers reads the text feature at the id that the model's configuration names."""
    save(tmp_path, {**own_ids, "<|startoftext|>": 49407, "<|endoftext|>": 49406}, clip.bpe_ranks)
    with pytest.raises(UserError, match="its end token is 49406, the text tower reads at 49407"):
        read_vocabulary(tmp_path, 49408)


def test_an_older_pair_of_another_class_is_refused(
    tmp_path: Path, clip: SimpleTokenizer, own_ids: dict[str, int]
) -> None:
    save(tmp_path, own_ids, clip.bpe_ranks, pair=True)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    with pytest.raises(UserError, match="not a tokenizer of CLIP's kind: its class is GPT2Tokenizer"):
        read_vocabulary(tmp_path, 49408)
