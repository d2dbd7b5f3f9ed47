"""`dualpt features import`: features that somebody else computed, made ready for sweeps."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from dualpt.core.clip.open_clip_cache import known_names
from dualpt.core.config.sections import BackboneSection
from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import DatasetInfo, dataset_info
from dualpt.core.data.imported_split import SUFFIX, ImportedSplit, find_import
from dualpt.core.data.readers import read_split
from dualpt.core.data.split_file import read_split_file
from dualpt.core.data.splits import PARTS, Split
from dualpt.core.errors import UserError, nearest
from dualpt.core.files.locations import cache_root
from dualpt.core.inputs.reading import find_dataset
from dualpt.sweeps.console import say_whole

OPENAI_SCALE = 100.0
"""Logit scale of OpenAI's weights."""


def import_folder(
    console: Console,
    folder: Path,
    dataset: str,
    backbone: str,
    *,
    root: Path | None,
    split_file: Path | None,
    to: Path | None,
    draws: Path | None,
    seed: int,
    scale: float | None,
    raw: bool,
    weights: str | None,
    template: str | None,
    as_json: bool,
) -> None:
    """Read, check and write the features of one dataset, and say what they can be used for.

    Args:
        scale: CLIP's logit scale; None takes that of `weights`, else OpenAI's.
        weights: those that gave the features, to encode class names with.
        template: that class names are encoded in; None takes the dataset's.

    Raises:
        UserError: any fault of the folder, before anything is written; one line.
    """
    from dualpt.core.features.imported.fewshot_pickles import find_draws
    from dualpt.core.features.imported.import_parts import Declared
    from dualpt.core.features.imported.import_text import with_text
    from dualpt.core.features.imported.make_import import make_import, write_import

    _check_text(weights, template, scale)
    info = dataset_info(dataset, None if root is None else root.expanduser())
    name = _architecture(backbone)
    split = _split(info, root, split_file)
    folder = folder.expanduser()
    found = find_draws(folder if draws is None else draws.expanduser())
    if draws is not None and not found:
        raise UserError(f"--draws: {draws} holds no shot_K-seed_S.pkl, as Dassl's split_fewshot does")
    made = make_import(folder, Declared(info, name, split, seed, scale or OPENAI_SCALE, raw, found))
    if weights is not None:
        made = with_text(made, BackboneSection(name=name, pretrained=weights), template or info.template)
    target = to.expanduser() if to is not None else imports_root() / name
    path = write_import(made, target)
    if as_json:
        print(json.dumps({"file": str(path), "features": str(target), **_summary(made.about), "unread": made.unread}))
        return
    for line in _lines(made.about, made.unread, path, target):
        say_whole(console, line)


def imports_root() -> Path:
    """Where imports lie that were not given a place: a folder per backbone, with a file per dataset."""
    return cache_root() / "imported"


def _check_text(weights: str | None, template: str | None, scale: float | None) -> None:
    """Refuse options of text features that contradict each other, before anything is read.

    Raises:
        UserError: one line.
    """
    if weights is None and template is not None:
        raise UserError("--template: says how class names are encoded, which needs --weights")
    if weights is not None and scale is not None:
        raise UserError("--logit-scale: --weights have their own; leave one of the two out")
    if template is not None and "{}" not in template:
        raise UserError(f"--template: '{template}' has no {{}} for the class name; write it as 'a photo of a {{}}.'")


@dataclass(frozen=True)
class ListedImport:
    """An import where imports lie, as `dualpt features ls` shows it."""

    file: str
    dataset: str
    backbone: str
    rows: int
    """Features of images, all parts together."""
    bytes: int
    draws: int
    """Few-shot draws that came with the features."""
    text: bool
    """Whether text features are among them."""
    crops: int
    """Random crops of each training image."""
    norms: bool
    """Whether the norms of raw features are known."""
    weights: str
    """SHA-256 of those that gave the features, which prompts need; empty where they aren't known."""


def listed_imports() -> tuple[list[ListedImport], list[Path]]:
    """The imports that were not given another place, by backbone and dataset; and files that can't be read as one."""
    found, unreadable = [], []
    for path in sorted(imports_root().glob(f"*/*{SUFFIX}")):
        try:
            one = find_import(path.parent, path.stem)
        except UserError:
            unreadable.append(path)
            continue
        rows = sum(map(len, one.labels.values()))
        size = path.stat().st_size
        beside = (bool(one.text), one.crops, one.raw, one.weights)
        found.append(ListedImport(str(path), one.dataset, one.backbone, rows, size, len(one.draws), *beside))
    return found, unreadable


def _architecture(name: str) -> str:
    """The name that `backbone.name` has for an architecture; others stay as they are, unless they look mistyped.

    Raises:
        UserError: a name close to one that is known, or one that can't name a folder.
    """
    plain = name.strip().replace("/", "-")  # OpenAI writes ViT-B/16
    known = ["mini-clip", *known_names()]
    if plain in known:
        return plain
    if hint := nearest(plain, known):
        raise UserError(f"--backbone: unknown architecture '{name}'{hint}")
    if not plain or plain.startswith(".") or not plain.isprintable() or "\\" in plain:
        raise UserError(f"--backbone: '{name}' can't name a backbone; write it as ViT-B-16")
    return plain


def _split(info: DatasetInfo, root: Path | None, split_file: Path | None) -> Split | None:
    """The dataset's split, which needs no images; None where nothing says where it lies."""
    if split_file is not None:
        return read_split_file(split_file, "the split file", f"{info.folder}/{info.image_folder}".rstrip("/"))
    if info.kind == "mini":
        return find_dataset(Setting(), info.name).split
    return None if root is None else read_split(info, root.expanduser(), images=False)


def _summary(about: ImportedSplit) -> dict[str, Any]:
    return {
        "dataset": about.dataset,
        "backbone": about.backbone,
        "width": about.width,
        "classes": len(about.class_names),
        "rows": {part: len(about.labels.get(part, ())) for part in PARTS},
        "crops": about.crops,
        "draws": [{"shots": draw.shots, "seed": draw.seed} for draw in about.draws],
        "complete": about.complete,
        "raw": about.raw,
        "text": about.text or None,
        "template": about.template or None,
        "weights": about.weights or None,
        "notes": about.notes,
    }


def _lines(about: ImportedSplit, unread: tuple[str, ...], path: Path, target: Path) -> list[str]:
    rows = ", ".join(f"{part} {len(about.labels.get(part, ()))}" for part in PARTS)
    lacking = [] if about.text else ["no text features: methods that need them can't run; --weights FILE adds them"]
    crops = [f"{about.crops} crops of each training image"] if about.crops else []
    if not about.labels.get("val") and not about.complete:
        most = about.largest.shots
        lacking.append(f"no validation features: training images left over serve, of which {most} shots leave none")
    numbers = Counter(draw.shots for draw in about.draws)
    draws = ", ".join(f"{shots}" + (f" ({n} seeds)" if n > 1 else "") for shots, n in sorted(numbers.items()))
    return [
        f"{about.dataset}, {about.backbone}: {rows} rows of width {about.width}, {len(about.class_names)} classes",
        *([f"draws of {draws} shots"] if draws else []),
        *crops,
        *lacking,
        *about.notes,
        *([f"not read: {', '.join(unread)}"] if unread else []),
        f"kept in {path}",
        f"next: dualpt train --dataset {about.dataset} --method nearest-mean data.features={target} "
        f"backbone.name={about.backbone}",
    ]
