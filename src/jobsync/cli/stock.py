"""jobsync stock: what happened to vehicles, and what could not be taken in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from jobsync.cli.options import DealershipId, Json, group, transaction
from jobsync.cli.output import print_table, say, show
from jobsync.easycars import registry

app = group("Vehicles: what changed, what was refused, and fields to keep.")
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
