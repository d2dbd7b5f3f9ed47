"""`dualpt data`: from the data root to what is printed, drawn or registered."""

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import (
    BUILT_IN,
    IMAGENET_VARIANTS,
    MINI_GRID,
    REAL_GRID,
    DatasetInfo,
    dataset_info,
    expand_datasets,
    own_datasets,
    registered,
)
from dualpt.core.data.checking.image_faults import check_depth
from dualpt.core.data.own_datasets import append_own_dataset, check_entry, check_name
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import PARTS, Split, check_files, listing
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import data_root
from dualpt.core.mini.grid import ensure_mini_grid
from dualpt.sweeps.console import counted, progress_bar, say_whole
from dualpt.sweeps.word_table import WordTable

if TYPE_CHECKING:
    from dualpt.core.data.checking.examination import Examination


def check_datasets(
    console: Console,
    names: Sequence[str],
    root: Path | None,
    *,
    deep: bool,
    published: bool,
    as_json: bool,
    splits: Mapping[str, Split | None] | None = None,
) -> bool:
    """Examine datasets and print what was found; whether all that were asked for are fine.

    `splits` are those that were read already, by dataset.

    Raises:
        UserError: an unknown name, or a data root that is not there or not given.
    """
    from dualpt.core.data.checking.examination import examine

    if root is not None and not root.expanduser().is_dir():
        raise UserError(f"--root: no folder '{root}'")
    infos = [dataset_info(name, _expanded(root)) for name in _asked_for(names, root)]
    reports = []
    with progress_bar(console, as_json or not console.is_terminal) as bar:
        task = bar.add_task("", total=None, visible=deep)
        for info in infos:
            bar.update(task, description=f"decoding {info.name}", completed=0, total=None)
            folder = root_of(info, root, draw=False)
            known = splits.get(info.name) if splits else None
            reports.append(
                examine(
                    info,
                    folder,
                    split=known,
                    deep=deep,
                    progress=lambda done, n: bar.update(task, completed=done, total=n),
                )
            )
    fine = [_is_fine(info, report, published) for info, report in zip(infos, reports, strict=True)]
    if as_json:
        rows = [
            {**asdict(report), "as_published": report.as_published, "fine": each}
            for report, each in zip(reports, fine, strict=True)
        ]
        print(json.dumps(rows))
    else:
        _print_examinations(console, infos, reports, fine, root)
    return all(fine)


def _asked_for(names: Sequence[str], root: Path | None) -> tuple[str, ...]:
    """The datasets named; without names the eleven, the user's own, and the variants that are there."""
    root = _expanded(root)
    if names:
        return expand_datasets(names, root)
    if root is None:
        return MINI_GRID
    variants = [name for name in IMAGENET_VARIANTS if (root / dataset_info(name).folder).is_dir()]
    return (*REAL_GRID, *variants, *own_datasets(root))


def _is_fine(info: DatasetInfo, report: "Examination", published: bool) -> bool:
    if info.kind == "mini" and not report.found:
        return True  # it is drawn when it is asked for
    return report.fine and (report.as_published or not published)


def _print_examinations(
    console: Console,
    infos: Sequence[DatasetInfo],
    reports: Sequence["Examination"],
    fine: Sequence[bool],
    root: Path | None,
) -> None:
    table = WordTable("dataset", "state", "classes", "train", "val", "test")
    for info, report, each in zip(infos, reports, fine, strict=True):
        table.add_row(info.name, _state(info, report, each), *_counts(report))
    table.show(console)
    if any(report.n_images and not report.as_published for report in reports):
        console.print(
            "  n/m: n found, m published; results on other images do not compare with published ones", soft_wrap=True
        )
    for report in reports:
        lines = [(line, "[red]fault[/]") for line in _faults(report)] + [(line, "note") for line in _notes(report)]
        for line, kind in lines:
            console.print(f"  {kind} {escape(report.name)}: {escape(line)}", highlight=False, soft_wrap=True)
    _print_what_to_do(console, infos, reports, root)


