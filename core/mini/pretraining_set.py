"""The images that the tiny CLIP is trained on, with what is needed to write new captions in every epoch."""

import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dualpt.core.mini.attributes import KINDS, Attributes, random_attributes, resample
from dualpt.core.mini.canvas import IMAGE_SIDE
from dualpt.core.mini.datasets import Domain
from dualpt.core.mini.language import caption
from dualpt.core.mini.rendering import Pixels, render
from dualpt.core.mini.world import build_world

NAMED_SHARE = 0.55
"""Share of images that show something with a name; the others show random attributes."""
WRONG_NAME_SHARE = 0.08
"""Share of names that are wrong: captions from the web are not ground truth."""
VARIATION = 0.06
"""How often an attribute of a class differs in one of its images."""
IMAGES_PER_CHUNK = 700


@dataclass(frozen=True)
class Subject:
    """What one image shows and what its captions may call it."""

    kind: str
    attributes: Attributes
    name: str | None

    def caption(self, rng: np.random.Generator) -> str:
        return caption(self.kind, self.attributes, self.name, rng)

    def caption_by_name(self, rng: np.random.Generator) -> str:
        return caption(self.kind, self.attributes, self.name, rng, name_share=1.0)


@dataclass(frozen=True)
class PretrainingSet:
    images: npt.NDArray[np.uint8]
    """(M, S, S, 3)"""
    subjects: Sequence[Subject]
    """M of them."""


def load_or_render(folder: Path, n_chunks: int, seed: int) -> PretrainingSet:
    """The pretraining images, rendered once into `folder` by a process per core."""
    images_file, subjects_file = folder / "images.npy", folder / "subjects.json"
    if not subjects_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
            chunks = list(pool.map(_render_chunk, [seed] * n_chunks, range(n_chunks)))
        np.save(images_file, np.concatenate([images for images, _ in chunks]))
        rows = [[s.kind, s.attributes, s.name] for _, subjects in chunks for s in subjects]
        subjects_file.write_text(json.dumps(rows))
    subjects = [Subject(*row) for row in json.loads(subjects_file.read_text())]
    return PretrainingSet(np.load(images_file), subjects)


def _render_chunk(seed: int, chunk: int) -> tuple[Pixels, list[Subject]]:
    rng = np.random.default_rng([seed, chunk])
    things = build_world().named_things
    weights = np.array([thing.weight for thing in things])
    images = np.empty((IMAGES_PER_CHUNK, IMAGE_SIDE, IMAGE_SIDE, 3), dtype=np.uint8)
    subjects = []
    for index in range(IMAGES_PER_CHUNK):
        subjects.append(_draw_subject(weights / weights.sum(), rng))
        images[index] = render(subjects[-1].kind, subjects[-1].attributes, Domain(), rng)
    return images, subjects


def _draw_subject(probabilities: npt.NDArray[np.float64], rng: np.random.Generator) -> Subject:
    things = build_world().named_things
    if rng.random() >= NAMED_SHARE:
        kind = tuple(KINDS)[int(rng.integers(len(KINDS)))]
        return Subject(kind, random_attributes(kind, rng), None)
    thing = things[int(rng.choice(len(things), p=probabilities))]
    attributes = resample(thing.kind, thing.attributes, VARIATION, rng)
    wrong = rng.random() < WRONG_NAME_SHARE
    name = things[int(rng.integers(len(things)))].name if wrong else thing.name
    return Subject(thing.kind, attributes, name)
