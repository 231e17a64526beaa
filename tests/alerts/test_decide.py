"""The rule, pure: what is remembered, what is wrong now and the time lead to what is remembered and told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from jobsync.alerts.decide import Delivery, decide, lift, phase_of, record, silence
from jobsync.alerts.message import AlertMessage
from jobsync.alerts.model import Alert, Book, Limits, Look, Silence, Try, on_host
from jobsync.causes import Cause
from jobsync.watch.model import Problem
from tests.watch.support import NOW

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
UNIT = on_host("here", Cause.UNIT_FAILED, "it failed", subject="jobsync-stock-sync.service on here")
AWAY = on_host("here", Cause.DATABASE_UNREACHABLE, "here cannot use the database")
OLDER = on_host("here", Cause.SCHEMA_OLDER, "the schema is older")


def circuit(number: int = 1) -> Problem:
    """A problem that every host sees alike."""
    return Problem(f"host {number}", f"host {number} does not answer", "wait", cause=Cause.HOST_SILENT)


def everything(_alert: Alert) -> bool:
    """Every check was made."""
    return True


@dataclass
class Host:
    """One host that looks again and again, and what its channels were told."""

    book: Book = field(default_factory=Book)
    channels: tuple[str, ...] = ("mail",)
    outcome: Delivery = Delivery.SENT
    outgoing: list[AlertMessage] = field(default_factory=list)

    def look(
        self, at: timedelta, *found: Problem, passed: Callable[[Alert], bool] = everything, **how: Any
    ) -> list[str]:
        """Look at an instant after NOW; returns what was told, as phase and cause."""
        now = NOW + at
        self.book, outgoing = decide(
            self.book, Look(found, passed), now, **{"host": "here", "channels": self.channels, **how}
        )
        self.outgoing += outgoing
        for planned in outgoing:
            self.book = record(self.book, planned, self.outcome, now)
        return [f"{note.phase} {note.alert.cause}" for planned in outgoing for note in planned.notes]


def test_a_unit_that_fails_every_30_s_for_a_day_sends_one_message_and_one_reminder() -> None:
    """Told at the fifth failure, reminded of a day later, never in between."""
    host = Host()
    told = {number: words for number in range(2890) if (words := host.look(number * MINUTE / 2, UNIT))}

    assert {4: ["opened unit_failed"], 2884: ["reminded unit_failed"]} == told


def test_an_outage_and_the_next_stop_are_two_problems_and_two_recoveries() -> None:
    """The server is away; it is back, and the schema is older; that is mended: each is told, each with its end."""
    host = Host()

    def before(alert: Alert) -> bool:
        return alert.cause == Cause.DATABASE_UNREACHABLE

    assert ["opened database_unreachable"] == host.look(0 * MINUTE, replace(AWAY, after=1))
    assert ["opened schema_older", "closed database_unreachable"] == host.look(5 * MINUTE, OLDER, passed=before)
    assert ["closed schema_older"] == host.look(10 * MINUTE)


def test_what_no_retry_mends_is_told_at_once() -> None:
    """What may pass waits for so many in a row."""
    host = Host()

    assert ["opened schema_older"] == host.look(0 * MINUTE, OLDER, UNIT)


def test_another_cause_of_the_same_subject_is_another_alert() -> None:
    """Each has its own count, its own message and its own end."""
    host = Host(Book(limits=Limits(after_failures=1)))
    killed = replace(UNIT, cause=Cause.UNIT_KILLED)

    assert ["opened unit_failed"] == host.look(0 * MINUTE, UNIT)
    assert ["opened unit_killed"] == host.look(1 * MINUTE, killed, passed=lambda _: False)
    assert ["closed unit_killed"] == host.look(2 * MINUTE, UNIT)


def test_a_success_in_between_begins_the_row_anew() -> None:
    """Four failures, a success, four failures: nobody is told."""
    host = Host()
    told = [host.look(number * MINUTE, UNIT) for number in range(4)]
    told += [host.look(5 * MINUTE)]
    told += [host.look(number * MINUTE, UNIT) for number in range(6, 10)]

    assert [] == [words for words in told if words]


@pytest.mark.parametrize(("minutes", "told"), [(29, []), (31, ["opened schema_older"])])
def test_what_is_back_within_half_an_hour_of_its_end_is_the_same_alert(minutes: int, told: list[str]) -> None:
    """It is told no second time; after that it is another."""
    host = Host()
    host.look(0 * MINUTE, OLDER)
    host.look(10 * MINUTE)

    assert told == host.look((10 + minutes) * MINUTE, OLDER)
    assert NOW + (timedelta() if not told else 41 * MINUTE) == host.book.alerts[OLDER.key].opened_at


def test_what_flaps_for_a_day_is_told_once() -> None:
    """Ten minutes there, ten minutes not: a problem, a recovery, and the reminder of the next day."""
    host = Host()
    told = [words for number in range(150) for words in host.look(number * 10 * MINUTE, *([OLDER] * (1 - number % 2)))]

    assert ["opened schema_older", "closed schema_older", "reminded schema_older", "closed schema_older"] == told


def test_what_is_back_for_good_is_said_to_be_there() -> None:
    """The last that was said is that it was over: that does not stay for a day."""
    host = Host()
    host.look(0 * MINUTE, OLDER)
    host.look(10 * MINUTE)
    told = {minute: words for minute in range(15, 70, 5) if (words := host.look(minute * MINUTE, OLDER))}

    assert {45: ["reminded schema_older"]} == told
    assert ["closed schema_older"] == host.look(75 * MINUTE)


def test_each_alert_is_reminded_of_by_its_own_clock() -> None:
    """A second one hours later does not move the first one's."""
    host = Host()
    told = []
    for hour in range(36):
        found = [circuit(1), *([circuit(2)] if hour >= 8 else [])]
        told += [(hour, planned.notes[0].alert.subject) for planned in _new(host, hour, found)]

    assert [(0, "host 1"), (8, "host 2"), (24, "host 1"), (32, "host 2")] == told


