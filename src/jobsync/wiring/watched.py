"""The slices, each of which watches itself, and how all of it stands."""

from datetime import timedelta

from sqlalchemy import Connection

from jobsync.easycars import watch as easycars
from jobsync.jobs import BY_NAME
from jobsync.ride import watch as ride
from jobsync.sri import watch as sri
from jobsync.watch.health import Health, judge_health
from jobsync.watch.model import WATCH, Snapshot, Watched
from jobsync.watch.snapshot import WINDOW, read_snapshot
from jobsync.watch.timers import read_timers_on
from jobsync.wiring import Tools

WATCHED: tuple[Watched, ...] = (easycars, sri, ride)


def look(tools: Tools, connection: Connection, *, window: timedelta = WINDOW) -> tuple[Snapshot, Health]:
    """Return how things stand, `window` back, with what this host is and is configured for; and the verdict."""
    seen = read_snapshot(
        connection,
        WATCHED,
        window=window,
        waker=tools.waker,
        timers_on=read_timers_on(tools.waker, (*BY_NAME, WATCH)),
        channels=tools.settings.channels,
    )
    return seen, judge_health(seen)
