"""How Ray is asked to start; no Ray is started."""

from typing import Any

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.workers import ray_session


def test_without_an_address_ray_starts_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself would first try the address in a file that an earlier cluster left behind."""
    asked: dict[str, Any] = {}

    def init(**options: Any) -> None:
        asked.update(options)
        raise OSError("seen enough")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_session.ray, "init", init)
    with pytest.raises(UserError, match="seen enough"), ray_session.ray_session({}):
        pass
    assert asked["address"] == "local"
