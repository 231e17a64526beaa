"""jobsync audit: who changed what, when, from where."""

from typing import Annotated

import typer
from sqlalchemy import Connection

from jobsync.cli.command import Answer, command, table
from jobsync.db.audit import list_audit


@command("audit --limit 10", reads=True)
def audit(
    connection: Connection,
    limit: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="At most this many.")] = 50,
) -> Answer:
    """Show what people changed, newest first."""
    columns = ["at", "actor", "host", "action", "subject", "details"]
    return table(list_audit(connection, limit=limit), columns, empty="nothing was changed yet")
