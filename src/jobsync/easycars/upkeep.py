"""What keeps stock in order: how long its rows stay, what the doctor asks of credentials, the items of past runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, and_, cast, func, not_, or_, select, text

from jobsync.db.jsonb import as_lines
from jobsync.db.tables import dealerships, easycar_credentials, easycar_sync_logs, holds, refused_items, vehicle_changes
from jobsync.easycars.credentials import Place, bound_to, sealed_at
from jobsync.easycars.registry import read_secrets
from jobsync.errors import ExitCode, JobsyncError
from jobsync.jobs import STOCK_SYNC
from jobsync.phrases import many
from jobsync.upkeep import model

LOGS_KEPT = 30

_last_holds = select(func.max(holds.c.id)).group_by(holds.c.dealership_id, holds.c.kind)

# The last logs of each dealership stay, plans and listings read them; so does the last removal of each vehicle.
RULES = (
    model.walk(refused_items.c.created_at, "items_retention_days"),
    model.RetentionRule(
        easycar_sync_logs,
        "runs_retention_days",
        text(
            "SELECT old.id FROM dealerships d CROSS JOIN LATERAL ("
            "   SELECT n.synced_at FROM easycar_sync_logs n WHERE n.dealership_id = d.id AND n.sync_type = 'stock'"
            f"  ORDER BY n.synced_at DESC OFFSET {LOGS_KEPT - 1} LIMIT 1) kept"
            " JOIN easycar_sync_logs old ON old.dealership_id = d.id AND old.sync_type = 'stock'"
            " AND old.synced_at < :before AND old.synced_at < kept.synced_at LIMIT :batch"
        ),
    ),
    model.walk(
        vehicle_changes.c.changed_at,
        "runs_retention_days",
        not_(and_(vehicle_changes.c.field == "status", vehicle_changes.c.new == "removed")),
    ),
    model.RetentionRule(
        holds,
        "runs_retention_days",
        model.oldest(
            holds,
            holds.c.created_at < model.BEFORE,
            holds.c.status.in_(("rejected", "superseded", "approved")),
            or_(holds.c.status != "approved", holds.c.applied_at.is_not(None)),
            holds.c.id.not_in(_last_holds),
        ),
    ),
)


def check_key(
    connection: Connection,
    decrypt: Callable[[str, Place], object] | None,
    current: Callable[[str, Place], object] | None = None,
) -> Iterator[model.Finding]:
    """
    Can every stored credential be read with the key that is set, and only where it belongs?

    `decrypt` takes every key that is set (None: there is none), `current` the current one (None: there is one only).
    """
    rows = read_secrets(connection)
    name, stored = "encryption key", many(len(rows), "credential")
    if decrypt is None:
        words = "JOBSYNC_ENCRYPTION_KEY is not set"
        if rows:
            what = "set the key that they were stored with"
            yield model.problem(name, f"{words}, {stored} cannot be read", what, ExitCode.CONFIGURATION)
        else:
            yield model.warning(name, words, "needed before: jobsync credentials set")
        return
    if unreadable := _unreadable(rows, decrypt):
        words = f"it does not decrypt the credentials of dealership {model.some(unreadable)}"
        what = (
            "the key they were stored with in JOBSYNC_ENCRYPTION_KEY_PREVIOUS, then jobsync credentials rotate-key;"
            " what was copied there from another dealership or field: jobsync credentials set ID"
        )
        yield model.problem(name, words, what, ExitCode.CONFIGURATION)
        return
    yield model.ok(name, f"decrypts {stored}")
    unbound = [str(number) for number, *texts in rows if any(bound_to(text) != number for text in texts)]
    if unbound:
        words = (
            f"{many(len(unbound), 'credential')} not bound to its own dealership and field: by the program before"
            f" or copied: dealership {model.some(unbound)}"
        )
        yield model.warning("bound credentials", words, "jobsync credentials rotate-key, with the key left as it is")
    if current is None:
        return
    words = "JOBSYNC_ENCRYPTION_KEY_PREVIOUS is set, and nothing needs it any more"
    what = "take it out of the environment, the credential or the configuration file"
    if old := _unreadable(rows, current):
        words = f"JOBSYNC_ENCRYPTION_KEY_PREVIOUS is still needed for the credentials of dealership {model.some(old)}"
        what = "jobsync credentials rotate-key"
    yield model.warning("previous key", words, what)


def check_accounts(groups: Iterable[Sequence[Mapping[str, Any]]]) -> Iterator[model.Finding]:
    """Has each dealership an account, or a yard of one, to itself? `groups` as `find_shared_accounts` returns them."""
    shared = list(groups)
    for group in shared:
        names = ", ".join(f"{found['dealership_id']} {found['name']}" for found in group)
        words = f"dealerships {names} have the same client, account and yard: each lists the other's stock"
        yield model.warning("accounts", words, f"jobsync credentials set {group[-1]['dealership_id']}")
    if not shared:
        yield model.ok("accounts", "no two dealerships have the same client, account and yard")


def _unreadable(rows: Sequence[Any], decrypt: Callable[[str, Place], object]) -> list[str]:
    found = []
    for dealership_id, *stored in rows:
        bad = []
        for place, value in sealed_at(dealership_id, stored):
            try:
                decrypt(value, place)
            except JobsyncError:
                bad.append(place.field)
        if bad:
            found.append(f"{dealership_id} ({', '.join(bad)})" if len(bad) < len(stored) else str(dealership_id))
    return found


def environments_in_use(connection: Connection) -> set[str]:
    return set(connection.scalars(select(easycar_credentials.c.environment).where(easycar_credentials.c.is_active)))


def _read_there(connection: Connection, keys: Sequence[str]) -> set[str]:
    number = cast(dealerships.c.id, Text)
    return set(connection.scalars(select(number).where(number.in_(keys))))


def _read_warnings(connection: Connection, run_id: UUID) -> dict[str, list[str]]:
    logs = easycar_sync_logs.c
    rows = connection.execute(select(logs.dealership_id, logs.warnings).where(logs.run_id == run_id))
    return {str(row.dealership_id): as_lines(row.warnings) for row in rows}


ITEMS = model.ItemsOfRuns(STOCK_SYNC.name, _read_there, _read_warnings)
