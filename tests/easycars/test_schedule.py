"""Slots and retries: cron in a dealership's own zone, over both changes of its clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from jobsync.cron import Rule, Wanted, next_slot, resolve
from jobsync.db.system_settings import SystemSettings
from jobsync.easycars import store
from jobsync.easycars.job import StockSync
from jobsync.easycars.schedule import Dealership, next_retry

SYDNEY = ZoneInfo("Australia/Sydney")


def slots_by_minute(cron: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Wake every minute, as a timer does, and return the instants at which a slot was found due."""
    found = []
    now, slot = start, next_slot(cron, zone, start)
    while now < end:
        if slot <= now:
            found.append(now)
            slot = next_slot(cron, zone, now)
        now += timedelta(minutes=1)
    return found


@pytest.mark.parametrize(
    ("first_day", "gap"),
    [(datetime(2026, 10, 3, tzinfo=SYDNEY), "skipped"), (datetime(2027, 4, 3, tzinfo=SYDNEY), "repeated")],
    ids=["clock goes forward", "clock goes back"],
)
def test_half_past_two_runs_once_each_night_over_a_clock_change(first_day: datetime, gap: str) -> None:
    """In Sydney 02:30 does not exist on 4 October 2026 and comes twice on 4 April 2027: one slot each night."""
    end = (first_day.replace(tzinfo=None) + timedelta(days=4)).replace(tzinfo=SYDNEY)

    found = slots_by_minute("30 2 * * *", "Australia/Sydney", first_day.astimezone(UTC), end.astimezone(UTC))

    nights = [instant.astimezone(SYDNEY).date() for instant in found]
    assert [first_day.date() + timedelta(days=n) for n in range(4)] == nights, gap


@pytest.mark.parametrize(
    ("zone", "hour", "day"),
    [
        ("Australia/Sydney", 2, datetime(2027, 4, 3, 12, tzinfo=UTC)),
        ("Europe/London", 1, datetime(2026, 10, 24, 12, tzinfo=UTC)),
        ("America/New_York", 1, datetime(2026, 10, 31, 12, tzinfo=UTC)),
        ("Antarctica/Troll", 2, datetime(2026, 10, 24, 12, tzinfo=UTC)),
    ],
)
def test_a_slot_is_later_than_what_it_follows_also_while_an_hour_comes_twice(
    zone: str, hour: int, day: datetime
) -> None:
    """An attempt that begins late, in the second 02:10, leads to tomorrow's slot and not to the past 02:55."""
    for minute in range(0, 24 * 60, 5):
        after = day + timedelta(minutes=minute, seconds=2)
        slot = next_slot(f"55 {hour} * * *", zone, after)

        assert after < slot <= after + timedelta(hours=27)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "slot"),
    [
        ("0 2 * * *", "UTC", "2026-01-01T01:59:59+00:00", "2026-01-01T02:00:00+00:00"),
        ("0 2 * * *", "UTC", "2026-01-01T02:00:00+00:00", "2026-01-02T02:00:00+00:00"),
        ("0 2 * * *", "Australia/Perth", "2026-01-01T00:00:00+00:00", "2026-01-01T18:00:00+00:00"),
        ("*/15 9-17 * * 1-5", "Australia/Sydney", "2026-01-02T06:50:00+00:00", "2026-01-04T22:00:00+00:00"),
        ("0 2 29 2 *", "UTC", "2026-01-01T00:00:00+00:00", "2028-02-29T02:00:00+00:00"),
    ],
    ids=["before", "exactly then is past", "own zone", "office hours over a weekend", "leap day"],
)
def test_next_slot(cron: str, zone: str, after: str, slot: str) -> None:
    """The next slot is the first one later than the given instant."""
    assert datetime.fromisoformat(slot) == next_slot(cron, zone, datetime.fromisoformat(after))


@pytest.mark.parametrize(("attempt", "minutes"), [(1, 5), (2, 15), (3, 45), (4, None), (9, None)], ids=str)
def test_retries_count_from_the_slot_s_start(attempt: int, minutes: int | None) -> None:
    """A slot is tried again 5, 15 and 45 minutes after it began, and then given up."""
    start = datetime(2026, 1, 1, 2, tzinfo=UTC)

    assert (start + timedelta(minutes=minutes) if minutes else None) == next_retry(
        attempt, slot_started_at=start, now=start
    )


def test_retry_leaves_a_minute_after_a_long_attempt() -> None:
    """An attempt that itself took longer than the retry's delay is not followed at once."""
    start = datetime(2026, 1, 1, 2, tzinfo=UTC)
    late = start + timedelta(minutes=20)

    assert late + timedelta(minutes=1) == next_retry(1, slot_started_at=start, now=late)


@pytest.mark.parametrize(
    ("wanted", "last", "rule"),
    [
        (Wanted("0  3 * * *", "UTC"), (None, None), Rule("0 3 * * *", "UTC")),
        (Wanted("every night", "UTC"), ("0 4 * * *", "UTC"), Rule("0 4 * * *", "UTC", ("every night",))),
        (Wanted("every night", "UTC"), (None, None), Rule("0 2 * * *", "UTC", ("every night",))),
        (Wanted("0 3 * * *", "Sydney"), (None, "Asia/Tokyo"), Rule("0 3 * * *", "Asia/Tokyo", ("Sydney",))),
        (Wanted("0 0 30 2 *", "../etc"), (None, None), Rule("0 2 * * *", "UTC", ("0 0 30 2 *", "../etc"))),
    ],
    ids=["blanks", "last good cron", "default cron", "last good zone", "never comes, no zone"],
)
def test_unreadable_schedule_leaves_the_last_good_one(
    wanted: Wanted, last: tuple[str | None, str | None], rule: Rule
) -> None:
    """A cron or zone that cannot be read never stops the nights; what it was is reported."""
    assert rule == resolve(wanted, last_cron=last[0], last_timezone=last[1])


def test_schedules_are_written_in_the_order_of_their_ids(
    connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is tried first: two runs that compute the same slots must not wait for each other's rows."""
    ids = []
    for attempt in (2, 1, 0):
        [(made,)] = connection.execute("INSERT INTO dealerships (name) VALUES ('Test Yard') RETURNING id").fetchall()
        connection.execute("INSERT INTO sync_schedule (dealership_id, attempt) VALUES (%s, %s)", [made, attempt])
        ids.append(made)
    written: list[int] = []

    def note(_connection: object, found: Dealership, **_more: object) -> None:
        written.append(found.id)

    def unused(*_given: object) -> Any:
        pytest.fail("nothing is due")

    monkeypatch.setattr(store, "write_schedule", note)
    job = StockSync(unused, unused, {}, SystemSettings({}), named=tuple(ids), scheduled=True)

    assert job.if_due(connection) is None
    assert ids == written
