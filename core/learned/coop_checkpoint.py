"""A prompt learner's checkpoint by CoOp, KgCoOp or PLOT as learned prompts, which `predict` and Python use as our own.

Dassl's checkpoint says neither its dataset nor its backbone, so the user does. Most hold the token embeddings of every
class name: names, their order and the text tower are checked against them, and nothing is taken on trust that can be
checked. PLOT's prompts classify by transport, as the preset `plot` does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dualpt.core.cell import Cell
from dualpt.core.clip.text_tower import TextTower
from dualpt.core.clip.weights import find_weights
from dualpt.core.config.sections import Protocol, Value
from dualpt.core.data.draws.coop_folders import seed_in, shots_in
from dualpt.core.descriptions.names import display_name
from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import file_sha256
from dualpt.core.inputs.reading import split_of
from dualpt.core.learned.image_classifier import open_backbone
from dualpt.core.learned.prompts import LearnedPrompts
from dualpt.core.presets import method_setting
from dualpt.core.prompts.contexts_file import CoopPrompts, read_coop

PLOT = "plot"
READ_AS = ("coop", "coop-words", "kgcoop", PLOT)
"""Methods whose contexts alone make the classifier."""
HALF_PRECISION = 1e-3
"""Relative difference of token embeddings that were stored in 16 bits; other words differ by their whole length."""


@dataclass(frozen=True)
class Origin:
    """What a checkpoint was trained on, which it doesn't say itself."""

    dataset: str
    shots: int
    seed: int


def origin_of(path: Path, dataset: str, shots: int | None, seed: int | None) -> Origin:
    """Complete what the user said by what the folders of CoOp's scripts say.

    Raises:
        UserError: neither says the number of shots or the seed.
    """
    said = path.absolute().as_posix()
    found = {"--shots": (shots, shots_in(said)), "--seed": (seed, seed_in(said))}
    values = {option: in_folder if given is None else given for option, (given, in_folder) in found.items()}
    if missing := next((option for option, value in values.items() if value is None), None):
        raise UserError(f"{missing}: {path} doesn't say it in a folder's name (16shots, seed1); give it")
    at, by = (value or 0 for value in values.values())
    return Origin(dataset, at, by)


def import_checkpoint(path: Path, method: str, origin: Origin, values: Mapping[str, Any]) -> LearnedPrompts:
    """Read a checkpoint as learned prompts.

    Args:
        path: `prompt_learner/model.pth.tar-50`; none of its code is run.
        method: one of `READ_AS`.
        origin: what it was trained on.
        values: of the setting, by dotted key: backbone, data root, `prompt.class_token_position`.

    Raises:
        UserError: the file can't be read; a method whose classifier is more than its contexts; another dataset, order
            of classes or backbone than it was trained with, as far as it says.
    """
    if method not in READ_AS:
        raise UserError(f"--method: '{method}' isn't one of {', '.join(READ_AS)}")
    found = read_coop(path, "checkpoint")
    names = split_of(method_setting(method).with_values(values), origin.dataset).class_names
    shape = _shape(found, method, names, origin, path)
    setting = method_setting(method).with_values({**values, **shape, "prompt.init": None})
    weights = find_weights(setting.backbone.name, setting.backbone.pretrained).fingerprint
    backbone = open_backbone(setting.backbone, weights, "the prompts were", "cpu")
    protocol = _checked(found, backbone.text, names, setting.prompt.n_prompts, path)
    cell = Cell(setting, origin.dataset, protocol, origin.shots, origin.seed)
    # CoOp has one prompt per class and no dimension for it
    contexts = found.contexts if method == PLOT else found.contexts.unsqueeze(-3)
    return LearnedPrompts(contexts, cell, f"imported:{file_sha256(path)}", names, None, weights)


def _shape(found: CoopPrompts, method: str, names: Sequence[str], origin: Origin, path: Path) -> dict[str, Value]:
    """The keys of a setting that the contexts' shape decides: (L, W), CoOp's (C, L, W), or PLOT's (N, L, W)."""
    length, three = found.contexts.shape[-2], found.contexts.ndim == 3
    if method == PLOT:
        if not three:
            raise UserError(f"{path}: holds a single prompt, and PLOT has several; give the method that learned it")
        n_prompts = len(found.contexts)
        return {"prompt.context_length": length, "prompt.class_specific": False, "prompt.n_prompts": n_prompts}
    if three and len(found.contexts) != len(names):
        raise UserError(
            f"{path}: holds contexts of {len(found.contexts)} classes, {origin.dataset} has {len(names)}; give its own "
            "dataset (or --method plot, whose prompts are a row each)"
        )
    return {"prompt.context_length": length, "prompt.class_specific": three}


def _checked(found: CoopPrompts, tower: TextTower, names: Sequence[str], n_prompts: int, path: Path) -> Protocol:
    """Compare what the checkpoint says of its classes with a dataset's; half of them is base-to-new's training."""
    *_, length, width = found.contexts.shape
    if width != tower.width:
        raise UserError(
            f"{path}: its contexts have {width} numbers, the text tower {tower.width}; name its backbone.name"
        )
    if found.behind is None:
        return "few-shot"
    n_classes = len(found.behind) // n_prompts  # PLOT repeats the classes for every prompt
    if n_classes not in (len(names), ceil(len(names) / 2)):
        raise UserError(f"{path}: was trained on {n_classes} classes, the dataset has {len(names)}; give its dataset")
    for name, embedded in zip(names, found.behind[:n_classes], strict=False):
        expected = tower.embed(tokens_behind(tower, name, length)).float().cpu()
        if expected.shape != embedded.shape or (expected - embedded).norm() > HALF_PRECISION * expected.norm():
            raise UserError(
                f"{path}: '{name}' isn't its class at that place, or its text tower is another; give the dataset and "
                "the backbone that it was trained with"
            )
    return "few-shot" if n_classes == len(names) else "base-to-new"


def tokens_behind(tower: TextTower, name: str, length: int) -> Tensor:
    """Ids of what CoOp's prompt has behind its contexts: name, period, end and padding, up to the last position."""
    ids = [*tower.tokenizer.encode(f"{display_name(name)}."), tower.end_token]
    room = tower.context_length - 1 - length
    return torch.tensor([*ids, *[tower.pad_token] * (room - len(ids))])
