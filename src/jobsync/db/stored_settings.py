"""The rows of system settings as people list and change them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from jobsync.db.audit import write_audit
from jobsync.db.statements import upsert
from jobsync.db.system_settings import CATALOGUE, near_setting
from jobsync.db.tables import system_settings as table


def list_settings(connection: Connection) -> list[dict[str, object]]:
    """Return every setting; last come keys of the table that nothing here reads, misspelt ones perhaps."""
    found = connection.execute(select(table.c.key, table.c.value, table.c.updated_at))
    stored: dict[str, Any] = {row.key: row for row in found}
    rows: list[dict[str, object]] = []
    for key, kind in CATALOGUE.items():
        row = stored.get(key)
        default = kind.spell(str(kind.default))
        readable = row is None or kind.read(row.value) is not None
        rows.append(
            {
                "key": key,
                "value": row.value if row else default,
                "default": default,
                "expected": kind.expected,
                "description": kind.description,
                "used": True,
                "readable": readable,
                "in_force": "the stored value" if readable else kind.consequence,
                "updated_at": row.updated_at if row else None,
            }
        )
    for key in sorted(stored.keys() - CATALOGUE.keys()):
        row = stored[key]
        rows.append(
            {
                "key": key,
                "value": row.value,
                "default": None,
                "expected": None,
                "description": "; ".join(filter(None, ["no setting of jobsync", near_setting(key)])),
                "used": False,
                "readable": True,
                "in_force": "jobsync does not read it",
                "updated_at": row.updated_at,
            }
        )
    return rows


def write_setting(connection: Connection, key: str, value: str) -> str | None:
    """Store a checked value and record who did it; returns the old one."""
    old: str | None = connection.scalar(select(table.c.value).where(table.c.key == key).with_for_update())
    values = {table.c.key: key, table.c.value: value, table.c.description: CATALOGUE[key].description}
    connection.execute(upsert(table.c.key, values, only_new=(table.c.description,)))
    write_audit(connection, "settings.set", key, {"old": old, "new": value})
    return old
