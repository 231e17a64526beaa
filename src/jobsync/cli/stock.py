"""jobsync stock: what happened to vehicles, what could not be taken in, and what people keep as it is or keep off."""

import shlex
from collections.abc import Sequence
from typing import Annotated, Any

from sqlalchemy import Connection

from jobsync.cli.command import Answer, DealershipId, Since, argument, command, group, option, said, since_when, table
from jobsync.easycars import registry
from jobsync.upkeep.runs import find_run

app = group("Vehicles: changes, refusals, fields and cars to keep.")
Limit = Annotated[int, option("N", "At most this many.", "--limit", min=1, max=100_000)]
StockNumber = Annotated[str, argument("STOCK_NUMBER", "Of the vehicle.")]


@command("stock history 17 --stock-number A123", of=app, reads=True)
def history(
    connection: Connection,
    dealership_id: DealershipId,
    stock_number: Annotated[str | None, option("S", "Only this vehicle.")] = None,
    limit: Limit = 100,
) -> Answer:
    """Show what changed, newest first: prices, texts, status, removals."""
    rows = registry.list_changes(connection, dealership_id, stock_number, limit=limit)
    return table(rows, ["changed_at", "stock_number", "field", "old", "new", "title"], empty="no changes")


@command("stock changes --since 12h", of=app, reads=True)
def changes(
    connection: Connection,
    run: Annotated[str | None, option("RUN", "Only what this run changed; its first characters do.")] = None,
    since: Since = None,
    dealership: Annotated[int | None, option("ID", "Only of this dealership.")] = None,
    limit: Limit = 10_000,
) -> Answer:
    """Show what changed at all dealerships, newest first; for example: stock changes --since 12h."""
    rows = registry.list_all_changes(
        connection,
        run_id=find_run(connection, run) if run is not None else None,
        since=since_when(since, connection),
        dealership_id=dealership,
        limit=limit,
    )
    columns = ["changed_at", "dealership", "stock_number", "field", "old", "new"]
    return table(rows, columns, _with_dealership(rows), empty="no changes")


@command("stock refused 17", of=app, reads=True)
def refused(
    connection: Connection,
    dealership_id: Annotated[int | None, argument("[ID]", "Number of the dealership; default: all.")] = None,
    limit: Limit = 100,
) -> Answer:
    """Show items that could not become rows, newest first, with the reason."""
    rows = registry.list_refused(connection, dealership_id, limit=limit)
    columns = ["created_at", "position", "stock_number", "reason_code", "dealership", "reason"]
    return table(rows, columns, _with_dealership(rows), empty="nothing was refused")


def _with_dealership(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "dealership": f"{row['dealership_id']} {row['name']}"} for row in rows]


@command("stock lock 17 A123 price description", of=app)
def lock(
    connection: Connection,
    dealership_id: DealershipId,
    stock_number: StockNumber,
    fields: Annotated[
        list[str] | None, argument("[FIELD]...", "E.g. price description; none: only show what is locked.")
    ] = None,
) -> Answer:
    """Keep fields of a vehicle as they are, whatever the feed says; without a field, show which are kept."""
    if fields:
        locked = registry.change_locks(connection, dealership_id, stock_number, _names(fields), lock=True)
    else:
        locked = registry.read_locks(connection, dealership_id, stock_number)
    return _locks(dealership_id, stock_number, locked)


@command("stock unlock 17 A123 price", of=app)
def unlock(
    connection: Connection,
    dealership_id: DealershipId,
    stock_number: StockNumber,
    fields: Annotated[list[str], argument("FIELD...", "E.g. price description.")],
) -> Answer:
    """Give fields back to the feed; the next sync brings its values."""
    locked = registry.change_locks(connection, dealership_id, stock_number, _names(fields), lock=False)
    return _locks(dealership_id, stock_number, locked)


def _names(fields: Sequence[str]) -> list[str]:
    return [name for field in fields for name in field.replace(",", " ").split()]


def _locks(dealership_id: int, stock_number: str, locked: list[str]) -> Answer:
    document = {"dealership_id": dealership_id, "stock_number": stock_number, "locked_fields": locked}
    return said(document, f"{stock_number}: locked fields: {', '.join(locked) or 'none'}")


@command("stock exclude 17 A123 --reason 'sold at the counter'", of=app)
def exclude(
    connection: Connection,
    dealership_id: DealershipId,
    stock_number: StockNumber,
    reason: Annotated[str | None, option("S", "Kept in the audit.")] = None,
) -> Answer:
    """Keep a vehicle off, whatever the feed says, until it is included; for example: stock exclude 1 A123."""
    row = registry.exclude_vehicle(connection, dealership_id, stock_number, reason=reason)
    back = f"jobsync stock include {dealership_id} {shlex.quote(row['stock_number'])}"
    return said(row, f"{row['stock_number']} is excluded until: {back}")


@command("stock include 17 A123", of=app)
def include(connection: Connection, dealership_id: DealershipId, stock_number: StockNumber) -> Answer:
    """Give an excluded vehicle back to the feed; the next sync brings what the feed says of it."""
    row = registry.include_vehicle(connection, dealership_id, stock_number)
    removed = row["status"] == "removed"
    words = "it is listed when the feed names it" if removed else f"its status is {row['status']} again"
    next_sync = f"jobsync stock-sync --dealership {dealership_id}"
    return said(row, f"{row['stock_number']} is included: {words}; {next_sync}")
