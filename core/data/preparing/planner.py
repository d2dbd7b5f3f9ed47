"""From what was found to what will be done, dataset by dataset; nothing is written.

The split file comes first, then the images that it lists: by their names in folders, and what folders lack in archives.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dualpt.core.data.catalog import IMAGENET_VARIANTS, REAL_GRID, DatasetInfo, dataset_info
from dualpt.core.data.preparing.archive_targets import CLASS_TAR
from dualpt.core.data.preparing.drawn_split import drawn_split, how_to_get
from dualpt.core.data.preparing.imagenet_family import plan_family
from dualpt.core.data.preparing.sources.found_splits import Listing, find_listing
from dualpt.core.data.preparing.sources.glances import Glance, glance
from dualpt.core.data.preparing.sources.layouts import KNOWN, archive_of, found_as, whose_layout
from dualpt.core.data.preparing.sources.name_match import Found, NameIndex, find_images
from dualpt.core.data.preparing.sources.sorted_cars import cars_of, find_sorted_cars, sorted_car
from dualpt.core.data.preparing.sources.survey import Survey, survey
from dualpt.core.data.preparing.sources.traps import find_traps
from dualpt.core.data.preparing.standing import Standing, standing
from dualpt.core.data.preparing.steps import ArchiveStep, DatasetPlan, Source
from dualpt.core.data.splits import listing
from dualpt.core.errors import UserError

PREPARED = (*REAL_GRID, *IMAGENET_VARIANTS)
"""The datasets that can be prepared, in the order of tables."""
BY_NAME_ONLY = "is called like an archive of it, but doesn't begin with its images; unpack it if they are further on"
MOST_TRAPS = 3
"""Lines about unusable copies of one dataset; a copy may have thousands of folders."""
LEAST_FOUND = 0.5
"""Share of a split's images below which a dataset isn't taken: no result on it would mean anything."""


@dataclass(frozen=True)
class Places:
    """Where things are looked for."""

    sources: Survey
    """Of the folders that hold images."""
    lists: tuple[Survey, ...]
    """Of all folders that may hold split files, those of `--splits` first."""
    glances: tuple[Glance, ...]
    """Into the archives in `sources` and those that `--splits` names, but for ImageNet's thousand, whose names say
    everything.
    """


def look_around(tops: Sequence[Path], splits: Sequence[Path], root: Path) -> Places:
    """Walk through the user's folders and look into the archives in them.

    Raises:
        UserError: a folder that doesn't exist.
    """
    absolute = root.absolute()
    given = {top.absolute() for top in tops}
    sources = survey(tops, "--from", None if absolute in given else absolute)
    lists = survey(splits, "--splits")
    named = {top.absolute() for top in splits}
    archives = [*sources.archives, *(path for path in lists.archives if path in named)]
    looked_into = (path for path in dict.fromkeys(archives) if not CLASS_TAR.fullmatch(path.name))
    return Places(sources, (lists, sources), tuple(map(glance, looked_into)))


def plan_datasets(
    places: Places, root: Path, names: Collection[str] = PREPARED, make_split: int | None = None
) -> list[DatasetPlan]:
    """Decide what will be done for each dataset.

    Args:
        places: what was found.
        root: the data root; it need not exist.
        names: the datasets asked for.
        make_split: seed of a split to draw where the field's is nowhere; None to refuse the dataset.

    Returns:
        The plans, in the order of tables.
    """
    by_split = [info for info in map(dataset_info, PREPARED) if info.name in names and _has_listing(info)]
    plans = {plan.info.name: plan for plan in _plan_listed(by_split, places, root, make_split)}
    if any(name not in plans for name in names):
        plans |= {plan.info.name: plan for plan in plan_family(places.sources, places.lists, places.glances, root)}
    traps = find_traps(places.sources, places.glances)
    return [_with_traps(plans[name], traps.get(name, ()), places) for name in PREPARED if name in names]


def _has_listing(info: DatasetInfo) -> bool:
    return info.layout in ("split file", "aircraft")


def _plan_listed(infos: Sequence[DatasetInfo], places: Places, root: Path, make_split: int | None) -> list[DatasetPlan]:
    """Plan the datasets whose images a file lists."""
    listings: dict[str, Listing] = {}
    plans: dict[str, DatasetPlan] = {}
    for info in infos:
        try:
            found = find_listing(info, root, places.lists, places.glances)
            if found is None and make_split is not None:
                found = drawn_split(info, places.sources, make_split)
        except UserError as fault:
            plans[info.name] = DatasetPlan(info=info, state="refused", remedy=str(fault))
            continue
        if found is None:
            plans[info.name] = _without_listing(info, places)
        else:
            listings[info.name] = found
    keys = {name: found.paths for name, found in listings.items()}
    index = NameIndex(keys)
    images = find_images(places.sources.files, index)
    for name, found in listings.items():
        places_of_it = images.get(name, [])
        if KNOWN[name].sorted_into_classes:
            places_of_it += find_sorted_cars(places.sources.files, found.split)
        plans[name] = _plan_one(dataset_info(name), found, places_of_it, index, places, root)
    return [plans[info.name] for info in infos]


def _plan_one(
    info: DatasetInfo, found: Listing, images: Sequence[Found], index: NameIndex, places: Places, root: Path
) -> DatasetPlan:
    inside = f"{info.image_folder}/" if info.image_folder else ""
    wanted = frozenset(f"{inside}{path}" for path in found.paths)
    there = standing(root / info.folder, wanted)
    lists = {name: text for name, text in found.texts.items() if not (root / info.folder / name).exists()}
    base = DatasetPlan(
        info=info,
        state="there",
        n_listed=len(wanted),
        wanted=there.missing,
        texts=lists,
        split=found.split,
        remarks=found.remarks,
    )
    if not there.missing and not lists:
        return base
    files, sources = _from_folders(info, images, there.missing, inside)
    from_archives = there.missing.difference(files)
    steps = _from_archives(info, from_archives, index, places.glances, inside)
    if KNOWN[info.name].sorted_into_classes and not steps:
        steps = _sorted_cars(found, from_archives, places.glances)
    if there.missing and not files and not steps:
        return _nothing_new(base, there, places)
    if there.blocked_by:
        return replace(
            base, state="refused", sources=sources, remedy=f"{there.blocked_by} is a link; remove it and run again"
        )
    if not there.missing:
        return replace(base, state="ready")
    written = {path.rpartition("/")[0] for path in from_archives} if steps else set()
    plan = replace(
        base,
        state="ready",
        sources=(*sources, *(Source("an archive", str(step.path), None) for step in steps)),
        files={**files, **there.linked},
        solid=(*there.folders, *sorted(written)),
        archives=steps,
    )
    return plan if steps or not from_archives else _incomplete(plan, places)


def _from_folders(
    info: DatasetInfo, images: Sequence[Found], missing: frozenset[str], inside: str
) -> tuple[dict[str, str], tuple[Source, ...]]:
    """Files for what is missing: the folder that has most of it, completed from others."""
    files: dict[str, str] = {}
    sources = []
    for place in images:
        new = {f"{inside}{key}": source for key, source in place.files.items()}
        if files or not new.keys() <= missing:
            new = {path: source for path, source in new.items() if path in missing and path not in files}
        if new:
            files |= new
            sources.append(Source(found_as(info.name, place.above), place.above, len(new)))
        if len(files) == len(missing):
            break
    return files, tuple(sources)


def _from_archives(
    info: DatasetInfo, missing: frozenset[str], index: NameIndex, glances: Sequence[Glance], inside: str
) -> tuple[ArchiveStep, ...]:
    """The archives whose first images the split lists, where folders lack any."""
    if not missing:
        return ()
    target = partial(_target, index, info.name, inside, missing)
    looks = (look for look in glances if not look.fault and info.name in find_images(_by_folder(look.images), index))
    return tuple(ArchiveStep(look.path, target) for look in looks)


def _sorted_cars(found: Listing, missing: frozenset[str], glances: Sequence[Glance]) -> tuple[ArchiveStep, ...]:
    """The archives that begin with cars in class folders, as Kaggle's `archive.zip` does."""
    if not missing:
        return ()
    cars = {path: car for path, car in cars_of(found.split).items() if path in missing}
    looks = (look for look in glances if find_sorted_cars(_by_folder(look.images), found.split))
    return tuple(ArchiveStep(look.path, partial(sorted_car, cars)) for look in looks)


