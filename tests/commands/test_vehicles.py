"""What people do to vehicles and see of them: keeping some off, what changed anywhere, foreign feeds, status words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.commands.support import Add, Cli, Feed, Ran, Rows, car, cars


@pytest.fixture
def lot(cli: Cli, feed: Feed, add: Add) -> Cli:
    """A dealership with four vehicles."""
    add("Northside", "N")
    feed.answers["N"] = cars("A1", "A2", "A3", "A4")
    assert 0 == cli("stock-sync").code
    return cli


def item_of(ran: Ran) -> dict[str, Any]:
    """Return the one dealership's result."""
    [item] = ran.json["items"]
    found: dict[str, Any] = item
    return found


def status_of(rows: Rows, number: str) -> Any:
    """A vehicle's status, and who keeps it off."""
    [found] = rows(f"SELECT status, excluded_by FROM vehicles WHERE stock_number = '{number}'")
    return found


# --- keeping vehicles off --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["A2", " a2 ", "A2\u200b"])
def test_an_excluded_vehicle_stays_out_until_it_is_included(lot: Cli, feed: Feed, rows: Rows, spelling: str) -> None:
    """Whatever the feed says, under any spelling; the item is skipped, and named with the reason."""
    excluded = lot("stock", "exclude", "1", spelling, "--reason", "damaged", "--json")
    feed.answers["N"] = [car("A2", Price=1), *cars("A1", "A3", "A4")]
    ran = lot("stock-sync", "--json")

    assert (0, "A2", "excluded") == (excluded.code, excluded.json["stock_number"], excluded.json["status"])
    assert (0, 1, 3) == (ran.code, item_of(ran)["skipped"], item_of(ran)["unchanged"])
    assert any("A2" in warning and "excluded" in warning for warning in item_of(ran)["warnings"])
    assert ("excluded", "person") == status_of(rows, "A2")

    included = lot("stock", "include", "1", spelling, "--json")
    again = lot("stock-sync", "--json")

    assert (0, "active") == (included.code, included.json["status"])
    assert (1, 3) == (item_of(again)["updated"], item_of(again)["unchanged"])
    assert ("active", None) == status_of(rows, "A2")
    assert [("damaged",)] == rows("SELECT details->>'reason' FROM audit WHERE action = 'stock.exclude'")


def test_an_excluded_vehicle_stays_out_over_vanishing_and_coming_back(lot: Cli, feed: Feed, rows: Rows) -> None:
    """It is not removed, and not revived; included, it is listed when the feed names it."""
    lot("stock", "exclude", "1", "A2")
    feed.answers["N"] = cars("A1", "A3", "A4")
    gone = item_of(lot("stock-sync", "--json"))
    assert (0, 0) == (gone["removed"], gone["held"])
    assert ("excluded", "person") == status_of(rows, "A2")

    feed.answers["N"] = cars("A1", "A2", "A3", "A4")
    assert 1 == item_of(lot("stock-sync", "--json"))["skipped"]
    assert ("excluded", "person") == status_of(rows, "A2")


def test_a_vehicle_that_is_gone_by_now_does_not_come_back_by_being_included(lot: Cli, feed: Feed, rows: Rows) -> None:
    """It is removed, as if it had not been excluded, and revived with the feed."""
    lot("stock", "exclude", "1", "A2")
    feed.answers["N"] = cars("A1", "A3", "A4")
    lot("stock-sync")
    lot("stock", "include", "1", "A2")
    assert ("removed", None) == status_of(rows, "A2")

    feed.answers["N"] = cars("A1", "A2", "A3", "A4")
    assert 1 == item_of(lot("stock-sync", "--json"))["revived"]


def test_a_vehicle_sold_here_is_sold_again_when_it_is_included(lot: Cli, rows: Rows) -> None:
    """Being excluded in between does not put it up for sale."""
    rows("UPDATE vehicles SET status = 'sold' WHERE stock_number = 'A2' RETURNING 1")
    lot("stock", "exclude", "1", "A2")
    lot("stock-sync")
    lot("stock", "include", "1", "A2")
    lot("stock-sync")

    assert ("sold", None) == status_of(rows, "A2")


