"""Who changed what, when and from where: one row for every changing command."""

from __future__ import annotations

import getpass
import json
import os
import pwd
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from jobsync.db.statements import rows_of
from jobsync.db.tables import audit
from jobsync.hostname import host_name

_NO_LOGIN = 2**32 - 1  # the kernel's value for a process without a login, such as a service


def actor() -> str:
    """
    Return the person who types this: of sudo, else who logged in, else this process's user; by number without a name.
    Root is named only where no other is known.
    """
    names = [name for name in (os.environ.get("SUDO_USER"), _login_name()) if name]
    try:
        name = next((name for name in names if name != "root"), None) or next(iter(names), None) or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
    return name.encode(errors="replace").decode()  # it may hold any byte


def _login_name() -> str | None:
    """Return who logged in: the kernel keeps it through su, sudo and runuser; a terminal may know it, too."""
    try:
        uid = int(Path("/proc/self/loginuid").read_text())
        if uid != _NO_LOGIN:
            return pwd.getpwuid(uid).pw_name
    except (OSError, ValueError, KeyError):
        pass
    try:
        return os.getlogin()
    except OSError:
        return None


def write_audit(
    connection: Connection, action: str, subject: str | None = None, details: Mapping[str, Any] | None = None
) -> int:
    """Record a change inside its own transaction, and return the row's id; `details` never holds a secret."""
    values = {
        audit.c.actor: actor(),
        audit.c.host: host_name(),
        audit.c.action: action,
        audit.c.subject: subject,
        audit.c.details: json.loads(json.dumps(details or {}, default=str)),
    }
    number: int = connection.execute(insert(audit).values(values).returning(audit.c.id)).scalar_one()
    return number


class AuditOfParts:
    """The one row of a change that commits in parts: each brings it up to date, inside its own transaction."""

    def __init__(self, action: str, **details: Any) -> None:
        self._action, self._details = action, details
        self._counts: Counter[str] = Counter()
        self._row: int | None = None

    def __call__(self, connection: Connection, counts: Mapping[str, int]) -> None:
        """Add what a part did."""
        self._counts.update(counts)
        details = {**self._details, **self._counts}
        if self._row is None:
            self._row = write_audit(connection, self._action, None, details)
        else:
            connection.execute(update(audit).where(audit.c.id == self._row).values({audit.c.details: details}))


def list_audit(connection: Connection, *, limit: int) -> list[dict[str, Any]]:
    """Return the latest changes that people made, newest first."""
    told = (audit.c.at, audit.c.actor, audit.c.host, audit.c.action, audit.c.subject, audit.c.details)
    return rows_of(connection, select(*told).order_by(audit.c.id.desc()).limit(limit))
