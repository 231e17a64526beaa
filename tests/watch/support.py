"""A mail server and an HTTP listener that hold what they got in a test's hand, and a few rows of history."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg

from jobsync.alerts.message import AlertMessage
from jobsync.alerts.post import NotSent
from jobsync.errors import Unavailable
from jobsync.watch.model import Snapshot
from jobsync.watch.snapshot import read_snapshot
from jobsync.wiring.watched import WATCHED

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
HOSTILE = 'X\nWATCHDOG=1 [red]</script>,"\x1b[31m'


def look(connection: Any, **how: Any) -> Snapshot:
    """Read the snapshot of all slices."""
    return read_snapshot(connection, WATCHED, **how)


@dataclass
class Memory:
    """A channel that only remembers; `broken` lets nothing through."""

    name: str = "mail"
    broken: bool = False
    refused: tuple[str, ...] = ()
    sent: list[AlertMessage] = field(default_factory=list)

    def send(self, message: AlertMessage) -> tuple[str, ...]:
        """Keep the message."""
        if self.broken:
            raise NotSent(f"{self.name}: it is broken")
        self.sent.append(message)
        return self.refused

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
    *,
    password: str | None = None,
    hostname: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
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


@dataclass
class Clerk:
    """A mail server that misbehaves where its fields say so, and what it got all the same."""

    banner: bytes = b"220 hi\r\n"
    ehlo: bytes = b"250 hi\r\n"
    rcpt: dict[bytes, bytes] = field(default_factory=dict)  # by a piece of the address
    auth: list[bytes] = field(default_factory=list)  # answers, one after the other; {} is what was said
    data: bytes | None = b"250 queued\r\n"  # None: it hangs up
    data_after_s: float = 0.0
    quit: bytes | None = b"221 bye\r\n"  # None: it says nothing more
    drips: bytes = b""  # said a hundred times a second, for ever, instead of a greeting
    mails: list[bytes] = field(default_factory=list)
    said: list[bytes] = field(default_factory=list)
    calls: int = 0
    port: int = 0

    def talk(self, line: socket.socket) -> None:
        """Serve one client."""
        self.calls += 1
        with suppress(OSError), line, line.makefile("rb") as lines:
            while self.drips:
                line.sendall(self.drips)
                time.sleep(0.01)
            line.sendall(self.banner)
            answers = iter(self.auth)
            for said in lines:
                self.said.append(said)
                word = said[:4].upper()
                if word == b"EHLO":
                    line.sendall(self.ehlo)
                elif word == b"RCPT":
                    line.sendall(next((a for piece, a in self.rcpt.items() if piece in said), b"250 ok\r\n"))
                elif word == b"DATA":
                    line.sendall(b"354 go\r\n")
                    self.mails.append(b"".join(iter(lines.readline, b".\r\n")))
                    time.sleep(self.data_after_s)
                    if self.data is None:
                        return
                    line.sendall(self.data)
                elif word == b"QUIT":
                    if self.quit is None:
                        time.sleep(5)
                    line.sendall(self.quit or b"")
                elif word in (b"MAIL", b"RSET"):
                    line.sendall(b"250 ok\r\n")
                else:
                    line.sendall(next(answers, b"500 what?\r\n").replace(b"{}", said.strip()))


@contextmanager
def clerk(**how: Any) -> Iterator[Clerk]:
    """Run a mail server that misbehaves, on loopback."""
    found = Clerk(**how)
    with socket.create_server(("127.0.0.1", 0)) as server:
        found.port = server.getsockname()[1]

        def accept() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=found.talk, args=(line,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield found
        server.shutdown(socket.SHUT_RDWR)


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
        self.length = 0  # of the body that is promised
        self.body = b""

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
            self.send_header("Content-Length", str(found.length))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(found.body)

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
        "INSERT INTO easycar_sync_logs (dealership_id, status, started_at, synced_at, error_messages, items_processed)"
        " VALUES (%s, %s, %s, %s, %s, 7)",
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
