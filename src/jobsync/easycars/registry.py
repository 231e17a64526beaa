"""The SQL of what people do: dealerships, their credentials, their decisions on held removals, and their questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, case, delete, func, insert, or_, select, text, true, update

from jobsync.cron import Rule, resolve
from jobsync.db.audit import actor, write_audit
from jobsync.db.engine import driver
from jobsync.db.statements import read_now, rows_of, upsert
from jobsync.db.tables import (
    dealership_settings,
    dealerships,
    easycar_credentials,
    easycar_sync_logs,
    held_removals,
    refused_items,
    sync_schedule,
    vehicle_changes,
    vehicles,
)
from jobsync.easycars import store
from jobsync.easycars.credentials import Cipher, Credentials, CredentialsUnreadable
from jobsync.easycars.model import FEED_COLUMNS
from jobsync.easycars.schedule import coming_slot
from jobsync.errors import ConfigurationProblem, UsageProblem
from jobsync.spans import parse_span

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

Rows = Sequence[dict[str, Any]]

_IDS_END = 2**63  # the database takes no larger number for an id, and people may type one


def _rows(connection: Connection, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]


def require_dealership(connection: Connection, dealership_id: int) -> str:
    """
    Return the dealership's name.

    Raises:
        UsageProblem: there is none with this number.
    """
    name: str | None = None
    if abs(dealership_id) < _IDS_END:
        name = connection.scalar(select(dealerships.c.name).where(dealerships.c.id == dealership_id))
    if name is None:
        raise UsageProblem(f"no dealership {dealership_id}; jobsync dealership list shows them")
    return name


def add_dealership(connection: Connection, name: str, *, timezone: str | None, email: str | None) -> dict[str, Any]:
    """Insert a dealership; returns {id, name, timezone}."""
    values = {dealerships.c.name: name, dealerships.c.timezone: timezone, dealerships.c.email: email}
    told = (dealerships.c.id, dealerships.c.name, dealerships.c.timezone)
    [row] = rows_of(connection, insert(dealerships).values(values).returning(*told))
    write_audit(connection, "dealership.add", str(row["id"]), {"name": name, "timezone": timezone})
    return row


def change_dealership(connection: Connection, dealership_id: int, changes: Mapping[str, str | None]) -> None:
    """Change name, timezone or email (None: has none); the next tick computes the slot of a changed zone."""
    require_dealership(connection, dealership_id)
    this = dealerships.c.id == dealership_id
    [before] = rows_of(connection, select(*(dealerships.c[name] for name in changes)).where(this).with_for_update())
    values = {dealerships.c[name]: value for name, value in changes.items()}
    connection.execute(update(dealerships).where(this).values({**values, dealerships.c.updated_at: func.now()}))
    told = {**changes, **{f"{name}_before": value for name, value in before.items()}}
    write_audit(connection, "dealership.set", str(dealership_id), told)


_LAST_SYNC = (
    select(
        easycar_sync_logs.c.status,
        easycar_sync_logs.c.synced_at,
        case(
            (
                func.jsonb_typeof(easycar_sync_logs.c.warnings) == "array",
                func.jsonb_array_length(easycar_sync_logs.c.warnings),
            ),
            else_=0,
        ).label("warnings"),
    )
    .where(easycar_sync_logs.c.dealership_id == dealerships.c.id, easycar_sync_logs.c.sync_type == "stock")
    .order_by(easycar_sync_logs.c.synced_at.desc(), easycar_sync_logs.c.id.desc())
    .limit(1)
    .lateral("last_sync")
)
_OVERVIEW = (
    select(
        dealerships.c.id,
        dealerships.c.name,
        dealerships.c.email,
        dealerships.c.timezone,
        func.coalesce(dealership_settings.c.easycar_auto_sync_enabled, True).label("auto_sync"),
        dealership_settings.c.sync_cron,
        func.coalesce(dealership_settings.c.paused_until > func.now(), False).label("paused"),
        case(
            (dealership_settings.c.paused_until < datetime(9000, 1, 1, tzinfo=UTC), dealership_settings.c.paused_until)
        ).label("paused_until"),
        dealership_settings.c.paused_reason,
        easycar_credentials.c.environment,
        easycar_credentials.c.yard_code,
        func.coalesce(easycar_credentials.c.is_active, False).label("has_credentials"),
        _LAST_SYNC.c.status.label("last_status"),
        _LAST_SYNC.c.warnings.label("last_warnings"),
        _LAST_SYNC.c.synced_at.label("last_synced_at"),
        sync_schedule.c.last_success_at,
        func.coalesce(sync_schedule.c.attempt, 0).label("attempt"),
        sync_schedule.c.next_at,
        sync_schedule.c.retry_at,
        select(func.count())
        .where(vehicles.c.dealership_id == dealerships.c.id, vehicles.c.status != "removed")
        .scalar_subquery()
        .label("vehicles"),
        select(func.count())
        .where(held_removals.c.dealership_id == dealerships.c.id, held_removals.c.status == "pending")
        .scalar_subquery()
        .label("held"),
    )
    .select_from(dealerships)
    .outerjoin(dealership_settings, dealership_settings.c.dealership_id == dealerships.c.id)
    .outerjoin(easycar_credentials, easycar_credentials.c.dealership_id == dealerships.c.id)
    .outerjoin(sync_schedule, sync_schedule.c.dealership_id == dealerships.c.id)
    .outerjoin(_LAST_SYNC, true())
    .order_by(dealerships.c.id)
)


def list_dealerships(connection: Connection) -> Rows:
    """Return every dealership with its switches, credentials (never the secrets), last sync and stock."""
    return _overview(connection)


def show_dealership(connection: Connection, dealership_id: int) -> dict[str, Any]:
    """Return one dealership as `list_dealerships` does, with its last ten syncs."""
    require_dealership(connection, dealership_id)
    [row] = _overview(connection, dealership_id)
    logs = easycar_sync_logs.c
    row["syncs"] = rows_of(
        connection,
        select(
            logs.run_id,
            logs.status,
            logs.synced_at,
            logs.duration_ms,
            logs.items_processed,
            logs.created,
            logs.updated,
            logs.unchanged,
            logs.revived,
            logs.refused,
            logs.skipped,
            logs.removed,
            logs.held,
            logs.removals_blocked,
            logs.error_messages,
            logs.warnings,
        )
        .where(logs.dealership_id == dealership_id, logs.sync_type == "stock")
        .order_by(logs.synced_at.desc(), logs.id.desc())
        .limit(10),
    )
    return row


def _overview(connection: Connection, dealership_id: int | None = None) -> list[dict[str, Any]]:
    """Return all dealerships or one; a changed cron or zone shows the slot that the next tick will compute from it."""
    wanted = _OVERVIEW if dealership_id is None else _OVERVIEW.where(dealerships.c.id == dealership_id)
    rows = rows_of(connection, wanted)
    now = read_now(connection)
    schedules = {found.dealership_id: found for found in store.read_schedules(driver(connection))}
    for row in rows:
        schedule = schedules[row["id"]]
        _, row["next_at"] = coming_slot(schedule, now)
        row["retry_at"] = None if schedule.changed else row["retry_at"]
    return rows


# --- credentials -----------------------------------------------------------------------------------------------------


def set_credentials(connection: Connection, dealership_id: int, credentials: Credentials, cipher: Cipher) -> None:
    """Store credentials in place of whatever was there; an omitted yard code clears the old one."""
    require_dealership(connection, dealership_id)
    connection.execute(
        upsert(
            easycar_credentials.c.dealership_id,
            {
                easycar_credentials.c.dealership_id: dealership_id,
                easycar_credentials.c.client_id_encrypted: cipher.encrypt(credentials.client_id),
                easycar_credentials.c.client_secret_encrypted: cipher.encrypt(credentials.client_secret),
                easycar_credentials.c.account_number_encrypted: cipher.encrypt(credentials.account_number),
                easycar_credentials.c.account_secret_encrypted: cipher.encrypt(credentials.account_secret),
                easycar_credentials.c.environment: credentials.environment,
                easycar_credentials.c.yard_code: credentials.yard_code,
                easycar_credentials.c.is_active: True,
            },
        )
    )
    write_audit(
        connection,
        "credentials.set",
        str(dealership_id),
        {"environment": credentials.environment, "yard_code": credentials.yard_code},
    )


def delete_credentials(connection: Connection, dealership_id: int) -> bool:
    """Delete the credentials; False if there were none."""
    require_dealership(connection, dealership_id)
    gone = connection.execute(
        delete(easycar_credentials).where(easycar_credentials.c.dealership_id == dealership_id)
    ).rowcount
    if gone:
        write_audit(connection, "credentials.delete", str(dealership_id))
    return bool(gone)


# --- held removals ---------------------------------------------------------------------------------------------------

_REMOVALS = """
    SELECT r.id, r.dealership_id, d.name, r.status, r.reason, r.stock_numbers, r.listed_before, r.listed_now,
           r.run_id, r.created_at, r.decided_at, r.decided_by, r.applied_at,
           CASE WHEN r.status = 'approved' AND r.applied_at IS NOT NULL THEN (
               SELECT count(*) FROM vehicles v JOIN vehicle_changes c ON c.vehicle_id = v.id
               AND c.changed_at = r.applied_at AND c.field = 'status' AND c.new = 'removed'
               WHERE v.dealership_id = r.dealership_id AND v.stock_number = ANY(r.stock_numbers)) END AS removed
    FROM held_removals r JOIN dealerships d ON d.id = r.dealership_id
