"""What a run said, as the journal of this host has it."""

import json
import os
import pwd
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from jobsync.errors import ConfigurationProblem
from jobsync.logs import visible, visible_lines

# What journalctl says, in every language, of entries that this user may not see: of all, or of those of services.
_CLOSED = (b"insufficient permissions", b"not seeing messages")
_LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
Read = TypeVar("Read")


class JournalEntry(NamedTuple):
    """One entry, with the fields of ours: JOBSYNC_… and MESSAGE_ID, as text."""

    at: datetime
    level: str
    message: str
    fields: Mapping[str, str]


class JournalClosed(ConfigurationProblem):
    """This host has a journal, and this user may not read what services said."""


def read_entries(run_id: UUID) -> list[JournalEntry] | None:
    """Return the run's entries, oldest first; None where no journal can be read. Raises JournalClosed."""
    return _ask(_parse, f"JOBSYNC_RUN_ID={run_id}", "-o", "json", "--all")


def find_runs(beginning: str) -> list[UUID]:
    """Return the runs of which the journal has entries, by the beginning of their ids; raises JournalClosed."""

    def read(line: bytes) -> UUID | None:
        text = line.decode(errors="replace").strip()
        return as_run_id(text) if text.startswith(beginning.lower()) else None

    return sorted(_ask(read, "-F", "JOBSYNC_RUN_ID") or [])


def as_run_id(text: str) -> UUID | None:
    """Return a whole run id, None for what is none."""
    with suppress(ValueError):
        return UUID(text)
    return None


def _ask(read: Callable[[bytes], Read | None], *arguments: str) -> list[Read] | None:
    try:
        ran = subprocess.run(["journalctl", *arguments, "--no-pager"], capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = [each for line in ran.stdout.splitlines() if (each := read(line)) is not None]
    if not found and any(words in ran.stderr for words in _CLOSED):
        user = str(os.geteuid())
        with suppress(KeyError):
            user = visible(pwd.getpwuid(os.geteuid()).pw_name)
        raise JournalClosed(
            f"the journal of this host cannot be read by {user}, who is in neither of the groups systemd-journal and"
            f" adm: ask as root, or allow it for good, as root: usermod -aG systemd-journal {user}"
        )
    return found if found or ran.returncode == 0 else None


def _parse(line: bytes) -> JournalEntry | None:
    try:
        fields = json.loads(line)
        at = datetime.fromtimestamp(int(fields["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
        level = _LEVELS[int(_text(fields.get("PRIORITY", "6")))]
    except (ValueError, KeyError, IndexError, TypeError, OverflowError):
        return None
    ours = {
        name: visible_lines(_text(value))
        for name, value in fields.items()
        if name.startswith("JOBSYNC_") or name == "MESSAGE_ID"
    }
    return JournalEntry(at, level, visible_lines(_text(fields.get("MESSAGE"))), ours)


def _text(value: Any) -> str:
    """Return a field's text: journalctl writes bytes that are no plain text as numbers, repeated fields as a list."""
    if isinstance(value, list) and value and all(isinstance(part, int) for part in value):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, list):
        return _text(value[0]) if value else ""
    return "" if value is None else str(value)


def speaks_to_journal(run: Mapping[str, Any], *, of: str) -> bool:
    """Whether what a run said went to the journal of this host."""
    return run["trigger"] not in ("manual", "cron") and bool(run["host"] == of)


def where_to_look(run: Mapping[str, Any] | None, *, this_host: str, readable: bool) -> str:
    """
    Return the sentence for somebody whose run has no entry here.

    The run's row is None if the database could not be asked; `readable`: there is a journal, and it could be read.
    """
    if run is None:
        return "the journal of this host has nothing of this run, and the database cannot be asked where it was"
    started = f"{run['started_at']:%Y-%m-%d %H:%M}"
    host = visible(run["host"])
    if run["trigger"] == "manual":
        return f"it was typed by hand on {host} at {started}: its lines went to that command's standard error"
    if run["trigger"] == "cron":
        return (
            f"it ran on {host} at {started} with --scheduled, without systemd and without a terminal: under cron look"
            " into the mail to MAILTO of /etc/cron.d/jobsync, else where that scheduler keeps what a run says"
        )
    if host != this_host:
        return f"it ran on {host}: ask there, jobsync logs {run['run_id']}"
    if not readable:
        return "no journal can be read here: look where this host's output of services goes"
    return (
        f"the journal of this host has nothing of it: it may be older than the journal keeps ({started}), or your user"
        " may not read it (group systemd-journal)"
    )
