"""The SQL of what people do: dealerships, their credentials, their decisions on holds and vehicles, their questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from jobsync.cron import Rule, resolve
from jobsync.db.audit import actor, write_audit
from jobsync.db.engine import driver
from jobsync.easycars import store
from jobsync.easycars.credentials import Cipher, Credentials, CredentialsUnreadable
from jobsync.easycars.identity import yard_key
from jobsync.easycars.model import FEED_COLUMNS
from jobsync.easycars.schedule import coming_slot
from jobsync.errors import ConfigurationProblem, UsageProblem
from jobsync.spans import parse_span

if TYPE_CHECKING:
    from sqlalchemy import Connection

Rows = Sequence[dict[str, Any]]


def _rows(connection: Connection, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]


def require_dealership(connection: Connection, dealership_id: int) -> str:
    """
    Return the dealership's name.

    Raises:
        UsageProblem: there is none with this number.
    """
    name: str | None = connection.scalar(text("SELECT name FROM dealerships WHERE id = :id"), {"id": dealership_id})
    if name is None:
        raise UsageProblem(f"no dealership {dealership_id}; jobsync dealership list shows them")
    return name


def add_dealership(connection: Connection, name: str, *, timezone: str | None, email: str | None) -> dict[str, Any]:
    """Insert a dealership; returns {id, name, timezone}."""
    [row] = _rows(
        connection,
        "INSERT INTO dealerships (name, timezone, email) VALUES (:name, :timezone, :email)"
        " RETURNING id, name, timezone",
        name=name,
        timezone=timezone,
        email=email,
    )
    write_audit(connection, "dealership.add", str(row["id"]), {"name": name, "timezone": timezone})
    return row


def change_dealership(connection: Connection, dealership_id: int, changes: Mapping[str, str | None]) -> None:
    """Change name, timezone or email (None: has none); the next tick computes the slot of a changed zone."""
    require_dealership(connection, dealership_id)
    columns = ", ".join(changes)
    [before] = _rows(connection, f"SELECT {columns} FROM dealerships WHERE id = :id FOR UPDATE", id=dealership_id)
    assignments = ", ".join(f"{name} = :{name}" for name in changes)
    connection.execute(
        text(f"UPDATE dealerships SET {assignments}, updated_at = now() WHERE id = :id"),
        {"id": dealership_id, **changes},
    )
    told = {**changes, **{f"{name}_before": value for name, value in before.items()}}
    write_audit(connection, "dealership.set", str(dealership_id), told)


_OVERVIEW = """
    SELECT d.id, d.name, d.email, d.timezone,
           coalesce(s.easycar_auto_sync_enabled, true) AS auto_sync,
           s.sync_cron, coalesce(s.paused_until > now(), false) AS paused,
           CASE WHEN s.paused_until < '9000-01-01' THEN s.paused_until END AS paused_until, s.paused_reason,
           c.environment, c.yard_code, (c.dealership_id IS NOT NULL AND c.is_active) AS has_credentials,
           l.status AS last_status, l.warnings AS last_warnings, l.synced_at AS last_synced_at,
           h.last_success_at, coalesce(h.attempt, 0) AS attempt, h.next_at, h.retry_at,
           (SELECT count(*) FROM vehicles v WHERE v.dealership_id = d.id
            AND v.status NOT IN ('removed', 'excluded')) AS vehicles,
           (SELECT count(*) FROM holds r WHERE r.dealership_id = d.id AND r.status = 'pending') AS held
    FROM dealerships d
    LEFT JOIN dealership_settings s ON s.dealership_id = d.id
    LEFT JOIN easycar_credentials c ON c.dealership_id = d.id
    LEFT JOIN sync_schedule h ON h.dealership_id = d.id
    LEFT JOIN LATERAL (
        SELECT status, synced_at, CASE jsonb_typeof(warnings) WHEN 'array' THEN jsonb_array_length(warnings) ELSE 0 END
               AS warnings FROM easycar_sync_logs WHERE dealership_id = d.id AND sync_type = 'stock'
        ORDER BY synced_at DESC, id DESC LIMIT 1
    ) l ON true
