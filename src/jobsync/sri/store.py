"""The SQL of authorization checks: who is due, an attempt, a verdict, what happened, and the state of a host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import psycopg

from jobsync.documents import DocumentQueue, Waiting
from jobsync.fiscal.access_key import AccessKey, AccessKeyError, Environment, parse_access_key
from jobsync.fiscal.document import Summary
from jobsync.sri.model import Authorization, DocumentStatus, History, Outcome, Verdict
from jobsync.sri.reasons import WORDS

_MOST_RAW = 64 << 10


@dataclass(frozen=True, kw_only=True)
class DueDocument(Waiting, History):
    """One document that the SRI is to be asked about."""

    tenant_environment: Environment
    # how often it was asked about, the ask under way included; once somebody sets it to 0, that one's verdict is void
    check_count: int
    submitted_at: datetime | None  # names the submission: a verdict counts only for the one that was asked about
    inactive: bool = False
    paused: bool = False

    @cached_property
    def key(self) -> AccessKey | AccessKeyError:
        """The key, or what is wrong with it as far as it can be known without a call."""
        try:
            key = parse_access_key(self.access_key)
            key.require_ruc(self.tenant_ruc)
        except AccessKeyError as error:
            return error
        return key


_EARLIER = "CASE WHEN refused_submission IS DISTINCT FROM submitted_at THEN refused_at END AS earlier_refusal_at"
# The key's environment is the host: the many that wait for one that is down leave room for those of the other.
QUEUE = DocumentQueue(
    DueDocument,
    view=f"(SELECT *, {_EARLIER} FROM due_documents)",
    whole=f"""(
        SELECT i.id, i.tenant_id, t.ruc AS tenant_ruc, t.environment AS tenant_environment, i.access_key, i.status,
               i.check_count, i.submitted_at, coalesce(i.submitted_at, i.created_at) AS waiting_since,
               i.attention_since, i.empty_since, i.empty_count, {_EARLIER}, i.deleted_at IS NOT NULL AS deleted,
               NOT t.is_active AS inactive, coalesce(t.paused_until > now(), false) AS paused
        FROM invoices i JOIN tenants t ON t.id = i.tenant_id)""",
    turn="PARTITION BY d.tenant_id, substr(d.access_key, 24, 1) ORDER BY d.check_count, d.due_since, d.id",
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


def columns_of(key: AccessKey, summary: Summary | None) -> dict[str, Any]:
    """Return what lists show of a document, by column; without a summary what its key tells."""
    return {
        "document_type": key.document_type,
        "series_number": key.series_number,
        "issue_date": (summary.issue_date if summary else None) or key.issue_date,
        "customer_name": summary.receiver_name if summary else None,
        "customer_id": summary.receiver_id if summary else None,
        "total": summary.total if summary else None,
    }


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

    Returns the number of the ask, None if the document is not to be asked about any more. Without `paced` the host's
    row is only made: where calls need no distance, attempts are not to queue up for it.
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


def write_waiting(connection: psycopg.Connection[Any], document: DueDocument, verdict: Verdict) -> bool:
    """Write a verdict that is no authorization, if the document is still as it was; returns whether it was."""
    one = verdict.authorization if verdict.outcome in (Outcome.REJECTED, Outcome.NEEDS_ATTENTION) else None
    status = DocumentStatus.PENDING if verdict.outcome is Outcome.PENDING else verdict.outcome
    written = connection.execute(
        "UPDATE invoices SET status = coalesce(%(status)s, status),"
        " status_reason = CASE WHEN %(status)s::text IS NULL THEN status_reason ELSE %(reason)s END,"
        " next_check_at = now() + %(next_check_in)s, empty_since = %(empty_since)s, empty_count = %(empty_count)s,"
        " attention_since = CASE coalesce(%(status)s, status) WHEN 'needs_attention'"
        " THEN coalesce(attention_since, now()) END, refused_at = coalesce(%(refused_at)s, refused_at),"
        # remembered with the submission that the refusal is about
        " refused_submission = CASE WHEN %(refused_at)s::timestamptz IS NULL THEN refused_submission"
        " ELSE submitted_at END,"
        " updated_at = CASE WHEN coalesce(%(status)s, status) <> status THEN now() ELSE updated_at END"
        + _SAME_SUBMISSION,
        {
            **_identity(document),
            **{name: getattr(verdict, name) for name in ("reason", "next_check_in", "empty_since", "empty_count")},
            "status": None if verdict.status_stays else str(status),
            "refused_at": one.authorized_at if one else None,
        },
    )
    return bool(written.rowcount)


def write_authorized(
    connection: psycopg.Connection[Any],
    document: DueDocument,
    said: Authorization,
    *,
    answer: bytes,
    columns: Mapping[str, Any],
) -> bool:
    """
    Write an authorization, with the `answer` byte for byte; returns as `write_waiting` does.

    `columns` fill those that are empty in the row.
    """
    told = ", ".join(f"{name} = coalesce({name}, %({name})s)" for name in columns)
    written = connection.execute(
        (
            "WITH written AS ("
            " UPDATE invoices SET status = 'authorized', status_reason = NULL, confirmed_by = 'sri',"
            " sri_authorization = %(number)s, authorized_at = %(authorized_at)s, next_check_at = NULL,"
            " empty_since = NULL, empty_count = 0, attention_since = NULL, ride_generated_at = NULL,"
            f" ride_attempts = 0, ride_next_at = now(), ride_error = NULL, updated_at = now(), {told}"
            + _SAME_SUBMISSION
            + " RETURNING id)"
            " INSERT INTO invoice_documents (invoice_id, authorized_answer, authorized_xml)"
            " SELECT id, %(answer)s, %(xml)s FROM written"
            " ON CONFLICT (invoice_id) DO UPDATE SET authorized_answer = excluded.authorized_answer,"
            " authorized_xml = excluded.authorized_xml, updated_at = now()"
        ).encode(),
        {
            **_identity(document),
            "number": said.number or document.access_key,
            "authorized_at": said.authorized_at,
            **columns,
            "answer": answer,
            "xml": said.document,
        },
    )
    return bool(written.rowcount)


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
            " class, http_status, duration_ms, raw, at) VALUES"
            " ((SELECT id FROM tenants WHERE id = %(tenant_id)s FOR KEY SHARE),"
            " (SELECT id FROM invoices WHERE id = %(invoice_id)s FOR KEY SHARE), %(run_id)s, %(kind)s, %(code)s,"
            " %(message)s, %(additional_info)s, %(severity)s, %(message_class)s, %(http_status)s, %(duration_ms)s,"
            " %(raw)s, clock_timestamp())",
            {
                **{name: _storable(value) for name, value in vars(event).items()},
                "tenant_id": tenant_id,
                "invoice_id": invoice_id,
                "run_id": run_id,
            },
        )


def _storable(value: object) -> object:
    """Return text, or the beginning of bytes, as Postgres can hold it."""
    if isinstance(value, bytes):
        value = value[:_MOST_RAW].decode("utf-8", "replace") or None
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode() if isinstance(value, str) else value
