"""Scheduled runs: the schedule lives in the database, and every change counts at the next tick."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync.cli.main import run
from jobsync.easycars.credentials import Cipher
from jobsync.easycars.job import lock_name
from jobsync.runner.lock import lock_key
from jobsync.wiring import Tools
from tests.commands.support import Add, Cli, Feed, Rows, contents
from tests.conftest import TEST_KEY

ITEM = {"StockNumber": "1", "Make": "MAZDA", "Model": "CX-5", "StockStatus": "In Stock"}
Clock = Callable[[int], None]
Connection = psycopg.Connection[tuple[object, ...]]
Tick = Callable[[], dict[str, str]]


@pytest.fixture
def clock(connection: Connection) -> Clock:
    """
    Move the database's clock ahead: every instant that schedules compare with it goes as far into the past.

    The next slot too, so it is half a day away, whatever the time of day of this test.
    """
    connection.execute(
        "UPDATE system_settings SET value = '0 ' || extract(hour FROM (now() + interval '12 h')"
        " AT TIME ZONE 'Australia/Sydney') || ' * * *' WHERE key = 'easycar_sync_cron'"
    )

    def ahead(minutes: int) -> None:
        columns = ("slot_at", "next_at", "retry_at", "slot_started_at", "attempted_at", "last_success_at")
        moved = ", ".join(f"{column} = {column} - interval '{minutes} min'" for column in columns)
        connection.execute(f"UPDATE sync_schedule SET {moved}".encode())

    return ahead


@pytest.fixture
def scheduled(cli: Cli, rows: Rows) -> Tick:
    """Run one tick; returns what happened to each dealership that was due, by name."""

    def scheduled() -> dict[str, str]:
        ran = cli("stock-sync", "--scheduled", "--json")
        return {item["name"]: item["status"] for item in ran.json["items"]}

    return scheduled


def due_now(connection: Connection) -> None:
    """Let every computed slot be now."""
    connection.execute("UPDATE sync_schedule SET next_at = now() - interval '1 s'")


def test_a_key_that_decrypts_nothing_uses_up_no_slot(
    cli: Cli, scheduled: Tick, add: Add, feed: Feed, rows: Rows, connection: Connection
) -> None:
    """A tick with another key ends with 78 before any attempt; with the right one the same slot is worked off."""
    for name in "AB":
        add(name, name)
        feed.answers[name] = [ITEM]
    scheduled()
    due_now(connection)

    wrong = cli("stock-sync", "--scheduled", "--json", JOBSYNC_ENCRYPTION_KEY="A" * 43 + "=")

    assert (78, True) == (wrong.code, "decrypts none of the stored credentials (2)" in wrong.json["error"])
    assert [(0,)] == rows("SELECT count(*) FROM job_runs")
    assert {"A": "success", "B": "success"} == scheduled()


def test_a_tick_under_a_wrong_clock_costs_one_night_at_most(
    cli: Cli, scheduled: Tick, add: Add, feed: Feed, rows: Rows, connection: Connection
) -> None:
    """Slots that were computed while the clock was years ahead are computed anew once it is right again, and told."""
    add("A", "A")
    feed.answers["A"] = [ITEM]
    scheduled()
    due_now(connection)
    scheduled()
    [(right,)] = rows("SELECT next_at FROM sync_schedule")
    columns = ("next_at", "slot_at", "slot_started_at", "attempted_at", "last_success_at")
    ahead = ", ".join(f"{column} = {column} + interval '10 years'" for column in columns)
    connection.execute(f"UPDATE sync_schedule SET {ahead}".encode())

    told = cli("stock-sync", "--scheduled")

    assert (0, True) == (told.code, "stock_sync.clock_was_ahead" in told.err)
    assert [(right, True)] == rows(
        "SELECT next_at, greatest(slot_at, slot_started_at, attempted_at, last_success_at) <= now() FROM sync_schedule"
    )
    assert "clock_was_ahead" not in cli("stock-sync", "--scheduled").err
    due_now(connection)
    assert {"A": "success"} == scheduled()


def test_what_was_synced_under_a_wrong_clock_is_synced_at_the_first_right_tick(
    cli: Cli, scheduled: Tick, add: Add, feed: Feed, rows: Rows, connection: Connection
) -> None:
    """400 days ahead for one tick: all that it left behind is past again, health has counted it, and once is enough."""
    add("A", "A")
    feed.answers["A"] = [ITEM]
    scheduled()
    due_now(connection)
    scheduled()
    columns = (
        "next_at",
        "slot_at",
        "slot_started_at",
        "attempted_at",
        "last_success_at",
        "computed_at",
        "first_seen_at",
    )
    ahead = ", ".join(f"{column} = {column} + interval '400 days'" for column in columns)
    connection.execute(f"UPDATE sync_schedule SET {ahead}".encode())
    counted = cli("health").out

    assert ("1 dealership, document or RIDE had the next time further ahead" in counted) is True
    assert [{"A": "success"}, {}] == [scheduled(), scheduled()]
    assert [(True,)] == rows(f"SELECT greatest({', '.join(columns)}) < now() + interval '26 hours' FROM sync_schedule")


def test_who_was_first_seen_under_a_wrong_clock_gets_its_slot(
    cli: Cli, scheduled: Tick, add: Add, rows: Rows, connection: Connection
) -> None:
    """Alone, so that nobody else's slot wakes the tick; and not before that slot."""
    add("A", "A")
    scheduled()
    [(right,)] = rows("SELECT next_at FROM sync_schedule")
    connection.execute(
        "UPDATE sync_schedule SET next_at = next_at + interval '400 days', computed_at = now() + interval '400 days',"
        " first_seen_at = now() + interval '400 days'"
    )

    assert {} == scheduled()
    assert [(right, True)] == rows("SELECT next_at, greatest(computed_at, first_seen_at) <= now() FROM sync_schedule")