def test_history_is_found_under_any_spelling(lot: Cli) -> None:
    """An exclusion is a line of it."""
    lot("stock", "exclude", "1", "A2")

    assert ["excluded"] == [row["new"] for row in lot("stock", "history", "1", "--stock-number", " a2", "--json").json]


def test_an_exclusion_by_sql_is_a_persons(lot: Cli, feed: Feed, rows: Rows) -> None:
    """The host application's own button; it ends with include, and the next sync lists the vehicle."""
    rows("UPDATE vehicles SET status = 'excluded' WHERE stock_number = 'A2' RETURNING 1")
    feed.answers["N"] = [car("A2", Price=1), *cars("A1", "A3", "A4")]
    lot("stock-sync")
    assert ("excluded", None) == status_of(rows, "A2")

    lot("stock", "include", "1", "A2")
    lot("stock-sync")
    assert ("active", None) == status_of(rows, "A2")


@pytest.mark.parametrize("command", ["exclude", "include"])
def test_an_unknown_vehicle_or_dealership_is_refused(lot: Cli, command: str) -> None:
    """Exit 2 with what is missing."""
    ran = lot("stock", command, "1", "B9")
    assert (2, True) == (ran.code, "no vehicle B9" in ran.err)
    assert 2 == lot("stock", command, "9", "A1").code


def test_only_what_a_person_excluded_can_be_included(lot: Cli, rows: Rows) -> None:
    """Of what a status word excludes the map is to be changed; what is listed needs no including."""
    listed = lot("stock", "include", "1", "A1")
    assert (2, True) == (listed.code, "not excluded" in listed.err)
    lot("settings", "set", "easycar_status_map", "active=excluded, in stock=excluded")
    rows("UPDATE system_settings SET value = '99' WHERE key = 'easycar_removal_limit_floor' RETURNING 1")
    lot("stock-sync")
    assert ("excluded", "map") == status_of(rows, "A1")

    ran = lot("stock", "include", "1", "A1")
    assert (2, True) == (ran.code, "easycar_status_map" in ran.err)


def test_what_a_status_word_excludes_comes_back_with_another_word_or_map(lot: Cli, feed: Feed, rows: Rows) -> None:
    """Unlike what a person excludes; an exclusion by a person outlives the map."""
    feed.answers["N"] = [car("A1", StockStatus="Wholesaled"), car("A2", StockStatus="Wholesaled"), *cars("A3", "A4")]
    lot("settings", "set", "easycar_status_map", "wholesaled = excluded")
    lot("stock-sync")
    lot("stock", "exclude", "1", "A2")
    assert [("excluded", "map"), ("excluded", "person")] == [status_of(rows, number) for number in ("A1", "A2")]

    lot("settings", "set", "easycar_status_map", "")
    lot("stock-sync")
    assert [("active", None), ("excluded", "person")] == [status_of(rows, number) for number in ("A1", "A2")]


# --- the map ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("easycar_status_map", "wholesaled"),
        ("easycar_status_map", "wholesaled=gone"),
        ("easycar_status_map", "=sold"),
        ("easycar_status_map", "a=sold,,b=sold"),
        ("easycar_status_map", "a=sold, A =active"),
        ("easycar_retry_minutes", "soon"),
        ("easycar_retry_minutes", ""),
        ("easycar_retry_minutes", "5,,15"),
        ("easycar_retry_minutes", "15,5"),
        ("easycar_retry_minutes", "0,5"),
        ("easycar_retry_minutes", "5,1441"),
        ("easycar_retry_minutes", "5.5"),
    ],
)
def test_what_no_sync_could_use_is_refused(lot: Cli, key: str, value: str) -> None:
    """Exit 2, with what is expected and an example that works."""
    ran = lot("settings", "set", key, value)
    _, _, example = ran.err.partition("for example: ")

    assert (2, True) == (ran.code, bool(example))
    assert 0 == lot("settings", "set", key, example.strip().split('"')[0].rstrip(")")).code


def test_a_bad_map_by_sql_leaves_the_last_good_one(lot: Cli, feed: Feed, rows: Rows) -> None:
    """It is reported, and nothing changes its meaning."""
    feed.answers["N"] = [car("A1", StockStatus="Wholesaled"), *cars("A2", "A3", "A4")]
    lot("settings", "set", "easycar_status_map", "wholesaled=excluded")
    lot("stock-sync")
    rows("UPDATE system_settings SET value = 'nonsense' WHERE key = 'easycar_status_map' RETURNING 1")
    ran = lot("stock-sync", "--json")

    assert ("excluded", "map") == status_of(rows, "A1")
    assert "easycar_status_map" in ran.err
    assert "easycar_status_map" in lot("health").out


