"""jobsync schedule: when each dealership is synced next."""

from typing import Any

from sqlalchemy import Connection

from jobsync.cli.command import Answer, command, group, table
from jobsync.cli.output import excerpts
from jobsync.db.engine import driver
from jobsync.db.system_settings import read_system_settings
from jobsync.easycars import registry
from jobsync.jobs import STOCK_SYNC
from jobsync.phrases import local_stamp, pause_end

app = group("When each dealership is synced next.")
_INSTANTS = {"next slot": "next_at", "last success": "last_success_at", "retry": "retry_at"}


@command("schedule show", of=app, reads=True)
def show(connection: Connection) -> Answer:
    """Show each dealership's next slot, in its own time zone, and what keeps it from running."""
    rows = registry.list_schedules(connection)
    columns = {name: name for name in ("dealership", *_INSTANTS)} | {"attempts": "attempt", "why not": "why not"}
    columns |= {"cron": "cron", "time zone": "timezone"}
    columns |= {"unreadable": "unreadable"} if any(row["unreadable"] for row in rows) else {}
    on = read_system_settings(driver(connection)).switch(STOCK_SYNC.switch)
    off = [] if on else [f"{STOCK_SYNC.name} is globally disabled ({STOCK_SYNC.switch}): nothing runs"]
    return table(rows, columns, map(_told, rows), empty="no dealerships yet", complaints=off)


def _told(row: dict[str, Any]) -> dict[str, object]:
    times = {column: local_stamp(row[name], row["timezone"]) for column, name in _INSTANTS.items()}
    named = {"dealership": f"{row['dealership_id']} {row['name']}", "why not": _why_not(row)}
    return row | times | named | {"unreadable": excerpts(row["unreadable"])}


def _why_not(row: dict[str, Any]) -> str | None:
    reasons = [str(row["not_eligible"])] if row["not_eligible"] not in (None, "paused") else []
    if row["paused"]:
        reason = f": {row['paused_reason']}" if row["paused_reason"] else ""
        reasons.append(f"paused {pause_end(row['paused_until'], row['timezone'])}{reason}")
    return "; ".join(reasons) or None
