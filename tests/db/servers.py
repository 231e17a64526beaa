"""Servers that tests need beside the session's own: one behind a proxy that freezes, one of our own making."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

_READY = b"Z\x00\x00\x00\x05"  # what a server says when a login or a statement is over, and one byte behind it


class Freezer:
    """
    A TCP proxy before a server, which can go silent while every socket stays open.

    Attributes:
        url: the server's, through the proxy.
    """

    def __init__(self, url: str) -> None:
        self._server = conninfo_to_dict(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._changed = threading.Condition()
        self._mode = "pass"
        self._sockets: list[socket.socket] = []
        self._old: set[socket.socket] = set()
        given = self._server
        port = self._listener.getsockname()[1]
        self.url = f"postgresql://{given['user']}@127.0.0.1:{port}/{given['dbname']}?sslmode=disable&gssencmode=disable"
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """From now on nothing passes but logins: a server that lets everybody in and then says nothing."""
        self._set("freeze")

    def freeze_old(self) -> None:
        """From now on nothing passes on connections that have logged in already; new ones work."""
        self._set("freeze_old")

    def thaw(self) -> None:
        """Everything passes again."""
        self._set("pass")

    def move(self, url: str) -> None:
        """From now on new connections go to another server; those that are open stay where they are."""
        self._server = {**self._server, **conninfo_to_dict(url)}

    def close(self) -> None:
        """End it all."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._set("closed")
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _set(self, mode: str) -> None:
        with self._changed:
            self._mode = mode
            if mode == "freeze_old":
                self._old.update(self._sockets)
            self._changed.notify_all()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if str(self._server["host"]).startswith("/"):
                    server = socket.socket(socket.AF_UNIX)
                    server.connect(f"{self._server['host']}/.s.PGSQL.{self._server['port']}")
                else:
                    server = socket.create_connection((str(self._server["host"]), int(self._server["port"] or 5432)))
                self._sockets += [client, server]
                ready = threading.Event()
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=[*ends, ready, ends[0] is server], daemon=True).start()

    def _frozen(self, source: socket.socket, ready: threading.Event) -> bool:
        return (self._mode == "freeze" and ready.is_set()) or (self._mode == "freeze_old" and source in self._old)

    def _pump(self, source: socket.socket, target: socket.socket, ready: threading.Event, down: bool) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(65536):
                with self._changed:
                    self._changed.wait_for(lambda: not self._frozen(source, ready))
                target.sendall(data)
                if down and _READY in data[-6:]:
                    ready.set()


@contextmanager
def freezer(url: str) -> Iterator[Freezer]:
    """A proxy before the server of the URL."""
    proxy = Freezer(url)
    try:
        yield proxy
    finally:
        proxy.close()


def system_programs() -> Path:
    """Return the folder of an installed PostgreSQL's programs, with what its messages are in other languages."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").is_file():
            return folder
    pytest.skip("no PostgreSQL is installed beside the bundled one")


def unprivileged() -> list[str]:
    """Return what a server's programs must be started with by root: in a namespace of its own it is nobody."""
    return ["unshare", "--user", "--map-user=65534"] if os.geteuid() == 0 else []


@contextmanager
def serving(programs: Path, data: Path, *settings: str, environ: dict[str, str] | None = None) -> Iterator[str]:
    """Run a server over a data folder; yields the URL of its database postgres."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = [
        option for setting in (*settings, "fsync=off", "listen_addresses=127.0.0.1") for option in ("-c", setting)
    ]
    log = (data.parent / f"{data.name}.log").open("wb")
    command = [*unprivileged(), str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", "", *options]
    running = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(environ or {})})
    url = f"postgresql://jobsync@127.0.0.1:{port}/postgres?sslmode=disable&gssencmode=disable"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(url, connect_timeout=2).close()
                break
            except psycopg.OperationalError:
                words = (data.parent / f"{data.name}.log").read_text(errors="replace")[-500:]
                assert running.poll() is None, words
                assert time.monotonic() < deadline, words
                time.sleep(0.1)
        yield url
    finally:
        running.send_signal(signal.SIGINT)  # without waiting for whoever is connected
        running.wait(20)
        log.close()


def new_cluster(programs: Path, data: Path) -> None:
    """Make a data folder whose superuser is called jobsync and needs no password."""
    command = [*unprivileged(), str(programs / "initdb"), "-D", str(data), "-U", "jobsync", "-A", "trust", "-E", "UTF8"]
    subprocess.run([*command, "--no-sync", "--locale=C"], check=True, capture_output=True)


def copied(programs: Path, url: str, data: Path) -> None:
    """Copy a running server's data folder for a standby of it."""
    command = [
        str(programs / "pg_basebackup"),
        "-d",
        url,
        "-D",
        str(data),
        "-R",
        "-X",
        "stream",
        "--no-sync",
        "-c",
        "fast",
    ]
    subprocess.run([*unprivileged(), *command], check=True, capture_output=True)


def spanish(folder: Path) -> dict[str, str]:
    """Return the environment of a server that can speak Spanish, or skip the test."""
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/es_ES").exists():
        pytest.skip("no Spanish locale can be made here")
    made = subprocess.run(["localedef", "-i", "es_ES", "-f", "UTF-8", str(folder / "es_ES.UTF-8")], capture_output=True)
    if not (folder / "es_ES.UTF-8").is_dir():
        pytest.skip(f"no Spanish locale can be made here: {made.stderr!r}")
    return {"LOCPATH": str(folder)}


def place(url: str) -> str:
    """Return host and port of a URL."""
    given = conninfo_to_dict(url)
    return f"{given['host']}:{given['port']}"


@dataclass(frozen=True)
class Pair:
    """Host and port of a primary and of its standby."""

    primary: str
    standby: str

    def url(self, *servers: str, more: str = "") -> str:
        """Return the URL of the servers, in this order."""
        return f"postgresql://jobsync@{','.join(servers)}/postgres?sslmode=disable&gssencmode=disable{more}"


@contextmanager
def pair_of_servers(folder: Path) -> Iterator[Pair]:
    """Run a primary and a standby that follows it, in two folders of these names."""
    programs = system_programs()
    new_cluster(programs, folder / "primary")
    with serving(programs, folder / "primary") as primary:
        copied(programs, primary, folder / "standby")
        with serving(programs, folder / "standby") as standby:
            yield Pair(place(primary), place(standby))


def commit_on_both(url: str) -> None:
    """Make a primary's commits wait until its standby has them too."""
    with psycopg.connect(url, autocommit=True) as primary:
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.execute("SELECT pg_reload_conf()")
        _until(primary, "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")


def cut_off(url: str) -> None:
    """End a standby's replication: what its primary commits from now on it never gets."""
    with psycopg.connect(url, autocommit=True) as standby:
        standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
        standby.execute("SELECT pg_reload_conf()")
        _until(standby, "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_stat_wal_receiver)")


def crash(data: Path) -> None:
    """End a server at once, as a power cut would: no checkpoint, no word to its clients."""
    pid = int((data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    deadline = time.monotonic() + 10
    while (data / "postmaster.pid").exists() and _runs(pid):
        assert time.monotonic() < deadline, f"server {pid} does not end"
        time.sleep(0.02)


def promote(url: str) -> None:
    """Make a standby a primary, and return once it takes writes."""
    with psycopg.connect(url, autocommit=True) as standby:
        standby.execute("SELECT pg_promote()")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(connection: psycopg.Connection[Any], question: LiteralString) -> None:
    deadline = time.monotonic() + 20
    while not connection.execute(question).fetchall():
        assert time.monotonic() < deadline, question
        time.sleep(0.02)
