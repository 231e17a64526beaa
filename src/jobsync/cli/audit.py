"""jobsync audit: who changed what, when, from where."""

from __future__ import annotations

from typing import Annotated

import typer

from jobsync.cli.options import Json, transaction
from jobsync.cli.output import print_table, show
from jobsync.db.audit import list_audit


def audit(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, metavar="N", help="At most this many.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what people changed, newest first."""
    with transaction(context) as connection:
        rows = list_audit(connection, limit=limit)
    columns = ["at", "actor", "host", "action", "subject", "details"]
    lines = [[row[column] for column in columns] for row in rows]
    show(rows, as_json=as_json, otherwise=lambda: print_table(columns, lines, empty="nothing was changed yet"))
