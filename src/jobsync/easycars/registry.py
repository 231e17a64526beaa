"""The SQL of what people do: dealerships, their credentials, their decisions on holds and vehicles, their questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    true,
    update,
)

from jobsync.cron import Rule
from jobsync.db.audit import actor, write_audit
from jobsync.db.engine import driver
from jobsync.db.statements import read_now, rows_of, upsert
from jobsync.db.tables import (
    dealership_settings,
    dealerships,
    easycar_credentials,
    job_runs,
    refused_items,
    vehicle_changes,
    vehicles,
)
from jobsync.easycars import due, store
from jobsync.easycars.credentials import (
    Cipher,
    Credentials,
    CredentialsUnreadable,
    Place,
    bound_to,
    places_of,
    sealed_at,
)
from jobsync.easycars.identity import stock_key, yard_key
from jobsync.easycars.model import FEED_COLUMNS
from jobsync.easycars.schedule import Dealership
from jobsync.errors import ConfigurationProblem, UsageProblem
from jobsync.phrases import read_when

Rows = Sequence[dict[str, Any]]

_IDS_END = 2**63  # the database takes no larger number for an id, and people may type one


def require_dealership(connection: Connection, dealership_id: int) -> str:
    """Return the dealership's name; UsageProblem if there is none with this number."""
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


_OVERVIEW = f"""
    SELECT d.id, d.name, d.email, d.timezone, coalesce(s.easycar_auto_sync_enabled, true) AS auto_sync, s.sync_cron,
           coalesce(s.paused_until > now(), false) AS paused,
           CASE WHEN s.paused_until < '9000-01-01Z' THEN s.paused_until END AS paused_until, s.paused_reason,
           c.environment, c.yard_code, coalesce(c.is_active, false) AS has_credentials, l.status AS last_status,
           CASE WHEN jsonb_typeof(l.warnings) = 'array' THEN jsonb_array_length(l.warnings)
                WHEN l.status IS NOT NULL THEN 0 END AS last_warnings,
           l.synced_at AS last_synced_at, h.last_success_at, coalesce(h.attempt, 0) AS attempt, h.next_at, h.retry_at,
           coalesce(v.listed, 0) AS vehicles,
           (SELECT count(*) FROM holds o WHERE o.dealership_id = d.id AND o.status = 'pending') AS held
    {due.OF_DEALERSHIPS}
    LEFT JOIN (SELECT dealership_id, count(*) AS listed FROM vehicles
               WHERE status NOT IN ('removed', 'excluded') GROUP BY dealership_id) v ON v.dealership_id = d.id
    WHERE CAST(:id AS bigint) IS NULL OR d.id = :id
    ORDER BY d.id
"""


def list_dealerships(connection: Connection) -> Rows:
    """Return every dealership with its switches, credentials (never the secrets), last sync and stock."""
    return [row for row, _ in _overview(connection)]


def show_dealership(connection: Connection, dealership_id: int) -> dict[str, Any]:
    """Return one dealership as `list_dealerships` does, with its last ten syncs."""
    require_dealership(connection, dealership_id)
    [(row, _)] = _overview(connection, dealership_id)
    row["syncs"] = rows_of(
        connection,
        f"SELECT run_id, status, synced_at, duration_ms, items_processed, {', '.join(store.COUNT_NAMES)},"
        " removals_blocked, error_messages, warnings FROM easycar_sync_logs"
        " WHERE dealership_id = :id AND sync_type = 'stock' ORDER BY synced_at DESC, id DESC LIMIT 10",
        id=dealership_id,
    )
    return row


def _overview(connection: Connection, dealership_id: int | None = None) -> list[tuple[dict[str, Any], Dealership]]:
    """
    Return all dealerships or one, each with its schedule; a changed cron or zone shows the slot that the next tick
    computes from it, and `unreadable` what of both is asked for in vain.
    """
    now = read_now(connection)
    schedules = {found.id: found for found in due.read_dealerships(driver(connection))}
    rows = rows_of(connection, _OVERVIEW, id=dealership_id)
    rows = [row for row in rows if row["id"] in schedules]  # none that was added meanwhile
    for row in rows:
        found = schedules[row["id"]]
        row["next_at"] = found.slot(now)
        row["retry_at"] = row["retry_at"] if found.keeps_rule else None
        row["unreadable"] = list(found.rule.unreadable)
    return [(row, schedules[row["id"]]) for row in rows]


