"""The SQL of what people do: tenants, their questions about documents, and asking the SRI once more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from jobsync.db.audit import write_audit
from jobsync.errors import UsageProblem

if TYPE_CHECKING:
    from sqlalchemy import Connection

Rows = Sequence[dict[str, Any]]

# "until resumed": a plain instant, since the drivers of many host applications cannot read infinity
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)


def _rows(connection: Connection, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]


# --- tenants ---------------------------------------------------------------------------------------------------------

_TENANT = """
    SELECT t.id, t.ruc, t.name, t.environment, t.logo_path, t.is_active,
           coalesce(t.paused_until > now(), false) AS paused,
           CASE WHEN t.paused_until < '9000-01-01' THEN t.paused_until END AS paused_until,
           (SELECT count(*) FROM invoices i WHERE i.tenant_id = t.id AND i.status = 'pending_authorization'
            AND i.deleted_at IS NULL) AS pending,
           (SELECT count(*) FROM invoices i WHERE i.tenant_id = t.id AND i.status = 'authorized'
            AND i.deleted_at IS NULL) AS authorized,
           (SELECT count(*) FROM invoices i WHERE i.tenant_id = t.id AND i.status = 'rejected'
            AND i.deleted_at IS NULL) AS rejected,
           (SELECT count(*) FROM invoices i WHERE i.tenant_id = t.id AND i.status = 'needs_attention'
            AND i.deleted_at IS NULL) AS needs_attention
    FROM tenants t
"""


def add_tenant(
    connection: Connection, ruc: str, name: str, *, environment: str, logo_path: str | None
) -> dict[str, Any]:
    """
    Insert a tenant.

    Raises:
        UsageProblem: there is one with this RUC.
    """
    rows = _rows(
        connection,
        "INSERT INTO tenants (ruc, name, environment, logo_path) VALUES (:ruc, :name, :environment, :logo)"
        " ON CONFLICT (ruc) DO NOTHING RETURNING id, ruc, name, environment, logo_path",
        ruc=ruc,
        name=name,
        environment=environment,
        logo=logo_path,
    )
    if not rows:
        raise UsageProblem(f"there is a tenant {ruc} already; jobsync tenant show {ruc} tells of it")
    write_audit(connection, "tenant.add", ruc, {"name": name, "environment": environment, "logo": logo_path})
    return rows[0]


def list_tenants(connection: Connection) -> Rows:
    """Return every tenant with the number of its documents by status."""
    return _rows(connection, _TENANT + " ORDER BY t.name, t.id")


def show_tenant(connection: Connection, ruc: str) -> dict[str, Any]:
    """
    Return one tenant as `list_tenants` does, with its oldest waiting document.

    Raises:
        UsageProblem: there is none with this RUC.
    """
    rows = _rows(connection, _TENANT + " WHERE t.ruc = :ruc", ruc=ruc)
    if not rows:
        raise UsageProblem(f"no tenant {ruc}; jobsync tenant list shows them")
    [row] = rows
    row["oldest_pending_at"] = connection.scalar(
        text(
            "SELECT min(coalesce(submitted_at, created_at)) FROM invoices WHERE tenant_id = :id"
            " AND status = 'pending_authorization' AND deleted_at IS NULL"
        ),
        {"id": row["id"]},
    )
    return row


def pause_tenant(connection: Connection, ruc: str) -> None:
    """Leave the tenant out of every run that does not name one of its documents, until it is resumed."""
    _set_pause(connection, ruc, FOREVER, "tenant.pause")


def resume_tenant(connection: Connection, ruc: str) -> None:
    """End a pause."""
    _set_pause(connection, ruc, None, "tenant.resume")


def _set_pause(connection: Connection, ruc: str, until: datetime | None, action: str) -> None:
    changed = connection.execute(
        text("UPDATE tenants SET paused_until = :until, updated_at = now() WHERE ruc = :ruc"),
        {"ruc": ruc, "until": until},
    ).rowcount
    if not changed:
        raise UsageProblem(f"no tenant {ruc}; jobsync tenant list shows them")
    write_audit(connection, action, ruc)


# --- documents -------------------------------------------------------------------------------------------------------

_INVOICE = """
    SELECT i.access_key, i.status, i.status_reason, t.ruc AS tenant_ruc, t.name AS tenant, i.document_type,
           i.series_number, i.issue_date, i.customer_name, i.customer_id, i.total, i.confirmed_by, i.submitted_at,
           i.check_count,
           CASE WHEN isfinite(i.next_check_at) THEN i.next_check_at END AS next_check_at,
           i.empty_since, i.empty_count, i.attention_since, i.sri_authorization,
           i.authorized_at, i.ride_path, i.ride_sha256, i.ride_generated_at, i.ride_attempts,
           CASE WHEN isfinite(i.ride_next_at) THEN i.ride_next_at END AS ride_next_at,
           i.ride_error, i.deleted_at, i.created_at, i.updated_at
    FROM invoices i JOIN tenants t ON t.id = i.tenant_id
