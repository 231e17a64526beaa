"""What the health timer and OnFailure= tell: once, with its cause, and when it is over; whatever is down meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync.alerts import local_file, memory
from jobsync.alerts.act import do_health, do_unit_failure
from jobsync.alerts.mail import parse_mail
from jobsync.alerts.units import UnitFailure
from jobsync.causes import Cause
from jobsync.db.engine import Database
from jobsync.hostname import host_name
from jobsync.wiring.upkeep import RETENTION
from jobsync.wiring.watched import WATCHED
from tests.watch.support import (
    HOSTILE,
    NOW,
    Memory,
    add_dealership,
    add_run,
    away,
    clerk,
    listener,
    post_office,
    set_job,
)

Connection = psycopg.Connection[Any]
UNIT = "jobsync-check-authorizations.service"
STEP = timedelta(seconds=30)


class House:
    """The duties, over one database, state folder and set of channels."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.engine = database.engine()
        self.environ = {"STATE_DIRECTORY": str(folder)}
        self.mail = Memory()
        self.up = True

    def open(self) -> Any:
        """The database, while it is up."""
        return (self.database, self.engine) if self.up else away()

    def fail(self, now: Any, **more: Any) -> Any:
        """The unit failed."""
        failure = UnitFailure(**{"unit": UNIT, "host": host_name(), "status": "1", **more})
        return do_unit_failure(failure, self.open, WATCHED, [self.mail], self.environ, now=now)

    def health(self, now: Any) -> Any:
        """The health timer."""
        return do_health(self.open, WATCHED, RETENTION, [self.mail], self.environ, wait=lambda _s: None, now=now)


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    """A house with nothing wrong."""
    return House(database, tmp_path)


def test_an_outage_in_the_middle_is_another_alert(house: House, connection: Connection) -> None:
    """A unit fails, the database goes away and comes back: two problems, each with its own end."""
    connection.execute("UPDATE system_settings SET value = '2' WHERE key = 'alert_after_failures'")
    set_job(connection, "check-authorizations", last_success_at=NOW - timedelta(days=1))
    for number in range(12):
        house.up = not 4 <= number < 8
        house.fail(NOW + number * timedelta(minutes=10), invocation_id="x")
    assert ["unit opened", "database opened", "database closed"] == told(house)

    later = NOW + timedelta(hours=3)
    set_job(connection, "check-authorizations", last_success_at=later, last_tick_at=later)
    house.health(later + timedelta(minutes=5))

    assert "unit closed" == told(house)[-1]
    rows = connection.execute("SELECT cause, closed_at IS NOT NULL, told ? 'mail' FROM alerts ORDER BY id").fetchall()
    assert [("unit_failed", True, True), ("database_unreachable", True, True)] == rows


def told(house: House) -> list[str]:
    """What the channel was told, in order: kind and phase."""
    return [f"{note.alert.kind} {note.phase}" for message in house.mail.sent for note in message.notes]


def test_few_failures_are_told_nobody(house: House) -> None:
    """Below alert_after_failures nothing is sent."""
    for number in range(4):
        house.fail(NOW + number * STEP)

    assert [] == house.mail.sent


def test_a_success_in_between_begins_the_row_anew(house: House, connection: Connection) -> None:
    """Four failures, a success, four failures: no alert."""
    for number in range(4):
        house.fail(NOW + number * STEP)
    set_job(connection, "check-authorizations", last_success_at=NOW + timedelta(minutes=5))
    for number in range(4):
        house.fail(NOW + timedelta(minutes=6) + number * STEP)

    assert [] == house.mail.sent


def test_the_limit_is_the_setting_also_while_the_database_is_away(house: House, connection: Connection) -> None:
    """The file remembers the limits that were in force."""
    connection.execute("UPDATE system_settings SET value = '2' WHERE key = 'alert_after_failures'")
    house.fail(NOW)
    house.up = False
    house.fail(NOW + STEP)
    house.fail(NOW + 2 * STEP)

    assert ["opened"] == house.mail.phases


def test_what_was_told_by_the_file_alone_is_known_to_the_table_later(house: House, connection: Connection) -> None:
    """Told while the database was down; once it is back, the table has when, and that it is over."""
    house.up = False
    house.health(NOW)
    house.up = True
    house.health(NOW + timedelta(minutes=5))

    assert ["database opened", "database closed"] == told(house)
    row = connection.execute("SELECT told ? 'mail', opened_at, closed_at, what_to_do FROM alerts").fetchone()
    assert (True, NOW, NOW + timedelta(minutes=5), Cause.DATABASE_UNREACHABLE.do()) == row


