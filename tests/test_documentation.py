"""What the pages say of the code is true."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text()


@pytest.mark.parametrize("package", ["core", "search_spaces", "sweeps"])
def test_the_architecture_names_every_module_of_a_package(package: str) -> None:
    modules = [path.name for path in (REPOSITORY / package).glob("*.py") if path.name != "__init__.py"]
    folders = [f"{path.parent.name}/" for path in (REPOSITORY / package).glob("*/__init__.py")]
    assert [name for name in sorted(modules + folders) if name not in ARCHITECTURE] == []


@pytest.mark.parametrize(
    "page", sorted(REPOSITORY.glob("*.md")) + sorted(REPOSITORY.glob("docs/**/*.md")), ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
