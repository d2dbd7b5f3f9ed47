"""Doing what was planned for one dataset: links or copies, what archives hold, the lists, and the manifest."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from dualpt.core.data.preparing.assembly import Assembly, pieces_of
from dualpt.core.data.preparing.manifest import Manifest, load_manifest, sha256
from dualpt.core.data.preparing.planner import LEAST_FOUND
from dualpt.core.data.preparing.sources.archives import UnmarkedEnd, chunks, members
from dualpt.core.data.preparing.sources.layouts import KNOWN
from dualpt.core.data.preparing.steps import ArchiveStep, DatasetPlan
from dualpt.core.data.splits import listing
from dualpt.core.errors import StorageError, UserError

Progress = Callable[[int], None]
"""Takes the number of images, or of links for them, that are done."""


@dataclass
class _Made:
    """What lies in the assembly."""

    links: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    """Of copied and extracted files, by path in the dataset's folder."""
    remarks: list[str] = field(default_factory=list)


def carry_out(plan: DatasetPlan, root: Path, *, copy: bool, progress: Progress) -> None:
    """Fill a dataset's folder; what a killed run of the same plan did is used.

    Args:
        plan: one with something to do.
        root: the data root.
        copy: copy files in place of linking to them; what comes out of archives is written either way.
        progress: called now and then.

    Raises:
        UserError: an archive that can't be used, files that can't be read, or too few images; nothing of it stays.
        StorageError: the disk is full or can't be written; run again, and what is done already is used.
    """
    folder = root / plan.info.folder
    assembly = Assembly(folder, plan.fingerprint(copy))
    try:
        if not assembly.complete:
            _fill(assembly, plan, folder, copy, progress)
        assembly.commit(progress)
    except StorageError:
        raise
    except UserError:
        assembly.discard()
        raise


def _fill(assembly: Assembly, plan: DatasetPlan, folder: Path, copy: bool, progress: Progress) -> None:
    made = _Made()
    if copy:
        for path, source in _single_files(plan.files):
            made.digests[path] = assembly.write(path, pieces_of(source))
            progress(len(made.digests))
    else:
        made.links.update(plan.links)
    for step in plan.archives:
        _extract(assembly, step, plan, made, progress)
    _check_enough(plan, made)
    for path, text in plan.texts.items():
        assembly.write(path, [text])
    assembly.save(_manifest(plan, made, load_manifest(folder)))


def _single_files(files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The files, those of class folders one by one."""
    for path, source in sorted(files.items()):
        if os.path.isdir(source):
            names = sorted(name for name in os.listdir(source) if not name.startswith("."))
            yield from ((f"{path}/{name}", f"{source}/{name}") for name in names)
        else:
            yield path, source


def _extract(assembly: Assembly, step: ArchiveStep, plan: DatasetPlan, made: _Made, progress: Progress) -> None:
    """Take what is needed out of an archive; the first of two members for the same path counts."""
    try:
        with closing(members(step.path)) as found:
            for member in found:
                path = step.target(member.path)
                if path is not None and path not in made.digests:
                    made.digests[path] = assembly.write(path, chunks(step.path, member))
                    progress(len(plan.files) + len(made.digests))
    except UnmarkedEnd as fault:
        if not _is_complete(plan, made):
            raise
        made.remarks.append(f"{fault}; all images are there")


def _is_complete(plan: DatasetPlan, made: _Made) -> bool:
    """Whether nothing is missing: by the split's names, else by the published number of images."""
    if plan.wanted:
        return plan.wanted <= plan.files.keys() | made.digests.keys()
    return bool(made.digests) and len(made.digests) == sum(plan.info.n_images or ())


def _check_enough(plan: DatasetPlan, made: _Made) -> None:
    """Refuse a dataset of which most is missing, which only reading its archives could tell."""
    missing = sorted(plan.wanted - plan.files.keys() - made.digests.keys())
    if len(missing) > (1 - LEAST_FOUND) * plan.n_listed:
        raise UserError(
            f"{plan.info.name}: {len(missing)} of {plan.n_listed} images are missing ({listing(missing)}); "
            f"get {KNOWN[plan.info.name].get}"
        )


def _manifest(plan: DatasetPlan, made: _Made, earlier: Manifest | None) -> Manifest:
    """The record, with what stays of an earlier run; a plan for images has those that its links show, too."""
    links = earlier.links if earlier is not None and not (plan.files or plan.archives) else made.links
    digests = {} if earlier is None else {p: digest for p, digest in earlier.digests.items() if p not in plan.files}
    return Manifest(
        dataset=plan.info.name,
        sources=[
            *([] if earlier is None else earlier.sources),
            *({"found_as": source.found_as, "path": source.path, "images": source.n_files} for source in plan.sources),
        ],
        links=links,
        digests=digests | made.digests,
        lists=({} if earlier is None else dict(earlier.lists)) | {p: sha256(text) for p, text in plan.texts.items()},
        split_fingerprint=plan.split_fingerprint,
        remarks=(*plan.remarks, *made.remarks),
    )
