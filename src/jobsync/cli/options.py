"""
What several commands share: the tools in the context, the JSON flag, a transaction.

All commands do, help among them; what only those with a database need is imported by the functions that use it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from jobsync.errors import UsageProblem
from jobsync.logs import visible
from jobsync.phrases import misread, parse_when
from jobsync.wiring import Tools

if TYPE_CHECKING:
    from sqlalchemy import Connection

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; needed without a terminal.")]
DealershipId = Annotated[int, typer.Argument(metavar="ID", help="Number of the dealership.", show_default=False)]


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


def tools_of(context: typer.Context) -> Tools:
    """Return the tools that the entry point put into the context."""
    tools = context.find_root().obj
    assert isinstance(tools, Tools)  # noqa: S101 - set in the root callback
    return tools


def holds(look: Callable[[], bool]) -> bool:
    """Return what a look at a path says; False where it cannot be looked at."""
    try:
        return look()
    except OSError:
        return False


@contextmanager
def transaction(context: typer.Context) -> Iterator[Connection]:
    """Open a short transaction that commits at the end of the block."""
    from jobsync.db.engine import translated

    with translated(), tools_of(context).engine.begin() as connection:
        yield connection


def instant(words: str, connection: Connection) -> datetime:
    """
    Return what --since means: an ISO instant (UTC where it names no offset), a date, or a span before now.

    Raises:
        UsageProblem: it is none of these.
    """
    from jobsync.db.statements import read_now

    start = parse_when(words, now=read_now(connection), past=True)
    if start is None:
        raise UsageProblem(misread("--since", visible(words, most=80)))
    return start


class Group(typer.core.TyperGroup):
    """A group of commands whose list says the whole first sentence of each, in as many lines as it takes."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's own would cut them
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, command.get_short_help_str(limit=10_000))
                    for name, command in self.commands.items()
                    if not command.hidden
                ]
            )


def group(help_text: str) -> typer.Typer:
    """Return a group of commands of one noun."""
    return typer.Typer(cls=Group, help=help_text, no_args_is_help=True, rich_markup_mode=None)
