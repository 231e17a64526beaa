"""The commands of the program, as data."""

from __future__ import annotations

from functools import cache

from typer.main import get_command

from jobsync.cli.app import app
from jobsync.cli.tree import Command
from jobsync.cli.tree import read_tree as read


@cache
def read_tree() -> Command:
    """Return the program with all its commands."""
    return read(get_command(app))
