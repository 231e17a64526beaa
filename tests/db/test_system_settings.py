"""What a stored text means, and what it means where nobody can read it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from jobsync.cron import BLANKS
from jobsync.db.engine import Database, driver, transaction
from jobsync.db.stored_settings import list_settings, write_setting
from jobsync.db.system_settings import (
    CATALOGUE,
    Number,
    SystemSettings,
    check_setting,
    read_system_settings,
    require_setting,
)
from jobsync.errors import ExitCode, UsageProblem
from jobsync.logs import configure_logs

ENABLED, CRON, ZONE, WORKERS = (
    "easycar_sync_enabled",
    "easycar_sync_cron",
    "easycar_sync_timezone",
    "easycar_sync_concurrency",
)


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    """What is reported."""
    stream = io.StringIO()
    configure_logs("info", "json", stream)
    yield stream
    configure_logs()


def stored(key: str, text: str) -> SystemSettings:
    return SystemSettings({key: text})


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "on", "On", "yes", " yes\n"])
def test_switch_is_on(text: str) -> None:
    """Every usual spelling of yes is one."""
    assert stored(ENABLED, text).switch(ENABLED)


@pytest.mark.parametrize("text", ["false", "False", "0", "off", "no", " no "])
def test_switch_is_off(text: str, log: io.StringIO) -> None:
    """Every usual spelling of no is one, and nothing to report."""
    assert not stored(ENABLED, text).switch(ENABLED)
    assert log.getvalue() == ""


@pytest.mark.parametrize("text", ["", "tru", "2", "enabled", "ja", "null", "\x00"])
def test_unreadable_switch_is_off_and_reported(text: str, log: io.StringIO) -> None:
    """Nobody can have meant a job to run by a text that does not say so."""
    on = stored(ENABLED, text).switch(ENABLED)
    told = json.loads(log.getvalue())

    assert (on, told["event"], told["key"], told["consequence"]) == (
        False,
        "settings.unreadable",
        ENABLED,
        "it counts as off",
    )


@pytest.mark.parametrize(("text", "number"), [("1", 1), (" 32 ", 32), ("007", 7)])
def test_number(text: str, number: int) -> None:
    """Blanks and leading zeros do not matter."""
    assert stored(WORKERS, text).number(WORKERS) == number


@pytest.mark.parametrize("text", ["", "0", "33", "-1", "1.5", "many", "1e1", "٣", "²", "--5", "-", "9" * 400])
def test_unreadable_number_is_the_default_and_reported(text: str, log: io.StringIO) -> None:
    """What is no whole number of the range counts as the default."""
    assert stored(WORKERS, text).number(WORKERS) == 1
    assert "settings.unreadable" in log.getvalue()


@pytest.mark.parametrize("text", ["0 2 * * *", "  0  2 *\t* * ", "*/5 8-18 * * MON-FRI"])
def test_cron(text: str) -> None:
    """A cron is five fields with single blanks between them."""
    assert CATALOGUE[CRON].read(text) == " ".join(text.split())


@pytest.mark.parametrize("text", ["", "0 2 * *", "0 2 * * * *", "@daily", "61 2 * * *", "0 0 30 2 *", "a b c d e"])
def test_unreadable_cron_is_none(text: str) -> None:
    """A cron that cannot be read, or that never comes, leaves the last good one in force."""
    assert CATALOGUE[CRON].read(text) is None


@pytest.mark.parametrize("text", ["", "Nowhere/Land", "../../etc/passwd", "/etc/localtime", "UTC\x00", "Australia"])
def test_unreadable_zone_is_none(text: str) -> None:
    """A zone that does not exist is none, whatever its text looks like."""
    assert CATALOGUE[ZONE].read(text) is None


def test_missing_rows_are_defaults(log: io.StringIO) -> None:
    """A setting whose row somebody deleted has its default, and nothing is wrong."""
    none = SystemSettings({})

    assert (none.switch(ENABLED), none.number(WORKERS), none.minutes("easycar_retry_minutes"), none.status_map()) == (
        True,
        1,
        (5, 15, 45),
        {},
    )
    assert log.getvalue() == ""


@pytest.mark.parametrize("key", [key for key, kind in CATALOGUE.items() if isinstance(kind, Number)])
def test_range_has_exact_ends(key: str) -> None:
    """Both ends of a range may be set, nothing beyond them may, and the refusal names the range."""
    kind = CATALOGUE[key]
    assert isinstance(kind, Number)
    assert [check_setting(key, str(kind.least)), check_setting(key, str(kind.most))] == [
        str(kind.least),
        str(kind.most),
    ]
    for beyond in (kind.least - 1, kind.most + 1):
        with pytest.raises(UsageProblem, match=f"from {kind.least} to {kind.most}"):
            check_setting(key, str(beyond))


@pytest.mark.parametrize("key", CATALOGUE)
def test_default_can_be_set(key: str) -> None:
    """Every default is a value that its own setting accepts, as it is stored."""
    text = CATALOGUE[key].spell(str(CATALOGUE[key].default))

    assert check_setting(key, text) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("easycar_sync_enable", "did you mean easycar_sync_enabled?"),
        ("ride_delay", "did you mean ride_delay_ms?"),
        ("xyzzy", "jobsync settings list"),
    ],
)
def test_unknown_setting_offers_a_near_one(text: str, hint: str) -> None:
    """A slip of the pen is answered with the name that was meant: exit 2."""
    with pytest.raises(UsageProblem) as refused:
        require_setting(text)
    assert hint in str(refused.value)
    assert refused.value.exit_code is ExitCode.USAGE


def test_update_in_sql_is_seen_at_once(database: Database) -> None:
    """What somebody wrote with UPDATE is what the next run reads."""
    with database.engine().begin() as connection:
        connection.exec_driver_sql(f"UPDATE system_settings SET value = ' OFF' WHERE key = '{ENABLED}'")

        assert read_system_settings(driver(connection)).switch(ENABLED) is False


def test_list_says_what_cannot_be_read(database: Database) -> None:
    """The list shows the stored text, that it is unreadable, and what holds instead."""
    with database.engine().begin() as connection:
        connection.exec_driver_sql(f"UPDATE system_settings SET value = 'many' WHERE key = '{WORKERS}'")
        row = next(row for row in list_settings(connection) if row["key"] == WORKERS)

    assert (row["value"], row["readable"], row["in_force"]) == ("many", False, "1 is used")


def test_write_leaves_an_audit_row(database: Database) -> None:
    """Who changed a setting, from what to what, can be found again."""
    with database.engine().begin() as connection:
        old = write_setting(connection, WORKERS, "4")
        rows = connection.exec_driver_sql("SELECT action, subject, details FROM audit").all()

    assert (old, [tuple(row) for row in rows]) == ("1", [("settings.set", WORKERS, {"old": "1", "new": "4"})])


def test_program_and_ticks_read_a_switch_alike(database: Database) -> None:
    """What an UPDATE leaves around a value counts for both or neither: no job is on for people and off for timers."""
    blanks = [*BLANKS, "\x85", "\xa0", "\u2003", "\u3000", "\x1c"]
    on: dict[str, Any] = {}
    with transaction(database.job_engine()) as connection:
        for blank in blanks:
            value = f"{blank}true{blank}"
            connection.execute("UPDATE system_settings SET value = %s WHERE key = %s", [value, ENABLED])
            [(on[blank],)] = connection.execute("SELECT jobsync_switch(%s)", [ENABLED]).fetchall()

    assert on == {blank: stored(ENABLED, f"{blank}true{blank}").switch(ENABLED) for blank in blanks}
    assert on == {blank: blank in BLANKS for blank in blanks}
