"""Each finding of the doctor, with what it leads to."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync.db.engine import Database
from jobsync.easycars.credentials import Place
from jobsync.easycars.upkeep import check_key
from jobsync.errors import ConfigurationProblem, ExitCode, JobsyncError
from jobsync.ride import store, upkeep
from jobsync.ride.files import MARKER, Storage
from jobsync.ride.store import read_database_id
from jobsync.ride.upkeep import check_storage
from jobsync.settings import Settings, load_settings
from jobsync.upkeep import doctor
from jobsync.upkeep.model import Finding, Level
from jobsync.watch.health import judge_health
from jobsync.watch.timers import Waker
from jobsync.wiring.watched import WATCHED
from tests.watch.support import add_dealership, add_invoices, add_tenant, free_port, listener, look

Connection = psycopg.Connection[Any]


def levels(findings: Iterator[Finding] | list[Finding]) -> list[tuple[str, str]]:
    """Return what was found, as name and level."""
    return [(finding.name, str(finding.level)) for finding in findings]


def test_every_configuration_problem_is_a_line() -> None:
    """All of them at once, and exit 78."""
    environ = {"JOBSYNC_ENCRYPTION_KEY": "short", "JOBSYNC_SRI_URL": "ftp://x", "JOBSYNC_LOG_FORMAT": "loud"}
    settings, found = doctor.check_configuration(lambda: load_settings(environ))

    assert settings is None
    assert 3 == len(found)
    assert ExitCode.CONFIGURATION is doctor.exit_code_of(found)


def test_a_variable_that_is_nearly_one_of_ours_is_named() -> None:
    """One that resembles none is somebody else's."""
    environ = {"JOBSYNC_DATABASE_URI": "x", "JOBSYNC_STORAGE": "/srv", "JOBSYNC_CI": "1", "JOBSYNC_CONFIG": "/x"}
    [found] = doctor.check_names(environ)

    assert "warning" == found.level
    assert ("JOBSYNC_DATABASE_URI" in found.text, "JOBSYNC_DATABASE_URL" in (found.what_to_do or "")) == (True, True)


def test_a_mistake_with_a_cure_is_one_line_with_the_cure() -> None:
    """The command that opens a file is what to do, not another mistake."""

    def refuse() -> Settings:
        raise ConfigurationProblem("configuration: …", problems=["key: closed; as root: chmod 0640 key", "a; b"])

    found = [(each.text, (each.what_to_do or "")[:8]) for each in doctor.check_configuration(refuse)[1]]

    assert [("key: closed", "as root:"), ("a; b", "mend the")] == found


@pytest.mark.parametrize(("ping", "words"), [(None, "nobody is told of failures"), ("http://127.0.0.1/p", "only who")])
def test_without_a_channel_a_ping_tells_that_something_failed(tmp_path: Path, ping: str | None, words: str) -> None:
    """It is no channel, and not nobody either."""
    found = next(doctor.check_alerts(Settings(ping_url=ping), {"STATE_DIRECTORY": str(tmp_path)}))

    assert ("warning", words) == (found.level, found.text[: len(words)])
    assert (found.what_to_do or "").startswith("set JOBSYNC_SMTP_URL and JOBSYNC_ALERT_TO")


def test_a_database_in_order(database: Database, database_url: str) -> None:
    """Server, clock, schema, rights, locks."""
    engine, found = doctor.check_database(Settings(database_url=database_url), lambda: database)

    assert engine is not None
    names = ("database", "clock", "schema", "rights", "locks")
    assert [(name, "ok") for name in names] == levels(found)