# --- credentials -----------------------------------------------------------------------------------------------------


def require_key_of_others(connection: Connection, dealership_id: int, cipher: Cipher) -> None:
    """
    Raise ConfigurationProblem if the key and the previous one decrypt none of the other dealerships' credentials.

    Other writers of credentials wait until the transaction ends, so that no rotation of the key comes in between.
    """
    _lock_credentials(connection)
    others = [row for row in read_secrets(connection) if row[0] != dealership_id]
    if others and not any(
        cipher.opens(text, place) for number, *sealed in others for place, text in sealed_at(number, sealed)
    ):
        raise ConfigurationProblem(
            f"nothing was stored: JOBSYNC_ENCRYPTION_KEY decrypts none of the other dealerships' credentials"
            f" ({len(others)}); perhaps it is that from before a rotation. Use the key that they were stored with, or"
            " set JOBSYNC_ENCRYPTION_KEY_PREVIOUS to it if this one is to follow it; if that key is lost: jobsync"
            f" credentials set {dealership_id} --key-lost"
        )


def set_credentials(connection: Connection, dealership_id: int, credentials: Credentials, cipher: Cipher) -> None:
    """Store credentials in place of whatever was there; an omitted yard code clears the old one."""
    require_dealership(connection, dealership_id)
    table = easycar_credentials.c
    told = {table.environment: credentials.environment, table.yard_code: credentials.yard_code}
    sealed = {
        table[place.column]: cipher.encrypt(getattr(credentials, place.field), place)
        for place in places_of(dealership_id)
    }
    values = {table.dealership_id: dealership_id, **sealed, **told, table.is_active: True}
    connection.execute(upsert(table.dealership_id, values))
    details = {column.name: value for column, value in told.items()}
    write_audit(connection, "credentials.set", str(dealership_id), details)


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
        of = {"client_id": client, "account_number": account}
        try:
            named = [cipher.decrypt(text, Place(bound_to(text) or dealership_id, name)) for name, text in of.items()]
        except CredentialsUnreadable:
            continue
        key = (environment, *named, yard_key(yard) if yard else "")
        groups.setdefault(key, []).append({"dealership_id": dealership_id, "name": name})
    return [group for group in groups.values() if len(group) > 1]


def find_sharers(connection: Connection, cipher: Cipher, dealership_id: int) -> Rows:
    """Return the other dealerships with this one's client, account and yard, each as {dealership_id, name}."""
    for group in find_shared_accounts(connection, cipher):
        others = [found for found in group if found["dealership_id"] != dealership_id]
        if len(others) < len(group):
            return others
    return []


def delete_credentials(connection: Connection, dealership_id: int) -> bool:
    """Delete the credentials; False if there were none."""
    require_dealership(connection, dealership_id)
    this = easycar_credentials.c.dealership_id == dealership_id
    gone = connection.execute(delete(easycar_credentials).where(this)).rowcount
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
    return rows_of(connection, _HOLDS + where + " ORDER BY h.id")


