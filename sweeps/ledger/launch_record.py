"""How a sweep was launched, as its run keeps it: enough to know what was run, and to launch it again from the store."""

import contextlib
import getpass
import json
import platform
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from dualpt import core
from dualpt.core.recipes import NUMERIC_PACKAGES
from dualpt.search_spaces.documents.resolving import resolved_document
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.records import SweepRow
from dualpt.sweeps.stores.credentials import without_secrets

PACKAGES = (*NUMERIC_PACKAGES, "optuna", "ray", "mlflow")
GIT_SECONDS = 5.0
"""How long git may take to say which commit this is."""


@dataclass(frozen=True)
class LaunchRecord:
    """One launch. No password is in it: addresses are masked, and so are values that stores log in with."""

    kind: Literal["sweep", "ablation"] = "sweep"
    command: str = ""
    """The command line."""
    file: str = ""
    text: str = ""
    """The file as written."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)
    """What was declared in all: the file, what it extends, the overrides."""
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """Every key with its value, defaults included; the search space and the sampler are in `search`."""
    commit: str = ""
    """Of the code, where it is a git checkout."""
    dirty: bool | None = None
    """Whether tracked files differed from it; None where there is no checkout."""
    software: str = ""
    """Packages and their versions, in one line."""
    user: str = ""
    host: str = ""
    started: str = ""
    """UTC, ISO 8601."""

    @property
    def sampler(self) -> str:
        """Name of the sampler; empty where nothing is searched."""
        return str((self.resolved.get("search") or {}).get("sampler", ""))

    @property
    def space(self) -> dict[str, Any]:
        """Searched key -> its range, as a file writes it."""
        return dict((self.resolved.get("search") or {}).get("space", {}))

    def as_text(self) -> str:
        return json.dumps(asdict(self), default=str)

    def files(self) -> dict[str, str]:
        """The artifacts of a launch by name."""
        resolved = yaml.safe_dump(dict(self.resolved), sort_keys=False, allow_unicode=True)
        return {"launch.json": json.dumps(asdict(self), indent=1), "file.yaml": self.text, "resolved.yaml": resolved}

    def facts(self) -> dict[str, str]:
        """What a reader asks first: name -> value, both as text; what is not known is left out."""
        dirty = " with uncommitted changes" if self.dirty else ""
        found = {
            "command": self.command,
            "file": self.file,
            "overrides": " ".join(f"{key}={value}" for key, value in self.overrides.items()),
            "sampler": self.sampler,
            "commit": f"{self.commit}{dirty}" if self.commit else "",
            "software": self.software,
            "user": f"{self.user} on {self.host}" if self.user or self.host else "",
            "launched": self.started,
        }
        return {name: value for name, value in found.items() if value}


def launch_record(sweep: LoadedSweep, command: str) -> LaunchRecord:
    """What is to be recorded of the launch of a sweep by this process, now."""
    commit, dirty = _code()
    origin = sweep.origin
    record = LaunchRecord(
        kind=origin.kind,
        command=command,
        file=origin.file,
        text=origin.text,
        overrides=dict(origin.overrides),
        document=dict(origin.document),
        resolved=resolved_document(sweep),
        commit=commit,
        dirty=dirty,
        software=_software(),
        user=_user(),
        host=socket.gethostname(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return LaunchRecord(**_masked(asdict(record)))


def record_from(text: str) -> LaunchRecord | None:
    """The record that a sweep's run holds; None for sweeps of earlier versions, and where it was damaged."""
    try:
        return TypeAdapter(LaunchRecord).validate_json(text)
    except ValidationError:
        return None


def launch_of(sweep: SweepRow | None) -> LaunchRecord | None:
    """How a sweep was last launched; None where it has no run, or its run holds no such record."""
    return None if sweep is None else record_from(sweep.launched)


def log_keys(launched: str) -> frozenset[str]:
    """The keys that a recorded launch searched on a logarithmic scale; none where the record is missing."""
    record = record_from(launched)
    space = {} if record is None else record.space
    return frozenset(key for key, spec in space.items() if isinstance(spec, Mapping) and spec.get("log") is True)


def _masked(value: Any) -> Any:
    """The same values without a secret in any text."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {key: _masked(inner) for key, inner in value.items()}
    return [_masked(inner) for inner in value] if isinstance(value, list | tuple) else value


def _software() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):  # a checkout that is on the path without being installed
            found.append(f"{package} {version(package)}")
    return ", ".join(found)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""


def _code() -> tuple[str, bool | None]:
    """The commit of this code and whether tracked files differ from it; nothing where it isn't a checkout.

    A package installed below someone's project isn't one of that project's files.
    """
    folder = Path(core.__path__[0]).resolve()
    try:
        _git(folder, "ls-files", "--error-unmatch", "__init__.py")
        commit = _git(folder, "rev-parse", "HEAD")
        return commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "", None


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True)
    return done.stdout.strip()
