"""The SQL of what people do: tenants, their questions about documents, and asking the SRI once more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_new

from jobsync.db.audit import write_audit
from jobsync.db.statements import rows_of
from jobsync.db.tables import invoice_documents, invoices, sri_events, tenants
from jobsync.errors import UsageProblem

Rows = Sequence[dict[str, Any]]

# "until resumed": a plain instant, since the drivers of many host applications cannot read infinity
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)


# --- tenants ---------------------------------------------------------------------------------------------------------


def _documents(status: str) -> ColumnElement[int]:
    """Return how many documents of a status the tenant has."""
    return (
        select(func.count())
        .where(invoices.c.tenant_id == tenants.c.id, invoices.c.status == status, invoices.c.deleted_at.is_(None))
        .scalar_subquery()
    )


_TENANT = select(
    tenants.c.id,
    tenants.c.ruc,
    tenants.c.name,
    tenants.c.environment,
    tenants.c.logo_path,
    tenants.c.is_active,
    func.coalesce(tenants.c.paused_until > func.now(), False).label("paused"),
    case((tenants.c.paused_until < datetime(9000, 1, 1, tzinfo=UTC), tenants.c.paused_until)).label("paused_until"),
    _documents("pending_authorization").label("pending"),
    _documents("authorized").label("authorized"),
    _documents("rejected").label("rejected"),
    _documents("needs_attention").label("needs_attention"),
)


def add_tenant(
    connection: Connection, ruc: str, name: str, *, environment: str, logo_path: str | None
) -> dict[str, Any]:
    """
    Insert a tenant.

    Raises:
        UsageProblem: there is one with this RUC.
    """
    values = {
        tenants.c.ruc: ruc,
        tenants.c.name: name,
        tenants.c.environment: environment,
        tenants.c.logo_path: logo_path,
    }
    rows = rows_of(
        connection,
        insert_new(tenants)
        .values(values)
        .on_conflict_do_nothing(index_elements=[tenants.c.ruc])
        .returning(tenants.c.id, *values),
    )
    if not rows:
        raise UsageProblem(f"there is a tenant {ruc} already; jobsync tenant show {ruc} tells of it")
    write_audit(connection, "tenant.add", ruc, {"name": name, "environment": environment, "logo": logo_path})
    return rows[0]


def list_tenants(connection: Connection) -> Rows:
    """Return every tenant with the number of its documents by status."""
    return rows_of(connection, _TENANT.order_by(tenants.c.name, tenants.c.id))


def show_tenant(connection: Connection, ruc: str) -> dict[str, Any]:
    """
    Return one tenant as `list_tenants` does, with its oldest waiting document.

    Raises:
        UsageProblem: there is none with this RUC.
    """
    rows = rows_of(connection, _TENANT.where(tenants.c.ruc == ruc))
    if not rows:
        raise UsageProblem(f"no tenant {ruc}; jobsync tenant list shows them")
    [row] = rows
    row["oldest_pending_at"] = connection.scalar(
        select(func.min(func.coalesce(invoices.c.submitted_at, invoices.c.created_at))).where(
            invoices.c.tenant_id == row["id"],
            invoices.c.status == "pending_authorization",
            invoices.c.deleted_at.is_(None),
        )
    )
    return row


def pause_tenant(connection: Connection, ruc: str) -> None:
    """Leave the tenant out of every run that does not name one of its documents, until it is resumed."""
    _set_pause(connection, ruc, FOREVER, "tenant.pause")


def resume_tenant(connection: Connection, ruc: str) -> None:
    """End a pause."""
    _set_pause(connection, ruc, None, "tenant.resume")


def _set_pause(connection: Connection, ruc: str, until: datetime | None, action: str) -> None:
    values = {tenants.c.paused_until: until, tenants.c.updated_at: func.now()}
    changed = connection.execute(update(tenants).where(tenants.c.ruc == ruc).values(values)).rowcount
    if not changed:
        raise UsageProblem(f"no tenant {ruc}; jobsync tenant list shows them")
    write_audit(connection, action, ruc)


# --- documents -------------------------------------------------------------------------------------------------------

_INVOICE = select(
    invoices.c.access_key,
    invoices.c.status,
    invoices.c.status_reason,
    tenants.c.ruc.label("tenant_ruc"),
    tenants.c.name.label("tenant"),
    invoices.c.document_type,
    invoices.c.series_number,
    invoices.c.issue_date,
    invoices.c.customer_name,
    invoices.c.customer_id,
    invoices.c.total,
    invoices.c.confirmed_by,
    invoices.c.submitted_at,
    invoices.c.check_count,
    case((func.isfinite(invoices.c.next_check_at), invoices.c.next_check_at)).label("next_check_at"),
    invoices.c.empty_since,
    invoices.c.empty_count,
    invoices.c.attention_since,
    invoices.c.sri_authorization,
    invoices.c.authorized_at,
    invoices.c.ride_path,
    invoices.c.ride_sha256,
    invoices.c.ride_generated_at,
    invoices.c.ride_attempts,
    case((func.isfinite(invoices.c.ride_next_at), invoices.c.ride_next_at)).label("ride_next_at"),
    invoices.c.ride_error,
    invoices.c.deleted_at,
    invoices.c.created_at,
    invoices.c.updated_at,
).join_from(invoices, tenants, tenants.c.id == invoices.c.tenant_id)


def list_invoices(connection: Connection, *, status: str | None, tenant: str | None, limit: int) -> Rows:
    """Return the latest documents, newest first."""
    if tenant is not None:
        show_tenant(connection, tenant)
    wanted: list[ColumnElement[bool]] = [invoices.c.deleted_at.is_(None)]
    if status is not None:
        wanted.append(invoices.c.status == status)
    if tenant is not None:
        wanted.append(tenants.c.ruc == tenant)
    return rows_of(connection, _INVOICE.where(*wanted).order_by(invoices.c.id.desc()).limit(limit))


def show_invoice(connection: Connection, access_key: str) -> dict[str, Any]:
    """
    Return one document with everything that happened to it, oldest first, under `events`.

    Raises:
        UsageProblem: there is none with this access key.
    """
    rows = rows_of(connection, _INVOICE.where(invoices.c.access_key == access_key))
    if not rows:
        raise UsageProblem(f"no document {access_key}; jobsync invoice list shows them")
    [row] = rows
    events = sri_events.c
    row["events"] = rows_of(
        connection,
        select(
            events.at,
            events.kind,
            events.code,
            events.message,
            events.additional_info,
            events.severity,
            events["class"],
            events.http_status,
            events.duration_ms,
            events.run_id,
            events.raw,
        )
        .join_from(sri_events, invoices, invoices.c.id == events.invoice_id)
        .where(invoices.c.access_key == access_key)
        .order_by(events.id),
    )
    return row


def recheck_invoice(connection: Connection, access_key: str) -> str:
    """
    Make a document pending and due, whatever was thought of it; returns what its status was.

    Raises:
        UsageProblem: there is none, it is deleted or cancelled, or the SRI itself has authorized it.
    """
    found = connection.execute(
        select(
            invoices.c.id,
            invoices.c.tenant_id,
            invoices.c.status,
            invoices.c.confirmed_by,
            invoices.c.deleted_at,
        )
        .where(invoices.c.access_key == access_key)
        .with_for_update()
    ).one_or_none()
    if found is None:
        raise UsageProblem(f"no document {access_key}; jobsync invoice list shows them")
    if found.deleted_at is not None or found.status == "cancelled":
        raise UsageProblem(f"document {access_key} is {'deleted' if found.deleted_at else 'cancelled'}")
    if found.status == "authorized" and found.confirmed_by != "file":
        raise UsageProblem(f"document {access_key} is authorized by the SRI; that is final")
    asked_anew = {
        invoices.c.status: "pending_authorization",
        invoices.c.status_reason: None,
        invoices.c.next_check_at: func.now(),
        invoices.c.check_count: 0,
        invoices.c.empty_since: None,
        invoices.c.empty_count: 0,
        invoices.c.attention_since: None,
        invoices.c.confirmed_by: None,
        invoices.c.updated_at: func.now(),
    }
    connection.execute(update(invoices).where(invoices.c.id == found.id).values(asked_anew))
    event = {
        sri_events.c.tenant_id: found.tenant_id,
        sri_events.c.invoice_id: found.id,
        sri_events.c.kind: "recheck",
        sri_events.c.message: f"was {found.status}",
    }
    connection.execute(insert(sri_events).values(event))
    write_audit(connection, "invoice.recheck", access_key, {"was": found.status})
    return str(found.status)


def record_import(connection: Connection, paths: Sequence[str], counts: dict[str, int]) -> None:
    """Record who imported what."""
    write_audit(connection, "invoice.import", None, {"paths": list(paths)[:20], **counts})


def read_files(connection: Connection, access_key: str) -> dict[str, bytes | None]:
    """
    Return the bytes kept of a document: `submitted_xml`, `authorized_xml`, `authorized_answer`.

    Raises:
        UsageProblem: there is none with this access key.
    """
    rows = rows_of(
        connection,
        select(
            invoice_documents.c.submitted_xml,
            invoice_documents.c.authorized_xml,
            invoice_documents.c.authorized_answer,
        )
        .join_from(invoices, invoice_documents, invoice_documents.c.invoice_id == invoices.c.id, isouter=True)
        .where(invoices.c.access_key == access_key),
    )
    if not rows:
        raise UsageProblem(f"no document {access_key}; jobsync invoice list shows them")
    return {name: value if value is None else bytes(value) for name, value in rows[0].items()}
