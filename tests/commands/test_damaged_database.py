"""A database that somebody damaged or set up oddly: one sentence, no traceback."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from jobsync import logs
from jobsync.cli import database as database_command
from jobsync.upkeep import doctor
from jobsync.wiring import database as opened
from tests.commands.support import Add, Cli, Feed, Rows, cars, plain
from tests.conftest import url_of
from tests.watch.support import add_run

Connection = psycopg.Connection[Any]
READING = (("status",), ("health",), ("metrics",), ("runs", "list"), ("report", "-o", "-"))


# --- the database ----------------------------------------------------------------------------------------------------


@pytest.fixture
def ascii_url(server_url: str) -> Iterator[str]:
    """A database as plain createdb makes it where initdb ran under LANG=C."""
    name = f"ascii_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0".encode()
        )
        yield url_of(server_url, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.parametrize("arguments", [("db", "upgrade"), ("status",), ("stock-sync",), ("doctor", "--offline")])
def test_a_database_of_another_encoding_is_refused_with_the_command(
    arguments: tuple[str, ...], ascii_url: str, lookup: Cli
) -> None:
    """SQL_ASCII holds no text, only bytes."""
    ran = lookup(*arguments, JOBSYNC_DATABASE_URL=ascii_url)

    plain(ran, 78, "its encoding is SQL_ASCII", "createdb -E UTF8 -T template0")


def test_another_client_encoding_changes_nothing(database_url: str, cli: Cli, connection: Connection) -> None:
    """Neither the URL's nor the role's counts."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO dealerships (name) VALUES ('Peñaherrera 東')")
    ran = cli("dealership", "list", "--json", JOBSYNC_DATABASE_URL=f"{database_url}&client_encoding=latin1")

    assert "Peñaherrera 東" == ran.json[0]["name"]


@pytest.mark.parametrize("setting", ["datestyle = 'German, DMY'", "intervalstyle = 'sql_standard'"])
@pytest.mark.parametrize("arguments", [("doctor", "--offline"), ("status",), ("runs", "list")])
def test_styles_of_the_database_are_not_ours(
    setting: str, arguments: tuple[str, ...], cli: Cli, connection: Connection
) -> None:
    """An instant is read the same, however this database likes to write it."""
    add_run(connection, began=datetime.now(UTC))
    connection.execute(f"ALTER DATABASE {connection.info.dbname} SET {setting}".encode())
    ran = cli(*arguments)

    assert "Traceback" not in ran.err
    assert ran.code in (0, 3)


@pytest.mark.parametrize("arguments", [("status",), ("doctor", "--offline"), ("stock-sync",), ("alert", "--unit", "u")])
@pytest.mark.parametrize("name", ["JOBSYNC_DATABASE_URL", "JOBSYNC_LOCK_DATABASE_URL"])
def test_a_password_with_a_bracket_is_libpqs_to_read(name: str, arguments: tuple[str, ...], lookup: Cli) -> None:
    """Python's reader of URLs takes it for the beginning of an address; it stays secret all the same."""
    ran = lookup(*arguments, **{name: "postgresql://u:se[cret-1@127.0.0.1:1/x"})

    assert "Traceback" not in ran.err
    assert "se[cret-1" not in ran.err + ran.out
    assert "se[cret-1" not in logs.visible("FATAL: se[cret-1")
    assert ran.code in (0, 69)


@pytest.mark.parametrize(
    "counts", ["[]", "7", '"x"', "null", '{"eligible": "all", "failed": []}', "[" * 3000 + "]" * 3000]
)
def test_a_run_may_have_counted_anything(counts: str, cli: Cli, connection: Connection) -> None:
    """One strange row hides none of the others."""
    run = add_run(connection, began=datetime.now(UTC))
    connection.execute("UPDATE job_runs SET counts = %s", [counts])
    connection.execute(
        "INSERT INTO job_items (run_id, item_key, status, counts) VALUES (%s, 'a', 'success', %s)", [run, counts]
    )
    for arguments in (*READING, ("runs", "list", "--json"), ("runs", "show", str(run)), ("status", "--json")):
        ran = cli(*arguments)

        assert "Traceback" not in ran.err
        assert ran.code in (0, 3)


