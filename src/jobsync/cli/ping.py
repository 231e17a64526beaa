"""The dead-man ping of scheduled runs that had work: that they began, and how they ended; it changes nothing."""

from __future__ import annotations

from jobsync.alerts.post import Ping
from jobsync.errors import JobsyncError
from jobsync.logs import get_logger
from jobsync.wiring import Tools


def ping(tools: Tools, job: str, signal: str, *, run: str | None = None, text: str = "") -> None:
    """Tell how a job stands, if an address is set; that this fails is only logged."""
    settings, _ = tools.alert_settings  # whatever else is wrong
    if not settings.ping_url:
        return
    try:
        Ping(settings.ping_url, proxies=settings.proxies).tell(job, signal, run=run, text=text)
    except JobsyncError as error:
        get_logger().warning("ping.not_sent", error=str(error), signal=signal)