def test_a_spoiled_file_is_put_aside(house: House) -> None:
    """Half a file, as a full disk leaves it, neither stops an alert nor repeats one the table knows."""
    for number in range(6):
        house.fail(NOW + number * STEP)
    for text in ("{", "[]", '{"alerts": [{"subject": 3}], "limits": []}', "\0"):
        (Path(house.environ["STATE_DIRECTORY"]) / "alerts.json").write_text(text)
        house.fail(NOW + 7 * STEP)

    assert ["opened"] == house.mail.phases


DAMAGE = [
    ('{"limits": {"reminder_hours": 100000000000000}}', False),
    ('{"written_at": 1' + "0" * 400 + "}", False),
    ('{"written_at": 1e400}', True),
    ('{"written_at": NaN, "alerts": []}', True),
    ('{"alerts": [{"subject": "s", "kind": "unit", "times": Infinity}]}', True),
    ("[" * 100_000, True),
]


@pytest.mark.parametrize(("text", "is_put_aside"), DAMAGE)
def test_a_file_with_impossible_numbers_is_no_obstacle(house: House, text: str, is_put_aside: bool) -> None:
    """What is no JSON is put aside; the alert goes out, and the next one finds a file that can be read."""
    folder = Path(house.environ["STATE_DIRECTORY"])
    (folder / "alerts.json").write_text(text)
    house.up = False
    for number in range(6):
        house.fail(NOW + number * STEP)

    assert ["opened"] == house.mail.phases
    assert is_put_aside == (folder / "alerts.unreadable").exists()
    assert 6 == json.loads((folder / "alerts.json").read_text())["alerts"][0]["times"]


