"""The SQL of authorization checks: who is due, an attempt, a verdict, what happened, and the state of a host."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from jobsync.fiscal.access_key import Environment
from jobsync.sri.model import Authorization, DocumentStatus, History
from jobsync.sri.reasons import WORDS

_MOST_RAW = 64 << 10


@dataclass(frozen=True)
class DueDocument:
    """
    One document that the SRI is to be asked about.

    Args:
        check_count: how often it was asked about, the ask under way included. To have it asked about anew, set it
            to 0, and the verdict of an ask under way does not count any more.
        submitted_at: names the submission: a verdict counts only for the one that was asked about.
        waiting_since: `submitted_at`, else when the row was made.
        too_far_ahead: it is due because its next check was set by a clock that was wrong.
    """

    id: int
    tenant_id: int
    tenant_ruc: str
    tenant_environment: Environment
    access_key: str
    status: DocumentStatus
    check_count: int
    submitted_at: datetime | None
    waiting_since: datetime
    attention_since: datetime | None
    empty_since: datetime | None
    empty_count: int
    deleted: bool
    inactive: bool
    paused: bool
    refused_at: datetime | None = None
    refused_submission: datetime | None = None
    too_far_ahead: bool = False

    @property
    def history(self) -> History:
        """What a judge needs to know."""
        return History(
            access_key=self.access_key,
            waiting_since=self.waiting_since,
            status=self.status,
            attention_since=self.attention_since,
            empty_since=self.empty_since,
            empty_count=self.empty_count,
            earlier_refusal_at=self.refused_at if self.refused_submission != self.submitted_at else None,
        )


@dataclass(frozen=True)
class Event:
    """One row of sri_events; `kind` is an outcome, `message` for a further message, or what else happened."""

    kind: str
    code: str | None = None
    message: str | None = None
    additional_info: str | None = None
    severity: str | None = None
    message_class: str | None = None
    http_status: int | None = None
    duration_ms: int | None = None
    raw: bytes | None = None


@dataclass(frozen=True)
class DocumentSummary:
    """What an authorized document tells, for columns that are empty in the row as it was inserted."""

    document_type: str | None = None
    series_number: str | None = None
    issue_date: date | None = None
    customer_name: str | None = None
    customer_id: str | None = None
    total: Decimal | None = None


_DOCUMENT = """
    SELECT i.id, i.tenant_id, t.ruc AS tenant_ruc, t.environment AS tenant_environment, i.access_key, i.status,
           i.check_count, i.submitted_at, coalesce(i.submitted_at, i.created_at) AS waiting_since, i.attention_since,
           i.empty_since, i.empty_count, i.refused_at, i.refused_submission,
           i.deleted_at IS NOT NULL AS deleted, NOT t.is_active AS inactive,
           coalesce(t.paused_until > now(), false) AS paused
"""
# Tenants in turns: the first of each, then the second of each. Within a tenant those with the fewest asks come first,
# so that a document that kills the process cannot stand in the way of the others. The key's environment is the host:
# the many that wait for one that is down leave room for those of the other.
_WHAT_IS_DUE = "FROM due_documents d WHERE (%(tenants)s::text[] IS NULL OR d.tenant_ruc = ANY(%(tenants)s))"
_IN_TURNS = f"""
    WITH due AS (
        SELECT d.*, row_number() OVER (PARTITION BY d.tenant_id, substr(d.access_key, 24, 1)
                                       ORDER BY d.check_count, d.due_since, d.id) AS turn
        {_WHAT_IS_DUE}
    )