"""


def list_dealerships(connection: Connection) -> Rows:
    """Return every dealership with its switches, credentials (never the secrets), last sync and stock."""
    return _overview(connection)


def show_dealership(connection: Connection, dealership_id: int) -> dict[str, Any]:
    """Return one dealership as `list_dealerships` does, with its last ten syncs."""
    require_dealership(connection, dealership_id)
    [row] = _overview(connection, dealership_id)
    row["syncs"] = _rows(
        connection,
        "SELECT run_id, status, synced_at, duration_ms, items_processed, created, updated, unchanged, revived,"
        " refused, skipped, removed, held, removals_blocked, error_messages, warnings FROM easycar_sync_logs"
        " WHERE dealership_id = :id AND sync_type = 'stock' ORDER BY synced_at DESC, id DESC LIMIT 10",
        id=dealership_id,
    )
    return row


def _overview(connection: Connection, dealership_id: int | None = None) -> list[dict[str, Any]]:
    """
    Return all dealerships or one; a changed cron or zone shows the slot that the next tick will compute from it, and
    `unreadable` what of both is asked for in vain.
    """
    rows = _rows(
        connection, _OVERVIEW + " WHERE CAST(:id AS bigint) IS NULL OR d.id = :id ORDER BY d.id", id=dealership_id
    )
    now: datetime = connection.execute(text("SELECT now()")).scalar_one()
    schedules = {found.dealership_id: found for found in store.read_schedules(driver(connection))}
    for row in rows:
        schedule = schedules[row["id"]]
        rule, row["next_at"] = coming_slot(schedule, now)
        row["retry_at"] = row["retry_at"] if schedule.was_computed_by(rule) else None
        row["unreadable"] = list(rule.unreadable)
    return rows


# --- credentials -----------------------------------------------------------------------------------------------------


def set_credentials(connection: Connection, dealership_id: int, credentials: Credentials, cipher: Cipher) -> None:
    """Store credentials in place of whatever was there; an omitted yard code clears the old one."""
    require_dealership(connection, dealership_id)
    connection.execute(
        text(
            "INSERT INTO easycar_credentials (dealership_id, client_id_encrypted, client_secret_encrypted,"
            " account_number_encrypted, account_secret_encrypted, environment, yard_code, is_active)"
            " VALUES (:id, :ci, :cs, :an, :as, :environment, :yard, true) ON CONFLICT (dealership_id) DO UPDATE SET"
            " client_id_encrypted = excluded.client_id_encrypted,"
            " client_secret_encrypted = excluded.client_secret_encrypted,"
            " account_number_encrypted = excluded.account_number_encrypted,"
            " account_secret_encrypted = excluded.account_secret_encrypted, environment = excluded.environment,"
            " yard_code = excluded.yard_code, is_active = true, updated_at = now()"
        ),
        {
            "id": dealership_id,
            "ci": cipher.encrypt(credentials.client_id),
            "cs": cipher.encrypt(credentials.client_secret),
            "an": cipher.encrypt(credentials.account_number),
            "as": cipher.encrypt(credentials.account_secret),
            "environment": credentials.environment,
            "yard": credentials.yard_code,
        },
    )
    write_audit(
        connection,
        "credentials.set",
        str(dealership_id),
        {"environment": credentials.environment, "yard_code": credentials.yard_code},
    )


def find_shared_accounts(connection: Connection, cipher: Cipher) -> list[Rows]:
    """
    Return the dealerships that have the same client, account and yard in one environment, group by group.

    Each as {dealership_id, name}. Credentials that cannot be decrypted are left out.
    """
    rows = connection.execute(
        text(
            "SELECT c.dealership_id, d.name, c.environment, c.client_id_encrypted, c.account_number_encrypted,"
            " c.yard_code FROM easycar_credentials c JOIN dealerships d ON d.id = c.dealership_id"
            " WHERE c.is_active ORDER BY c.dealership_id"
        )
    ).all()
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for dealership_id, name, environment, client, account, yard in rows:
        try:
            key = (environment, cipher.decrypt(client), cipher.decrypt(account), yard_key(yard) if yard else "")
        except CredentialsUnreadable:
            continue
        groups.setdefault(key, []).append({"dealership_id": dealership_id, "name": name})
    return [group for group in groups.values() if len(group) > 1]


def find_sharers(connection: Connection, cipher: Cipher, dealership_id: int) -> Rows:
    """Return the other dealerships with this one's client, account and yard."""
    for group in find_shared_accounts(connection, cipher):
        others = [found for found in group if found["dealership_id"] != dealership_id]
        if len(others) < len(group):
            return others
    return []


