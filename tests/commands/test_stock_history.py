"""The history of a vehicle, and refused items with reason and text."""

# Expected stands before actual.

from __future__ import annotations

from tests.commands.support import Add, Cli, Feed, car

# --- stock -----------------------------------------------------------------------------------------------------------


def test_the_history_of_a_vehicle(cli: Cli, feed: Feed, add: Add) -> None:
    """Newest first, decimals in plain form, one stock number only where asked."""
    number = str(add("Northside", "N"))
    feed.answers["N"] = [car("A", Price=20000), car("A_", Price=1), car("AB", Price=1)]
    cli("stock-sync")
    feed.answers["N"] = [car("A", Price="19990.50"), car("A_", Price=2), car("AB", Price=2)]
    cli("stock-sync")
    feed.answers["N"] = [car("A_", Price=2), car("AB", Price=2)]
    cli("stock-sync")

    everything = cli("stock", "history", number, "--json").json
    one = cli("stock", "history", number, "--stock-number", "A", "--json").json
    underscore = cli("stock", "history", number, "--stock-number", "A_", "--json").json

    assert 4 == len(everything)
    assert [("status", "active", "removed"), ("price", "20000", "19990.50")] == [
        (row["field"], row["old"], row["new"]) for row in one
    ]
    assert ["A_"] == [row["stock_number"] for row in underscore]
    assert 1 == len(cli("stock", "history", number, "--limit", "1", "--json").json)
    assert "19990.50" in cli("stock", "history", number).out


def test_refused_items_are_shown_with_reason_and_text(cli: Cli, feed: Feed, add: Add) -> None:
    """All dealerships, or one."""
    north, south = add("Northside", "N"), add("Southside", "S")
    feed.answers = {"N": [7], "S": [car(None, Make="Lada")]}
    cli("stock-sync")

    everything = cli("stock", "refused", "--json").json
    [row] = cli("stock", "refused", str(south), "--json").json

    assert {north, south} == {row["dealership_id"] for row in everything}
    assert ("no_stock_number", 1, None) == (row["reason_code"], row["position"], row["stock_number"])
    assert "Lada" in row["raw"]
