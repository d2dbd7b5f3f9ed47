"""What must be equal on every machine for their numbers to belong to one table. Loads neither torch nor Ray."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from dualpt.core.recipes import NUMERIC_PACKAGES, NUMERICS_VERSION

OTHER_VERSIONS = "has other versions than the driver"


def versions_here() -> dict[str, str]:
    """Python, the packages and the trainer's numerics of this process, by name."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "numerics": str(NUMERICS_VERSION)}
    for name in NUMERIC_PACKAGES:
        try:
            found[name] = version(name).partition("+")[0]  # +cpu and +cu130 are builds of one version
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def mismatch(driver: Mapping[str, str], worker: Mapping[str, str], host: str) -> str | None:
    """One line on what differs between the driver and a worker on `host`, both versions named; None if nothing does."""
    differing = [
        f"{name} {worker.get(name, 'missing')} there and {expected} here"
        for name, expected in driver.items()
        if worker.get(name, "missing") != expected
    ]
    if not differing:
        return None
    return (
        f"the worker on {host} {OTHER_VERSIONS} ({', '.join(differing)}); install this project with constraints.txt on "
        "every machine, and start Ray there again"
    )
