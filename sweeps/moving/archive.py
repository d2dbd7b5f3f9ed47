"""The archive: a zip of JSON and artifacts, written whole or not at all, and checked before anything of it is used.

    manifest.json           what it is, its schema version, and what it must hold
    runs.jsonl              one run per line (`ArchivedRun`), parents before their children
    artifacts/<run>/<path>  the runs' files as they are

Knows no MLflow, and never runs anything that it reads.
"""

import json
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from dualpt.core.config.faults import one_line
from dualpt.core.errors import UserError
from dualpt.core.files.half_written import is_half_written, written_whole
from dualpt.core.files.inside import why_outside

FORMAT, SCHEMA = "dualpt sweep", 1
MANIFEST, RUNS, ARTIFACTS = "manifest.json", "runs.jsonl", "artifacts"
LARGEST_ARTIFACT = 2**30
"""Bytes of one artifact, unpacked; contexts take kilobytes."""


class ArchivedRun(BaseModel):
    """A run as it stands in the archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """In the store it comes from."""
    name: str
    status: str
    start_ms: int
    end_ms: int | None
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, list[tuple[float, int, int]]]
    """Name -> value, milliseconds since the epoch, step; in the order recorded. Not finite values are strings."""
    inputs: list[dict[str, Any]]
    """Dataset inputs: name, digest, source, source_type, context."""
    artifacts: list[str]
    """Paths, relative to the run."""


@dataclass(frozen=True)
class Manifest:
    sweep: str
    description: str
    runs: int
    artifacts: int
    dualpt: str = ""
    """Version that wrote it."""
    format: str = FORMAT
    schema: int = SCHEMA


def write_archive(
    path: Path, sweep: str, description: str, runs: Iterable[tuple[ArchivedRun, Mapping[str, Path]]]
) -> Manifest:
    """Write an archive beside its place and then move it there.

    Args:
        runs: runs, parents first, each with its artifacts' files by path.

    Raises:
        UserError: it cannot be written.
    """
    n_runs = n_artifacts = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            lines = []
            for run, files in runs:
                for place, file in files.items():
                    archive.write(file, f"{ARTIFACTS}/{run.id}/{place}")
                lines.append(json.dumps(_plain(run), allow_nan=False))
                n_runs, n_artifacts = n_runs + 1, n_artifacts + len(files)
            archive.writestr(RUNS, "\n".join(lines))
            manifest = Manifest(sweep, description, n_runs, n_artifacts, version("dualpt"))
            archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=1))
    except OSError as error:
        raise UserError(f"--out: {path} cannot be written ({error.strerror or error})") from None
    return manifest


class Archive:
    """An archive that has passed every check; as a context manager it owns the open file."""

    def __init__(self, path: Path) -> None:
        """Open and check it: its kind, schema version, checksums, counts, and that no name leads out of it.

        Raises:
            UserError: it is missing, damaged, of another kind or version, or not safe to unpack.
        """
        self.path = path
        if not path.is_file():
            raise UserError(f"{path}: no such archive; `dualpt export NAME --out FILE` writes one")
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise self._damaged(error) from None
        try:
            self.manifest = self._read_manifest()
            self._check_entries()
            self.runs = self._read_runs()
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            self.close()
            raise self._damaged(error) from None
        except UserError:
            self.close()
            raise

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._zip.close()

    def unpack(self, run: ArchivedRun, folder: Path) -> None:
        """Write the run's artifacts into `folder`."""
        for place in run.artifacts:
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            self.unpack_one(run, place, target)

    def unpack_one(self, run: ArchivedRun, place: str, target: Path) -> None:
        """Write one of the run's artifacts as a file."""
        with self._zip.open(f"{ARTIFACTS}/{run.id}/{place}") as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)

    def _read_manifest(self) -> Manifest:
        try:
            written = json.loads(self._zip.read(MANIFEST))
            if written.get("format") != FORMAT:
                raise ValueError("another format")
        except (KeyError, ValueError, AttributeError):
            raise UserError(f"{self.path}: not an archive of `dualpt export`") from None
        if written.get("schema") != SCHEMA:
            raise UserError(
                f"{self.path}: archive of schema version {written.get('schema')}, this dualpt reads {SCHEMA}; "
                f"import it with dualpt {written.get('dualpt') or 'of that version'}, or export it again"
            )
        try:
            return TypeAdapter(Manifest).validate_json(self._zip.read(MANIFEST), strict=True)
        except ValidationError as error:
            raise UserError(f"{self.path}: damaged ({MANIFEST}: {one_line(error):.200}); export it again") from None

    def _check_entries(self) -> None:
        """Names first, then contents: nothing is unpacked before every checksum is right."""
        for entry in self._zip.infolist():
            if (reason := why_outside(entry.filename)) is not None:
                raise UserError(
                    f"{self.path}: holds {entry.filename!r:.120}, which leads out of the archive (it {reason}); "
                    "not imported"
                )
            parts = entry.filename.split("/")
            if entry.filename not in (MANIFEST, RUNS) and (len(parts) < 3 or parts[0] != ARTIFACTS):
                raise UserError(f"{self.path}: holds '{entry.filename}', which no sweep has; not imported")
            if entry.file_size > LARGEST_ARTIFACT:
                raise UserError(f"{self.path}: '{entry.filename}' is larger than any artifact; not imported")
        if (damaged := self._zip.testzip()) is not None:
            raise zipfile.BadZipFile(f"'{damaged}' has another checksum")

    def _read_runs(self) -> list[ArchivedRun]:
        try:
            lines = self._zip.read(RUNS).decode().splitlines()
            runs = [ArchivedRun.model_validate_json(line) for line in lines]
        except ValidationError as error:
            raise UserError(f"{self.path}: damaged ({RUNS}: {one_line(error):.200}); export it again") from None
        except (KeyError, UnicodeDecodeError) as error:
            raise self._damaged(error) from None
        listed = {f"{ARTIFACTS}/{run.id}/{place}" for run in runs for place in run.artifacts}
        held = {name for name in self._zip.namelist() if name.startswith(f"{ARTIFACTS}/")}
        if listed != held or len(runs) != self.manifest.runs or len(held) != self.manifest.artifacts:
            raise UserError(f"{self.path}: damaged (it does not hold the runs and files it lists); export it again")
        return runs

    def _damaged(self, error: Exception) -> UserError:
        return UserError(f"{self.path}: damaged, or no archive of `dualpt export` ({error}); export it again")


def _plain(run: ArchivedRun) -> dict[str, Any]:
    """JSON has no NaN: values that are not finite become strings, which pydantic reads back as numbers."""
    document = run.model_dump()
    document["metrics"] = {
        name: [[value if abs(value) < float("inf") else str(value), *rest] for value, *rest in points]
        for name, points in run.metrics.items()
    }
    return document


def artifact_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files below a run's folder by their paths in the archive; links are not followed.

    What a killed worker left half-written stays where it is.
    """
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink() and not is_half_written(file.name):
            yield file.relative_to(folder).as_posix(), file