"""


def list_removals(connection: Connection, *, every: bool) -> Rows:
    """
    Return the held removals that wait for somebody, or all of them.

    `removed` says how many vehicles the sync that carried an approval out took away: what was back by then stayed.
    """
    where = "" if every else " WHERE r.status = 'pending' OR (r.status = 'approved' AND r.applied_at IS NULL)"
    return _rows(connection, _REMOVALS + where + " ORDER BY r.id")


def show_removal(connection: Connection, removal_id: int) -> dict[str, Any]:
    """
    Return one held removal with the vehicles it is about.

    Raises:
        UsageProblem: there is none with this number.
    """
    rows = _rows(connection, _REMOVALS + " WHERE r.id = :id", id=removal_id)
    if not rows:
        raise UsageProblem(f"no held removal {removal_id}; jobsync removals list shows them")
    rows[0]["vehicles"] = _rows(
        connection,
        "SELECT stock_number, title, price, status, missing_since FROM vehicles WHERE dealership_id = :dealership"
        " AND data_source = 'easycars' AND stock_number = ANY(:numbers) ORDER BY stock_number",
        dealership=rows[0]["dealership_id"],
        numbers=rows[0]["stock_numbers"],
    )
    return rows[0]


def decide_removal(connection: Connection, removal_id: int, decision: str) -> dict[str, Any]:
    """
    Approve or reject a held set; the next sync of that dealership acts on it. Until then the decision can be changed.

    Raises:
        UsageProblem: there is none, it was decided so already, or a sync has acted on it or asked anew.
    """
    before = connection.execute(
        text(
            "UPDATE held_removals r SET status = :decision, decided_at = now(), decided_by = :who"
            " FROM (SELECT id, status FROM held_removals WHERE id = :id FOR UPDATE) AS was"
            " WHERE r.id = was.id AND r.applied_at IS NULL AND was.status NOT IN ('superseded', :decision)"
            " RETURNING was.status"
        ),
        {"id": removal_id, "decision": decision, "who": actor()},
    ).scalar()
    shown = show_removal(connection, removal_id)
    if before is None:
        over = " and done with" if shown["applied_at"] and shown["status"] != "superseded" else ""
        raise UsageProblem(f"held removal {removal_id} is {shown['status']}{over}; jobsync removals list --all")
    write_audit(
        connection,
        f"removals.{'approve' if decision == 'approved' else 'reject'}",
        str(removal_id),
        {"dealership_id": shown["dealership_id"], "vehicles": len(shown["stock_numbers"]), "was": before},
    )
    return shown


# --- stock -----------------------------------------------------------------------------------------------------------


def list_changes(connection: Connection, dealership_id: int, stock_number: str | None, *, limit: int) -> Rows:
    """Return the latest changes, newest first; those of a stock number also under its retired forms."""
    require_dealership(connection, dealership_id)
    wanted = vehicles.c.dealership_id == dealership_id
    if stock_number is not None:
        retired = vehicles.c.stock_number.startswith(f"{stock_number}~", autoescape=True)
        wanted = and_(wanted, or_(vehicles.c.stock_number == stock_number, retired))
    return rows_of(
        connection,
        select(
            vehicle_changes.c.changed_at,
            vehicles.c.stock_number,
            vehicles.c.title,
            vehicle_changes.c.field,
            vehicle_changes.c.old,
            vehicle_changes.c.new,
            vehicle_changes.c.run_id,
        )
        .join_from(vehicle_changes, vehicles, vehicles.c.id == vehicle_changes.c.vehicle_id)
        .where(wanted)
        .order_by(vehicle_changes.c.changed_at.desc(), vehicle_changes.c.id.desc())
        .limit(limit),
    )


def list_refused(connection: Connection, dealership_id: int | None, *, limit: int) -> Rows:
    """Return the latest refused items, newest first."""
    if dealership_id is not None:
        require_dealership(connection, dealership_id)
    return rows_of(
        connection,
        select(
            refused_items.c.id,
            refused_items.c.dealership_id,
            dealerships.c.name,
            refused_items.c.run_id,
            refused_items.c.created_at,
            refused_items.c.position,
            refused_items.c.stock_number,
            refused_items.c.reason_code,
            refused_items.c.reason,
            refused_items.c.raw,
        )
        .join_from(refused_items, dealerships, dealerships.c.id == refused_items.c.dealership_id)
        .where(true() if dealership_id is None else refused_items.c.dealership_id == dealership_id)
        .order_by(refused_items.c.id.desc())
        .limit(limit),
    )


def lock_fields(connection: Connection, dealership_id: int, stock_number: str, fields: Sequence[str]) -> list[str]:
    """
    Keep fields of one vehicle as they are, whatever the feed says; returns all locked fields of it.

    Raises:
        UsageProblem: no such vehicle, or no such field.
    """
    return _change_locks(connection, dealership_id, stock_number, fields, lock=True)


def unlock_fields(connection: Connection, dealership_id: int, stock_number: str, fields: Sequence[str]) -> list[str]:
    """Give fields back to the feed; the next sync brings its values. Raises as `lock_fields` does."""
    return _change_locks(connection, dealership_id, stock_number, fields, lock=False)


def read_locks(connection: Connection, dealership_id: int, stock_number: str, *, for_update: bool = False) -> list[str]:
    """
    Return the locked fields of one vehicle.

    Raises:
        UsageProblem: no such vehicle.
    """
    require_dealership(connection, dealership_id)
    wanted = select(vehicles.c.locked_fields).where(_is_vehicle(dealership_id, stock_number))
    locked: list[str] | None = connection.scalar(wanted.with_for_update() if for_update else wanted)
    if locked is None:
        raise UsageProblem(f"dealership {dealership_id} has no vehicle {stock_number} from EasyCars")
    return sorted(locked)


def _is_vehicle(dealership_id: int, stock_number: str) -> ColumnElement[bool]:
    return and_(
        vehicles.c.dealership_id == dealership_id,
        vehicles.c.stock_number == stock_number,
        vehicles.c.data_source == "easycars",
    )


def _change_locks(
    connection: Connection, dealership_id: int, stock_number: str, fields: Sequence[str], *, lock: bool
) -> list[str]:
    unknown = [field for field in fields if field not in FEED_COLUMNS]
    if unknown or not fields:
        what = f"no field {', '.join(unknown)}" if unknown else "no field was named"
        raise UsageProblem(f"{what}; the fields are {', '.join(FEED_COLUMNS)}")
    before = set(read_locks(connection, dealership_id, stock_number, for_update=True))
    after = sorted(before | set(fields) if lock else before - set(fields))
    connection.execute(
        update(vehicles)
        .where(_is_vehicle(dealership_id, stock_number))
        .values(
            {
                vehicles.c.locked_fields: after,
                # Without a fingerprint the next sync compares the row in full: a field given back gets its value.
                vehicles.c.content_hash: None,
                vehicles.c.updated_at: func.now(),
            }
        )
    )
    action = "stock.lock" if lock else "stock.unlock"
    write_audit(connection, action, f"{dealership_id}/{stock_number}", {"fields": list(fields), "locked": after})
    return after


# --- schedule and pause ----------------------------------------------------------------------------------------------

# "until resumed": a plain instant, since the drivers of many host applications cannot read infinity
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)


def _own_settings(connection: Connection, dealership_id: int, action: str, **columns: Any) -> None:
    """Set columns of the dealership's settings row, making the row if it has none, and record who did it."""
    require_dealership(connection, dealership_id)
    values = {dealership_settings.c[name]: value for name, value in columns.items()}
    key = dealership_settings.c.dealership_id
    connection.execute(upsert(key, {key: dealership_id, **values}))
    told = {name: None if value == FOREVER else value for name, value in columns.items()}
    write_audit(connection, action, str(dealership_id), told)


