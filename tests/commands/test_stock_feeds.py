"""Every odd answer of the vendor: what becomes of the stock, and where the reason can be read."""

# Expected stands before actual.

from __future__ import annotations

import json
import threading
from typing import Any

import psycopg
import pytest

from tests.commands.support import Add, Cli, Feed, Ran, Rows, car, cars, envelope, until

REFUSED_TOKEN = b'{"Token": null, "Code": 1, "ErrorMessage": "Authentication failed."}'


def only_item(ran: Ran) -> Any:
    """Return the one item of a run."""
    [item] = ran.json["items"]
    return item


def listed(rows: Rows) -> list[tuple[Any, ...]]:
    """Return stock numbers and status of all vehicles."""
    return rows("SELECT stock_number, status FROM vehicles ORDER BY stock_number")


# --- answers that are no feed ----------------------------------------------------------------------------------------

NO_FEED = {
    "wrong account pair": (envelope(1, message="Invalid account"), 1, "credentials_account", "Invalid account"),
    "code 7": (envelope(7, message="Try later"), 1, "vendor_failed", "Code 7"),
    "code 9": (envelope(9, message="Boom"), 1, "vendor_error", "Code 9"),
    "html with 200": (b"<!DOCTYPE html><h1>Request blocked</h1>", 69, "html", "web page"),
    "truncated": (envelope(0, stock=cars("A"))[:-40], 69, "unreadable", "cut off"),
    "empty body": (b"", 69, "empty_answer", "empty"),
    "null list": (envelope(0, stock=None), 1, "no_list", "StockList is null"),
    "no code": (b'{"StockList": []}', 69, "unreadable", "no Code"),
    "a list": (b"[]", 69, "unreadable", "not JSON"),
}


@pytest.mark.parametrize("name", NO_FEED)
def test_an_answer_that_is_no_feed_changes_no_vehicle_and_says_why_everywhere(
    name: str, cli: Cli, feed: Feed, add: Add, rows: Rows
) -> None:
    """The stock stays, and the same reason stands on screen, in the item's row and in the sync log."""
    body, code, reason, words = NO_FEED[name]
    dealership = add("Northside", "N")
    feed.answers["N"] = cars("A", "B")
    assert cli("stock-sync").code == 0
    before = rows("SELECT * FROM vehicles ORDER BY id")
    feed.answers["N"] = body

    ran = cli("stock-sync", "--json")

    item = only_item(ran)
    assert (code, "failed", reason) == (ran.code, item["status"], item["reason"])
    assert words in item["error"]
    assert before == rows("SELECT * FROM vehicles ORDER BY id")
    [(error,)] = rows("SELECT error FROM job_items ORDER BY id DESC LIMIT 1")
    assert item["error"] == error
    [(status, errors)] = rows("SELECT status, error_messages FROM easycar_sync_logs ORDER BY id DESC LIMIT 1")
    assert ("Failed", [item["error"]]) == (status, errors)
    assert [("failed", code)] == rows("SELECT status, exit_code FROM job_runs ORDER BY started_at DESC LIMIT 1")
    assert words in cli("stock-sync").out
    assert words in cli("dealership", "show", str(dealership)).out


