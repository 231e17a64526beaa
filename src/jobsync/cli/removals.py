"""jobsync removals: vehicles that would go in such number that a person is asked first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from jobsync.cli.options import Json, group, transaction
from jobsync.cli.output import print_facts, print_table, say, show
from jobsync.easycars import registry
from jobsync.operate.words import EMPTY_FEED

app = group("Removals that wait for approval.")
RemovalId = Annotated[int, typer.Argument(metavar="ID", help="Number of the held removal.", show_default=False)]


@app.command("list")
def list_(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    as_json: Json = False,
) -> None:
    """List what waits for a decision, and approvals not yet carried out."""
    with transaction(context) as connection:
        rows = registry.list_removals(connection, every=every)
    columns = [
        "id",
        "dealership",
        "status",
        "reason",
        "vehicles",
        "listed before",
        "in the feed",
        "asked",
        "decided by",
        *(["carried out", "removed"] if every else []),
    ]

    def tell() -> None:
        print_table(
            columns,
            [
                [
                    row["id"],
                    f"{row['dealership_id']} {row['name']}",
                    row["status"],
                    row["reason"],
                    len(row["stock_numbers"]),
                    row["listed_before"],
                    row["listed_now"],
                    row["created_at"],
                    row["decided_by"],
                    *([row["applied_at"] if row["status"] == "approved" else None, row["removed"]] if every else []),
                ]
                for row in rows
            ],
            empty="nothing is held",
        )
        _warn_of_empty_feeds(rows)

    show(rows, as_json=as_json, otherwise=tell)


def _warn_of_empty_feeds(rows: Sequence[dict[str, Any]]) -> None:
    """Say what else may be behind an empty feed, as long as its vehicles are still there."""
    open_ = [row for row in rows if row["status"] in ("pending", "approved") and row["applied_at"] is None]
    ids = [row["dealership_id"] for row in open_ if row["reason"] == "empty_feed"]
    if ids:
        number = ids[0] if len(ids) == 1 else "ID"
        say(f"empty_feed: {EMPTY_FEED}; before they go: jobsync credentials test {number}")


@app.command("show")
def show_(context: typer.Context, removal_id: RemovalId, as_json: Json = False) -> None:
    """Show one held removal and its vehicles."""
    with transaction(context) as connection:
        row = registry.show_removal(connection, removal_id)

    def tell() -> None:
        words = _WORDS if row["status"] == "approved" else {**_WORDS, "applied_at": "done with"}
        print_facts({words.get(name, name): value for name, value in row.items() if name != "vehicles"})
        _warn_of_empty_feeds([row])
        columns = ["stock_number", "title", "price", "status"]
        print_table(columns, [[car[c] for c in columns] for car in row["vehicles"]], title="vehicles")

    show(row, as_json=as_json, otherwise=tell)


_WORDS = {
    "dealership_id": "dealership",
    "stock_numbers": "stock numbers",
    "listed_before": "listed before",
    "listed_now": "in the feed",
    "run_id": "run",
    "created_at": "asked",
    "decided_at": "decided",
    "decided_by": "decided by",
    "applied_at": "carried out",
}


@app.command()
def approve(context: typer.Context, removal_id: RemovalId, as_json: Json = False) -> None:
    """Let these vehicles go at the next sync, those of them that are still missing; until then reject takes it back."""
    consequence = f"those still missing go at the next sync; until then: jobsync removals reject {removal_id}"
    _decide(context, removal_id, "approved", consequence, as_json=as_json)


@app.command()
def reject(context: typer.Context, removal_id: RemovalId, as_json: Json = False) -> None:
    """Keep these vehicles listed; nobody is asked again until the set changes, and until then approve takes it back."""
    consequence = f"they stay listed, as long as these are missing; until then: jobsync removals approve {removal_id}"
    _decide(context, removal_id, "rejected", consequence, as_json=as_json)


def _decide(context: typer.Context, removal_id: int, decision: str, consequence: str, *, as_json: bool) -> None:
    with transaction(context) as connection:
        row = registry.decide_removal(connection, removal_id, decision)
    show(
        row,
        as_json=as_json,
        otherwise=lambda: say(
            f"held removal {removal_id} {decision} ({row['name']}, {len(row['stock_numbers'])} vehicles): {consequence}"
        ),
    )
