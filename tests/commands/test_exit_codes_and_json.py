"""What scripts rely on: exit codes, the shapes of JSON, one document on standard output, a dry run that only looks."""

# Expected stands before actual.

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobsync.easycars import job
from jobsync.jobs import STOCK_SYNC
from jobsync.runner.job import ItemResult, ItemStatus
from tests.commands.support import Add, Cli, Feed, Rows, car, cars, contents, envelope

COUNTS = ["eligible", "succeeded", "partial", "held", "failed", "skipped", "remaining"]
NUMBERS = ["created", "updated", "unchanged", "revived", "refused", "skipped", "removed", "held"]


# --- exit codes ------------------------------------------------------------------------------------------------------

# second night's answers by outcome; the first night listed A and B
OUTCOMES: dict[str, Any] = {
    "success": cars("A", "B"),
    "partial": envelope(5, stock=cars("A", "B")),
    "held": [],
    "failed": envelope(7, message="no"),
    "unreachable": b"<html>blocked</html>",
}


@pytest.mark.parametrize(
    ("outcomes", "code", "status"),
    [
        ("success", 0, "succeeded"),
        ("partial", 3, "partial"),
        ("held", 3, "held"),
        ("failed", 1, "failed"),
        ("unreachable", 69, "failed"),
        ("failed unreachable", 1, "failed"),
        ("unreachable unreachable", 69, "failed"),
        ("success failed", 3, "partial"),
        ("success unreachable", 3, "partial"),
        ("success partial", 3, "partial"),
        ("success held", 3, "held"),
        ("partial held", 3, "partial"),
        ("partial failed", 3, "partial"),
        ("held unreachable", 3, "partial"),
        ("success partial held failed unreachable", 3, "partial"),
        ("", 0, "succeeded"),
    ],
)
def test_every_mix_of_outcomes_has_its_exit_code(
    outcomes: str, code: int, status: str, cli: Cli, feed: Feed, add: Add, rows: Rows
) -> None:
    """The same verdict in the shell, the document, the run's row; the dry run before it says the same."""
    for name in outcomes.split():
        add(name, name)
        feed.answers[name] = cars("A", "B")
    assert 0 == cli("stock-sync").code
    for name in outcomes.split():
        feed.answers[name] = OUTCOMES[name]

    dry = cli("stock-sync", "--dry-run", "--json")
    ran = cli("stock-sync", "--json")

    assert (code, status, code) == (ran.code, ran.json["status"], ran.json["exit_code"])
    assert (code, status, code) == (dry.code, dry.json["status"], dry.json["exit_code"])
    assert [(code, status)] == rows("SELECT exit_code, status FROM job_runs ORDER BY started_at DESC LIMIT 1")
    names = [name if name != "unreachable" else "failed" for name in outcomes.split()]
    assert sorted(names) == sorted(item["status"] for item in ran.json["items"])


def test_ineligible_dealerships_are_listed_with_each_reason_and_cost_nothing(
    cli: Cli, feed: Feed, add: Add, rows: Rows
) -> None:
    """Skipped of those that nobody named never change the exit code, and no item row is opened for them."""
    add("ready", "R")
    feed.answers["R"] = cars("A")
    off, paused, inactive, none = (add(name, "X") for name in ("off", "paused", "inactive", "none"))
    make_ineligible(rows, off, paused, inactive, none)

    ran = cli("stock-sync", "--json")

    assert 0 == ran.code
    expected = {
        "ready": ("success", None),
        "off": ("skipped", "auto_sync_off"),
        "paused": ("skipped", "paused"),
        "inactive": ("skipped", "no_credentials"),
        "none": ("skipped", "no_credentials"),
    }
    assert expected == {item["name"]: (item["status"], item.get("reason")) for item in ran.json["items"]}
    assert (1, 1, 4, 0) == tuple(ran.json["counts"][name] for name in ("eligible", "succeeded", "skipped", "remaining"))
    assert [(1,)] == rows("SELECT count(*) FROM job_items")


