"""jobsync schedule: when each dealership is synced next."""

from __future__ import annotations

from typing import Any

import typer

from jobsync.cli.options import Json, group, transaction
from jobsync.cli.output import excerpts, print_table, show
from jobsync.db.engine import driver
from jobsync.db.statements import read_now
from jobsync.db.system_settings import read_system_settings
from jobsync.easycars import registry
from jobsync.jobs import STOCK_SYNC
from jobsync.logs import complain
from jobsync.phrases import local_stamp, pause_end

app = group("When each dealership is synced next.")


@app.callback()
def schedule() -> None:
    """When what is due."""


@app.command("show")
def show_(context: typer.Context, as_json: Json = False) -> None:
    """Show each dealership's next slot, in its own time zone, and what keeps it from running."""
    with transaction(context) as connection:
        rows = registry.list_schedules(connection, read_now(connection))
        on = read_system_settings(driver(connection)).switch(STOCK_SYNC.switch)
    if not on:
        complain(f"jobsync: {STOCK_SYNC.name} is globally disabled ({STOCK_SYNC.switch}): nothing runs")
    columns = ["dealership", "next slot", "last success", "retry", "attempts", "why not", "cron", "time zone"]
    columns += ["unreadable"] if any(row["unreadable"] for row in rows) else []
    lines = [
        [
            f"{row['dealership_id']} {row['name']}",
            *(local_stamp(row[column], row["timezone"]) for column in ("next_at", "last_success_at", "retry_at")),
            row["attempt"],
            _why_not(row),
            row["cron"],
            row["timezone"],
            excerpts(row["unreadable"]),
        ][: len(columns)]
        for row in rows
    ]
    show(rows, as_json=as_json, otherwise=lambda: print_table(columns, lines, empty="no dealerships yet"))


def _why_not(row: dict[str, Any]) -> str | None:
    reasons = [str(row["not_eligible"])] if row["not_eligible"] not in (None, "paused") else []
    if row["paused"]:
        reason = f": {row['paused_reason']}" if row["paused_reason"] else ""
        reasons.append(f"paused {pause_end(row['paused_until'], row['timezone'])}{reason}")
    return "; ".join(reasons) or None
