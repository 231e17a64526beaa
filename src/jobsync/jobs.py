"""
The three jobs, once: what else names a job, its switch, its beat or the exit codes that are no failure reads it here.
The idle tick imports this file, so it imports nothing that a bare interpreter has not loaded for it already.
"""

from __future__ import annotations

# `typing` and `enum`, which exit codes are made of, would cost an idle tick half of its time again
TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobsync.errors import ExitCode


class Job:
    """
    One kind of job.

    A frequent one has a budget: after this long a scheduled run starts no further item; the rest is the next tick's,
    and all is well. Nor is it a failure if it needs attention: the next tick asks again, and a lasting fault is
    health's to tell. Of its items, those that failed alone leave a row in job_items.
    """

    def __init__(
        self,
        *,
        name: str,  # of the command, the job and its lock
        noun: str,  # what its items are called, plural, in progress and summary lines
        switch: str = "",  # the setting that stops every form of it
        beat_s: int = 60,  # from one tick of its timer to the next
        offset_s: int = 0,  # the second of the minute at which its first tick comes
        deadline_s: float | None = None,  # no further item is started then: timed out; None: never
        budget_s: float | None = None,
    ) -> None:
        self.name, self.noun, self.switch = name, noun, switch
        self.beat_s, self.offset_s, self.deadline_s, self.budget_s = beat_s, offset_s, deadline_s, budget_s
        self.keeps_items = budget_s is None

    @property
    def calm(self) -> tuple[ExitCode, ...]:
        """The exit codes of a scheduled run that are no failure, besides 0."""
        from jobsync.errors import ExitCode

        return (ExitCode.LOCKED, ExitCode.NEEDS_ATTENTION) if self.budget_s else (ExitCode.LOCKED,)

    @property
    def scheduled(self) -> tuple[str, str]:
        """The arguments of a timer's run."""
        return self.name, "--scheduled"


STOCK_SYNC = Job(name="stock-sync", noun="dealerships", switch="easycar_sync_enabled", deadline_s=3600)
CHECK_AUTHORIZATIONS = Job(
    name="check-authorizations", noun="documents", switch="sri_check_enabled", beat_s=30, budget_s=25
)
# at :15 the other two do not start
GENERATE_RIDE = Job(name="generate-ride", noun="documents", switch="ride_enabled", offset_s=15, budget_s=50)
JOBS = (STOCK_SYNC, CHECK_AUTHORIZATIONS, GENERATE_RIDE)
BY_NAME = {job.name: job for job in JOBS}