def test_retries_follow_the_setting(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """Minutes after the slot began."""
    add("Northside", "N")
    cli("settings", "set", "easycar_retry_minutes", "7, 70")
    assert [("7,70",)] == rows("SELECT value FROM system_settings WHERE key = 'easycar_retry_minutes'")
    feed.answers["N"] = b"<html>maintenance</html>"
    cli("stock-sync", "--scheduled")
    rows("UPDATE sync_schedule SET next_at = now() RETURNING 1")
    cli("stock-sync", "--scheduled")

    [(minutes,)] = rows("SELECT extract(epoch FROM retry_at - slot_started_at)::int / 60 FROM sync_schedule")
    assert 7 == minutes


# --- what changed ----------------------------------------------------------------------------------------------------


def test_changes_of_all_dealerships_by_run_by_time_and_by_dealership(lot: Cli, feed: Feed, add: Add) -> None:
    """Each line says where, what, from what to what, when and by which run."""
    add("Southside", "S")
    feed.answers["S"] = cars("B1")
    lot("stock-sync")
    feed.answers |= {"N": [car("A1", Price=1), *cars("A2", "A3", "A4")], "S": [car("B1", Price=2)]}
    run = lot("stock-sync", "--json").json["run_id"]
    feed.answers["N"] = [car("A1", Price=3), *cars("A2", "A3", "A4")]
    lot("stock-sync")

    def changed(*options: str) -> list[tuple[Any, ...]]:
        found = lot("stock", "changes", "--json", *options).json
        assert found == sorted(found, key=lambda row: str(row["changed_at"]), reverse=True)
        return sorted((row["dealership_id"], row["stock_number"], row["field"], row["new"]) for row in found)

    assert [(1, "A1", "price", "1"), (1, "A1", "price", "3"), (2, "B1", "price", "2")] == changed()
    assert [(1, "A1", "price", "1"), (2, "B1", "price", "2")] == changed("--run", run)
    assert [(2, "B1", "price", "2")] == changed("--run", run[:8], "--dealership", "2")
    assert 3 == len(changed("--since", "1h"))
    assert [] == changed("--since", "2999-01-01")
    keys = {"dealership_id", "stock_number", "field", "old", "new", "changed_at", "run_id"}
    assert keys <= lot("stock", "changes", "--json").json[0].keys()
    assert "Southside" in lot("stock", "changes").out


@pytest.mark.parametrize("options", [("--run", "ffffffff"), ("--since", "lately"), ("--dealership", "9")])
def test_changes_of_what_does_not_exist(lot: Cli, options: tuple[str, str]) -> None:
    """Exit 2."""
    assert 2 == lot("stock", "changes", *options).code


# --- foreign feeds and shared accounts -------------------------------------------------------------------------------


def test_a_foreign_feed_is_asked_about_in_its_own_words(lot: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """Every screen names the account as what may be wrong; the other dealership's vehicles are shown."""
    add("Southside", "S")
    feed.answers["S"] = [car(f"B{n}", VIN=f"6T1BF3FK00X00000{n}") for n in range(1, 5)]
    lot("stock-sync")
    feed.answers["N"] = feed.answers["S"]

    for command in (
        ["stock-sync", "--dry-run"],
        ["stock-sync"],
        ["holds", "list"],
        ["holds", "show", "1"],
        ["status"],
        ["health"],
    ):
        said = lot(*command).out
        assert "not this dealership's stock" in said, command
        assert "jobsync credentials test 1" in said, command
    assert ["B1", "B2", "B3", "B4"] == [
        row["stock_number"] for row in lot("holds", "show", "1", "--json").json["vehicles"]
    ]
    assert [(4,)] == rows("SELECT count(*) FROM vehicles WHERE dealership_id = 1")

    lot("holds", "approve", "1")
    item = item_of(lot("stock-sync", "--dealership", "1", "--json"))
    assert ("success", 4, 4) == (item["status"], item["created"], item["removed"])


@pytest.mark.parametrize(
    ("kind", "keys", "word"),
    [
        ("sold", {"StockStatus": "Sold"}, "12 changes to sold"),
        ("prices", {"Price": None}, "12 price changes"),
        ("pictures", {"ImageURLs": ""}, "12 losses of all pictures"),
        ("descriptions", {"AdvDescription": ""}, "12 losses of the description"),
    ],
)
def test_each_kind_is_told_in_its_own_words(
    cli: Cli, feed: Feed, add: Add, kind: str, keys: dict[str, Any], word: str
) -> None:
    """What was held, how many, and commands that work as they stand."""
    add("Northside", "N")
    told = {"Price": 9000, "ImageURLs": "http://x/1.jpg", "AdvDescription": "as new"}
    feed.answers["N"] = [car(f"A{n}", **told) for n in range(12)]
    cli("stock-sync")
    feed.answers["N"] = [car(f"A{n}", **{**told, **keys}) for n in range(12)]
    assert 3 == cli("stock-sync").code

    for command in (["holds", "show", "1"], ["status"], ["health"]):
        assert word in cli(*command).out, command
    assert kind in cli("holds", "list").out
    assert "jobsync holds approve" in cli("status").out
    rejected = cli("holds", "reject", "1")
    assert (0, True) == (rejected.code, "jobsync holds approve 1" in rejected.out)
    assert 0 == cli("stock-sync").code
    assert word.replace("12 ", "") in cli("status").out


def test_the_old_name_of_the_command_works(lot: Cli) -> None:
    """Scripts may have it; no help shows it."""
    ran = lot("removals", "list", "--json")
    assert (0, []) == (ran.code, ran.json)
    assert " removals " not in lot("--help").out


def test_a_shared_account_is_named(cli: Cli, feed: Feed, add: Add) -> None:
    """By credentials test and doctor; another yard, or an inactive one, is none."""
    add("Northside", "N")
    add("Southside", "N")
    add("Westside", "N", yard_code="7")
    add("Eastside", "E")
    feed.answers |= {"N": cars("A1"), "E": cars("E1")}

    told = cli("credentials", "test", "1")
    assert (0, True) == (told.code, "dealership 2 Southside" in told.out)
    assert "Westside" not in told.out
    shared = cli("credentials", "test", "2", "--json").json["shared_with"]
    assert [{"dealership_id": 1, "name": "Northside"}] == shared
    assert "shared_with" not in cli("credentials", "test", "4", "--json").json
    assert "1 Northside, 2 Southside have the same client, account and yard" in cli("doctor", "--offline").out


# --- a week ----------------------------------------------------------------------------------------------------------


def test_a_drain_is_seen_from_the_log_of_the_week(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """The database tells what was there when the week began and what went since; an approval begins a new week."""
    add("Northside", "N")
    held = []
    for last in (40, 31, 24):
        feed.answers["N"] = [car(f"A{n}") for n in range(last)]
        item = item_of(cli("stock-sync", "--json"))
        held.append((item["removed"], item["held"], item.get("reason")))
    assert [(0, 0, None), (9, 0, None), (0, 7, "drain")] == held
    assert [(0, 0), (40, 40), (31, 31)] == rows("SELECT listed, advertised FROM easycar_sync_logs ORDER BY id")

    cli("holds", "approve", "1")
    assert 7 == item_of(cli("stock-sync", "--json"))["removed"]
    feed.answers["N"] = [car(f"A{n}") for n in range(18)]
    item = item_of(cli("stock-sync", "--json"))
    assert (6, 0) == (item["removed"], item["held"])


def test_what_went_long_ago_is_no_drain(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """Seven days, by the database's clock."""
    add("Northside", "N")
    for last in (40, 31):
        feed.answers["N"] = [car(f"A{n}") for n in range(last)]
        cli("stock-sync")
    rows("UPDATE vehicles SET removed_at = removed_at - interval '8 days' WHERE removed_at IS NOT NULL RETURNING 1")
    rows(
        "UPDATE easycar_sync_logs SET started_at = started_at - interval '8 days',"
        " synced_at = synced_at - interval '8 days' RETURNING 1"
    )
    feed.answers["N"] = [car(f"A{n}") for n in range(24)]

    item = item_of(cli("stock-sync", "--json"))
    assert (7, 0) == (item["removed"], item["held"])
