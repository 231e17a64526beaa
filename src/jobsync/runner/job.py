"""What an item's result looks like, and the verdict over all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from jobsync.errors import ExitCode
from jobsync.jobs import BY_NAME


class ItemStatus(StrEnum):
    """How one item ended; the order of precedence is failed > held > partial > success."""

    SUCCESS = "success"
    PARTIAL = "partial"
    HELD = "held"
    FAILED = "failed"
    SKIPPED = "skipped"


class RunStatus(StrEnum):
    """How a run ended; `disabled` and `skipped` open no row in job_runs."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    HELD = "held"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOCK_LOST = "lock_lost"
    CRASHED = "crashed"
    DISABLED = "disabled"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class ItemResult:
    """
    One item's outcome; `key` is its identity in job_items and locks, `details` are further keys of its JSON shape.

    Args:
        unreachable: there was no usable answer. It failed for that reason, or was skipped if that is no news: then it
            was begun all the same, and nobody who asked for it by name needs to look.
        transient: it failed for a reason that may be gone a little later.
    """

    key: str
    label: str
    status: ItemStatus
    reason: str | None = None
    error: str | None = None
    unreachable: bool = False
    transient: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    named: bool = False


@dataclass(frozen=True)
class Counts:
    """Items of a run by outcome; `remaining` were due but not started."""

    eligible: int = 0
    succeeded: int = 0
    partial: int = 0
    held: int = 0
    failed: int = 0
    skipped: int = 0
    remaining: int = 0

    def as_json(self) -> dict[str, int]:
        return dict(vars(self))


@dataclass(frozen=True)
class Report:
    """What a run tells its caller, its row, the log and the shell: one verdict for all four."""

    job: str
    status: RunStatus
    exit_code: ExitCode
    run_id: UUID | None = None
    counts: Counts = Counts()
    items: tuple[ItemResult, ...] = ()
    error: str | None = None
    duration_s: float = 0.0

    @property
    def summary(self) -> str:
        """A line for the log and the ping: how many items of which outcome, and how long it took."""
        noun = BY_NAME[self.job].noun if self.job in BY_NAME else "items"
        words = {"eligible": noun.removesuffix("s") if self.counts.eligible == 1 else noun}
        parts = [
            f"{number} {words.get(word, word)}"
            for word, number in self.counts.as_json().items()
            if number or word in ("eligible", "succeeded")
        ]
        return ", ".join([*parts, f"{self.duration_s:.1f} s"])


def count_items(results: Iterable[ItemResult], *, eligible: int) -> Counts:
    """Count by outcome; what is eligible and has no result is remaining."""
    results = list(results)
    number = Counter(result.status for result in results)
    left_due = sum(
        result.status is ItemStatus.SKIPPED and (result.reason in ("locked", "changed") or result.unreachable)
        for result in results
    )
    attempted = len(results) - number[ItemStatus.SKIPPED]
    return Counts(
        eligible=eligible,
        succeeded=number[ItemStatus.SUCCESS],
        partial=number[ItemStatus.PARTIAL],
        held=number[ItemStatus.HELD],
        failed=number[ItemStatus.FAILED],
        skipped=number[ItemStatus.SKIPPED],
        remaining=max(0, eligible - attempted - left_due),
    )


def judge_run(
    results: Iterable[ItemResult],
    *,
    lock_lost: bool = False,
    cancelled: bool = False,
    interrupted: bool = False,
    timed_out: bool = False,
    held: bool = False,
) -> tuple[RunStatus, ExitCode]:
    """
    Return the verdict over a run's items.

    Precedence: lock_lost > cancelled > timed_out > failed > partial > held > succeeded. A run failed only if nothing
    in it went through; failures beside anything that did make it partial. A cancelled run is well, but one that a
    person broke off (`interrupted`) must not let a shell go on to what was to follow it. `held`: what every item needs
    could not be used.

    >>> judge_run([])
    (<RunStatus.SUCCEEDED: 'succeeded'>, <ExitCode.DONE: 0>)
    """
    results = list(results)
    failed = [result for result in results if result.status is ItemStatus.FAILED]
    statuses = {result.status for result in results} | ({ItemStatus.HELD} if held else set())
    named_skipped = any(each.named and each.status is ItemStatus.SKIPPED and not each.unreachable for each in results)
    if lock_lost:
        return RunStatus.LOCK_LOST, ExitCode.LOCK_LOST
    if cancelled:
        return RunStatus.CANCELLED, ExitCode.INTERRUPTED if interrupted else ExitCode.DONE
    if timed_out:
        return RunStatus.TIMED_OUT, ExitCode.NEEDS_ATTENTION
    if failed and not statuses & {ItemStatus.SUCCESS, ItemStatus.PARTIAL, ItemStatus.HELD}:
        away = all(result.unreachable for result in failed)
        return RunStatus.FAILED, ExitCode.UNAVAILABLE if away else ExitCode.FAILED
    if failed or ItemStatus.PARTIAL in statuses or named_skipped:
        return RunStatus.PARTIAL, ExitCode.NEEDS_ATTENTION
    if ItemStatus.HELD in statuses:
        return RunStatus.HELD, ExitCode.NEEDS_ATTENTION
    return RunStatus.SUCCEEDED, ExitCode.DONE