def delete_credentials(connection: Connection, dealership_id: int) -> bool:
    """Delete the credentials; False if there were none."""
    require_dealership(connection, dealership_id)
    gone = connection.execute(
        text("DELETE FROM easycar_credentials WHERE dealership_id = :id"), {"id": dealership_id}
    ).rowcount
    if gone:
        write_audit(connection, "credentials.delete", str(dealership_id))
    return bool(gone)


# --- holds -----------------------------------------------------------------------------------------------------------

_HOLDS = """
    SELECT h.id, h.dealership_id, d.name, h.kind, h.status, h.reason, h.stock_numbers, h.listed_before, h.listed_now,
           h.run_id, h.created_at, h.decided_at, h.decided_by, h.applied_at,
           CASE WHEN h.kind = 'removals' AND h.status = 'approved' AND h.applied_at IS NOT NULL THEN (
               SELECT count(*) FROM vehicles v JOIN vehicle_changes c ON c.vehicle_id = v.id
               AND c.changed_at = h.applied_at AND c.field = 'status' AND c.new = 'removed'
               WHERE v.dealership_id = h.dealership_id AND v.stock_number = ANY(h.stock_numbers)) END AS removed
    FROM holds h JOIN dealerships d ON d.id = h.dealership_id
"""


def list_holds(connection: Connection, *, every: bool) -> Rows:
    """
    Return the holds that wait for somebody, or all of them.

    `removed` says how many vehicles the sync that carried an approval out took away: what was back by then stayed.
    """
    where = "" if every else " WHERE h.status = 'pending' OR (h.status = 'approved' AND h.applied_at IS NULL)"
    return _rows(connection, _HOLDS + where + " ORDER BY h.id")


def show_hold(connection: Connection, hold_id: int) -> dict[str, Any]:
    """
    Return one hold with the vehicles it is about; of a foreign feed those that are listed elsewhere.

    Raises:
        UsageProblem: there is none with this number.
    """
    rows = _rows(connection, _HOLDS + " WHERE h.id = :id", id=hold_id)
    if not rows:
        raise UsageProblem(f"no hold {hold_id}; jobsync holds list shows them")
    [hold] = rows
    if hold["kind"] == "foreign_feed":
        where = (
            "v.dealership_id <> :dealership AND length(v.vin) <= 64 AND v.status NOT IN ('removed', 'excluded')"
            " AND v.vin IN (SELECT unnest(vins) FROM holds WHERE id = :id)"
        )
    else:
        where = (
            "v.dealership_id = :dealership AND v.stock_key IN ("
            "SELECT jobsync_stock_key(n) FROM holds, unnest(stock_numbers) AS n WHERE id = :id)"
        )
    hold["vehicles"] = _rows(
        connection,
        "SELECT v.dealership_id, v.stock_number, v.title, v.price, v.status, v.missing_since FROM vehicles v"
        f" WHERE v.data_source = 'easycars' AND {where} ORDER BY v.dealership_id, v.stock_number LIMIT 100000",
        dealership=hold["dealership_id"],
        id=hold_id,
    )
    return hold


