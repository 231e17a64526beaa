"""Whatever text stands where a cron expression belongs: the nights go on, and every screen says so."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.commands.support import Add, Cli, Feed, Rows
from tests.commands.test_schedule import ITEM

Connection = psycopg.Connection[tuple[object, ...]]

TEXTS = {
    "0 2 32 * *": "Bad day-of-month",
    "0 2 0 * *": "Bad day-of-month",
    "0 2 L-3 * *": "Bad day-of-month",
    "0 2 ? * *": "Bad day-of-month",
    "0 2 1-99999 * *": "Bad day-of-month",
    "0 2 * 0 *": "Bad month",
    "0 2 30 13 *": "Bad month",
    "61 2 * * *": "Bad minute",
    "*/0 2 * * *": "Bad minute",
    "0 2 * * 9": "Bad day-of-week",
    "0 2 * * \u0663L": "Bad day-of-week",
    "0 2 30 2 *": "it never comes",
    "0 2 31 2,4,6 *": "it never comes",
    "0 2 * *": "it has 4 fields, not five",
    "2am": "it has 1 field, not five",
    "\t": "it has 0 fields, not five",
    "\x1b[31m0 2 * * *": "Bad minute",
    "0 2 * * *\u202e": "Bad day-of-week",
    "0 2 " + "9" * 990 + " * *": "Bad day-of-month",
    "0 2 " + "9" * 5000 + " * *": "it is longer than 1,000 characters",
    "0,1 " * 250_000: "it is longer than 1,000 characters",
}
# what a screen could stumble over: a wrong field, a rule that never comes, no rule, blanks, signs that are none, length
OF_EACH_KIND = tuple(
    text
    for text in TEXTS
    if text in ("0 2 32 * *", "0 2 30 2 *", "2am", "\t") or not text.isprintable() or len(text) > 20
)
SCREENS = (
    ("status",),
    ("status", "--json"),
    ("health",),
    ("doctor", "--json"),
    ("schedule", "show"),
    ("dealership", "list"),
    ("dealership", "show", "1"),
    ("dealership", "schedule", "1", "--json"),
    ("settings", "list"),
    ("metrics",),
    ("report", "-o", "report.html"),
)


def test_a_command_refuses_it_and_says_why(cli: Cli, add: Add, rows: Rows) -> None:
    """A dealership's own schedule and the common one alike: exit 2, what is wrong, what was expected; no change."""
    number = str(add("A", "A"))
    before = rows("SELECT value FROM system_settings WHERE key = 'easycar_sync_cron'")
    for text, why in TEXTS.items():
        own = cli("dealership", "schedule", number, text)
        common = cli("settings", "set", "easycar_sync_cron", text)

        for ran in (own, common):
            assert (2, True) == (ran.code, f"({why}), expected" in ran.err), text[:20]
            assert len(ran.err) < 400
        assert before == rows("SELECT value FROM system_settings WHERE key = 'easycar_sync_cron'"), text[:20]
        assert [] == rows("SELECT 1 FROM dealership_settings WHERE sync_cron IS NOT NULL"), text[:20]


def test_of_one_dealership_it_stays_with_that_one(cli: Cli, add: Add, feed: Feed, connection: Connection) -> None:
    """By SQL in one dealership: both are synced when their slot comes, the one by its last good rule."""
    ill, well = add("A", "A"), add("B", "B")
    feed.answers["A"] = feed.answers["B"] = [ITEM]
    connection.execute("INSERT INTO dealership_settings (dealership_id) VALUES (%s)", [ill])
    for text in TEXTS:
        connection.execute("DELETE FROM sync_schedule")
        connection.execute("UPDATE dealership_settings SET sync_cron = NULL")
        cli("stock-sync", "--scheduled")
        connection.execute("UPDATE dealership_settings SET sync_cron = %s", [text])
        connection.execute("UPDATE sync_schedule SET next_at = now() - interval '1 s'")
        ran = cli("stock-sync", "--scheduled", "--json")
        rules = connection.execute("SELECT DISTINCT cron FROM sync_schedule WHERE next_at > now()").fetchall()

        assert (0, [ill, well]) == (ran.code, sorted(item["dealership_id"] for item in ran.json["items"])), text[:20]
        assert [("0 2 * * *",)] == rules, text[:20]