def _print_what_to_do(
    console: Console, infos: Sequence[DatasetInfo], reports: Sequence["Examination"], root: Path | None
) -> None:
    """Where the missing datasets belong, and whether the images themselves were read."""

    def say(line: str) -> None:
        say_whole(console, line)

    absent = [info for info, report in zip(infos, reports, strict=True) if not report.found and info.kind != "mini"]
    if root is not None and absent:
        if len(absent) == len(infos) and (inside := next((i for i in absent if i.folder == root.resolve().name), None)):
            say(f"{root} is the folder of {inside.name} itself; did you mean --root {root.resolve().parent}?")
        else:
            say(f"not found: {listing([f'{info.folder}/' for info in absent], shown=11)} under {root}")
    decoded = [report for report in reports if report.decoded]
    if decoded:
        n_tried = sum(report.n_distinct - len(report.missing) for report in decoded)
        unreadable = sum(len(report.unreadable) for report in decoded)
        say(f"{counted(n_tried, 'image')} decoded, {unreadable} of them cannot be read")
    elif any(report.n_images for report in reports):
        say("images were not opened; --deep decodes every one")


def _state(info: DatasetInfo, report: "Examination", fine: bool) -> str:
    if not report.found:
        return "[dim]not drawn[/]" if info.kind == "mini" else "[red]not found[/]"
    if fine:
        return "[green]fine[/]" if report.as_published else "[yellow]differs[/]"
    return "[red]differs[/]" if report.fine else "[red]faulty[/]"


def _counts(report: "Examination") -> list[str]:
    if report.n_images is None:
        return ["–"] * 4
    found = (report.n_classes, *report.n_images)
    published = (report.expected_classes, *(report.expected_images or (None, None, None)))
    return [f"{n or '–'}" if p in (None, n) else f"{n}/{p}" for n, p in zip(found, published, strict=True)]


def _notes(report: "Examination") -> list[str]:
    notes = [report.split_note] if report.split_note else []
    if report.repeated:
        notes.append(f"{counted(len(report.repeated), 'image')} listed twice: {listing(report.repeated)}")
    if report.namesakes:
        notes.append(f"classes that share a name: {listing(report.namesakes)}")
    if report.stray:
        notes.append(f"{counted(len(report.stray), 'image')} in no part: {listing(report.stray)}")
    if report.transparent:
        images = f"{len(report.transparent)} ({listing(report.transparent)})"
        notes.append(f"images with transparent parts, of which the colours beneath are used: {images}")
    return notes if report.own else [*notes, *_spoilt(report), *report.duplicates.notes()]


def _spoilt(report: "Examination") -> list[str]:
    images = f"{len(report.spoilt)} ({listing(report.spoilt)})"
    what = "images with grey values outside 0..255, which the field's loader cuts off, leaving white or black"
    remedy = "save them with 8 bits per sample" if report.own else "published numbers are of them so"
    return [f"{what}: {images}; {remedy}"] if report.spoilt else []


def _faults(report: "Examination") -> list[str]:
    faults = [report.fault] if report.fault else []
    if report.missing:
        faults.append(f"{counted(len(report.missing), 'image')} missing: {listing(report.missing)}")
    if report.leaked:
        faults.append(f"{len(report.leaked)} test images are also for training or validation: {listing(report.leaked)}")
    if report.own:
        faults += [*_spoilt(report), *report.duplicates.notes()]
    return [*faults, *report.unreadable]


