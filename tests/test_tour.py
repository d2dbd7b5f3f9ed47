"""docs/tour.md shows what its commands print: pictures are of these commands, small, and of nobody's machine."""

import html
import re
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from tests.script_of_docs import DOCS, script_of_docs

PICTURES = sorted((DOCS / "images" / "tour").iterdir())
DRAWN = [path for path in PICTURES if path.suffix == ".svg"]


@pytest.fixture(scope="module")
def taking() -> ModuleType:
    return script_of_docs("picture_tour")


def words_of(picture: Path) -> str:
    """An SVG's text in the order of its lines, without spaces: a terminal breaks long ones anywhere."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text(encoding="utf-8"))
    return re.sub(r"\s", "", html.unescape("".join(texts)))


def test_every_picture_is_shown_and_of_the_size_that_a_page_bears() -> None:
    page = (DOCS / "tour.md").read_text(encoding="utf-8")
    assert {f"images/tour/{path.name}" for path in PICTURES} == set(re.findall(r"images/tour/[\w.-]+", page))
    sizes = {path.name: path.stat().st_size for path in PICTURES}
    assert max(sizes.values()) < 250_000, sizes
    assert sum(sizes.values()) < 1_200_000, sizes
    for path in PICTURES:
        if path.suffix == ".png":
            assert Image.open(path).width == (400 if "narrow" in path.name else 1400), path.name


@pytest.mark.parametrize("picture", DRAWN, ids=lambda path: path.stem)
def test_a_recording_is_of_the_commands_above_it(taking: ModuleType, picture: Path) -> None:
    steps = taking.steps_of((DOCS / "tour.md").read_text(encoding="utf-8"))
    for command in steps[picture.name].splitlines():
        assert "$" + re.sub(r"\s", "", command) in words_of(picture), "run docs/picture_tour.py"


@pytest.mark.parametrize("picture", DRAWN, ids=lambda path: path.stem)
def test_a_recording_needs_no_network_and_names_no_machine(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert re.findall(r"(?:src:|href=|url\((?!#))[^;>]*", text) == []
    assert re.findall(r"/(?:home|root|tmp|Users|work)/", text) == []
