"""A real Postgres for the whole session, a fresh database for each test, and a wiped environment."""

from __future__ import annotations

import base64
import itertools
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from jobsync import masking
from jobsync.db import embedded, migrate, system_settings
from jobsync.db.engine import Database, connect
from jobsync.logs import configure_logs
from jobsync.wiring import Tools

TEST_KEY = base64.b64encode(bytes(range(32))).decode()
_numbers = itertools.count(1)

# The same examples each time, so that nobody else is surprised by a failure. To look for more:
# pytest --hypothesis-profile=default tests/test_cron.py
settings.register_profile(
    "jobsync",
    max_examples=150,
    deadline=None,  # machines that run tests are busy
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("jobsync")


def pytest_xdist_auto_num_workers() -> int:
    """Two workers for each core: half of the tests' time is waits for servers, for silence, for other processes."""
    return 2 * len(os.sched_getaffinity(0))


_MEMORY = Path("/dev/shm")  # noqa: S108 - each run has a folder of its own there
_ROOM = 4 << 30


def pytest_configure(config: pytest.Config) -> None:
    """
    Have the tests' folders in memory where there is room: a database is 450 files, and each second test wants one.

    They are gone at the end; --basetemp=FOLDER keeps them, elsewhere.
    """
    if config.option.basetemp is not None or hasattr(config, "workerinput") or not _MEMORY.is_dir():
        return
    for left in _MEMORY.glob("jobsync-tests-*"):  # by a run that was killed
        if not Path("/proc", left.name.rpartition("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    there = os.statvfs(_MEMORY)
    if there.f_bavail * there.f_frsize < _ROOM or there.f_flag & os.ST_NOEXEC or not os.access(_MEMORY, os.W_OK):
        return
    folder = _MEMORY / f"jobsync-tests-{os.getpid()}"
    config.option.basetemp = str(folder)
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Programs that tests start can be interrupted, also where a shell runs the tests in its background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def wiped_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests reaches them."""
    for name in list(os.environ):
        if name.startswith(("JOBSYNC_", "EASYCARS_", "PG")) or name in ("CREDENTIALS_DIRECTORY", "INVOCATION_ID"):
            monkeypatch.delenv(name)


def forget_secrets() -> None:
    """Mask nothing any more."""
    masking._seeds.clear()
    masking._words.clear()


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """
    No test's log goes on to where an earlier one's went, which may be closed by now; what is said once, is anew, and
    an earlier test's secrets mask no word of this one.
    """
    system_settings._report.cache_clear()
    forget_secrets()
    yield
    configure_logs()


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the session's own server."""
    with embedded.acquire(tmp_path_factory.mktemp("postgres") / "pg", durable=False) as lease:
        yield lease.url


def url_of(server_url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return server_url.replace("/jobsync?", f"/{name}?")


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """A database that migrations have built, to be copied."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_jobsync")
    database = Database(url_of(server_url, "template_jobsync"))
    migrate.upgrade(database.engine())
    database.close()
    return "template_jobsync"


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """A database with nothing in it."""
    yield from _fresh(server_url, "template1")


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A database with the schema and nothing else."""
    yield from _fresh(server_url, template)


def _fresh(server_url: str, template: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield url_of(server_url, name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The test's database, as the program sees it."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A direct connection to look with."""
    with connect(database_url, application_name="tests") as connection:
        yield connection


@pytest.fixture
def environ(database_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a command, which remembers alerts in a folder of its own."""
    return {
        "STATE_DIRECTORY": str(tmp_path / "state"),
        "JOBSYNC_DATABASE_URL": database_url,
        "JOBSYNC_ENCRYPTION_KEY": TEST_KEY,
        "JOBSYNC_LOG_FORMAT": "json",
        "HOME": os.environ.get("HOME", "/"),
        "PATH": os.environ["PATH"],
    }


@pytest.fixture
def tools(environ: dict[str, str]) -> Iterator[Tools]:
    """The world of an in-process command; waits between tries take no time."""
    tools = Tools(environ, pause=lambda _seconds: True)
    yield tools
    tools.close()


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of samples that nobody here wrote; tests over it say so when it is not at hand."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder of outside samples is not beside this checkout")
    return folder