def test_retry_set_by_a_wrong_clock_is_due(
    cli: Cli, scheduled: Tick, add: Add, feed: Feed, connection: Connection
) -> None:
    """No retry is set further ahead than a day."""
    add("A", "A")
    feed.answers["A"] = ("503 Service Unavailable", b"down")
    scheduled()
    due_now(connection)
    scheduled()
    connection.execute("UPDATE sync_schedule SET retry_at = retry_at + interval '400 days'")
    feed.answers["A"] = [ITEM]

    assert {"A": "success"} == scheduled()


def test_a_slot_in_the_far_future_is_corrected_by_the_next_run(
    scheduled: Tick, add: Add, feed: Feed, rows: Rows, connection: Connection
) -> None:
    """A dealership that was only seen under a wrong clock, never tried, gets its slot back with the others."""
    for name in "AB":
        add(name, name)
        feed.answers[name] = [ITEM]
    scheduled()
    [(right,)] = rows("SELECT max(next_at) FROM sync_schedule")
    connection.execute(
        "UPDATE sync_schedule SET next_at = CASE WHEN dealership_id = (SELECT min(id) FROM dealerships)"
        " THEN now() - interval '1 s' ELSE next_at + interval '10 years' END"
    )

    assert {"A": "success"} == scheduled()
    assert [(right,)] == rows("SELECT max(next_at) FROM sync_schedule")


def test_a_computed_schedule_that_somebody_broke_is_computed_anew(
    scheduled: Tick, add: Add, feed: Feed, rows: Rows, connection: Connection
) -> None:
    """Junk written into what a tick computed costs nobody a traceback."""
    add("A", "A")
    feed.answers["A"] = [ITEM]
    scheduled()
    due_now(connection)
    connection.execute("UPDATE sync_schedule SET cron = 'junk', timezone = 'Mars'")

    assert {"A": "success"} == scheduled()
    assert [("0 2 * * *", "Australia/Sydney")] == rows("SELECT cron, timezone FROM sync_schedule")


def test_a_new_dealership_s_unreadable_zone_leaves_that_of_the_settings(
    scheduled: Tick, add: Add, rows: Rows, connection: Connection
) -> None:
    """Without a last good one, what holds for all others holds: not UTC and two o'clock."""
    connection.execute("UPDATE system_settings SET value = '15 4 * * *' WHERE key = 'easycar_sync_cron'")
    connection.execute("UPDATE system_settings SET value = 'Australia/Perth' WHERE key = 'easycar_sync_timezone'")
    number = add("A", "A")
    connection.execute("UPDATE dealerships SET timezone = 'Sydney' WHERE id = %s", [number])

    scheduled()

    assert [("15 4 * * *", "Australia/Perth")] == rows("SELECT cron, timezone FROM sync_schedule")


def test_a_dealership_that_is_being_deleted_holds_nobody_up(
    cli: Cli, scheduled: Tick, add: Add, feed: Feed, database_url: str
) -> None:
    """The host application's open transaction neither stops the tick nor makes it fail; the others get their slots."""
    number, _ = add("A", "A"), add("B", "B")
    with psycopg.connect(database_url) as host:
        host.execute("DELETE FROM dealerships WHERE id = %s", [number])
        ran = cli("stock-sync", "--scheduled", "--json")
    with psycopg.connect(database_url) as connection:
        due_now(connection)
    feed.answers["B"] = [ITEM]

    assert (0, []) == (ran.code, ran.json["items"])
    assert {"B": "success"} == scheduled()


