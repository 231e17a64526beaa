"""What the host's own clock decides, in whole commands; what the database's clock decides is tested by moving rows."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from freezegun import freeze_time

from jobsync.cli.main import run
from jobsync.sandbox.serve import serve
from jobsync.wiring import Tools
from tests.commands.support import Add, Cli, Feed, Rows, cars
from tests.watch.support import post_office

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def later(**span: float) -> AbstractContextManager[Any]:
    """Set the host's clock so much ahead; it goes on ticking, for the sake of deadlines."""
    return freeze_time(datetime.now(UTC) + timedelta(**span), tick=True)


def test_an_open_alert_is_told_again_after_a_day(cli: Cli, tmp_path: Path) -> None:
    """The database is away, so the file on this host remembers what was told, by this host's clock."""
    with post_office() as (office, port):
        cli.environ |= {
            "JOBSYNC_DATABASE_URL": NOWHERE,
            "JOBSYNC_SMTP_URL": f"smtp://127.0.0.1:{port}",
            "JOBSYNC_ALERT_TO": "ops@example.org",
            "STATE_DIRECTORY": str(tmp_path),
        }
        told = []
        for _ in range(5):
            cli("alert", "--unit", "jobsync-stock-sync.service")
        told.append(len(office.mails))
        for hours in (23, 25):
            with later(hours=hours):
                cli("alert", "--unit", "jobsync-stock-sync.service")
            told.append(len(office.mails))

    assert [1, 1, 2] == told


def test_a_failure_under_cron_is_told_again_after_a_day(cli: Cli, tmp_path: Path) -> None:
    """One that lasts says nothing at the ticks between."""
    cli.environ |= {"JOBSYNC_DATABASE_URL": NOWHERE, "STATE_DIRECTORY": str(tmp_path)}
    said = [bool(cli("cron", "run", "stock-sync").out)]
    for hours in (0, 23, 25):
        with later(hours=hours):
            said.append(bool(cli("cron", "run", "stock-sync").out))

    assert [True, False, False, True] == said


def test_a_failure_under_cron_is_told_by_its_cause(cli: Cli, tmp_path: Path) -> None:
    """Another cause is told, also with the same exit code; an idle tick in between ends none of them."""
    away, broken = {"JOBSYNC_DATABASE_URL": NOWHERE}, {"JOBSYNC_ENCRYPTION_KEY": "broken"}
    other = {"JOBSYNC_SRI_URL": "ftp://x"}
    cli.environ["STATE_DIRECTORY"] = str(tmp_path)
    said = [bool(cli("cron", "run", "stock-sync", **each).out) for each in (away, {}, away, broken, other, broken)]

    assert [True, False, False, True, True, False] == said


@pytest.mark.parametrize(("after_s", "tokens"), [(30, 1), (120, 2)])
def test_a_token_is_used_as_long_as_it_lives(
    after_s: int, tokens: int, environ: dict[str, str], add: Add, rows: Rows
) -> None:
    """The next try of a dealership asks for a new one only if its lifetime of a minute and a half is over by then."""
    feed = _Counting({"iat": 0, "exp": 90})
    answers = iter([("503 Service Unavailable", b""), cars("1")])
    feed.answers["A"] = lambda: next(answers)
    add("A", "A")
    with serve(feed) as served, later() as clock:

        def pause(_seconds: float) -> bool:
            clock.tick(after_s)
            return True

        code = run(["stock-sync"], Tools({**environ, "JOBSYNC_EASYCARS_URL": served.url}, pause=pause))

    assert (0, tokens) == (code, feed.tokens_given)
    assert [("1",)] == rows("SELECT stock_number FROM vehicles")


class _Counting(Feed):
    """Gives tokens with these claims, and counts them."""

    def __init__(self, claims: dict[str, int]) -> None:
        super().__init__()
        part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        self.tokens["test-client"] = json.dumps({"Token": f"a.{part}.c", "Code": 0, "ErrorMessage": None}).encode()
        self.tokens_given = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Sequence[bytes]:
        self.tokens_given += environ["PATH_INFO"].endswith("RequestToken")
        return super().__call__(environ, start_response)


def test_a_log_line_says_when_in_utc(cli: Cli) -> None:
    """As this host's clock has it, with a Z, in summer too."""
    cli("settings", "set", "easycar_sync_enabled", "false")
    with freeze_time("2031-07-01T12:30:05.25+02:00", tick=False):
        ran = cli("stock-sync")
    [line] = [json.loads(line) for line in ran.err.splitlines() if "globally disabled" in line]

    assert "2031-07-01T10:30:05.250000Z" == line["timestamp"]


def test_a_span_that_a_person_types_is_counted_from_the_database_s_clock(cli: Cli, add: Add, rows: Rows) -> None:
    """It is compared with that clock later: a host whose own is years ahead pauses nobody for years."""
    number = str(add("A", "A"))
    with later(days=1000):
        assert 0 == cli("dealership", "pause", number, "--until", "3d").code

    [(left,)] = rows("SELECT paused_until - now() FROM dealership_settings")
    assert timedelta(days=2, hours=23) < left <= timedelta(days=3)
