"""jobsync alerts, and what health and alert tell: each cause with a remedy that works, each end as its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from freezegun import freeze_time

from jobsync.db.causes import LoginRefused
from jobsync.db.migrate import HEAD
from tests.commands.support import Add, Cli, Feed, Rows, envelope
from tests.watch.support import Listener, PostOffice, add_dealership, free_port, listener, post_office

Connection = psycopg.Connection[Any]
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
UNIT = "jobsync-stock-sync.service"


@pytest.fixture
def office(cli: Cli, tmp_path: Path) -> Iterator[PostOffice]:
    """The mail server that alerts go to; the state folder is the test's."""
    with post_office() as (office, port):
        cli.environ |= {
            "JOBSYNC_SMTP_URL": f"smtp://127.0.0.1:{port}",
            "JOBSYNC_ALERT_TO": "ops@example.org",
            "STATE_DIRECTORY": str(tmp_path),
        }
        yield office


@pytest.fixture
def hook(cli: Cli) -> Iterator[Listener]:
    """The webhook that alerts go to."""
    with listener() as (hook, url):
        cli.environ["JOBSYNC_ALERT_WEBHOOK"] = f"{url}/hook"
        yield hook


def told(hook: Listener) -> list[tuple[str, str]]:
    """Return what the webhook was told, in order: cause and state."""
    return [(each["cause"], each["status"]) for document in hook.documents for each in document["alerts"]]


def held(cli: Cli, connection: Connection, name: str = "Northside") -> int:
    """Have something wait for a person; returns the dealership's number."""
    number = add_dealership(connection, name, success=datetime.now(UTC))
    connection.execute("INSERT INTO holds (dealership_id, stock_numbers, reason) VALUES (%s, '{a}', 'limit')", [number])
    return number


def test_an_outage_and_a_forgotten_upgrade_are_two_problems_and_two_recoveries(
    cli: Cli, connection: Connection, office: PostOffice, hook: Listener
) -> None:
    """The server goes away, comes back below a newer program, and is upgraded: each is told, with what mends it."""
    url = cli.environ["JOBSYNC_DATABASE_URL"]
    assert 69 == cli("health", "--act", JOBSYNC_DATABASE_URL=NOWHERE).code
    connection.execute("UPDATE jobsync_schema_version SET version_num = '0004'")
    assert [78, 78] == [cli("health", "--act").code, cli("alert", "--unit", UNIT).code]
    connection.execute("UPDATE jobsync_schema_version SET version_num = %s", [HEAD])
    assert 0 == cli("health", "--act", JOBSYNC_DATABASE_URL=url).code

    assert [
        ("database_unreachable", "firing"),
        ("schema_older", "firing"),
        ("database_unreachable", "resolved"),
        ("schema_older", "resolved"),
    ] == told(hook)
    said = [mail["Subject"].removeprefix("[jobsync] ").partition(":")[0] for mail in office.mails]
    assert ["problem", "problem", "recovered", "recovered"] == said
    assert "what to do: jobsync db upgrade" in office.mails[1].get_content()
    assert "systemctl status postgresql" in office.mails[0].get_content()


def test_refused_credentials_are_told_at_once(
    cli: Cli, add: Add, feed: Feed, hook: Listener, office: PostOffice, rows: Rows
) -> None:
    """By the failing unit or by health, whichever is first; the other says nothing; one good sync ends it."""
    number = add("A", "A")
    feed.tokens["test-client"] = envelope(1, message="invalid client")
    cli("stock-sync", "--scheduled")
    rows("UPDATE sync_schedule SET next_at = now() - interval '1 minute' RETURNING 1")
    cli("stock-sync", "--scheduled", INVOCATION_ID="i1")
    environ = {"MONITOR_INVOCATION_ID": "i1", "MONITOR_EXIT_STATUS": "1", "MONITOR_SERVICE_RESULT": "exit-code"}
    assert 0 == cli("alert", "--unit", UNIT, **environ).code
    assert 3 == cli("health", "--act").code
    assert [("credentials_refused", "firing")] == told(hook)
    [alert] = cli("alerts", "list", "--json").json
    assert ("credentials", f"dealership {number}") == (alert["kind"], alert["subject"])
    assert (
        f"jobsync credentials set {number}; whether they are taken: jobsync credentials test {number};"
        f" then: jobsync stock-sync --dealership {number}" == alert["what_to_do"]
    )

    del feed.tokens["test-client"]
    feed.answers["A"] = []
    cli(*alert["what_to_do"].rpartition("jobsync ")[2].split())
    cli("health", "--act")

    assert [("credentials_refused", "firing"), ("credentials_refused", "resolved")] == told(hook)