def zone_of(connection: Connection, dealership_id: int) -> str:
    """Return the time zone in force."""
    [found] = [row for row in store.read_schedules(driver(connection)) if row.dealership_id == dealership_id]
    return resolve(found.wanted, last_cron=found.cron, last_timezone=found.timezone).timezone


def parse_until(connection: Connection, dealership_id: int, words: str) -> datetime | None:
    """
    Return the end of a pause: an ISO instant, a date, or a span such as 12h or 3d from now; None if it has none.

    What names no offset is meant in the dealership's own zone.

    Raises:
        UsageProblem: it is none of these, or already past.
    """
    now = read_now(connection)
    span = parse_span(words)
    if span is not None:
        return now + span
    try:
        end = datetime.fromisoformat(words.strip())
    except ValueError:
        raise UsageProblem(
            f"--until: {words!r} is not understood, expected 2026-12-24T18:00+11:00, 2026-12-24, 12h or 3d"
        ) from None
    if end.year >= 9000:
        return None
    if end.tzinfo is None:
        end = end.replace(tzinfo=ZoneInfo(zone_of(connection, dealership_id)))
    if end <= now:
        raise UsageProblem(f"--until: {end.isoformat()} is past")
    return end


def pause(connection: Connection, dealership_id: int, *, until: datetime | None, reason: str | None) -> None:
    """Leave the dealership out of runs that do not name it, until the instant (None: until it is resumed)."""
    _own_settings(connection, dealership_id, "dealership.pause", paused_until=until or FOREVER, paused_reason=reason)


