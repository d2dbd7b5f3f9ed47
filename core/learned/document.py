"""The JSON document in the metadata of a learned file that says of which cell it is."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from dualpt.core.cell import Cell
from dualpt.core.config.faults import one_line
from dualpt.core.config.sections import Protocol, Value
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError


class CellDocument(BaseModel):
    """What every such document says; kinds of files add to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    setting: dict[str, Value]
    dataset: str
    protocol: Protocol
    shots: int
    seed: int
    cell_key: str
    class_names: tuple[str, ...]
    weights: str
    """SHA-256 of the frozen CLIP's weights."""

    @classmethod
    def of(cls, cell: Cell, **more: Any) -> Self:
        """The document of a cell."""
        return cls(
            setting=cell.setting.flat(),
            dataset=cell.dataset,
            protocol=cell.protocol,
            shots=cell.shots,
            seed=cell.seed,
            **more,
        )

    @classmethod
    def read(cls, metadata: Mapping[str, str], name: str, schema: int, source: Path, what: str) -> Self:
        """Read it from a file's metadata.

        Args:
            metadata: of the file.
            name: of the document in it.
            schema: the version of the document that is read here.
            source: the file, for errors.
            what: kind of file, for errors: "a file of learned prompts".

        Raises:
            UserError: there is none, it is damaged, or of another schema version.
        """
        try:
            written = json.loads(metadata[name])
            if written["schema_version"] != schema:
                raise UserError(
                    f"{source}: {what} of schema version {written['schema_version']}, this dualpt reads {schema}; use "
                    "the version that wrote it"
                )
            return cls.model_validate(written)
        except ValidationError as error:
            raise UserError(f"{source}: not {what} ({one_line(error)})") from None
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{source}: not {what} ({error!r})") from None

    def cell(self, setting: Setting) -> Cell:
        """The cell, with its setting as it was resolved here."""
        return Cell(setting, self.dataset, self.protocol, self.shots, self.seed)