def _new(host: Host, hour: int, found: Sequence[Problem]) -> list[AlertMessage]:
    before = len(host.outgoing)
    host.look(hour * HOUR, *found)
    return host.outgoing[before:]


# --- many at once -----------------------------------------------------------------------------------------------------


def test_beyond_ten_openings_an_hour_one_summary_is_sent() -> None:
    """Nine are told each for itself; the next five are one summary; what follows waits until the hour is over."""
    host = Host()
    for number in range(9):
        host.look(number * MINUTE, *map(circuit, range(number + 1)))
    fourteen = list(map(circuit, range(14)))
    host.look(10 * MINUTE, *fourteen)
    host.look(15 * MINUTE, *fourteen, circuit(20))
    summary = host.outgoing[-1]
    assert (10, True, 5) == (len(host.outgoing), summary.is_summary, len(summary.notes))
    assert 5 == summary.text().count("PROBLEM: ")
    assert "what to do:" not in summary.text()

    assert ["opened host_silent"] == host.look(71 * MINUTE, *fourteen, circuit(20))
    assert not host.outgoing[-1].is_summary


def test_what_ends_is_told_however_many_began() -> None:
    """A summary holds no recovery back."""
    host = Host()
    host.look(0 * MINUTE, *map(circuit, range(30)))

    assert ["closed host_silent"] == host.look(5 * MINUTE, *map(circuit, range(29)))


# --- hosts ------------------------------------------------------------------------------------------------------------


def test_what_every_host_sees_is_left_to_the_one_that_tells() -> None:
    """While another does the same, a host touches and tells only its own."""
    host = Host()
    host.look(0 * MINUTE, circuit())

    assert ["opened schema_older"] == host.look(1 * MINUTE, OLDER, circuit(2), alone=False)
    assert host.book.alerts[circuit().key].closed_at is None
    assert circuit(2).key not in host.book.alerts


