"""The SQL of RIDE rendering: who is due, an attempt, what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from jobsync.documents import DocumentQueue, Waiting

RECOGNIZED_BY = 200  # the newest files that rows name, looked for in a storage without a marker
_PAGE = 1000  # printed documents that are read at once
# Minutes until the next try: 1, doubling to 6 hours.
_NEXT_TRY = "now() + least(interval '6 hours', interval '1 minute' * power(2, least(ride_attempts, 10)))"


@dataclass(frozen=True, kw_only=True)
class DueRide(Waiting):
    """One document that wants its printed form; `generated`: it has one already."""

    logo_path: str | None
    generated: bool = False

    @property
    def authorized(self) -> bool:
        return self.status == "authorized" and not self.deleted


_WANTED = "i.status = 'authorized' AND i.ride_generated_at IS NULL AND i.deleted_at IS NULL"
_PRINTED = (
    "i.status = 'authorized' AND i.deleted_at IS NULL AND i.ride_generated_at IS NOT NULL AND i.ride_path IS NOT NULL"
)
_OF_THESE = (
    "(%(keys)s::text[] IS NULL OR i.access_key = ANY(%(keys)s))"
    " AND (%(tenants)s::text[] IS NULL OR i.tenant_id IN (SELECT id FROM tenants WHERE ruc = ANY(%(tenants)s)))"
)
_WHOLE = """
    SELECT i.id, i.tenant_id, t.ruc AS tenant_ruc, t.logo_path, i.access_key,
           i.status, i.deleted_at IS NOT NULL AS deleted, i.ride_generated_at IS NOT NULL AS generated
    FROM invoices i JOIN tenants t ON t.id = i.tenant_id
