"""The page: complete in itself, harmless whatever a name holds, readable on a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync.db.engine import Database
from jobsync.watch.health import judge_health
from jobsync.watch.model import Chart, Series, Severity
from jobsync.watch.views.charts import draw, nice_top
from jobsync.watch.views.page import read_history, render_report
from tests.watch.support import (
    HOSTILE,
    NOW,
    add_dealership,
    add_invoices,
    add_run,
    add_tenant,
    look,
    set_job,
)

Connection = psycopg.Connection[Any]
EVIL = HOSTILE + "<img src=x onerror=alert(1)> & \"quoted\" 'q' " + "W" * 300


def page_of(database: Database) -> str:
    """Return the page at NOW over 30 days."""
    with database.engine().connect() as connection:
        seen = look(connection, now=NOW, window=timedelta(days=30))
        history = read_history(connection, seen)
    return render_report(seen, history, judge_health(seen))


def fill(connection: Connection) -> None:
    """Something of everything, under the worst of names."""
    for number in range(6):
        dealership = add_dealership(connection, EVIL, success=NOW - timedelta(days=9), failed=EVIL)
        if number == 0:
            connection.execute(
                "INSERT INTO holds (dealership_id, stock_numbers, reason) VALUES (%s, '{a}', %s)",
                [dealership, EVIL],
            )
    add_run(connection, status="failed", exit_code=1, error=EVIL, traceback=EVIL)
    add_run(connection, status="partial", exit_code=3, began=NOW - timedelta(days=3))
    set_job(connection, consecutive_failures=9, skipped_by=EVIL, last_tick_at=NOW - timedelta(days=1))
    tenant = add_tenant(connection, name=EVIL)
    add_invoices(connection, tenant, 3)
    add_invoices(connection, tenant, 2, "needs_attention", next_check_at=None)
    connection.execute(
        "INSERT INTO sri_events (tenant_id, invoice_id, at, kind, duration_ms, message) SELECT tenant_id, id, %s,"
        " 'pending', 400, %s FROM invoices",
        [NOW - timedelta(hours=2), EVIL],
    )
    connection.execute("INSERT INTO vendor_hosts (host, opened_at) VALUES (%s, %s)", [EVIL, NOW - timedelta(hours=1)])
    connection.execute(
        "INSERT INTO alerts (subject, kind, opened_at, details) VALUES (%s, 'unit', %s, %s)",
        [EVIL, NOW, json.dumps({"text": EVIL, "ripe": True})],
    )


class Tags(HTMLParser):
    """Collects tags with their attributes, and whether they close in their order."""

    VOID = ("meta", "link", "br", "img", "line", "rect", "circle", "polyline", "path")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_nothing_of_a_name_becomes_markup(database: Database, connection: Connection) -> None:
    """No element, no attribute, no control character of theirs."""
    fill(connection)
    page = page_of(database)
    tags = Tags()
    tags.feed(page)

    assert ([], []) == (tags.wrong, tags.open)
    assert not [tag for tag, _ in tags.found if tag in ("script", "img", "iframe", "object", "form", "a")]
    assert not [name for _, attributes in tags.found for name in attributes if name.startswith("on")]
    assert "\x1b" not in page
    assert "X WATCHDOG=1 [red]&lt;/script&gt;" in page


def test_nothing_is_loaded_from_elsewhere(database: Database, connection: Connection) -> None:
    """No address in any attribute, no import in the style, and the browser is told to load nothing."""
    fill(connection)
    page = page_of(database)
    tags = Tags()
    tags.feed(page)
    addresses = [value for _, a in tags.found for name, value in a.items() if name in ("src", "href", "action", "data")]

    assert ["data:,"] == addresses
    assert "default-src 'none'" in page
    style = page[page.index("<style>") : page.index("</style>")]
    assert not re.search(r"url\(|@import", style)


def test_an_empty_database_has_a_page(database: Database) -> None:
    """Nothing to show is shown."""
    page = page_of(database)

    assert "all is well" in page
    assert "not in use" in page


def test_a_broken_promise_is_in_the_verdict(database: Database, connection: Connection) -> None:
    """Nothing needs a person, and yet not all is well."""
    add_run(connection, status="partial", exit_code=3)
    page = page_of(database)

    assert '<p class="pill warn">1 service level below target</p>' in page
    assert "all is well" not in page


def test_what_is_wrong_stands_first(database: Database, connection: Connection) -> None:
    """Problems before levels, jobs, dealerships, documents."""
    fill(connection)
    page = page_of(database)
    places = [page.index(f"<h2>{head}") for head in ("Needs a person", "Service levels", "stock-sync", "Dealerships")]

    assert sorted(places) == places


def test_charts_of_nothing_and_of_gaps() -> None:
    """No values, zeros, missing days."""
    labels = ["a<", "b", "c"]

    assert "a&lt;" in draw(Chart("t<", labels, (Series("s<", "x", [0, None, 3]),)))
    assert 1 == draw(Chart("t", labels, (Series("s", "x", [1, 2, None]),), lines=True)).count("<polyline")
    assert 0 == draw(Chart("t", labels, (Series("s", "x", [1, None, 2]),), lines=True)).count("<polyline")
    assert "<svg" in draw(Chart("t", [], ()))
    assert 10 == nice_top(9.99)


def text_of(markup: str) -> str:
    """Return what a reader sees, without marks and with single blanks."""
    return " ".join(unescape(re.sub("<[^>]+>", " ", markup)).split())


def test_runs_stand_with_their_items_behind_a_click(database: Database, connection: Connection) -> None:
    """The latest runs, and in each the worst items first, so many and no more."""
    run = add_run(connection, status="partial", exit_code=3, error="some failed")
    for number in range(40):
        connection.execute(
            "INSERT INTO job_items (run_id, item_key, label, status, error) VALUES (%s, %s, 'L', %s, %s)",
            [run, f"item-{number:02}", "failed" if number == 39 else "success", "why it failed" * (number == 39)],
        )
    page = page_of(database)
    part = page[page.index("<h2>Runs") :]
    summary = text_of(part[part.index("<summary>") : part.index("</summary>")])
    told = text_of(part[part.index("</summary>") : part.index("</details>")])

    assert "partial" in summary
    assert told.startswith("some failed item-39 L failed why it failed item-00")
    assert 25 == told.count("item-")
    assert f"and 15 more; timer on app1, exit 3: jobsync runs show {str(run)[:8]}" in told


def test_days_before_the_first_run_are_not_drawn(database: Database, connection: Connection) -> None:
    """In the first month a chart has the days that there were; the last two days stand beside it by the hour."""
    for hours in (1, 30, 70):
        add_run(connection, began=NOW - timedelta(hours=hours))
    with database.engine().connect() as opened:
        history = read_history(opened, look(opened, now=NOW, window=timedelta(days=30)))

    by_day, by_hour, *_ = history.charts["stock-sync"]
    assert ["17 Nov", "18 Nov", "19 Nov", "20 Nov"] == list(by_day.labels) == history.days.labels
    assert (49, "Wed 03:00", "Fri 03:00") == (len(by_hour.labels), by_hour.labels[0], by_hour.labels[-1])
    assert 2 == sum(1 for hour in zip(*(bar.values for bar in by_hour.series), strict=True) if any(hour))


def test_held_and_partial_runs_are_not_green(database: Database, connection: Connection) -> None:
    """Green is success alone; red is failure alone."""
    colours = {"succeeded": "good", "held": "warn", "partial": "warn", "timed_out": "warn", "failed": "bad"}
    for status in colours:
        add_run(connection, status=status, exit_code=0 if status == "succeeded" else 3)
    page = page_of(database)
    found = re.findall(r'<span class="pill (\w+)">(\w+)</span>', page[page.index("<h2>Runs") :])

    assert colours == {status: css for css, status in found}


def test_who_was_told_what_and_when(database: Database, connection: Connection) -> None:
    """Each alert with the channels, the instants and what was said there; or that nobody was."""
    told = json.dumps({"mail": "2026-11-20T01:00:00+00:00"})
    for subject, text, whom, until in (
        ("a", "it fails", told, None),
        ("b", "it hangs", "{}", NOW + timedelta(hours=8)),
    ):
        connection.execute(
            "INSERT INTO alerts (kind, subject, text, told, opened_at, silenced_until)"
            " VALUES ('unit', %s, %s, %s, %s, %s)",
            [subject, text, whom, NOW - timedelta(hours=2), until],
        )
    page = page_of(database)
    alerts = text_of(page[page.index("<h2>Alerts") :])

    assert "it fails open 2026-11-20 01:00Z , for 2 h mail told 2026-11-20 01:00Z (opened)" in alerts
    assert "it hangs open 2026-11-20 01:00Z , for 2 h, silenced until 2026-11-20 11:00Z nobody was told" in alerts


# --- in a browser ----------------------------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PROBE = """<!doctype html><meta charset=utf-8><body><script>
const out = {};
const frame = document.createElement('iframe');
frame.style.cssText = 'width:390px;height:800px;border:0';
frame.onload = () => {
  const page = frame.contentDocument;
  out.width = page.documentElement.scrollWidth;
  out.wide = [...page.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > 391).map(e => e.tagName);
  out.requests = frame.contentWindow.performance.getEntriesByType('resource').map(e => e.name);
  out.dark = frame.contentWindow.getComputedStyle(page.body).backgroundColor;
  document.title = 'done'; document.body.append(JSON.stringify(out));
};
frame.src = 'report.html'; document.body.append(frame);
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_in_a_browser_at_the_width_of_a_phone(database: Database, connection: Connection, tmp_path: Path) -> None:
    """No request, no complaint on the console, nothing wider than 390 pixels."""
    fill(connection)
    (tmp_path / "report.html").write_text(page_of(database))
    (tmp_path / "probe.html").write_text(PROBE)
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--allow-file-access-from-files",
            "--enable-logging=stderr", "--v=0", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000",
            "--dump-dom", (tmp_path / "probe.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = json.loads(done.stdout.partition("</iframe>")[2].partition("</body>")[0])

    assert [] == re.findall(r".*CONSOLE.*", done.stderr)
    assert (390, [], []) == (found["width"], found["wide"], found["requests"])


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (("Success", "Success"), Severity.OK),
        (("Held", "Success"), Severity.ATTENTION),
        (("Success", "Held"), Severity.ATTENTION),
        (("Failed", "Success"), Severity.ATTENTION),
        (("PartialSuccess",), Severity.ATTENTION),
        (("Success", "Failed"), Severity.BAD),
    ],
)
def test_a_square_is_green_only_if_all_of_its_day_was(
    database: Database, connection: Connection, statuses: tuple[str, ...], expected: Severity
) -> None:
    """A hold or a failure is seen also on a day that had a success."""
    number = add_dealership(connection)
    connection.execute("DELETE FROM easycar_sync_logs")
    for at, status in enumerate(statuses):
        connection.execute(
            "INSERT INTO easycar_sync_logs (dealership_id, status, started_at, synced_at) VALUES (%s, %s, %s, %s)",
            [number, status, NOW, NOW - timedelta(minutes=10 - at)],
        )
    with database.engine().connect() as opened:
        history = read_history(opened, look(opened, now=NOW, window=timedelta(days=3)))

    assert {NOW.date(): expected} == history.sections["dealerships"].squares[number]