def make_ineligible(rows: Rows, off: int, paused: int, inactive: int, none: int) -> None:
    """Give each dealership its own reason to be left out."""
    rows(
        f"INSERT INTO dealership_settings (dealership_id, easycar_auto_sync_enabled) VALUES ({off}, false) RETURNING 1"
    )
    rows(
        "INSERT INTO dealership_settings (dealership_id, paused_until)"
        f" VALUES ({paused}, now() + interval '1 day') RETURNING 1"
    )
    rows(f"UPDATE easycar_credentials SET is_active = false WHERE dealership_id = {inactive} RETURNING 1")
    rows(f"DELETE FROM easycar_credentials WHERE dealership_id = {none} RETURNING 1")


def test_naming_a_dealership_overrides_pause_and_switch_with_a_warning(
    cli: Cli, feed: Feed, add: Add, rows: Rows
) -> None:
    """The operator's word counts, and the log says what it overrode."""
    off, paused, inactive, none = (add(name, "X") for name in ("off", "paused", "inactive", "none"))
    make_ineligible(rows, off, paused, inactive, none)
    feed.answers["X"] = cars("A")

    ran = cli("stock-sync", "--dealership", str(off), "--dealership", str(paused), "--json")

    assert 0 == ran.code
    assert ["success", "success"] == [item["status"] for item in ran.json["items"]]
    overridden = [json.loads(line) for line in ran.err.splitlines() if "stock_sync.overridden" in line]
    assert {"auto_sync_off", "paused"} == {event["why"] for event in overridden}
    assert {"warning"} == {event["level"] for event in overridden}


@pytest.mark.parametrize("which", ["inactive", "none"])
def test_naming_a_dealership_does_not_conjure_up_credentials(which: str, cli: Cli, add: Add, rows: Rows) -> None:
    """Missing and inactive credentials make a named dealership fail, with the command that mends it."""
    numbers = {name: add(name, "X") for name in ("off", "paused", "inactive", "none")}
    make_ineligible(rows, *numbers.values())

    ran = cli("stock-sync", "--dealership", str(numbers[which]), "--json")

    [item] = ran.json["items"]
    assert (1, "failed", "no_credentials") == (ran.code, item["status"], item["reason"])
    assert f"jobsync credentials set {numbers[which]}" in item["error"]


def test_a_dealership_named_twice_is_synced_once(cli: Cli, feed: Feed, add: Add) -> None:
    """Repeated IDs count once."""
    number = str(add("Northside", "N"))
    feed.answers["N"] = cars("A")

    ran = cli("stock-sync", "--dealership", number, "--dealership", number, "--json")

    assert (0, 1) == (ran.code, len(ran.json["items"]))
    assert ["N"] == feed.asked


def test_an_unknown_dealership_is_refused_before_anything_else(
    cli: Cli, feed: Feed, add: Add, database_url: str
) -> None:
    """Exit 2, no request, no row anywhere, not even for the known one beside it."""
    known = str(add("Northside", "N"))
    before = contents(database_url)

    ran = cli("stock-sync", "--dealership", known, "--dealership", "999", "--json")

    assert (2, 2) == (ran.code, ran.json["exit_code"])
    assert "no dealership 999" in ran.json["error"]
    assert [] == feed.asked
    assert before == contents(database_url)


@pytest.mark.parametrize("arguments", [(), ("--scheduled",), ("--dealership", "1"), ("--dry-run",)], ids=str)
def test_the_global_switch_stops_every_form(
    arguments: tuple[str, ...], cli: Cli, feed: Feed, add: Add, rows: Rows, database_url: str
) -> None:
    """Status disabled, exit 0, a log line, no row; a value that nobody can read counts as off."""
    add("Northside", "N")
    for value in ("false", "OFF", "0", "No", "maybe", ""):
        rows(
            f"INSERT INTO system_settings (key, value) VALUES ('easycar_sync_enabled', '{value}')"
            f" ON CONFLICT (key) DO UPDATE SET value = '{value}' RETURNING 1"
        )
        before = contents(database_url)

        ran = cli("stock-sync", *arguments, "--json")

        after = contents(database_url)
        after["jobs"] = before["jobs"]  # a tick may be stamped there
        assert cli("stock-sync").out.endswith("to switch it on: jobsync settings set easycar_sync_enabled true\n")
        assert (0, "disabled", None, []) == (ran.code, ran.json["status"], ran.json["run_id"], ran.json["items"])
        assert "globally disabled" in ran.err
        assert [] == feed.asked
        assert before == after


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_the_shape_of_a_job(cli: Cli, feed: Feed, add: Add) -> None:
    """Key by key, with types; an error key only where there is an error."""
    add("Northside", "N")
    feed.answers["N"] = cars("A")

    document = cli("stock-sync", "--json").json

    assert {"run_id", "job", "status", "exit_code", "counts", "items"} == document.keys()
    assert ("stock-sync", "succeeded", 0) == (document["job"], document["status"], document["exit_code"])
    assert 36 == len(document["run_id"])
    assert COUNTS == list(document["counts"])
    assert {"dealership_id", "name", "status", *NUMBERS} <= document["items"][0].keys()
    assert [] == document["items"][0]["warnings"]
    assert not {"error", "reason", "plan"} & document["items"][0].keys()


