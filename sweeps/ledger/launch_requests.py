"""What users ask of a sweep's launch while it runs: requests that wait on the sweep's run until they are answered.

Each is a tag of its own, so two commands at once don't overwrite one another. The driver finds them with what it reads
anyway (`dualpt.sweeps.ledger.heartbeat`), on whatever machine it runs; it writes its answer into the tag, and whoever
asked removes it. Requests that no launch has answered wait for the next one.
"""

import getpass
import json
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from dualpt.core.config.sections import Value
from dualpt.sweeps.records import STEER_TAG, Status


def asker() -> str:
    """Who asks, and when: `ada@node3, 2026-03-01T12:00:00+00:00`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "somebody"
    return f"{user}@{socket.gethostname()}, {datetime.now(UTC).isoformat(timespec='seconds')}"


class SweepSigns(NamedTuple):
    """What a sweep's run says of the launch that last ran it."""

    run_id: str
    status: Status
    launch: str
    """What that process wrote of itself (`dualpt.sweeps.ledger.heartbeat`)."""
    requests: "tuple[Request, ...]"


@dataclass(frozen=True)
class Request:
    """Something that a user asks of a launch."""

    verb: Literal["stop", "clone"]
    trial: str = ""
    """Name of the trial; empty where the sweep is meant."""
    launch: str = ""
    """Number of the only launch that it is for; empty where a later one may answer too."""
    point: Mapping[str, Value] = field(default_factory=dict)
    """Of a candidate to be tried: searched key -> value."""
    number: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    by: str = field(default_factory=asker)
    asked: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    answer: str = ""
    """What the launch says of it; empty until then."""

    @property
    def tag(self) -> str:
        return f"{STEER_TAG}.{self.number}"

    def text(self) -> str:
        return json.dumps(asdict(self))

    def answered(self, answer: str) -> "Request":
        return replace(self, answer=answer)


def requests_in(tags: Mapping[str, str]) -> tuple[Request, ...]:
    """The requests among a run's tags, answered ones included, in the order asked; what is damaged is left out."""
    found = (_request_from(text) for name, text in tags.items() if name.startswith(f"{STEER_TAG}."))
    return tuple(sorted((one for one in found if one is not None), key=lambda one: (one.asked, one.number)))


def _request_from(text: str) -> Request | None:
    try:
        return TypeAdapter(Request).validate_json(text)
    except ValidationError:
        return None
