"""Learned prompts as a classifier of arrays, images and files: the same answer whatever holds the pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dualpt.core.errors import UserError
from dualpt.sweeps.notebook.calls import train
from dualpt.sweeps.notebook.classifying import Classifier, dotted, load_classifier


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = train("mini-tiles", method="coop", shots=1, optim__epochs=2, prompt__context_length=4)
    return kept.save(tmp_path_factory.mktemp("kept"))[1]


@pytest.fixture(scope="module")
def classifier(contexts: Path) -> Classifier:
    return load_classifier(contexts, device="cpu")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)


def test_arrays_images_and_files_are_classified_alike(
    classifier: Classifier, pixels: np.ndarray, tmp_path: Path
) -> None:
    images = [Image.fromarray(one) for one in pixels]
    files = [tmp_path / f"{place}.png" for place in range(3)]
    for image, file in zip(images, files, strict=True):
        image.save(file)
    expected = classifier.predict_proba(files)
    assert expected.shape == (3, len(classifier.classes))
    assert expected.sum(axis=1) == pytest.approx(1, abs=1e-5)
    for given in (pixels, list(pixels), images, [str(file) for file in files]):
        np.testing.assert_allclose(classifier.predict_proba(given), expected, atol=1e-6)
    np.testing.assert_allclose(classifier.predict_proba(pixels[0]), expected[:1], atol=1e-6)
    scored = [classifier._classifier.best(logits, 1)[0] for _, logits in classifier._classifier.score_files(files)]  # type: ignore[arg-type]
    assert classifier.predict(pixels).tolist() == [score.name for score in scored]
    top = classifier.top(pixels, k=2)
    assert top[top["rank"] == 1]["name"].tolist() == classifier.predict(pixels).tolist()
    assert top["probability"].iloc[0] == pytest.approx(scored[0].probability, abs=1e-5)


def test_more_images_than_fit_at_once_keep_their_order(classifier: Classifier, pixels: np.ndarray) -> None:
    many = [pixels[n % 3] for n in range(70)]
    found = classifier.predict_proba(many)
    np.testing.assert_allclose(found[66], found[0], atol=1e-5)
    assert classifier.predict_proba([]).shape == (0, len(classifier.classes))


def test_grey_arrays_are_grey_images(classifier: Classifier, pixels: np.ndarray) -> None:
    grey = pixels[0, :, :, 0]
    np.testing.assert_allclose(
        classifier.predict_proba(grey), classifier.predict_proba(np.stack([grey] * 3, axis=-1)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((8, 8, 3)), "values of float64; give uint8"),
        (np.zeros((3, 8, 8), dtype=np.uint8), r"shape \(3, 8, 8\); give \(height, width, 3\)"),
        (np.zeros((0, 8, 3), dtype=np.uint8), r"shape \(0, 8, 3\)"),
        (Image.new("I;16", (8, 8)), "grey values outside"),
        ([7], "image 0: expected a path, a Pillow image or an array of uint8, found int"),
        ("missing.png", "image missing"),
    ],
)
def test_what_is_no_image_is_one_line(classifier: Classifier, image: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        classifier.predict(image)


def test_other_classes_are_served_by_shared_contexts(contexts: Path, pixels: np.ndarray) -> None:
    other = load_classifier(contexts, classes=["a cat", "a dog"])
    assert set(other.predict(pixels)) <= {"a cat", "a dog"}


def test_only_places_may_be_given_beside_the_file(contexts: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"optim\.epochs: what was learned keeps its setting"):
        load_classifier(contexts, optim__epochs=3)
    with pytest.raises(UserError, match=r"no\.safetensors"):
        load_classifier(tmp_path / "no.safetensors")


def test_keywords_are_keys_of_the_setting() -> None:
    assert dotted({"optim__epochs": 3, "data.root": "x", "seeds": (1, 2)}) == {
        "optim.epochs": 3,
        "data.root": "x",
        "seeds": [1, 2],
    }
