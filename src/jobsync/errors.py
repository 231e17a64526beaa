"""The root error and the table of exit codes: what a shell, a timer and an operator are told."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command (the numbers above 64 are those of BSD's sysexits.h)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NEEDS_ATTENTION = 3
    UNAVAILABLE = 69
    LOCK_LOST = 70
    LOCKED = 75
    CONFIGURATION = 78
    INTERRUPTED = 130  # as shells say of SIGINT


class JobsyncError(Exception):
    """
    A failure that was foreseen: its text is one sentence for the operator, never a traceback.

    Anything else that reaches the top of the program is a bug and keeps its traceback.
    """

    exit_code: ExitCode = ExitCode.FAILED


class UsageProblem(JobsyncError):
    """The command line names something that does not exist or cannot be."""

    exit_code = ExitCode.USAGE


class ConfigurationProblem(JobsyncError):
    """Environment, configuration file, schema or server set-up is not usable."""

    exit_code = ExitCode.CONFIGURATION


class Unavailable(JobsyncError):
    """The database, or every service that was asked, could not be reached."""

    exit_code = ExitCode.UNAVAILABLE
