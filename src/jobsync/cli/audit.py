"""jobsync audit: who changed what, when, from where."""

from typing import Annotated

from sqlalchemy import Connection

from jobsync.cli.command import Answer, command, option, table
from jobsync.db.audit import list_audit


@command("audit --limit 10", reads=True)
def audit(
    connection: Connection,
    limit: Annotated[int, option("N", "At most this many.", min=1, max=100_000)] = 50,
) -> Answer:
    """Show what people changed, newest first."""
    columns = ["at", "actor", "host", "action", "subject", "details"]
    return table(list_audit(connection, limit=limit), columns, empty="nothing was changed yet")
