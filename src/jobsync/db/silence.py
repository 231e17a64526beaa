"""
The driver's connection with a deadline of ours: a statement may take its time, a server that says nothing may not.

A login ends by itself, and keepalives notice a dead host; one that takes a statement and stays silent would hold us.
"""

from __future__ import annotations

import math
import select
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import make_conninfo

from jobsync import libpq
from jobsync.errors import JobsyncError
from jobsync.schema_name import DEFAULT

SILENCE_S = 30.0  # without a word, before a second connection is asked
HURRIED_S = 5.0  # the same, where the server has been found silent already, or the process was told to end
ANSWER_WITHIN_S = 5.0
# Whether our statement is still worked on there. Only a backend that idles was never given it, or has answered.
_QUESTION = (
    "SELECT pg_backend_pid(), EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s AND (state IS NULL"
    " OR state NOT LIKE 'idle%%' OR state_change > clock_timestamp() - interval '5 s'))"
)


class Silent(psycopg.OperationalError):
    """The server said nothing to a statement, and nothing to a second connection either; ours is closed."""


@dataclass
class Patience:
    """How long the connections of one database wait for a word."""

    silence_s: float | None = None
    asks: bool = True  # a second connection, before the server counts as silent
    ending: bool = False
    found_silent: bool = False

    @property
    def limit_s(self) -> float:
        if self.silence_s is not None:
            return self.silence_s
        return HURRIED_S if self.ending or self.found_silent else SILENCE_S

    def hurry(self) -> None:
        """The process is to end: a slow statement may still go on, but silence is judged soon."""
        self.ending = True


class Connection(psycopg.Connection[Any]):
    """psycopg's connection, whose every wait for the server is watched."""

    patience = Patience()
    conninfo = ""  # libpq's parameters that it was opened with, the password among them
    no_writes: JobsyncError | None = None  # why this session could not write from its start
    schema = DEFAULT  # the one that holds our tables
    names_blockers = False  # who waits too long for a lock is told who has it

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **more: Any) -> Any:
        """Wait as the driver does; raises Silent."""
        try:
            return super().wait(self._watched(gen), *arguments, **more)
        except (errors.ReadOnlySqlTransaction, errors.LockNotAvailable) as error:
            error.session = self  # type: ignore[union-attr]  # it knows why
            raise

    def _watched(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # nothing about ten times a second
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard >= self.patience.limit_s:
                    self._judge()
                    heard = time.monotonic()
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    def _judge(self) -> None:
        limit_s = self.patience.limit_s
        if self.patience.asks:
            self.patience.found_silent = not self._is_worked_on()
            if not self.patience.found_silent or self.has_word():
                return
        self.close()
        raise Silent(f"the server has said nothing for {limit_s:g} s, nor anything to a second connection")

    def has_word(self) -> bool:
        """Whether the server has said something that was not read yet, or hung up."""
        watch = select.poll()
        watch.register(self.fileno(), select.POLLIN)  # and a hang-up, unasked
        return bool(watch.poll(0))

    def _is_worked_on(self) -> bool:
        # a second connection to the same host is asked: does the server answer, and has it our statement?
        deadline = time.monotonic() + ANSWER_WITHIN_S
        info = self.info
        conninfo = make_conninfo(
            self.conninfo,
            host=info.host or None,
            port=info.port,
            hostaddr=info.hostaddr or None,
            target_session_attrs="any",
            connect_timeout=math.ceil(ANSWER_WITHIN_S),
        )
        try:
            with Connection.connect(conninfo, autocommit=True, prepare_threshold=None) as other:
                other.patience = Patience(max(0.1, deadline - time.monotonic()), asks=False)
                row = other.execute(_QUESTION, [info.backend_pid]).fetchone()
                # A pooler tells its clients numbers of its own: where it does, any answer must do.
                return row is None or row[0] != other.info.backend_pid or bool(row[1])
        except (errors.ConnectionTimeout, Silent):
            return False
        except psycopg.Error as error:  # no room for one more is an answer too
            if error.sqlstate is not None:
                return True
            why = libpq.ask_why(conninfo, within_s=max(0.1, deadline - time.monotonic()))
            return why is None or why.code is not None
