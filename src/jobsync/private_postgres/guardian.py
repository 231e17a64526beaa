"""
The guardian of one private PostgreSQL: makes its cluster, runs it, and stops it when its last user is gone.

`server.py` starts this file as a program of its own (`python -I -S guardian.py PLAN`), so it imports nothing but the
standard library. It blocks on the exclusive lock of `users.lock`, which the kernel grants when no user holds the shared
one any more, however those users ended.
"""

from __future__ import annotations

import _thread
import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import shutil
import signal
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

SOCKET = ".s.PGSQL.5432"
SOCKET_PATH_MAX = 107 if sys.platform == "linux" else 103  # bytes in sun_path, without the final NUL
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}  # nothing of the caller's reaches the server
POINTER = "elsewhere.json"  # where the cluster is, when it is not in the folder itself
STOP_STEP_S = 10
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
WATCHED = {signal.SIGCHLD, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM}


class Plan(NamedTuple):
    """What the starter decided; travels as JSON in the guardian's only argument."""

    folder: str
    name: str
    programs: str
    version: int
    durable: bool
    namespaces: bool
    account_home: str
    guardian_lock: int
    report: int


class Identity(NamedTuple):
    """Who the server runs as: `same` user, that user behind a `namespace`, or another `account`."""

    kind: str
    uid: int
    gid: int


class ClusterPlace(NamedTuple):
    """Where the cluster is, by which programs it is run, and as whom."""

    home: Path
    programs: Path
    identity: Identity

    @property
    def data(self) -> Path:
        return self.home / "data"


class Failure(Exception):
    """Why there will be no server; `configuration` is False where trying again may help."""

    def __init__(self, text: str, *, configuration: bool = False) -> None:
        super().__init__(text)
        self.configuration = configuration


class Stop(Exception):
    """The last user went before the server was up."""


def cluster_home(folder: Path) -> Path:
    """Return the folder that holds `data`: the given one, or the one its pointer names."""
    try:
        pointer = json.loads((folder / POINTER).read_text())
        home, owner = Path(pointer["home"]), Path(pointer["folder"])
    except FileNotFoundError:
        return folder
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"{folder / POINTER} cannot be read ({error}): restore it", configuration=True) from error
    if owner != folder:
        raise Failure(f"{folder} is a copy of {owner}, whose data are in {home}: use {owner}", configuration=True)
    if not (home / "data").is_dir():
        raise Failure(
            f"the data of {folder} were kept in {home}, which is gone: bring it back, or remove {folder} to start anew",
            configuration=True,
        )
    return home


# --- children -------------------------------------------------------------------------------------------------------