def test_the_doctor_asks_of_settings_what_health_asks(database: Database, connection: Connection) -> None:
    """A stored value that cannot be read is a problem to both; that the files can be read is another sentence."""

    def found() -> list[Finding]:
        with database.engine().connect() as opened:
            return list(doctor.check_settings(opened, WATCHED))

    assert [("settings", "ok")] == levels(found())
    connection.execute("UPDATE system_settings SET value = '0 26 * * *' WHERE key = 'easycar_sync_cron'")
    number = add_dealership(connection)
    connection.execute("UPDATE dealerships SET timezone = 'Sydney' WHERE id = %s", [number])

    with database.engine().connect() as opened:
        problems = [each for each in judge_health(look(opened)).problems if each.kind == "settings"]
    assert 2 == len(problems)
    assert [each.text for each in problems] == [each.text for each in found()]
    assert [("settings", "problem")] * 2 == levels(found())
    _, [configuration] = doctor.check_configuration(Settings)
    assert "setting" not in configuration.text


def test_what_health_could_not_do_is_a_warning(database: Database, connection: Connection) -> None:
    """Rows that stay and addresses that take no mail, while they last."""
    for subject, kind, words in (("prune on a", "prune", "rows stay"), ("mail on a", "mail", "o•••@h is refused")):
        connection.execute(
            "INSERT INTO alerts (subject, kind, opened_at, text) VALUES (%s, %s, now(), %s)",
            [subject, kind, words],
        )
    connection.execute("INSERT INTO alerts (subject, kind, opened_at, closed_at) VALUES ('m', 'mail', now(), now())")
    with database.engine().connect() as opened:
        found = list(doctor.check_upkeep(opened))

    assert [("old rows", "warning"), ("alerts", "warning")] == levels(found)
    assert ["rows stay", "o•••@h is refused"] == [finding.text for finding in found]


def test_a_database_away_is_69() -> None:
    """Nobody listens."""
    url = f"postgresql://127.0.0.1:{free_port()}/x"
    engine, found = doctor.check_database(Settings(database_url=url), lambda: Database(url))

    assert engine is None
    assert ["database"] == [finding.name for finding in found]
    assert found[0].text.startswith("connection failed: ")
    assert ExitCode.UNAVAILABLE is doctor.exit_code_of(found)


def test_a_database_without_our_tables(empty_url: str) -> None:
    """The command that mends it."""
    database = Database(empty_url)
    engine, found = doctor.check_database(Settings(database_url=empty_url), lambda: database)
    database.close()

    assert engine is None
    assert ["jobsync db upgrade"] == [finding.what_to_do for finding in found if finding.name == "schema"]
    assert ExitCode.CONFIGURATION is doctor.exit_code_of(found)


def test_a_missing_view_is_named(database: Database, database_url: str, connection: Connection) -> None:
    """What is due is asked of views: without one nothing would run."""
    connection.execute("DROP VIEW due_rides")
    _, found = doctor.check_database(Settings(database_url=database_url), lambda: database)

    [schema] = [finding for finding in found if finding.name == "schema"]
    assert ("problem", True) == (schema.level, "view due_rides" in schema.text)


def test_missing_rights_are_named(database: Database, database_url: str, connection: Connection) -> None:
    """A role that may read but not write."""
    name = f"reader_{os.getpid()}"
    connection.execute(f"CREATE ROLE {name} LOGIN".encode())
    try:
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}".encode())
        url = database_url.replace("postgresql://jobsync@", f"postgresql://{name}@")
        other = Database(url)
        _, found = doctor.check_database(Settings(database_url=url), lambda: other)
        other.close()
    finally:
        connection.execute(f"DROP OWNED BY {name}".encode())
        connection.execute(f"DROP ROLE {name}".encode())

    [rights] = [finding for finding in found if finding.name == "rights"]
    assert "problem" == rights.level
    assert "alerts, audit, " in rights.text
    assert " more" in rights.text
    assert rights.text.count(",") < 5
    assert f" TO {name}" in (rights.what_to_do or "")


