"""
The guardian of one private PostgreSQL: makes its cluster, runs it, and stops it when its last user is gone.

`server.py` starts this file as a program of its own (`python -I -S guardian.py PLAN`), so it imports nothing but the
standard library. A thread blocks on the exclusive lock of `users.lock`, which the kernel grants when no user holds the
shared one any more, however those users ended. Its standard input is `guardian.lock`, taken; its standard output says
why there is no server, and is closed once there is one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

SOCKET = ".s.PGSQL.5432"
SOCKET_PATH_MAX = 107 if sys.platform == "linux" else 103  # bytes in sun_path, without the final NUL
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}  # nothing of the caller's reaches the server
POINTER = "elsewhere.json"  # where the cluster is, when it is not in the folder itself
STATE = "server.json"  # there from when the server takes logins until it has ended
LEFT = "server.json.left"  # the same of a guardian that was killed
STOP_LADDER = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
STOP_STEP_S = 10
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
SETTINGS = (
    "listen_addresses= port=5432 unix_socket_permissions=0700 shared_buffers=32MB jit=off"
    " wal_level=minimal max_wal_senders=0 max_logical_replication_workers=0 max_wal_size=256MB"
    " timezone=UTC log_timezone=UTC log_checkpoints=off"
)
NOT_DURABLE = "fsync=off synchronous_commit=off full_page_writes=off"


class Plan(NamedTuple):
    """What the starter decided; travels as JSON in the guardian's only argument."""

    folder: str
    name: str
    programs: str
    version: int
    durable: bool
    namespaces: bool
    account_home: str


class Identity(NamedTuple):
    """Who the server runs as: `same` user, that user behind a `namespace`, or another `account`."""

    kind: str
    uid: int
    gid: int


class NotAllowed(Exception):
    """The folder, its cluster or this machine does not allow a private server: trying again does not help."""


class ServerNotStarted(Exception):
    """The private server did not start."""


class Stop(Exception):
    """The last user went before the server was up."""


def cluster_home(folder: Path) -> Path:
    """Return the folder that holds `data`: the given one, or the one that its pointer names."""
    try:
        pointer = json.loads((folder / POINTER).read_text())
        home, owner = Path(pointer["home"]), Path(pointer["folder"])
    except FileNotFoundError:
        return folder
    except (ValueError, KeyError, TypeError) as error:
        raise NotAllowed(f"{folder / POINTER} cannot be read ({error}): restore it") from error
    if owner != folder:
        raise NotAllowed(f"{folder} is a copy of {owner}, whose data are in {home}: use {owner}")
    if not (home / "data").is_dir():
        raise NotAllowed(
            f"the data of {folder} were kept in {home}, which is gone: bring it back, or remove {folder} to start anew"
        )
    return home


# --- children -------------------------------------------------------------------------------------------------------


