"""States are told apart, each with its reason and what to do; health's verdict follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from jobsync.causes import Kind
from jobsync.db.engine import Database
from jobsync.easycars.watch import Standing, dealership_statuses, facts_of
from jobsync.runner.lock import lock_key
from jobsync.sri.watch import what_limits
from jobsync.watch.health import Health, judge_health
from jobsync.watch.model import JobFacts, JobStatus, Queue, Snapshot, State
from jobsync.watch.state import job_status, job_statuses, limit_of, service_levels
from jobsync.watch.timers import Waker
from jobsync.watch.views.json_ import as_json, headline
from jobsync.watch.views.screen import screen
from tests.watch.support import NOW, add_dealership, add_invoices, add_run, add_tenant, look, set_job

Connection = psycopg.Connection[Any]
Seen = Callable[[], Snapshot]
HOUR = timedelta(hours=1)


@pytest.fixture
def seen(database: Database) -> Seen:
    """Look at the database at NOW."""

    def do() -> Snapshot:
        with database.engine(connections=1).connect() as connection:
            return look(connection, now=NOW)

    return do


def state(snapshot: Snapshot, job: str = "stock-sync") -> tuple[State, str, str]:
    """Return a job's state, why, and what to do."""
    found = job_status(snapshot, snapshot.job(job))
    return found.state, found.why or "", found.what_to_do or ""


def kinds(verdict: Health) -> list[tuple[str, str]]:
    """Return the subjects and kinds of what needs a person; each stands under the check of its name."""
    assert all(problem.kind == check.name for check in verdict.checks for problem in check.problems)
    return [(problem.subject, problem.kind) for problem in verdict.problems]


# --- the states ------------------------------------------------------------------------------------------------------


def test_nothing_set_up(seen: Seen) -> None:
    """An empty database is no alarm; the first step is named."""
    snapshot = seen()

    found, why, what = state(snapshot)
    assert (State.UNUSED, "no dealership has credentials") == (found, why)
    assert "jobsync dealership add" in what
    assert [] == kinds(judge_health(snapshot))


def test_nothing_to_do(seen: Seen, connection: Connection) -> None:
    """All is well, and the next slot is known."""
    add_dealership(connection)
    set_job(connection)
    add_run(connection)
    snapshot = seen()

    assert State.IDLE is state(snapshot)[0]
    assert (0, 1, NOW + timedelta(hours=20)) == (
        snapshot.job("stock-sync").due,
        snapshot.job("stock-sync").waiting,
        snapshot.job("stock-sync").next_at,
    )
    assert [] == kinds(judge_health(snapshot))


def test_a_job_that_ran_by_hand_only_is_in_use(seen: Seen, connection: Connection) -> None:
    """Its runs are told, not that nothing has asked for it."""
    assert State.UNUSED is state(seen(), "generate-ride")[0]
    add_run(connection, "generate-ride", trigger="manual")
    set_job(connection, "generate-ride", last_tick_at=None)

    assert State.IDLE is state(seen(), "generate-ride")[0]


def test_work_that_waits_for_a_timer_that_never_ticked(seen: Seen, connection: Connection) -> None:
    """One run by hand does not make it well that nobody wakes the job."""
    add_run(connection, "check-authorizations", trigger="manual")
    set_job(connection, "check-authorizations", last_tick_at=None)
    add_invoices(connection, add_tenant(connection), 1, next_check_at=NOW - timedelta(minutes=6))
    found, why, what = state(seen(), "check-authorizations")

    assert State.TIMER_OFF is found
    assert "no tick ever came, and 1 due, the first since 6 min" in why
    assert "jobsync-check-authorizations.timer" in what


def test_due_work_of_a_job_that_no_timer_wakes(seen: Seen, connection: Connection) -> None:
    """No tick will come, so none is promised: what wakes it is said."""
    add_run(connection, "check-authorizations", trigger="manual")
    set_job(connection, "check-authorizations", last_tick_at=None)
    add_invoices(connection, add_tenant(connection), 1)
    found, why, what = state(seen(), "check-authorizations")
    set_job(connection, "check-authorizations", last_tick_at=NOW - timedelta(seconds=30))

    assert (State.DUE, "1 due, the first since 1 min; no timer has ever woken this job") == (found, why)
    assert "jobsync-check-authorizations.timer" in what
    assert (State.DUE, "1 due, the first since 1 min; taken from the next tick on", "") == state(
        seen(), "check-authorizations"
    )


def test_when_the_sri_is_asked_next(seen: Seen, connection: Connection) -> None:
    """The first of the documents that wait says so; those of a paused tenant are not asked about."""
    paused = add_tenant(connection, "1790012346001")
    connection.execute("UPDATE tenants SET paused_until = 'infinity' WHERE id = %s", [paused])
    tenant = add_tenant(connection)
    now = datetime.now(UTC)
    add_invoices(connection, paused, 1, next_check_at=now + timedelta(seconds=300))
    for seconds in (900, 600, -20):
        add_invoices(connection, tenant, 1, next_check_at=now + timedelta(seconds=seconds))
    job = seen().job("check-authorizations")

    assert (1, 2, now + timedelta(seconds=600)) == (job.due, job.waiting, job.next_at)


def test_switched_off(seen: Seen, connection: Connection) -> None:
    """The switch is named, and who to ask; nothing else of that job is an alarm."""
    add_dealership(connection, success=NOW - timedelta(days=9))
    set_job(connection, last_tick_at=NOW - timedelta(days=9), consecutive_failures=9)
    connection.execute("UPDATE system_settings SET value = 'off' WHERE key = 'easycar_sync_enabled'")
    found, why, what = state(seen())

    assert State.OFF is found
    assert "easycar_sync_enabled" in why
    assert "who set it by command, not by SQL: jobsync audit" in what
    assert "SQL" in what
    assert [] == kinds(judge_health(seen()))