def test_a_run_that_only_held_something_is_no_failure_of_its_unit(
    cli: Cli, connection: Connection, hook: Listener, office: PostOffice, rows: Rows
) -> None:
    """What it held is told by health; the unit's exit code is counted nowhere."""
    run = "INSERT INTO job_runs (id, job, trigger, host, pid, version, status, exit_code, started_at, invocation_id)"
    rows(f"{run} SELECT gen_random_uuid(), 'stock-sync', 'timer', 'h', 1, '0', 'held', 3, now(), 'i' RETURNING 1")
    rows("UPDATE system_settings SET value = '1' WHERE key = 'alert_after_failures' RETURNING 1")
    environ = {"MONITOR_INVOCATION_ID": "i", "MONITOR_EXIT_STATUS": "3", "MONITOR_SERVICE_RESULT": "exit-code"}

    assert 0 == cli("alert", "--unit", UNIT, **environ).code
    assert ([], []) == (told(hook), rows("SELECT 1 FROM alerts"))


# --- alerts list ------------------------------------------------------------------------------------------------------


def test_the_list_has_what_was_told_to_whom_and_when(
    cli: Cli, connection: Connection, hook: Listener, office: PostOffice
) -> None:
    """Open ones first, then those that ended; empty is an empty list."""
    assert [] == cli("alerts", "list", "--json").json
    number = held(cli, connection)
    cli("health", "--act")
    [alert] = cli("alerts", "list", "--json").json
    assert {"kind", "subject", "cause", "opened_at", "told", "silenced_until", "closed_at", "text", "what_to_do"} <= (
        alert.keys()
    )
    assert ("held", f"dealership {number}", "decision_waits") == (alert["kind"], alert["subject"], alert["cause"])
    assert {"mail", "webhook"} == alert["told"].keys()
    assert (None, None) == (alert["closed_at"], alert["silenced_until"])

    connection.execute("UPDATE holds SET status = 'rejected'")
    cli("health", "--act")
    held(cli, connection, "Southside")
    cli("health", "--act")

    assert [True, False] == [row["closed_at"] is None for row in cli("alerts", "list", "--json").json]
    assert "mail told" in cli("alerts", "list").out


@pytest.mark.parametrize("command", ["status", "health"])
def test_with_the_database_away_a_look_says_what_to_do(cli: Cli, command: str) -> None:
    """In the sentence: it is the first thing that is typed at night."""
    ran = cli(command, JOBSYNC_DATABASE_URL=NOWHERE)

    assert (69, "") == (ran.code, ran.out)
    assert "; what to do: on its host: systemctl status postgresql; the way there: jobsync doctor" in ran.err


def test_with_the_database_away_the_list_is_what_this_host_remembers(cli: Cli, office: PostOffice) -> None:
    """And says so."""
    cli.environ["JOBSYNC_DATABASE_URL"] = NOWHERE
    cli("health", "--act")
    ran = cli("alerts", "list", "--json")

    assert ["database_unreachable"] == [alert["cause"] for alert in ran.json]
    assert "what this host remembers" in ran.err
    assert 0 == ran.code


