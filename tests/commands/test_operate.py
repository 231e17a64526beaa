"""The operator's commands as a shell sees them: exit codes, one document, hostile names, pings, a database away."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync.alerts.local_file import state_folders
from jobsync.logs import visible
from jobsync.watch.views.screen import fold
from tests.commands.support import Add, Cli, Feed, Rows, cars, envelope
from tests.watch.support import (
    HOSTILE,
    add_dealership,
    add_invoices,
    add_run,
    add_tenant,
    free_port,
    listener,
    post_office,
    set_job,
)

Connection = psycopg.Connection[Any]
READING = (["status"], ["health"], ["doctor", "--offline"], ["metrics"], ["report", "-o", "-"], ["runs", "list"])


def harmless(text: str) -> bool:
    """Whether the text holds nothing that a terminal would obey."""
    return not any((ord(sign) < 32 and sign != "\n") or 0x7F <= ord(sign) < 0xA0 for sign in text)


@pytest.fixture
def hostile(connection: Connection) -> int:
    """A dealership that is long silent under the worst of names, with a failed run of the same text."""
    number = add_dealership(connection, HOSTILE, success=datetime.now(UTC) - timedelta(days=9), failed=HOSTILE)
    add_run(connection, status="failed", exit_code=1, error=HOSTILE, traceback=f"Traceback\n  {HOSTILE}",
            began=datetime.now(UTC) - timedelta(hours=1))  # fmt: skip
    set_job(connection, last_tick_at=datetime.now(UTC), skipped_by=HOSTILE, consecutive_failures=9)
    return number


@pytest.mark.parametrize("words", READING)
def test_a_hostile_name_has_no_effect(words: list[str], cli: Cli, hostile: int) -> None:
    """In every form of every command; what it says stays readable."""
    ran = cli(*words)

    assert harmless(ran.out)
    assert harmless(ran.err)
    assert not any(line.startswith("WATCHDOG") for line in ran.out.splitlines())
    if words[0] in ("status", "health", "metrics"):
        assert "X WATCHDOG=1" in ran.out


@pytest.mark.parametrize("words", [["status"], ["health"], ["doctor", "--offline"], ["runs", "list"]])
def test_json_keeps_the_name_as_it_is_or_harmless(words: list[str], cli: Cli, hostile: int) -> None:
    """One document, printable."""
    ran = cli(*words, "--json")

    assert ran.json is not None
    assert harmless(ran.out)


def test_a_trace_is_one_command_away(cli: Cli, hostile: int) -> None:
    """status names the run, runs show prints the trace."""
    [found] = [job for job in cli("status", "--json").json["jobs"] if job["job"] == "stock-sync"]
    assert "failing" == found["state"]
    ran = cli(*found["what_to_do"].split(";")[0].split()[1:])

    assert "Traceback" in ran.out
    assert harmless(ran.out)


def test_health_has_three_exit_codes(cli: Cli, connection: Connection) -> None:
    """0 fine, 3 attention, 69 the database does not answer; one document each time."""
    fine = cli("health", "--json")
    add_dealership(connection, success=datetime.now(UTC) - timedelta(days=9))
    attention = cli("health", "--json")
    away = cli("health", "--json", JOBSYNC_DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/x")

    assert [(0, "ok", 0), (3, "attention", 3), (69, "unavailable", 69)] == [
        (ran.code, ran.json["status"], ran.json["exit_code"]) for ran in (fine, attention, away)
    ]
    assert ["silence"] == [problem["kind"] for problem in attention.json["problems"]]
    assert all(problem["what_to_do"] for problem in attention.json["problems"])


@pytest.mark.parametrize("words", [["status"], ["health"], ["doctor", "--offline"], ["metrics"], ["runs", "prune"]])
def test_a_database_away_is_one_sentence(words: list[str], lookup: Cli) -> None:
    """Exit 69, never a trace."""
    ran = lookup(*words, JOBSYNC_DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/x")

    assert 69 == ran.code
    assert "Traceback" not in ran.out + ran.err
    assert "refused" in ran.out + ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status", "--window", "soon"], "--window"),
        (["status", "--window", "0h"], "--window"),
        (["status", "--watch", "--json"], "--watch"),
        (["runs", "list", "--status", "odd"], "succeeded"),
        (["runs", "list", "--since", "soon"], "--since"),
        (["report"], "-o"),
        (["alert"], "--unit"),
    ],
)
def test_what_cannot_be_meant_is_usage(words: list[str], said: str, lookup: Cli) -> None:
    """Exit 2 with what was expected."""
    ran = lookup(*words)

    assert 2 == ran.code
    assert said in ran.err


def test_looking_writes_nothing(lookup: Cli) -> None:
    """All reading commands, on a database that is compared before and after."""
    for words in READING:
        lookup(*words)


def test_runs_are_filtered(cli: Cli, connection: Connection) -> None:
    """By job, status, beginning, and whether they were clean."""
    now = datetime.now(UTC)
    old = add_run(connection, began=now - timedelta(days=3))
    bad = add_run(connection, "check-authorizations", "failed", exit_code=1, began=now - timedelta(hours=2))
    held = add_run(connection, status="held", exit_code=3, began=now - timedelta(hours=1))

    def ids(*words: str) -> list[str]:
        return [row["run_id"] for row in cli("runs", "list", "--json", *words).json]

    assert [held, bad] == ids("--failed")
    assert [bad] == ids("--status", "failed")
    assert [held, old] == ids("--status", "held", "--status", "succeeded")
    assert [held, bad] == ids("--since", "1d")
    assert [held, bad, old] == ids("--since", (now - timedelta(days=4)).date().isoformat())
    assert [held] == ids("--job", "stock-sync", "--since", (now - timedelta(days=1)).isoformat())


def test_pruning_by_hand_is_audited(cli: Cli, connection: Connection, rows: Rows) -> None:
    """What went is told and recorded; nothing to do records nothing."""
    assert "nothing is past its retention\n" == cli("runs", "prune").out
    add_run(connection, began=datetime.now(UTC) - timedelta(days=500))
    ran = cli("runs", "prune", "--json")

    assert 1 == ran.json["deleted"]["job_runs"]
    assert [("runs.prune", {"job_runs": 1})] == rows("SELECT action, details FROM audit")


def test_files_are_whole_or_not_there(cli: Cli, tmp_path: Path) -> None:
    """Written beside and renamed; a folder that is none is one sentence."""
    assert 0 == cli("metrics", "-o", str(tmp_path / "jobsync.prom")).code
    assert 0 == cli("report", "-o", str(tmp_path / "r.html")).code
    ran = cli("report", "-o", str(tmp_path / "no" / "r.html"))

    assert ["jobsync.prom", "r.html"] == sorted(path.name for path in tmp_path.iterdir())
    assert 1 == ran.code
    assert "cannot write" in ran.err


def test_a_device_or_a_link_is_written_to_and_never_replaced(cli: Cli, tmp_path: Path) -> None:
    """`-o /dev/stdout`, a pipe, a link to the real file: each is what it was afterwards."""
    pipe, link, real = tmp_path / "pipe", tmp_path / "link", tmp_path / "real"
    os.mkfifo(pipe)
    link.symlink_to(real)
    real.write_text("old")
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    codes = [cli("metrics", "-o", str(place)).code for place in (pipe, link)]
    reader.join(10)

    assert [0, 0] == codes
    assert "jobsync_up 1" in got[0]
    assert "jobsync_up 1" in real.read_text()
    assert (True, True) == (pipe.is_fifo(), link.is_symlink())
    assert 2 == cli("metrics", "-o", str(tmp_path)).code


def test_metrics_of_a_database_away_replace_the_old_ones(cli: Cli, tmp_path: Path) -> None:
    """Yesterday's numbers would look like today's."""
    file = tmp_path / "jobsync.prom"
    cli("metrics", "-o", str(file))
    ran = cli("metrics", "-o", str(file), JOBSYNC_DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/x")

    assert 69 == ran.code
    assert "jobsync_up 0" in file.read_text()
    assert "jobsync_job" not in file.read_text()


def test_settings_are_all_in_use(lookup: Cli) -> None:
    """No setting is said to be without effect."""
    assert all(row["used"] for row in lookup("settings", "list", "--json").json)
    assert "not used" not in lookup("settings", "list").out


# --- acting ----------------------------------------------------------------------------------------------------------


def test_the_health_timer_tells_and_prunes(cli: Cli, connection: Connection, tmp_path: Path, rows: Rows) -> None:
    """One mail and one webhook for what is wrong, none the second time, a recovery; old rows are gone."""
    number = add_dealership(connection, HOSTILE, success=datetime.now(UTC) - timedelta(days=9))
    add_run(connection, began=datetime.now(UTC) - timedelta(days=500))
    with post_office() as (office, port), listener() as (hook, url):
        cli.environ |= {
            "JOBSYNC_SMTP_URL": f"smtp://127.0.0.1:{port}",
            "JOBSYNC_ALERT_TO": "ops@example.org",
            "JOBSYNC_ALERT_WEBHOOK": f"{url}/hook",
            "STATE_DIRECTORY": str(tmp_path),
        }
        first, second = cli("health", "--act", "--json"), cli("health", "--act", "--json")
        rows(f"UPDATE sync_schedule SET last_success_at = now() WHERE dealership_id = {number} RETURNING 1")
        third = cli("health", "--act", "--json")

    assert [3, 3, 0] == [first.code, second.code, third.code]
    assert {"job_runs": 1} == first.json["pruned"]
    assert ["problem", "recovered"] == [mail["Subject"].split("] ")[1].split(":")[0] for mail in office.mails]
    assert [["firing"], ["resolved"]] == [[a["status"] for a in each["alerts"]] for each in hook.documents]
    assert [(1, 1)] == rows("SELECT count(*), count(closed_at) FROM alerts")


def test_a_failing_unit_while_the_database_is_away(cli: Cli, tmp_path: Path) -> None:
    """It is counted and told all the same; the exit code says that the database is away."""
    cli.environ |= {
        "STATE_DIRECTORY": str(tmp_path),
        "JOBSYNC_DATABASE_URL": f"postgresql://u@127.0.0.1:{free_port()}/x",
    }
    ran = cli("alert", "--unit", "jobsync-stock-sync.service", "--json")

    assert (69, "away", True) == (ran.code, ran.json["database"], ran.json["sent"])
    assert json.loads((tmp_path / "alerts.json").read_text())["alerts"]


def test_a_failing_unit_with_nothing_but_its_name(cli: Cli, tmp_path: Path) -> None:
    """The configuration is broken, the database is away, nobody is configured: still no trace, and it is counted."""
    cli.environ |= {"STATE_DIRECTORY": str(tmp_path), "JOBSYNC_ENCRYPTION_KEY": "broken", "MONITOR_EXIT_STATUS": "78"}
    ran = cli("alert", "--unit", "jobsync-stock-sync.service")

    assert 78 == ran.code
    assert "nobody is told" in ran.err
    [noted] = json.loads((tmp_path / "alerts.json").read_text())["alerts"]
    assert "JOBSYNC_ENCRYPTION_KEY" in noted["text"]


@pytest.mark.parametrize("text", ["htps://hooks.example/services/token-token-token", "https://["])
def test_a_mistyped_address_is_named_and_the_others_are_told(cli: Cli, tmp_path: Path, text: str) -> None:
    """78: not everybody was told. The address itself, which is a secret, is nowhere."""
    with post_office() as (office, port):
        cli.environ |= {
            "JOBSYNC_SMTP_URL": f"smtp://127.0.0.1:{port}",
            "JOBSYNC_ALERT_TO": "ops@example.org",
            "STATE_DIRECTORY": str(tmp_path),
            "JOBSYNC_ALERT_WEBHOOK": text,
        }
        *_, ran = [cli("alert", "--unit", "jobsync-stock-sync.service", "--json") for _ in range(5)]

    assert (78, 1) == (ran.code, len(office.mails))
    assert "JOBSYNC_ALERT_WEBHOOK: " in ran.json["not_sent"][0]
    assert "not everybody can be told: JOBSYNC_ALERT_WEBHOOK: " in ran.err
    assert "token-token" not in ran.out + ran.err


def test_a_mistyped_mail_server_is_one_mistake(cli: Cli, tmp_path: Path) -> None:
    """That the address stands without its server follows from it; nor is anybody asked to set what is set."""
    cli.environ |= {
        "JOBSYNC_SMTP_URL": "smpt://ops:hunter2-secret@mail.example",
        "JOBSYNC_ALERT_TO": "ops@example.org",
        "STATE_DIRECTORY": str(tmp_path),
    }
    ran = cli("alert", "--unit", "jobsync-stock-sync.service", "--json")

    assert 78 == ran.code
    assert ["JOBSYNC_SMTP_URL: expected smtp://… or smtps://… (jobsync doctor)"] == ran.json["not_sent"]
    assert "nobody is told" not in ran.err
    assert "hunter2" not in ran.out + ran.err


def test_a_state_folder_that_cannot_be_written_is_no_obstacle(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    """The message goes out, and the table remembers it."""
    connection.execute("UPDATE system_settings SET value = '1' WHERE key = 'alert_after_failures'")
    (tmp_path / "file").write_text("")
    with post_office() as (office, port):
        cli.environ |= {
            "JOBSYNC_SMTP_URL": f"smtp://127.0.0.1:{port}",
            "JOBSYNC_ALERT_TO": "ops@example.org",
            "STATE_DIRECTORY": str(tmp_path / "file"),
        }
        for _ in range(3):
            assert 0 == cli("alert", "--unit", "jobsync-stock-sync.service").code
    shutil.rmtree(state_folders(cli.environ)[-1], ignore_errors=True)

    assert 1 == len(office.mails)


# --- the dead-man ping -----------------------------------------------------------------------------------------------


def make_due(cli: Cli, rows: Rows) -> None:
    """The first tick computes the slots; then they have come."""
    cli("stock-sync", "--scheduled")
    rows("UPDATE sync_schedule SET next_at = now() - interval '1 minute' RETURNING 1")


@pytest.mark.parametrize(("answer", "code", "told"), [(cars("A"), 0, "/p/0"), (envelope(7, message="no"), 1, "/p/1")])
def test_a_scheduled_run_that_had_work_is_announced(
    answer: Any, code: int, told: str, cli: Cli, feed: Feed, add: Add, rows: Rows
) -> None:
    """Start, then its exit code, with the run's id and its summary; the idle tick after it says nothing."""
    add("Good", "G")
    feed.answers = {"G": answer}
    make_due(cli, rows)
    with listener() as (hook, url):
        cli.environ["JOBSYNC_PING_URL"] = f"{url}/p"
        ran = cli("stock-sync", "--scheduled", "--json")
        cli("stock-sync", "--scheduled")

    assert code == ran.code
    assert ["/p/start", told] == hook.paths
    assert all(path.endswith(f"rid={ran.json['run_id']}") for path, _ in hook.got)
    assert hook.got[1][1].decode().startswith(f"{ran.json['status']}: 1 dealerships, ")