def become(identity: Identity) -> None:
    """Take the identity; only between fork and exec."""
    if identity.kind == "account":
        os.setgroups([])
        os.setgid(identity.gid)
        os.setuid(identity.uid)
    elif identity.kind == "namespace":
        # The kernel still sees the same owner, so closed folders stay reachable; the program sees another user.
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
    """Runs one child at a time; knows whether it has been told to stop."""

    def __init__(self) -> None:
        self.stopping = False

    def start(
        self, argv: list[str], identity: Identity, *, keep: int | None, output: int, killed_by: int, reach: str = "/"
    ) -> int:
        """
        Start a program as `identity` and return its process id.

        Args:
            keep: descriptor that the program and its children hold as long as they live.
            killed_by: signal it gets when the guardian itself is killed (Linux).
            reach: folder the program must be able to write to; if it cannot, it ends with 126.
        """
        guardian = os.getpid()
        child = os.fork()
        if child:
            return child
        try:
            os.dup2(output, 1)
            os.dup2(output, 2)
            become(identity)
            if sys.platform == "linux":
                call_libc("prctl", PR_SET_PDEATHSIG, killed_by)  # after `become`: a change of user clears it
                if os.getppid() != guardian:
                    os._exit(125)
            if reach != "/" and not os.access(reach, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
                os._exit(126)
            if keep is not None:
                os.set_inheritable(keep, True)
            # Python ignores the first two, and exec would keep that; it would swallow a SIGINT that is waiting.
            for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.execve(argv[0], argv, ENVIRONMENT)  # noqa: S606 - no shell is meant
        except OSError as error:
            os.write(2, f"{argv[0]}: {error}\n".encode())
        finally:
            os._exit(127)

    def wait(self, child: int) -> int:
        """Return the child's exit code, having stopped it (harder each 10 s) if told to."""
        ladder = [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL]
        while True:
            number = signal.sigwait(WATCHED)
            if number == signal.SIGCHLD:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    signal.alarm(0)
                    return os.waitstatus_to_exitcode(status)
            elif number in (signal.SIGUSR1, signal.SIGTERM) and not self.stopping:
                self.stopping = True
                os.kill(child, ladder.pop(0))
                signal.alarm(STOP_STEP_S)
            elif number == signal.SIGALRM and ladder:
                os.kill(child, ladder.pop(0))
                signal.alarm(STOP_STEP_S)

    def run(self, argv: list[str], identity: Identity, *, keep: int | None = None, reach: str = "/") -> tuple[int, str]:
        """Run a program to its end; return its exit code and what it said (kept in memory: the disk may be full)."""
        ours, theirs = os.pipe()
        try:
            child = self.start(argv, identity, keep=keep, output=theirs, killed_by=signal.SIGKILL, reach=reach)
            os.close(theirs)
            code = self.wait(child)
            os.set_blocking(ours, False)
            try:
                said = os.read(ours, 65536).decode(errors="replace")  # as much as a pipe holds
            except BlockingIOError:
                said = ""
        finally:
            os.close(ours)
        if self.stopping:
            raise Stop
        return code, said

    # --- where and as whom --------------------------------------------------------------------------------------

    def settle(self, plan: Plan) -> ClusterPlace:
        """Decide where the cluster is and who runs it; an existing cluster keeps its choice."""
        folder, programs = Path(plan.folder), Path(plan.programs)
        home = cluster_home(folder)
        if home != folder:
            return self.settle_account(plan, home)
        uid = os.geteuid()
        if uid != 0 and has_name(uid):
            return ClusterPlace(folder, programs, Identity("same", uid, os.getegid()))
        why = "user namespaces are switched off"
        if plan.namespaces and sys.platform == "linux":
            entry = unprivileged(65534)
            if entry is not None:
                identity = Identity("namespace", entry.pw_uid, entry.pw_gid)
                code, said = self.run([str(programs / "postgres"), "--version"], identity, reach=plan.folder)
                if code == 0:
                    return ClusterPlace(folder, programs, identity)
                why = said.strip() or f"a user namespace cannot reach {folder if code == 126 else programs}"
            else:
                why = "the system knows no user but root"
        if uid != 0:
            raise Failure(
                f"user {uid} has no entry in /etc/passwd, and PostgreSQL needs one ({why}): "
                "add the entry, or allow user namespaces",
                configuration=True,
            )
        if (folder / "data").exists():
            raise Failure(
                f"PostgreSQL does not run as root, and the way {folder} was made is closed now ({why}): "
                "allow user namespaces again",
                configuration=True,
            )
        return self.settle_account(plan, None)

    def settle_account(self, plan: Plan, home: Path | None) -> ClusterPlace:
        """Run as an unprivileged account, in a folder of its own outside the user's (root only)."""
        if os.geteuid() != 0:
            raise Failure(f"the data of {plan.folder} belong to another account: run as root", configuration=True)
        if home is None:
            home = Path(plan.account_home, digest(plan.folder))
            entry = unprivileged("postgres", "nobody", 65534)
            if entry is None:
                raise Failure(
                    "PostgreSQL does not run as root, and the system knows no other user: add the user postgres",
                    configuration=True,
                )
            uid, gid = entry.pw_uid, entry.pw_gid
        else:
            kept = home.stat()
            uid, gid = kept.st_uid, kept.st_gid
        base = home.parent
        make_open_folder(base)
        if not home.exists():
            home.mkdir(mode=0o700)
        if not (home / "data").exists():  # ours, and perhaps a start was killed before the next line
            try:
                os.chown(home, uid, gid, follow_symlinks=False)
            except OSError as error:
                home.rmdir()
                raise Failure(
                    f"PostgreSQL does not run as root, and root cannot act as user {uid} here ({error.strerror}): "
                    "run as an ordinary user",
                    configuration=True,
                ) from error
        identity = Identity("account", uid, gid)
        programs = Path(plan.programs)
        if self.run([str(programs / "postgres"), "--version"], identity, reach=str(home))[0] != 0:
            programs = copy_programs(programs, base)
            code, said = self.run([str(programs / "postgres"), "--version"], identity, reach=str(home))
            if code != 0:
                raise Failure(
                    f"user {uid} cannot run PostgreSQL in {base} ({said.strip() or f'code {code}'}): open its parent "
                    "folders to others for passing (and no noexec mount)",
                    configuration=True,
                )
        return ClusterPlace(home, programs, identity)

    # --- the cluster --------------------------------------------------------------------------------------------

    def create(self, plan: Plan, place: ClusterPlace, keep: int) -> None:
        """Make the cluster beside its final place and rename it there: a kill leaves no half cluster."""
        new = place.home / "data.new"
        if new.exists():
            shutil.rmtree(new)
        base = [str(place.programs / "initdb"), "-D", str(new), "-E", "UTF8", "-U", plan.name, "-A", "trust"]
        base += ["--no-instructions"] if plan.durable else ["--no-instructions", "-N"]
        try:
            for locale in ("C.UTF-8", "C"):
                code, said = self.run([*base, f"--locale={locale}"], place.identity, keep=keep)
                if code == 0:
                    break
                if locale == "C" or "invalid locale" not in said:
                    raise Failure(explain("PostgreSQL could not make its files", place.home, said))
        except (Failure, Stop):
            shutil.rmtree(new, ignore_errors=True)  # what is still being written goes at the next start
            raise
        new.rename(place.data)
        if place.home != Path(plan.folder):
            # last, so that a pointer always points at a whole cluster
            write_whole(Path(plan.folder, POINTER), {"folder": plan.folder, "home": str(place.home)}, durable=True)
        sync_folder(place.home)
        sync_folder(Path(plan.folder))

    def serve(self, plan: Plan, place: ClusterPlace, sockets: Path, keep: int) -> None:
        """Run the server until it is told to stop; raise if it ends by itself."""
        remove_stale_pids(place.data, sockets)
        settings = {
            "listen_addresses": "",
            "port": "5432",
            # a list: quoted, for folders with commas or spaces
            "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "32MB",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "max_logical_replication_workers": "0",
            "max_wal_size": "256MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            "logging_collector": "off",
            "log_destination": "stderr",
            "jit": "off",
        }
        if not plan.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        argv = [str(place.programs / "postgres"), "-D", str(place.data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        said_before = os.fstat(2).st_size
        server = self.start(argv, place.identity, keep=keep, output=2, killed_by=signal.SIGINT)
        state = Path(plan.folder, "server.json")
        content = {
            "socket": str(sockets),
            "data": str(place.data),
            "version": plan.version,
            "server": server,
            "guardian": os.getpid(),
        }
        try:
            write_whole(state, content, durable=False)
            code = self.wait(server)
        except OSError:  # no client could find the server
            os.kill(server, signal.SIGQUIT)
            self.wait(server)
            raise
        finally:
            state.unlink(missing_ok=True)
        if not self.stopping:
            with Path(plan.folder, "server.log").open("rb") as log:
                log.seek(said_before)
                said = log.read()[-65536:].decode(errors="replace")
            raise Failure(explain(f"PostgreSQL ended with code {code}", place.home, said))

    def guard(self, plan: Plan) -> None:
        """The whole life: wait for what was left, make the cluster if there is none, serve."""
        place = self.settle(plan)
        keep = lock_server(place)
        if not place.data.exists():
            self.create(plan, place, keep)
        sockets = socket_folder(place, plan.name)
        try:
            self.serve(plan, place, sockets, keep)
        finally:
            if sockets != place.home:
                for name in (SOCKET, f"{SOCKET}.lock"):
                    (sockets / name).unlink(missing_ok=True)
                sockets.rmdir()


def has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def unprivileged(*wanted: str | int) -> pwd.struct_passwd | None:
    """Return the first wanted account that exists, else any that is not root."""
    entries = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    for name in wanted:
        for entry in entries:
            if name in (entry.pw_name, entry.pw_uid):
                return entry
    return entries[0] if entries else None


def digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


def make_open_folder(base: Path) -> None:
    """Make a folder of root's that others may pass through; one that exists is checked, never changed."""
    for folder in (*reversed(base.parents), base):
        try:
            folder.mkdir(mode=0o755)
        except FileExistsError:
            continue
        folder.chmod(0o755)  # just made by us; the umask is tighter
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise Failure(f"{base} must be a folder of root's that nobody else can write to", configuration=True)


def copy_programs(programs: Path, base: Path) -> Path:
    """Copy an installation to where every account can read it, once; return its `bin`."""
    found = (programs / "postgres").stat()
    copy = base / f"programs-{digest(f'{programs} {found.st_mtime_ns} {found.st_size}')}"
    prefix = programs.parent
    package = prefix.parent
    if not copy.exists():
        if not (prefix / "share").is_dir():
            raise Failure(f"the programs in {programs} are closed to other accounts: open them", configuration=True)
        new = Path(tempfile.mkdtemp(prefix="new-", dir=base))
        try:
            tree = new / "tree"
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
        finally:
            shutil.rmtree(new)
    return copy / package.name / prefix.name / programs.name


def lock_server(place: ClusterPlace) -> int:
    """
    Take the lock that every process of the server inherits: who has it knows that no earlier server is left.

    A server whose guardian was killed is told to stop, harder each 10 s.
    """
    fd = os.open(place.home / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    began = time.monotonic()
    ladder = [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL]
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - began
            if waited > 3 * STOP_STEP_S:
                raise Failure(f"an earlier PostgreSQL in {place.home} does not end: stop it by hand") from None
            if ladder and waited >= STOP_STEP_S * (3 - len(ladder)):
                step, left = ladder.pop(0), read_pid(place.data / "postmaster.pid")
                if left is not None and runs_in(left, place.data):
                    os.kill(left, step)
            time.sleep(0.01)
        else:
            return fd


def read_pid(file: Path) -> int | None:
    """Return the process id in the first line of one of PostgreSQL's lock files."""
    try:
        pid = int(file.read_bytes().split(b"\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    return pid if pid > 1 else None


def runs_in(pid: int, data: Path) -> bool:
    """Tell whether the process lives and works in the data folder, as every server process does."""
    try:
        os.kill(pid, 0)
        return sys.platform != "linux" or Path(f"/proc/{pid}/cwd").samefile(data)
    except OSError:
        return False


def remove_stale_pids(data: Path, sockets: Path) -> None:
    """Remove what a killed server left: its number may be another process's by now, and PostgreSQL would give up."""
    for file in (data / "postmaster.pid", sockets / f"{SOCKET}.lock"):
        pid = read_pid(file)
        if pid is None or not runs_in(pid, data):
            file.unlink(missing_ok=True)


def socket_folder(place: ClusterPlace, prefix: str) -> Path:
    """Return the folder of the socket: beside the data, or a short private one where that path does not do."""
    if fits(place.home):
        return place.home

    name = f"{prefix}-{digest(str(place.home))}"
    parents = [Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108 - what is made there is checked
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if place.identity.kind != "account" and Path(runtime).is_absolute() and is_private(Path(runtime), os.geteuid()):
        parents.insert(0, Path(runtime))
    owner = place.identity.uid if place.identity.kind == "account" else os.geteuid()
    for parent in parents:
        folder = parent / name
        if not fits(folder):
            continue
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if not is_private(folder, owner):  # another's, perhaps laid there for us
                folder = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=parent))
        except OSError:
            continue
        if place.identity.kind == "account":
            os.chown(folder, place.identity.uid, place.identity.gid, follow_symlinks=False)
        return folder
    raise Failure(f"the path of {place.home} does not do for a socket: choose a shorter one", configuration=True)


def fits(folder: Path) -> bool:
    # A comma would divide the path in two: libpq takes `host` as a list.
    return len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_MAX and "," not in str(folder)


def is_private(folder: Path, owner: int) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o077


def write_whole(file: Path, content: object, *, durable: bool) -> None:
    new = file.with_name(f"{file.name}.new")
    with new.open("w") as stream:
        json.dump(content, stream)
        stream.flush()
        if durable:
            os.fsync(stream.fileno())
    new.rename(file)


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def explain(what: str, home: Path, said: str) -> str:
    """Return one sentence and the last lines of what the program said."""
    space = os.statvfs(home)
    full = any(sign in said for sign in ("No space left", "Disk quota exceeded"))
    if full or space.f_bavail * space.f_frsize < 1 << 20:
        what += f": the disk that holds {home} is full (a new cluster needs 64 MB); free some space"
    lines = [line for line in said.splitlines() if line.strip()][-10:]
    return "\n".join([what, *lines])


# --- the program ----------------------------------------------------------------------------------------------------


def wait_for_last_user(lock: int) -> None:
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.kill(os.getpid(), signal.SIGUSR1)


def say(line: str) -> None:
    os.write(2, f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC guardian: {line}\n".encode(errors="replace"))


def main(argument: str) -> NoReturn:
    plan = Plan(**json.loads(argument))
    if os.fork():  # the starter need not wait for us, nor reap us
        os._exit(0)
    for fd in (plan.guardian_lock, plan.report):
        os.set_inheritable(fd, False)
    if sys.platform == "linux":
        import ctypes  # noqa: F401 - for `call_libc`
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # some systems drop a blocked signal that is ignored by default
    users = os.open(Path(plan.folder, "users.lock"), os.O_RDWR | os.O_CLOEXEC)
    _thread.start_new_thread(wait_for_last_user, (users,))
    code, failure = 0, None
    try:
        Guardian().guard(plan)
    except Stop:
        pass
    except Failure as error:
        failure = error
    except OSError as error:
        failure = Failure(explain(f"{type(error).__name__}: {error}", Path(plan.folder), ""))
    except Exception as error:  # noqa: BLE001 - a bug: the starter gets its name, the log its traceback
        failure = Failure(f"the guardian failed: {error!r}")
        sys.excepthook(type(error), error, error.__traceback__)
    if failure is not None:
        code = 1
        report = json.dumps({"text": str(failure)[-2000:], "configuration": failure.configuration}).encode()
        for attempt in (lambda: say(str(failure)), lambda: os.write(plan.report, report)):
            with contextlib.suppress(OSError):  # the disk is full; the starter is gone
                attempt()
    # Not before the server is gone; and `users` last, so that who waits for it finds no guardian.
    os.close(plan.guardian_lock)
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