def test_a_locked_table_ends_a_tick_with_a_sentence(
    cli: Cli, add: Add, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody keeps locked makes a tick unavailable, not endless; a dry run too."""
    monkeypatch.setattr("jobsync.runner.lock.ROWS_WITHIN_S", 0.3)
    add("A", "A")
    with psycopg.connect(database_url) as host:
        host.execute("LOCK TABLE dealerships")
        tick = cli("stock-sync", "--scheduled")
        dry = cli("stock-sync", "--dry-run")

    assert (69, 69) == (tick.code, dry.code)
    assert "another session keeps locked" in tick.err
    assert "another session keeps locked" in dry.err


# --- one of them alone -----------------------------------------------------------------------------------------------


@pytest.fixture
def due(scheduled: Tick, add: Add, feed: Feed, connection: Connection) -> dict[str, int]:
    """Three dealerships whose slot has come; their numbers by name."""
    numbers = {name: add(name, name) for name in "ABC"}
    feed.answers.update({name: [ITEM] for name in numbers})
    scheduled()
    due_now(connection)
    return numbers


def named(*numbers: int) -> list[str]:
    """Return the arguments of a scheduled run of these alone."""
    return ["stock-sync", "--scheduled", "--json", *(f"--dealership={number}" for number in numbers)]


def test_a_named_dealership_is_synced_as_its_slot_would_be(
    cli: Cli, due: dict[str, int], scheduled: Tick, rows: Rows
) -> None:
    """Its slot is used up and its success kept; the others stay due, and the tick does them alone."""
    ran = cli(*named(due["B"]))

    assert (0, [("B", "success")]) == (ran.code, [(item["name"], item["status"]) for item in ran.json["items"]])
    assert [("B",)] == rows(
        "SELECT name FROM sync_schedule s JOIN dealerships d ON d.id = s.dealership_id WHERE next_at > now()"
        " AND slot_at <= now() AND slot_started_at = attempted_at AND last_success_at > attempted_at AND attempt = 0"
    )
    assert {"A": "success", "C": "success"} == scheduled()


def test_a_named_dealership_that_fails_keeps_its_retries(
    cli: Cli, clock: Clock, due: dict[str, int], feed: Feed, rows: Rows
) -> None:
    """A transient failure leaves the slot's next retry; before its time nothing is done, then it is tried."""
    feed.answers["B"] = ("503 Busy", b"")
    first = cli(*named(due["B"]))
    before = cli(*named(due["B"]))
    clock(6)
    feed.answers["B"] = [ITEM]
    after = cli(*named(due["B"]))

    assert (69, 0, 0) == (first.code, before.code, after.code)
    assert ([], ["success"]) == (before.json["items"], [item["status"] for item in after.json["items"]])
    assert [(0, None)] == rows(f"SELECT attempt, retry_at FROM sync_schedule WHERE dealership_id = {due['B']}")


def test_a_named_dealership_that_is_not_due_is_left_alone(
    cli: Cli, due: dict[str, int], feed: Feed, database_url: str
) -> None:
    """Nothing is asked, and no row of any table is written, be it paused, without credentials or done already."""
    assert 0 == cli(*named(due["B"])).code
    assert 0 == cli("dealership", "pause", str(due["A"])).code
    assert 0 == cli("credentials", "delete", str(due["C"]), "--yes").code
    before, asked = contents(database_url), len(feed.asked)
    ran = cli(*named(*due.values()))

    assert (0, "succeeded", []) == (ran.code, ran.json["status"], ran.json["items"])
    assert (before, asked) == (contents(database_url), len(feed.asked))


def test_of_several_named_the_due_ones_are_synced(cli: Cli, due: dict[str, int], scheduled: Tick) -> None:
    """Who is not due costs the others nothing, and is not listed."""
    cli(*named(due["A"]))
    ran = cli(*named(due["A"], due["B"]))

    assert (0, ["B"]) == (ran.code, [item["name"] for item in ran.json["items"]])
    assert {"C": "success"} == scheduled()


def test_a_named_scheduled_run_refuses_what_it_does_not_know(cli: Cli, due: dict[str, int]) -> None:
    """An unknown number ends with 2 before anything else; switched off, nothing is done."""
    unknown = cli(*named(due["A"], 987654))
    assert 0 == cli("settings", "set", "easycar_sync_enabled", "false").code
    off = cli(*named(due["A"]))

    assert (2, 0, "disabled") == (unknown.code, off.code, off.json["status"])


@contextmanager
def meanwhile(cli: Cli, feed: Feed, account: str, *arguments: str) -> Iterator[list[int]]:
    """Run a command beside the block, which begins when the account was asked for; it is answered at its end."""
    answer, asked, go_on = feed.answers[account], threading.Event(), threading.Event()

    def wait() -> Any:
        asked.set()
        assert go_on.wait(30)
        return answer

    feed.answers[account] = wait
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run(arguments, Tools(cli.environ))))
    thread.start()
    try:
        assert asked.wait(30)
        yield codes
    finally:
        go_on.set()
        thread.join(30)


