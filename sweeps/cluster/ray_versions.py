"""Versions that a cluster file names, checked against constraints.txt."""

import re
from collections.abc import Iterator
from pathlib import Path

from dualpt.sweeps.cluster.faults import Finding, error

CONSTRAINTS = "constraints.txt"
PIN = re.compile(r"\b([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([0-9][^\s;'\",]*)")
"""`ray[default]==2.60.0`"""
RAY_IMAGE = re.compile(r"\bray(?:-ml)?:(\d+\.\d+\.\d+)(?:[.-]\w+)*?(?:-py(\d)(\d+))?(?:-[\w.]+)*$")
"""`rayproject/ray:2.60.0-py311-gpu`"""
PYTHON = (3, 11)
"""The Python that constraints.txt was made with."""


def read_constraints(near: Path) -> dict[str, str] | None:
    """Pinned versions by package, from the constraints.txt beside a file, above it, or in the working folder."""
    folders = [*near.absolute().parents, Path.cwd(), *Path.cwd().parents]
    path = next((folder / CONSTRAINTS for folder in folders if (folder / CONSTRAINTS).is_file()), None)
    if path is None:
        return None
    return {name.lower(): version for name, version in PIN.findall(path.read_text(encoding="utf-8"))}


def pins_that_differ(where: str, text: str, pinned: dict[str, str]) -> Iterator[Finding]:
    """Packages pinned in a command to another version than the tested one."""
    for name, version in PIN.findall(text):
        expected = pinned.get(name.lower())
        if expected is not None and expected != version:
            yield error(where, f"{name}=={version} is installed, and constraints.txt has {expected}; use the same")


def image_that_differs(where: str, image: str, pinned: dict[str, str]) -> Iterator[Finding]:
    """A Ray image of another version of Ray or Python than the tested one."""
    match = RAY_IMAGE.search(image)
    if match is None:
        return
    ray, major, minor = match.groups()
    if ray != pinned.get("ray", ray):
        yield error(where, f"image {image} holds Ray {ray}, and constraints.txt has {pinned['ray']}; use that tag")
    if major is not None and (int(major), int(minor)) != PYTHON:
        named, tested = f"{major}.{minor}", ".".join(map(str, PYTHON))
        yield error(where, f"image {image} holds Python {named}, and constraints.txt is for {tested}")
