"""A mail server and an HTTP listener that hold what they got in a test's hand, and a few rows of history."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg

from jobsync.errors import Unavailable
from jobsync.operate.send import Message, NotSent

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
HOSTILE = 'X\nWATCHDOG=1 [red]</script>,"\x1b[31m'
SECOND = timedelta(seconds=1)


@dataclass
class Memory:
    """A channel that only remembers; `broken` lets nothing through."""

    name: str = "mail"
    broken: bool = False
    sent: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        """Keep the message."""
        if self.broken:
            raise NotSent(f"{self.name}: it is broken")
        self.sent.append(message)

    @property
    def phases(self) -> list[str]:
        """What was told, in order."""
        return [note.phase for message in self.sent for note in message.notes]


class PostOffice:
    """What a mail server got."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.answer = "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take one mail."""
        if self.answer.startswith("250"):
            self.raw.append(envelope.content)
            mail = message_from_bytes(envelope.content, policy=default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
        return self.answer


@contextmanager
def post_office(
    *, password: str | None = None, hostname: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[tuple[PostOffice, int]]:
    """Run a mail server on loopback; with a password, only whoever knows it may send."""
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    office = PostOffice()

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: Any, given: Any) -> Any:
        office.logins.append((given.login, given.password))
        return AuthResult(success=given.password == (password or "").encode(), handled=False)

    extra: dict[str, Any] = (
        {"authenticator": check, "auth_required": True, "auth_require_tls": False} if password else {}
    )
    if tls is not None:
        extra |= {"tls_context": tls, "require_starttls": True}
    controller = Controller(office, hostname=hostname, port=free_port(), **extra)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a password without TLS: this server is ours, on loopback
        controller.start()
        try:
            yield office, controller.port
        finally:
            controller.stop()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Listener:
    """What an HTTP listener got: (path with query, body); `status` is what it answers."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.status = 200
        self.wait = threading.Event()
        self.wait.set()

    @property
    def documents(self) -> list[Any]:
        """The bodies as JSON."""
        return [json.loads(body) for _, body in self.got]

    @property
    def paths(self) -> list[str]:
        """Where was posted, in order, without query."""
        return [path.partition("?")[0] for path, _ in self.got]


@contextmanager
def listener() -> Iterator[tuple[Listener, str]]:
    """Run an HTTP listener on loopback; yields it with its URL."""
    found = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.wait.wait(30)
            if found.status < 400:
                found.got.append((self.path, body))
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found, f"http://127.0.0.1:{server.server_port}"
    finally:
        found.wait.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def away() -> Any:
    """Stand in for a database that does not answer."""
    raise Unavailable("database: connection refused")


def add_dealership(
    connection: psycopg.Connection[Any],
    name: str = "Northside",
    *,
    success: datetime | None = NOW - timedelta(hours=5),
    next_at: datetime | None = NOW + timedelta(hours=20),
    cron: str = "0 2 * * *",
    failed: str | None = None,
) -> int:
    """Add a dealership with credentials, a schedule, and its last sync."""
    row = connection.execute("INSERT INTO dealerships (name) VALUES (%s) RETURNING id", [name]).fetchone()
    assert row is not None
    number = int(row[0])
    connection.execute(
        "INSERT INTO easycar_credentials (dealership_id, client_id_encrypted, client_secret_encrypted,"
        " account_number_encrypted, account_secret_encrypted, environment) VALUES (%s, '', '', '', '', 'Test')",
        [number],
    )
    connection.execute(
        "INSERT INTO sync_schedule (dealership_id, cron, timezone, seen, first_seen_at, next_at, last_success_at)"
        " VALUES (%s, %s, 'UTC', %s, %s, %s, %s)",
        [number, cron, f"{cron} @ UTC", NOW - timedelta(days=90), next_at, success],
    )
    connection.execute(
        "INSERT INTO easycar_sync_logs (dealership_id, status, started_at, synced_at, error_messages)"
        " VALUES (%s, %s, %s, %s, %s)",
        [
            number,
            "Failed" if failed else "Success",
            NOW - timedelta(hours=1),
            NOW - timedelta(hours=1),
            json.dumps([failed] if failed else []),
        ],
    )
    return number


def add_run(
    connection: psycopg.Connection[Any],
    job: str = "stock-sync",
    status: str = "succeeded",
    *,
    began: datetime = NOW - timedelta(hours=1),
    lasted: timedelta | None = timedelta(seconds=30),
    exit_code: int | None = 0,
    error: str | None = None,
    traceback: str | None = None,
    trigger: str = "timer",
) -> str:
    """Add a run; returns its id."""
    row = connection.execute(
        "INSERT INTO job_runs (id, job, trigger, host, pid, version, status, exit_code, started_at, finished_at, error,"
        " traceback) VALUES (gen_random_uuid(), %s, %s, 'app1', 7, '0', %s, %s, %s, %s, %s, %s) RETURNING id",
        [job, trigger, status, exit_code, began, began + lasted if lasted is not None else None, error, traceback],
    ).fetchone()
    assert row is not None
    return str(row[0])


def set_job(connection: psycopg.Connection[Any], job: str = "stock-sync", **columns: object) -> None:
    """Set columns of a job's row; it ticked just now unless they say otherwise."""
    values = {"last_tick_at": NOW - timedelta(seconds=20), "last_success_at": NOW - timedelta(hours=1), **columns}
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    changes = ", ".join(f"{name} = excluded.{name}" for name in values)
    connection.execute(
        f"INSERT INTO jobs (name, {names}) VALUES (%s, {marks}) ON CONFLICT (name) DO UPDATE SET {changes}".encode(),
        [job, *values.values()],
    )


def add_tenant(connection: psycopg.Connection[Any], ruc: str = "1790012345001", name: str = "Taller") -> int:
    """Add a tenant; returns its number."""
    row = connection.execute("INSERT INTO tenants (ruc, name) VALUES (%s, %s) RETURNING id", [ruc, name]).fetchone()
    assert row is not None
    return int(row[0])


def add_invoices(
    connection: psycopg.Connection[Any],
    tenant: int,
    count: int,
    status: str = "pending_authorization",
    **columns: object,
) -> None:
    """Add documents of one state, due a minute ago."""
    values = {"next_check_at": NOW - timedelta(minutes=1), "submitted_at": NOW - timedelta(minutes=2), **columns}
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    connection.execute(
        f"INSERT INTO invoices (tenant_id, access_key, status, {names}) SELECT %s, lpad((%s * 1000000 + n"
        f" + (SELECT count(*) FROM invoices))::text, 49, '0'), %s, {marks} FROM generate_series(1, %s) n".encode(),
        [tenant, tenant, status, *values.values(), count],
    )