def test_two_named_dealerships_are_synced_side_by_side(
    cli: Cli, due: dict[str, int], feed: Feed, scheduled: Tick
) -> None:
    """Each under its own lock: neither waits for the other; a tick meanwhile has the third to do."""
    with meanwhile(cli, feed, "A", *named(due["A"])) as codes:
        assert ["B"] == [item["name"] for item in cli(*named(due["B"])).json["items"]]
        assert {"C": "success"} == scheduled()

    assert ([0], ["A", "B", "C"]) == (codes, feed.asked)


def test_a_slot_that_a_named_run_has_used_is_not_used_again(cli: Cli, due: dict[str, int], feed: Feed) -> None:
    """A tick that has chosen three and works on the first finds the others done meanwhile: each is asked once."""
    with meanwhile(cli, feed, "A", "stock-sync", "--scheduled") as codes:
        assert 0 == cli(*named(due["B"], due["C"])).code

    assert ([0], ["A", "B", "C"]) == (codes, sorted(feed.asked))


def test_a_named_dealership_that_somebody_works_on_keeps_its_slot(
    cli: Cli, due: dict[str, int], scheduled: Tick, rows: Rows
) -> None:
    """75, and nothing is counted as the job's skip; a tick leaves it out as locked; afterwards it is done once."""
    key = lock_key(lock_name(due["A"]))
    rows(f"SELECT pg_advisory_lock({key})")
    alone, both = cli(*named(due["A"])), cli(*named(due["A"], due["B"]))

    assert (75, "skipped", 3) == (alone.code, alone.json["status"], both.code)
    assert [(0,)] == rows("SELECT consecutive_skips FROM jobs")
    assert {"A": "skipped", "C": "success"} == scheduled()
    rows(f"SELECT pg_advisory_unlock({key})")
    assert {"A": "success"} == scheduled()


def test_a_tick_that_finds_the_lock_taken_is_stamped(cli: Cli, due: dict[str, int], rows: Rows) -> None:
    """Before it asks for the lock: a run by hand holds no ticks back."""
    assert due
    rows("UPDATE jobs SET last_tick_at = now() - interval '1 hour' RETURNING 1")
    rows(f"SELECT pg_advisory_lock({lock_key('stock-sync')})")

    assert 75 == cli("stock-sync", "--scheduled").code
    assert [(True, 1)] == rows("SELECT last_tick_at > now() - interval '1 minute', consecutive_skips FROM jobs")


def test_a_tick_that_cannot_begin_is_stamped(cli: Cli, due: dict[str, int], rows: Rows) -> None:
    """With the wrong key a scheduled run is 78; the timer did fire, and no screen may say otherwise."""
    assert due
    rows("UPDATE jobs SET last_tick_at = now() - interval '1 hour' RETURNING 1")
    key = base64.b64encode(bytes(32)).decode()

    assert 78 == cli("stock-sync", "--scheduled", JOBSYNC_ENCRYPTION_KEY=key).code
    assert [(True,)] == rows("SELECT last_tick_at > now() - interval '1 minute' FROM jobs")


def test_first_slot_comes_after_first_sight(scheduled: Tick, add: Add, feed: Feed, rows: Rows) -> None:
    """A new dealership is not synced by the tick that first sees it; its first slot is computed."""
    add("New", "A")
    feed.answers["A"] = [ITEM]

    assert {} == scheduled()
    assert [(True, 0)] == rows("SELECT next_at > now(), attempt FROM sync_schedule")
    assert [(0,)] == rows("SELECT count(*) FROM job_runs")


def test_slot_is_used_up_once(scheduled: Tick, add: Add, feed: Feed, connection: Connection) -> None:
    """When its slot has come a dealership is synced, and the next tick finds nothing due."""
    add("A", "A")
    feed.answers["A"] = [ITEM]
    scheduled()
    due_now(connection)

    assert {"A": "success"} == scheduled()
    assert {} == scheduled()