# --- root -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("user", "code"), [("absent", 78), (None, 69)], ids=["refused", "away"])
@pytest.mark.parametrize(
    "words",
    [
        f"alert --unit {UNIT} --json",
        "health --act --json",
        "alerts silence queue --all-causes --until 8h --json",
        "alerts unsilence queue --json",
    ],
    ids=lambda words: "-".join(words.split()[:2]),
)
def test_root_tells_nobody_that_the_database_refuses_root(
    cli: Cli,
    office: PostOffice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    user: str | None,
    code: int,
) -> None:
    """No unit would read what it notes, and nothing is wrong with the service: the line to type instead."""
    monkeypatch.setattr(LoginRefused, "advice", "; as the service's user: runuser -u jobsync -- jobsync …")
    named = cli.environ["JOBSYNC_DATABASE_URL"]
    ran = cli(*words.split(), JOBSYNC_DATABASE_URL=named.replace("jobsync@", f"{user}@", 1) if user else NOWHERE)

    assert (code, code) == (ran.code, ran.json["exit_code"])
    assert 1 == ran.err.count("runuser -u jobsync")
    assert ([], []) == (office.mails, [*tmp_path.iterdir()])


# --- alerts silence ---------------------------------------------------------------------------------------------------


def test_what_is_silenced_is_told_when_the_silence_ends(
    cli: Cli, connection: Connection, hook: Listener, office: PostOffice, rows: Rows
) -> None:
    """It is shown wherever it acts, and who did it is in the audit; another that opens meanwhile is told."""
    first = held(cli, connection)
    ran = cli("alerts", "silence", "held", "--until", "8h", "--json")
    assert (0, []) == (ran.code, ran.json["silenced"])
    cli("health", "--act")
    ran = cli("alerts", "silence", "held", f"dealership {first}", "--until", "8h", "--json")
    assert [{"kind": "held", "subject": f"dealership {first}", "cause": "decision_waits"}] == ran.json["silenced"]
    held(cli, connection, "Southside")
    cli("health", "--act")
    assert [("decision_waits", "firing")] * 2 == told(hook)
    assert "1 silenced until" in cli("status").out
    assert "silenced until" in cli("alerts", "list").out
    assert [("alerts.silence", f"dealership {first}")] == rows(
        "SELECT action, subject FROM audit WHERE action ~ 'alerts'"
    )

    rows(
        "UPDATE alert_silences SET until = now() - interval '1 second', set_at = now() - interval '8 hours' RETURNING 1"
    )
    rows("UPDATE alerts SET notified_at = now() - interval '9 hours' RETURNING 1")
    cli("health", "--act")

    assert ("decision_waits", "reminder") == told(hook)[-1]
    assert 3 == len(told(hook))


def test_unsilence_has_it_told_again(cli: Cli, connection: Connection, hook: Listener, office: PostOffice) -> None:
    """At the next look; where nothing was silenced, it says so."""
    number = held(cli, connection)
    until = ("--until", "2099-01-01")
    assert 0 == cli("alerts", "silence", "--subject", f"dealership {number}", "--all-causes", *until).code
    cli("health", "--act")
    assert [] == told(hook)
    assert cli("alerts", "unsilence", "held", f"dealership {number}", "--json").json["lifted"]
    cli("health", "--act")

    assert [("decision_waits", "firing")] == told(hook)
    assert "nothing was silenced" in cli("alerts", "unsilence", "--subject", "elsewhere").out


def test_a_silence_works_while_the_database_is_away_and_afterwards(
    cli: Cli, connection: Connection, hook: Listener, office: PostOffice
) -> None:
    """It is kept in this host's file, and handed in when the database is back."""
    away = {"JOBSYNC_DATABASE_URL": NOWHERE}
    cli("health", "--act", **away)
    assert 0 == cli("alerts", "silence", "database", "--all-causes", "--until", "8h", **away).code
    with freeze_time(datetime.now(UTC) + timedelta(hours=7), tick=True):
        cli("health", "--act", **away)
    assert [("database_unreachable", "firing")] == told(hook)
    cli("health", "--act")

    assert 1 == len(told(hook))
    assert [(1,)] == connection.execute("SELECT count(*) FROM alert_silences").fetchall()


