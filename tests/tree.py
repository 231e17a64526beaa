"""The commands of the program, as data."""

from __future__ import annotations

from functools import cache

from typer.main import get_command

from jobsync.cli.app import app
from jobsync.cli.tree import Command, Option
from jobsync.cli.tree import read_tree as read

# a program whose help texts are hostile to shells and formatters
HOSTILE = Command(
    path=("jobsync",),
    help="It's a $(touch /tmp/owned) `trap`: \\ .dot 'quote'",
    commands=(
        Command(
            ("jobsync", "sub"), "", options=(Option(names=("--it",), help=".leading 'quotes' $HOME \\fB", value="X"),)
        ),
    ),
)


@cache
def read_tree() -> Command:
    """Return the program with all its commands."""
    return read(get_command(app))
