"""A sweep launched again from its store alone: its file may be gone, or lie on another machine."""

from collections.abc import Mapping
from typing import Any

from dualpt.core.errors import UserError
from dualpt.search_spaces.ablation import LoadedAblation, load_ablation_document
from dualpt.search_spaces.sweep import LoadedSweep, Origin, Run
from dualpt.search_spaces.sweep_file import load_document
from dualpt.sweeps.ledger.launch_record import LaunchRecord, launch_of
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.stores import is_new, masked

STORE, STUDY = "run.tracking_uri", "run.study_storage"
MASKED = "***"
"""Where an address on record has lost its password."""
COMMANDS = {"sweep": "dualpt sweep", "ablation": "dualpt ablate"}


def command_again(name: str, record: LaunchRecord | None) -> str:
    """What launches a recorded sweep or ablation once more; `record` is of its last launch, if any was kept."""
    return f"{COMMANDS['sweep' if record is None else record.kind]} --again {name}"


def sweep_again(name: str, overrides: Mapping[str, Any]) -> LoadedSweep:
    """The sweep as its last launch declared it, with overrides over that.

    Args:
        overrides: by key; `run.tracking_uri` is the store to look in, by default that of every launch.

    Raises:
        UserError: no such store or sweep, one that kept no record of its launch, an ablation, or any fault of the
            overrides.
    """
    document, origin = _declared(name, overrides, "sweep")
    return load_document(document, origin, f"sweep '{name}' on record")


def ablation_again(name: str, overrides: Mapping[str, Any]) -> LoadedAblation:
    """As `sweep_again`, for an ablation."""
    document, origin = _declared(name, overrides, "ablation")
    return load_ablation_document(document, origin, f"ablation '{name}' on record")


def _declared(name: str, overrides: Mapping[str, Any], kind: str) -> tuple[dict[str, Any], Origin]:
    store = str(overrides.get(STORE) or Run().tracking_uri)
    if is_new(store):
        raise UserError(f"--again: {masked(store)}: no such tracking store here; name the sweep's with {STORE}=…")
    record = launch_of(open_reader(store).read_sweep(name))
    if record is None or not record.document:
        raise UserError(
            f"'{name}' in {masked(store)} keeps no record of how it was launched: an earlier version ran it; launch it "
            "from its file"
        )
    if record.kind != kind:
        article = "an" if record.kind == "ablation" else "a"
        raise UserError(f"'{name}' is {article} {record.kind}; use `{command_again(name, record)}`")
    document = {**_at_home(record, store), "name": name}  # the sweep may have been renamed since
    if MASKED in str(document["run"].get("study_storage", "")) and STUDY not in overrides:
        raise UserError(f"'{name}' on record: passwords are not kept; give {STUDY}=…")
    return document, Origin(record.kind, record.file, record.text, overrides)


def _at_home(record: LaunchRecord, store: str) -> dict[str, Any]:
    """The document with the store where it was found: it may have moved since."""
    run = dict(record.document.get("run") or {})
    return {**record.document, "run": {**run, "tracking_uri": store}}
