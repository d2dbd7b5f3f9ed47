"""`dualpt data draw`: few-shot samples printed, written as the field's files, and compared with such files."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from rich.console import Console

from dualpt.core.config.sections import DrawKind
from dualpt.core.data.catalog import DatasetInfo, dataset_info
from dualpt.core.data.draws.draw_files import FOLDER, Draw, draw_file, read_draw, shots_and_seed, write_draw
from dualpt.core.data.readers import read_split
from dualpt.core.data.sampling import FewShotSample, draw_few_shot
from dualpt.core.data.split_file import read_split_file
from dualpt.core.data.splits import Item, Split, listing
from dualpt.core.errors import UserError, nearest
from dualpt.sweeps.console import say_whole
from dualpt.sweeps.outputs import writable_folder
from dualpt.sweeps.tools.data import root_of
from dualpt.sweeps.tools.train import seeds_of


@dataclass(frozen=True)
class Source:
    """What is drawn from."""

    name: str
    """For people: the dataset, or the split file."""
    split: Split
    folder: str
    """The dataset's folder under a data root."""
    image_folder: str
    """Its image root under a data root."""
    image_root: Path
    kind: DrawKind = "standard"

    def draw(self, shots: int, seed: int) -> FewShotSample:
        return draw_few_shot(self.split, shots, seed, kind=self.kind)


def draw_samples(
    console: Console,
    dataset: str | None,
    root: Path | None,
    *,
    split_file: Path | None,
    shots: int,
    seed: int,
    seeds: str | None = None,
    kind: str = "standard",
    export: Path | None = None,
    verify: Path | None = None,
    as_json: bool,
) -> bool:
    """Print a sample, or export or verify several; whether every file verified holds our draw.

    Raises:
        UserError: options that exclude each other, no dataset and no split file, or any fault of split, draws or paths.
    """
    if export is not None and verify is not None:
        raise UserError("--export and --verify exclude each other; give one of them")
    if seeds is not None and export is None:
        raise UserError("--seeds: only --export takes several; print one draw with --seed")
    if dataset is None and (split_file is None or export is not None or verify is not None):
        raise UserError("name a dataset" + ("" if export or verify else ", or give a split file with --split"))
    if kind not in (kinds := get_args(DrawKind)):
        raise UserError(f"--draw: unknown kind '{kind}'{nearest(kind, kinds)} (known: {', '.join(kinds)})")
    source = replace(_source(dataset, root, split_file), kind=cast(DrawKind, kind))
    if export is not None:
        numbers = list(dict.fromkeys(seeds_of(seeds) if seeds is not None else [seed]))
        if min(numbers) < 0:
            raise UserError(f"--seeds: seeds are 0 or larger, found {min(numbers)}")
        _export(console, source, shots, numbers, export, as_json)
    elif verify is not None:
        return _verify(console, source, verify, as_json)
    else:
        _print(source, shots, seed, as_json)
    return True


def _source(dataset: str | None, root: Path | None, split_file: Path | None) -> Source:
    info = None if dataset is None else dataset_info(dataset, None if root is None else root.expanduser())
    folder = "" if info is None else info.folder
    image_folder = "" if info is None else f"{info.folder}/{info.image_folder}".rstrip("/")
    if split_file is not None:
        split = read_split_file(split_file, "the split file", image_folder)
        image_root = (root or Path()).expanduser() / image_folder
    else:
        assert info is not None
        split, image_root = _split(info, root)
    name = info.name if info is not None else str(split_file)
    if not split.train:
        raise UserError(f"{name} has test images only: there is nothing to draw")
    return Source(name, split, folder, image_folder, image_root.absolute())


def _split(info: DatasetInfo, root: Path | None) -> tuple[Split, Path]:
    found = root_of(info, root)
    return read_split(info, found, images=False), info.image_root(found)


