"""What is sent once to one channel: for a person as text, for a program as JSON, under one identity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from jobsync import __version__
from jobsync.alerts.model import CLOSED, OPENED, REMINDED, Alert
from jobsync.logs import visible

TEST = "test"
TOLD_EACH = 10  # openings within an hour; beyond that they are one summary
_SHOWN_MOST = 50
_PHASES = {  # as they are told: word in a title, head in a text, state in the document
    OPENED: ("problem", "PROBLEM", "firing"),
    REMINDED: ("still", "STILL THERE", "reminder"),
    CLOSED: ("recovered", "RECOVERED", "resolved"),
    TEST: ("test", "TEST", "test"),
}


class AlertNote(NamedTuple):
    """One alert in one phase."""

    alert: Alert
    phase: str


@dataclass(frozen=True)
class AlertMessage:
    """What is sent once to one channel."""

    host: str
    sent_at: datetime
    notes: tuple[AlertNote, ...]
    channel: str = ""
    repeats: str | None = None  # the identity of the one that it says again, which perhaps arrived
    is_summary: bool = False  # so much was opened that each is a line

    @property
    def identity(self) -> str:
        """A name for the message that a repeated try shares."""
        if self.repeats:
            return self.repeats
        # when the channel was last told, since two reminders are two messages
        told = [(*alert.key, phase, alert.opened_at, alert.said_open(self.channel)) for alert, phase in self.notes]
        parts = [_utc(part) if isinstance(part, datetime) else str(part) for each in told for part in each]
        return blake2b("\0".join([self.host, *parts]).encode("utf-8", "replace"), digest_size=10).hexdigest()

    @property
    def title(self) -> str:
        """One line; safe for a header."""
        if len(self.notes) == 1:
            [(alert, phase)] = self.notes
            return visible(f"[jobsync] {_PHASES[phase][0]}: {alert.text}", most=160)
        counts = Counter(phase for _, phase in self.notes)
        parts = [
            f"{counts[phase]} {word}{'s' * (phase == OPENED and counts[phase] > 1)}"
            for phase, (word, *_) in _PHASES.items()
            if counts[phase]
        ]
        return f"[jobsync] {', '.join(parts)} on {visible(self.host)}"

    def text(self) -> str:
        foot = f"-- jobsync {__version__} on {visible(self.host)}; all of it: jobsync alerts list\n"
        return "\n".join([*(line for phase in _PHASES for line in self._lines_of(phase)), foot])

    def _lines_of(self, phase: str) -> Iterator[str]:
        notes = [alert for alert, told in self.notes if told == phase]
        head = _PHASES[phase][1]
        if phase == OPENED and self.is_summary:
            yield f"More than {TOLD_EACH} problems within an hour; {len(notes)} of them are here, a line each, and what"
            yield "comes in the next hour is told after it. What to do about each: jobsync alerts list"
            yield ""
        for alert in notes[:_SHOWN_MOST]:
            yield f"{head}: {visible(alert.text)}"
            if phase == OPENED and self.is_summary:
                continue
            since = f"  noticed {_utc(alert.opened_at)}"
            yield f"{since}, over at {_utc(alert.closed_at)}" if alert.closed_at and phase == CLOSED else since
            if phase in (OPENED, REMINDED):
                yield f"  cause: {visible(alert.cause)}"
                yield f"  what to do: {visible(alert.what_to_do)}"
            yield ""
        if len(notes) > _SHOWN_MOST:
            yield from (f"... and {len(notes) - _SHOWN_MOST} more: jobsync alerts list", "")

    def as_json(self) -> dict[str, Any]:
        """Return the webhook's document; `text` is what chat services show."""
        return {
            "source": "jobsync",
            "version": __version__,
            "host": visible(self.host),
            "id": self.identity,
            "sent_at": self.sent_at.isoformat(),
            "text": self.title,
            "alerts": [
                {
                    "subject": visible(alert.subject),
                    "kind": alert.kind,
                    "cause": visible(alert.cause),
                    "status": _PHASES[phase][2],
                    "text": visible(alert.text),
                    "what_to_do": visible(alert.what_to_do),
                    "opened_at": alert.opened_at.isoformat(),
                    "closed_at": alert.closed_at.isoformat() if alert.closed_at else None,
                    "times": alert.times,
                }
                for alert, phase in self.notes
            ],
        }


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
