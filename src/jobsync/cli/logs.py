"""jobsync logs: what a run said."""

from contextlib import nullcontext
from typing import Annotated, Any
from uuid import UUID

from jobsync.cli.command import Answer, argument, command
from jobsync.cli.output import say, write
from jobsync.deploy.account import account_of_server
from jobsync.errors import JobsyncError, UsageProblem
from jobsync.hostname import host_name
from jobsync.logs import complain, visible
from jobsync.upkeep import run_log as journal
from jobsync.upkeep import runs
from jobsync.wiring import Tools


@command("logs 3f2a")  # reads the journal as root, and the database as the units' user
def logs(tools: Tools, run: Annotated[str, argument("RUN", "The run's id or its beginning.")]) -> Answer:
    """
    Print what a run said.

    It is read from the journal, also while the database is away; where there is none, the answer says where to look.
    """
    run = runs.as_beginning(run)  # also while the database is away
    row: dict[str, Any] | None = None
    away: JobsyncError | None = None
    try:  # root, who can read every journal, is the units' user for as long as this takes
        account = account_of_server(tools.environ)
        with account.lent() if account else nullcontext(), tools.transaction() as connection:
            row = runs.read_run(connection, run)
    except UsageProblem:
        raise
    except JobsyncError as error:
        away = error
    run_id = UUID(str(row["run_id"])) if row is not None else _find_in_journal(run, away)
    try:
        entries = journal.read_entries(run_id)
    except journal.JournalClosed:
        if row is None or journal.speaks_to_journal(row, of=host_name()):
            raise
        entries = None  # it would not be there either
    where = None
    if not entries:
        where = journal.where_to_look(row, this_host=host_name(), readable=entries is not None)
    if where is not None and away is not None:
        complain(f"jobsync: {where}")
        raise away

    def tell() -> None:
        for entry in entries or []:
            write(f"{entry.at:%Y-%m-%d %H:%M:%S}Z {entry.level:7} {entry.message}\n")
        if where is not None:
            say(where)

    document = {"run_id": run_id, "where": where, "entries": [entry._asdict() for entry in entries or []]}
    return Answer(document, tell)


def _find_in_journal(run: str, away: JobsyncError | None) -> UUID:
    """Return the run that an id or its beginning means without a database, which is `away`."""
    found = [whole] if (whole := journal.as_run_id(run)) else journal.find_runs(run)
    if not found and away is not None:
        raise away
    if len(found) != 1:
        raise UsageProblem(f"{visible(run, most=80)} is the beginning of {', '.join(map(str, found[:5]))}")
    return found[0]
