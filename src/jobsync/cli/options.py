"""Options and arguments of several commands, and how what was typed is read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from jobsync.errors import UsageProblem
from jobsync.phrases import read_when

if TYPE_CHECKING:
    from sqlalchemy import Connection

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; needed without a terminal.")]
DealershipId = Annotated[int, typer.Argument(metavar="ID", help="Number of the dealership.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="An instant, a date, or a span such as 12h or 1d6h.")
]


def confirm(question: str, *, yes: bool) -> None:
    """
    Ask before something is destroyed.

    Raises:
        UsageProblem: there is no terminal to ask on, and --yes was not given.
        typer.Abort: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageProblem(f"{question} Without a terminal to ask on this needs --yes; nothing was done")
    typer.confirm(question, abort=True, err=True)


def holds(look: Callable[[], bool]) -> bool:
    """Return what a look at a path says; False where it cannot be looked at."""
    try:
        return look()
    except OSError:
        return False


def since_when(words: str | None, connection: Connection) -> datetime | None:
    """Return what --since means, which looks back; raises UsageProblem."""
    from jobsync.db.statements import read_now  # commands without a database share this file

    return None if words is None else read_when("--since", words, now=read_now(connection), past=True)