@pytest.mark.parametrize("name", ["alerts.json", "alerts.json.new"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(house: House, name: str) -> None:
    """Nobody would ever write to it."""
    folder = Path(house.environ["STATE_DIRECTORY"])
    os.mkfifo(folder / name)
    for number in range(6):
        house.fail(NOW + number * STEP)

    assert ["opened"] == house.mail.phases
    assert (folder / "alerts.json").is_file()


def test_a_folder_that_can_be_written_no_more_is_stood_in_for(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills and is freed again while the database is down: nothing is told twice, nothing forgotten."""
    first, second = tmp_path / "disk", tmp_path / "memory"
    monkeypatch.setattr(local_file, "state_folders", lambda _environ: [first, second])
    opened = local_file._open
    house.up = False
    for number in range(12):
        full = 5 <= number < 8
        monkeypatch.setattr(
            local_file, "_open", lambda folder, full=full: None if full and folder == first else opened(folder)
        )
        house.fail(NOW + number * STEP)

    assert ["opened"] == house.mail.phases
    assert 12 == json.loads((first / "alerts.json").read_text())["alerts"][0]["times"]


def test_mail_that_does_not_get_out_is_tried_again_and_then_never_twice(house: House) -> None:
    """The server is down for the message; the next failure, or the health timer, brings it."""
    house.mail.broken = True
    done = [house.fail(NOW + number * STEP) for number in range(6)]
    assert ("mail: it is broken",) == done[-1].not_sent
    house.mail.broken = False
    house.health(NOW + timedelta(minutes=5))
    house.health(NOW + timedelta(minutes=10))

    assert ["opened"] == house.mail.phases


class Killed(BaseException):
    """The process ends here."""


class Deadly(Memory):
    """A channel that delivers, and whose process is killed before it can say so."""

    deadly = True

    def send(self, message: Any) -> tuple[str, ...]:
        """Keep the message and die."""
        super().send(message)
        if self.deadly:
            raise Killed
        return ()


@pytest.mark.parametrize("up", [True, False])
def test_a_process_that_is_killed_before_its_note_tells_twice_at_most(house: House, up: bool) -> None:
    """Later, under the same name, and never again."""
    house.up = up
    house.mail = mail = Deadly()
    for number in range(5):
        try:
            house.fail(NOW + number * STEP)
        except Killed:
            assert 4 == number
    mail.deadly = False
    for number in range(5, 30, 4):
        house.fail(NOW + number * STEP)

    assert ["opened", "opened"] == mail.phases
    assert 1 == len({message.identity for message in mail.sent})


def test_nobody_is_kept_waiting_while_a_server_thinks(house: House, connection: Connection) -> None:
    """While one process sends, the next counts its failure, and tells no second time what is being told."""
    inner = House(house.database, Path(house.environ["STATE_DIRECTORY"]))

    class Slow(Memory):
        def send(self, message: Any) -> tuple[str, ...]:
            inner.fail(NOW + 5 * STEP)
            return super().send(message)

    house.mail = Slow()
    started = time.monotonic()
    for number in range(5):
        house.fail(NOW + number * STEP)
    house.fail(NOW + 6 * STEP)

    assert time.monotonic() - started < 8
    assert ([], ["opened"]) == (inner.mail.phases, house.mail.phases)
    assert [(7,)] == connection.execute("SELECT (details->>'times')::int FROM alerts").fetchall()


@pytest.mark.parametrize("up", [True, False])
def test_a_local_file_that_somebody_holds_is_no_outage(
    house: House, up: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped has it: failures are counted elsewhere, told once, and no database is blamed."""
    import fcntl

    first, second = tmp_path / "disk", tmp_path / "memory"
    monkeypatch.setattr(local_file, "state_folders", lambda _environ: [first, second])
    monkeypatch.setattr(local_file, "_WAIT_S", 0.0)
    house.up = up
    house.fail(NOW)
    with (first / "alerts.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for number in range(1, 6):
            house.fail(NOW + number * STEP)
        done = house.health(NOW + timedelta(minutes=4)) if up else None
    house.fail(NOW + timedelta(minutes=5))

    assert done is None or done.database_error is None
    assert [f"{'unit' if up else 'database'} opened"] == told(house)
    assert 7 == json.loads((first / "alerts.json").read_text())["alerts"][0]["times"]


def test_one_address_of_many_that_is_refused_is_told_to_the_others(house: House, connection: Connection) -> None:
    """Once; the message itself is not repeated, and health shows it until a mail reached everybody."""
    words = "mail: h refuses o•••@example.org of JOBSYNC_ALERT_TO: 550 no such user"
    house.mail.refused = (words,)
    done = [house.fail(NOW + number * STEP) for number in range(8)]
    assert [(), (words,), (words,), ()] == [each.refused for each in done[3:7]]
    assert [("unit", "opened"), ("mail", "opened")] == [
        (n.alert.kind, n.phase) for m in house.mail.sent for n in m.notes
    ]
    verdict = house.health(NOW + timedelta(minutes=5)).health
    assert words in [problem.text for problem in verdict.problems]

    house.mail.refused = ()
    house.health(NOW + timedelta(hours=25))
    house.health(NOW + timedelta(hours=26))

    assert ("mail", "closed") == (house.mail.sent[-1].notes[0].alert.kind, house.mail.phases[-1])
    assert [] == connection.execute("SELECT 1 FROM alerts WHERE kind = 'mail' AND closed_at IS NULL").fetchall()


REFUSALS = [
    "RAISE foreign_key_violation USING MESSAGE = 'still referenced'",
    "RAISE insufficient_privilege USING MESSAGE = 'permission denied for table sri_events'",
    "RAISE query_canceled USING MESSAGE = 'canceling statement due to statement timeout'",
]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_rows_that_cannot_be_deleted_are_one_alert_of_their_own(
    house: House, connection: Connection, refusal: str
) -> None:
    """Told once while it lasts and once when it is over; the database is not blamed for it."""
    connection.execute("INSERT INTO sri_events (kind, at) VALUES ('pending', '2020-01-01')")
    connection.execute(
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {refusal}; END $$;"
        " CREATE TRIGGER refuse BEFORE DELETE ON sri_events FOR EACH STATEMENT EXECUTE FUNCTION refuse()".encode()
    )
    done = [house.health(NOW + timedelta(minutes=5 * number)) for number in range(4)]
    assert [None] * 4 == [each.database_error for each in done]
    assert [("prune", "opened")] == [
        (note.alert.kind, note.phase) for message in house.mail.sent for note in message.notes
    ]
    assert [["prune"]] * 4 == [[problem.kind for problem in each.health.problems] for each in done]
    assert "could not delete old rows" in house.mail.sent[0].notes[0].alert.text

    connection.execute("DROP TRIGGER refuse ON sri_events")
    well = [house.health(NOW + timedelta(minutes=30 + 5 * number)) for number in range(2)]

    assert ["opened", "closed"] == house.mail.phases
    assert [()] * 2 == [each.health.problems for each in well]


def test_a_single_failure_to_delete_is_told_nobody(house: House, connection: Connection) -> None:
    """Weeks apart they are no row."""
    connection.execute(
        b"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE deadlock_detected; END $$"
    )
    for number in range(3):
        connection.execute("INSERT INTO sri_events (kind, at) VALUES ('pending', '2020-01-01')")
        connection.execute(
            b"CREATE TRIGGER refuse BEFORE DELETE ON sri_events FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
        )
        house.health(NOW + timedelta(days=number))
        connection.execute("DROP TRIGGER refuse ON sri_events")
        house.health(NOW + timedelta(days=number, minutes=5))

    assert [] == house.mail.phases


def test_a_database_outage_is_one_alert_a_host(house: House, connection: Connection) -> None:
    """All units and the health timer meet the same outage: one message, one recovery."""
    house.up = False
    for number in range(20):
        for unit in ("jobsync-stock-sync.service", UNIT, "jobsync-generate-ride.service"):
            house.fail(NOW + number * STEP, unit=unit, status="69")
        if number % 10 == 9:
            house.health(NOW + number * STEP)
    assert ["opened"] == house.mail.phases

    house.up = True
    for minutes in (15, 20):
        for job in ("stock-sync", "check-authorizations", "generate-ride"):
            set_job(connection, job, last_tick_at=NOW + timedelta(minutes=minutes), last_success_at=NOW)
        house.health(NOW + timedelta(minutes=minutes))

    assert ["opened", "closed"] == house.mail.phases
    assert [(0,)] == connection.execute("SELECT count(*) FROM alerts WHERE closed_at IS NULL").fetchall()


def test_an_outage_is_told_though_a_unit_was_failing_before(house: House) -> None:
    """A new thing is wrong, and it is not what was told."""
    for number in range(6):
        house.fail(NOW + number * STEP)
    house.up = False
    house.fail(NOW + 7 * STEP, status="69")
    house.health(NOW + timedelta(minutes=5))

    assert [("unit", "opened"), ("database", "opened")] == [
        (note.alert.kind, note.phase) for message in house.mail.sent for note in message.notes
    ]


def test_health_tells_of_a_silent_dealership_and_of_its_recovery(house: House, connection: Connection) -> None:
    """One message, one reminder a day later, one recovery; a look in between changes nothing."""
    number = add_dealership(connection, success=NOW - timedelta(days=4))
    for minutes in (0, 5, 1440):
        set_job(connection, last_tick_at=NOW + timedelta(minutes=minutes))
        house.health(NOW + timedelta(minutes=minutes))
    assert ["opened", "reminded"] == house.mail.phases

    connection.execute("UPDATE sync_schedule SET last_success_at = %s", [NOW + timedelta(hours=25)])
    set_job(connection, last_tick_at=NOW + timedelta(minutes=1510))
    house.health(NOW + timedelta(minutes=1510))

    assert ["opened", "reminded", "closed"] == house.mail.phases
    assert f"dealership {number}" == house.mail.sent[0].notes[0].alert.subject


def test_many_problems_are_one_message(house: House, connection: Connection) -> None:
    """A bad night is told in one mail."""
    set_job(connection)
    for at in range(70):
        add_dealership(connection, f"D{at}", success=NOW - timedelta(days=4))
    house.health(NOW)

    [message] = house.mail.sent
    assert 70 == len(message.notes)
    assert "70 problems on" in message.title
    assert message.is_summary
    assert "and 20 more" in message.text()


def test_a_reminder_follows_the_columns_of_the_table(house: House, connection: Connection) -> None:
    """Who moves notified_at back in SQL gets the reminder: while it answers, the database is right."""
    for number in range(6):
        house.fail(NOW + number * STEP)
    connection.execute("UPDATE alerts SET notified_at = notified_at - interval '25 hours'")
    house.fail(NOW + 7 * STEP)

    assert ["opened", "reminded"] == house.mail.phases


def test_an_alert_that_somebody_deleted_is_new_again(house: House, connection: Connection) -> None:
    """The row is gone, so nothing was told."""
    for number in range(6):
        house.fail(NOW + number * STEP)
    connection.execute("DELETE FROM alerts")
    for number in range(5):
        house.fail(NOW + timedelta(hours=1) + number * STEP)

    assert ["opened", "opened"] == house.mail.phases


def test_the_message_says_what_to_do(house: House, connection: Connection) -> None:
    """The run of the failing invocation is found, with its error."""
    run = add_run(connection, "check-authorizations", "failed", exit_code=1, error="SRI: HTTP 503")
    connection.execute("UPDATE job_runs SET invocation_id = 'abc', started_at = now()")
    for number in range(5):
        house.fail(NOW + number * STEP, invocation_id="abc", result="exit-code")

    [note] = house.mail.sent[0].notes
    assert f"jobsync runs show {run[:8]}; {Cause.UNIT_FAILED.do(UNIT=UNIT)}" == note.alert.what_to_do
    assert note.alert.text.endswith(" failed (exit 1, failed): SRI: HTTP 503")
    assert 5 == note.alert.times


def test_a_hostile_name_forges_no_header_and_no_line(house: House, connection: Connection) -> None:
    """Through a real mail server: one subject, no header of the name's own, no escape in the body."""
    set_job(connection)
    add_dealership(connection, HOSTILE, success=NOW - timedelta(days=4))
    with post_office() as (office, port):
        channel = parse_mail(f"smtp://127.0.0.1:{port}", "ops@example.org")
        do_health(house.open, WATCHED, RETENTION, [channel], house.environ, wait=lambda _s: None, now=NOW)

    [mail] = office.mails
    assert "X WATCHDOG=1" in mail["Subject"]
    assert b"\x1b" not in office.raw[0]
    assert not any(line.startswith("WATCHDOG") for line in mail.get_content().splitlines())
    expected = {
        "Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding",
        "MIME-Version", "X-Peer", "X-MailFrom", "X-RcptTo",
    }  # fmt: skip
    assert set(mail.keys()) <= expected


def test_what_every_host_sees_is_told_by_one_of_them(house: House, connection: Connection) -> None:
    """While another host tells, this one tells only what is its own."""
    from jobsync.runner.lock import lock_key

    set_job(connection)
    add_dealership(connection, success=NOW - timedelta(days=4))
    connection.execute("UPDATE system_settings SET value = '1' WHERE key = 'alert_after_failures'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_LOCK_WITHIN_S", 0.0)
        connection.execute("SELECT pg_advisory_lock(%s)", [lock_key("alerts")])
        house.health(NOW)
        house.fail(NOW)
        assert ["unit"] == [note.alert.kind for message in house.mail.sent for note in message.notes]

        connection.execute("SELECT pg_advisory_unlock(%s)", [lock_key("alerts")])
        house.health(NOW)

    assert ["unit", "silence"] == [note.alert.kind for message in house.mail.sent for note in message.notes]


def test_what_says_nothing_new_is_not_written_again(house: House, connection: Connection) -> None:
    """An alert that lasts costs one row, not a write every five minutes."""
    set_job(connection)
    number = add_dealership(connection)
    connection.execute("INSERT INTO holds (dealership_id, stock_numbers, reason) VALUES (%s, '{a}', 'limit')", [number])
    house.health(NOW)
    before = connection.execute("SELECT xmin::text FROM alerts").fetchall()
    house.health(NOW)

    assert before == connection.execute("SELECT xmin::text FROM alerts").fetchall()
    assert ["opened"] == house.mail.phases


def test_the_file_is_closed_to_others(house: House) -> None:
    """It holds texts of failures."""
    house.fail(NOW)

    assert 0o600 == (Path(house.environ["STATE_DIRECTORY"]) / "alerts.json").stat().st_mode & 0o777


# --- processes -------------------------------------------------------------------------------------------------------


def processes(
    environ: dict[str, str], *, folders: list[Path], words: tuple[str, ...] = ("alert", "--unit", UNIT)
) -> list[subprocess.Popen[str]]:
    """Start one command for each state folder at once."""
    return [
        subprocess.Popen(
            [sys.executable, "-m", "jobsync", *words],
            env={**environ, "STATE_DIRECTORY": str(folder), "MONITOR_EXIT_STATUS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]


@pytest.mark.parametrize("shared", [True, False])
def test_processes_at_once_send_one_mail(
    shared: bool, environ: dict[str, str], connection: Connection, tmp_path: Path
) -> None:
    """Three alerts at the same moment, over one state folder or over three: the table and its lock keep it to one."""
    connection.execute("UPDATE system_settings SET value = '1' WHERE key = 'alert_after_failures'")
    folders = [tmp_path / ("one" if shared else str(number)) for number in range(3)]
    with post_office() as (office, port):
        environ |= {"JOBSYNC_SMTP_URL": f"smtp://127.0.0.1:{port}", "JOBSYNC_ALERT_TO": "ops@example.org"}
        for process in processes(environ, folders=folders):
            _, err = process.communicate(timeout=60)
            assert 0 == process.returncode, err

    assert 1 == len(office.mails)
    assert [(1,)] == connection.execute("SELECT count(*) FROM alerts").fetchall()


def test_two_health_timers_while_the_server_thinks_send_one_mail(
    environ: dict[str, str], connection: Connection, tmp_path: Path
) -> None:
    """Over one state folder: the second neither waits for the first nor tells what it is telling."""
    add_dealership(connection, success=NOW - timedelta(days=400))
    with clerk(data_after_s=4.0) as server:
        environ |= {"JOBSYNC_SMTP_URL": f"smtp://127.0.0.1:{server.port}", "JOBSYNC_ALERT_TO": "ops@example.org"}
        for process in processes(environ, folders=[tmp_path] * 3, words=("health", "--act")):
            _, err = process.communicate(timeout=60)
            assert 3 == process.returncode, err

    assert 1 == len(server.mails)


def test_kill_9_while_the_server_thinks(environ: dict[str, str], connection: Connection, tmp_path: Path) -> None:
    """The next run leaves it alone for ten minutes; then it is said again under the same Message-ID."""
    connection.execute("UPDATE system_settings SET value = '1' WHERE key = 'alert_after_failures'")
    with clerk(data_after_s=1.0) as server:
        environ |= {"JOBSYNC_SMTP_URL": f"smtp://127.0.0.1:{server.port}", "JOBSYNC_ALERT_TO": "ops@example.org"}
        [killed] = processes(environ, folders=[tmp_path])
        deadline = time.monotonic() + 30
        while not server.mails and time.monotonic() < deadline:
            time.sleep(0.02)
        killed.kill()
        killed.communicate(timeout=30)
        [process] = processes(environ, folders=[tmp_path])
        process.communicate(timeout=60)
        assert 1 == len(server.mails)

        connection.execute(
            "UPDATE alerts SET details = jsonb_set(details, '{tries,mail,until}', to_jsonb(%s::text))",
            [NOW.isoformat()],
        )
        for _ in range(2):
            [process] = processes(environ, folders=[tmp_path])
            process.communicate(timeout=60)

    assert 2 == len(server.mails)
    ids = {line for mail in server.mails for line in mail.splitlines() if line.startswith(b"Message-ID")}
    assert 1 == len(ids)


def test_health_timers_of_several_hosts_send_one_mail(
    environ: dict[str, str], connection: Connection, tmp_path: Path
) -> None:
    """Three at the same moment over one database: one of them tells."""
    add_dealership(connection, success=NOW - timedelta(days=400))
    with post_office() as (office, port):
        environ |= {"JOBSYNC_SMTP_URL": f"smtp://127.0.0.1:{port}", "JOBSYNC_ALERT_TO": "ops@example.org"}
        for process in processes(
            environ, folders=[tmp_path / str(number) for number in range(3)], words=("health", "--act")
        ):
            _, err = process.communicate(timeout=60)
            assert 3 == process.returncode, err

    assert 1 == len(office.mails)


def test_no_secret_is_in_any_output(environ: dict[str, str], connection: Connection, tmp_path: Path) -> None:
    """A refusing mail server and a failing webhook: their password and token are nowhere."""
    connection.execute("UPDATE system_settings SET value = '1' WHERE key = 'alert_after_failures'")
    with post_office(password="another-password") as (_, port), listener() as (hook, url):
        hook.status = 500
        environ |= {
            "JOBSYNC_SMTP_URL": f"smtp://ops:hunter2-secret@127.0.0.1:{port}",
            "JOBSYNC_ALERT_TO": "ops@example.org",
            "JOBSYNC_ALERT_WEBHOOK": f"{url}/services/T0123456789/tokentokentoken?key=keykeykeykeykey",
        }
        [process] = processes(environ, folders=[tmp_path])
        out, err = process.communicate(timeout=60)
    file = (tmp_path / "alerts.json").read_text()
    row = json.dumps(connection.execute("SELECT details FROM alerts").fetchall())

    assert 69 == process.returncode
    assert "HTTP 500" in err
    assert "535" in err
    for secret in ("hunter2", "tokentoken", "keykey"):
        assert secret not in out + err + file + row
