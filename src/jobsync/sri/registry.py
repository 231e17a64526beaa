"""The SQL of what people do: tenants, their questions about documents, and asking the SRI once more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Executable, case, func, select, update
from sqlalchemy.dialects.postgresql import insert

from jobsync.db.audit import write_audit
from jobsync.db.statements import rows_of
from jobsync.db.tables import invoice_documents, invoices, sri_events, tenants
from jobsync.errors import UsageProblem
from jobsync.fiscal.access_key import AccessKeyError, parse_access_key

Rows = Sequence[dict[str, Any]]
_NO_TENANT = "no tenant {}; jobsync tenant list shows them"
# "until resumed": a plain instant, since the drivers of many host applications cannot read infinity
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)


def _one(connection: Connection, statement: Executable, words: str, name: str) -> dict[str, Any]:
    """Return the only row; raise UsageProblem, in these words about the name, if there is none."""
    rows = rows_of(connection, statement)
    if not rows:
        raise UsageProblem(words.format(name))
    return rows[0]


def _one_document(connection: Connection, statement: Executable, access_key: str) -> dict[str, Any]:
    """Return the only row, of a document; what is raised if there is none says what is wrong with the key."""
    why = ""
    try:  # a document may be here whose key is wrong
        parse_access_key(access_key)
    except AccessKeyError as error:
        why = f" ({error})"
    return _one(connection, statement, f"no document {{}}{why}; jobsync invoice list shows them", access_key)


# --- tenants ---------------------------------------------------------------------------------------------------------


def _documents(status: str) -> ColumnElement[int]:
    found = invoices.c
    counted = select(func.count()).where(
        found.tenant_id == tenants.c.id, found.status == status, found.deleted_at.is_(None)
    )
    return counted.scalar_subquery().label(status.removesuffix("_authorization"))


def _finite(instant: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((func.isfinite(instant), instant)).label(instant.key)


_TENANT = select(
    *tenants.c["id", "ruc", "name", "environment", "logo_path", "is_active"],
    func.coalesce(tenants.c.paused_until > func.now(), False).label("paused"),
    case((tenants.c.paused_until < datetime(9000, 1, 1, tzinfo=UTC), tenants.c.paused_until)).label("paused_until"),
    *map(_documents, ("pending_authorization", "authorized", "rejected", "needs_attention")),
)


def add_tenant(
    connection: Connection, ruc: str, name: str, *, environment: str, logo_path: str | None
) -> dict[str, Any]:
    """Insert a tenant; raise UsageProblem if there is one with this RUC."""
    values = {"ruc": ruc, "name": name, "environment": environment, "logo_path": logo_path}
    insert_new = insert(tenants).values(values).on_conflict_do_nothing(index_elements=[tenants.c.ruc])
    rows = rows_of(connection, insert_new.returning(tenants.c.id, *tenants.c[*values]))
    if not rows:
        raise UsageProblem(f"there is a tenant {ruc} already; jobsync tenant show {ruc} tells of it")
    write_audit(connection, "tenant.add", ruc, {"name": name, "environment": environment, "logo": logo_path})
    return rows[0]


def list_tenants(connection: Connection) -> Rows:
    """Return every tenant with the number of its documents by status."""
    return rows_of(connection, _TENANT.order_by(tenants.c.name, tenants.c.id))


def show_tenant(connection: Connection, ruc: str) -> dict[str, Any]:
    """Return one tenant as `list_tenants` does, with its oldest waiting document; raise UsageProblem without one."""
    row = _one(connection, _TENANT.where(tenants.c.ruc == ruc), _NO_TENANT, ruc)
    row["oldest_pending_at"] = connection.scalar(
        select(func.min(func.coalesce(invoices.c.submitted_at, invoices.c.created_at))).where(
            invoices.c.tenant_id == row["id"],
            invoices.c.status == "pending_authorization",
            invoices.c.deleted_at.is_(None),
        )
    )
    return row


def pause_tenant(connection: Connection, ruc: str, *, pause: bool) -> None:
    """Leave a tenant out of runs that name none of its documents, or resume it; raise UsageProblem without one."""
    values = {tenants.c.paused_until: FOREVER if pause else None, tenants.c.updated_at: func.now()}
    this = update(tenants).where(tenants.c.ruc == ruc).values(values).returning(tenants.c.id)
    _one(connection, this, _NO_TENANT, ruc)
    write_audit(connection, "tenant.pause" if pause else "tenant.resume", ruc)


# --- documents -------------------------------------------------------------------------------------------------------

_INVOICE = select(
    *invoices.c["access_key", "status", "status_reason"],
    tenants.c.ruc.label("tenant_ruc"),
    tenants.c.name.label("tenant"),
    *invoices.c["document_type", "series_number", "issue_date", "customer_name", "customer_id", "total"],
    *invoices.c["confirmed_by", "submitted_at", "check_count"],
    _finite(invoices.c.next_check_at),
    *invoices.c["empty_since", "empty_count", "attention_since", "sri_authorization", "authorized_at"],
    *invoices.c["ride_path", "ride_sha256", "ride_generated_at", "ride_attempts"],
    _finite(invoices.c.ride_next_at),
    *invoices.c["ride_error", "deleted_at", "created_at", "updated_at"],
).join_from(invoices, tenants, tenants.c.id == invoices.c.tenant_id)
_EVENT = select(
    *sri_events.c["at", "kind", "code", "message", "additional_info", "severity", "class"],
    *sri_events.c["http_status", "duration_ms", "run_id", "raw"],
).join_from(sri_events, invoices, invoices.c.id == sri_events.c.invoice_id)


def list_invoices(connection: Connection, *, status: str | None, tenant: str | None, limit: int) -> Rows:
    """Return the latest documents, newest first."""
    wanted: list[ColumnElement[bool]] = [invoices.c.deleted_at.is_(None)]
    if tenant is not None:
        wanted.append(tenants.c.id == show_tenant(connection, tenant)["id"])
    if status is not None:
        wanted.append(invoices.c.status == status)
    return rows_of(connection, _INVOICE.where(*wanted).order_by(invoices.c.id.desc()).limit(limit))


def show_invoice(connection: Connection, access_key: str) -> dict[str, Any]:
    """Return one document with what happened to it, oldest first, as `events`; raise UsageProblem without one."""
    this = invoices.c.access_key == access_key
    row = _one_document(connection, _INVOICE.where(this), access_key)
    row["events"] = rows_of(connection, _EVENT.where(this).order_by(sri_events.c.id))
    return row


def recheck_invoice(connection: Connection, access_key: str) -> str:
    """
    Make a document pending and due, and return what its status was.

    Raises:
        UsageProblem: there is none, it is deleted or cancelled, or the SRI itself has authorized it.
    """
    known = invoices.c["id", "tenant_id", "status", "confirmed_by", "deleted_at"]
    this = select(*known).where(invoices.c.access_key == access_key).with_for_update()
    found = _one_document(connection, this, access_key)
    was = str(found["status"])
    if found["deleted_at"] is not None or was == "cancelled":
        raise UsageProblem(f"document {access_key} is {'deleted' if found['deleted_at'] else 'cancelled'}")
    if was == "authorized" and found["confirmed_by"] != "file":
        raise UsageProblem(f"document {access_key} is authorized by the SRI; that is final")
    asked_anew = {
        **dict.fromkeys(("status_reason", "empty_since", "attention_since", "confirmed_by")),
        **dict.fromkeys(("next_check_at", "updated_at"), func.now()),
        "status": "pending_authorization",
        "check_count": 0,
        "empty_count": 0,
    }
    connection.execute(update(invoices).where(invoices.c.id == found["id"]).values(asked_anew))
    event = {"tenant_id": found["tenant_id"], "invoice_id": found["id"], "kind": "recheck", "message": f"was {was}"}
    connection.execute(insert(sri_events).values(event))
    write_audit(connection, "invoice.recheck", access_key, {"was": was})
    return was


def read_files(connection: Connection, access_key: str) -> dict[str, bytes | None]:
    """Return the bytes kept of a document, by what they are; raise UsageProblem if there is none with this key."""
    kept = select(*invoice_documents.c["submitted_xml", "authorized_xml", "authorized_answer"]).join_from(
        invoices, invoice_documents, invoice_documents.c.invoice_id == invoices.c.id, isouter=True
    )
    return _one_document(connection, kept.where(invoices.c.access_key == access_key), access_key)