@pytest.mark.parametrize("details", ["[]", "7", "null", '{"ripe": [1], "text": {"a": 1}}', "1" + "0" * 5000])
def test_an_alert_may_hold_anything(details: str, cli: Cli, connection: Connection, tmp_path: Path) -> None:
    """The reading commands and the acting one go on."""
    connection.execute("INSERT INTO alerts (subject, kind, details) VALUES ('x', 'unit', %s)", [details])
    for arguments in (*READING, ("health", "--act")):
        ran = cli(*arguments, STATE_DIRECTORY=str(tmp_path))

        assert "Traceback" not in ran.err
        assert ran.code in (0, 3)


@pytest.mark.parametrize("table", ["job_runs", "system_settings", "jobsync_schema_version"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("health",),
        ("health", "--act"),
        ("metrics",),
        ("runs", "list"),
        ("db", "status"),
        ("doctor", "--offline"),
    ],
)
def test_who_locks_a_table_is_named(
    table: str,
    arguments: tuple[str, ...],
    cli: Cli,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits without limit or word behind a transaction that somebody forgot."""
    for module in (opened, doctor, database_command):
        monkeypatch.setattr(module, "LOCK_WITHIN_S", 0.1)
    if table != "jobsync_schema_version" and arguments[0] in ("runs", "db", "doctor"):
        table = {"runs": "job_runs", "db": "jobsync_schema_version", "doctor": "easycar_credentials"}[arguments[0]]
    with psycopg.connect(database_url, application_name="forgotten psql") as other:
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        pid = other.info.backend_pid
        ran = cli(*arguments, STATE_DIRECTORY=str(tmp_path))

    plain(ran, 69, f"table {table} is locked", f"backend {pid} (forgotten psql")
    assert ("jobsync_up 0" in ran.out) == (arguments == ("metrics",))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("DROP TABLE sri_events CASCADE", "sri_events"),
        ("ALTER TABLE job_runs DROP COLUMN error", "error"),
        ("ALTER TABLE job_runs DROP COLUMN started_at CASCADE", "started_at"),
    ],
)
def test_a_damaged_schema_is_named_as_such(damage: str, named: str, cli: Cli, connection: Connection) -> None:
    """The right version number does not make a schema whole; the doctor says what is missing."""
    connection.execute(damage.encode())
    for arguments in (("status",), ("health",), ("metrics",), ("report", "-o", "-"), ("runs", "prune")):
        if arguments == ("runs", "prune") and "error" == named:
            continue  # it reads no such column
        ran = cli(*arguments)

        plain(ran, 78, "the schema is damaged", named, "jobsync doctor")
        assert ("jobsync_up 0" in ran.out) == (arguments == ("metrics",))
    plain(cli("doctor", "--offline"), 78, "damaged", f"{named} missing")


def test_a_damaged_schema_under_a_tick_is_named_as_such(cli: Cli, connection: Connection) -> None:
    """Also to a job."""
    connection.execute("DROP FUNCTION jobsync_tick(text)")

    plain(cli("stock-sync", "--scheduled"), 78, "the schema is damaged", "jobsync_tick")


def test_an_open_alert_is_shown_also_where_no_job_is_in_use(cli: Cli, connection: Connection) -> None:
    """Somebody was told of it."""
    connection.execute("INSERT INTO alerts (subject, kind, notified_at) VALUES ('x', 'failures', now())")

    assert "1 open, 1 told" in cli("status").out


def test_all_is_not_well_above_a_job_that_fails(cli: Cli, connection: Connection) -> None:
    """Also where there is no dealership (any more) that could be silent."""
    add_run(connection, began=datetime.now(UTC) - timedelta(minutes=5), status="failed", exit_code=1)
    out = cli("status").out

    assert "stock-sync            FAILING" in out
    assert "all is well" not in out


def test_an_unreadable_setting_is_said_once(cli: Cli, connection: Connection) -> None:
    """A command reads its settings many times; its log is read by people."""
    connection.execute(
        "INSERT INTO system_settings (key, value) VALUES ('alert_queue_length', 'many'), ('sri_check_enabled', 'maybe')"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
    ran = cli("health")

    assert 2 == ran.err.count("settings.unreadable")


def test_pruning_says_what_an_own_constraint_keeps(cli: Cli, connection: Connection) -> None:
    """The other rows go."""
    kept, _ = (add_run(connection, began=datetime(2020, 1, day, tzinfo=UTC)) for day in (1, 2))
    connection.execute("CREATE TABLE notes (run uuid REFERENCES job_runs (id))")
    connection.execute("INSERT INTO notes VALUES (%s)", [kept])
    ran = cli("runs", "prune")

    plain(ran, 3, "deleted 1 of job_runs", "job_runs: 1 row past retention", "notes_run_fkey on table notes")
    assert [(kept,)] == connection.execute("SELECT id::text FROM job_runs").fetchall()
    acted = cli("health", "--act")
    assert "Traceback" not in acted.err
    assert "notes_run_fkey on table notes" in acted.err


def test_runs_of_a_job_that_does_not_exist_are_refused(cli: Cli) -> None:
    """A mistyped name is no empty list."""
    ran = cli("runs", "list", "--job", "nope")

    assert (ran.code, "none of stock-sync" in ran.err) == (2, True)
    assert cli("runs", "list", "--failed").out == "no such runs\n"


# --- a line that is cut ----------------------------------------------------------------------------------------------


@contextmanager
def cut_after_commit(url: str, sign: bytes) -> Iterator[str]:
    """Lead to the database of `url`; the first transaction that says `sign` is committed, and its answer lost."""
    given = conninfo_to_dict(url)
    lost = threading.Event()

    def pump(source: socket.socket, target: socket.socket, line: dict[str, bool], *, up: bool) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(65536):
                line["said"] = line["said"] or (up and sign in data)
                line["ending"] = line["ending"] or (up and line["said"] and b"COMMIT" in data)
                if not up and line["ending"] and not lost.is_set():
                    lost.set()
                    source.shutdown(socket.SHUT_RDWR)
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(f"{given['host']}/.s.PGSQL.{given['port']}")
                line = {"said": False, "ending": False}
                for ends, up in (((client, server), True), ((server, client), False)):
                    threading.Thread(target=pump, args=[*ends, line], kwargs={"up": up}, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=[listener], daemon=True).start()
        port = listener.getsockname()[1]
        yield f"postgresql://{given['user']}@127.0.0.1:{port}/{given['dbname']}?sslmode=disable&gssencmode=disable"
        listener.shutdown(socket.SHUT_RDWR)
    assert lost.is_set()


def test_a_night_whose_commit_nobody_heard_is_no_failure(
    cli: Cli, add: Add, feed: Feed, rows: Rows, database_url: str
) -> None:
    """The line is cut after the server wrote it and before it could say so: one line in the log, and it is right."""
    add("A", "A")
    feed.answers["A"] = cars("1", "2")
    with cut_after_commit(database_url, b"items_processed") as url:
        ran = cli("stock-sync", "--json", JOBSYNC_DATABASE_URL=url, JOBSYNC_LOCK_DATABASE_URL=database_url)

    assert (0, "succeeded", 2) == (ran.code, ran.json["status"], ran.json["items"][0]["created"])
    assert [("Success", 2)] == rows("SELECT status, created FROM easycar_sync_logs")
    assert [("success",)] == rows("SELECT status FROM job_items")
    assert "item.commit_unheard" in ran.err
