"""jobsync schedule: when each dealership is synced next."""

from __future__ import annotations

import typer

from jobsync.cli.options import Json, group, transaction
from jobsync.cli.output import print_table, show

app = group("When what is due.")


@app.callback()
def schedule() -> None:
    """When what is due."""


@app.command("show")
def show_(context: typer.Context, as_json: Json = False) -> None:
    """Show each dealership's next slot, in its own time zone, and what keeps it from running."""
    from jobsync.easycars import registry
    from jobsync.runner.run import database_now

    with transaction(context) as connection:
        rows = registry.list_schedules(connection, database_now(connection))
    columns = ["dealership", "cron", "time zone", "next", "retry", "attempts", "last success", "why not"]
    lines = [
        [
            f"{row['dealership_id']} {row['name']}",
            row["cron"],
            row["timezone"],
            row["next_at"].strftime("%a %Y-%m-%d %H:%M %z"),
            row["retry_at"],
            row["attempt"],
            row["last_success_at"],
            row["not_eligible"],
        ]
        for row in rows
    ]
    show(rows, as_json=as_json, otherwise=lambda: print_table(columns, lines, empty="no dealerships yet"))
