"""The dead-man ping of scheduled runs that had work: that they began, and how they ended; it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jobsync.alerts.post import Ping
from jobsync.errors import JobsyncError
from jobsync.logs import get_logger
from jobsync.runner.job import ItemResult, Report

if TYPE_CHECKING:
    from jobsync.runner.run import Run
    from jobsync.wiring import Tools

Work = Callable[["Run"], list[ItemResult]]


def ping_start(tools: Tools, work: Work) -> Work:
    """Return the work with a start signal before it: a run that hangs is noticed, and how long each took."""

    def started(run: Run) -> list[ItemResult]:
        if run.request.scheduled:
            _tell(tools, run.spec.name, "start", run=str(run.who.run_id))
        return work(run)

    return started


def ping_end(tools: Tools, report: Report, *, scheduled: bool) -> None:
    """Tell with which exit code a scheduled run ended; idle ticks, skips, dry runs and hand runs tell nothing."""
    if not scheduled or report.run_id is None:
        return
    error = f"; {report.error}" if report.error else ""
    text = f"{report.status}: {report.summary}{error}"
    _tell(tools, report.job, str(int(report.exit_code)), run=str(report.run_id), text=text)


def ping_health(tools: Tools, *, healthy: bool, text: str) -> None:
    """Ping for the health timer, where each job has an address of its own: a common one would hide missing jobs."""
    if "{job}" in (tools.alert_settings[0].ping_url or ""):
        _tell(tools, "health", "success" if healthy else "fail", run=None, text=text)


def _tell(tools: Tools, job: str, signal: str, *, run: str | None, text: str = "") -> None:
    settings, _ = tools.alert_settings  # whatever else is wrong
    if not settings.ping_url:
        return
    try:
        Ping(settings.ping_url, proxies=settings.proxies).tell(job, signal, run=run, text=text)
    except JobsyncError as error:
        get_logger().warning("ping.not_sent", error=str(error), signal=signal)
