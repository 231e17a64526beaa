"""jobsync alerts: what is wrong and who was told, whether telling works, and what is not to be told for a while."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from sqlalchemy import Engine

from jobsync.alerts.act import send_test
from jobsync.alerts.decide import lift, silence
from jobsync.alerts.memory import look_up, opened
from jobsync.alerts.model import Alert
from jobsync.causes import Kind
from jobsync.cli.command import Answer, argument, command, flag, group, option, said, table
from jobsync.cli.health import require_units_user, usable_channels
from jobsync.db.engine import Database
from jobsync.db.statements import read_now
from jobsync.errors import ConfigurationProblem, ExitCode, JobsyncError, UsageProblem
from jobsync.logs import complain, visible
from jobsync.phrases import many, read_when, stamp
from jobsync.watch.health import HOW_TO_SET
from jobsync.wiring import Tools

app = group("What is wrong, who was told of it, and what is not to be told for a while.")
KindArgument = Annotated[Kind | None, argument("KIND", f"One of {', '.join(Kind)}.")]
SubjectArgument = Annotated[str | None, argument("SUBJECT", "As alerts list shows it; all of the kind.")]
SubjectOption = Annotated[str | None, option("SUBJECT", "Without KIND: every kind.", "--subject")]
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = re.compile(rf"({'|'.join(_DAYS)})[a-z]*(?: +([01]?\d|2[0-3]):([0-5]\d))?")
_SHOWN = ("kind", "subject", "cause", "opened_at", "told", "silenced_until", "closed_at", "text", "what_to_do")


@command("alerts list", of=app, reads=True)
def list_(tools: Tools) -> Answer:
    """List open alerts, and those that ended within the last seven days: since when, why, who was told, what to do."""
    database = _database(tools)
    book = look_up(tools.environ, database[1] if database is not None else None)
    listed = sorted(
        (alert for alert in book.alerts.values() if alert.closed_at is None or alert.ripe),
        key=lambda alert: (alert.closed_at is not None, alert.opened_at, alert.key),
    )
    rows = [{name: getattr(alert, name) for name in (*_SHOWN, "reminded", "times")} for alert in listed]
    columns = ("kind", "subject", "cause", "opened", "state", "text", "what to do")
    told = [
        (a.kind, a.subject, a.cause, a.opened_at, _state(a), a.text, None if a.closed_at else a.what_to_do)
        for a in listed
    ]
    return table(rows, columns, told, empty="no alert is open, and none ended within the last seven days")


def _state(alert: Alert) -> str:
    told = ", ".join(f"{channel} told {stamp(at)}" for channel, at in {**alert.told, **alert.reminded}.items())
    if alert.closed_at is not None:
        return f"over {stamp(alert.closed_at)}{f'; {told}' if told else ''}"
    if alert.silenced_until is not None:
        return f"silenced until {stamp(alert.silenced_until)}{f'; {told}' if told else ''}"
    return told or ("nobody told yet" if alert.ripe else f"seen {many(alert.times, 'time')}, told if it goes on")


@command("alerts test", of=app)
def test(tools: Tools) -> Answer:
    """Send a message to every channel, and say what each answered: exit 0 all took it, 1 not all, 78 none is set."""
    channels, wrong = usable_channels(tools, is_asked=True)
    if not channels:
        raise ConfigurationProblem("; ".join(wrong) or f"no channel is set: {HOW_TO_SET}")
    answers = send_test(channels, now=datetime.now(UTC))
    answers += [(words.partition(":")[0], False, words) for words in wrong]
    document = [{"channel": name, "sent": sent, "answer": visible(words)} for name, sent, words in answers]
    rows = [(name, "sent" if sent else "NOT SENT", words) for name, sent, words in answers]
    code = ExitCode.DONE if all(sent for _, sent, _ in answers) else ExitCode.FAILED
    return table(document, ("channel", "", "answer"), rows, code=code)


@command("alerts silence queue --until 2d12h", of=app)
def silence_(
    tools: Tools,
    until: Annotated[str, option("T", "8h, 3d, mon 08:00 or 2026-12-24T18:00Z.")],
    kind: KindArgument = None,
    subject: SubjectArgument = None,
    of: SubjectOption = None,
    all_causes: Annotated[bool, flag("New ones too, not only those open now.")] = False,
) -> Answer:
    """Tell nobody of what is open now until an instant; what is still open then is told."""
    subject = _wanted(kind, subject, of)
    database, now = _database_and_now(tools)
    end = _instant(until, now)
    details = {"kind": kind, "until": end, "all_causes": all_causes}
    with opened(tools.environ, database, ("alerts.silence", subject or kind, details)) as memory:
        book, held = silence(memory.read(), kind, subject, end, now, all_causes=all_causes)
        if held or all_causes:
            memory.write(book)
    document = {**details, "subject": subject, "silenced": [dict(zip(_SHOWN, a.key, strict=False)) for a in held]}
    sentence = f"{many(len(held), 'open alert')} of {_named(kind, subject)} silenced until {stamp(end)}"
    if all_causes:
        sentence += ", and what else comes of it"
    elif not held:
        sentence = (
            f"nothing of {_named(kind, subject)} is open, so nothing was silenced; what comes too: --all-causes;"
            " what is open: jobsync alerts list"
        )
    return said(document, sentence + _where(database, memory.file.folder))


@command("alerts unsilence queue", of=app)
def unsilence(
    tools: Tools, kind: KindArgument = None, subject: SubjectArgument = None, of: SubjectOption = None
) -> Answer:
    """Let people be told again; what is open is told at the next look."""
    subject = _wanted(kind, subject, of)
    database, now = _database_and_now(tools)
    with opened(tools.environ, database, ("alerts.unsilence", subject or kind, {"kind": kind})) as memory:
        book, lifted = lift(memory.read(), kind, subject, now)
        if lifted:
            memory.write(book)
    done = "no longer silenced" if lifted else "nothing was silenced"
    document = {"kind": kind, "subject": subject, "lifted": lifted}
    return said(document, f"{_named(kind, subject)}: {done}{_where(database, memory.file.folder)}")


def _wanted(kind: Kind | None, subject: str | None, of: str | None) -> str | None:
    if kind is None and of is None:
        raise UsageProblem(f"say what: one of the kinds {', '.join(Kind)}, or --subject SUBJECT")
    if subject is not None and of is not None:
        raise UsageProblem("SUBJECT and --subject say the same; give one of them")
    return subject if subject is not None else of


def _named(kind: str | None, subject: str | None) -> str:
    return " ".join(filter(None, (kind or "every kind", f"({subject})" if subject else None)))


def _database(tools: Tools) -> tuple[Database, Engine] | None:
    """Return the database; None, said on standard error, where it cannot be used and this host's file must do."""
    try:
        return tools.database, tools.engine
    except JobsyncError as error:
        complain(f"jobsync: {visible(error)}; what follows is what this host remembers")
        return None


