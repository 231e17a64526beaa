"""The slices, each of which watches itself, and how all of it stands."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from jobsync.easycars import watch as easycars
from jobsync.jobs import BY_NAME
from jobsync.ride import watch as ride
from jobsync.sri import watch as sri
from jobsync.watch.model import WATCH, Snapshot, Watched
from jobsync.watch.snapshot import WINDOW, read_snapshot
from jobsync.watch.timers import read_timers_on
from jobsync.wiring import Tools

WATCHED: tuple[Watched, ...] = (easycars, sri, ride)


def look(tools: Tools, connection: Connection, *, window: timedelta = WINDOW) -> Snapshot:
    """Return how things stand, with what this host is and is configured for; `window` is how far back."""
    return read_snapshot(
        connection,
        WATCHED,
        window=window,
        waker=tools.waker,
        timers_on=read_timers_on(tools.waker, (*BY_NAME, WATCH)),
        channels=tools.settings.channels,
    )
