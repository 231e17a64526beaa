"""The command line with all its commands, as the entry runs it, and whom it acts as where root types it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from typer.main import get_command

from jobsync.cli.app import app
from jobsync.cli.invoke import invoke
from jobsync.commands import only_reads
from jobsync.db.causes import LoginRefused
from jobsync.wiring import Tools


def run(arguments: Sequence[str], tools: Tools | None = None) -> int:
    """
    Run one command and return its exit code.

    Args:
        tools: the tools to use; None means the real ones, where root on a server may act as the units' user.
    """
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


def line_to_type(user: str, arguments: Sequence[str]) -> str:
    """
    Return the same command as another user, quoted for a shell; what holds a password is left to be filled in.

    >>> print(line_to_type("jobsync", ["dealership", "add", "Bilby Creek", "--json"]))
    runuser -u jobsync -- jobsync dealership add 'Bilby Creek' --json
    >>> print(line_to_type("jobsync", ["adopt", "--from", "postgresql://old:secret@host/db"]))
    runuser -u jobsync -- jobsync adopt --from …
    """
    typed = ["…" if _holds_password(word) else shlex.quote(word) for word in arguments]
    return " ".join([f"runuser -u {user} -- jobsync", *typed])


def _holds_password(word: str) -> bool:
    if "://" not in word and "password" not in word:
        return False
    from jobsync.db.engine import passwords_in  # the driver reads URLs as it does; nobody else needs it here

    return bool(passwords_in(word) or passwords_in(word.partition("=")[2]))