@pytest.mark.parametrize(("readable", "level"), [(True, "ok"), (False, "problem")])
def test_the_key_is_tried_on_every_credential(
    database: Database, connection: Connection, readable: bool, level: str
) -> None:
    """Whose credentials cannot be read is named."""
    number = add_dealership(connection)

    def decrypt(_stored: str, _place: Place) -> None:
        if not readable:
            raise JobsyncError("wrong key")

    with database.engine().connect() as opened:
        found = next(check_key(opened, decrypt))

    assert level == found.level
    assert readable or f"dealership {number}" in found.text
    assert readable or ExitCode.CONFIGURATION is doctor.exit_code_of([found])


@pytest.mark.parametrize(
    ("needed", "words", "what"),
    [
        (True, "still needed for the credentials of dealership", "rotate-key"),
        (False, "nothing needs it", "take it out"),
    ],
)
def test_a_previous_key_is_a_warning_while_it_is_set(
    database: Database, connection: Connection, needed: bool, words: str, what: str
) -> None:
    """What to do first, and that it can go then: an old key that stays is a second one to lose."""
    add_dealership(connection)

    def current(_stored: str, _place: Place) -> None:
        if needed:
            raise JobsyncError("wrong key")

    with database.engine().connect() as opened:
        first, *_, last = check_key(opened, lambda _stored, _place: None, current)

    assert [("encryption key", "ok"), ("previous key", "warning")] == levels([first, last])
    assert words in last.text
    assert what in (last.what_to_do or "")


def test_credentials_that_are_bound_to_nothing_are_counted(database: Database, connection: Connection) -> None:
    """Those of the program that was replaced, until they are bound, which needs no other key."""
    bound, unbound = add_dealership(connection), add_dealership(connection)
    connection.execute("UPDATE easycar_credentials SET account_secret_encrypted = 'v2:' || dealership_id || ':x'")
    sealed = "'v2:' || dealership_id || ':x'"
    connection.execute(
        f"UPDATE easycar_credentials SET client_id_encrypted = {sealed}, client_secret_encrypted = {sealed},"
        f" account_number_encrypted = {sealed} WHERE dealership_id = %s",
        [bound],
    )
    with database.engine().connect() as opened:
        _, found = check_key(opened, lambda _stored, _place: None)

    assert ("warning", "1 credential ") == (found.level, found.text[: len("1 credential ")])
    assert f"dealership {unbound}" in found.text
    assert "jobsync credentials rotate-key" in (found.what_to_do or "")


def test_the_field_that_cannot_be_read_is_named(database: Database, connection: Connection) -> None:
    """One field of four, such as one that was copied from elsewhere."""
    number = add_dealership(connection)

    def decrypt(_stored: str, place: Place) -> None:
        if place.field == "client_secret":
            raise JobsyncError("not its own")

    with database.engine().connect() as opened:
        [found] = check_key(opened, decrypt)

    assert ("problem", True) == (found.level, f"dealership {number} (client_secret)" in found.text)


def test_no_key_with_credentials_is_a_problem(database: Database, connection: Connection) -> None:
    """Without any, it is only a warning."""
    with database.engine().connect() as opened:
        [before] = check_key(opened, None)
        add_dealership(connection)
        [after] = check_key(opened, None)

    assert ("warning", "problem") == (before.level, after.level)


