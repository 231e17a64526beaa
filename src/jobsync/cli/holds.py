"""jobsync holds: what one night would do to so many vehicles that a person is asked first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from jobsync.cli.options import Json, group, transaction
from jobsync.cli.output import print_facts, print_table, say, show
from jobsync.easycars import registry
from jobsync.easycars.phrases import EMPTY_FEED, FOREIGN_FEED, HELD
from jobsync.phrases import many

app = group("What syncs hold back until a person decides.")
HoldId = Annotated[int, typer.Argument(metavar="ID", help="Number of the hold.", show_default=False)]


@app.command("list")
def list_(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    as_json: Json = False,
) -> None:
    """List what waits for a decision, and approvals not yet carried out."""
    with transaction(context) as connection:
        rows = registry.list_holds(connection, every=every)
    columns = [
        "id",
        "dealership",
        "kind",
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
                    row["kind"],
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
        _warn_of_wrong_accounts(rows)

    show(rows, as_json=as_json, otherwise=tell)


def _warn_of_wrong_accounts(rows: Sequence[dict[str, Any]]) -> None:
    """Say what else may be behind an empty or a foreign feed, as long as its vehicles are still there."""
    open_ = [row for row in rows if row["status"] in ("pending", "approved") and row["applied_at"] is None]
    for name, words, ids in (
        ("empty_feed", EMPTY_FEED, [row["dealership_id"] for row in open_ if row["reason"] == "empty_feed"]),
        ("foreign_feed", FOREIGN_FEED, [row["dealership_id"] for row in open_ if row["kind"] == "foreign_feed"]),
    ):
        if ids:
            number = ids[0] if len(ids) == 1 else "ID"
            say(f"{name}: {words}; before an approval: jobsync credentials test {number}")


@app.command("show")
def show_(context: typer.Context, hold_id: HoldId, as_json: Json = False) -> None:
    """Show one hold and its vehicles."""
    with transaction(context) as connection:
        row = registry.show_hold(connection, hold_id)

    def tell() -> None:
        say(HELD[row["kind"]].told(len(row["stock_numbers"])))
        words = _WORDS if row["status"] == "approved" else {**_WORDS, "applied_at": "done with"}
        print_facts({words.get(name, name): value for name, value in row.items() if name not in ("vehicles", "vins")})
        _warn_of_wrong_accounts([row])
        columns = ["stock_number", "title", "price", "status"]
        print_table(columns, [[car[c] for c in columns] for car in row["vehicles"]], title=_TITLES.get(row["kind"]))

    show(row, as_json=as_json, otherwise=tell)


_TITLES = {"foreign_feed": "listed at other dealerships, under the same VIN"}
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
def approve(context: typer.Context, hold_id: HoldId, as_json: Json = False) -> None:
    """Let it through at the next sync, as far as the feed still says so; until then reject takes it back."""
    _decide(context, hold_id, "approved", as_json=as_json)


@app.command()
def reject(context: typer.Context, hold_id: HoldId, as_json: Json = False) -> None:
    """Keep things as they are; nobody is asked again until the set changes, and until then approve takes it back."""
    _decide(context, hold_id, "rejected", as_json=as_json)


def _decide(context: typer.Context, hold_id: int, decision: str, *, as_json: bool) -> None:
    with transaction(context) as connection:
        row = registry.decide_hold(connection, hold_id, decision)
    kind = HELD[row["kind"]]
    consequence, back = (kind.approved, "reject") if decision == "approved" else (kind.rejected, "approve")

    def tell() -> None:
        vehicles = many(len(row["stock_numbers"]), "vehicle")
        say(
            f"hold {hold_id} ({row['kind']}) {decision} ({row['name']}, {vehicles}): {consequence};"
            f" until then: jobsync holds {back} {hold_id}"
        )

    show(row, as_json=as_json, otherwise=tell)