def test_change_in_sql_counts_at_the_next_tick(
    scheduled: Tick, add: Add, feed: Feed, rows: Rows, connection: Connection
) -> None:
    """An UPDATE of the common cron moves the slot at the next tick, and fills in nothing that is past."""
    add("A", "A")
    feed.answers["A"] = [ITEM]
    scheduled()
    # every hour, half an hour from now
    connection.execute(
        "UPDATE system_settings SET value = extract(minute FROM now() + interval '30 min') || ' * * * *'"
        " WHERE key = 'easycar_sync_cron'"
    )

    assert {} == scheduled()
    assert [(True, True)] == rows(
        "SELECT cron LIKE '% * * * *', next_at > now() AND next_at <= now() + interval '1 h' FROM sync_schedule"
    )


def test_only_a_transient_failure_is_retried_at_5_15_and_45_minutes(
    scheduled: Tick, clock: Clock, add: Add, feed: Feed, connection: Connection, cli: Cli
) -> None:
    """
    A dealership that answers 503 is tried at its slot and 5, 15 and 45 minutes later and not after; one with wrong
    credentials, and the other 198, once.
    """
    add("Down", "DOWN")
    feed.answers["DOWN"] = ("503 Service Unavailable", b"down")
    add("Wrong", "WRONG")
    feed.answers["WRONG"] = b'{"Code": 1, "ErrorMessage": "no"}'
    cli("credentials", "rotate-key", "--unbound")  # what is bound to its dealership has no copies
    connection.execute("INSERT INTO dealerships (name) SELECT 'Up ' || n FROM generate_series(1, 198) n")
    connection.execute(
        "INSERT INTO easycar_credentials (dealership_id, client_id_encrypted, client_secret_encrypted,"
        " account_number_encrypted, account_secret_encrypted, environment)"
        " SELECT d.id, c.client_id_encrypted, c.client_secret_encrypted, %s, c.account_secret_encrypted, 'Test'"
        " FROM dealerships d JOIN easycar_credentials c ON c.dealership_id = 1 WHERE d.name LIKE 'Up %%'",
        [Cipher(base64.b64decode(TEST_KEY)).encrypt("UP")],
    )
    feed.answers["UP"] = [ITEM]
    scheduled()
    due_now(connection)
    by_minute = {0: scheduled()}
    for minute in range(1, 121):
        clock(1)
        found = scheduled()
        if found:
            by_minute[minute] = found

    down = {"Down": "failed"}
    first = {**down, "Wrong": "failed", **{f"Up {number}": "success" for number in range(1, 199)}}
    assert {0: first, 5: down, 15: down, 45: down} == by_minute


def test_slot_of_the_running_minute_counts_for_a_change(
    scheduled: Tick, add: Add, feed: Feed, connection: Connection
) -> None:
    """A cron set for this very minute is met by this minute's tick, and used up by it."""
    add("A", "A")
    feed.answers["A"] = [ITEM]
    scheduled()
    connection.execute("UPDATE system_settings SET value = '* * * * *' WHERE key = 'easycar_sync_cron'")
    while connection.execute("SELECT extract(second FROM now()) > 50").fetchone() == (True,):
        pass  # both ticks must fall into one minute

    assert {"A": "success"} == scheduled()
    assert {} == scheduled()


def test_success_of_a_retry_ends_the_retries(
    scheduled: Tick, clock: Clock, add: Add, feed: Feed, rows: Rows, connection: Connection
) -> None:
    """Once through, nothing is left to try and the attempts are forgotten."""
    add("A", "A")
    feed.answers["A"] = b""
    scheduled()
    due_now(connection)
    scheduled()
    feed.answers["A"] = [ITEM]
    clock(5)

    assert {"A": "success"} == scheduled()
    assert [(0, None)] == rows("SELECT attempt, retry_at FROM sync_schedule")