def show_dataset(
    console: Console, dataset: str, root: Path | None, output: Path | None, per_class: int, classes: int, as_json: bool
) -> None:
    """Print the classes of a dataset with their images, and write its contact sheet.

    Raises:
        UserError: a fault of the split, or a file that cannot be written.
    """
    from dualpt.core.data.checking.contact_sheet import contact_sheet

    info = dataset_info(dataset, _expanded(root))
    folder = root_of(info, root)
    split = read_split(info, folder)
    shown = split.class_names[:classes]
    sheet, faults = contact_sheet(info.image_root(folder), split.train or split.test, shown, per_class)
    path = output or Path(f"{info.name}.png")
    _write_png(sheet, path)
    counts = [Counter(item.label for item in getattr(split, part)) for part in PARTS]
    rows = [(label, name, *(count[label] for count in counts)) for label, name in enumerate(split.class_names)]
    if as_json:
        keys = ("label", "name", *PARTS)
        document = {"dataset": info.name, "classes": [dict(zip(keys, row, strict=True)) for row in rows]}
        print(json.dumps({**document, "contact_sheet": str(path), "unreadable": faults}))
        return
    table = WordTable("label", "class", *PARTS, title=escape(info.name))
    for row in rows:
        table.add_row(*(escape(str(text)) for text in row))
    table.add_section()
    table.add_row("", f"{len(rows)} classes", *(str(count.total()) for count in counts))
    table.show(console)
    part = "" if len(shown) == len(rows) else f" of the first {len(shown)} classes (--classes)"
    say_whole(console, f"contact sheet{part}: {path}")
    for line in faults:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _write_png(sheet: object, path: Path) -> None:
    """Encode first, so a failing encoder leaves no partial file."""
    from PIL import Image

    assert isinstance(sheet, Image.Image)
    content = io.BytesIO()
    sheet.save(content, "PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.getvalue())
    except OSError as error:
        raise UserError(f"--output: {path} cannot be written ({error.strerror})") from None


def add_dataset(console: Console, name: str, root: Path, entry: dict[str, str]) -> None:
    """Register a dataset in `datasets.yaml` of the data root, once its split and its images have been found.

    Raises:
        UserError: a name that is taken, a faulty entry, or any fault of the split or the images; nothing is written.
    """
    root = root.expanduser()
    if not root.is_dir():
        raise UserError(f"--root: no folder '{root}'")
    check_name(name, [*BUILT_IN, *own_datasets(root)], "dualpt data add")
    dataset = check_entry({**entry}, "dualpt data add")
    info = registered(name, dataset)
    if not (root / info.folder).is_dir():
        raise UserError(f"--folder: {root} holds no folder '{info.folder}'; name it as it lies there")
    split = read_split(info, root)
    items = (*split.train, *split.val, *split.test)
    check_files(items, info.image_root(root))
    check_depth(items, info.image_root(root))
    path = append_own_dataset(root, name, dataset)
    counts = ", ".join(f"{len(getattr(split, part))} {part}" for part in PARTS)
    for line in (
        f"{name}: {len(split.class_names)} classes; {counts} images; registered in {path}",
        *([] if split.val else ["  no validation part: validation shots come from what training leaves over"]),
        f"  next: dualpt train --dataset {name} --method coop data.root={root}",
        "  other methods align with descriptions: "
        f"dualpt describe generate {name} --llm MODEL --out {root}/descriptions data.root={root}",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def root_of(info: DatasetInfo, root: Path | None, *, draw: bool = True) -> Path:
    """The folder that holds the dataset; a mini dataset is drawn there first.

    Raises:
        UserError: a dataset that is read from disk, and no root given, or one that is not there.
    """
    if info.kind != "mini":
        remedy = f"give the FOLDER that holds '{info.folder}/'"
        if root is None:
            raise UserError(f"--root: {info.name} is read from disk; {remedy}")
        if not root.expanduser().is_dir():
            raise UserError(f"--root: no folder '{root}'; {remedy}")
    folder = data_root(Setting().with_values({"data.root": None if root is None else str(root)}), info)
    if info.kind == "mini" and draw:
        ensure_mini_grid(folder, [info.name])
    return folder


def _expanded(root: Path | None) -> Path | None:
    return None if root is None else root.expanduser()
