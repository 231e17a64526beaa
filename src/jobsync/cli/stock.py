"""jobsync stock: what happened to vehicles, what could not be taken in, and what people keep as it is or keep off."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated

import typer

from jobsync.cli.options import DealershipId, Json, group, instant, transaction
from jobsync.cli.output import print_table, say, show
from jobsync.easycars import registry

app = group("Vehicles: changes, refusals, fields and cars to keep.")
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, metavar="N", help="At most this many.")]


@app.command()
def history(
    context: typer.Context,
    dealership_id: DealershipId,
    stock_number: Annotated[
        str | None, typer.Option("--stock-number", metavar="S", help="Only this vehicle.", show_default=False)
    ] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """Show what changed, newest first: prices, texts, status, removals."""
    with transaction(context) as connection:
        rows = registry.list_changes(connection, dealership_id, stock_number, limit=limit)
    columns = ["changed_at", "stock_number", "field", "old", "new", "title"]
    show(
        rows,
        as_json=as_json,
        otherwise=lambda: print_table(columns, [[row[c] for c in columns] for row in rows], empty="no changes"),
    )


@app.command()
def changes(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN", help="Only what this run changed; its first characters do.", show_default=False
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="WHEN", help="An instant, a date, or a span such as 12h or 1d6h.", show_default=False
        ),
    ] = None,
    dealership: Annotated[
        int | None, typer.Option("--dealership", metavar="ID", help="Only of this dealership.", show_default=False)
    ] = None,
    limit: Limit = 10_000,
    as_json: Json = False,
) -> None:
    """Show what changed at all dealerships, newest first; for example: stock changes --since 12h."""
    from jobsync.easycars import registry
    from jobsync.upkeep.runs import find_run

    with transaction(context) as connection:
        rows = registry.list_all_changes(
            connection,
            run_id=find_run(connection, run) if run is not None else None,
            since=instant(since, connection) if since is not None else None,
            dealership_id=dealership,
            limit=limit,
        )
    columns = ["changed_at", "dealership", "stock_number", "field", "old", "new"]
    told = [{**row, "dealership": f"{row['dealership_id']} {row['name']}"} for row in rows]
    lines = [[row[column] for column in columns] for row in told]
    show(rows, as_json=as_json, otherwise=lambda: print_table(columns, lines, empty="no changes"))


@app.command()
def refused(
    context: typer.Context,
    dealership_id: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="Number of the dealership; default: all.", show_default=False)
    ] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """Show items that could not become rows, newest first, with the reason."""
    with transaction(context) as connection:
        rows = registry.list_refused(connection, dealership_id, limit=limit)
    columns = ["created_at", "position", "stock_number", "reason_code", "dealership", "reason"]
    told = [{**row, "dealership": f"{row['dealership_id']} {row['name']}"} for row in rows]
    lines = [[row[column] for column in columns] for row in told]
    show(rows, as_json=as_json, otherwise=lambda: print_table(columns, lines, empty="nothing was refused"))


StockNumber = Annotated[str, typer.Argument(metavar="STOCK_NUMBER", help="Of the vehicle.", show_default=False)]
Fields = Annotated[list[str], typer.Argument(metavar="FIELD...", help="E.g. price description.", show_default=False)]


@app.command()
def lock(
    context: typer.Context,
    dealership_id: DealershipId,
    stock_number: StockNumber,
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FIELD]...", help="E.g. price description; none: only show what is locked.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep fields of a vehicle as they are, whatever the feed says; without a field, show which are kept."""
    with transaction(context) as connection:
        if fields:
            locked = registry.lock_fields(connection, dealership_id, stock_number, _names(fields))
        else:
            locked = registry.read_locks(connection, dealership_id, stock_number)
    _tell_locks(dealership_id, stock_number, locked, as_json=as_json)


@app.command()
def unlock(
    context: typer.Context,
    dealership_id: DealershipId,
    stock_number: StockNumber,
    fields: Fields,
    as_json: Json = False,
) -> None:
    """Give fields back to the feed; the next sync brings its values."""
    with transaction(context) as connection:
        locked = registry.unlock_fields(connection, dealership_id, stock_number, _names(fields))
    _tell_locks(dealership_id, stock_number, locked, as_json=as_json)


def _names(fields: Sequence[str]) -> list[str]:
    """Return the fields' names; commas between them are as good as blanks."""
    return [name for field in fields for name in field.replace(",", " ").split()]


def _tell_locks(dealership_id: int, stock_number: str, locked: list[str], *, as_json: bool) -> None:
    document = {"dealership_id": dealership_id, "stock_number": stock_number, "locked_fields": locked}
    words = ", ".join(locked) or "none"
    show(document, as_json=as_json, otherwise=lambda: say(f"{stock_number}: locked fields: {words}"))


@app.command()
def exclude(
    context: typer.Context,
    dealership_id: DealershipId,
    stock_number: StockNumber,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="S", help="Kept in the audit.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep a vehicle off, whatever the feed says, until it is included; for example: stock exclude 1 A123."""
    from jobsync.easycars import registry

    with transaction(context) as connection:
        row = registry.exclude_vehicle(connection, dealership_id, stock_number, reason=reason)
    back = f"jobsync stock include {dealership_id} {shlex.quote(row['stock_number'])}"
    show(row, as_json=as_json, otherwise=lambda: say(f"{row['stock_number']} is excluded until: {back}"))


@app.command()
def include(
    context: typer.Context, dealership_id: DealershipId, stock_number: StockNumber, as_json: Json = False
) -> None:
    """Give an excluded vehicle back to the feed; the next sync brings what the feed says of it."""
    from jobsync.easycars import registry

    with transaction(context) as connection:
        row = registry.include_vehicle(connection, dealership_id, stock_number)
    words = (
        "it is listed when the feed names it" if row["status"] == "removed" else f"its status is {row['status']} again"
    )
    next_sync = f"jobsync stock-sync --dealership {dealership_id}"
    show(row, as_json=as_json, otherwise=lambda: say(f"{row['stock_number']} is included: {words}; {next_sync}"))