def test_hand_run_neither_uses_up_nor_cancels_a_retry(
    scheduled: Tick, clock: Clock, cli: Cli, add: Add, feed: Feed, rows: Rows, connection: Connection
) -> None:
    """A failed hand run in the middle of a slot leaves the slot's retries as they were."""
    number = add("A", "A")
    feed.answers["A"] = b""
    scheduled()
    due_now(connection)
    scheduled()
    before = rows("SELECT attempt, retry_at FROM sync_schedule")
    cli("stock-sync", "--dealership", str(number))

    assert before == rows("SELECT attempt, retry_at FROM sync_schedule")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE system_settings SET value = 'off' WHERE key = 'easycar_sync_enabled'",
        "INSERT INTO dealership_settings (dealership_id, easycar_auto_sync_enabled) SELECT id, false FROM dealerships",
        "INSERT INTO dealership_settings (dealership_id, paused_until) SELECT id, now() + '1 h' FROM dealerships",
        "UPDATE easycar_credentials SET is_active = false",
    ],
    ids=["switched off", "auto sync off", "paused", "credentials inactive"],
)
def test_switches_in_sql_keep_a_due_dealership_from_running(
    statement: str, scheduled: Tick, add: Add, feed: Feed, connection: Connection
) -> None:
    """Each switch, set by plain SQL, is obeyed at the next tick."""
    add("A", "A")
    feed.answers["A"] = [ITEM]
    scheduled()
    due_now(connection)
    connection.execute(statement.encode())

    assert {} == scheduled()


def test_the_documented_statements_change_something(cli: Cli, connection: Connection) -> None:
    """Each statement of the documents does so on a new dealership and once more, and can be read by the next tick."""
    cli("dealership", "add", "A")
    done = [
        connection.execute(documented_sql(start).encode()).rowcount
        for start in (
            "UPDATE system_settings",
            "UPDATE dealerships",
            "INSERT INTO dealership_settings (dealership_id, sync_cron)",
            "INSERT INTO dealership_settings (dealership_id, paused_until",
            "INSERT INTO dealership_settings (dealership_id, easycar_auto_sync_enabled)",
        )
        * 2
    ]
    [planned] = cli("schedule", "show", "--json").json
    [listed] = cli("dealership", "list", "--json").json

    assert [1] * 10 == done
    assert not listed["auto_sync"]
    assert (True, []) == (planned["paused"], planned["unreadable"])
    assert ("15 4 * * *", "Australia/Perth") == (planned["cron"], planned["timezone"])


def documented_sql(start: str) -> str:
    """Return the statement of docs/operations.md that begins so."""
    text = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    [found] = re.findall(rf"^    ({re.escape(start)}[^;]*);", text, re.MULTILINE)
    return str(found)


def test_slot_missed_in_a_pause_is_made_up_once(
    scheduled: Tick, cli: Cli, add: Add, feed: Feed, connection: Connection
) -> None:
    """After a pause, however many slots it covered, the dealership is synced at once and once."""
    number = add("A", "A")
    feed.answers["A"] = [ITEM]
    scheduled()
    cli("dealership", "pause", str(number))
    connection.execute("UPDATE sync_schedule SET next_at = now() - interval '9 days'")
    scheduled()
    cli("dealership", "resume", str(number))

    assert {"A": "success"} == scheduled()
    assert {} == scheduled()


@pytest.mark.parametrize(
    ("until", "words"),
    [
        ([], "until it is resumed"),
        (["--until", "9998-01-01"], "until it is resumed"),
        (["--until", "2999-01-01T00:00Z"], "until 2999-01-01 00:00Z"),
    ],
)
def test_every_screen_says_until_when_a_dealership_is_paused(cli: Cli, add: Add, until: list[str], words: str) -> None:
    """Nobody reads a year 9999: what has no end is null in JSON, beside `paused`."""
    number = str(add("A", "A"))
    paused = cli("dealership", "pause", number, *until, "--reason", "stocktake", "--json").json
    screens = [cli(*typed).out for typed in (["dealership", "list"], ["dealership", "show", number], ["status"])]
    planned = cli("schedule", "show").out
    documents = [
        cli("dealership", "list", "--json").json[0],
        cli("dealership", "show", number, "--json").json,
        cli("schedule", "show", "--json").json[0],
        paused,
    ]
    end = "2999-01-01T00:00:00+00:00" if "2999" in words else None

    assert all(words in screen for screen in screens)
    local = words.replace("2999-01-01 00:00Z", "Tue 2999-01-01 11:00 +1100")
    assert f"paused {local}: stocktake" in planned
    assert local in cli("dealership", "schedule", number).out
    assert [(True, end)] * 4 == [(found["paused"], found["paused_until"]) for found in documents]
    assert "9999" not in "".join([*screens, planned, cli("audit").out])


def test_unreadable_cron_keeps_the_last_good_schedule(
    cli: Cli, add: Add, feed: Feed, rows: Rows, connection: Connection
) -> None:
    """A cron that nobody can read changes no slot, and is reported once, at the tick that meets it."""
    add("A", "A")
    feed.answers["A"] = [ITEM]
    cli("stock-sync", "--scheduled")
    before = rows("SELECT next_at, cron FROM sync_schedule")
    connection.execute("UPDATE system_settings SET value = 'every night' WHERE key = 'easycar_sync_cron'")
    first = cli("stock-sync", "--scheduled")
    second = cli("stock-sync", "--scheduled")

    assert before == rows("SELECT next_at, cron FROM sync_schedule")
    assert "every night" in first.err
    assert "every night" not in second.err


