"""Where a run's artifacts lie.

MLflow records an absolute address when an experiment is created. A store that is an SQLite file has its artifacts in a
folder beside it, and both may have been copied or moved together since: what counts is the file that is in use. An
address that doesn't follow this layout, such as the artifact root of a tracking server, is taken as recorded.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow.entities import Run

from dualpt.core.errors import UserError
from dualpt.core.files.inside import why_outside
from dualpt.sweeps.stores import ARTIFACTS_FOLDER, sqlite_path


class ArtifactPlaces:
    """The folders of the runs of one store, as far as they are local."""

    def __init__(self, store: str) -> None:
        path = sqlite_path(store)
        self._beside = None if path is None else path.parent / ARTIFACTS_FOLDER

    def root(self, experiment: str) -> str | None:
        """The address to create an experiment with; None where the server decides.

        Raises:
            UserError: the name leads out of the folder beside the store.
        """
        if self._beside is None:
            return None
        if (reason := why_outside(experiment)) is not None:
            raise UserError(f"name: '{experiment}' {reason}; choose a name that can be a folder")
        return (self._beside / experiment).as_uri()

    def to_write(self, run: Run) -> Path | None:
        """The folder that takes a run's new artifacts, which may not exist yet; None where they go to a server."""
        recorded = _recorded(run)
        if recorded is None or self._beside is None:
            return recorded
        root, *tail = recorded.parts[-4:]
        ours = len(tail) == 3 and root == ARTIFACTS_FOLDER and tail[1:] == [run.info.run_id, "artifacts"]
        inside = ours and why_outside("/".join(tail)) is None
        return self._beside.joinpath(*tail) if inside else recorded

    def to_read(self, run: Run) -> tuple[Path, ...]:
        """Where a run's artifacts may lie, in the order in which to look; nothing where they are on a server.

        After the folder beside the store comes the one on record: of a store copied without its artifacts, those of
        the original can still be read.
        """
        return tuple(dict.fromkeys(folder for folder in (self.to_write(run), _recorded(run)) if folder is not None))

    def whereabouts(self, run: Run) -> str:
        """Where artifacts were looked for, and what to do about missing ones."""
        searched = " and ".join(map(str, self.to_read(run))) or str(run.info.artifact_uri)
        if self._beside is None:
            return f"looked in {searched}"
        return f"looked in {searched}; copy the {ARTIFACTS_FOLDER} folder of the original store beside this one"


def _recorded(run: Run) -> Path | None:
    place = urlsplit(run.info.artifact_uri)
    return Path(unquote(place.path)) if place.scheme in ("", "file") else None
