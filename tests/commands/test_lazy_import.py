"""Commands whose files are imported when they are called."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from jobsync.cli.app import COMMANDS
from jobsync.cli.lazy import CommandPlace, Commands, load, summary_of

_WATCHED = """
import sys
from jobsync.cli.main import run
run(sys.argv[1:])
print(*sorted(name for name in sys.modules if name.startswith(("jobsync.cli.", "jobsync.sandbox."))), file=sys.stderr)
"""
FRAME = {"app", "command", "invoke", "lazy", "main", "output"}


def loaded_by(*arguments: str) -> set[str]:
    """Return the files of commands that a command line imports."""
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    names = {name.removeprefix("jobsync.cli.") for name in done.stderr.splitlines()[-1].split()}
    return names - FRAME


def test_a_command_imports_its_own_file() -> None:
    """What another command needs is not paid for."""
    assert loaded_by("sri", "explain", "39") == {"sri"}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], []])
def test_the_list_of_commands_imports_none(arguments: list[str]) -> None:
    """Neither the version nor the list of all commands imports a command."""
    assert loaded_by(*arguments) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_summary_is_that_of_the_command(name: str) -> None:
    """What the list says of a command, read from its file, is what the command's own help begins with."""
    command = load(name, COMMANDS[name])

    assert command.get_short_help_str(limit=10_000) == summary_of(COMMANDS[name])


def test_names_are_there_without_an_import() -> None:
    """To ask which commands there are imports nothing; a name that is none is none."""
    commands = Commands({"one": CommandPlace("jobsync.no.such.module", "app")})
    absent: Any = commands.get("two")

    assert (list(commands), len(commands), absent) == (["one"], 1, None)
