"""The root error and the table of exit codes: what a shell, a timer and an operator are told."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobsync.causes import Cause


class ExitCode(IntEnum):
    """
    Exit codes of every command, each with what it means: manual, reference and alerts say it in these words.

    The numbers above 64 are those of BSD's sysexits.h, 130 is what shells say of SIGINT.
    """

    short: str  # for an alert
    meaning: str  # for the tables

    def __new__(cls, number: int, short: str = "", meaning: str = "") -> ExitCode:
        code = int.__new__(cls, number)
        code._value_, code.short, code.meaning = number, short, meaning
        return code

    DONE = 0, "done", "done, nothing due, or switched off"
    FAILED = (
        1,
        "failed",
        "failed: at least one item failed and none got through; or unwritten output; or a bug, with a traceback",
    )
    USAGE = 2, "usage", "usage: unknown command, option, dealership, tenant, document or setting"
    NEEDS_ATTENTION = (
        3,
        "needs attention",
        "finished, needs attention: some items failed, were refused or held, or time ran out",
    )
    UNAVAILABLE = (
        69,
        "database or service unavailable",
        "unavailable: the database, or every service that was asked",
    )
    LOCK_LOST = 70, "lock lost", "the lock was lost; nothing was written after it went"
    LOCKED = (
        75,
        "another run holds the lock",
        "another run holds the lock (it is named), or an old writer still writes",
    )
    CONFIGURATION = 78, "configuration", "configuration: everything that is wrong is named"
    INTERRUPTED = (
        130,
        "interrupted",
        "interrupted by Ctrl-C; a run has finished what was in work (after SIGTERM: 0)",
    )


class JobsyncError(Exception):
    """
    A failure that was foreseen: its text is one sentence for the operator. Anything else that reaches the top of the
    program is a bug and keeps its traceback.
    """

    exit_code: ExitCode = ExitCode.FAILED
    alert_cause: Cause | None = None  # of the closed list, where it may become an alert

    def __init__(self, text: str = "", *, cause: Cause | None = None) -> None:
        super().__init__(text)
        self.alert_cause = cause or self.alert_cause


class UsageProblem(JobsyncError):
    """The command line names something that does not exist or cannot be."""

    exit_code = ExitCode.USAGE


class ConfigurationProblem(JobsyncError):
    """Environment, configuration file, schema or server set-up is not usable."""

    exit_code = ExitCode.CONFIGURATION

    def __init__(self, text: str = "", *, problems: Sequence[str] = (), cause: Cause | None = None) -> None:
        super().__init__(text, cause=cause)
        self.problems = tuple(problems)  # each thing that is wrong


class Unavailable(JobsyncError):
    """The database, or every service that was asked, could not be reached."""

    exit_code = ExitCode.UNAVAILABLE
