"""
journald's native protocol (systemd's JOURNAL_NATIVE_PROTOCOL): fields that can be asked for, one entry for a text of
several lines. Fields with names that it does not like are dropped without a word, so names are made to fit here.
"""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import re
import socket
import struct
from collections.abc import Iterable, Mapping

SOCKET = "/run/systemd/journal/socket"
_SEALS = 0xF  # seal, shrink, grow, write; not every build of Python has the names
_SEND_BUFFER = 8 << 20
_PRIORITIES = {"debug": 7, "info": 6, "notice": 5, "warning": 4, "error": 3, "critical": 2}
# Ours to word, or the journal's own: not repeated as fields.
_NOT_FIELDS = frozenset({"event", "level", "timestamp", "message", "summary", "exception"})
_NOT_SHOWN = _NOT_FIELDS | {"job", "run_id", "item", "tenant_id"}
_RENAMED = {"status": "outcome"}

# One id per kind of event, for ever: `journalctl MESSAGE_ID=…` finds every event of the kind.
MESSAGE_IDS = {
    "run.finished": "01ca23710ea949d9873187411d9171af",
    "run.skipped": "4ffeb1f2edb3432fb92169368960b8a2",
    "run.failed": "7173c95ad65c43009c8b28d3ccc6fac5",
    "run.bug": "302979bd8f6742298ceb5288cccb9462",
    "run.found_crashed": "4aaecdc688cc4351be3f5d9d2bc4a1a9",
    "run.stopping": "468e3cec28314471a61661e28a466411",
    "run.globally_disabled": "ba7ca244ad9a468db6c9846250b4a212",
    "run.verdict_not_recorded": "c4c276a47aa9490c9b843c448387c439",
    "item.bug": "c6a0b94adc8e40b191117cb29aacdab2",
    "stock_sync.dealership_finished": "9d038bf76330466382feb5d0c65b671d",
    "stock_sync.dealership_failed": "21cff8e471624bfea54198b03d1efbef",
    "check_authorizations.asked": "6616bb2bae2d4933909d48951372fefd",
    "check_authorizations.failed": "372651db73134ad2808a4c2a29b4dc42",
    "check_authorizations.circuit": "fbebe7b96ef244989a57dc7f87567310",
    "generate_ride.rendered": "2e5542afa3964ce481bf673c02640869",
    "generate_ride.failed": "2a3bb88050e0436c8efd26565f3f7c63",
    "generate_ride.storage": "0bd90d4c248e482abed95f09888385e4",
    "alert.sent": "8118747769b94b7e839756b743893c44",
    "alert.not_sent": "f2c13e89be8c43f3b3afb4bcbf86de24",
    "health.no_database": "2a416d87fd3f419fb568f465bbea38f6",
    "command.bug": "75ace2597b984cdda860be86ac1b2df7",
    "command.failed": "437c76ac03e64cf8a524b178e1845225",
}


def is_journal(environ: Mapping[str, str]) -> bool:
    """Whether standard error leads to the journal: where it is redirected, it does not."""
    try:
        found = os.fstat(2)
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def send(fields: Iterable[tuple[str, str]]) -> None:
    """
    Send one entry; raises OSError if journald does not listen.

    What does not fit into a datagram goes as a sealed file in memory, beside an empty datagram.
    """
    data = b"".join(_encode(name, text) for name, text in fields)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        try:
            line.sendto(data, SOCKET)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            with open(os.memfd_create("journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb") as file:  # noqa: PTH123
                file.write(data)
                file.flush()
                fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
                descriptors = array.array("i", [file.fileno()])
                line.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)], 0, SOCKET)


def _encode(name: str, text: str) -> bytes:
    value = text.encode("utf-8", "backslashreplace")
    before = b"\n" + struct.pack("<Q", len(value)) if b"\n" in value else b"="
    return name.encode("ascii") + before + value + b"\n"


def to_fields(event: Mapping[str, object]) -> list[tuple[str, str]]:
    """
    Return a log event, already made visible, as the fields of an entry.

    MESSAGE has the event and what it says, since that is all that `journalctl` shows; every value is a field too.

    >>> dict(to_fields({"event": "run.finished", "level": "info", "job": "stock-sync", "status": "held"}))["MESSAGE"]
    'run.finished stock-sync: status=held'
    """
    name = str(event.get("event", ""))
    return [
        ("MESSAGE", _message(name, event)),
        ("PRIORITY", str(_PRIORITIES.get(str(event.get("level")), 6))),
        ("SYSLOG_IDENTIFIER", "jobsync"),
        ("JOBSYNC_EVENT", name),
        *([("MESSAGE_ID", MESSAGE_IDS[name])] if name in MESSAGE_IDS else []),
        *((_field(key), _text(value)) for key, value in event.items() if key not in _NOT_FIELDS and value is not None),
        *([("JOBSYNC_TRACEBACK", str(event["exception"]))] if "exception" in event else []),
    ]


def _message(name: str, event: Mapping[str, object]) -> str:
    job = str(event.get("job") or "")
    head = f"{name} {job}" if job and not name.startswith(job.replace("-", "_")) else name
    words = [str(event[key]) for key in ("message", "summary") if event.get(key)]
    # what is worded needs its numbers no second time
    shown = [key for key in event if key in ("status", "error") or not (words or key in _NOT_SHOWN)]
    facts = [f"{key}={_text(event[key])}" for key in shown if event[key] not in (None, "", [], {})]
    message = f"{head}: {' '.join([*words, *facts])}" if words or facts else head
    return f"{message}\n{event['exception']}" if "exception" in event else message


def _field(key: str) -> str:
    return ("JOBSYNC_" + re.sub("[^A-Z0-9_]", "_", _RENAMED.get(key, key).upper()))[:64]


def _text(value: object) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)