def test_what_another_host_knows_of_itself_is_told_by_that_host() -> None:
    """Its alert is neither told nor ended here."""
    host = Host()
    host.book = host.book.with_alert(replace(_alert(), host="there"))

    assert [] == host.look(0 * MINUTE, passed=lambda alert: alert.host == "here")


def _alert(**changes: Any) -> Alert:
    base = {"kind": "circuit", "subject": "host 1", "cause": "host_silent", "text": "t", "what_to_do": "w"}
    return Alert(**{**base, "opened_at": NOW, "seen_at": NOW, **changes})


def test_what_says_nothing_new_is_not_changed() -> None:
    """An alert that lasts costs no write."""
    host = Host()
    host.look(0 * MINUTE, circuit())
    before = host.book
    host.look(5 * MINUTE, circuit())

    assert before == host.book


# --- sending ----------------------------------------------------------------------------------------------------------


def test_what_did_not_get_out_is_said_again_at_the_next_look() -> None:
    """Under the same identity, and never once it did."""
    host = Host(outcome=Delivery.NOT_SENT)
    host.look(0 * MINUTE, OLDER)
    host.outcome = Delivery.SENT
    told = [host.look(minute * MINUTE, OLDER) for minute in (1, 2)]

    assert [["opened schema_older"], []] == told
    assert 1 == len({planned.identity for planned in host.outgoing})


def test_what_perhaps_arrived_is_said_again_ever_more_rarely() -> None:
    """Under one identity; what is new in the meantime does not wait for it."""
    host = Host(outcome=Delivery.PERHAPS)
    told = [minute for minute in range(0, 24 * 60, 5) if host.look(minute * MINUTE, OLDER)]
    assert [0, 10, 40, 130, 400, 1210] == told
    assert 1 == len({planned.identity for planned in host.outgoing})

    host.outcome = Delivery.SENT
    assert ["opened host_silent"] == host.look(24 * HOUR, OLDER, circuit())


def test_who_perhaps_read_of_it_reads_of_its_end() -> None:
    """Also if nobody ever knew that the message arrived."""
    host = Host(outcome=Delivery.PERHAPS)
    host.look(0 * MINUTE, OLDER)
    host.outcome = Delivery.SENT

    assert ["closed schema_older"] == host.look(5 * MINUTE)


def test_a_process_that_dies_while_it_sends_tells_twice_at_most() -> None:
    """That it is being told is remembered before: later, under the same identity, and then never again."""
    look = Look((OLDER,))
    book, [first] = decide(Book(), look, NOW, host="here", channels=("mail",))
    told = []
    for minute in range(1, 60):
        book, outgoing = decide(book, look, NOW + minute * MINUTE, host="here", channels=("mail",))
        for planned in outgoing:
            told.append((minute, planned.identity))
            book = record(book, planned, Delivery.SENT, NOW + minute * MINUTE)

    assert [(10, first.identity)] == told


def test_each_channel_is_told_for_itself() -> None:
    """Mail is not repeated while the webhook is tried again; a channel that joins is told what is open."""
    host = Host(channels=("mail",))
    host.look(0 * MINUTE, OLDER)
    host.channels = ("mail", "webhook")

    assert ["opened schema_older"] == host.look(5 * MINUTE, OLDER)
    assert "webhook" == host.outgoing[-1].channel


def test_two_reminders_are_two_messages() -> None:
    """Mail programs show one of two mails with the same Message-ID."""
    host = Host()
    for day in range(3):
        host.look(day * 24 * HOUR, OLDER)

    assert 3 == len({planned.identity for planned in host.outgoing})