def test_files_missing_altered_and_outside(database: Database, connection: Connection, tmp_path: Path) -> None:
    """Each drawn document's file is read and compared; a path out of the root is never followed."""
    (tmp_path / "good.pdf").write_bytes(b"good")
    (tmp_path / "bad.pdf").write_bytes(b"changed")
    sha = hashlib.sha256(b"good").hexdigest()
    tenant = add_tenant(connection)
    for path in ("good.pdf", "bad.pdf", "gone.pdf", "../../etc/hostname", "good.pdf/x"):
        add_invoices(connection, tenant, 1, "authorized", ride_path=path, ride_sha256=sha, ride_generated_at="now")
    found = list(check_storage(tmp_path, database.engine(), every=True))

    assert [("storage", "ok"), ("RIDE files", "problem"), ("RIDE files", "problem")] == levels(found)
    assert found[1].text.startswith("2 files missing")
    assert found[2].text.startswith("2 files altered")
    assert "jobsync generate-ride --missing" in (found[1].what_to_do or "")


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        (None, "it has no marker"),
        ("6f1c8a52-3f5e-4b0e-9a53-0d5a1f1f6c11", "those of another database"),
        ("none", "is no marker"),
    ],
    ids=["unmarked", "another's", "spoiled"],
)
def test_a_storage_is_one_line_the_worst(
    database: Database, connection: Connection, tmp_path: Path, marker: str | None, words: str
) -> None:
    """A folder that can be written is not well while it is not this database's."""
    drawn = {"ride_path": "gone.pdf", "ride_sha256": "", "ride_generated_at": "now"}
    add_invoices(connection, add_tenant(connection), 1, "authorized", **drawn)
    if marker is not None:
        (tmp_path / MARKER).write_text(marker)
    [found] = check_storage(tmp_path, database.engine(), every=False)

    assert ("storage", Level.PROBLEM) == (found.name, found.level)
    assert words in found.text


def test_files_are_sampled_unless_all_are_asked_for(
    database: Database, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest ones; --all walks page by page."""
    monkeypatch.setattr(upkeep, "SAMPLE", 5)
    monkeypatch.setattr(store, "_PAGE", 3)
    add_invoices(
        connection, add_tenant(connection), 11, "authorized", ride_path="gone", ride_sha256="", ride_generated_at="now"
    )
    engine = database.engine()
    with connection.transaction():
        Storage(tmp_path).mark(read_database_id(connection))

    assert "5 files missing" in list(check_storage(tmp_path, engine, every=False))[1].text
    assert "11 files missing" in list(check_storage(tmp_path, engine, every=True))[1].text


def test_storage_that_is_no_folder(tmp_path: Path) -> None:
    """Not mounted, perhaps; the default one is made by the first file; and nobody has named one."""
    folder = tmp_path / "no"
    found = [
        *check_storage(folder, None, every=False),
        *check_storage(folder, None, every=False, named=False),
        *check_storage(None, None, every=False),
    ]

    assert [Level.PROBLEM, Level.OK, Level.WARNING] == [each.level for each in found]


def test_reaching_a_service() -> None:
    """It answers; nobody listens; TLS that is none; a name that is none."""
    with listener() as (_, url):
        assert "ok" == doctor.check_reach("SRI", url, {}).level
        assert "problem" == doctor.check_reach("SRI", url.replace("http://", "https://"), {}).level
    assert "problem" == doctor.check_reach("SRI", f"http://127.0.0.1:{free_port()}", {}).level
    assert "problem" == doctor.check_reach("SRI", "https://no-such-name.invalid", {}).level


def test_a_service_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake that never ends costs its deadline."""
    monkeypatch.setattr(doctor, "_REACH_WITHIN_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = doctor.check_reach("SRI", f"https://127.0.0.1:{server.getsockname()[1]}", {})

    assert "problem" == found.level


def systemd(**states: str) -> str:
    """What systemctl show prints."""
    names = ("stock-sync", "check-authorizations", "generate-ride", "health")
    blocks = []
    for name in names:
        active, enabled = states.get(name.replace("-", "_"), "active enabled").split()
        load = "not-found" if enabled == "none" else "loaded"
        blocks.append(f"Id=jobsync-{name}.timer\nLoadState={load}\nActiveState={active}\nUnitFileState={enabled}")
    return "\n\n".join(blocks)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({}, ["ok", "ok", "ok", "ok"]),
        ({"health": "inactive enabled"}, ["ok", "ok", "ok", "problem"]),
        ({"stock_sync": "active disabled"}, ["warning", "ok", "ok", "ok"]),
        ({"generate_ride": "inactive none"}, ["ok", "ok", "warning", "ok"]),
    ],
)
def test_timers(states: dict[str, str], expected: list[str]) -> None:
    """Installed, running, running after the next boot too."""
    found = doctor.check_timers(Waker.UNITS, run=lambda _c: systemd(**states))

    assert expected == [str(finding.level) for finding in found]