@pytest.mark.parametrize(
    "words", [("silence", "queue", "--all-causes", "--until", "8h"), ("unsilence", "queue")], ids=lambda words: words[0]
)
def test_a_silence_that_the_table_refuses_is_not_said_to_be_set(
    cli: Cli, connection: Connection, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """This host's file alone would hold nobody else back, and no audit row would say who asked."""
    cli.environ["STATE_DIRECTORY"] = str(tmp_path)
    cli("alerts", "silence", "queue", "--all-causes", "--until", "3d")
    connection.execute("DO $$ BEGIN CREATE ROLE weak LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO weak")
    weak = cli.environ["JOBSYNC_DATABASE_URL"].replace("jobsync@", "weak@", 1)
    ran = cli("alerts", *words, JOBSYNC_DATABASE_URL=weak)

    assert (78, "") == (ran.code, ran.out)
    assert "permission denied" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["silence", "disk", "--until", "8h"], "configuration"),
        (["unsilence", "disk"], "configuration"),
        (["silence", "held", "--until", "yesterday"], "a day of the week: mon 08:00"),
        (["silence", "held", "--until", "2020-01-01"], "is past"),
        (["silence", "held", "--until", "mon 25:00"], "a day of the week: mon 08:00"),
        (["silence", "held"], "--until"),
        (["silence", "--until", "8h"], "one of the kinds"),
        (["silence", "held", "x", "--subject", "y", "--until", "8h"], "give one of them"),
    ],
)
def test_what_cannot_be_silenced_is_a_mistake_of_usage(lookup: Cli, arguments: list[str], words: str) -> None:
    """2, with what was expected."""
    ran = lookup("alerts", *arguments)

    assert 2 == ran.code
    assert words in ran.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mon 08:00", "2026-11-30T08:00:00+00:00"),
        ("saturday", "2026-12-05T00:00:00+00:00"),
        ("8h", "2026-11-28T20:00:00"),
    ],
)
def test_an_instant_is_a_span_a_day_of_the_week_or_iso(cli: Cli, tmp_path: Path, words: str, expected: str) -> None:
    """From this host's clock while the database is away: a Saturday noon."""
    with freeze_time("2026-11-28T12:00:00Z", tick=False):
        ran = cli(
            *("alerts", "silence", "held", "--all-causes", "--until", words, "--json"),
            JOBSYNC_DATABASE_URL=NOWHERE,
            STATE_DIRECTORY=str(tmp_path),
        )

    assert ran.json["until"].startswith(expected)


# --- alerts test ------------------------------------------------------------------------------------------------------


def test_every_channel_says_what_it_answers(cli: Cli, office: PostOffice, hook: Listener) -> None:
    """0 if all took it, 1 if one did not; nothing is remembered of it."""
    good = cli("alerts", "test", "--json")
    hook.status = 503
    bad = cli("alerts", "test", "--json", JOBSYNC_ALERT_URLS=f"json://127.0.0.1:{free_port()}/token-token-1")

    assert (0, [("mail", True, "taken"), ("webhook", True, "taken")]) == (
        good.code,
        [(each["channel"], each["sent"], each["answer"]) for each in good.json],
    )
    assert (1, [True, False, False]) == (bad.code, [each["sent"] for each in bad.json])
    assert "webhook: 127.0.0.1 answers HTTP 503" == bad.json[1]["answer"]
    assert "json #1" == bad.json[2]["channel"]
    assert "token-token" not in bad.out + bad.err
    assert "test" in office.mails[0]["Subject"]
    assert [] == cli("alerts", "list", "--json").json


def test_without_a_channel_a_test_is_a_mistake_of_configuration(lookup: Cli) -> None:
    """And names what to set."""
    ran = lookup("alerts", "test")

    assert 78 == ran.code
    assert 1 == ran.err.count("JOBSYNC_SMTP_URL")


def test_the_file_of_the_host_survives_a_day(cli: Cli, office: PostOffice, tmp_path: Path) -> None:
    """By this host's clock: told at once, reminded of a day later, in between nothing."""
    mails = []
    for hours in (0, 1, 23, 25):
        with freeze_time(datetime.now(UTC) + timedelta(hours=hours), tick=True):
            cli("health", "--act", JOBSYNC_DATABASE_URL=NOWHERE)
        mails.append(len(office.mails))

    assert [1, 1, 1, 2] == mails
    assert "database_unreachable" == json.loads((tmp_path / "alerts.json").read_text())["alerts"][0]["cause"]