def _by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    """Folder -> names of files."""
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, _, name = path.rpartition("/")
        folders[folder].append(name)
    return folders


def _target(index: NameIndex, dataset: str, inside: str, missing: Collection[str], path: str) -> str | None:
    """Where a member of an archive belongs; None if it is no missing image of the dataset."""
    folder, _, name = path.rpartition("/")
    key = next((match.keys[name] for match in index.match(folder, [name]) if match.dataset == dataset), None)
    return f"{inside}{key}" if key is not None and f"{inside}{key}" in missing else None


def _nothing_new(base: DatasetPlan, there: Standing, places: Places) -> DatasetPlan:
    """Nothing was found that the data root lacks."""
    info, n_there = base.info, base.n_listed - len(there.missing)
    if n_there:
        lacking = f"{len(there.missing)} images are missing ({listing(sorted(there.missing))})"
        return replace(base, state="there", remarks=(*base.remarks, lacking), remedy=f"get {KNOWN[info.name].get}")
    return _not_found(info, places, base.remarks)


def _not_found(info: DatasetInfo, places: Places, remarks: tuple[str, ...] = ()) -> DatasetPlan:
    """No image was found; says of what looks like the dataset why it isn't."""
    get = f"get {KNOWN[info.name].get}"
    if faults := _faults(info, places):
        return DatasetPlan(info=info, state="refused", remarks=remarks, remedy=faults[0])
    return DatasetPlan(info=info, state="absent", remarks=remarks, remedy=get)


