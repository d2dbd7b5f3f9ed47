"""`dualpt data prepare`: what was found and what will be done, shown; then done, dataset by dataset, and checked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from filelock import Timeout
from rich.console import Console
from rich.markup import escape

from dualpt.core.data.catalog import GRIDS, dataset_info, expand_datasets
from dualpt.core.data.preparing.assembly import finish_interrupted
from dualpt.core.data.preparing.execution import carry_out
from dualpt.core.data.preparing.planner import PREPARED, look_around, plan_datasets
from dualpt.core.data.preparing.steps import DatasetPlan
from dualpt.core.errors import StorageError, UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.locations import cache_root, holding
from dualpt.sweeps.console import counted, showing_progress
from dualpt.sweeps.tools.data import check_datasets
from dualpt.sweeps.word_table import WordTable

STATES = {
    "there": "[green]there already[/]",
    "ready": "[green]ready[/]",
    "incomplete": "[yellow]incomplete[/]",
    "refused": "[red]can't be used[/]",
    "absent": "[dim]not found[/]",
}


MOST_SOURCES = 8
"""Lines about where one dataset's images are: flowers sorted by number have three hundred folders."""


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Keep two runs for one data root on this machine apart: they would write the same unfinished files.

    The lock is the operating system's, so a killed run leaves none behind.

    Raises:
        UserError: another process fills it, or the cache can't be written.
    """
    lock = cache_root() / "locks" / f"prepare-{fingerprint(str(root.resolve()))[:32]}.lock"
    try:
        with holding(lock, timeout=0):
            yield
    except Timeout:
        raise UserError(f"--root: another process is filling '{root}'; wait for it, and run again") from None


def prepare_data(
    console: Console,
    words: Sequence[str],
    sources: Sequence[Path],
    root: Path,
    *,
    splits: Sequence[Path],
    make_split: int | None,
    copy: bool,
    dry_run: bool,
) -> bool:
    """Fill a data root from what lies elsewhere; whether everything that was found or asked for is fine afterwards.

    Args:
        console: where tables and progress go.
        words: datasets to prepare, all by default; further sources, as a shell's `*` leaves them.
        sources: folders and archives that hold the datasets.
        root: the data root; made if need be.
        splits: folders that hold split files.
        make_split: seed of a split to draw where the field's is nowhere.
        copy: copy files in place of linking to them.
        dry_run: only show what would be done.

    Raises:
        UserError: a source that doesn't exist, an unknown dataset, or another process that fills the data root.
    """
    root = root.expanduser()
    if root.exists() and not root.is_dir():
        raise UserError(f"--root: '{root}' is a file; give the folder that is to hold the datasets' folders")
    if root.is_symlink() and not root.exists():
        raise UserError(f"--root: '{root}' is a link to '{root.readlink()}', which isn't there; make that folder")
    asked, further = _datasets_and_sources(words)
    tops = [source.expanduser() for source in (*sources, *further)]
    with nullcontext() if dry_run else only_one(root):
        if not dry_run:
            for name in PREPARED:
                finish_interrupted(root / dataset_info(name).folder)
        with showing_progress(console, not console.is_terminal, "looking around"):
            places = look_around(tops, [folder.expanduser() for folder in splits], root)
            plans = plan_datasets(places, root, asked or PREPARED, make_split)
        _print_plans(console, plans, copy)
        for line in places.sources.unreadable:
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        if dry_run:
            return all(plan.state != "refused" for plan in plans)
        refused = _carry_out(console, plans, root, copy)
    found = [plan.info.name for plan in plans if plan.state not in ("absent", "refused")]
    usable = [name for name in found if name not in refused]
    known = {plan.info.name: plan.split for plan in plans}
    fine = not usable or check_datasets(console, usable, root, deep=False, published=False, as_json=False, splits=known)
    return fine and not refused and not any(plan.state in _faults(bool(asked)) for plan in plans)


def _datasets_and_sources(words: Sequence[str]) -> tuple[tuple[str, ...], list[Path]]:
    """Tell names of datasets from further sources, which exist as files or folders; names come first."""
    known = {*PREPARED, *GRIDS}
    further = [Path(word) for word in words if word not in known and Path(word).expanduser().exists()]
    names = [word for word in words if Path(word) not in further]
    asked = expand_datasets(names) if names else ()
    if others := [name for name in asked if name not in PREPARED]:
        raise UserError(
            f"{others[0]}: only the eleven and ImageNet's variants are prepared; `dualpt data add` is for others"
        )
    return asked, further


def _faults(asked: bool) -> tuple[str, ...]:
    """States that make the command fail: a dataset that isn't there is a fault only where it was named."""
    return ("refused", "absent") if asked else ("refused",)


def _print_plans(console: Console, plans: Sequence[DatasetPlan], copy: bool) -> None:
    table = WordTable("dataset", "state", "images", "will be done")
    for plan in plans:
        table.add_row(plan.info.name, STATES[plan.state], _images(plan), escape(_todo(plan, copy)))
    table.show(console)
    for plan in plans:
        lines = [f"{source.found_as}: {source.path}" for source in plan.sources[:MOST_SOURCES]]
        if further := plan.sources[MOST_SOURCES:]:
            lines.append(f"and {counted(len(further), 'more place')}")
        for line in (*lines, *plan.remarks, *plan.traps, *([plan.remedy] if plan.remedy else [])):
            console.print(f"  {plan.info.name}: {line}", markup=False, highlight=False, soft_wrap=True)


def _images(plan: DatasetPlan) -> str:
    """Images there or found, of how many; those in archives aren't counted yet."""
    n_there = plan.n_listed - len(plan.wanted) if plan.wanted else plan.n_listed
    found = n_there + sum(source.n_files or 0 for source in plan.sources)
    of = f" of {plan.n_listed}" if plan.n_listed and found != plan.n_listed else ""
    unread = f" + {counted(len(plan.archives), 'archive')}" if plan.archives else ""
    return f"{found or ''}{of if found else ''}{unread}".removeprefix(" + ")


def _todo(plan: DatasetPlan, copy: bool) -> str:
    """What will be done, in a few words."""
    if not plan.will_be_done:
        return ""
    done = [] if copy or not plan.files else [counted(len(plan.links), "link")]
    if copy and plan.files:
        done.append("copy")
    if plan.archives:
        done.append("extract")
    return ", ".join(done) or "write lists"


def _carry_out(console: Console, plans: Sequence[DatasetPlan], root: Path, copy: bool) -> set[str]:
    """Do what was planned; a dataset whose archive can't be used doesn't keep the others from being prepared.

    Returns:
        The datasets that couldn't be prepared, each said why.
    """
    refused = set()
    todo = [plan for plan in plans if plan.will_be_done]
    with showing_progress(console, not console.is_terminal, "preparing") as show:
        for plan in todo:
            total = len(plan.wanted) if copy or plan.archives else None
            try:
                carry_out(plan, root, copy=copy, progress=lambda n, p=plan, t=total: show(n, t, p.info.name))  # type: ignore[misc]
            except StorageError:
                raise
            except UserError as fault:
                refused.add(plan.info.name)
                console.print(f"  {plan.info.name}: {fault}", markup=False, highlight=False, soft_wrap=True)
    return refused