def decide_hold(connection: Connection, hold_id: int, decision: str) -> dict[str, Any]:
    """
    Approve or reject a held set; the next sync of that dealership acts on it. Until then the decision can be changed.

    Raises:
        UsageProblem: there is none, it was decided so already, or a sync has acted on it or asked anew.
    """
    before = connection.execute(
        text(
            "UPDATE holds h SET status = :decision, decided_at = now(), decided_by = :who"
            " FROM (SELECT id, status FROM holds WHERE id = :id FOR UPDATE) AS was"
            " WHERE h.id = was.id AND h.applied_at IS NULL AND was.status NOT IN ('superseded', :decision)"
            " RETURNING was.status"
        ),
        {"id": hold_id, "decision": decision, "who": actor()},
    ).scalar()
    shown = show_hold(connection, hold_id)
    if before is None:
        over = " and done with" if shown["applied_at"] and shown["status"] != "superseded" else ""
        raise UsageProblem(f"hold {hold_id} is {shown['status']}{over}; jobsync holds list --all")
    write_audit(
        connection,
        f"holds.{'approve' if decision == 'approved' else 'reject'}",
        str(hold_id),
        {
            "dealership_id": shown["dealership_id"],
            "kind": shown["kind"],
            "vehicles": len(shown["stock_numbers"]),
            "was": before,
        },
    )
    return shown


# --- stock -----------------------------------------------------------------------------------------------------------


def list_changes(connection: Connection, dealership_id: int, stock_number: str | None, *, limit: int) -> Rows:
    """Return the latest changes, newest first; those of a stock number also under its retired forms."""
    require_dealership(connection, dealership_id)
    return _rows(
        connection,
        "SELECT c.changed_at, v.stock_number, v.title, c.field, c.old, c.new, c.run_id"
        " FROM vehicle_changes c JOIN vehicles v ON v.id = c.vehicle_id"
        " CROSS JOIN (SELECT jobsync_stock_key(CAST(:number AS text)) AS key OFFSET 0) wanted"
        " WHERE v.dealership_id = :id AND (CAST(:number AS text) IS NULL OR v.stock_key = wanted.key"
        " OR v.stock_key LIKE replace(replace(replace(wanted.key, '\\', '\\\\'), '%', '\\%'), '_', '\\_') || '~%')"
        " ORDER BY c.changed_at DESC, c.id DESC LIMIT :limit",
        id=dealership_id,
        number=stock_number,
        limit=limit,
    )


def list_refused(connection: Connection, dealership_id: int | None, *, limit: int) -> Rows:
    """Return the latest refused items, newest first."""
    if dealership_id is not None:
        require_dealership(connection, dealership_id)
    return _rows(
        connection,
        "SELECT r.id, r.dealership_id, d.name, r.run_id, r.created_at, r.position, r.stock_number, r.reason_code,"
        " r.reason, r.raw FROM refused_items r JOIN dealerships d ON d.id = r.dealership_id"
        " WHERE CAST(:id AS bigint) IS NULL OR r.dealership_id = :id ORDER BY r.id DESC LIMIT :limit",
        id=dealership_id,
        limit=limit,
    )


