"""Banks of any author align with labels or say why not, and sentences are encoded whole."""

import json
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer

from dualpt.core.clip.text_tower import TextTower
from dualpt.core.data.catalog import REAL_GRID, dataset_info
from dualpt.core.data.readers import read_split
from dualpt.core.descriptions.names import normal_name
from dualpt.core.descriptions.reading import bank_fingerprint, encode_bank, encode_template, name_tokens, read_bank
from dualpt.core.errors import UserError
from tests.core.text_side import text_tower_of

PETS = dataset_info("mini-pets")
NAMES = ("marlet", "snow_finch", "red-tailed Goby")
BANK = {
    "Red tailed goby": ["A goby has a red tail.", "It is small."],
    "marlet": ["A marlet is striped.", "It has round ears.", "It is blue."],
    "snow finch": ["A snow finch is white."],
}


def write(folder: Path, content: object) -> Path:
    (folder / PETS.bank_name).write_text(json.dumps(content))
    return folder


def fault(folder: Path, per_class: int = 1, names: tuple[str, ...] = NAMES) -> str:
    with pytest.raises(UserError) as caught:
        read_bank(folder, PETS, names, per_class)
    assert "\n" not in str(caught.value)
    assert PETS.bank_name in str(caught.value)
    return str(caught.value)


class TestReading:
    def test_sentences_are_in_the_order_of_labels(self, tmp_path: Path) -> None:
        sentences = read_bank(write(tmp_path, BANK), PETS, NAMES, 2)
        assert sentences == (
            ("A marlet is striped.", "It has round ears."),
            ("A snow finch is white.",),
            ("A goby has a red tail.", "It is small."),
        )

    def test_all_sentences(self, tmp_path: Path) -> None:
        assert [len(texts) for texts in read_bank(write(tmp_path, BANK), PETS, NAMES, None)] == [3, 1, 2]

    def test_equal_names_share_sentences(self, tmp_path: Path) -> None:
        first, second = read_bank(write(tmp_path, BANK), PETS, ("marlet", "marlet"), 1)
        assert first == second

    @pytest.mark.parametrize("name", ["Snow Finch", "snow-finch", "SNOW_FINCH", " snow  finch "])
    def test_spellings_that_are_one_name(self, name: str) -> None:
        assert normal_name(name) == "snow finch"

    def test_the_fingerprint_is_of_what_is_used(self, tmp_path: Path) -> None:
        before = bank_fingerprint(read_bank(write(tmp_path, BANK), PETS, NAMES, 1))
        unused = BANK | {"goose": ["A goose."]}
        assert bank_fingerprint(read_bank(write(tmp_path, unused), PETS, NAMES, 1)) == before
        assert bank_fingerprint(read_bank(write(tmp_path, unused), PETS, NAMES, 2)) != before


class TestFaults:
    def test_no_file(self, tmp_path: Path) -> None:
        assert "no descriptions of mini-pets; add the file or set descriptions.bank" in fault(tmp_path)

    def test_not_json(self, tmp_path: Path) -> None:
        (tmp_path / PETS.bank_name).write_text('{"marlet": [}')
        assert "line 1, column 13: not JSON" in fault(tmp_path)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (["marlet"], "expected an object"),
            ({"marlet": "A marlet."}, "'marlet' must have a list of sentences, got 'A marlet.'"),
            ({"marlet": ["A marlet.", 7]}, "'marlet' has 7 where a sentence belongs"),
            ({"marlet": ["A marlet.", None]}, "'marlet' has None where a sentence belongs"),
            ({"marlet": ["  "]}, "'marlet' has '  ' where a sentence belongs"),
        ],
    )
    def test_malformed(self, tmp_path: Path, content: object, words: str) -> None:
        assert words in fault(write(tmp_path, content))

    def test_classes_without_sentences_are_counted(self, tmp_path: Path) -> None:
        names = tuple(f"kind {letter * 4}" for letter in "abcdefg")
        line = fault(write(tmp_path, BANK), names=(*NAMES, *names))
        assert (
            "no sentences for class 'kind aaaa', 'kind bbbb', 'kind cccc', 'kind dddd', 'kind eeee' and 2 more;" in line
        )

    def test_an_empty_list_is_no_description(self, tmp_path: Path) -> None:
        assert "no sentences for class 'marlet';" in fault(write(tmp_path, BANK | {"marlet": []}))

    def test_another_word_order_is_suggested_and_not_taken(self, tmp_path: Path) -> None:
        assert "'finch_snow' (did you mean 'snow finch'?)" in fault(write(tmp_path, BANK), names=("finch_snow",))

    def test_the_nearest_spelling_is_suggested(self, tmp_path: Path) -> None:
        assert "'marlett' (did you mean 'marlet'?)" in fault(write(tmp_path, BANK), names=("marlett",))

    def test_two_spellings_that_disagree(self, tmp_path: Path) -> None:
        line = fault(write(tmp_path, BANK | {"Marlet": ["Something else."]}))
        assert "'marlet' and 'Marlet' are one class with different sentences" in line

    def test_more_sentences_asked_for_than_any_class_has(self, tmp_path: Path) -> None:
        assert "descriptions.per_class is 4, but no class has more than 3 sentences; choose 1 to 3" in fault(
            write(tmp_path, BANK), per_class=4
        )


