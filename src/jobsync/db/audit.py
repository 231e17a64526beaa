"""Who changed what, when and from where: one row for every changing command."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobsync.hostname import host_name

if TYPE_CHECKING:
    from sqlalchemy import Connection


def actor() -> str:
    """Return the operating system's user, by number where it has no name."""
    import os

    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
    return name.encode(errors="replace").decode()  # it may hold any byte


def write_audit(
    connection: Connection, action: str, subject: str | None = None, details: Mapping[str, Any] | None = None
) -> None:
    """Record a change inside its own transaction; `details` never holds a secret."""
    from sqlalchemy import insert

    from jobsync.db.tables import audit

    values = {
        audit.c.actor: actor(),
        audit.c.host: host_name(),
        audit.c.action: action,
        audit.c.subject: subject,
        audit.c.details: json.loads(json.dumps(details or {}, default=str)),
    }
    connection.execute(insert(audit).values(values))


def list_audit(connection: Connection, *, limit: int) -> list[dict[str, Any]]:
    """Return the latest changes that people made, newest first."""
    from sqlalchemy import select

    from jobsync.db.statements import rows_of
    from jobsync.db.tables import audit

    told = (audit.c.at, audit.c.actor, audit.c.host, audit.c.action, audit.c.subject, audit.c.details)
    return rows_of(connection, select(*told).order_by(audit.c.id.desc()).limit(limit))
