"""The verdict over a run's items, as a table."""

from __future__ import annotations

import pytest

from jobsync.errors import ExitCode
from jobsync.runner.job import Counts, ItemResult, ItemStatus, RunStatus, count_items, judge_run


def result(word: str) -> ItemResult:
    """Return a result: a status, `unreachable`, `locked`, `named` (locked, asked for by name), `probed` (so too)."""
    if word == "unreachable":
        return ItemResult("1", "one", ItemStatus.FAILED, unreachable=True)
    if word in ("locked", "named"):
        return ItemResult("1", "one", ItemStatus.SKIPPED, reason="locked", named=word == "named")
    if word == "probed":
        return ItemResult("1", "one", ItemStatus.SKIPPED, unreachable=True, named=True)
    if word == "paused":
        return ItemResult("1", "one", ItemStatus.SKIPPED, reason="paused")
    return ItemResult("1", "one", ItemStatus(word))


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ("", "succeeded", 0),
        ("success", "succeeded", 0),
        ("success paused", "succeeded", 0),
        ("success locked", "succeeded", 0),
        ("locked", "succeeded", 0),
        ("success named", "partial", 3),
        ("probed", "succeeded", 0),
        ("named failed", "failed", 1),
        ("success partial", "partial", 3),
        ("partial", "partial", 3),
        ("partial held", "partial", 3),
        ("held", "held", 3),
        ("success held", "held", 3),
        ("success failed", "partial", 3),
        ("held failed", "partial", 3),
        ("partial failed", "partial", 3),
        ("success unreachable", "partial", 3),
        ("held unreachable", "partial", 3),
        ("failed", "failed", 1),
        ("failed failed", "failed", 1),
        ("failed paused", "failed", 1),
        ("unreachable", "failed", 69),
        ("unreachable unreachable paused", "failed", 69),
        ("unreachable failed", "failed", 1),
    ],
)
def test_verdict_over_items(words: str, status: str, code: int) -> None:
    """A run failed only where nothing went through; the worst item decides otherwise."""
    assert (RunStatus(status), ExitCode(code)) == judge_run(map(result, words.split()))


@pytest.mark.parametrize(
    ("flags", "status", "code"),
    [
        (("lock_lost", "cancelled", "timed_out"), "lock_lost", 70),
        (("lock_lost",), "lock_lost", 70),
        (("cancelled", "timed_out"), "cancelled", 0),
        (("cancelled",), "cancelled", 0),
        (("timed_out",), "timed_out", 3),
    ],
)
def test_what_happened_to_the_run_stands_above_its_items(flags: tuple[str, ...], status: str, code: int) -> None:
    """lock_lost > cancelled > timed_out > what the items say."""
    items = [result("failed"), result("held"), result("success")]

    assert (RunStatus(status), ExitCode(code)) == judge_run(items, **dict.fromkeys(flags, True))


def test_counts_tell_what_is_left() -> None:
    """Eligible items without a result remain due; those skipped for other reasons were never eligible."""
    words = "success failed unreachable held partial locked paused paused probed"

    assert Counts(eligible=9, succeeded=1, partial=1, held=1, failed=2, skipped=4, remaining=2) == count_items(
        map(result, words.split()), eligible=9
    )


def test_remaining_is_never_negative() -> None:
    """More results than were announced leave nothing, not less than nothing."""
    assert count_items([result("success")] * 2, eligible=1).remaining == 0