class TestBanksOfOthers:
    @pytest.mark.parametrize("name", ["DescribableTextures", "EuroSAT", "OxfordPets"])
    def test_they_align_with_real_splits(self, shared_data: Path, tmp_path: Path, name: str) -> None:
        info = dataset_info(name)
        info.image_root(tmp_path).mkdir(parents=True)
        content = (shared_data / "splits" / info.split_file).read_text()
        (tmp_path / info.folder / info.split_file).write_text(content)
        names = read_split(info, tmp_path).class_names
        sentences = read_bank(shared_data / "descriptions" / "hpt", info, names, 5)
        assert [len(texts) for texts in sentences] == [5] * len(names)

    @pytest.mark.parametrize("name", REAL_GRID)
    def test_they_fit_clips_context(self, shared_data: Path, name: str) -> None:
        content = json.loads((shared_data / "descriptions" / "hpt" / f"{name}.json").read_text())
        tokenizer = SimpleTokenizer()
        assert max(len(tokenizer.encode(text)) + 2 for texts in content.values() for text in texts) <= 77

    def test_imagenets_names_that_occur_twice(self, shared_data: Path) -> None:
        lines = (shared_data / "classnames" / "imagenet_wnid_names.txt").read_text().splitlines()
        names = tuple(line.split(" ", 1)[1] for line in lines)
        sentences = read_bank(shared_data / "descriptions" / "hpt", dataset_info("ImageNet"), names, 5)
        assert len(sentences) == 1000
        first, second = (label for label, name in enumerate(names) if name == "missile")
        assert sentences[first] == sentences[second]


@pytest.fixture(scope="module")
def model() -> CLIP:
    torch.manual_seed(2)
    return CLIP(
        embed_dim=8,
        vision_cfg=CLIPVisionCfg(layers=1, width=16, head_width=8, patch_size=8, image_size=16),
        text_cfg=CLIPTextCfg(context_length=20, width=16, heads=2, layers=2),
    )


@pytest.fixture(scope="module")
def tower(model: CLIP) -> TextTower:
    return text_tower_of(model, SimpleTokenizer(context_length=20))


class TestEncoding:
    def encode(self, model: CLIP, *texts: str) -> torch.Tensor:
        return model.encode_text(SimpleTokenizer(context_length=20)(list(texts)), normalize=True)

    def test_a_bank(self, tower: TextTower, model: CLIP) -> None:
        sentences = (("a striped marlet", "round ears"), ("a white finch with a long thin beak",))
        descriptions, mask = encode_bank(tower, sentences, ("marlet", "finch"))
        assert mask.tolist() == [[True, True], [True, False]]
        assert torch.allclose(descriptions[0], self.encode(model, *sentences[0]), atol=1e-5)
        assert torch.allclose(descriptions[1, :1], self.encode(model, *sentences[1]), atol=1e-5)
        assert torch.equal(descriptions[1, 1], torch.zeros(8))

    def test_a_template(self, tower: TextTower, model: CLIP) -> None:
        template = encode_template(tower, "a photo of a {}, a type of pet.", ("marlet", "snow_finch"))
        expected = self.encode(model, "a photo of a marlet, a type of pet.", "a photo of a snow finch, a type of pet.")
        assert torch.allclose(template, expected, atol=1e-5)

    def test_a_sentence_of_just_the_context_fits_and_one_more_token_does_not(self, tower: TextTower) -> None:
        encode_bank(tower, (("word " * 18,),), ("marlet",))
        with pytest.raises(
            UserError, match=r"description of 'marlet' has 21 tokens, the text tower takes 20; shorten 'word"
        ):
            encode_bank(tower, (("word " * 19,),), ("marlet",))

    def test_names_have_blanks_for_underscores(self) -> None:
        tokenizer = SimpleTokenizer()
        snow_finch, marlet = name_tokens(tokenizer, ("snow_finch", "marlet"))
        assert list(snow_finch) == tokenizer.encode("snow finch.")
        assert list(marlet) == tokenizer.encode("marlet.")