def list_all_changes(
    connection: Connection, *, run_id: Any, since: datetime | None, dealership_id: int | None, limit: int
) -> Rows:
    """Return what changed of whichever dealership, newest first; a run's changes, or those since an instant."""
    if dealership_id is not None:
        require_dealership(connection, dealership_id)
    return _rows(
        connection,
        "SELECT v.dealership_id, d.name, v.stock_number, c.field, c.old, c.new, c.changed_at, c.run_id"
        " FROM vehicle_changes c JOIN vehicles v ON v.id = c.vehicle_id JOIN dealerships d ON d.id = v.dealership_id"
        " WHERE (CAST(:run AS uuid) IS NULL OR (c.run_id = :run"
        # the table is ordered by time, and what lies outside the run is not read
        "  AND c.changed_at >= (SELECT started_at FROM job_runs WHERE id = :run)"
        "  AND c.changed_at <= (SELECT coalesce(finished_at, now()) FROM job_runs WHERE id = :run)))"
        " AND (CAST(:since AS timestamptz) IS NULL OR c.changed_at >= :since)"
        " AND (CAST(:id AS bigint) IS NULL OR v.dealership_id = :id)"
        " ORDER BY c.changed_at DESC, c.id DESC LIMIT :limit",
        run=run_id,
        since=since,
        id=dealership_id,
        limit=limit,
    )


# Finding a row of ours under any spelling of its number.
_OURS = "dealership_id = :id AND data_source = 'easycars' AND stock_key = jobsync_stock_key(:number)"


def exclude_vehicle(
    connection: Connection, dealership_id: int, stock_number: str, *, reason: str | None
) -> dict[str, Any]:
    """
    Keep one vehicle off whatever the feed says, until it is included again.

    Raises:
        UsageProblem: no such vehicle.
    """
    row = _require_vehicle(connection, dealership_id, stock_number)
    connection.execute(
        text(
            "UPDATE vehicles SET status = 'excluded', excluded_by = 'person', missing_since = NULL, removed_at = NULL,"
            " updated_at = now() WHERE id = :id"
        ),
        {"id": row["id"]},
    )
    return _tell_exclusion(connection, dealership_id, row, ["excluded"], action="exclude", reason=reason)


def include_vehicle(connection: Connection, dealership_id: int, stock_number: str) -> dict[str, Any]:
    """
    Give an excluded vehicle back to the feed: it is what it was before; the next sync brings what the feed says.

    One that the feed no longer named, or of which nobody knows what it was, comes back when the feed names it.

    Raises:
        UsageProblem: no such vehicle, or it is not excluded by a person.
    """
    row = _require_vehicle(connection, dealership_id, stock_number)
    by_person = row["excluded_by"] == "person" or (row["status"] == "excluded" and row["excluded_by"] is None)
    if not by_person:
        why = (
            "is excluded by a status word, which is not a person's doing: jobsync settings get easycar_status_map"
            if row["status"] == "excluded"
            else f"is not excluded, its status is {row['status']}"
        )
        raise UsageProblem(f"vehicle {row['stock_number']} of dealership {dealership_id} {why}")
    before: str | None = connection.scalar(
        text(
            "SELECT old FROM vehicle_changes WHERE vehicle_id = :id AND field = 'status' AND new = 'excluded'"
            " AND old <> 'excluded' ORDER BY id DESC LIMIT 1"
        ),
        {"id": row["id"]},
    )
    steps = [before] if before in ("active", "deposit", "sold") else []
    if not steps or row["missing_since"] is not None:
        steps.append("removed")
    connection.execute(
        text(
            "UPDATE vehicles SET status = :status, excluded_by = NULL, content_hash = NULL,"
            " removed_at = CASE WHEN :status = 'removed' THEN now() END, updated_at = now() WHERE id = :id"
        ),
        {"id": row["id"], "status": steps[-1]},
    )
    return _tell_exclusion(connection, dealership_id, row, steps, action="include", reason=None)


def _require_vehicle(connection: Connection, dealership_id: int, stock_number: str) -> dict[str, Any]:
    require_dealership(connection, dealership_id)
    rows = _rows(
        connection,
        f"SELECT id, stock_number, title, status, excluded_by, missing_since FROM vehicles WHERE {_OURS} FOR UPDATE",
        id=dealership_id,
        number=stock_number,
    )
    if not rows:
        raise UsageProblem(f"dealership {dealership_id} has no vehicle {stock_number} from EasyCars")
    return rows[0]