def enter_namespace(identity: Identity) -> None:
    """Be another user to the program; the kernel still sees the same owner, so closed folders stay reachable."""
    uid, gid = os.geteuid(), os.getegid()
    call_libc("unshare", CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{identity.uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{identity.gid} {gid} 1")


def call_libc(name: str, *args: int) -> None:
    import ctypes  # `main` has loaded it: after a change of user this Python's own files may be out of reach

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*(ctypes.c_ulong(arg) for arg in args)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


class Guardian:
    """Runs one child at a time, until nobody uses the server."""

    keep: int | None = None  # a descriptor that all programs hold as long as they live
    stopping = False
    child: subprocess.Popen[bytes] | None = None

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.folder = self.home = Path(plan.folder)  # `home` holds `data`
        self.programs = Path(plan.programs)
        self.identity = Identity("same", os.geteuid(), os.getegid())
        self.lock = threading.Lock()  # between starting a child and stopping

    @property
    def data(self) -> Path:
        return self.home / "data"

    def stop_when_unused(self) -> None:
        users = os.open(self.folder / "users.lock", os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(users, fcntl.LOCK_EX)  # held until this process ends: who comes now waits for the next guardian
        with self.lock:
            self.stopping = True
        for step in STOP_LADDER:
            if self.child is not None:
                self.child.send_signal(step)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.child.wait(STOP_STEP_S)
                    return

    def start(self, program: str, *args: str, output: int, killed_by: int) -> subprocess.Popen[bytes]:
        """Start one of PostgreSQL's programs; `killed_by` is what it gets when this guardian is killed (Linux)."""
        guardian = os.getpid()

        def prepare() -> None:
            try:
                if self.identity.kind == "namespace":
                    enter_namespace(self.identity)
                if sys.platform == "linux":
                    call_libc("prctl", PR_SET_PDEATHSIG, killed_by)  # a change of user would clear it
                    if os.getppid() != guardian:
                        os._exit(125)
                if not os.access(self.home, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
                    raise PermissionError(f"{self.home} is out of reach")
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # may be ignored where the starter is in a background
            except OSError as error:
                os.write(2, f"{program}: {error}\n".encode())
                os._exit(127)

        account: dict[str, Any] = {}
        if self.identity.kind == "account":
            account = {"user": self.identity.uid, "group": self.identity.gid, "extra_groups": []}
        with self.lock:
            if self.stopping:
                raise Stop
            self.child = subprocess.Popen(
                [str(self.programs / program), *args],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
                pass_fds=() if self.keep is None else (self.keep,),
                preexec_fn=prepare,  # noqa: PLW1509 - the only other thread waits for a lock of the kernel's
                **account,
            )
            return self.child

    def run(self, program: str, *args: str, said: str = "") -> tuple[bool, str]:
        """Run a program to its end; return whether it succeeded and what it said (in memory: the disk may be full)."""
        try:
            child = self.start(program, *args, output=subprocess.PIPE, killed_by=signal.SIGKILL)
        except OSError as error:
            return False, str(error)
        answer, _ = child.communicate(said.encode())
        if self.stopping:
            raise Stop
        text = answer[-65536:].decode(errors="replace").strip()
        return child.returncode == 0, text or f"{program} ended with code {child.returncode}"

    # --- where and as whom --------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Decide where the cluster is and who runs it; an existing cluster keeps its choice."""
        folder, root = self.folder, os.geteuid() == 0
        self.home = cluster_home(folder)
        if self.home != folder:
            if not root:
                raise NotAllowed(f"the data of {folder} belong to another account: run as root")
            kept = self.home.stat()
            self.settle_account(kept.st_uid, kept.st_gid)
            return
        with contextlib.suppress(KeyError):
            if not root and pwd.getpwuid(os.geteuid()):
                return
        why = "user namespaces are switched off"
        if self.plan.namespaces and sys.platform == "linux":
            self.identity = Identity("namespace", *unprivileged())
            good, why = self.run("postgres", "--version")
            if good:
                return
        if not root:
            raise NotAllowed(
                f"user {os.geteuid()} has no entry in /etc/passwd, and PostgreSQL needs one ({why}): "
                "add the entry, or allow user namespaces"
            )
        if self.data.exists():
            raise NotAllowed(
                f"PostgreSQL does not run as root, and the way {folder} was made is closed now ({why}): "
                "allow user namespaces again"
            )
        self.home = Path(self.plan.account_home, digest(self.plan.folder))
        self.settle_account(*unprivileged())

    def settle_account(self, uid: int, gid: int) -> None:
        """Run as an unprivileged account, in a folder of its own outside the user's (root only)."""
        self.identity = Identity("account", uid, gid)
        base = self.home.parent
        make_open_folder(base)
        self.home.mkdir(mode=0o700, exist_ok=True)
        if not self.data.exists():  # ours, and perhaps a start was killed before the next line
            try:
                os.chown(self.home, uid, gid, follow_symlinks=False)
            except OSError as error:
                raise NotAllowed(
                    f"PostgreSQL does not run as root, and root cannot act as user {uid} here ({error.strerror}): "
                    "run as an ordinary user"
                ) from error
        if not self.run("postgres", "--version")[0]:
            self.programs = copy_programs(self.programs, base)
            good, why = self.run("postgres", "--version")
            if not good:
                raise NotAllowed(
                    f"user {uid} cannot run PostgreSQL in {base} ({why}): open its parent folders to others for "
                    "passing (and no noexec mount)"
                )

    # --- the cluster --------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Make cluster and database beside their final place and rename them there: a kill leaves no half."""
        name, new, durable = self.plan.name, self.home / "data.new", self.plan.durable
        if new.exists():
            shutil.rmtree(new)
        options = ["-D", str(new), "-E", "UTF8", "-U", name, "-A", "trust", "--no-instructions"]
        options += [] if durable else ["-N"]
        try:
            good, said = self.run("initdb", *options, "--locale=C.UTF-8")
            if not good and "invalid locale" in said:
                good, said = self.run("initdb", *options, "--locale=C")
            if good:
                quick = [] if durable else ["-F"]
                database = f'CREATE DATABASE "{name}"\n'
                good, said = self.run("postgres", "--single", *quick, "-D", str(new), "postgres", said=database)
            if not good or "ERROR: " in said:
                raise ServerNotStarted(explain("PostgreSQL could not make its files", self.home, said))
        except (NotAllowed, ServerNotStarted, Stop):
            shutil.rmtree(new, ignore_errors=True)  # what is still being written goes at the next start
            raise
        new.rename(self.data)
        if self.home != self.folder:
            # last, so that a pointer always points at a whole cluster
            write_whole(self.folder / POINTER, {"folder": str(self.folder), "home": str(self.home)})
        for folder in (self.home, self.folder):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(fd)
            os.close(fd)

    def serve(self, sockets: Path) -> None:
        """Run the server until it is told to stop; raise if it ends by itself."""
        for file in (self.data / "postmaster.pid", sockets / f"{SOCKET}.lock"):
            # A killed server's number may be another process's by now, and PostgreSQL would give up.
            if server_in(file, self.data) is None:
                file.unlink(missing_ok=True)
        quoted = str(sockets).replace('"', '""')  # it is a list of folders
        settings = [f'unix_socket_directories="{quoted}"', *SETTINGS.split()]
        settings += [] if self.plan.durable else NOT_DURABLE.split()
        options = [word for setting in settings for word in ("-c", setting)]
        server = self.start("postgres", "-D", str(self.data), *options, output=2, killed_by=signal.SIGINT)
        try:
            self.announce(server, sockets)
            server.wait()
        except OSError:  # no client could find the server
            server.send_signal(signal.SIGQUIT)
            server.wait()
            raise
        finally:
            (self.folder / STATE).unlink(missing_ok=True)
        if not self.stopping:
            said = (self.folder / "server.log").read_text(errors="replace")
            raise ServerNotStarted(explain(f"PostgreSQL ended with code {server.returncode}", self.home, said))

    def announce(self, server: subprocess.Popen[bytes], sockets: Path) -> None:
        while not takes_logins(self.data, server.pid):
            if server.poll() is not None:
                return
            time.sleep(0.01)
        pids = {"server": server.pid, "guardian": os.getpid()}
        write_whole(self.folder / STATE, {"socket": str(sockets), "version": self.plan.version, **pids})
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)  # so the starter goes on
        os.close(nowhere)

    def guard(self) -> None:
        self.settle()
        self.keep = lock_server(self.home)
        with contextlib.suppress(OSError, ValueError):
            Path(json.loads((self.folder / LEFT).read_text())["socket"]).rmdir()  # of an over-long path; else not empty
            (self.folder / LEFT).unlink()
        if not self.data.exists():
            self.create()
        sockets = self.socket_folder()
        try:
            self.serve(sockets)
        finally:
            if sockets != self.home:
                shutil.rmtree(sockets, ignore_errors=True)

    def socket_folder(self) -> Path:
        """Return the data's own folder, or a short private one where that path does not do."""
        if fits(self.home):
            return self.home
        for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - what is made there is new and closed
            if fits(Path(parent, f"{self.plan.name}-12345678")):
                folder = Path(tempfile.mkdtemp(prefix=f"{self.plan.name}-", dir=parent))
                if self.identity.kind == "account":
                    os.chown(folder, self.identity.uid, self.identity.gid)
                return folder
        raise NotAllowed(f"the path of {self.home} does not do for a socket: choose a shorter one")


def unprivileged() -> tuple[int, int]:
    entries = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    entry = entries.get("postgres") or entries.get("nobody") or next(iter(entries.values()), None)
    if entry is None:
        raise NotAllowed("PostgreSQL does not run as root, and the system knows no other user: add the user postgres")
    return entry.pw_uid, entry.pw_gid


def digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


def make_open_folder(base: Path) -> None:
    """Make a folder of root's that others may pass through; one that exists is checked, never changed."""
    before = os.umask(0o022)
    base.mkdir(parents=True, exist_ok=True)
    os.umask(before)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise NotAllowed(f"{base} must be a folder of root's that nobody else can write to")


def copy_programs(programs: Path, base: Path) -> Path:
    """Copy an installation to where every account can read it, once; returns its `bin`."""
    found = (programs / "postgres").stat()
    copy = base / f"programs-{digest(f'{programs} {found.st_mtime_ns} {found.st_size}')}"
    prefix = programs.parent
    package = prefix.parent
    if not copy.exists():
        if not (prefix / "share").is_dir():
            raise NotAllowed(f"the programs in {programs} are closed to other accounts: open them")
        with tempfile.TemporaryDirectory(prefix="new-", dir=base) as new:
            tree = Path(new, "tree")
            shutil.copytree(
                prefix, tree / package.name / prefix.name, symlinks=True, ignore=shutil.ignore_patterns("include")
            )
            libraries = package.with_name(f"{package.name}.libs")  # where a wheel keeps what its programs link to
            if libraries.is_dir():
                shutil.copytree(libraries, tree / libraries.name)
            for path in (tree, *tree.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            tree.rename(copy)
    return copy / package.name / prefix.name / programs.name


def lock_server(home: Path) -> int:
    """
    Take the lock that every process of the server inherits: who has it knows that no earlier server is left. One whose
    guardian was killed is told to stop, harder each 10 s.
    """
    fd = os.open(home / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    for step in (None, *STOP_LADDER):
        left = server_in(home / "data" / "postmaster.pid", home / "data")
        if step is not None and left is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, step)
        until = time.monotonic() + (STOP_STEP_S if step is not None else 0)
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return fd
            if time.monotonic() >= until:
                break
            time.sleep(0.01)
    raise ServerNotStarted(f"an earlier PostgreSQL in {home} does not end: stop it by hand")


def server_in(lock_file: Path, data: Path) -> int | None:
    """Return the process that a lock file of PostgreSQL's names, if it works in the data folder, as a server does."""
    try:
        pid = int(lock_file.read_bytes().split(b"\n", 1)[0])
        os.kill(pid, 0)
        return pid if sys.platform != "linux" or Path(f"/proc/{pid}/cwd").samefile(data) else None
    except (OSError, ValueError):
        return None


def takes_logins(data: Path, server: int) -> bool:
    """Whether a server takes logins, which PostgreSQL tells in line 8 of `postmaster.pid`."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return lines[:1] == [str(server)] and [line.strip() for line in lines[7:8]] == ["ready"]


def fits(folder: Path) -> bool:
    # A comma would divide the path in two: libpq takes `host` as a list.
    return len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_MAX and "," not in str(folder)


def write_whole(file: Path, content: object) -> None:
    new = file.with_name(f"{file.name}.new")
    with new.open("w") as stream:
        json.dump(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    new.rename(file)


def explain(what: str, folder: Path, said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()][-10:]
    space = os.statvfs(folder)
    full = any(sign in line for line in lines for sign in ("No space left", "Disk quota exceeded"))
    if full or space.f_bavail * space.f_frsize < 1 << 20:
        what += f": the disk that holds {folder} is full (a new cluster needs 64 MB); free some space"
    return "\n".join([what, *lines])


# --- the program ----------------------------------------------------------------------------------------------------


def main(argument: str) -> NoReturn:
    plan = Plan(**json.loads(argument))
    if os.fork():  # the starter need not wait for us, nor reap us
        os._exit(0)
    if sys.platform == "linux":
        import ctypes  # noqa: F401 - for `call_libc`
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    guardian = Guardian(plan)
    threading.Thread(target=guardian.stop_when_unused, daemon=True).start()
    failure: Exception | None = None
    try:
        guardian.guard()
    except Stop:
        pass
    except (NotAllowed, ServerNotStarted) as error:
        failure = error
    except OSError as error:
        failure = ServerNotStarted(explain(f"{type(error).__name__}: {error}", guardian.folder, ""))
    except Exception as error:  # noqa: BLE001 - a bug: the starter gets its name, the log its traceback
        failure = ServerNotStarted(f"the guardian failed: {error!r}")
        sys.excepthook(type(error), error, error.__traceback__)
    if failure is not None:
        passing = isinstance(failure, ServerNotStarted)
        report = json.dumps({"text": str(failure)[-2000:], "passing": passing}).encode()
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC guardian: {failure}\n"
        for file, said in ((2, line.encode(errors="replace")), (1, report)):
            with contextlib.suppress(OSError):  # the disk is full; the starter is gone
                os.write(file, said)
    # Not before the server is gone; and `users` last, so that who waits for it finds no guardian.
    os.close(0)
    os._exit(0 if failure is None else 1)


if __name__ == "__main__":
    main(sys.argv[1])