def test_switched_off_by_a_value_that_cannot_be_read(seen: Seen, connection: Connection) -> None:
    """Nobody has switched it off, and the value says why it is."""
    add_dealership(connection)
    connection.execute("UPDATE system_settings SET value = 'vielleicht' WHERE key = 'easycar_sync_enabled'")
    found, why, what = state(seen())

    assert State.OFF is found
    assert why.startswith("easycar_sync_enabled is 'vielleicht', which cannot be read and counts as off:")
    assert what.startswith("jobsync settings set easycar_sync_enabled true")


@pytest.mark.parametrize("minutes", [6, 60 * 24])
def test_timer_off(seen: Seen, connection: Connection, minutes: int) -> None:
    """No tick for several beats."""
    add_dealership(connection)
    add_run(connection)
    set_job(connection, last_tick_at=NOW - timedelta(minutes=minutes))
    found, why, what = state(seen())

    assert State.TIMER_OFF is found
    assert "last tick was" in why
    assert "systemctl enable --now jobsync-stock-sync.timer" in what
    assert [("stock-sync", "tick")] == kinds(judge_health(seen()))


@pytest.mark.parametrize(
    ("waker", "told"),
    [(Waker.UNITS, False), (Waker.CRON, False), (Waker.SYSTEMD, True), (Waker.ABSENT, True), (Waker.NOBODY, True)],
)
def test_silence_where_no_timer_is_installed_names_the_hand_that_may_have_ticked(
    seen: Seen, connection: Connection, waker: Waker, told: bool
) -> None:
    """Somebody who typed --scheduled once is told that this was the tick, on status and health alike."""
    add_dealership(connection)
    add_run(connection)
    set_job(connection, last_tick_at=NOW - HOUR)
    snapshot = replace(seen(), waker=waker)
    [problem] = judge_health(snapshot).problems
    words = "no timer is installed on this host, and --scheduled typed by hand counts as a tick"

    assert [told, told] == [words in text for text in (state(snapshot)[1], problem.text)]


def test_a_timer_that_never_ticked_is_told_but_rings_nobody(seen: Seen, connection: Connection) -> None:
    """Somebody may run it by hand only."""
    add_dealership(connection)

    assert State.TIMER_OFF is state(seen())[0]
    verdict = judge_health(seen())
    assert ([], True) == (kinds(verdict), any("never woken" in n or "ever woken" in n for n in verdict.notes))


def test_a_run_in_progress_holds_ticks_back(seen: Seen, connection: Connection) -> None:
    """systemd starts no second one; 40 minutes without a tick are no timer that is off."""
    add_dealership(connection)
    run = add_run(connection, status="running", began=NOW - timedelta(minutes=40), lasted=None, exit_code=None)
    connection.execute('UPDATE job_runs SET counts = \'{"eligible": 100, "done": 45, "failed": 2}\'')
    set_job(connection, last_tick_at=NOW - timedelta(minutes=40))
    connection.execute("SELECT pg_advisory_lock(%s)", [lock_key(f"run:{run}")])
    found, why, _ = state(seen())

    assert State.RUNNING is found
    assert "45/100 dealerships, 2 failed" in why
    assert [] == kinds(judge_health(seen()))


@pytest.mark.parametrize(
    ("trigger", "status", "found"),
    [
        ("timer", "succeeded", State.IDLE),
        ("cron", "failed", State.FAILING),
        ("manual", "succeeded", State.TIMER_OFF),
        ("timer", "crashed", State.TIMER_OFF),
    ],
)
def test_only_a_run_of_the_timer_held_ticks_back(
    seen: Seen, connection: Connection, trigger: str, status: str, found: State
) -> None:
    """Ticks come while a person's run works, so it hides no dead timer; nor does one that was found dead just now."""
    add_dealership(connection)
    began = NOW - timedelta(minutes=40)
    add_run(connection, status=status, began=began, lasted=timedelta(minutes=39), trigger=trigger)
    set_job(connection, last_tick_at=began, last_finished_at=NOW - timedelta(minutes=1))
    silent = [("stock-sync", "tick")] if found is State.TIMER_OFF else []

    assert (found, silent) == (state(seen())[0], kinds(judge_health(seen())))


def test_a_run_by_hand_holds_no_ticks_back(seen: Seen, connection: Connection) -> None:
    """A tick is stamped before it asks for the lock: without any, the timer is off, whoever works."""
    add_dealership(connection)
    began = NOW - timedelta(minutes=40)
    run = add_run(connection, status="running", began=began, lasted=None, exit_code=None, trigger="manual")
    set_job(connection, last_tick_at=began)
    connection.execute("SELECT pg_advisory_lock(%s)", [lock_key(f"run:{run}")])

    assert State.TIMER_OFF is state(seen())[0]
    assert [("stock-sync", "tick")] == kinds(judge_health(seen()))


def test_a_run_that_takes_too_long(seen: Seen, connection: Connection) -> None:
    """Stock sync 60 minutes, the frequent jobs alert_run_minutes."""
    add_tenant(connection)
    run = add_run(
        connection, "check-authorizations", "running", began=NOW - timedelta(minutes=6), lasted=None, exit_code=None
    )
    connection.execute("SELECT pg_advisory_lock(%s)", [lock_key(f"run:{run}")])
    set_job(connection, "check-authorizations")
    found, _, what = state(seen(), "check-authorizations")

    assert State.STUCK is found
    assert f"jobsync runs show {run[:8]}" in what
    assert [("check-authorizations", "duration")] == kinds(judge_health(seen()))
    connection.execute("UPDATE system_settings SET value = '10' WHERE key = 'alert_run_minutes'")
    assert [] == kinds(judge_health(seen()))