def _tell_exclusion(
    connection: Connection,
    dealership_id: int,
    row: Mapping[str, Any],
    steps: Sequence[str],
    *,
    action: str,
    reason: str | None,
) -> dict[str, Any]:
    """Write history and audit, one line for each status that the vehicle passes through."""
    old = row["status"]
    for new in steps:
        if new != old:
            connection.execute(
                text("INSERT INTO vehicle_changes (vehicle_id, field, old, new) VALUES (:id, 'status', :old, :new)"),
                {"id": row["id"], "old": old, "new": new},
            )
        old = new
    told = {"was": row["status"], "status": old, "reason": reason}
    write_audit(connection, f"stock.{action}", f"{dealership_id}/{row['stock_number']}", told)
    return {"dealership_id": dealership_id, "stock_number": row["stock_number"], "title": row["title"], **told}


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
    locked: list[str] | None = connection.scalar(
        text(f"SELECT locked_fields FROM vehicles WHERE {_OURS}" + (" FOR UPDATE" if for_update else "")),
        {"id": dealership_id, "number": stock_number},
    )
    if locked is None:
        raise UsageProblem(f"dealership {dealership_id} has no vehicle {stock_number} from EasyCars")
    return sorted(locked)


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
        # Without a fingerprint the next sync compares the row in full: a field that was given back gets its value.
        text(f"UPDATE vehicles SET locked_fields = :fields, content_hash = NULL, updated_at = now() WHERE {_OURS}"),
        {"fields": after, "id": dealership_id, "number": stock_number},
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
    names = ", ".join(columns)
    values = ", ".join(f":{name}" for name in columns)
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns)
    connection.execute(
        text(
            f"INSERT INTO dealership_settings (dealership_id, {names}) VALUES (:id, {values})"
            f" ON CONFLICT (dealership_id) DO UPDATE SET {changes}, updated_at = now()"
        ),
        {"id": dealership_id, **columns},
    )
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
    now: datetime = connection.execute(text("SELECT now()")).scalar_one()
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
                "unreadable": row["unreadable"],
            }
        )
    return shown


def _origin(rule: Rule, wanted: str, *, own: str | None, common: str) -> str:
    if wanted in rule.unreadable:
        return "fallback"
    return "dealership" if own and own.strip() else common


# --- keys ------------------------------------------------------------------------------------------------------------

_SECRETS = ("client_id", "client_secret", "account_number", "account_secret")


def rotate_key(connection: Connection, cipher: Cipher) -> int:
    """
    Encrypt every stored credential with the current key, all or nothing; returns how many.

    Raises:
        ConfigurationProblem: some can be read with neither key; nothing was changed.
    """
    columns = ", ".join(f"{name}_encrypted" for name in _SECRETS)
    rows = connection.execute(
        text(f"SELECT dealership_id, {columns} FROM easycar_credentials ORDER BY dealership_id FOR UPDATE")
    ).all()
    unreadable = []
    for dealership_id, *stored in rows:
        try:
            sealed = [cipher.encrypt(cipher.decrypt(value)) for value in stored]
        except CredentialsUnreadable:
            unreadable.append(str(dealership_id))
            continue
        assignments = ", ".join(f"{name}_encrypted = :{name}" for name in _SECRETS)
        connection.execute(
            text(
                f"UPDATE easycar_credentials SET {assignments}, key_version = key_version + 1, updated_at = now()"
                " WHERE dealership_id = :id"
            ),
            {"id": dealership_id, **dict(zip(_SECRETS, sealed, strict=True))},
        )
    if unreadable:
        raise ConfigurationProblem(
            f"credentials of dealership {', '.join(unreadable)} can be read with neither JOBSYNC_ENCRYPTION_KEY nor"
            " JOBSYNC_ENCRYPTION_KEY_PREVIOUS; nothing was changed (set or delete them first)"
        )
    write_audit(connection, "credentials.rotate_key", None, {"credentials": len(rows)})
    return len(rows)
