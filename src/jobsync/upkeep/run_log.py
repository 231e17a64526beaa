"""What a run said, as the journal of this host has it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from jobsync.logs import visible, visible_lines

_LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


@dataclass(frozen=True)
class Entry:
    """
    One entry.

    Args:
        fields: those of ours, JOBSYNC_… and MESSAGE_ID, as text.
    """

    at: datetime
    level: str
    message: str
    fields: Mapping[str, str]


def read_entries(run_id: UUID) -> list[Entry] | None:
    """Return the run's entries, oldest first; None where no journal can be read."""
    if shutil.which("journalctl") is None:
        return None
    command = ["journalctl", f"JOBSYNC_RUN_ID={run_id}", "-o", "json", "--all", "--no-pager", "--quiet"]
    try:
        ran = subprocess.run(command, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    entries = [entry for line in ran.stdout.splitlines() if (entry := _parse(line)) is not None]
    return entries if entries or ran.returncode == 0 else None


def _parse(line: bytes) -> Entry | None:
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
    return Entry(at, level, visible_lines(_text(fields.get("MESSAGE"))), ours)


def _text(value: Any) -> str:
    """Return a field's text: journalctl writes bytes that are no plain text as numbers, repeated fields as a list."""
    if isinstance(value, list) and value and all(isinstance(part, int) for part in value):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, list):
        return _text(value[0]) if value else ""
    return "" if value is None else str(value)


def where_to_look(run: Mapping[str, Any] | None, *, this_host: str, readable: bool) -> str:
    """
    Return the sentence for somebody whose run has no entry here.

    Args:
        run: the run's row, None if the database could not be asked.
        readable: there is a journal, and it could be read.
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