def test_timer_fires_but_always_skips(seen: Seen, connection: Connection) -> None:
    """Who holds the lock is named; a message only once it has lasted longer than a run may take."""
    add_dealership(connection)
    connection.execute("SELECT pg_advisory_lock(%s)", [lock_key("stock-sync")])
    connection.execute(
        "INSERT INTO run_locks (name, fence, run_id, holder, acquired_at) VALUES ('stock-sync', 1, gen_random_uuid(),"
        " 'stock-sync on db2, pid 4711, manual', %s)",
        [NOW - HOUR],
    )
    set_job(connection, consecutive_skips=12, skipped_by="somebody")
    found, why, what = state(seen())

    assert State.BLOCKED is found
    assert "pid 4711" in why
    assert "jobsync locks" in what
    assert [] == kinds(judge_health(seen()))
    set_job(connection, consecutive_skips=61)
    assert [("stock-sync", "skips")] == kinds(judge_health(seen()))


def test_runs_but_always_fails(seen: Seen, connection: Connection) -> None:
    """Why, the fingerprint, and where the trace is."""
    add_dealership(connection)
    run = add_run(connection, status="failed", exit_code=1, error="TypeError: 17 is no car", traceback="Traceback")
    set_job(connection, consecutive_failures=3, last_status="failed")
    snapshot = seen()
    found, why, what = state(snapshot)

    assert State.FAILING is found
    assert why.startswith("3 scheduled runs failed in a row; the last run ended as failed: ")
    assert "TypeError: 17 is no car" in why
    assert f"jobsync runs show {run[:8]}" == what
    assert snapshot.failures[0].fingerprint == job_status(snapshot, snapshot.job("stock-sync")).fingerprint
    assert [] == kinds(judge_health(snapshot))
    set_job(connection, consecutive_failures=5)
    assert [("stock-sync", "failures")] == kinds(judge_health(seen()))


def test_failures_outlast_the_rows_of_their_runs(seen: Seen, connection: Connection) -> None:
    """Nothing was due since, and the runs were deleted: the row of failures is still told."""
    add_dealership(connection)
    set_job(connection, consecutive_failures=5, last_status="failed")
    found, why, what = state(seen())

    assert State.FAILING is found
    assert "5 scheduled runs failed in a row, too long ago for their rows to be kept" == why
    assert "jobsync stock-sync shows whether it works now" == what
    assert [("stock-sync", "failures")] == kinds(judge_health(seen()))


@pytest.mark.parametrize(
    ("minutes_ago", "trigger", "words"),
    [
        (10, "manual", "a run by hand succeeded 10 min ago: the job can work, the next scheduled run shows"),
        (10, "timer", "a retry succeeded 10 min ago: the job can work"),
        (90, "manual", "a run by hand succeeded 1 h 30 min ago, scheduled ones still fail"),
    ],
)
def test_a_success_beside_a_row_of_failures_is_explained(
    seen: Seen, connection: Connection, minutes_ago: int, trigger: str, words: str
) -> None:
    """A hand run or a retry does not end the row: both numbers stand side by side, so it is said why."""
    add_dealership(connection)
    bad = add_run(connection, status="failed", exit_code=1, error="no answer", began=NOW - HOUR)
    at = NOW - timedelta(minutes=minutes_ago)
    add_run(connection, began=at - timedelta(seconds=30), trigger=trigger)
    set_job(connection, consecutive_failures=5, last_success_at=at)
    found, why, what = state(seen())

    assert State.FAILING is found
    assert f"5 scheduled runs failed in a row; {words}" in why
    assert "ended as failed: no answer" in why
    assert f"jobsync runs show {bad[:8]}" == what
    assert ("last success by hand" in judge_health(seen()).problems[0].text) is (trigger == "manual")


def test_a_hand_run_that_was_held_is_no_scheduled_failure(seen: Seen, connection: Connection) -> None:
    """It is the last run that did not end clean; yet nothing scheduled came after it, and its row shows no failure."""
    add_dealership(connection)
    bad = add_run(connection, status="failed", exit_code=1, error="no answer", began=NOW - HOUR)
    at = NOW - timedelta(minutes=10)
    add_run(connection, status="held", exit_code=3, began=at, lasted=timedelta(0), trigger="manual")
    set_job(connection, consecutive_failures=5, last_success_at=at)
    found, why, what = state(seen())

    assert State.FAILING is found
    assert "a run by hand got through, held 10 min ago: the job can work, the next scheduled run shows" in why
    assert "the last scheduled run to fail ended as failed: no answer" in why
    assert f"jobsync runs show {bad[:8]}" == what
    [problem] = judge_health(seen()).problems
    assert ("no answer" in problem.text, what) == (True, problem.what_to_do)


def test_a_dead_run_is_told_from_a_living_one(seen: Seen, connection: Connection) -> None:
    """Its row says running, its lock is free."""
    add_dealership(connection)
    run = add_run(connection, status="running", lasted=None, exit_code=None)
    set_job(connection)
    found, why, _ = state(seen())

    assert State.FAILING is found
    assert f"run {run[:8]} died without a word" in why


def test_easycars_down(seen: Seen, connection: Connection) -> None:
    """Every dealership of the last run was unreachable: not ours to mend."""
    add_dealership(connection)
    add_run(connection, status="failed", exit_code=69)
    set_job(connection, consecutive_failures=1)
    connection.execute("UPDATE sync_schedule SET retry_at = %s", [NOW + timedelta(minutes=4)])
    found, _, what = state(seen())

    assert State.UPSTREAM_DOWN is found
    assert "tried again in 4 min; the way there: jobsync doctor" == what


def test_easycars_down_promises_no_retry_that_does_not_come(seen: Seen, connection: Connection) -> None:
    """A run by hand has none: the next try is the slot's, or somebody's."""
    add_dealership(connection)
    add_run(connection, status="failed", exit_code=69, trigger="manual")
    set_job(connection)
    found, why, what = state(seen())

    assert State.UPSTREAM_DOWN is found
    assert why.endswith(" by hand")
    assert what.startswith(
        "not tried again before the next slot of 2026-11-20 23:00Z; once it answers: jobsync stock-sync;"
    )


