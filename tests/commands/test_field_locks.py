"""Fields of vehicles that a person corrected and locked."""

# Expected stands before actual.

from __future__ import annotations

import pytest

from tests.commands.support import Add, Cli, Feed, Rows, car, cars


def test_locked_fields_are_shown_without_a_field(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """Commas are as good as blanks; a look writes nothing, not even an audit row."""
    add("Northside", "N")
    feed.answers["N"] = cars("A")
    cli("stock-sync")
    none = cli("stock", "lock", "1", "A")
    locked = cli("stock", "lock", "1", "A", "price,description", "title,", "--json")
    before = rows("SELECT count(*) FROM audit"), rows("SELECT content_hash, updated_at FROM vehicles")
    seen = cli("stock", "lock", "1", "A", "--json")

    assert "A: locked fields: none\n" == none.out
    assert (0, ["description", "price", "title"]) == (locked.code, locked.json["locked_fields"])
    assert (0, locked.json) == (seen.code, seen.json)
    assert before == (rows("SELECT count(*) FROM audit"), rows("SELECT content_hash, updated_at FROM vehicles"))
    assert [("stock.lock",)] == rows("SELECT action FROM audit WHERE action LIKE 'stock%'")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lock", "1", "A", "prize"], "no field prize; the fields are"),
        (["lock", "1", "A", ","], "no field was named; the fields are"),
        (["lock", "1", "Z"], "has no vehicle Z"),
        (["lock", "9", "A"], "no dealership 9"),
    ],
)
def test_locks_that_cannot_be_are_refused(words: list[str], told: str, cli: Cli, feed: Feed, add: Add) -> None:
    """Exit 2, and the fields that there are."""
    add("Northside", "N")
    feed.answers["N"] = cars("A")
    cli("stock-sync")

    ran = cli("stock", *words, "--json")

    assert 2 == ran.code
    assert told in ran.json["error"]


def test_an_unlocked_correction_stays_until_the_item_changes(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """As operations.md says: not compared while the feed repeats itself; `unlock` brings the feed's value at once."""
    add("Northside", "N")
    feed.answers["N"] = cars("A")
    cli("stock-sync")
    prices = []
    for step in (["unlock", "1", "A", "price"], None):
        rows("UPDATE vehicles SET price = 1 RETURNING 1")
        cli("stock-sync")
        prices += rows("SELECT price FROM vehicles")
        if step:
            cli("stock", *step)
        else:
            feed.answers["N"] = [car("A", Colour="red")]
        cli("stock-sync")
        prices += rows("SELECT price FROM vehicles")

    assert [(1,), (20000,)] * 2 == prices
