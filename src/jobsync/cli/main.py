"""The command line with all its commands, as the entry runs it."""

from __future__ import annotations

from collections.abc import Sequence

from typer.main import get_command

from jobsync.cli.app import app
from jobsync.cli.invoke import invoke
from jobsync.wiring import Tools


def run(arguments: Sequence[str], tools: Tools | None = None) -> int:
    """
    Run one command and return its exit code.

    Args:
        tools: the world to use; None means the real one.
    """
    return invoke(get_command(app), arguments, tools)
