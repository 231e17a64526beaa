"""Lock sessions that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from jobsync.db.engine import Database
from jobsync.logs import configure_logs
from jobsync.runner.lock import LockSession
from tests.runner.support import session


@pytest.fixture(autouse=True)
def plain_log() -> None:
    """The log as a unit has it, in JSON lines."""
    configure_logs("info", "json")


@pytest.fixture
def open_session(database: Database) -> Iterator[Callable[[], LockSession]]:
    """Opens lock sessions, each as another process would."""
    with ExitStack() as stack:

        def opened() -> LockSession:
            locks = session(database)
            stack.callback(locks.close)
            return locks

        yield opened