"""


def list_invoices(connection: Connection, *, status: str | None, tenant: str | None, limit: int) -> Rows:
    """Return the latest documents, newest first."""
    if tenant is not None:
        show_tenant(connection, tenant)
    return _rows(
        connection,
        _INVOICE + " WHERE i.deleted_at IS NULL AND (CAST(:status AS text) IS NULL OR i.status = :status)"
        " AND (CAST(:tenant AS text) IS NULL OR t.ruc = :tenant) ORDER BY i.id DESC LIMIT :limit",
        status=status,
        tenant=tenant,
        limit=limit,
    )


def show_invoice(connection: Connection, access_key: str) -> dict[str, Any]:
    """
    Return one document with everything that happened to it, oldest first, under `events`.

    Raises:
        UsageProblem: there is none with this access key.
    """
    rows = _rows(connection, _INVOICE + " WHERE i.access_key = :key", key=access_key)
    if not rows:
        raise UsageProblem(f"no document {access_key}; jobsync invoice list shows them")
    [row] = rows
    row["events"] = _rows(
        connection,
        "SELECT e.at, e.kind, e.code, e.message, e.additional_info, e.severity, e.class, e.http_status, e.duration_ms,"
        " e.run_id, e.raw FROM sri_events e JOIN invoices i ON i.id = e.invoice_id WHERE i.access_key = :key"
        " ORDER BY e.id",
        key=access_key,
    )
    return row


def recheck_invoice(connection: Connection, access_key: str) -> str:
    """
    Make a document pending and due, whatever was thought of it; returns what its status was.

    Raises:
        UsageProblem: there is none, it is deleted or cancelled, or the SRI itself has authorized it.
    """
    found = connection.execute(
        text("SELECT id, tenant_id, status, confirmed_by, deleted_at FROM invoices WHERE access_key = :key FOR UPDATE"),
        {"key": access_key},
    ).one_or_none()
    if found is None:
        raise UsageProblem(f"no document {access_key}; jobsync invoice list shows them")
    if found.deleted_at is not None or found.status == "cancelled":
        raise UsageProblem(f"document {access_key} is {'deleted' if found.deleted_at else 'cancelled'}")
    if found.status == "authorized" and found.confirmed_by != "file":
        raise UsageProblem(f"document {access_key} is authorized by the SRI; that is final")
    connection.execute(
        text(
            "UPDATE invoices SET status = 'pending_authorization', status_reason = NULL, next_check_at = now(),"
            " check_count = 0, empty_since = NULL, empty_count = 0, attention_since = NULL, confirmed_by = NULL,"
            " updated_at = now() WHERE id = :id"
        ),
        {"id": found.id},
    )
    connection.execute(
        text("INSERT INTO sri_events (tenant_id, invoice_id, kind, message) VALUES (:t, :i, 'recheck', :words)"),
        {"t": found.tenant_id, "i": found.id, "words": f"was {found.status}"},
    )
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
    rows = _rows(
        connection,
        "SELECT i.id, d.submitted_xml, d.authorized_xml, d.authorized_answer FROM invoices i"
        " LEFT JOIN invoice_documents d ON d.invoice_id = i.id WHERE i.access_key = :key",
        key=access_key,
    )
    if not rows:
        raise UsageProblem(f"no document {access_key}; jobsync invoice list shows them")
    return {name: value if value is None else bytes(value) for name, value in rows[0].items() if name != "id"}