@pytest.mark.parametrize("place", ["dealership", "settings"])
def test_every_screen_answers(
    place: str,
    cli: Cli,
    add: Add,
    connection: Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before and after the tick that meets it, no screen fails, and those for a person name text and remedy."""
    monkeypatch.chdir(tmp_path)
    ill = add("A", "A")
    add("B", "B")
    cli("stock-sync", "--scheduled")
    connection.execute("INSERT INTO dealership_settings (dealership_id) VALUES (%s)", [ill])
    for text in OF_EACH_KIND:
        if place == "dealership":
            connection.execute("UPDATE dealership_settings SET sync_cron = %s", [text])
        else:
            connection.execute("UPDATE system_settings SET value = %s WHERE key = 'easycar_sync_cron'", [text])
        for screen in SCREENS:
            ran = cli(*(str(ill) if word == "1" else word for word in screen))

            assert (True, "") == (ran.code in (0, 1, 3), ran.err), (text[:20], screen)
            if screen[0] in ("health", "doctor"):
                assert TEXTS[text] in ran.out
                assert "jobsync dealership schedule" in ran.out or "jobsync settings set easycar_sync_cron" in ran.out
        cli("stock-sync", "--scheduled")


def test_what_is_put_right_a_minute_later_has_cost_no_retry(
    cli: Cli, add: Add, feed: Feed, rows: Rows, connection: Connection
) -> None:
    """A typo in the common cron and in a dealership's zone leave the rule in force, so they leave its retries."""
    add("A", "A")
    feed.answers["A"] = b""
    cli("stock-sync", "--scheduled")
    connection.execute("UPDATE sync_schedule SET next_at = now() - interval '1 s'")
    cli("stock-sync", "--scheduled")
    before = rows("SELECT retry_at, next_at, attempt, cron, timezone FROM sync_schedule")
    assert before[0][0] is not None
    for statement, wrong, right in (
        ("UPDATE system_settings SET value = %s WHERE key = 'easycar_sync_cron'", "2am", "0 2 * * *"),
        ("UPDATE dealerships SET timezone = %s", "Sydney", "Australia/Sydney"),
    ):
        for value in (wrong, right):
            connection.execute(statement.encode(), [value])
            cli("stock-sync", "--scheduled")

            assert before == rows("SELECT retry_at, next_at, attempt, cron, timezone FROM sync_schedule")


def test_another_rule_ends_the_retries(cli: Cli, add: Add, feed: Feed, rows: Rows, connection: Connection) -> None:
    """A schedule that can be read and says something else begins anew."""
    number = add("A", "A")
    feed.answers["A"] = b""
    cli("stock-sync", "--scheduled")
    connection.execute("UPDATE sync_schedule SET next_at = now() - interval '1 s'")
    cli("stock-sync", "--scheduled")
    cli("dealership", "schedule", str(number), "15 4 1 1 *")
    cli("stock-sync", "--scheduled")

    assert [("15 4 1 1 *", None)] == rows("SELECT cron, retry_at FROM sync_schedule")


def test_a_dealership_that_runs_by_its_last_good_rule_is_not_called_ineligible(
    cli: Cli, add: Add, connection: Connection
) -> None:
    """What cannot be read stands in a column of its own, not among the reasons why a dealership does not run."""
    add("A", "A")
    connection.execute("UPDATE system_settings SET value = '2am' WHERE key = 'easycar_sync_cron'")
    head, row = cli("schedule", "show").out.splitlines()

    assert "-" == row[head.index("why not") :].split()[0]
    assert "2am" == row[head.index("unreadable") :].strip()


def test_a_retry_is_called_a_retry(cli: Cli, add: Add, connection: Connection, tmp_path: Path) -> None:
    """Where the next thing to come is one, the status screen and the page say so."""
    add("A", "A")
    cli("stock-sync", "--scheduled")
    slot = cli("status").out
    connection.execute("UPDATE sync_schedule SET attempt = 1, retry_at = now() + interval '30 s'")
    retry = cli("status").out
    cli("report", "-o", str(tmp_path / "report.html"))

    assert (True, False) == ("next slot" in slot, "next slot" in retry)
    assert "next retry" in retry
    assert "next retry" in (tmp_path / "report.html").read_text()