def resume(connection: Connection, dealership_id: int) -> None:
    """End a pause; a slot that passed meanwhile is due at once, once."""
    _own_settings(connection, dealership_id, "dealership.resume", paused_until=None, paused_reason=None)


def set_auto_sync(connection: Connection, dealership_id: int, *, on: bool) -> None:
    """Let runs that do not name the dealership take it, or leave it out."""
    _own_settings(connection, dealership_id, "dealership.set", easycar_auto_sync_enabled=on)


def set_cron(connection: Connection, dealership_id: int, cron: str | None) -> None:
    """Give the dealership a schedule of its own, or (None) the common one back; it counts at the next tick."""
    _own_settings(connection, dealership_id, "dealership.schedule", sync_cron=cron)


def list_schedules(connection: Connection, now: datetime) -> Rows:
    """Return for every dealership what its schedule is, when it is due next, and why it may not run."""
    states = {found.id: found for found in store.read_dealerships(driver(connection))}
    rows = {row["id"]: row for row in list_dealerships(connection)}
    shown = []
    for found in store.read_schedules(driver(connection)):
        rule, next_at = coming_slot(found, now)
        row, state = rows[found.dealership_id], states[found.dealership_id]
        shown.append(
            {
                "dealership_id": found.dealership_id,
                "name": row["name"],
                "cron": rule.cron,
                "cron_from": _origin(rule, found.wanted.cron, own=row["sync_cron"], common="easycar_sync_cron"),
                "timezone": rule.timezone,
                "timezone_from": _origin(
                    rule, found.wanted.timezone, own=row["timezone"], common="easycar_sync_timezone"
                ),
                "next_at": next_at.astimezone(ZoneInfo(rule.timezone)),
                "retry_at": row["retry_at"],
                "attempt": row["attempt"],
                "last_success_at": row["last_success_at"],
                "not_eligible": state.why_not,
                "paused": row["paused"],
                "paused_until": row["paused_until"],
                "paused_reason": row["paused_reason"],
                "unreadable": list(rule.unreadable),
            }
        )
    return shown