def test_timer_that_is_off_on_purpose() -> None:
    """Where RIDE files have no place, nothing need render them."""
    states = systemd(generate_ride="inactive disabled")
    found = doctor.check_timers(Waker.UNITS, run=lambda _c: states, renders=False)

    assert ["ok"] * 4 == [str(finding.level) for finding in found]


def test_timers_of_files_that_are_configured_are_asked_for_too() -> None:
    """One that is not there is named with the command that makes it."""
    found = list(doctor.check_timers(Waker.UNITS, run=lambda _c: systemd(), also=["report"]))

    assert (5, "warning", "jobsync-report.timer is not installed") == (len(found), found[-1].level, found[-1].text)


@pytest.mark.parametrize(
    ("waker", "level", "advice"),
    [
        (Waker.CRON, "ok", None),
        (Waker.SYSTEMD, "warning", "as root: jobsync units install --enable"),
        (Waker.ABSENT, "warning", "as root: jobsync cron show > /etc/cron.d/jobsync"),
        (Waker.NOBODY, "warning", "by hand: jobsync stock-sync; timers and cron lines need JOBSYNC_DATABASE_URL="),
    ],
)
def test_without_timers_the_advice_works_here(waker: Waker, level: str, advice: str | None) -> None:
    """No systemctl without systemd, no cron line for the private database, which `cron show` refuses."""
    [found] = doctor.check_timers(waker)

    assert level == found.level
    assert (found.what_to_do or "").startswith(advice or "")
    assert "systemctl" not in (found.what_to_do or "")


def test_installed_units_are_compared() -> None:
    """As they would be written now; some differ, named briefly; and somebody who may not read them."""

    def closed() -> list[str]:
        raise JobsyncError("/etc/jobsync/config.toml cannot be read")

    same = doctor.check_units(list)
    drifted = doctor.check_units(lambda: [f"/etc/systemd/system/jobsync-{name}.timer" for name in "abcdefg"])
    unknown = doctor.check_units(closed)

    assert ["ok", "warning", "warning"] == [found.level for found in (same, drifted, unknown)]
    assert "7 installed files differ" in drifted.text
    assert drifted.text.endswith("jobsync-d.timer, jobsync-e.timer and 2 more")
    assert "jobsync units diff" in (drifted.what_to_do or "")
    assert "config.toml cannot be read" in unknown.text


def test_bytecode(tmp_path: Path) -> None:
    """Compiled or not."""
    import compileall

    (tmp_path / "a.py").write_text("x = 1\n")
    before = doctor.check_bytecode(tmp_path)
    compileall.compile_dir(tmp_path, quiet=1)

    assert ("warning", "ok") == (before.level, doctor.check_bytecode(tmp_path).level)
    assert f" {sys.executable} -m compileall " in (before.what_to_do or "")


@pytest.mark.parametrize(("free", "level"), [(10 << 30, "ok"), (1 << 30, "warning"), (1 << 20, "problem")])
def test_disk(free: int, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each device is told once."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _p: type("Usage", (), {"free": free})())
    found = list(doctor.check_disk({"a": tmp_path, "b": tmp_path / "not" / "there"}))

    assert [level] == [finding.level for finding in found]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(), [("alerts", "warning"), ("dead-man ping", "warning")]),
        (Settings(smtp_url="smtp://h"), [("alerts", "problem"), ("dead-man ping", "warning")]),
        (
            Settings(smtp_url="smtp://h", alert_to="a@b.example", ping_url="https://h/x"),
            [("alerts", "ok"), ("dead-man ping", "ok")],
        ),
    ],
)
def test_would_anybody_hear(settings: Settings, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    """Channels, ping, and where alerts are remembered."""
    found = doctor.check_alerts(settings, {"STATE_DIRECTORY": str(tmp_path)})

    assert [*expected, ("state folder", "ok")] == levels(found)