@pytest.mark.parametrize(
    ("until", "phase"), [(9 * MINUTE, None), (timedelta(), "opened"), (timedelta(days=900), "opened")]
)
def test_a_try_that_a_wrong_clock_noted_holds_nobody_back(until: timedelta, phase: str | None) -> None:
    """For a while nobody else tells it; years are damage."""
    alert = _alert(tries={"mail": Try("m", "opened", NOW + until)})

    assert phase == phase_of(Book(), alert, "mail", NOW)


# --- silences ---------------------------------------------------------------------------------------------------------


def test_a_silence_holds_what_was_open_when_it_was_set() -> None:
    """Another cause is told; what is still there at its end is told; what ended meanwhile is told to be over."""
    host = Host()
    host.look(0 * MINUTE, circuit(1), circuit(2))
    host.book, held = silence(host.book, "circuit", None, NOW + 8 * HOUR, NOW, all_causes=False)
    assert 2 == len(held)

    assert ["opened host_silent"] == host.look(1 * HOUR, circuit(1), circuit(2), circuit(3))
    assert [] == host.look(2 * HOUR, circuit(1), circuit(3))
    assert NOW + 8 * HOUR == host.book.alerts[circuit(1).key].silenced_until
    assert ["reminded host_silent", "closed host_silent"] == host.look(8 * HOUR, circuit(1), circuit(3))
    assert host.book.alerts[circuit(1).key].silenced_until is None
    assert [] == host.look(9 * HOUR, circuit(1), circuit(3))


@pytest.mark.parametrize(("all_causes", "told"), [(True, []), (False, ["opened host_silent"])])
def test_all_causes_are_those_to_come(all_causes: bool, told: list[str]) -> None:
    """A silence of a kind of which nothing is open holds nothing, unless it is of all."""
    host = Host()
    host.book, _ = silence(host.book, "circuit", None, NOW + HOUR, NOW, all_causes=all_causes)

    assert told == host.look(1 * MINUTE, circuit())
    assert ([] if told else ["opened host_silent"]) == host.look(61 * MINUTE, circuit())


def test_a_silence_of_a_subject_holds_every_kind_of_it() -> None:
    """And nothing of another subject."""
    host = Host()
    other_kind = replace(circuit(1), cause=Cause.QUEUE_LONG)
    host.book, _ = silence(host.book, None, "host 1", NOW + HOUR, NOW, all_causes=True)

    assert ["opened host_silent"] == host.look(0 * MINUTE, circuit(1), circuit(2), other_kind)
    assert "host 2" == host.outgoing[0].notes[0].alert.subject


def test_what_is_no_longer_silenced_is_told() -> None:
    """Only what was held: nobody is reminded of another."""
    host = Host()
    host.look(0 * MINUTE, circuit(1), circuit(2))
    host.book, _ = silence(host.book, "circuit", "host 1", NOW + 8 * HOUR, NOW + MINUTE, all_causes=False)
    host.book, lifted = lift(host.book, "circuit", None, NOW + HOUR)

    assert lifted
    assert ["reminded host_silent"] == host.look(2 * HOUR, circuit(1), circuit(2))
    assert "host 1" == host.outgoing[-1].notes[0].alert.subject
    assert lift(host.book, "circuit", None, NOW + 3 * HOUR) == (host.book, False)


Silenced = tuple[str | None, str | None, int, bool]  # kind, subject, hours, all causes


