"""What `journalctl -x` says of our entries."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jobsync.deploy.installation import Installation
from jobsync.deploy.units import CATALOG, render_units
from jobsync.journal import MESSAGE_IDS
from tests.tree import read_tree

TEXT = render_units(Installation(executable=Path("/opt/jobsync/bin/jobsync")))[CATALOG]


def test_every_kind_of_event_is_explained() -> None:
    """No id without its entry, none without its id."""
    assert sorted(MESSAGE_IDS.values()) == sorted(re.findall("(?m)^-- (.*)$", TEXT))


@pytest.mark.parametrize("command", re.findall("(?m)^Next: (.*)$", TEXT))
def test_next_command_exists(command: str) -> None:
    """Whoever types what is advised is understood."""
    known = {" ".join(found.path) for found in read_tree().walk() if not found.commands}

    assert re.sub(" @[A-Z_]+@$", "", command) in known


@pytest.mark.skipif(shutil.which("journalctl") is None, reason="systemd is not installed")
def test_systemd_takes_every_entry(tmp_path: Path) -> None:
    """The journal's own compiler finds all of them, with their subjects."""
    path = tmp_path / CATALOG.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    subprocess.run(["journalctl", f"--root={tmp_path}", "--update-catalog"], check=True, timeout=60)
    command = ["journalctl", f"--root={tmp_path}", "--list-catalog"]
    listed = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout

    assert sorted(MESSAGE_IDS.values()) == sorted(line.split()[0] for line in listed.splitlines())
    assert all("jobsync: " in line for line in listed.splitlines())
