"""The slices, each of which watches itself."""

from __future__ import annotations

from jobsync.easycars import watch as easycars
from jobsync.ride import watch as ride
from jobsync.sri import watch as sri
from jobsync.watch.model import Watched

WATCHED: tuple[Watched, ...] = (easycars, sri, ride)