"""
QUEUE = DocumentQueue(
    DueRide,
    view="due_rides",
    whole=f"({_WHOLE})",
    turn="PARTITION BY d.tenant_id ORDER BY d.ride_attempts, d.due_since, d.id",
)


def read_database_id(connection: psycopg.Connection[Any]) -> UUID:
    """Return which database this is; a row that somebody deleted is made anew."""
    read = "SELECT id FROM database_identity"
    row = connection.execute(read).fetchone()
    if row is None:
        connection.execute("INSERT INTO database_identity DEFAULT VALUES ON CONFLICT DO NOTHING")
        row = connection.execute(read).fetchone()
    assert row is not None  # noqa: S101 - just made
    found: UUID = row[0]
    return found


def read_files(connection: psycopg.Connection[Any]) -> list[tuple[str, str | None]]:
    """Return the path and hash of the files that rows name, of the newest documents."""
    statement = "SELECT ride_path, ride_sha256 FROM invoices WHERE ride_path IS NOT NULL ORDER BY id DESC LIMIT %s"
    return connection.execute(statement, [RECOGNIZED_BY]).fetchall()


def each_printed(
    transaction: Callable[[], AbstractContextManager[psycopg.Connection[Any]]],
    *,
    access_keys: Sequence[str] = (),
    tenants: Sequence[str] = (),
) -> Iterator[tuple[int, str, str, str | None]]:
    """Yield number, access key, path and hash of printed documents, newest first; reads a page a transaction."""
    statement = (
        "SELECT i.id, i.access_key, i.ride_path, i.ride_sha256 FROM invoices i"
        f" WHERE i.id < %(below)s AND {_PRINTED} AND {_OF_THESE} ORDER BY i.id DESC LIMIT %(most)s"
    )
    asked = {"keys": list(access_keys) or None, "tenants": list(tenants) or None, "below": 1 << 62, "most": _PAGE}
    while True:
        with transaction() as connection:
            page = connection.execute(statement.encode(), asked).fetchall()
        if not page:
            return
        yield from page
        asked["below"] = page[-1][0]


def read_printed_of(connection: psycopg.Connection[Any], ids: Sequence[int]) -> list[DueRide]:
    """Return those of these documents that are printed still, in the order of the numbers."""
    return QUEUE.read_of(connection, f"({_WHOLE} WHERE {_PRINTED})", "id", ids)


def forget(connection: psycopg.Connection[Any], *, access_keys: Sequence[str], tenants: Sequence[str]) -> None:
    """Make authorized documents want a new printed form; the old file stays until the new one takes its place."""
    connection.execute(
        "UPDATE invoices i SET ride_generated_at = NULL, ride_attempts = 0, ride_next_at = now(), ride_error = NULL"
        f" WHERE i.status = 'authorized' AND i.deleted_at IS NULL AND {_OF_THESE}".encode(),
        {"keys": list(access_keys) or None, "tenants": list(tenants) or None},
    )


def begin_attempt(connection: psycopg.Connection[Any], ride: DueRide) -> int | None:
    """
    Count the attempt and set the next time, before it starts; should the process die in it, the row says so.

    Returns the attempt's number, None if the document does not want a printed form any more. One that is printed and
    only gets its file back is charged nothing.
    """
    if ride.generated:
        return 1 if read_printed_of(connection, [ride.id]) else None
    row = connection.execute(
        f"UPDATE invoices i SET ride_attempts = ride_attempts + 1, ride_next_at = {_NEXT_TRY},"
        " ride_error = 'the attempt was begun and never ended: the process died, or is still at it'"
        f" WHERE i.id = %s AND i.tenant_id = %s AND {_WANTED} RETURNING ride_attempts",
        [ride.id, ride.tenant_id],
    ).fetchone()
    if row and ride.too_far_ahead:
        connection.execute(
            "INSERT INTO sri_events (tenant_id, invoice_id, kind, code, message) VALUES (%s, %s, 'warning',"
            " 'due_too_far_ahead', 'the next try of its RIDE lay further ahead than any that is set here')",
            [ride.tenant_id, ride.id],
        )
    return int(row[0]) if row else None


def read_source(connection: psycopg.Connection[Any], ride: DueRide) -> tuple[bytes | None, str | None, datetime | None]:
    """Return the XML that is to be printed, and number and time of its authorization."""
    row = connection.execute(
        "SELECT coalesce(nullif(d.authorized_xml, ''), d.submitted_xml), i.sri_authorization, i.authorized_at"
        " FROM invoices i LEFT JOIN invoice_documents d ON d.invoice_id = i.id WHERE i.id = %s AND i.tenant_id = %s",
        [ride.id, ride.tenant_id],
        binary=True,
    ).fetchone()
    return row or (None, None, None)


def write_rendered(connection: psycopg.Connection[Any], ride: DueRide, *, path: str, sha256: str) -> bool:
    """
    Record the file; False if the document does not want it any more, and then nothing is written.

    The row of a document that gets its file back, the same byte for byte, stays as it is.
    """
    wanted = f"i.id = %s AND i.tenant_id = %s AND {_PRINTED if ride.generated else _WANTED}"
    if ride.generated:
        read = f"SELECT ride_path, ride_sha256 FROM invoices i WHERE {wanted} FOR NO KEY UPDATE"
        known = connection.execute(read, [ride.id, ride.tenant_id]).fetchone()
        if known == (path, sha256) or known is None:
            return known is not None
    written = connection.execute(
        "UPDATE invoices i SET ride_path = %s, ride_sha256 = %s, ride_generated_at = now(), ride_error = NULL,"
        f" ride_next_at = NULL, updated_at = now() WHERE {wanted}",
        [path, sha256, ride.id, ride.tenant_id],
    )
    return written.rowcount > 0


def write_failed(connection: psycopg.Connection[Any], ride: DueRide, error: str, *, parked: bool) -> None:
    """Say why there is no file; a parked document is not tried again until somebody forces it."""
    connection.execute(
        "UPDATE invoices i SET ride_error = %s, ride_next_at = CASE WHEN %s THEN NULL ELSE ride_next_at END"
        f" WHERE i.id = %s AND i.tenant_id = %s AND {_WANTED}",
        [error, parked, ride.id, ride.tenant_id],
    )


def give_back(connection: psycopg.Connection[Any], ride: DueRide, error: str) -> None:
    """Take an attempt back that failed through no fault of the document: it is due as before."""
    connection.execute(
        "UPDATE invoices i SET ride_attempts = greatest(0, ride_attempts - 1), ride_next_at = now(), ride_error = %s"
        f" WHERE i.id = %s AND i.tenant_id = %s AND {_WANTED}",
        [error, ride.id, ride.tenant_id],
    )
