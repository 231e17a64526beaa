"""jobsync logs: what a run said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from jobsync.cli.options import Json, transaction
from jobsync.cli.output import say, show, write
from jobsync.errors import JobsyncError, Unavailable
from jobsync.hostname import host_name
from jobsync.upkeep import run_log as journal
from jobsync.upkeep import runs

if TYPE_CHECKING:
    from jobsync.upkeep.run_log import Entry


def logs(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id or its beginning.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Print what a run said, from the journal; where there is none, say where to look."""
    row = _find(context, run)
    run_id = row["run_id"] if row is not None else UUID(run)
    entries = journal.read_entries(run_id)
    where = None
    if not entries:
        where = journal.where_to_look(row, this_host=host_name(), readable=entries is not None)
    document = {"run_id": run_id, "where": where, "entries": [vars(entry) for entry in entries or []]}
    show(document, as_json=as_json, otherwise=lambda: _tell(entries or [], where))


def _find(context: typer.Context, run: str) -> dict[str, Any] | None:
    """Return the run's row; None if the database is away and the id is whole, so that the journal can be asked."""
    try:
        with transaction(context) as connection:
            return runs.show_run(connection, run)
    except JobsyncError as error:
        if not isinstance(error, Unavailable) or not _is_whole(run):
            raise
        return None


def _is_whole(run: str) -> bool:
    try:
        UUID(run)
    except ValueError:
        return False
    return True


def _tell(entries: list[Entry], where: str | None) -> None:
    for entry in entries:
        write(f"{entry.at:%Y-%m-%d %H:%M:%S}Z {entry.level:7} {entry.message}\n")
    if where is not None:
        say(where)
