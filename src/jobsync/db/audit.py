"""Who changed what, when and from where: one row for every changing command."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    from sqlalchemy import text

    connection.execute(
        text("INSERT INTO audit (actor, host, action, subject, details) VALUES (:actor, :host, :action, :subject, :d)"),
        {
            "actor": actor(),
            "host": socket.gethostname(),
            "action": action,
            "subject": subject,
            "d": json.dumps(details or {}, default=str),
        },
    )


def list_audit(connection: Connection, *, limit: int) -> list[dict[str, Any]]:
    """Return the latest changes that people made, newest first."""
    from sqlalchemy import text

    rows = connection.execute(
        text("SELECT at, actor, host, action, subject, details FROM audit ORDER BY id DESC LIMIT :limit"),
        {"limit": limit},
    )
    return [dict(row) for row in rows.mappings()]