def test_a_wrong_client_pair_is_named_as_such(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """The token is refused: the message names ClientID and ClientSecret, and no stock request is made."""
    add("Northside", "N", client_id="wrong-client")
    feed.tokens["wrong-client"] = REFUSED_TOKEN

    ran = cli("stock-sync", "--json")

    assert 1 == ran.code
    assert "credentials_client" == only_item(ran)["reason"]
    assert "ClientID, ClientSecret" in only_item(ran)["error"]
    assert [] == feed.asked
    assert [("Failed",)] == rows("SELECT status FROM easycar_sync_logs")


def test_one_wrong_client_pair_leaves_the_other_dealerships_alone(cli: Cli, feed: Feed, add: Add) -> None:
    """A refused client costs its own dealership, not the run."""
    add("Wrong", "W", client_id="wrong-client")
    add("Right", "R")
    feed.tokens["wrong-client"] = REFUSED_TOKEN
    feed.answers["R"] = cars("A")

    ran = cli("stock-sync", "--json")

    assert 3 == ran.code
    assert "partial" == ran.json["status"]
    assert {"Wrong": "failed", "Right": "success"} == {item["name"]: item["status"] for item in ran.json["items"]}


def test_a_system_error_is_tried_again(cli: Cli, feed: Feed, add: Add) -> None:
    """Code 9 once, then a feed: the item is a success."""
    add("Northside", "N")
    answers = iter([envelope(9, message="busy"), envelope(0, stock=cars("A"))])
    feed.answers["N"] = lambda: next(answers)

    ran = cli("stock-sync", "--json")

    assert (0, 1) == (ran.code, only_item(ran)["created"])


def test_a_refused_token_is_renewed_once(cli: Cli, feed: Feed, add: Add) -> None:
    """Code 1 to the stock request with a good account: one fresh token, then the feed."""
    add("Northside", "N")
    answers = iter([envelope(1, message="token expired"), envelope(0, stock=cars("A"))])
    feed.answers["N"] = lambda: next(answers)

    ran = cli("stock-sync", "--json")

    assert (0, 1) == (ran.code, only_item(ran)["created"])
    assert ["N", "N"] == feed.asked


def test_a_warning_applies_but_removes_nothing(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """Code 5: the items count, what is missing stays, the item is partial and exit is 3."""
    add("Northside", "N")
    feed.answers["N"] = cars("A", "B")
    cli("stock-sync")
    feed.answers["N"] = envelope(5, stock=[car("A", Price=1), car("C")], message="some yards failed")

    ran = cli("stock-sync", "--json")

    item = only_item(ran)
    assert (3, "partial", "vendor_warning") == (ran.code, item["status"], item["reason"])
    assert (1, 1, 0) == (item["created"], item["updated"], item["removed"])
    assert [("A", "active"), ("B", "active"), ("C", "active")] == listed(rows)
    assert [("PartialSuccess",)] == rows("SELECT status FROM easycar_sync_logs ORDER BY id DESC LIMIT 1")


def test_an_emptied_feed_is_held_however_few_vehicles_there_were(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """Two vehicles lie below the floor of five; an empty feed asks all the same."""
    add("Northside", "N")
    feed.answers["N"] = cars("A", "B")
    cli("stock-sync")
    feed.answers["N"] = []

    ran = cli("stock-sync", "--json")

    item = only_item(ran)
    assert (3, "held", "empty_feed", 2) == (ran.code, item["status"], item["reason"], item["held"])
    assert [("A", "active"), ("B", "active")] == listed(rows)
    assert [(["A", "B"], "pending")] == rows("SELECT stock_numbers, status FROM holds")
    assert [("Held", 2)] == rows("SELECT status, held FROM easycar_sync_logs ORDER BY id DESC LIMIT 1")
    [(succeeded, synced)] = rows("SELECT last_success_at, attempted_at FROM sync_schedule")
    assert succeeded < synced  # held is no success


def test_a_retry_of_a_dry_run_names_its_dealership(cli: Cli, feed: Feed, add: Add) -> None:
    """With several dealerships nobody could tell whose warning it is."""
    add("Fine", "A")
    number = add("Down", "B")
    feed.answers["A"] = cars("1")
    feed.answers["B"] = ("503 Busy", b"")
    ran = cli("stock-sync", "--dry-run")
    retries = [event for event in map(json.loads, ran.err.splitlines()) if event["event"] == "easycars.retry"]

    assert {number} == {event["dealership_id"] for event in retries}


def test_an_empty_first_feed_is_a_success_with_a_warning(cli: Cli, feed: Feed, add: Add) -> None:
    """Nothing was ever listed: perhaps the AccountSecret is wrong, and the item says so."""
    add("Northside", "N")
    feed.answers["N"] = []

    ran = cli("stock-sync", "--json")

    assert (0, "success") == (ran.code, only_item(ran)["status"])
    assert "wrong AccountSecret" in " ".join(only_item(ran)["warnings"])


# --- odd items -------------------------------------------------------------------------------------------------------


def test_conflicting_duplicates_are_refused_and_their_row_stays(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """Each copy counts as refused, the stored row is neither changed nor missing; identical copies are one."""
    dealership = add("Northside", "N")
    feed.answers["N"] = cars("A", "B")
    cli("stock-sync")
    feed.answers["N"] = [car("A", Price=1), car("A", Price=2), *cars("B", "B")]

    ran = cli("stock-sync", "--json")

    item = only_item(ran)
    assert (3, "partial", "refused_items") == (ran.code, item["status"], item["reason"])
    assert (2, 1, 0) == (item["refused"], item["unchanged"], item["removed"])
    assert [("A", 20000), ("B", 20000)] == rows("SELECT stock_number, price FROM vehicles ORDER BY 1")
    assert [("A", "conflicting_duplicate")] * 2 == rows("SELECT stock_number, reason_code FROM refused_items")
    assert [(3, 1, 2)] == rows(
        "SELECT items_processed, items_succeeded, items_failed FROM easycar_sync_logs ORDER BY id DESC LIMIT 1"
    )
    shown = cli("stock", "refused", str(dealership))
    assert "conflicting_duplicate" in shown.out


def test_numbers_as_strings_are_numbers(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """A lossless number in a string is a number, also in groups of three; what cannot be read is named."""
    add("Northside", "N")
    feed.answers["N"] = [car("A", Price="19990.50", YearGroup="2020", Odometer="12,000 km", DoorNum="four")]

    ran = cli("stock-sync", "--json")

    assert 0 == ran.code
    assert [("19990.50", 2020, 12000, None)] == rows("SELECT price::text, year, odometer, doors FROM vehicles")
    assert ["A: DoorNum: 'four' is not plainly a number; it counts as absent"] == only_item(ran)["warnings"]


def test_nan_costs_the_value_and_not_the_feed(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """NaN is no JSON: the tolerant reader takes over, the price is unknown, the neighbour is whole."""
    add("Northside", "N")
    body = json.dumps({"StockList": [car("A", Price=float("nan")), car("B")], "Code": 0}).encode()
    feed.answers["N"] = body

    ran = cli("stock-sync", "--json")

    assert (0, 2) == (ran.code, only_item(ran)["created"])
    assert [("A", None), ("B", 20000)] == rows("SELECT stock_number, price FROM vehicles ORDER BY 1")


@pytest.mark.parametrize(
    "text", [r"one\u0000two", r"one\ud800two", "one\x01two", "one\ufffftwo"], ids=["nul", "surrogate", "raw", "nonchar"]
)
def test_characters_that_cannot_be_stored_are_replaced(text: str, cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """NUL, lone surrogates and raw control characters cost neither the item nor the feed."""
    add("Northside", "N")
    body = json.dumps({"StockList": [car("A", AdvDescription="HERE", Other="HERE"), car("B")], "Code": 0})
    feed.answers["N"] = body.replace("HERE", text).encode()

    ran = cli("stock-sync", "--json")

    assert (0, 2) == (ran.code, only_item(ran)["created"])
    [(description,)] = rows("SELECT description FROM vehicles WHERE stock_number = 'A'")
    assert description.startswith("one")
    assert description.endswith("two")
    assert 0 == cli("stock-sync").code


def test_a_stock_number_with_nul_in_an_unreadable_item_costs_only_the_item(
    cli: Cli, feed: Feed, add: Add, rows: Rows
) -> None:
    """An item that cannot be kept is refused although even its stock number cannot be stored as it is."""
    add("Northside", "N")
    body = json.dumps({"StockList": [car("HERE", Price="BIG"), car("B")], "Code": 0})
    feed.answers["N"] = body.replace("HERE", r"A\u0000").replace('"BIG"', "1e999").encode()

    ran = cli("stock-sync", "--json")

    assert (3, "partial") == (ran.code, only_item(ran)["status"])
    assert (1, 1) == (only_item(ran)["created"], only_item(ran)["refused"])


def test_a_description_of_five_megabytes_is_kept_whole(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """A long text is a text."""
    add("Northside", "N")
    feed.answers["N"] = [car("A", AdvDescription="long " * 1_000_000 + "end")]

    ran = cli("stock-sync", "--json")

    assert (0, 1) == (ran.code, only_item(ran)["created"])
    assert [(5_000_003,)] == rows("SELECT length(description) FROM vehicles")
    assert len(cli("stock-sync").out) < 2000


def test_unknown_fields_are_kept_and_missing_ones_leave_what_is_there(
    cli: Cli, feed: Feed, add: Add, rows: Rows
) -> None:
    """A new key stands in the stored document; an absent key changes nothing; both are reported once."""
    add("Northside", "N")
    feed.answers["N"] = [car("A", Colour="Red")]
    cli("stock-sync")
    lacking = {key: value for key, value in car("A", BatteryKwh=64, Price=1).items() if key != "Colour"}
    feed.answers["N"] = [lacking]

    ran = cli("stock-sync", "--json")

    assert 0 == ran.code
    assert [("Red",)] == rows("SELECT colour FROM vehicles")
    assert [(64,)] == rows("SELECT stock_item_json->'BatteryKwh' FROM easycar_stock_data")
    warnings = " ".join(only_item(ran)["warnings"])
    assert "Colour (1)" in warnings
    assert "BatteryKwh (1)" in warnings


def test_one_vin_at_two_dealerships_is_two_vehicles(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """A VIN is a hint inside one dealership only; a removal at one does not touch the other."""
    add("Northside", "N")
    add("Southside", "S")
    vin = "JTDBR32E720012345"
    feed.answers["N"] = [car("A", VIN=vin), car("B")]
    feed.answers["S"] = [car("X", VIN=vin), car("Y")]
    cli("stock-sync")
    feed.answers["N"] = cars("B")

    ran = cli("stock-sync", "--json")

    assert 0 == ran.code
    assert [("A", "removed"), ("B", "active"), ("X", "active"), ("Y", "active")] == listed(rows)


def test_an_item_without_stock_number_is_refused_and_blocks_removals(
    cli: Cli, feed: Feed, add: Add, rows: Rows
) -> None:
    """It could be any of the missing ones."""
    add("Northside", "N")
    feed.answers["N"] = cars("A", "B")
    cli("stock-sync")
    feed.answers["N"] = [car(None), car("A"), 7, "text"]

    ran = cli("stock-sync", "--json")

    assert (3, "partial") == (ran.code, only_item(ran)["status"])
    assert (3, 1, 0) == tuple(only_item(ran)[name] for name in ("refused", "unchanged", "removed"))
    assert [("A", "active"), ("B", "active")] == listed(rows)
    assert [(1, "no_stock_number"), (3, "not_an_object"), (4, "not_an_object")] == rows(
        "SELECT position, reason_code FROM refused_items ORDER BY position"
    )


def test_the_numbers_of_an_item_add_up_to_what_was_received(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """created + updated + unchanged + revived + refused + skipped = received, with every kind present."""
    dealership = add("Northside", "N")
    feed.answers["N"] = cars("same", "change", "gone", "locked")
    cli("stock-sync")
    feed.answers["N"] = cars("same", "change", "locked")
    cli("stock-sync")
    rows(f"INSERT INTO vehicles (dealership_id, stock_number) VALUES ({dealership}, 'manual') RETURNING id")
    rows("UPDATE vehicles SET locked_fields = '{price}' WHERE stock_number = 'locked' RETURNING id")
    feed.answers["N"] = [
        *cars("same", "gone", "manual", "new"),
        car("change", Price=1),
        car("locked", Price=1),
        car(None),
    ]

    item = only_item(cli("stock-sync", "--json"))

    expected = {"created": 1, "updated": 1, "unchanged": 1, "revived": 1, "refused": 1, "skipped": 2}
    assert expected == {name: item[name] for name in expected}
    assert [(7, 6, 1)] == rows(
        "SELECT items_processed, items_succeeded, items_failed FROM easycar_sync_logs ORDER BY id DESC LIMIT 1"
    )


# --- warnings --------------------------------------------------------------------------------------------------------


def test_an_empty_feed_with_nothing_listed_is_seen_the_next_morning(cli: Cli, feed: Feed, add: Add) -> None:
    """A wrong account of a new dealership is a success with a warning: no alarm, yet no screen calls it fine."""
    dealership = add("Northside", "N")
    add("Southside", "S")
    feed.answers |= {"N": [], "S": cars("A")}

    run = cli("stock-sync", "--json").json["run_id"]

    warning = (
        "the feed is empty and nothing is listed: nothing published yet, or a wrong AccountSecret or AccountNumber;"
        f" jobsync credentials test {dealership}"
    )
    assert f"Northside: {warning}" in cli("runs", "show", run).out
    [item] = [item for item in cli("runs", "show", run, "--json").json["items"] if item["label"] == "Northside"]
    assert item["warnings"][0].startswith(warning)
    assert warning in cli("dealership", "show", str(dealership)).out
    assert [1, 0] == [row["last_warnings"] for row in cli("dealership", "list", "--json").json]
    assert "last_warnings" in cli("dealership", "list").out
    screen = cli("status").out
    assert "dealerships  2: 1 warned, 1 fine\n" in screen
    assert "do     jobsync credentials test 1\n" in screen
    health = cli("health")
    assert 0 == health.code
    assert "1 dealership went well with a warning" in health.out


def test_an_empty_feed_that_fills_is_fine(cli: Cli, feed: Feed, add: Add) -> None:
    """Warnings are those of the last sync."""
    dealership = add("Northside", "N")
    feed.answers["N"] = []
    cli("stock-sync")
    feed.answers["N"] = cars("A")
    cli("stock-sync")

    assert "dealerships  1: 1 fine\n" in cli("status").out
    assert "warnings of the last sync" not in cli("dealership", "show", str(dealership)).out


def test_vehicles_kept_by_a_rejection_are_seen_the_next_morning(cli: Cli, feed: Feed, add: Add) -> None:
    """They stay listed though the feed does not have them, until they are back or another set is missing."""
    dealership = add("Northside", "N")
    feed.answers["N"] = cars(*"ABCDEFGHIJ")
    cli("stock-sync")
    feed.answers["N"] = cars(*"ABCD")
    cli("stock-sync")
    cli("holds", "reject", "1")

    run = cli("stock-sync", "--json").json["run_id"]

    warning = "6 missing vehicles stay listed: their removal was rejected"
    assert f"Northside: {warning}" in cli("runs", "show", run).out
    assert warning in cli("dealership", "show", str(dealership)).out
    screen = cli("status").out
    assert "dealerships  1: 1 warned\n" in screen
    assert "6 missing vehicles stay listed: removal rejected\n" in screen
    assert "do     jobsync holds show 1\n" in screen
    feed.answers["N"] = cars(*"ABCDEFGHIJ")
    cli("stock-sync")
    assert "dealerships  1: 1 fine\n" in cli("status").out


def test_a_price_that_no_database_holds_costs_its_own_vehicle_in_a_dry_run_and_a_run(
    cli: Cli, feed: Feed, add: Add, rows: Rows
) -> None:
    """17,000 decimals, as text or as a number: that item is refused, and the dry run says so beforehand."""
    add("Northside", "N")
    number = "1." + "0" * 17_000
    stock = json.dumps([*cars("A", "B"), car("text", Price=number), car("number", GPS="@")]).replace('"@"', number)
    feed.answers["N"] = b'{"Code": 0, "StockList": ' + stock.encode() + b"}"

    dry = cli("stock-sync", "--dry-run", "--json")
    ran = cli("stock-sync", "--json")

    for shown in (dry, ran):
        assert 3 == shown.code
        assert (2, 2, "refused_items") == tuple(only_item(shown)[name] for name in ("created", "refused", "reason"))
    assert [("A", "active"), ("B", "active")] == listed(rows)


def test_a_vehicle_deleted_while_its_removal_is_planned(
    cli: Cli, feed: Feed, add: Add, rows: Rows, database_url: str
) -> None:
    """The host application deletes one of two that are gone: the sync waits, plans again and removes the other."""
    add("Northside", "N")
    feed.answers["N"] = cars("A", "B", "C", "D")
    cli("stock-sync")
    feed.answers["N"] = [*cars("A"), car("B", Price=1), *cars("new")]
    with psycopg.connect(database_url) as host, psycopg.connect(database_url, autocommit=True) as watch:
        host.execute("DELETE FROM vehicles WHERE stock_number = 'C'")

        def commit_once_waited_for() -> None:
            until(lambda: watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
            host.commit()

        thread = threading.Thread(target=commit_once_waited_for)
        thread.start()
        ran = cli("stock-sync", "--json")
        thread.join()

    assert 0 == ran.code
    assert (1, 1, 1) == tuple(only_item(ran)[name] for name in ("created", "updated", "removed"))
    assert [("A", "active"), ("B", "active"), ("D", "removed"), ("new", "active")] == listed(rows)


def test_an_approved_removal_under_a_warning_is_told_as_such(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """What a person approved goes though the vendor warned; the table does not say at once that nothing went."""
    dealership = add("Northside", "N")
    feed.answers["N"] = cars("A", "B")
    cli("stock-sync")
    rows(
        "INSERT INTO holds (dealership_id, stock_numbers, reason, status)"
        f" VALUES ({dealership}, '{{A}}', 'blocked_vendor_warning', 'approved') RETURNING id"
    )
    feed.answers["N"] = envelope(5, stock=cars("B"))
    ran = cli("stock-sync")
    feed.answers["N"] = envelope(5, stock=cars("B", "C"))
    then = cli("stock-sync")

    assert [("A", "removed"), ("B", "active"), ("C", "active")] == listed(rows)
    assert "the vendor warned (Code 5): nothing was removed but what was approved" in " ".join(ran.out.split())
    assert "nothing was removed but" not in " ".join(then.out.split())
    assert "the vendor warned (Code 5): nothing was removed" in " ".join(then.out.split())


def test_a_yard_code_stored_with_blanks_is_that_yard(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """Blanks around a yard code, or instead of one, are trimmed as an item's are."""
    add("Northside", "N", yard_code="Y1")
    feed.answers["N"] = [car("A", YardCode="Y1")]
    rows("UPDATE easycar_credentials SET yard_code = ' Y1 ' RETURNING id")

    ran = cli("stock-sync", "--json")

    assert (0, 1) == (ran.code, only_item(ran)["created"])
    rows("UPDATE easycar_credentials SET yard_code = '  ' RETURNING id")
    feed.answers["N"] = [car("A", YardCode="Y2")]

    assert (0, 1) == (cli("stock-sync").code, len(rows("SELECT 1 FROM vehicles WHERE yard_code = 'Y2'")))