"""
_NOT_LEFT_ALONE = "false AS deleted, false AS inactive, false AS paused"
_DUE = f"{_IN_TURNS} SELECT due.*, {_NOT_LEFT_ALONE} FROM due ORDER BY turn, due_since, id LIMIT %(limit)s"


def read_due(
    connection: psycopg.Connection[Any], *, limit: int, tenants: Sequence[str] = ()
) -> tuple[list[DueDocument], int]:
    """Return the documents whose time has come, tenants in fair turns, at most `limit`; and how many there are."""
    values = {"tenants": list(tenants) or None, "limit": limit}
    rows = _rows(connection, _DUE, values)
    total = len(rows)
    if total == limit:  # only then may there be more
        [counted] = _rows(connection, f"SELECT count(*) AS total {_WHAT_IS_DUE}", values)
        total = max(total, counted["total"])
    return [_document(row) for row in rows], total


def read_due_ids(connection: psycopg.Connection[Any], *, tenants: Sequence[str] = ()) -> array[int]:
    """Return the numbers of all documents whose time has come, tenants in fair turns."""
    statement = f"{_IN_TURNS} SELECT id FROM due ORDER BY turn, due_since, id"
    found = connection.execute(statement.encode(), {"tenants": list(tenants) or None})
    return array("q", (row[0] for row in found))


def read_due_of(connection: psycopg.Connection[Any], ids: Sequence[int]) -> list[DueDocument]:
    """Return those of these documents whose time has still come, in the order of the numbers."""
    statement = f"SELECT d.*, {_NOT_LEFT_ALONE} FROM due_documents d WHERE d.id = ANY(%(ids)s)"
    found = {row["id"]: _document(row) for row in _rows(connection, statement, {"ids": list(ids)})}
    return [found[number] for number in ids if number in found]


def read_named(connection: psycopg.Connection[Any], access_keys: Sequence[str]) -> list[DueDocument]:
    """Return the documents with these access keys, due or not, in the order of the keys."""
    statement = (
        f"{_DOCUMENT}, false AS too_far_ahead FROM invoices i JOIN tenants t ON t.id = i.tenant_id"
        " WHERE i.access_key = ANY(%(keys)s)"
    )
    found = {row["access_key"]: _document(row) for row in _rows(connection, statement, {"keys": list(access_keys)})}
    return [found[key] for key in access_keys if key in found]


def unknown_tenants(connection: psycopg.Connection[Any], rucs: Sequence[str]) -> list[str]:
    """Return those RUCs that no tenant has."""
    known = {ruc for (ruc,) in connection.execute("SELECT ruc FROM tenants WHERE ruc = ANY(%s)", [list(rucs)])}
    return [ruc for ruc in rucs if ruc not in known]


def begin_attempt(
    connection: psycopg.Connection[Any],
    document: DueDocument,
    *,
    next_in: timedelta,
    host: str | None,
    paced: bool = True,
) -> int | None:
    """
    Count the ask and set the next time, before it starts; stamp the host's last call.

    Args:
        paced: False only makes the host's row: where calls need no distance, attempts are not to queue up for it.

    Returns the number of the ask, None if the document is not to be asked about any more.
    """
    row = connection.execute(
        "WITH begun AS ("
        " UPDATE invoices SET check_count = check_count + 1, next_check_at = now() + %(next_in)s"
        " WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND deleted_at IS NULL"
        " AND submitted_at IS NOT DISTINCT FROM %(submitted_at)s"
        " AND status IN ('pending_authorization', 'needs_attention') RETURNING check_count), stamped AS ("
        " INSERT INTO vendor_hosts (host, last_start_at) SELECT %(host)s::text, clock_timestamp() FROM begun"
        " WHERE %(host)s::text IS NOT NULL"
        " AND (%(paced)s OR NOT EXISTS (SELECT FROM vendor_hosts WHERE host = %(host)s))"
        " ON CONFLICT (host) DO UPDATE SET last_start_at = excluded.last_start_at)"
        " SELECT check_count FROM begun",
        {**_identity(document), "next_in": next_in, "host": host, "paced": paced},
    ).fetchone()
    return int(row[0]) if row else None


def write_last_start(connection: psycopg.Connection[Any], host: str, *, idle: timedelta) -> None:
    """Remember when the last call to a host left, unless a later one is known."""
    connection.execute(
        "INSERT INTO vendor_hosts AS h (host, last_start_at) VALUES (%s, clock_timestamp() - %s)"
        " ON CONFLICT (host) DO UPDATE SET last_start_at = greatest(h.last_start_at, excluded.last_start_at)",
        [host, idle],
    )


def read_unusable(
    connection: psycopg.Connection[Any], invoice_id: int, kinds: Sequence[str]
) -> tuple[datetime | None, int]:
    """
    Return since when, and how often, a document's asks in a row ended in one of these kinds of fault.

    Other faults in between count for nothing; any other answer, and whatever a person did with it, begins anew.
    """
    row = connection.execute(
        "SELECT min(at), count(*) FROM sri_events WHERE invoice_id = %(id)s AND kind = 'fault'"
        " AND code = ANY(%(kinds)s) AND at > coalesce((SELECT max(at) FROM sri_events WHERE invoice_id = %(id)s"
        " AND kind NOT IN ('fault', 'warning', 'message', 'discarded')), '-infinity')",
        {"id": invoice_id, "kinds": list(kinds)},
    ).fetchone()
    return row or (None, 0)


def write_waiting(
    connection: psycopg.Connection[Any],
    document: DueDocument,
    status: DocumentStatus | None,
    *,
    reason: str | None,
    next_in: timedelta | None,
    empty_since: datetime | None,
    empty_count: int,
    refused_at: datetime | None = None,
) -> bool:
    """
    Write a verdict that is not an authorization.

    Args:
        status: None leaves it as it is, as a fault does.
        refused_at: the SRI's instant of a refusal, remembered with the submission that it is about.

    Returns whether the document was still as it was when it was asked about; if not, nothing is written.
    """
    return bool(
        connection.execute(
            "UPDATE invoices SET status = coalesce(%(status)s, status),"
            " status_reason = CASE WHEN %(status)s::text IS NULL THEN status_reason ELSE %(reason)s END,"
            " next_check_at = now() + %(next_in)s, empty_since = %(empty_since)s, empty_count = %(empty_count)s,"
            " attention_since = CASE coalesce(%(status)s, status) WHEN 'needs_attention'"
            " THEN coalesce(attention_since, now()) END, refused_at = coalesce(%(refused_at)s, refused_at),"
            " refused_submission = CASE WHEN %(refused_at)s::timestamptz IS NULL THEN refused_submission"
            " ELSE submitted_at END,"
            " updated_at = CASE WHEN coalesce(%(status)s, status) <> status THEN now() ELSE updated_at END"
            + _SAME_SUBMISSION,
            {
                **_identity(document),
                "status": str(status) if status else None,
                "reason": reason,
                "next_in": next_in,
                "empty_since": empty_since,
                "empty_count": empty_count,
                "refused_at": refused_at,
            },
        ).rowcount
    )


def write_authorized(
    connection: psycopg.Connection[Any],
    document: DueDocument,
    *,
    number: str,
    authorized_at: datetime | None,
    answer: bytes,
    xml: bytes | None,
    found: DocumentSummary,
) -> bool:
    """Write an authorization with the answer byte for byte; returns as `write_waiting` does."""
    changed = connection.execute(
        "WITH written AS ("
        " UPDATE invoices SET status = 'authorized', status_reason = NULL, confirmed_by = 'sri',"
        " sri_authorization = %(number)s, authorized_at = %(authorized_at)s, next_check_at = NULL, empty_since = NULL,"
        " empty_count = 0, attention_since = NULL, ride_generated_at = NULL, ride_attempts = 0, ride_next_at = now(),"
        " ride_error = NULL, updated_at = now(), document_type = coalesce(document_type, %(document_type)s),"
        " series_number = coalesce(series_number, %(series_number)s),"
        " issue_date = coalesce(issue_date, %(issue_date)s),"
        " customer_name = coalesce(customer_name, %(customer_name)s),"
        " customer_id = coalesce(customer_id, %(customer_id)s), total = coalesce(total, %(total)s)"
        + _SAME_SUBMISSION
        + " RETURNING id)"
        " INSERT INTO invoice_documents (invoice_id, authorized_answer, authorized_xml)"
        " SELECT id, %(answer)s, %(xml)s FROM written"
        " ON CONFLICT (invoice_id) DO UPDATE SET authorized_answer = excluded.authorized_answer,"
        " authorized_xml = excluded.authorized_xml, updated_at = now()",
        {
            **_identity(document),
            "number": number,
            "authorized_at": authorized_at,
            **vars(found),
            "answer": answer,
            "xml": xml,
        },
    ).rowcount
    return bool(changed)


_SAME_SUBMISSION = (
    " WHERE id = %(id)s AND tenant_id = %(tenant_id)s AND deleted_at IS NULL"
    " AND submitted_at IS NOT DISTINCT FROM %(submitted_at)s AND check_count = %(check_count)s"
    " AND status IN ('pending_authorization', 'needs_attention')"
)


def _identity(document: DueDocument) -> dict[str, Any]:
    names = ("id", "tenant_id", "submitted_at", "check_count")
    return {name: getattr(document, name) for name in names}


def warning_event(warning: str, said: Authorization | None) -> Event:
    """Return what is odd about a document as a row of its story; a date stands in it as it was received."""
    word = WORDS.get(warning)
    date = said.authorized_at_text if said and warning.startswith("date_") else None
    return Event("warning", code=warning, message=word.meaning if word else None, additional_info=date)


def add_events(
    connection: psycopg.Connection[Any],
    events: Iterable[Event],
    *,
    run_id: UUID | None = None,
    tenant_id: int | None = None,
    invoice_id: int | None = None,
) -> None:
    """Add what happened, in its order; an invoice or a tenant that is gone meanwhile is left out."""
    for event in events:
        connection.execute(
            "INSERT INTO sri_events (tenant_id, invoice_id, run_id, kind, code, message, additional_info, severity,"
            " class, http_status, duration_ms, raw, at) VALUES ((SELECT id FROM tenants WHERE id = %s FOR KEY SHARE),"
            " (SELECT id FROM invoices WHERE id = %s FOR KEY SHARE), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
            " clock_timestamp())",
            [
                tenant_id,
                invoice_id,
                run_id,
                event.kind,
                _storable(event.code),
                _storable(event.message),
                _storable(event.additional_info),
                _storable(event.severity),
                event.message_class,
                event.http_status,
                event.duration_ms,
                _storable(event.raw[:_MOST_RAW].decode("utf-8", "replace")) if event.raw else None,
            ],
        )


def _storable(text: str | None) -> str | None:
    """Return text as Postgres can hold it."""
    return None if text is None else text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


# --- rows ------------------------------------------------------------------------------------------------------------


def _rows(connection: psycopg.Connection[Any], statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return list(cursor.execute(statement.encode(), parameters).fetchall())


def _document(row: dict[str, Any]) -> DueDocument:
    values = {name: row[name] for name in DueDocument.__dataclass_fields__}
    return DueDocument(**{**values, "status": DocumentStatus(row["status"])})