def _print(source: Source, shots: int, seed: int, as_json: bool) -> None:
    sample = source.draw(shots, seed)
    if as_json:
        about = {"dataset": source.name, "shots": shots, "seed": seed, "fingerprint": sample.fingerprint}
        print(json.dumps({**about, "train": sample.train, "val": sample.val}))
        return
    for part, items in (("train", sample.train), ("val", sample.val)):
        for item in items:
            print(part, item.label, item.path, item.class_name, sep="\t")
    print(f"# {source.name}: {len(sample.train)} train, {len(sample.val)} val; fingerprint {sample.fingerprint}")
    if source.kind != "standard":
        counts = Counter(item.label for item in sample.train)
        lacking = [name for label, name in enumerate(source.split.class_names) if not counts[label]]
        per_class = [counts[label] for label in range(len(source.split.class_names))]
        without = f"; none of {listing(lacking)}" if lacking else ""
        print(f"# {source.kind}: {min(per_class)} to {max(per_class)} training images per class{without}")


def _export(console: Console, source: Source, shots: int, seeds: Sequence[int], folder: Path, as_json: bool) -> None:
    folder = folder.expanduser()
    writable_folder(folder / source.folder / FOLDER, "--export")
    written = []
    for seed in seeds:
        sample, path = source.draw(shots, seed), draw_file(folder, source.folder, shots, seed)
        try:
            write_draw(path, {"train": sample.train, "val": sample.val}, source.image_root)
        except OSError as error:
            raise UserError(f"--export: {path} cannot be written ({error.strerror})") from None
        written.append({"file": str(path), "shots": shots, "seed": seed, "fingerprint": sample.fingerprint})
    if as_json:
        print(json.dumps(written))
        return
    for one in written:
        say_whole(console, f"{one['file']}: fingerprint {one['fingerprint']}")
    if source.kind == "standard" and (short := _short_classes(source, shots)):
        line = f"  note: fewer than {shots} training images of {listing(short)}: each draw takes all of them"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    line = f"  {len(written)} draws of {source.name}; CoOp's code takes them where its data root holds these folders"
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _short_classes(source: Source, shots: int) -> list[str]:
    """Classes that have fewer training images than are to be drawn."""
    counts = Counter(item.label for item in source.split.train)
    return [f"'{source.split.class_names[label]}' ({n})" for label, n in sorted(counts.items()) if n < shots]


def _verify(console: Console, source: Source, folder: Path, as_json: bool) -> bool:
    """Compare every file of the dataset's draws; nothing in them is run."""
    paths = _files(folder.expanduser(), source)
    found = []
    for path, shots, seed in paths:
        drawn = read_draw(path, source.image_folder)
        sample = source.draw(shots, seed)
        difference = _difference(drawn, {"train": sample.train, "val": sample.val})
        found.append({"file": str(path), "shots": shots, "seed": seed, "difference": difference})
        if not as_json:
            said = f"differs: {difference}" if difference else f"is our draw, fingerprint {sample.fingerprint}"
            said += "" if difference or "val" in drawn else " (it holds train alone)"
            say_whole(console, f"{path}: {said}")
    if as_json:
        print(json.dumps(found))
    return not any(one["difference"] for one in found)


def _files(folder: Path, source: Source) -> list[tuple[Path, int, int]]:
    """The draws' files of a folder: of a data root, of a dataset's folder, or the folder of the files itself.

    Raises:
        UserError: there are none.
    """
    for place in (folder / source.folder / FOLDER, folder / FOLDER, folder):
        named = [(path, known) for path in sorted(place.glob("*.pkl")) if (known := shots_and_seed(path)) is not None]
        if named:
            return sorted(((path, *known) for path, known in named), key=lambda one: one[1:])
    raise UserError(f"--verify: {folder} holds no {source.folder}/{FOLDER}/shot_K-seed_S.pkl")


def _difference(found: Draw, ours: Draw) -> str:
    """The first difference in words; empty where there is none."""
    for part, items in found.items():
        expected: tuple[Item, ...] = ours[part]
        if len(items) != len(expected):
            return f"{part} has {len(items)} images, and ours {len(expected)}"
        for index, (theirs, own) in enumerate(zip(items, expected, strict=True)):
            if theirs != own:
                return f"{part} image {index} is {_shown(theirs)}, and ours {_shown(own)}"
    return ""


def _shown(item: Item) -> str:
    return f"{item.path} ({item.label} '{item.class_name}')"