@pytest.mark.parametrize(
    ("silences", "lifts", "expected"),
    [
        ([("circuit", None, 8, True)], [("circuit", None)] * 2, [True, False]),
        ([("circuit", None, 8, True)], [("circuit", "host 1")] * 2, [True, False]),
        ([("circuit", None, 8, True)], [(None, "host 1")] * 2 + [("circuit", None)], [True, False, True]),
        ([("circuit", None, 8, False)], [("circuit", "host 1"), ("circuit", None)], [True, False]),
        ([(None, "host 1", 8, True)], [("circuit", None)] * 2 + [("queue", None)], [True, False, True]),
        ([(None, "host 1", 8, False)], [("queue", None), ("circuit", None)], [False, True]),
        ([("circuit", None, 8, False), ("circuit", None, 1, False)], [("circuit", None)], [False]),
        ([("circuit", None, 8, True), ("circuit", None, 1, False)], [("circuit", None)], [True]),
        ([("circuit", None, 1, True)], [("circuit", None)], [False]),
    ],
)
def test_lifting_says_whether_anything_was_silenced(
    silences: list[Silenced], lifts: list[tuple[str | None, str | None]], expected: list[bool]
) -> None:
    """Not what was lifted already, in these words or others, nor what a later silence has ended; two hours later."""
    host = Host()
    host.look(0 * MINUTE, circuit(1))
    for place, (kind, subject, hours, all_causes) in enumerate(silences):
        at = NOW + place * MINUTE
        host.book, _ = silence(host.book, kind, subject, NOW + hours * HOUR, at, all_causes=all_causes)
    found = []
    for place, (kind, subject) in enumerate(lifts):
        host.book, lifted = lift(host.book, kind, subject, NOW + 2 * HOUR + place * MINUTE)
        found.append(lifted)

    assert expected == found


def test_the_latest_silence_decides() -> None:
    """One until Monday, then one until noon: noon."""
    host = Host()
    host.look(0 * MINUTE, OLDER)
    for hours in (60, 9):
        host.book, _ = silence(host.book, "database", None, NOW + hours * HOUR, NOW + MINUTE, all_causes=False)

    assert ["reminded schema_older"] == host.look(9 * HOUR, OLDER)


def test_a_silence_that_a_clock_ahead_set_is_as_long_as_was_asked() -> None:
    """It begins when it is first seen, and can be lifted: what lies in the future decides for no year."""
    host, year = Host(), timedelta(days=365)
    host.look(0 * MINUTE, OLDER)
    host.book, _ = silence(host.book, "database", None, NOW + year + 8 * HOUR, NOW + year, all_causes=True)
    lifted = lift(host.book, "database", None, NOW + MINUTE)[0]

    assert [] == host.look(MINUTE, OLDER)
    assert ["reminded schema_older"] == host.look(9 * HOUR, OLDER)
    host.book = lifted
    assert ["reminded schema_older"] == host.look(2 * MINUTE, OLDER)


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_what_is_kept_reads_back_as_it_was() -> None:
    """Through JSON, as file and table have it."""
    host = Host(outcome=Delivery.PERHAPS)
    host.look(0 * MINUTE, OLDER, circuit())
    host.book, _ = silence(host.book, "circuit", None, NOW + HOUR, NOW, all_causes=False)
    kept = msgspec.json.decode(msgspec.json.encode([list(host.book.alerts.values()), host.book.silences]))

    assert host.book == Book.read(kept[0], kept[1], {})


@pytest.mark.parametrize(
    "change",
    [
        {"opened_at": "0001-01-01T00:00:00+14:00"},
        {"seen_at": "9999-12-31T23:59:59-14:00"},
        {"opened_at": "soon"},
        {"opened_at": "2026-01-01T00:00:00"},
        {"told": [1]},
        {"text": "a\0b"},
        {"subject": None},
    ],
)
def test_an_alert_that_cannot_be_is_left_out(change: dict[str, Any]) -> None:
    """The others stay."""
    plain = msgspec.to_builtins(_alert())

    assert [_alert().key] == list(Book.read([{**plain, **change}, plain, 7], [{"until": 3}], {"x": 1}).alerts)


def test_what_is_long_over_is_forgotten() -> None:
    """Alerts a week after their end, and silences that decide nothing any more."""
    ended = _alert(closed_at=NOW - timedelta(days=8))
    old = Silence("circuit", None, NOW - timedelta(days=8), NOW - timedelta(days=9))
    book, _ = decide(Book({ended.key: ended}, (old,)), Look(), NOW, host="here", channels=())

    assert ({}, ()) == (book.alerts, book.silences)
