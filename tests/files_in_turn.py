"""How `make test` shares the tests out: a group or a file at a time, in the order in which they were collected."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling


class FilesInTurn(LoadGroupScheduling):
    """As `--dist loadgroup`, and tests of no group go by file: else both processes make what its fixtures make."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # it would put what has most tests first, not what takes longest

    def _split_scope(self, nodeid: str) -> str:
        group = super()._split_scope(nodeid)
        return group if group != nodeid else nodeid.partition("::")[0]
