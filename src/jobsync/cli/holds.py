"""jobsync holds: what one night would do to so many vehicles that a person is asked first."""

from collections.abc import Sequence
from typing import Annotated, Any

from sqlalchemy import Connection

from jobsync.cli.command import Answer, argument, command, flag, group, said
from jobsync.cli.output import print_facts, print_table, say
from jobsync.easycars import registry
from jobsync.easycars.phrases import EMPTY_FEED, FOREIGN_FEED, HELD
from jobsync.phrases import many

app = group("What syncs hold back until a person decides.")
HoldId = Annotated[int, argument("ID", "Number of the hold.")]
_COLUMNS = {name: name for name in ("id", "dealership", "kind", "status", "reason", "vehicles")}
_COLUMNS |= {"listed before": "listed_before", "in the feed": "listed_now", "asked": "created_at"}
_COLUMNS |= {"decided by": "decided_by"}
_DONE = {"carried out": "carried_out", "removed": "removed"}


@command("holds list", of=app, reads=True)
def list_(connection: Connection, every: Annotated[bool, flag("Decided ones too.", "--all")] = False) -> Answer:
    """List what waits for a decision, and approvals not yet carried out."""
    rows = registry.list_holds(connection, every=every)
    told = [
        {
            **row,
            "dealership": f"{row['dealership_id']} {row['name']}",
            "vehicles": len(row["stock_numbers"]),
            "carried_out": row["applied_at"] if row["status"] == "approved" else None,
        }
        for row in rows
    ]

    def tell() -> None:
        print_table(_COLUMNS | _DONE if every else _COLUMNS, told, empty="nothing is held")
        _warn_of_wrong_accounts(rows)

    return Answer(rows, tell)


def _warn_of_wrong_accounts(rows: Sequence[dict[str, Any]]) -> None:
    """Say what else may be behind an empty or a foreign feed, as long as its vehicles are still there."""
    open_ = [row for row in rows if row["status"] in ("pending", "approved") and row["applied_at"] is None]
    for column, name, words in (("reason", "empty_feed", EMPTY_FEED), ("kind", "foreign_feed", FOREIGN_FEED)):
        if ids := [row["dealership_id"] for row in open_ if row[column] == name]:
            number = ids[0] if len(ids) == 1 else "ID"
            say(f"{name}: {words}; before an approval: jobsync credentials test {number}")


@command("holds show 4", of=app, reads=True)
def show(connection: Connection, hold_id: HoldId) -> Answer:
    """Show one hold and its vehicles."""
    row = registry.show_hold(connection, hold_id)

    def tell() -> None:
        say(HELD[row["kind"]].told(len(row["stock_numbers"])))
        words = _WORDS if row["status"] == "approved" else {**_WORDS, "applied_at": "done with"}
        print_facts({words.get(name, name): value for name, value in row.items() if name not in ("vehicles", "vins")})
        _warn_of_wrong_accounts([row])
        print_table(["stock_number", "title", "price", "status"], row["vehicles"], title=_TITLES.get(row["kind"]))

    return Answer(row, tell)


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


@command("holds approve 4", of=app)
def approve(connection: Connection, hold_id: HoldId) -> Answer:
    """Let it through at the next sync, as far as the feed still says so; until then reject takes it back."""
    return _decide(connection, hold_id, "approved", back="reject")


@command("holds reject 4", of=app)
def reject(connection: Connection, hold_id: HoldId) -> Answer:
    """Keep things as they are; nobody is asked again until the set changes, and until then approve takes it back."""
    return _decide(connection, hold_id, "rejected", back="approve")


def _decide(connection: Connection, hold_id: int, decision: str, *, back: str) -> Answer:
    row = registry.decide_hold(connection, hold_id, decision)
    kind, vehicles = HELD[row["kind"]], many(len(row["stock_numbers"]), "vehicle")
    return said(
        row,
        f"hold {hold_id} ({row['kind']}) {decision} ({row['name']}, {vehicles}):"
        f" {kind.approved if decision == 'approved' else kind.rejected}; until then: jobsync holds {back} {hold_id}",
    )