def _faults(info: DatasetInfo, places: Places) -> tuple[str, ...]:
    """Why archives that announce the dataset by their name can't be read."""
    return tuple(look.fault for look in places.glances if look.fault and archive_of(look.path.name) == info.name)


def _without_listing(info: DatasetInfo, places: Places) -> DatasetPlan:
    """Neither images nor names can be told apart without the split; what looks like the dataset is named."""
    looks = [folder for folder in places.sources.files if whose_layout(info.name, folder) is not None]
    looks += [str(path) for path in places.sources.archives if archive_of(path.name) == info.name]
    if not looks:
        return _not_found(info, places)
    sources = tuple(Source("by its name", path, None) for path in sorted(looks, key=len)[:1])
    return DatasetPlan(info=info, state="refused", sources=sources, remedy=how_to_get(info))


def _with_traps(plan: DatasetPlan, traps: Sequence[str], places: Places) -> DatasetPlan:
    """Say of a dataset that can't be prepared which copies of it were found, and why they can't be used."""
    if plan.state in ("absent", "refused") and traps:
        return replace(plan, state="refused", traps=(*plan.traps, *traps[:MOST_TRAPS]))
    if plan.state == "absent":  # an `images.tar.gz` may be anybody's
        named = [path for path in places.sources.archives if archive_of(path.name) == plan.info.name]
        return replace(plan, traps=tuple(f"{path}: {BY_NAME_ONLY}" for path in named[:MOST_TRAPS]))
    return plan


def _incomplete(plan: DatasetPlan, places: Places) -> DatasetPlan:
    """Say what is missing, and which archives can't be read that may hold it."""
    lacking = sorted(plan.wanted - plan.files.keys())
    what = f"{len(lacking)} of {plan.n_listed} images are missing ({listing(lacking)}); get {KNOWN[plan.info.name].get}"
    taken = len(lacking) <= (1 - LEAST_FOUND) * plan.n_listed
    faults = _faults(plan.info, places)
    return replace(plan, state="incomplete" if taken else "refused", traps=faults, remedy=what)