def _database_and_now(tools: Tools) -> tuple[tuple[Database, Engine] | None, datetime]:
    require_units_user(tools)
    database = _database(tools)
    if database is None:
        return None, datetime.now(UTC)
    with tools.transaction() as connection:
        return database, read_now(connection)


def _where(database: tuple[Database, Engine] | None, folder: Path | None) -> str:
    if database is not None:
        return ""
    if folder is None:
        raise ConfigurationProblem("nothing was kept: no state folder can be written; set STATE_DIRECTORY")
    return f" (on this host, in {folder}/alerts.json)"


def _instant(words: str, now: datetime) -> datetime:
    if day := _DAY.fullmatch(words.strip().lower()):
        at = now.astimezone(UTC).replace(hour=int(day[2] or 0), minute=int(day[3] or 0), second=0, microsecond=0)
        at += timedelta(days=(_DAYS.index(day[1]) - at.weekday()) % 7)
        return at if at > now else at + timedelta(days=7)
    end = read_when("--until", words, now=now, past=False, more=", or a day of the week: mon 08:00")
    if end.year >= 9000:
        raise UsageProblem(f"--until: {end.isoformat()} is no instant to wait for, expected a year before 9000")
    if end <= now:
        raise UsageProblem(f"--until: {end.isoformat()} is past")
    return end
