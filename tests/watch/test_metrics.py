"""Prometheus' own parser reads what we write, whatever the names hold."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg.types.json import Jsonb

from jobsync.db.engine import Database, driver
from jobsync.runner.totals import count_run, read_totals
from jobsync.watch.health import judge_health
from jobsync.watch.views.metrics import render_away, render_metrics
from tests.watch.support import HOSTILE, NOW, add_dealership, add_invoices, add_run, add_tenant, look, set_job

PROMTOOL = shutil.which("promtool")


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every sample that the parser finds."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def counted(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the samples of what may only grow."""
    kinds = ("_total", "_bucket", "_count", "_sum")
    return {key: value for key, value in samples(text).items() if key[0].endswith(kinds)}


def render(database: Database) -> str:
    """Return the metrics of the database at NOW."""
    with database.engine().connect() as connection:
        seen = look(connection, now=NOW)
        totals = read_totals(driver(connection))
    return render_metrics(seen, judge_health(seen), totals)


def test_every_line_is_read(database: Database, connection: psycopg.Connection[Any]) -> None:
    """Values come back as they are in the database."""
    number = add_dealership(connection)
    set_job(connection, consecutive_failures=2)
    add_run(connection)
    found = samples(render(database))

    assert 1 == found["jobsync_up", frozenset()]
    assert 2 == found["jobsync_job_consecutive_failures", frozenset({("job", "stock-sync")})]
    labels = frozenset({("dealership", str(number)), ("name", "Northside")})
    assert ("jobsync_dealership_last_success_timestamp_seconds", labels) in found
    assert all(name.startswith("jobsync_") for name, _ in found)


def test_counters_outlive_the_rows(database: Database, connection: psycopg.Connection[Any]) -> None:
    """Deleting old runs takes nothing from what was counted; what never happened stands at 0."""
    for lasted in (2, 40):
        run = add_run(connection, lasted=timedelta(seconds=lasted))
        connection.execute(
            "UPDATE job_runs SET counts = %s WHERE id = %s", [Jsonb({"succeeded": 3, "eligible": 4}), run]
        )
        count_run(connection, UUID(run))
    before = counted(render(database))
    connection.execute("DELETE FROM job_runs")
    after = counted(render(database))

    def named(name: str, **labels: str) -> float:
        return after[f"jobsync_{name}", frozenset({("job", "stock-sync"), *labels.items()})]

    assert before == after
    assert (2, 0) == (named("runs_total", status="succeeded"), named("runs_total", status="failed"))
    assert (6, 0) == (named("items_total", result="succeeded"), named("items_total", result="failed"))
    assert (1, 2, 2) == tuple(named("run_duration_seconds_bucket", le=le) for le in ("2.5", "60.0", "+Inf"))
    assert (2, 42) == (named("run_duration_seconds_count"), named("run_duration_seconds_sum"))


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool on this machine")
def test_promtool_has_nothing_to_say(database: Database, connection: psycopg.Connection[Any]) -> None:
    """Names, types and labels are as Prometheus' own linter wants them."""
    add_dealership(connection)
    add_invoices(connection, add_tenant(connection), 2)
    add_run(connection)
    connection.execute("INSERT INTO vendor_hosts (host) VALUES ('cel.sri.gob.ec')")
    connection.execute("INSERT INTO sri_events (at, kind, duration_ms) VALUES (%s, 'pending', 400)", [NOW])
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=render(database), capture_output=True, text=True)

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


RULES = Path(__file__).parents[2] / "docs" / "prometheus" / "alert-rules.yml"


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool on this machine")
def test_promtool_takes_the_alert_rules() -> None:
    """The example in docs/ is one that Prometheus loads."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, "check", "rules", str(RULES)], capture_output=True, text=True)

    assert (0, "") == (done.returncode, done.stderr)


def test_alert_rules_name_what_is_written(database: Database, connection: psycopg.Connection[Any]) -> None:
    """No rule waits for a metric of another name."""
    add_dealership(connection)
    set_job(connection)
    set_job(connection, "health")
    asked = set(re.findall(r"\bjobsync_\w+", RULES.read_text()))

    assert asked - {name for name, _ in samples(render(database))} == set()


def test_a_hostile_name_is_one_label(database: Database, connection: psycopg.Connection[Any]) -> None:
    """No line of its own, no quote that ends the label; backslashes come back as they were."""
    add_dealership(connection, HOSTILE + '\\n"} 1\njobsync_up 0')
    text = render(database)
    found = samples(text)

    assert 1 == found["jobsync_up", frozenset()]
    [name] = [dict(labels)["name"] for kind, labels in found if kind == "jobsync_dealership_failures"]
    assert name.startswith('X WATCHDOG=1 [red]</script>," [31m\\n"}')
    assert "\x1b" not in text
    assert all(line.startswith(("jobsync_", "# ")) for line in text.splitlines())


def test_hosts_that_look_alike_are_one_sample(database: Database, connection: psycopg.Connection[Any]) -> None:
    """Two samples with the same labels would cost the whole file."""
    connection.execute("INSERT INTO vendor_hosts (host) VALUES ('cel'), (E'cel\\x07')")
    text = render(database)

    assert 1 == text.count('jobsync_circuit_open{host="cel",vendor="SRI"}')


def test_rejected_documents_are_counted(database: Database, connection: psycopg.Connection[Any]) -> None:
    """Beside those that need a person, never among them."""
    add_invoices(connection, add_tenant(connection), 2, "rejected", next_check_at=None)
    found = samples(render(database))

    def state(name: str) -> float:
        return found["jobsync_documents", frozenset({("tenant", "1790012345001"), ("state", name)})]

    assert (2, 0) == (state("rejected"), state("needs_attention"))


def test_an_empty_database(database: Database) -> None:
    """What nobody knows is left out, never NaN."""
    found = samples(render(database))

    assert 0 == found["jobsync_job_running", frozenset({("job", "stock-sync")})]
    assert ("jobsync_job_last_tick_timestamp_seconds", frozenset({("job", "stock-sync")})) not in found


def test_a_database_away_is_said() -> None:
    """Only that is known then."""
    assert {("jobsync_up", frozenset()): 0.0} == samples(render_away())
