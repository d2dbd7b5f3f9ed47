"""`dualpt cluster check`: a cluster file checked against Ray's own schema and this project's rules, offline."""

import contextlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape

from dualpt.core.errors import UserError
from dualpt.core.files.regular import check_regular
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.cluster.faults import Document, Finding, error, secrets_in
from dualpt.sweeps.cluster.kuberay_rules import KINDS, kuberay_findings, service_findings
from dualpt.sweeps.cluster.launcher_rules import launcher_findings
from dualpt.sweeps.cluster.ray_versions import read_constraints
from dualpt.sweeps.ray_private import check_launcher_file
from dualpt.sweeps.word_table import WordTable

PLACEHOLDERS = re.compile(r"ami-0{8,}|\bEDIT_\w+|\b192\.0\.2\.\d+")
"""What the shipped files hold where a user's own value belongs."""


def check_file(path: Path, sweep: LoadedSweep | None = None) -> list[Finding]:
    """Every fault of a cluster file, errors first.

    Args:
        path: a file of Ray's cluster launcher, or a KubeRay document.
        sweep: a sweep whose trials must fit the machines.

    Raises:
        UserError: the file cannot be read, or is not a cluster file.
    """
    text, documents = _read(path)
    pinned = read_constraints(path)
    findings: list[Finding] = list(_unedited(text))
    kuberay = [document for document in documents if document.get("kind") in KINDS]
    findings += [finding for document in documents for finding in secrets_in(document)]
    if kuberay:
        for document in kuberay:
            findings += _applied(kuberay_findings(document, pinned))
        for document in documents:
            if document.get("kind") == "Service":
                findings += _applied(service_findings(document))
    elif "cluster_name" in documents[0] or "available_node_types" in documents[0]:
        refused = list(_by_ray(documents[0]))
        findings += refused or _applied(launcher_findings(documents[0], pinned))
        if sweep is not None and not refused:
            findings += _applied(_fitting(documents[0], sweep))
    else:
        raise UserError(f"{path}: neither a file for `ray up` (cluster_name: …) nor a RayCluster or RayJob")
    return sorted(findings, key=lambda finding: finding.level)


def show_check(console: Console, path: Path, *, sweep: LoadedSweep | None = None, as_json: bool = False) -> int:
    """Print what was found; 0 without errors, else 2."""
    findings = check_file(path, sweep)
    faults = sum(finding.level == "error" for finding in findings)
    if as_json:
        entries = [{"level": f.level, "where": f.where, "text": f.text} for f in findings]
        print(json.dumps({"file": str(path), "errors": faults, "findings": entries}))
    else:
        _print(console, path, findings)
    return 2 if faults else 0


def _print(console: Console, path: Path, findings: Sequence[Finding]) -> None:
    if not findings:
        console.print(f"[green]ok[/] {escape(str(path))}: accepted by Ray's schema and by every rule", highlight=False)
        return
    table = WordTable("", "where", "what", title=escape(str(path)))
    for finding in findings:
        colour = "red" if finding.level == "error" else "yellow"
        table.add_row(f"[{colour}]{finding.level}[/]", escape(finding.where), escape(finding.text))
    table.show(console)


def _read(path: Path) -> tuple[str, list[Document]]:
    try:
        check_regular(path)
        text = path.read_text(encoding="utf-8")
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError(f"{path}: cannot be read ({getattr(fault, 'strerror', None) or fault})") from None
    except yaml.YAMLError as fault:
        place = getattr(fault, "problem_mark", None)
        line = "" if place is None else f" in line {place.line + 1}"
        raise UserError(f"{path}: not YAML{line} ({getattr(fault, 'problem', None) or 'unreadable'})") from None
    if not documents or not all(isinstance(document, dict) for document in documents):
        raise UserError(f"{path}: expected a mapping of keys")
    return text, documents


def _applied(rules: Iterator[Finding]) -> Iterator[Finding]:
    """What rules find; a value of a type that none of them expects is a fault, too."""
    try:
        yield from rules
    except (AttributeError, TypeError, ValueError) as fault:
        yield error("file", f"a value is of another type than expected ({fault})")


def _unedited(text: str) -> Iterator[Finding]:
    """Placeholders of the shipped files that are still there."""
    for number, line in enumerate(text.splitlines(), start=1):
        code = line.partition("#")[0]
        if (match := PLACEHOLDERS.search(code)) is not None:
            yield error(f"line {number}", f"{match[0]} is a placeholder; put your own value there")


def _by_ray(document: Document) -> Iterator[Finding]:
    """What Ray itself would refuse at `ray up`, without asking any cloud."""
    from jsonschema import ValidationError

    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            check_launcher_file(_copy(document))
    except ValidationError as fault:
        yield error(".".join(map(str, fault.absolute_path)) or "file", f"Ray's schema: {fault.message[:200]}")
    except SystemExit:
        yield error("file", f"Ray: {' '.join(told.getvalue().split())[:200]}")
    except KeyError as fault:
        yield error("file", f"Ray cannot prepare it: the key {fault} is missing, or has another name")
    except Exception as fault:  # Ray reads the document before it validates it, and trips over anything
        yield error("file", f"Ray cannot prepare it: {type(fault).__name__}: {' '.join(str(fault).split())[:200]}")


def _copy(document: Document) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(document, default=str))
    return copied


def _fitting(document: Document, sweep: LoadedSweep) -> Iterator[Finding]:
    """Whether a trial of the sweep fits a machine, and its stores a cluster."""
    from dualpt.sweeps.stores import sqlite_path
    from dualpt.sweeps.workers.placement import Machines, room_for

    run, head = sweep.file.run, document.get("head_node_type")
    types = (document.get("available_node_types") or {}).items()
    declared = [
        (node.get("resources") or {}, int(node.get("max_workers", document.get("max_workers", 0))))
        for name, node in types
        if name != head
    ]
    asked = {"CPU": run.cpus_per_trial}
    if run.gpus_per_trial != "auto" and run.gpus_per_trial:
        asked["GPU"] = run.gpus_per_trial
    if declared:
        try:
            room_for(asked, Machines([], declared))
        except UserError as fault:
            yield error("available_node_types", str(fault))
    for key in ("tracking_uri", "study_storage"):
        if sqlite_path(getattr(run, key)) is not None:
            yield error(f"run.{key}", "is a file, which the cluster's machines cannot share; name the head's servers")