def test_sri_down(seen: Seen, connection: Connection) -> None:
    """An open circuit; a message once it has lasted five minutes."""
    add_invoices(connection, add_tenant(connection), 1)
    set_job(connection, "check-authorizations")
    connection.execute(
        "INSERT INTO vendor_hosts (host, faults_in_a_row, opened_at) VALUES ('cel.sri.gob.ec', 9, %s)",
        [NOW - timedelta(minutes=4)],
    )
    verdict = judge_health(seen())

    assert State.UPSTREAM_DOWN is state(seen(), "check-authorizations")[0]
    assert [("cel.sri.gob.ec", "circuit")] == kinds(verdict)
    assert not verdict.problems[0].ripe
    connection.execute("UPDATE vendor_hosts SET opened_at = %s", [NOW - timedelta(minutes=5)])
    assert judge_health(seen()).problems[0].ripe


@pytest.mark.parametrize(
    ("digit", "host", "columns", "hours", "alarm"),
    [
        ("2", "cel.sri.gob.ec", {}, 1, True),
        ("1", "cel.sri.gob.ec", {}, 1, False),  # the test environment's documents go elsewhere
        ("1", "celcer.sri.gob.ec", {}, 1, True),
        ("1", "127.0.0.1:8080", {}, 1, True),  # a stand-in for both
        ("2", "127.0.0.1:8080", {}, 8, False),  # one that nobody asks any more
        ("2", "cel.sri.gob.ec", {"next_check_at": None}, 1, False),
        ("2", "cel.sri.gob.ec", {"deleted_at": NOW}, 1, False),
    ],
)
def test_a_host_that_nothing_waits_for_is_no_alarm(
    seen: Seen,
    connection: Connection,
    digit: str,
    host: str,
    columns: dict[str, Any],
    hours: int,
    alarm: bool,
) -> None:
    """Nobody would ever probe it: the alarm would stay for ever. It is a remark until a document waits again."""
    add_invoices(connection, add_tenant(connection), 1, **columns)
    connection.execute("UPDATE invoices SET access_key = overlay(access_key PLACING %s FROM 24)", [digit])
    set_job(connection, "check-authorizations")
    connection.execute(
        "INSERT INTO vendor_hosts (host, faults_in_a_row, opened_at, last_probe_at) VALUES (%s, 9, %s, %s)",
        [host, NOW - timedelta(hours=9), NOW - timedelta(hours=hours)],
    )
    verdict = judge_health(seen())

    assert ([(host, "circuit")] if alarm else []) == kinds(verdict)
    assert any(note.startswith(f"{host} did not answer when last asked") for note in verdict.notes) is not alarm
    assert (State.UPSTREAM_DOWN is state(seen(), "check-authorizations")[0]) is alarm


def test_no_message_before_the_host_was_tried_again(seen: Seen, connection: Connection) -> None:
    """The first document after hours waits for the next tick, which knows better."""
    add_invoices(connection, add_tenant(connection), 1)
    set_job(connection, "check-authorizations")
    connection.execute(
        "INSERT INTO vendor_hosts (host, faults_in_a_row, opened_at, last_probe_at)"
        " VALUES ('cel.sri.gob.ec', 9, %s, %s)",
        [NOW - timedelta(hours=9), NOW - timedelta(hours=3)],
    )
    assert not judge_health(seen()).problems[0].ripe
    connection.execute("UPDATE vendor_hosts SET last_probe_at = %s", [NOW])

    assert judge_health(seen()).problems[0].ripe


def test_all_paused(seen: Seen, connection: Connection) -> None:
    """Nobody takes part; that is meant, and no alarm however long."""
    number = add_dealership(connection, success=NOW - timedelta(days=30))
    connection.execute(
        "INSERT INTO dealership_settings (dealership_id, paused_until, paused_reason) VALUES (%s, %s, 'stocktake')",
        [number, NOW + HOUR],
    )
    set_job(connection)
    add_run(connection)
    snapshot = seen()
    [found] = dealership_statuses(snapshot)

    assert State.PAUSED is state(snapshot)[0]
    assert (Standing.PAUSED, "until 2026-11-20 04:00Z: stocktake") == (found.state, found.why)
    assert [] == kinds(judge_health(snapshot))


def test_work_is_due(seen: Seen, connection: Connection) -> None:
    """Due, and since when."""
    add_dealership(connection, next_at=NOW - timedelta(minutes=1))
    set_job(connection)
    add_run(connection)

    assert State.DUE is state(seen())[0]


def test_a_long_queue_is_not_taken_by_one_tick(seen: Seen, connection: Connection) -> None:
    """What limits it, and what makes it faster, stand where its job does."""
    add_invoices(connection, add_tenant(connection), 3)
    connection.execute("UPDATE system_settings SET value = '2' WHERE key = 'alert_queue_length'")
    set_job(connection, "check-authorizations")
    found = next(each for each in job_statuses(seen()) if each.name == "check-authorizations")

    assert (State.DUE, "what limits it: jobsync status") == (found.state, found.what_to_do)
    assert "; more than 2 is a long queue; no answer of the SRI is known" in (found.why or "")


def test_a_dealership_that_no_tick_has_met_is_not_due(seen: Seen, connection: Connection) -> None:
    """Synced by hand only: the first tick leads to its next slot, and takes nothing before it."""
    add_dealership(connection)
    connection.execute("UPDATE sync_schedule SET cron = NULL, timezone = NULL, seen = NULL, next_at = NULL")
    add_run(connection, trigger="manual")
    snapshot = seen()
    facts = snapshot.job("stock-sync")

    assert State.IDLE is state(snapshot)[0]
    assert (0, 1, NOW + timedelta(hours=23)) == (facts.due, facts.waiting, facts.next_at)


# --- dealerships -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "days_ago", "silent"),
    [
        ("0 2 * * *", 1.2, False),  # the slot of tonight was an hour ago
        ("0 2 * * *", 2.0, False),  # the slot was 25 hours ago
        ("0 2 * * *", 2.2, True),  # 49 hours
        ("0 2 * * 1", 4.0, False),  # weekly: its own slot counts
        ("0 2 * * 1", 12.0, True),
        ("unreadable", 30.0, True),  # what a tick kept was damaged: the rule in force counts
    ],
)
def test_silence_is_counted_from_its_own_slot(
    seen: Seen, connection: Connection, cron: str, days_ago: float, silent: bool
) -> None:
    """Beyond the slot after the last success, plus alert_silence_hours. NOW is a Friday, 03:00."""
    number = add_dealership(connection, cron=cron, success=NOW - timedelta(days=days_ago))
    set_job(connection)
    expected = [(f"dealership {number}", "silence")] if silent else []

    assert expected == kinds(judge_health(seen()))