def show_hold(connection: Connection, hold_id: int) -> dict[str, Any]:
    """Return one hold with the vehicles it is about; of a foreign feed those that are listed elsewhere."""
    rows = rows_of(connection, _HOLDS + " WHERE h.id = :id", id=hold_id)
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
    hold["vehicles"] = rows_of(
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
    told = {"dealership_id": shown["dealership_id"], "kind": shown["kind"], "vehicles": len(shown["stock_numbers"])}
    action = "approve" if decision == "approved" else "reject"
    write_audit(connection, f"holds.{action}", str(hold_id), {**told, "was": before})
    return shown


# --- stock -----------------------------------------------------------------------------------------------------------


def list_changes(connection: Connection, dealership_id: int, stock_number: str | None, *, limit: int) -> Rows:
    """Return the latest changes, newest first; those of a stock number also under its retired forms."""
    require_dealership(connection, dealership_id)
    wanted = vehicles.c.dealership_id == dealership_id
    if stock_number is not None:
        key = stock_key(stock_number)
        retired = vehicles.c.stock_key.startswith(f"{key}~", autoescape=True)
        wanted = and_(wanted, or_(vehicles.c.stock_key == key, retired))
    told = (_changes.changed_at, vehicles.c.stock_number, vehicles.c.title, *_CHANGE, _changes.run_id)
    return _read_changes(connection, told, wanted, limit=limit)


def list_all_changes(
    connection: Connection, *, run_id: Any, since: datetime | None, dealership_id: int | None, limit: int
) -> Rows:
    """Return what changed of whichever dealership, newest first; a run's changes, or those since an instant."""
    wanted: list[ColumnElement[bool]] = []
    if dealership_id is not None:
        require_dealership(connection, dealership_id)
        wanted.append(vehicles.c.dealership_id == dealership_id)
    if since is not None:
        wanted.append(_changes.changed_at >= since)
    if run_id is not None:  # the table is ordered by time, and what lies outside the run is not read
        began, ended = (
            select(instant).where(job_runs.c.id == run_id).scalar_subquery()
            for instant in (job_runs.c.started_at, func.coalesce(job_runs.c.finished_at, func.now()))
        )
        wanted += [_changes.run_id == run_id, _changes.changed_at.between(began, ended)]
    told = (dealerships.c.id.label("dealership_id"), dealerships.c.name, vehicles.c.stock_number, *_CHANGE)
    return _read_changes(connection, (*told, _changes.changed_at, _changes.run_id), *wanted, limit=limit)


_changes = vehicle_changes.c
_CHANGE = (_changes.field, _changes.old, _changes.new)


def _read_changes(
    connection: Connection, told: Sequence[ColumnElement[Any]], *wanted: ColumnElement[bool], limit: int
) -> Rows:
    of_vehicle = vehicle_changes.join(vehicles, vehicles.c.id == _changes.vehicle_id)
    of_dealership = of_vehicle.join(dealerships, dealerships.c.id == vehicles.c.dealership_id)
    found = select(*told).select_from(of_dealership).where(*wanted)
    return rows_of(connection, found.order_by(_changes.changed_at.desc(), _changes.id.desc()).limit(limit))


def list_refused(connection: Connection, dealership_id: int | None, *, limit: int) -> Rows:
    """Return the latest refused items, newest first."""
    if dealership_id is not None:
        require_dealership(connection, dealership_id)
    found, of_which = refused_items.c, (refused_items.c.id, refused_items.c.dealership_id, dealerships.c.name)
    why = (found.stock_number, found.reason_code, found.reason, found.raw)
    return rows_of(
        connection,
        select(*of_which, found.run_id, found.created_at, found.position, *why)
        .join_from(refused_items, dealerships, dealerships.c.id == found.dealership_id)
        .where(true() if dealership_id is None else found.dealership_id == dealership_id)
        .order_by(found.id.desc())
        .limit(limit),
    )


def exclude_vehicle(
    connection: Connection, dealership_id: int, stock_number: str, *, reason: str | None
) -> dict[str, Any]:
    """Keep one vehicle off whatever the feed says, until it is included again."""
    row = _require_vehicle(connection, dealership_id, stock_number)
    gone = {vehicles.c.excluded_by: "person", vehicles.c.missing_since: None, vehicles.c.removed_at: None}
    return _set_statuses(connection, row, ["excluded"], gone, action="exclude", reason=reason)


def include_vehicle(connection: Connection, dealership_id: int, stock_number: str) -> dict[str, Any]:
    """
    Give an excluded vehicle back to the feed: it is what it was before; the next sync brings what the feed says.

    One that the feed no longer named, or whose earlier status is unknown, comes back when the feed names it.
    UsageProblem: no person excluded it.
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
    field_is_excluded = and_(_changes.field == "status", _changes.new == "excluded", _changes.old != "excluded")
    last = select(_changes.old).where(_changes.vehicle_id == row["id"], field_is_excluded).order_by(_changes.id.desc())
    before: str | None = connection.scalar(last.limit(1))
    steps = [before] if before in ("active", "deposit", "sold") else []
    if not steps or row["missing_since"] is not None:
        steps.append("removed")
    removed_at = {vehicles.c.removed_at: func.now() if steps[-1] == "removed" else None}
    forgotten = {vehicles.c.excluded_by: None, vehicles.c.content_hash: None, **removed_at}
    return _set_statuses(connection, row, steps, forgotten, action="include", reason=None)


def _require_vehicle(
    connection: Connection, dealership_id: int, stock_number: str, *, for_update: bool = True
) -> dict[str, Any]:
    """Return a row of ours, under any spelling of its number (UsageProblem if there is none); `for_update` locks it."""
    require_dealership(connection, dealership_id)
    this = vehicles.c.dealership_id == dealership_id, vehicles.c.stock_key == stock_key(stock_number)
    ours = select(vehicles).where(*this, vehicles.c.data_source == "easycars")
    rows = rows_of(connection, ours.with_for_update() if for_update else ours)
    if not rows:
        raise UsageProblem(f"dealership {dealership_id} has no vehicle {stock_number} from EasyCars")
    return rows[0]


def _change_vehicle(connection: Connection, row: Mapping[str, Any], values: Mapping[Column[Any], Any]) -> None:
    changed = {**values, vehicles.c.updated_at: func.now()}
    connection.execute(update(vehicles).where(vehicles.c.id == row["id"]).values(changed))


def _set_statuses(
    connection: Connection,
    row: Mapping[str, Any],
    steps: Sequence[str],
    more: Mapping[Column[Any], Any],
    *,
    action: str,
    reason: str | None,
) -> dict[str, Any]:
    """Give a vehicle the last of these statuses, with a line of history for each that it passes through."""
    _change_vehicle(connection, row, {vehicles.c.status: steps[-1], **more})
    for old, new in pairwise([row["status"], *steps]):
        if new != old:
            change = {_changes.vehicle_id: row["id"], _changes.field: "status", _changes.old: old, _changes.new: new}
            connection.execute(insert(vehicle_changes).values(change))
    told = {"was": row["status"], "status": steps[-1], "reason": reason}
    write_audit(connection, f"stock.{action}", f"{row['dealership_id']}/{row['stock_number']}", told)
    return {name: row[name] for name in ("dealership_id", "stock_number", "title")} | told


def read_locks(connection: Connection, dealership_id: int, stock_number: str) -> list[str]:
    return sorted(_require_vehicle(connection, dealership_id, stock_number, for_update=False)["locked_fields"])


def change_locks(
    connection: Connection, dealership_id: int, stock_number: str, fields: Sequence[str], *, lock: bool
) -> list[str]:
    """Keep fields of one vehicle as they are, whatever the feed says, or give them back; returns all locked ones."""
    unknown = [field for field in fields if field not in FEED_COLUMNS]
    if unknown or not fields:
        what = f"no field {', '.join(unknown)}" if unknown else "no field was named"
        raise UsageProblem(f"{what}; the fields are {', '.join(FEED_COLUMNS)}")
    row = _require_vehicle(connection, dealership_id, stock_number)
    before = set(row["locked_fields"])
    after = sorted(before | set(fields) if lock else before - set(fields))
    # Without a fingerprint the next sync compares the row in full: a field given back gets its value.
    _change_vehicle(connection, row, {vehicles.c.locked_fields: after, vehicles.c.content_hash: None})
    action = "stock.lock" if lock else "stock.unlock"
    write_audit(connection, action, f"{dealership_id}/{stock_number}", {"fields": list(fields), "locked": after})
    return after


# --- schedule and pause ----------------------------------------------------------------------------------------------

# "until resumed": a plain instant, since the drivers of many host applications cannot read infinity
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)


def _own_settings(connection: Connection, dealership_id: int, action: str, **columns: Any) -> None:
    require_dealership(connection, dealership_id)
    values = {dealership_settings.c[name]: value for name, value in columns.items()}
    key = dealership_settings.c.dealership_id
    connection.execute(upsert(key, {key: dealership_id, **values}))
    told = {name: None if value == FOREVER else value for name, value in columns.items()}
    write_audit(connection, action, str(dealership_id), told)


def zone_of(connection: Connection, dealership_id: int) -> str:
    return next(found for found in due.read_dealerships(driver(connection)) if found.id == dealership_id).rule.timezone


def parse_until(connection: Connection, dealership_id: int, words: str) -> datetime | None:
    """
    Return the end of a pause: an ISO instant, a date, or a span from now; None if it has none.

    What names no offset is meant in the dealership's own zone; UsageProblem if it is none of these, or already past.
    """
    now = read_now(connection)
    end = read_when("--until", words, now=now, zone=zone_of(connection, dealership_id), past=False)
    if end.year >= 9000:
        return None
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
    _own_settings(connection, dealership_id, "dealership.set", easycar_auto_sync_enabled=on)


def set_cron(connection: Connection, dealership_id: int, cron: str | None) -> None:
    """Give the dealership a schedule of its own, or (None) the common one back; it counts at the next tick."""
    _own_settings(connection, dealership_id, "dealership.schedule", sync_cron=cron)


def list_schedules(connection: Connection) -> Rows:
    """Return for every dealership what its schedule is, when it is due next, and why it may not run."""
    return [
        {
            "dealership_id": found.id,
            "name": found.name,
            "cron": found.rule.cron,
            "cron_from": _origin(found.rule, found.wanted.cron, row["sync_cron"], "easycar_sync_cron"),
            "timezone": found.rule.timezone,
            "timezone_from": _origin(found.rule, found.wanted.timezone, row["timezone"], "easycar_sync_timezone"),
            "next_at": row["next_at"].astimezone(ZoneInfo(found.rule.timezone)),
            **{name: row[name] for name in ("retry_at", "attempt", "last_success_at")},
            "not_eligible": found.why_not,
            **{name: row[name] for name in ("paused", "paused_until", "paused_reason", "unreadable")},
        }
        for row, found in _overview(connection)
    ]


def _origin(rule: Rule, wanted: str, own: str | None, common: str) -> str:
    if wanted in rule.unreadable:
        return "fallback"
    return "dealership" if own and own.strip() else common


# --- keys ------------------------------------------------------------------------------------------------------------


def _lock_credentials(connection: Connection) -> None:
    connection.execute(text("LOCK TABLE easycar_credentials IN SHARE ROW EXCLUSIVE MODE"))


def read_secrets(connection: Connection) -> Sequence[Any]:
    """Return every dealership's id and four ciphertexts."""
    table = easycar_credentials
    secrets = [table.c[place.column] for place in places_of(0)]
    return connection.execute(select(table.c.dealership_id, *secrets).order_by(table.c.dealership_id)).all()


def rotate_key(connection: Connection, cipher: Cipher, *, bound: bool = True) -> int:
    """
    Encrypt every stored credential with the current key, all or nothing; returns how many.

    Unbound they get the layout of the system that was replaced. ConfigurationProblem: neither key reads some.
    """
    _lock_credentials(connection)
    table, rows = easycar_credentials, read_secrets(connection)
    unreadable = []
    for dealership_id, *stored in rows:
        try:
            values = {}
            for place, sealed in sealed_at(dealership_id, stored):
                own = Place(dealership_id, place.field) if bound else None
                values[table.c[place.column]] = cipher.encrypt(cipher.decrypt(sealed, place), own)
        except CredentialsUnreadable as problem:
            unreadable.append((dealership_id, problem))
            continue
        raised = {table.c.key_version: table.c.key_version + 1, table.c.updated_at: func.now()}
        connection.execute(update(table).where(table.c.dealership_id == dealership_id).values({**values, **raised}))
    if unreadable:
        raise ConfigurationProblem(
            f"credentials of dealership {', '.join(str(number) for number, _ in unreadable)} can be read with neither"
            " JOBSYNC_ENCRYPTION_KEY nor JOBSYNC_ENCRYPTION_KEY_PREVIOUS; nothing was changed (set or delete them"
            f" first). The first of them: {unreadable[0][1]}"
        )
    write_audit(connection, "credentials.rotate_key", None, {"credentials": len(rows), "bound": bound})
    return len(rows)