def _origin(rule: Rule, wanted: str, *, own: str | None, common: str) -> str:
    if wanted in rule.unreadable:
        return "fallback"
    return "dealership" if own and own.strip() else common


# --- keys ------------------------------------------------------------------------------------------------------------

_SECRETS = (
    easycar_credentials.c.client_id_encrypted,
    easycar_credentials.c.client_secret_encrypted,
    easycar_credentials.c.account_number_encrypted,
    easycar_credentials.c.account_secret_encrypted,
)


def rotate_key(connection: Connection, cipher: Cipher) -> int:
    """
    Encrypt every stored credential with the current key, all or nothing; returns how many.

    Raises:
        ConfigurationProblem: some can be read with neither key; nothing was changed.
    """
    rows = connection.execute(
        select(easycar_credentials.c.dealership_id, *_SECRETS)
        .order_by(easycar_credentials.c.dealership_id)
        .with_for_update()
    ).all()
    unreadable = []
    for dealership_id, *stored in rows:
        try:
            sealed = [cipher.encrypt(cipher.decrypt(value)) for value in stored]
        except CredentialsUnreadable:
            unreadable.append(str(dealership_id))
            continue
        values = {
            **dict(zip(_SECRETS, sealed, strict=True)),
            easycar_credentials.c.key_version: easycar_credentials.c.key_version + 1,
            easycar_credentials.c.updated_at: func.now(),
        }
        this = easycar_credentials.c.dealership_id == dealership_id
        connection.execute(update(easycar_credentials).where(this).values(values))
    if unreadable:
        raise ConfigurationProblem(
            f"credentials of dealership {', '.join(unreadable)} can be read with neither JOBSYNC_ENCRYPTION_KEY nor"
            " JOBSYNC_ENCRYPTION_KEY_PREVIOUS; nothing was changed (set or delete them first)"
        )
    write_audit(connection, "credentials.rotate_key", None, {"credentials": len(rows)})
    return len(rows)