def test_a_dealership_that_no_tick_has_met_is_judged_by_the_settings(seen: Seen, connection: Connection) -> None:
    """Synced by hand only, days ago: no schedule was computed yet, and it is silent all the same."""
    number = add_dealership(connection, success=NOW - timedelta(days=4))
    connection.execute("UPDATE sync_schedule SET cron = NULL, timezone = NULL, seen = NULL, next_at = NULL")

    assert [(f"dealership {number}", "silence")] == kinds(judge_health(seen()))


@pytest.mark.parametrize(("days", "standing"), [(0, Standing.FAILING), (1, Standing.FAILING), (3, Standing.SILENT)])
def test_status_and_health_agree_on_a_dealership_without_any_success(
    seen: Seen, connection: Connection, days: int, standing: Standing
) -> None:
    """It fails until it is silent: health notes the one and rings for the other, never both."""
    add_dealership(connection, success=None, failed="EasyCars refused the client")
    connection.execute("UPDATE sync_schedule SET first_seen_at = %s", [NOW - timedelta(days=days)])
    set_job(connection)
    [found] = dealership_statuses(seen())
    verdict = judge_health(seen())
    noted = any("1 dealership failed at the last sync; an alarm once 26 h" in note for note in verdict.notes)

    assert standing is found.state
    assert (standing is Standing.SILENT, standing is Standing.FAILING) == (bool(verdict.problems), noted)


@pytest.mark.parametrize("why", ["off", "credentials", "paused", "never"])
def test_who_takes_no_part_is_not_silent(seen: Seen, connection: Connection, why: str) -> None:
    """Switched off, without credentials, paused; a pause that ended a moment ago starts the count anew."""
    number = add_dealership(connection, success=NOW - timedelta(days=30))
    set_job(connection)
    changes = {
        "off": "INSERT INTO dealership_settings (dealership_id, easycar_auto_sync_enabled) VALUES (%(id)s, false)",
        "credentials": "UPDATE easycar_credentials SET is_active = false WHERE dealership_id = %(id)s",
        "paused": "INSERT INTO dealership_settings (dealership_id, paused_until) VALUES (%(id)s, %(soon)s)",
        "never": "INSERT INTO dealership_settings (dealership_id, paused_until) VALUES (%(id)s, %(past)s)",
    }
    connection.execute(changes[why].encode(), {"id": number, "soon": NOW + HOUR, "past": NOW - HOUR})

    assert [] == kinds(judge_health(seen()))


def test_a_switched_off_dealership_names_the_command_that_switches_it_on(seen: Seen, connection: Connection) -> None:
    """As a paused one names `resume`."""
    number = add_dealership(connection)
    connection.execute(
        "INSERT INTO dealership_settings (dealership_id, easycar_auto_sync_enabled) VALUES (%s, false)", [number]
    )
    [found] = dealership_statuses(seen())

    assert (Standing.OFF, f"jobsync dealership set {number} --auto-sync") == (found.state, found.what_to_do)


def test_failing_dealerships_come_first(seen: Seen, connection: Connection) -> None:
    """Silent, failing, held, then the others; each with its next step."""
    fine = add_dealership(connection, "fine")
    failing = add_dealership(connection, "failing", failed="EasyCars refuses the client")
    silent = add_dealership(connection, "silent", success=NOW - timedelta(days=9), failed="no answer")
    held = add_dealership(connection, "held")
    connection.execute("INSERT INTO holds (dealership_id, stock_numbers, reason) VALUES (%s, '{a,b}', 'limit')", [held])
    set_job(connection)
    found = dealership_statuses(seen())

    assert [silent, failing, held, fine] == [status.key for status in found]
    assert "EasyCars refuses the client" in (found[1].why or "")
    assert f"jobsync credentials test {failing}" == found[1].what_to_do
    assert "jobsync holds approve" in (found[2].what_to_do or "")
    assert {(f"dealership {silent}", "silence"), (f"dealership {held}", "held")} == set(kinds(judge_health(seen())))


@pytest.mark.parametrize("held_fails", [False, True])
def test_the_job_names_first_what_health_names(seen: Seen, connection: Connection, held_fails: bool) -> None:
    """One that failed and has no alarm yet comes after one of which something is held, though it is listed first."""
    failing = add_dealership(connection, "failing", failed="no answer")
    held = add_dealership(connection, "held", failed="no answer" if held_fails else None)
    set_job(connection)
    assert (State.ATTENTION, f"jobsync credentials test {failing}") == state(seen())[::2]

    connection.execute("INSERT INTO holds (dealership_id, stock_numbers, reason) VALUES (%s, '{a,b}', 'limit')", [held])
    [problem] = judge_health(seen()).problems
    assert (f"dealership {held}", problem.what_to_do) == (problem.subject, state(seen())[2])
    assert failing == dealership_statuses(seen())[0].key


# --- documents -------------------------------------------------------------------------------------------------------


def test_queues_and_documents_that_need_a_person(seen: Seen, connection: Connection) -> None:
    """The queue's limit, and each tenant with documents that wait for somebody."""
    tenant = add_tenant(connection)
    add_invoices(connection, tenant, 100)
    set_job(connection, "check-authorizations")
    assert [] == kinds(judge_health(seen()))

    add_invoices(connection, tenant, 1)
    add_invoices(connection, tenant, 2, "needs_attention", next_check_at=None)
    assert [("check-authorizations", "queue"), ("tenant 1790012345001", "documents")] == kinds(judge_health(seen()))


