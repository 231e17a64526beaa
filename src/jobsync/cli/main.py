"""The command line with all its commands, as the entry runs it, and whom it acts as where root types it."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typer.main import get_command

from jobsync.cli.app import app
from jobsync.cli.command import use_of
from jobsync.cli.invoke import invoke, passwords_of
from jobsync.db.causes import LoginRefused
from jobsync.wiring import Tools


def run(arguments: Sequence[str], tools: Tools | None = None) -> int:
    """Run one command and return its exit code; with the real tools, root on a server may act as the units' user."""
    if tools is None and os.geteuid() == 0:
        _act_for(arguments, os.environ)
    return invoke(get_command(app), arguments, tools)


def _act_for(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Become the units' user for a command that only reads; have any other that is refused say the line to type."""
    from jobsync.deploy.account import account_of_server  # only root pays for it

    account = account_of_server(environ)
    if account is None:
        return
    # from below /root, of ours or of Python's, nothing more could be imported
    if only_reads(arguments) and all(account.sees(Path(file)) for file in (__file__, os.__file__)):
        account.become()
    else:
        LoginRefused.advice = f"; as the service's user: {line_to_type(account.name, arguments)}"


def only_reads(arguments: Sequence[str]) -> bool:
    """
    Whether a command line changes nothing and names no file.

    >>> [only_reads(line.split()) for line in ("-q runs list", "health", "health --act", "report -ox", "--help")]
    [True, True, False, False, False]
    """
    called: Any = get_command(app)
    for word in (word for word in arguments if not word.startswith("-")):
        if (children := getattr(called, "commands", None)) is not None:
            called = children.get(word)
    use = use_of(called)
    return use.reads and not any(word.startswith(use.unless) for word in arguments)


def line_to_type(user: str, arguments: Sequence[str]) -> str:
    """
    Return the same command as another user, quoted for a shell; what holds a password is left to be filled in.

    >>> print(line_to_type("jobsync", ["dealership", "add", "Bilby Creek", "--json"]))
    runuser -u jobsync -- jobsync dealership add 'Bilby Creek' --json
    >>> print(line_to_type("jobsync", ["adopt", "--from", "postgresql://old:secret@host/db"]))
    runuser -u jobsync -- jobsync adopt --from …
    """
    typed = ["…" if passwords_of(word) else shlex.quote(word) for word in arguments]
    return " ".join([f"runuser -u {user} -- jobsync", *typed])
