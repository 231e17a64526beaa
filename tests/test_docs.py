"""What the documents say of the repository is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs/decisions").glob("0*.md"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_exist(path: Path) -> None:
    """A link leads somewhere; a module, a folder or a tool that is named has not moved."""
    text = path.read_text()
    links = [path.parent / link for link in re.findall(r"\]\(([^)#:]+)\)", text)]
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)`", text)
    code = [name for name in named if name.endswith(".py") or name.startswith(("src/", "tests/"))]

    assert [str(link) for link in links if not link.exists()] == []
    assert [name for name in code if not any((ROOT / base / name).exists() for base in ("", "src/jobsync"))] == []


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_decision_says_what_why_and_its_price(path: Path) -> None:
    """None is praise alone; each is in the list."""
    text = path.read_text()

    assert [word for word in ("**Choice.**", "**Why", "**Price.**") if word not in text] == []
    assert f"]({path.name})" in (path.parent / "README.md").read_text()