def test_a_queue_near_its_limit_rings_once(seen: Seen, connection: Connection) -> None:
    """Once told, it is over only when clearly shorter."""
    add_invoices(connection, add_tenant(connection), 90)
    set_job(connection, "check-authorizations")

    assert [] == kinds(judge_health(seen()))
    connection.execute("INSERT INTO alerts (subject, kind) VALUES ('check-authorizations', 'queue')")
    assert [("check-authorizations", "queue")] == kinds(judge_health(seen()))


def test_ride_backlog(seen: Seen, connection: Connection) -> None:
    """Authorized documents without their RIDE, and those whose RIDE was refused for good."""
    tenant = add_tenant(connection)
    set_job(connection, "generate-ride")
    add_invoices(connection, tenant, 101, "authorized", ride_next_at=NOW - HOUR)
    assert [("generate-ride", "queue")] == kinds(judge_health(seen()))

    connection.execute("UPDATE invoices SET ride_next_at = NULL, ride_error = 'no total' WHERE id % 2 = 0")
    connection.execute(
        "INSERT INTO sri_events (invoice_id, tenant_id, at, kind) SELECT id, tenant_id, %s, 'authorized' FROM invoices",
        [NOW - HOUR],
    )
    assert [("tenant 1790012345001", "ride")] == kinds(judge_health(seen()))
    assert "no total" in judge_health(seen()).problems[0].text


def test_a_full_storage_is_not_only_work_that_is_due(seen: Seen, connection: Connection) -> None:
    """Such a run ends as held and charges nobody; somebody must make room."""
    add_invoices(connection, add_tenant(connection), 3, "authorized", ride_next_at=NOW - HOUR)
    set_job(connection, "generate-ride")
    add_run(connection, "generate-ride", "held", exit_code=3)
    found, _, what = state(seen(), "generate-ride")

    assert State.ATTENTION is found
    assert "jobsync doctor" in what
    assert [("generate-ride", "storage")] == kinds(judge_health(seen()))


def test_paused_tenants_wait_without_alarm(seen: Seen, connection: Connection) -> None:
    """Their documents are neither due nor an alarm."""
    tenant = add_tenant(connection)
    add_invoices(connection, tenant, 500)
    connection.execute("UPDATE tenants SET paused_until = %s", [NOW + HOUR])
    set_job(connection, "check-authorizations")
    add_run(connection, "check-authorizations")

    assert State.PAUSED is state(seen(), "check-authorizations")[0]
    assert [] == kinds(judge_health(seen()))


def test_service_levels(seen: Seen, connection: Connection) -> None:
    """What was promised, counted from the instant at which we knew; what still waits too long counts as broken."""
    tenant = add_tenant(connection)
    sent = NOW - HOUR
    for minutes, drawn in ((1, 1), (4, 3), (6, None)):
        add_invoices(
            connection, tenant, 1, "authorized", submitted_at=sent,
            ride_generated_at=sent + timedelta(minutes=minutes + drawn) if drawn else None,
        )  # fmt: skip
        connection.execute(
            "INSERT INTO sri_events (invoice_id, tenant_id, at, kind)"
            " SELECT max(id), %s, %s, 'authorized' FROM invoices",
            [tenant, sent + timedelta(minutes=minutes)],
        )
    add_invoices(connection, tenant, 1, submitted_at=sent)
    add_invoices(connection, tenant, 1, "rejected")
    connection.execute(
        "INSERT INTO sri_events (invoice_id, tenant_id, at, kind) SELECT max(id), %s, %s, 'rejected' FROM invoices",
        [tenant, NOW],
    )
    add_run(connection)
    add_run(connection, status="partial", exit_code=3)

    assert [(2, 4), (1, 3), (1, 2), (3, 4)] == [(level.kept, level.of) for level in service_levels(seen())]


def test_a_rejected_document_is_told_without_an_alarm(seen: Seen, connection: Connection) -> None:
    """It is its issuer's to correct: health mentions it, and the service level that it costs has a name for it."""
    tenant = add_tenant(connection)
    add_invoices(connection, tenant, 3, "rejected", next_check_at=None)
    connection.execute(
        "INSERT INTO sri_events (invoice_id, tenant_id, at, kind) SELECT id, tenant_id, %s, 'rejected' FROM invoices",
        [NOW - HOUR],
    )
    connection.execute("UPDATE invoices SET status = 'pending_authorization' WHERE id = (SELECT max(id) FROM invoices)")
    snapshot = seen()
    verdict = judge_health(snapshot)

    assert [] == kinds(verdict)
    assert any("rejected 2 documents in the last 7 d" in note and "--status rejected" in note for note in verdict.notes)
    assert ("neither rejected nor waiting for a person", 0, 3) in [
        (level.name, level.kept, level.of) for level in service_levels(snapshot)
    ]


def test_the_headline_names_a_broken_promise(seen: Seen, connection: Connection) -> None:
    """Nobody is woken for it; "all is well" is not said above it."""
    assert "all is well" == headline(seen(), judge_health(seen()))
    add_dealership(connection)
    set_job(connection)
    add_run(connection, status="partial", exit_code=3)
    verdict = judge_health(seen())

    assert ([], 0) == (kinds(verdict), verdict.exit_code)
    assert "1 service level below target" == headline(seen(), verdict)
    assert "service level below 95 %: runs clean 0.0 %, 0 of 1" in verdict.notes


def test_the_headline_names_a_job_that_fails(seen: Seen, connection: Connection) -> None:
    """Before it has failed often enough for an alarm; from then on the number of alarms stands there."""
    add_dealership(connection)
    add_run(connection, status="failed", exit_code=1)
    set_job(connection, consecutive_failures=3)

    assert "stock-sync failing, 1 service level below target" == headline(seen(), judge_health(seen()))
    set_job(connection, consecutive_failures=5)
    assert "1 needs attention, 1 service level below target" == headline(seen(), judge_health(seen()))


