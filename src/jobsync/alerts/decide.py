"""The rule of alerting, pure: what is remembered and what is wrong now lead to what is remembered and what is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from itertools import dropwhile
from typing import Any

from jobsync.alerts.message import TOLD_EACH, AlertMessage, AlertNote
from jobsync.alerts.model import CLOSED, OPENED, REMINDED, Alert, Book, Look, Silence, Try
from jobsync.causes import Cause
from jobsync.logs import visible
from jobsync.watch.model import Problem

_BACK_WITHIN = timedelta(minutes=30)  # of its end: it is the same alert
_KEPT = timedelta(days=7)  # what is over
_AGAIN = timedelta(minutes=10)  # longer than sending takes; what perhaps arrived is said again then
_RARER = 3  # each time so many times later
_HOUR = timedelta(hours=1)
_ORDER = {cause.value: place for place, cause in enumerate(Cause)}  # the likelier cause before what it leads to


class Delivery(Enum):
    """What became of a message."""

    SENT = "sent"
    NOT_SENT = "not sent"
    PERHAPS = "perhaps"


def decide(
    book: Book, look: Look, now: datetime, *, host: str, channels: Sequence[str], alone: bool = True
) -> tuple[Book, tuple[AlertMessage, ...]]:
    """
    Return what is to be remembered, and the messages that go out.

    That it is being told is remembered before it is sent: another process leaves it alone for a while, and a
    process that dies in between tells it once more, under the same Message-ID. Unless no other host looks now
    (`alone`), only what is this host's own is touched and told.
    """
    found = [_made_visible(each) for each in look.found if alone or each.host is not None]
    again = {each.key for each in found}
    alerts = {
        key: replace(alert, closed_at=now)
        if alert.closed_at is None and key not in again and (alone or alert.host is not None) and look.passed(alert)
        else alert
        for key, alert in book.alerts.items()
    }
    for each in found:
        seen = see(alerts.get(each.key), each, now, book.limits.after_failures if each.after is None else each.after)
        if seen is not None:
            alerts[each.key] = seen
    alerts = {key: alert for key, alert in alerts.items() if alert.closed_at is None or now - alert.closed_at < _KEPT}
    book = _set_by_now(replace(book, alerts=alerts), now)
    # those at the beginning that have long ended decide nothing any more
    book = _with_silences(book, tuple(dropwhile(lambda each: each.until <= now - _KEPT, book.silences)), now)
    outgoing = tuple(message for channel in channels for message in _messages(book, channel, now, host, alone=alone))
    for message in outgoing:
        for alert, phase in message.notes:
            book = book.with_alert(_sending(book, book.alerts[alert.key], message, phase, now))
    return book, outgoing


def _made_visible(found: Problem) -> Problem:
    text, what = visible(found.text, most=500), visible(found.what_to_do, most=500)
    return replace(found, subject=visible(found.subject, most=200), text=text, what_to_do=what)


def see(known: Alert | None, found: Problem, now: datetime, after: int) -> Alert | None:
    """Return an alert after what was found now: one more of the same, the same once more, or the first."""
    if known is not None and known.closed_at is not None and not (known.ripe and now - known.closed_at < _BACK_WITHIN):
        known = None
    if known is not None and not known.ripe and found.well_at is not None and found.well_at > known.seen_at:
        known = None
    if known is None:
        said = (*found.key, found.text, found.what_to_do)
        return Alert(*said, now, now, host=found.host, ripe=after <= 1, run_id=found.run_id) if found.ripe else None
    words = (found.text, found.what_to_do)
    if known.closed_at is None and found.host is None and known.ripe and (known.text, known.what_to_do) == words:
        return known  # hundreds may be open for days: what has not changed is not written again
    again: dict[str, Any] = {name: getattr(found, name) for name in ("text", "what_to_do", "host", "run_id")}
    return replace(
        known,
        **again,
        seen_at=now,
        times=known.times + 1,
        ripe=known.ripe or known.times + 1 >= after,
        back_at=now if known.closed_at is not None else known.back_at,
        closed_at=None,
    )


def phase_of(book: Book, alert: Alert, channel: str, now: datetime) -> str | None:
    """Return what a channel has to be told of an alert now, None if nothing."""
    phase = _phase_of(book, alert, channel, now)
    tried = alert.tries.get(channel)
    longest = max(book.limits.reminder, _AGAIN)  # an instant that a wrong clock noted must not delay messages for years
    waits = tried is not None and tried.phase == phase and timedelta() < tried.until - now <= longest
    return None if waits else phase


def _phase_of(book: Book, alert: Alert, channel: str, now: datetime) -> str | None:
    held_until = book.held_until(alert)
    if not alert.ripe or (held_until is not None and held_until > now):
        return None
    said, ended = alert.said_open(channel), alert.ended.get(channel)
    if alert.closed_at is not None:
        perhaps = channel in alert.tries and alert.tries[channel].phase != CLOSED
        return CLOSED if (said is not None or perhaps) and (ended is None or (said and ended < said)) else None
    if said is None:
        return OPENED
    if held_until is not None and said < held_until:
        return REMINDED  # no reminder for so long
    if ended is not None and ended > said and alert.back_at is not None and now - alert.back_at >= _BACK_WITHIN:
        return REMINDED  # the last that was said is that it was over
    return REMINDED if now - said >= book.limits.reminder else None


def record(book: Book, message: AlertMessage, outcome: Delivery, now: datetime) -> Book:
    """Return what is remembered once it is known what became of a message."""
    for told, phase in message.notes if outcome is not Delivery.PERHAPS else ():
        alert = book.alerts.get(told.key)
        if alert is None:
            continue
        tries = {**alert.tries}
        tried = tries.pop(message.channel, None)
        if outcome is Delivery.SENT:
            name = {OPENED: "told", REMINDED: "reminded", CLOSED: "ended"}[phase]
            said: dict[str, Any] = {name: {**getattr(alert, name), message.channel: now}}
            alert = replace(alert, **said)
        elif tried is not None and tried.times > 1:  # not this time, but perhaps before
            tries[message.channel] = replace(tried, until=now, times=tried.times - 1)
        book = book.with_alert(replace(alert, tries=tries))
    return book


def _sending(book: Book, alert: Alert, message: AlertMessage, phase: str, now: datetime) -> Alert:
    known = alert.tries.get(message.channel)
    times = known.times + 1 if known is not None and known.message == message.identity else 1
    until = now + min(_AGAIN * _RARER ** min(times - 1, 9), max(book.limits.reminder, _AGAIN))
    return replace(alert, tries={**alert.tries, message.channel: Try(message.identity, phase, until, times)})


def _with_silences(book: Book, silences: tuple[Silence, ...], now: datetime) -> Book:
    """Return the book with these silences, each alert with the instant until which they hold it."""
    book = replace(book, silences=silences)
    alerts = dict(book.alerts)
    for key, alert in alerts.items():
        until = book.held_until(alert) if alert.closed_at is None else None
        alerts[key] = replace(alert, silenced_until=until if until is not None and until > now else None)
    return replace(book, alerts=alerts)


def _messages(book: Book, channel: str, now: datetime, host: str, *, alone: bool) -> Iterable[AlertMessage]:
    """
    Yield each message: what is new first, then what is said again under its old identity.

    Beyond ten openings within an hour all further ones are one summary; those after it wait until the hour is over.
    """
    ours = [alert for alert in book.alerts.values() if alert.host == host or (alone and alert.host is None)]
    due = [(alert, phase) for alert in ours if (phase := phase_of(book, alert, channel, now)) is not None]
    due.sort(key=lambda each: (_ORDER.get(each[0].cause, len(_ORDER)), each[0].opened_at, each[0].subject))
    lately = sum(1 for alert in ours if channel in alert.told and timedelta() <= now - alert.told[channel] < _HOUR)
    if lately > TOLD_EACH:
        due = [(alert, phase) for alert, phase in due if phase != OPENED or channel in alert.tries]
    by_message: dict[tuple[str, bool], list[AlertNote]] = {}  # what is over is a message of its own
    for alert, phase in due:
        tried = alert.tries.get(channel)
        again = tried.message if tried is not None and tried.phase == phase else ""
        by_message.setdefault((again, phase == CLOSED), []).append(AlertNote(alert, phase))
    for (again, _), notes in sorted(by_message.items(), key=lambda each: (each[0][0] != "", each[0][1])):
        opened = sum(1 for note in notes if note.phase == OPENED)
        is_summary = opened > max(0, TOLD_EACH - lately)
        yield AlertMessage(host, now, tuple(notes), channel, again or None, is_summary=is_summary)


# --- silences ---------------------------------------------------------------------------------------------------------


def silence(
    book: Book, kind: str | None, subject: str | None, until: datetime, now: datetime, *, all_causes: bool
) -> tuple[Book, tuple[Alert, ...]]:
    """Return the book with a silence of what is open now, or of whatever comes, and the open alerts that it holds."""
    book = _set_by_now(book, now)
    wanted = Silence(kind, subject, until, now)
    held = tuple(alert for alert in book.alerts.values() if alert.closed_at is None and wanted.fits(alert))
    if not all_causes:
        wanted = replace(wanted, causes=tuple(alert.key for alert in held))
    return _with_silences(book, (*book.silences, wanted), now), held


def lift(book: Book, kind: str | None, subject: str | None, now: datetime) -> tuple[Book, bool]:
    """Return the book without silences of a kind or a subject, and whether there was any."""
    book = _set_by_now(book, now)
    lifted = any(
        each.until > now
        and (kind is None or each.kind in (None, kind))
        and (subject is None or each.subject in (None, subject))
        and not any(later.until == later.set_at and later.covers(each) for later in book.silences[place:])
        for place, each in enumerate(book.silences)
    )
    return (silence(book, kind, subject, now, now, all_causes=True)[0] if lifted else book), lifted


def _set_by_now(book: Book, now: datetime) -> Book:
    """Return the book with each silence that a clock ahead set as one of just now, as long as was asked for."""
    before = now - timedelta(microseconds=1)
    held = [
        each if each.set_at <= now else replace(each, set_at=before, until=before + (each.until - each.set_at))
        for each in book.silences
    ]
    return replace(book, silences=tuple(held))