def test_hand_runs_and_dry_runs_ping_nobody(cli: Cli, feed: Feed, add: Add) -> None:
    """Only what the timers woke proves that they do."""
    add("Good", "G")
    feed.answers = {"G": cars("A")}
    with listener() as (hook, url):
        cli.environ["JOBSYNC_PING_URL"] = f"{url}/p"
        cli("stock-sync")
        cli("stock-sync", "--scheduled", "--dry-run")

    assert [] == hook.got


def test_a_ping_that_fails_changes_no_exit_code(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """Its host and token are not told either."""
    add("Good", "G")
    feed.answers = {"G": cars("A")}
    make_due(cli, rows)
    cli.environ["JOBSYNC_PING_URL"] = f"http://127.0.0.1:{free_port()}/tokentokentoken"
    ran = cli("stock-sync", "--scheduled")

    assert 0 == ran.code
    assert "ping.not_sent" in ran.err
    assert "tokentoken" not in ran.err


@pytest.mark.parametrize(("address", "expected"), [("p/{job}", ["/p/health", "/p/health/fail"]), ("p", [])])
def test_the_health_timer_pings_where_each_job_has_its_own_switch(
    address: str, expected: list[str], cli: Cli, connection: Connection, tmp_path: Path
) -> None:
    """Once well, once not; with one address for all it keeps still."""
    with listener() as (hook, url):
        cli.environ |= {"JOBSYNC_PING_URL": f"{url}/{address}", "STATE_DIRECTORY": str(tmp_path)}
        cli("health", "--act")
        add_dealership(connection, success=datetime.now(UTC) - timedelta(days=9))
        cli("health", "--act")

    assert expected == hook.paths


# --- the screen ------------------------------------------------------------------------------------------------------


def test_watch_shows_again_and_ends_on_interrupt(environ: dict[str, str], hostile: int) -> None:
    """Ctrl-C is how it ends: exit 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jobsync", "status", "--watch", "--every", "0.5"],
        env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    screens = 0
    while screens < 2:
        line = process.stdout.readline()
        assert line, process.communicate()
        screens += line.startswith("stock-sync            ")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert (0, "") == (process.returncode, err)


@pytest.mark.parametrize("rows", [4, 12, 200])
def test_watch_counts_what_does_not_fit(
    cli: Cli, connection: Connection, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """No line goes missing in silence; on a screen that holds all there is nothing to say."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    add_dealership(connection)
    whole = len(cli("status").out.splitlines())
    screen = Terminal()
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("LINES", str(rows))
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr("jobsync.wiring.Tools.wait", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    cli("status", "--watch")
    shown = re.sub(r"\x1b\[[0-9;]*[mHJ]", "", screen.getvalue()).rstrip("\n").split("\n")
    told = re.findall(r"\.\.\. (\d+) more lines; enlarge the terminal or run jobsync status", shown[-1])

    if rows == 200:
        assert (whole, []) == (len(shown), told)
    else:
        assert ([str(whole - len(shown) + 1)], True) == (told, len(shown) <= max(4, rows - 1))


def test_success_of_named_dealerships_is_not_that_of_the_job(cli: Cli, connection: Connection) -> None:
    """The last run may have succeeded, and a whole one never."""
    add_dealership(connection)
    add_run(connection, trigger="manual", began=datetime.now(UTC) - timedelta(minutes=5))
    connection.execute("INSERT INTO jobs (name) VALUES ('stock-sync')")

    assert "last run by hand succeeded, 5 min ago, 30 s; success of a whole run never" in cli("status").out


def on_a_terminal(environ: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Return the exit code of a command, and what it sent to a pseudo terminal."""
    import pty

    reader, writer = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "jobsync", *arguments], env=environ, stdout=writer, stderr=writer)
    os.close(writer)
    parts = []
    while True:
        try:
            part = os.read(reader, 4096)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(reader)
    return process.wait(20), b"".join(parts).decode().replace("\r", "")


def test_a_terminal_gets_colours_and_no_markup(environ: dict[str, str], hostile: int) -> None:
    """Through a pseudo terminal: our own colours only; [red] in a name is text."""
    code, out = on_a_terminal({**environ, "COLUMNS": "200"}, "status")

    assert 0 == code
    assert "\x1b[1;31m" in out
    assert visible(HOSTILE) in out


def test_no_color_is_heeded(environ: dict[str, str], hostile: int) -> None:
    """Bold and dim stay, as https://no-color.org has it."""
    _, out = on_a_terminal({**environ, "NO_COLOR": "1"}, "status")

    assert re.search(r"\x1b\[1m", out)
    assert not re.search(r"\x1b\[[\d;]*3\dm", out)


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_a_line_is_broken_where_it_may_be(columns: int) -> None:
    """Prose between words, below its beginning; advice between its commands, each of which can be copied."""
    name, advice = "  why    " + "word " * 40, "         do     jobsync runs show 1a; " + "jobsync invoice show 1 " * 3
    prose = list(fold(("", name.rstrip()), columns))

    assert all(len(text) <= columns and text.startswith("  ") for _, text in prose)
    assert name.split() == " ".join(text for _, text in prose).split()
    parts = ["         do     jobsync runs show 1a", " " * 16 + "jobsync invoice show 1 " * 3]
    assert (parts if columns < len(advice) else [advice]) == [text for _, text in fold(("bold", advice), columns)]


def test_what_needs_attention_and_is_no_job_stands_on_the_screen(cli: Cli, add: Add, rows: Rows) -> None:
    """`1 needs attention` is followed by what and what to do, whatever it is; doctor agrees."""
    add("Northside", "N")
    rows("UPDATE system_settings SET value = '0 26 * * *' WHERE key = 'easycar_sync_cron' RETURNING 1")

    screen = cli("status").out

    assert "1 needs attention" in screen
    assert "settings     the setting easycar_sync_cron cannot be read: '0 26 * * *' cannot be used (Bad hour)" in screen
    assert "its default: jobsync settings set easycar_sync_cron '0 2 * * *'" in screen
    doctor = cli("doctor", "--offline")
    assert 3 == doctor.code
    assert "PROBLEM  settings: the setting easycar_sync_cron cannot be read" in doctor.out


def test_a_cron_of_one_dealership_that_cannot_be_read_stands_on_every_screen(cli: Cli, add: Add, rows: Rows) -> None:
    """Once on the screen: in its own line."""
    number = add("Northside", "N")
    rows(
        "INSERT INTO dealership_settings (dealership_id, sync_cron) VALUES (1, 'often') ON CONFLICT (dealership_id)"
        " DO UPDATE SET sync_cron = 'often' RETURNING 1"
    )

    screen = cli("status").out

    assert 1 == screen.count("'often'")
    assert f"do     jobsync dealership schedule {number} '0 2 * * *' (or --default)" in screen
    assert 3 == cli("health").code
    assert 3 == cli("doctor", "--offline").code


@pytest.mark.parametrize(
    "arguments", [("settings", "set", "easycar_sync_cron", "0 3 31 2 *"), ("dealership", "schedule", "1", "0 3 31 2 *")]
)
def test_a_cron_that_never_comes_is_refused_for_that(cli: Cli, add: Add, arguments: tuple[str, ...]) -> None:
    """It has five fields; February has no 31st."""
    add("Northside", "N")
    ran = cli(*arguments)

    assert 2 == ran.code
    assert "'0 3 31 2 *' cannot be used (it never comes)" in ran.err


def test_prune_tried_out_and_broken_off(
    cli: Cli, connection: Connection, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--dry-run counts by table and writes nothing; after Ctrl-C (130) what is said to be gone is what went."""
    for _ in range(3):
        add_run(connection, began=datetime.now(UTC) - timedelta(days=500))
        connection.execute("INSERT INTO alerts (subject, kind, closed_at) VALUES ('s', 'k', now() - interval '500 d')")
    tried, told = cli("runs", "prune", "--dry-run", "--json"), cli("runs", "prune", "--dry-run")
    before = rows("SELECT (SELECT count(*) FROM job_runs), (SELECT count(*) FROM audit)")
    monkeypatch.setattr("jobsync.cli.runs.stop_noted", lambda: signal.SIGINT)

    broken = cli("runs", "prune", "--json")
    monkeypatch.undo()
    rest = cli("runs", "prune", "--json")

    assert (0, True) == (tried.code, tried.json["dry_run"])
    assert (3, 3) == (tried.json["deleted"]["job_runs"], tried.json["deleted"]["alerts"])
    assert told.out.startswith("nothing was written; past retention: ")
    assert [(3, 0)] == before
    assert (130, True) == (broken.code, broken.json["interrupted"])
    assert {"job_runs": 3, "alerts": 3} == {
        table: broken.json["deleted"][table] + rest.json["deleted"][table] for table in ("job_runs", "alerts")
    }


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dealership", "999"), "no dealership 999"),
        (("--tenant", "1790012345001"), "no tenant 1790012345001"),
        (("--dealership", "1", "--tenant", "1790012345001"), "one of them"),
    ],
)
def test_a_page_about_nobody_is_refused(
    arguments: tuple[str, ...], said: str, cli: Cli, connection: Connection, tmp_path: Path
) -> None:
    """Exit 2, and no file."""
    add_dealership(connection)
    ran = cli("report", "-o", str(tmp_path / "page.html"), *arguments)

    assert (2, True, False) == (ran.code, said in ran.err, (tmp_path / "page.html").exists())


def test_a_page_about_one_dealership_tells_of_no_other(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    """Its standing, its syncs and its alerts."""
    first = add_dealership(connection, "Wanted Motors", failed="the account is not known")
    add_dealership(connection, "Another Yard", failed="quite another thing")
    for number, text in ((first, "it is told"), (first + 1, "that is told")):
        connection.execute(
            "INSERT INTO alerts (subject, kind, text) VALUES (%s, 'failing', %s)", [f"dealership {number}", text]
        )
    connection.execute("UPDATE easycar_sync_logs SET synced_at = now()")
    page = tmp_path / "page.html"
    ran = cli("report", "-o", str(page), "--dealership", str(first))
    text = page.read_text()

    assert (0, 0o640) == (ran.code, page.stat().st_mode & 0o777)
    assert all(words in text for words in ("Wanted Motors", "the account is not known", "it is told"))
    assert not any(words in text for words in ("Another Yard", "quite another thing", "that is told"))


def test_a_page_about_one_tenant_tells_of_its_documents(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    """Those about which something was learnt, and of no other tenant's."""
    mine = add_tenant(connection, name="Mine S.A.")
    other = add_tenant(connection, "1790012352001", "Other S.A.")
    add_invoices(connection, mine, 2)
    add_invoices(connection, other, 2)
    connection.execute("UPDATE invoices SET updated_at = now()")
    keys = [[row[0] for row in connection.execute("SELECT access_key FROM invoices WHERE tenant_id = %s", [tenant])]
            for tenant in (mine, other)]  # fmt: skip
    page = tmp_path / "page.html"
    assert 0 == cli("report", "-o", str(page), "--tenant", "1790012345001").code
    text = page.read_text()

    assert "Other S.A." not in text
    assert [2, 0] == [sum(key in text for key in of) for of in keys]