def test_dealership_schedule_of_its_own(cli: Cli, add: Add, rows: Rows) -> None:
    """A dealership's own cron is shown in its own time zone, and --default gives the common one back."""
    number = str(add("A", "A"))
    own = cli("dealership", "schedule", number, "15 4 * * *", "--json").json
    back = cli("dealership", "schedule", number, "--default", "--json").json

    assert ("15 4 * * *", "04:15:00") == (own["cron"], own["next_at"][11:19])
    assert ("0 2 * * *", "02:00:00") == (back["cron"], back["next_at"][11:19])


def test_a_schedule_for_a_person_is_local_and_says_whose_it_is(cli: Cli, add: Add, rows: Rows) -> None:
    """As `schedule show` says it; what cannot be read is named, and what counts meanwhile."""
    number = str(add("A", "A"))
    cli("dealership", "schedule", number, "15 4 * * *")
    own = facts(cli("dealership", "schedule", number).out)
    common = facts(cli("dealership", "schedule", number, "--default").out)
    rows("UPDATE dealership_settings SET sync_cron = 'every night' RETURNING 1")
    broken = facts(cli("dealership", "schedule", number).out)

    assert re.fullmatch(r"\w{3} \d{4}-\d\d-\d\d 04:15 \+1[01]00", own["next_at"])
    assert ("15 4 * * * (its own)", "Australia/Sydney (its own)") == (own["cron"], own["timezone"])
    assert ("0 2 * * * (easycar_sync_cron)", "-") == (common["cron"], common["unreadable"])
    assert ("0 2 * * * (since the wanted one cannot be read)", "every night") == (broken["cron"], broken["unreadable"])


def facts(out: str) -> dict[str, str]:
    """Return the names and values that a person is shown."""
    return {name: value.strip() for name, _, value in (line.partition(" ") for line in out.splitlines())}


def test_all_of_schedule_show_is_local(cli: Cli, add: Add, rows: Rows) -> None:
    """The last success and the retry stand beside the slot, so they go by the same clock."""
    add("A", "A")
    cli("stock-sync", "--scheduled")
    rows("UPDATE sync_schedule SET last_success_at = '2026-01-01T00:30Z', retry_at = '2026-07-01T00:30Z' RETURNING 1")
    out = cli("schedule", "show").out

    assert "Thu 2026-01-01 11:30 +1100" in out
    assert "Wed 2026-07-01 10:30 +1000" in out


def test_a_pause_says_its_end_as_the_dealership_s_clock_does(cli: Cli, add: Add) -> None:
    """To the minute, with day and offset; JSON keeps the instant."""
    number = str(add("A", "A"))
    day = cli("dealership", "pause", number, "--until", "2999-01-01").out
    span = cli("dealership", "pause", number, "--until", "3d").out

    assert "paused until Tue 2999-01-01 00:00 +1100" in day
    assert re.search(r"paused until \w{3} \d{4}-\d\d-\d\d \d\d:\d\d \+1[01]00\n", span)


def test_a_pause_that_is_past_leaves_no_trace_on_screens(cli: Cli, add: Add, rows: Rows) -> None:
    """Neither its end nor its reason: nobody wonders whether it still holds."""
    number = str(add("A", "A"))
    cli("dealership", "pause", number, "--until", "2999-01-01", "--reason", "stocktake")
    rows("UPDATE dealership_settings SET paused_until = now() - interval '1 min' RETURNING 1")
    screens = [
        cli(*typed).out
        for typed in (
            ["dealership", "list"],
            ["dealership", "show", number],
            ["dealership", "schedule", number],
            ["schedule", "show"],
        )
    ]

    assert not [screen for screen in screens if "stocktake" in screen or "until" in screen]


