"""Why a unit failed, pure: what its run recorded, else what systemd says; and what that shows of everything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from jobsync.alerts.model import Alert
from jobsync.alerts.units import FailedItem, Record, UnitFailure, look_at_failure, look_at_no_database
from jobsync.causes import Cause
from jobsync.db.causes import NoRoom, Standby, meaning_of
from jobsync.errors import ConfigurationProblem, JobsyncError, Unavailable
from jobsync.wiring.watched import WATCHED
from tests.watch.support import NOW

STOCK = "jobsync-stock-sync.service"
RUN = "3f2a91b0-0000-4000-8000-000000000000"


NO_RUN = Record()


def found(record: Record = NO_RUN, **how: Any) -> list[tuple[str, str, str, str | None]]:
    """Return what a failure shows: kind, subject, cause, host."""
    look = look_at_failure(UnitFailure(STOCK, "db1", **how), record, WATCHED)
    return [(each.kind, each.subject, each.cause, each.host) for each in look.found]


@pytest.mark.parametrize(
    ("result", "status", "cause"),
    [
        ("exit-code", "1", "unit_failed"),
        ("exit-code", "69", "unit_unavailable"),
        ("exit-code", "70", "unit_lock_lost"),
        ("exit-code", "78", "unit_configuration"),
        ("exit-code", "203", "unit_not_started"),
        ("watchdog", "ABRT", "unit_watchdog"),
        ("timeout", "TERM", "unit_timed_out"),
        ("oom-kill", "KILL", "unit_out_of_memory"),
        ("signal", "SEGV", "unit_killed"),
        ("resources", None, "unit_not_started"),
        (None, None, "unit_failed"),
        ("exit-code", "many", "unit_failed"),
    ],
)
def test_a_unit_without_a_run_fails_for_what_systemd_says(result: str, status: str | None, cause: str) -> None:
    """It never got to work, or could not write down that it did."""
    assert [("unit", f"{STOCK} on db1", cause, "db1")] == found(result=result, status=status)


@pytest.mark.parametrize(
    ("reason", "kind", "cause", "host"),
    [
        ("credentials_client", "credentials", "credentials_refused", None),
        ("credentials_account", "credentials", "credentials_refused", None),
        ("credentials", "credentials", "credentials_unreadable", None),
        ("unreachable", "unit", "vendor_unreachable", "db1"),
        ("html", "unit", "vendor_unreachable", "db1"),
        ("vendor_failed", "unit", "vendor_failed", "db1"),
        ("database", "unit", "database_refuses", "db1"),
        ("something", "unit", "item_failed", "db1"),
        (None, "unit", "item_failed", "db1"),
    ],
)
def test_a_dealership_that_failed_is_a_subject_of_its_own(
    reason: str | None, kind: str, cause: str, host: str | None
) -> None:
    """By the code that its failure was recorded with; what health finds too is the same alert on any host."""
    record = Record(run_id=RUN, status="failed", items=(FailedItem("4", "Northside", reason, "words"),))

    assert [(kind, "dealership 4", cause, host)] == found(record, result="exit-code", status="1")


@pytest.mark.parametrize("status", ["partial", "held"])
def test_a_run_in_which_nothing_failed_is_no_failure(status: str) -> None:
    """Its exit code 3 makes the unit fail; what it held is told by health."""
    assert [] == found(Record(run_id=RUN, status=status), result="exit-code", status="3")


def test_documents_that_failed_are_one_alert_of_their_unit() -> None:
    """Thousands of them may fail in a night; the first is named, with the run."""
    record = Record(run_id=RUN, status="failed", items=(FailedItem("1" * 49, None, "fault", "HTTP 500"),) * 3)
    unit = "jobsync-check-authorizations.service"
    look = look_at_failure(UnitFailure(unit, "db1", "exit-code", "1"), record, WATCHED)

    [one] = look.found
    assert (f"{unit} on db1", "unit_failed") == (one.subject, one.cause)
    assert "HTTP 500" in one.text
    assert one.what_to_do.startswith("jobsync runs show 3f2a91b0; ")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (Unavailable("database: refused"), Cause.DATABASE_UNREACHABLE),
        (NoRoom("database: too many"), Cause.DATABASE_NO_ROOM),
        (Standby("database: a standby"), Cause.DATABASE_STANDBY),
        (meaning_of("28P01", "passwort"), Cause.DATABASE_LOGIN_REFUSED),
        (meaning_of("3D000", "x"), Cause.DATABASE_LOGIN_REFUSED),
        (ConfigurationProblem("configuration: JOBSYNC_STORAGE"), Cause.CONFIGURATION_WRONG),
        (ConfigurationProblem("older", cause=Cause.SCHEMA_OLDER), Cause.SCHEMA_OLDER),
    ],
)
def test_an_error_has_its_cause_by_its_class_never_by_its_words(error: JobsyncError, cause: Cause) -> None:
    """What no retry mends is told at once, also by a unit."""
    [one] = look_at_no_database(error, "db1", at_once=False).found

    assert (cause, cause.kind, 1 if cause.lasts else None) == (one.cause, one.kind, one.after)
    assert one.what_to_do == cause.do()


def test_who_meets_one_cause_of_the_database_has_passed_those_before_it() -> None:
    """The others stay open: a server that is away says nothing of the schema."""
    older = _alert(Cause.SCHEMA_OLDER)
    away = _alert(Cause.DATABASE_UNREACHABLE)
    met_older = look_at_no_database(ConfigurationProblem("x", cause=Cause.SCHEMA_OLDER), "db1", at_once=True)
    met_away = look_at_no_database(Unavailable("x"), "db1", at_once=True)

    assert (True, False) == (met_older.passed(away), met_away.passed(older))
    assert not met_older.passed(replace(away, host="db2"))


def test_a_failure_with_a_database_that_answers_ends_its_alerts() -> None:
    """And its unit's own, if a success lies between."""
    failed = _alert(Cause.UNIT_FAILED, subject=f"{STOCK} on db1")
    look = look_at_failure(UnitFailure(STOCK, "db1", status="1"), Record(NOW + timedelta(minutes=1)), WATCHED)

    assert [True, True, False] == [
        look.passed(each)
        for each in (_alert(Cause.SCHEMA_OLDER), failed, replace(failed, seen_at=NOW + timedelta(hours=1)))
    ]


def _alert(cause: Cause, **changes: Any) -> Alert:
    base = {"subject": f"{cause.kind} of db1", "host": "db1", "text": "t", "what_to_do": "w", **changes}
    return Alert(kind=cause.kind, cause=cause, opened_at=NOW, seen_at=NOW, **base)