def test_unreadable_settings_are_an_alarm(seen: Seen, connection: Connection) -> None:
    """They count as off or as their default: somebody meant something else."""
    connection.execute("UPDATE system_settings SET value = 'many' WHERE key = 'alert_queue_length'")

    assert [("alert_queue_length", "settings")] == kinds(judge_health(seen()))


@pytest.mark.parametrize(
    ("statement", "words", "what"),
    [
        (
            "INSERT INTO dealership_settings (dealership_id, sync_cron) VALUES (%(id)s, 'so oft wie moeglich')",
            "its cron 'so oft wie moeglich' cannot be used (it has 4 fields, not five), '0 2 * * *' is in force",
            "jobsync dealership schedule {id} '0 2 * * *' (or --default)",
        ),
        (
            "UPDATE dealerships SET timezone = 'Sydney' WHERE id = %(id)s",
            "its time zone 'Sydney' is unknown, UTC is in force",
            "jobsync dealership set {id} --timezone Australia/Sydney",
        ),
    ],
)
@pytest.mark.parametrize("ticked", [True, False])
def test_what_cannot_be_read_of_one_dealership_is_an_alarm(
    seen: Seen, connection: Connection, statement: str, words: str, what: str, ticked: bool
) -> None:
    """Whether a tick has met it yet or not; the dealership is not fine, and is not an alarm while it takes no part."""
    number = add_dealership(connection)
    set_job(connection)
    connection.execute(statement.encode(), {"id": number})
    if not ticked:
        connection.execute("UPDATE sync_schedule SET cron = NULL, timezone = NULL, seen = NULL, next_at = NULL")
    [problem] = judge_health(seen()).problems
    [found] = dealership_statuses(seen())

    assert (f"dealership {number}", "settings") == (problem.subject, problem.kind)
    assert problem.text.endswith(words)
    assert what.format(id=number) == problem.what_to_do
    assert (Standing.WARNED, words, what.format(id=number)) == (found.state, found.why, found.what_to_do)
    connection.execute("UPDATE easycar_credentials SET is_active = false")
    assert [] == kinds(judge_health(seen()))


def test_without_a_last_good_cron_the_common_one_is_in_force(seen: Seen, connection: Connection) -> None:
    """As a tick resolves it."""
    number = add_dealership(connection)
    connection.execute("UPDATE system_settings SET value = '0 5 * * *' WHERE key = 'easycar_sync_cron'")
    connection.execute("UPDATE sync_schedule SET cron = NULL, timezone = NULL, seen = NULL, next_at = NULL")
    connection.execute("INSERT INTO dealership_settings (dealership_id, sync_cron) VALUES (%s, 'often')", [number])
    [found] = facts_of(seen()).dealerships

    assert ("0 5 * * *", "often", NOW + 2 * HOUR) == (found.cron, found.unreadable_cron, found.next_at)


def test_an_unreadable_common_cron_is_one_alarm_however_many_go_by_it(seen: Seen, connection: Connection) -> None:
    """Each dealership has its own or the common one; only the common one is wrong."""
    for name in ("Northside", "Southside"):
        add_dealership(connection, name)
    set_job(connection)
    connection.execute("UPDATE system_settings SET value = '0 3 31 2 *' WHERE key = 'easycar_sync_cron'")
    [problem] = judge_health(seen()).problems

    assert ("easycar_sync_cron", "settings") == (problem.subject, problem.kind)
    assert "'0 3 31 2 *' cannot be used (it never comes)" in problem.text
    assert "the last good one stays in force" in problem.text


@pytest.mark.parametrize(("minutes", "told"), [(None, True), (21, True), (19, False)])
def test_who_watches_is_watched(seen: Seen, connection: Connection, minutes: int | None, told: bool) -> None:
    """Without the health timer nobody is told of anything; whoever looks sees that."""
    add_dealership(connection)
    set_job(connection)
    if minutes is not None:
        set_job(connection, "health", last_tick_at=NOW - timedelta(minutes=minutes))
    verdict = judge_health(seen())

    assert told is any("nobody is told" in note for note in verdict.notes)
    assert [] == kinds(verdict)


def test_the_list_of_kinds_in_the_docs_is_the_one_of_the_code(seen: Seen) -> None:
    """Whoever got a mail, or reads health, finds its word in docs/operations.md; the last two come without a look."""
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    table = page[page.index("| kind |") :].split("\n\n")[0].splitlines()[2:]
    listed = [row.split("|")[1].strip().strip("`") for row in table]

    assert [*(check.name for check in judge_health(seen()).checks), "database", "configuration"] == listed
    assert set(listed) == set(Kind)


def test_the_docs_explain_every_state() -> None:
    """Each word that status may say stands in the table of docs/operations.md."""
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    table = page[page.index("| `status` says |") :].split("\n\n")[0]

    assert [] == [state for state in State if f"`{state.upper()}`" not in table]


def test_failures_are_grouped_by_what_is_the_same(seen: Seen, connection: Connection) -> None:
    """Numbers and ids differ, the failure is one; HTTP codes tell it apart."""
    for number in range(5):
        add_run(connection, status="failed", exit_code=1, error=f"no answer within {number} s from host {number}")
    add_run(connection, status="failed", exit_code=1, error="HTTP 503")
    add_run(connection, status="failed", exit_code=1, error="HTTP 500")

    assert [5, 1, 1] == [group.times for group in seen().failures]


def test_one_web_page_is_not_easycars_down(seen: Seen, connection: Connection) -> None:
    """A retry run of the one that fails, while others were synced minutes before, says nothing of the vendor."""
    for name in ("Northside", "Southside"):
        add_dealership(connection, name)
    add_dealership(connection, "Westside", failed="the answer is a web page")
    run = add_run(connection, status="failed", exit_code=69)
    connection.execute("UPDATE easycar_sync_logs SET run_id = %s WHERE status = 'Failed'", [run])
    set_job(connection)
    found, why, _ = state(seen())

    assert (State.ATTENTION, "dealerships: 1 failing") == (found, why)


