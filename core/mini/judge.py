"""Judge a tiny CLIP on the mini grid without training: `python -m dualpt.core.mini.judge --root DATA [--weights FILE]`.

Prints, for every dataset, zero-shot accuracy by name and by descriptions, from the global feature and from the best
positions of the value path, and how close positions are to the global feature. This is how pretraining was judged.
"""

import argparse
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from torch import Tensor

from dualpt.core.mini.clip import CONTEXT_LENGTH, load_mini_clip
from dualpt.core.mini.datasets import MINI_DATASETS, TEMPLATES, folder_name
from dualpt.core.mini.grid import description_bank, ensure_mini_grid, split_document
from dualpt.core.mini.pretrain import encode_images, encode_truncated, normalise

LOCAL_POSITIONS = 2
ENCODE_BATCH = 256


@dataclass(frozen=True)
class Judgement:
    """One row of the table; accuracies and cosines in per cent."""

    name_global: float
    description_global: float
    name_local: float
    description_local: float
    position_to_global: float
    """Mean cosine of a position to the global feature: high means that positions only repeat it."""
    base_by_name: float
    """Zero-shot by name among the first half of the classes."""
    new_by_name: float


def judge(model: CLIP, root: Path, dataset: str) -> Judgement:
    """Zero-shot accuracies on the test images of one dataset."""
    rows = split_document(dataset)["test"]
    images = read_images(root / folder_name(dataset) / "images", [path for path, _, _ in rows])
    labels = torch.tensor([label for _, label, _ in rows])
    features, positions = encode_all(model, images)
    bank = description_bank(dataset)
    by_name = class_features(model, [[TEMPLATES[dataset].format(name)] for name in bank])
    by_description = class_features(model, list(bank.values()))
    n_base = (len(bank) + 1) // 2
    base = labels < n_base
    return Judgement(
        name_global=accuracy(features @ by_name.T, labels),
        description_global=accuracy(features @ by_description.T, labels),
        name_local=accuracy(local_scores(positions, by_name), labels),
        description_local=accuracy(local_scores(positions, by_description), labels),
        position_to_global=100 * (positions * features[:, None]).sum(-1).mean().item(),
        base_by_name=accuracy(features[base] @ by_name[:n_base].T, labels[base]),
        new_by_name=accuracy(features[~base] @ by_name[n_base:].T, labels[~base] - n_base),
    )


def read_images(folder: Path, paths: list[str]) -> npt.NDArray[np.uint8]:
    """(M, S, S, 3)"""
    return np.stack([np.asarray(Image.open(folder / path)) for path in paths])


@torch.no_grad()
def encode_all(model: CLIP, images: npt.NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Global features (M, D) and value-path features (M, P, D), normalised."""
    batches = [
        encode_images(model, normalise(images[start : start + ENCODE_BATCH]))
        for start in range(0, len(images), ENCODE_BATCH)
    ]
    return torch.cat([features for features, _ in batches]), torch.cat([positions for _, positions in batches])


@torch.no_grad()
def class_features(model: CLIP, sentences: list[list[str]]) -> Tensor:
    """The normalised mean of each class's sentence features, (C, D)."""
    tokenizer = SimpleTokenizer(context_length=CONTEXT_LENGTH)
    means = [encode_truncated(model, tokenizer(texts)).mean(0) for texts in sentences]
    return F.normalize(torch.stack(means), dim=-1)


def local_scores(positions: Tensor, classes: Tensor) -> Tensor:
    """Mean similarity of the best positions: (M, P, D) and (C, D) to (M, C)."""
    return (positions @ classes.T).topk(LOCAL_POSITIONS, dim=1).values.mean(1)


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """In per cent."""
    return 100 * (scores.argmax(-1) == labels).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="data root; the grid is drawn there if missing")
    parser.add_argument("--weights", type=Path, help="weight file; the shipped one by default")
    arguments = parser.parse_args()
    model = load_mini_clip(arguments.weights)
    root = ensure_mini_grid(arguments.root)
    print(f"{'':15s}", *(f"{field.name:>19s}" for field in fields(Judgement)))
    rows = []
    for dataset in MINI_DATASETS:
        rows.append(astuple(judge(model, root, dataset)))
        print(f"{dataset:15s}", *(f"{value:19.1f}" for value in rows[-1]), flush=True)
    print(f"{'mean':15s}", *(f"{value:19.1f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