@pytest.mark.parametrize("ticked", [True, False])
def test_screens_show_the_slot_of_a_changed_schedule_before_the_next_tick(
    cli: Cli, add: Add, rows: Rows, ticked: bool
) -> None:
    """After a change of cron and zone all screens show the slot that the next tick then computes; retries are over."""
    number = str(add("A", "A"))
    if ticked:
        cli("stock-sync", "--scheduled")
        rows("UPDATE sync_schedule SET retry_at = now() + interval '5 min', attempt = 1 RETURNING 1")
    cli("settings", "set", "easycar_sync_timezone", "Australia/Sydney")
    cli("dealership", "schedule", number, "15 4 1 1 *")
    shown = cli("dealership", "show", number, "--json").json
    [listed] = cli("dealership", "list", "--json").json
    [status] = cli("status", "--json").json["dealerships"]
    [planned] = cli("schedule", "show", "--json").json
    cli("stock-sync", "--scheduled")
    [(computed,)] = rows("SELECT next_at FROM sync_schedule")

    slots = [found["next_at"] for found in (shown, listed, status, planned)]
    assert [computed] * 4 == [datetime.fromisoformat(slot) for slot in slots]
    assert [None] * 4 == [found["retry_at"] for found in (shown, listed, status, planned)]


def test_screens_keep_the_slot_where_a_change_cannot_be_read(cli: Cli, add: Add, rows: Rows) -> None:
    """As the tick does: what cannot be read changes nothing, a slot that is due stays due, and a retry as well."""
    add("A", "A")
    cli("stock-sync", "--scheduled")
    [(due, retry)] = rows(
        "UPDATE sync_schedule SET next_at = now() - interval '1 min', retry_at = now() RETURNING next_at, retry_at"
    )
    rows("UPDATE system_settings SET value = 'every night' WHERE key = 'easycar_sync_cron' RETURNING 1")
    [listed] = cli("dealership", "list", "--json").json
    [status] = cli("status", "--json").json["dealerships"]
    [planned] = cli("schedule", "show", "--json").json

    assert [due] * 3 == [datetime.fromisoformat(found["next_at"]) for found in (listed, status, planned)]
    assert [retry] * 3 == [datetime.fromisoformat(found["retry_at"]) for found in (listed, status, planned)]


@pytest.mark.parametrize("cron", ["every night", "61 2 * * *", "0 2 * *", "0 0 30 2 *", "@daily"])
def test_impossible_cron_is_refused(cron: str, cli: Cli, add: Add) -> None:
    """A cron that cannot be read or never comes is refused with what is expected."""
    number = str(add("A", "A"))
    ran = cli("dealership", "schedule", number, cron)

    assert 2 == ran.code
    assert "five cron fields" in ran.err


def test_killed_attempt_is_retried(
    scheduled: Tick, clock: Clock, add: Add, feed: Feed, rows: Rows, connection: Connection
) -> None:
    """An attempt that never finished counts as failed: its retry was committed before it started."""
    add("A", "A")
    feed.answers["A"] = [ITEM]
    scheduled()
    due_now(connection)

    def die() -> bytes:
        assert [(1, True)] == rows("SELECT attempt, retry_at > now() FROM sync_schedule")
        return b""

    feed.answers["A"] = die
    assert {"A": "failed"} == scheduled()
    assert [(1, True)] == rows("SELECT attempt, retry_at > now() FROM sync_schedule")


def test_a_scheduled_dry_run_says_that_nothing_is_due(cli: Cli, add: Add) -> None:
    """Eligible it is."""
    add("Northside", "N")

    ran = cli("stock-sync", "--scheduled", "--dry-run")

    assert 0 == ran.code
    assert "no dealership is due: jobsync schedule show has the next slots\n" in ran.out
    assert "is eligible" not in ran.out


def test_a_tick_of_a_job_that_is_switched_off_says_so_once_a_slot(
    cli: Cli, feed: Feed, add: Add, rows: Rows, connection: Connection
) -> None:
    """The slot stays open all the same; the next one, of whichever dealership, is told again."""
    add("A", "A")
    assert cli("stock-sync", "--scheduled").code == 0
    due_now(connection)
    assert cli("settings", "set", "easycar_sync_enabled", "false").code == 0

    said = [cli("stock-sync", "--scheduled").err.count("globally disabled") for _ in range(3)]
    [(until, next_night)] = rows("SELECT disabled_quiet_until, now() + interval '25 hours' FROM jobs")
    connection.execute("UPDATE jobs SET disabled_quiet_until = disabled_quiet_until - interval '25 hours'")
    said += [cli("stock-sync", "--scheduled").err.count("globally disabled") for _ in range(2)]

    connection.execute("UPDATE sync_schedule SET next_at = now()")
    said += [cli("stock-sync", "--scheduled").err.count("globally disabled") for _ in range(2)]

    assert [1, 0, 0, 1, 0, 1, 0] == said
    assert until < next_night
    assert [] == feed.asked
    assert [(True,)] == rows("SELECT next_at <= now() FROM sync_schedule")