def test_easycars_is_down_over_all_runs(seen: Seen, connection: Connection) -> None:
    """Each dealership asked lately, each in a run of its own, had no answer; an older one does not count."""
    add_dealership(connection, "Eastside")
    connection.execute("UPDATE easycar_sync_logs SET synced_at = %s", [NOW - 9 * HOUR])
    for name in ("Northside", "Southside"):
        number = add_dealership(connection, name, failed="no answer within 60 s")
        run = add_run(connection, status="failed", exit_code=69)
        connection.execute("UPDATE easycar_sync_logs SET run_id = %s WHERE dealership_id = %s", [run, number])
    set_job(connection)

    assert State.UPSTREAM_DOWN is state(seen())[0]


def test_what_was_held_is_no_success_and_no_silence(seen: Seen, connection: Connection) -> None:
    """The last success stays the one before; nobody is called silent whose syncs get through."""
    number = add_dealership(connection, success=NOW - 9 * 24 * HOUR)
    connection.execute("UPDATE easycar_sync_logs SET status = 'Held' WHERE dealership_id = %s", [number])
    set_job(connection)
    add_run(connection, status="held", exit_code=3)
    [found] = dealership_statuses(seen())

    assert NOW - 9 * 24 * HOUR == found.cells["last_success_at"]
    assert [] == kinds(judge_health(seen()))


@pytest.mark.parametrize(
    ("delay_ms", "concurrency", "p50_ms", "expected"),
    [
        (500, 8, 8.0, "sri_call_delay_ms 250"),  # the pace
        (100, 8, 640.0, "sri_call_delay_ms 80"),  # the pace, hardly
        (0, 8, 640.0, "sri_check_concurrency 16"),  # the answers
        (50, 8, 9000.0, "sri_check_concurrency 16"),
        (50, 40, 9000.0, "sri_check_concurrency 64"),
        (50, 64, 9000.0, "nothing here"),
        (500, 8, None, "jobsync status"),
    ],
)
def test_what_limits_the_queue_is_what_is_to_be_changed(
    delay_ms: int, concurrency: int, p50_ms: float | None, expected: str
) -> None:
    """Calls in flight do not help where calls wait for their pace; a pace does not where answers are slow."""
    assert expected in what_limits(delay_ms, concurrency, p50_ms)[1]


@pytest.mark.parametrize("state", [*State])
def test_a_job_that_takes_nothing_is_what_limits_its_queue(state: State) -> None:
    """Switched off, no timer, a lock, a vendor away: their remedy stands, not that of a slow queue."""
    status = JobStatus(cast("JobFacts", None), state, "why", "its own remedy")
    halted = (State.OFF, State.TIMER_OFF, State.BLOCKED, State.STUCK, State.TOO_OFTEN, State.UPSTREAM_DOWN)
    expected = "its own remedy" if state in halted else "faster"

    assert expected == limit_of(status, Queue("due", "slow", "faster"))[1]


def test_a_full_storage_is_one_problem(seen: Seen, connection: Connection) -> None:
    """However many documents wait for it: that they do has no cure of its own."""
    add_invoices(connection, add_tenant(connection), 300, "authorized", ride_next_at=NOW - HOUR)
    set_job(connection, "generate-ride")
    add_run(connection, "generate-ride", "held", exit_code=3, error="storage_full: storage /srv/rides: it is full")
    verdict = judge_health(seen())

    assert [("generate-ride", "storage")] == kinds(verdict)
    assert verdict.problems[0].what_to_do.startswith("df -h /srv/rides; ")


def test_a_queue_that_was_told_is_not_over_while_the_storage_is_full(seen: Seen, connection: Connection) -> None:
    """Nobody is told that it recovered: it is still there, and is said to be halted, with the storage's cure."""
    add_invoices(connection, add_tenant(connection), 300, "authorized", ride_next_at=NOW - HOUR)
    set_job(connection, "generate-ride")
    add_run(connection, "generate-ride", "held", exit_code=3, error="storage_full: storage /srv/rides: it is full")
    connection.execute("INSERT INTO alerts (subject, kind) VALUES ('generate-ride', 'queue')")
    verdict = judge_health(seen())
    [still] = [each for each in verdict.problems if each.kind == "queue"]

    assert [("generate-ride", "queue"), ("generate-ride", "storage")] == kinds(verdict)
    assert "300 documents still wait" in still.text
    assert "storage /srv/rides: it is full" in still.text
    assert still.what_to_do.startswith("df -h /srv/rides; ")


def test_nobody_will_be_told_stands_first(database: Database, connection: Connection) -> None:
    """Where no way to tell people is set, the first line says so, and how to set one."""
    with database.engine(connections=1).connect() as opened:
        untold, told = (look(opened, now=NOW, channels=channels) for channels in ((), ("mail",)))
    first = next(screen(untold, judge_health(untold)))[1]

    assert first.startswith("nobody will be told")
    assert not any("nobody will be told" in text for _, text in screen(told, judge_health(told)))
    assert ((), ("mail",)) == (as_json(untold, judge_health(untold))["channels"], told.channels)


def test_a_timer_that_is_on_is_not_called_for(database: Database, connection: Connection) -> None:
    """Enabled seconds ago, it has not acted yet: nothing says that nobody watches, or to enable it."""
    add_dealership(connection)
    names = frozenset({"stock-sync", "check-authorizations", "generate-ride", "health"})
    with database.engine(connections=1).connect() as opened:
        found = look(opened, now=NOW, timers_on=names, channels=("mail",))
    text = "\n".join(line for _, line in screen(found, judge_health(found)))

    assert "enable --now" not in text
    assert "nobody watches" not in text
    assert judge_health(found).notes == ()


def test_a_paused_tenant_is_on_the_screen(seen: Seen, connection: Connection) -> None:
    """With until when, and how it is resumed."""
    add_tenant(connection)
    connection.execute("UPDATE tenants SET paused_until = %s", [NOW + HOUR])
    text = "\n".join(line for _, line in screen(seen(), judge_health(seen())))

    assert "paused until 2026-11-20 04:00Z" in text
    assert "jobsync tenant resume 1790012345001" in text