@pytest.mark.parametrize("status", ["success", "failed", "skipped"])
def test_what_has_no_warning_and_no_plan_says_so_by_an_empty_list(status: str) -> None:
    """Whoever reads the items of a run meets the same keys in each, whatever became of it."""
    result = ItemResult("7", "Northside", ItemStatus(status))

    assert [] == job.item_json(result)["warnings"]
    assert [] == job.item_json(result, dry_run=True)["plan"]


def test_the_shape_of_a_plan(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """One entry for every stock number touched, each with its action, changes as [old, new], decimals as text."""
    add("Northside", "N")
    feed.answers["N"] = cars("keep", "change", "gone", "back", "sold")
    cli("stock-sync")
    feed.answers["N"] = cars("keep", "change", "gone", "sold")
    cli("stock-sync")
    rows("UPDATE vehicles SET status = 'sold' WHERE stock_number = 'sold' RETURNING 1")
    feed.answers["N"] = [
        *cars("keep", "back", "new", "sold"),
        car("change", Price="1.50"),
        car("twin"),
        car("twin", Price=1),
    ]

    ran = cli("stock-sync", "--dry-run", "--json")

    assert ran.json["run_id"] is None
    [item] = ran.json["items"]
    plan = {entry["stock_number"]: entry for entry in item["plan"]}
    expected = {
        "new": "create",
        "change": "update",
        "gone": "remove",
        "back": "revive",
        "twin": "refuse",
        "sold": "skip",
    }
    assert expected == {number: entry["action"] for number, entry in plan.items()}
    assert {"price": ["20000", "1.50"]} == plan["change"]["changes"]
    assert {"status": ["active", "removed"]} == plan["gone"]["changes"]
    assert ["removed", "active"] == plan["back"]["changes"]["status"]
    assert "locally_sold" == plan["sold"]["reason"]
    assert "conflicting_duplicate" in plan["twin"]["reason"]
    assert all({"stock_number", "action", "changes"} <= entry.keys() for entry in item["plan"])


def test_the_shape_of_lists(cli: Cli, feed: Feed, add: Add) -> None:
    """runs list and holds list: the contract's keys, instants with their offset."""
    number = add("Northside", "N")
    feed.answers["N"] = cars("A")
    cli("stock-sync")
    feed.answers["N"] = []
    run_id = cli("stock-sync", "--json").json["run_id"]

    [last, _first] = cli("runs", "list", "--json").json
    [held] = cli("holds", "list", "--json").json

    assert (run_id, "stock-sync", "held", 3) == tuple(last[k] for k in ("run_id", "job", "status", "exit_code"))
    assert set(COUNTS) == last["counts"].keys()
    assert last["started_at"].endswith("+00:00")
    assert last["finished_at"] >= last["started_at"]
    assert (number, ["A"], "pending") == (held["dealership_id"], held["stock_numbers"], held["status"])
    assert isinstance(held["id"], int)


def test_the_shape_of_a_new_dealership(cli: Cli) -> None:
    """dealership add: {id, name, timezone}."""
    ran = cli("dealership", "add", "Northside Motors", "--timezone", "Australia/Sydney", "--json")

    assert 0 == ran.code
    assert {"id": 1, "name": "Northside Motors", "timezone": "Australia/Sydney"} == ran.json


def test_the_dry_run_writes_nothing_and_says_what_the_sync_then_does(
    cli: Cli, feed: Feed, add: Add, database_url: str
) -> None:
    """Every table and sequence is the same after it; its numbers are those of the sync that follows."""
    add("Northside", "N")
    add("Southside", "S")
    feed.answers = {"N": cars(*"ABCDEFGHIJ"), "S": cars("A")}
    cli("stock-sync")
    feed.answers = {"N": [car("A", Price=2), *cars(*"CDEFGHIJ"), car("K"), car("K", Price=1)], "S": []}
    before = contents(database_url)

    dry = cli("stock-sync", "--dry-run", "--json")

    assert before == contents(database_url)
    ran = cli("stock-sync", "--json")
    assert ran.code == dry.code
    assert [{name: item[name] for name in (*NUMBERS, "status")} for item in ran.json["items"]] == [
        {name: item[name] for name in (*NUMBERS, "status")} for item in dry.json["items"]
    ]
    actions = [entry["action"] for entry in dry.json["items"][0]["plan"]]
    assert ["refuse", "refuse", "remove", "update"] == sorted(actions)


def test_the_dry_run_takes_no_lock(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """It runs beside a run that holds everything."""
    number = add("Northside", "N")
    feed.answers["N"] = cars("A")
    from jobsync.runner.lock import lock_key

    rows(f"SELECT pg_advisory_lock({lock_key(STOCK_SYNC.name)}), pg_advisory_lock({lock_key(job.lock_name(number))})")

    assert 0 == cli("stock-sync", "--dry-run").code
    assert 75 == cli("stock-sync").code


# --- one document, whatever happens ----------------------------------------------------------------------------------

READING = [
    ("dealership", "list"),
    ("settings", "list"),
    ("settings", "get", "easycar_sync_cron"),
    ("holds", "list"),
    ("holds", "list", "--all"),
    ("stock", "refused"),
    ("runs", "list"),
    ("locks",),
    ("db", "status"),
    ("stock-sync", "--dry-run"),
]
ABOUT = [
    ("dealership", "show", "7"),
    ("stock", "history", "7"),
    ("stock", "refused", "7"),
    ("holds", "show", "7"),
    ("holds", "approve", "7"),
    ("holds", "reject", "7"),
    ("runs", "show", "7"),
    ("runs", "show", ""),
    ("runs", "show", "%"),
    ("credentials", "delete", "7"),
    ("stock-sync", "--dealership", "7"),
    ("stock-sync", "--dealership", "7", "--dry-run"),
]
WRONG = [
    ("stock-sync", "--nonsense"),
    ("stock-sync", "--dealership", "x"),
    ("stock-sync", "--concurrency", "0"),
    ("stock-sync", "--wait", "-1"),
    ("stock-sync", "--scheduled", "--dealership", "x"),
    ("nonsense",),
    ("runs", "nonsense"),
    ("runs",),
    ("runs", "list", "--limit", "0"),
    ("dealership", "show"),
    ("dealership", "show", "x"),
    ("dealership", "show", "-1"),
    ("dealership", "show", "99999999999999999999999"),
    ("dealership", "add", " "),
    ("dealership", "add", "X", "--timezone", "Sydney"),
    ("settings", "get", "easycar_sync_corn"),
    ("settings", "set", "easycar_sync_concurrency", "33"),
    ("holds", "show", "99999999999999999999999"),
    ("stock", "history", "1", "--stock-number", "\udcff"),
    ("runs", "show", "\udcff"),
    ("dealership", "add", "\udcff"),
]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_every_reading_command_answers_on_an_empty_database(arguments: tuple[str, ...], lookup: Cli) -> None:
    """Exit 0 and one document, for people and for programs."""
    assert 0 == lookup(*arguments).code

    ran = lookup(*arguments, "--json")

    assert 0 == ran.code
    assert isinstance(ran.json, dict | list)


@pytest.mark.parametrize("arguments", [*ABOUT, *WRONG], ids=lambda words: " ".join(words).replace("\udcff", "FF"))
def test_what_does_not_exist_is_a_usage_error_in_one_document(arguments: tuple[str, ...], lookup: Cli) -> None:
    """Exit 2, {error, exit_code}, no traceback, nothing written (see `lookup`); a person reads it on stderr alone."""
    ran = lookup(*arguments, "--json")
    person = lookup(*arguments)

    assert (2, 2) == (ran.code, ran.json["exit_code"])
    assert ran.json["error"]
    assert "Traceback" not in ran.err + person.err
    assert (2, "") == (person.code, person.out)
    assert person.err.strip()


EVERY = [
    *READING,
    ("stock-sync",),
    ("dealership", "show", "1"),
    ("dealership", "add", "X"),
    ("settings", "set", "ride_enabled", "off"),
]


@pytest.mark.parametrize("arguments", EVERY, ids=" ".join)
def test_a_database_that_is_down_is_69_in_one_document(arguments: tuple[str, ...], lookup: Cli, tmp_path: Path) -> None:
    """Nobody listens there."""
    ran = lookup(*arguments, "--json", JOBSYNC_DATABASE_URL=f"postgresql:///jobsync?host={tmp_path}")

    assert (69, 69) == (ran.code, ran.json["exit_code"])
    assert "database" in ran.json["error"]
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("arguments", EVERY, ids=" ".join)
def test_a_schema_that_is_missing_is_78_and_names_the_command(
    arguments: tuple[str, ...], lookup: Cli, bare_url: str
) -> None:
    """A database nobody has prepared: the sentence says what to run."""
    ran = lookup(*arguments, "--json", JOBSYNC_DATABASE_URL=bare_url)

    assert 78 == ran.code
    if arguments != ("db", "status"):
        assert "jobsync db upgrade" in ran.json["error"]
    assert "Traceback" not in ran.err


def test_an_old_and_a_newer_schema_are_refused(cli: Cli, rows: Rows) -> None:
    """Older: the command to run. Newer: which side to bring up to date."""
    rows("UPDATE jobsync_schema_version SET version_num = '0000' RETURNING 1")
    old = cli("dealership", "list", "--json")
    rows("UPDATE jobsync_schema_version SET version_num = '9999' RETURNING 1")
    new = cli("dealership", "list", "--json")

    assert (78, 78) == (old.code, new.code)
    assert "jobsync db upgrade" in old.json["error"]
    assert "newer" in new.json["error"]


def test_the_status_of_the_schema_has_exit_codes(cli: Cli, empty_url: str, tmp_path: Path) -> None:
    """db status: 0 up to date, 78 not, with one document each; db upgrade mends it and may run twice."""
    assert "pending     none" in cli("db", "status").out.splitlines()
    good = cli("db", "status", "--json")
    bare = cli("db", "status", "--json", JOBSYNC_DATABASE_URL=empty_url)
    upgrades = [cli("db", "upgrade", "--json", JOBSYNC_DATABASE_URL=empty_url) for _ in range(2)]
    mended = cli("db", "status", "--json", JOBSYNC_DATABASE_URL=empty_url)

    assert (0, True, []) == (good.code, good.json["up_to_date"], good.json["pending"])
    assert (78, False, None) == (bare.code, bare.json["up_to_date"], bare.json["current"])
    assert bare.json["pending"]
    assert [0, 0] == [ran.code for ran in upgrades]
    assert (bare.json["pending"], []) == (upgrades[0].json["applied"], upgrades[1].json["applied"])
    assert good.json == mended.json


@pytest.mark.parametrize("key", ["", "short", "%%%"])
def test_a_missing_or_broken_key_is_78(key: str, cli: Cli, add: Add) -> None:
    """Without the key no credentials can be read: one message, no run row."""
    add("Northside", "N")

    ran = cli("stock-sync", "--json", JOBSYNC_ENCRYPTION_KEY=key)

    assert (78, 78) == (ran.code, ran.json["exit_code"])
    assert "JOBSYNC_ENCRYPTION_KEY" in ran.json["error"]


def test_all_that_is_wrong_is_named_at_once(lookup: Cli) -> None:
    """One message for every bad setting."""
    ran = lookup("dealership", "list", "--json", JOBSYNC_EASYCARS_URL="ftp://x", JOBSYNC_ENCRYPTION_KEY="short")

    assert 78 == ran.code
    assert "JOBSYNC_EASYCARS_URL" in ran.json["error"]
    assert "JOBSYNC_ENCRYPTION_KEY" in ran.json["error"]


def test_the_wrong_key_fails_the_dealership_and_says_so(cli: Cli, add: Add) -> None:
    """Another key than the one the credentials were stored with."""
    add("Northside", "N")

    ran = cli("stock-sync", "--json", JOBSYNC_ENCRYPTION_KEY="A" * 43 + "=")

    [item] = ran.json["items"]
    assert (1, "failed", "credentials") == (ran.code, item["status"], item["reason"])
    assert "JOBSYNC_ENCRYPTION_KEY" in item["error"]


@pytest.mark.parametrize(
    "words", [("credentials", "test", "1"), ("credentials", "rotate-key"), ("doctor", "--offline")]
)
def test_the_wrong_key_is_78_wherever_the_key_is_asked_about(words: tuple[str, ...], cli: Cli, add: Add) -> None:
    """Configuration, not usage, and the same in every command."""
    add("Northside", "N")

    ran = cli(*words, "--json", JOBSYNC_ENCRYPTION_KEY="A" * 43 + "=")

    assert (78, 78) == (ran.code, ran.json["exit_code"])
    assert "JOBSYNC_ENCRYPTION_KEY" in ran.out


def test_a_rotation_is_followed_by_the_doctor(cli: Cli, add: Add, feed: Feed) -> None:
    """The previous key is needed before it, and is left over after it."""
    add("Northside", "N")
    feed.answers["N"] = cars("A")
    keys = {
        "JOBSYNC_ENCRYPTION_KEY": "A" * 43 + "=",
        "JOBSYNC_ENCRYPTION_KEY_PREVIOUS": cli.environ["JOBSYNC_ENCRYPTION_KEY"],
    }
    seen = [cli("doctor", "--offline", **keys).out]
    rotated = cli("credentials", "rotate-key", "--json", **keys)
    seen.append(cli("doctor", "--offline", **keys).out)
    tested = cli("credentials", "test", "1", JOBSYNC_ENCRYPTION_KEY=keys["JOBSYNC_ENCRYPTION_KEY"])

    assert (0, {"rotated": 1}, 0) == (rotated.code, rotated.json, tested.code)
    assert "warning  previous key: JOBSYNC_ENCRYPTION_KEY_PREVIOUS is still needed" in seen[0]
    assert "warning  previous key: JOBSYNC_ENCRYPTION_KEY_PREVIOUS is set, and nothing needs it" in seen[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("dealership", "show", "abc"), "Invalid value for 'ID': 'abc' is not a whole number."),
        (("runs", "list", "--limit", "1.5"), "Invalid value for '--limit': '1.5' is not a whole number."),
        (("stock-sync", "--wait", "long"), "Invalid value for '--wait': 'long' is not a number."),
        (("status", "--every", "x"), "Invalid value for '--every': 'x' is not a number."),
    ],
)
def test_a_number_that_is_none_is_told_in_words(words: tuple[str, ...], told: str, lookup: Cli) -> None:
    """What was typed, where, and what it is not; on both streams, and no name of a type."""
    ran = lookup(*words, "--json")

    assert (2, told) == (ran.code, ran.json["error"])
    assert told in ran.err


def test_a_bug_leaves_one_document_and_its_traceback_without_secrets(
    lookup: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document says that it was an error of ours; the traceback has its lines, and what it quotes is masked."""

    def broken(*_arguments: object, **_more: object) -> None:
        raise ZeroDivisionError(f"planted \x1b[31m {lookup.environ['JOBSYNC_ENCRYPTION_KEY']}")

    monkeypatch.setattr("jobsync.upkeep.runs.list_runs", broken)

    ran = lookup("runs", "list", "--json")

    assert (1, 1) == (ran.code, ran.json["exit_code"])
    assert "internal error" in ran.json["error"]
    assert "ZeroDivisionError: planted [31m •••" in ran.err
    assert '  File "' in ran.err
    assert lookup.environ["JOBSYNC_ENCRYPTION_KEY"] not in ran.err
