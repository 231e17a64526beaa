"""
The lock connection and its one thread, and the fence that every write transaction passes.

A session advisory lock lives exactly as long as its connection: it cannot outlive a killed process, but it can vanish
behind a living one. Hence two things beside it: a watch that notices, and a fence that refuses a write in any case.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg import Connection, errors

from jobsync.db import silence
from jobsync.db.engine import Database, translated
from jobsync.errors import ConfigurationProblem, ExitCode, JobsyncError
from jobsync.schema_name import DEFAULT, qualified, schema_of

T = TypeVar("T")

CHECK_EVERY_S = 10.0
OLD_WRITER_S = 4.0  # how long to wait for a write that an earlier holder has open
ROWS_WITHIN_S = 30.0  # what somebody else's transaction keeps locked for longer fails the item; it is tried again
_IDLE_WRITER = "5min"  # a writer whose host vanished between two statements: the server ends its transaction then
_PROBE_TURNS = "1122121122112212"  # which session asks; no rhythm, so that none of the pooler's can hide in it
_CLOSE_WITHIN_S = 15.0
_HANG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
_WAITED_TOO_LONG = (errors.LockNotAvailable, errors.QueryCanceled)
_OURS = (
    "locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_KEY = "((classid::bigint << 32) | objid::bigint)"
_HELD = (
    "SELECT count(*) FROM pg_locks JOIN unnest(%s::int[], %s::bigint[]) AS held (backend, key)"
    f" ON pid = held.backend AND {_KEY} = held.key WHERE {_OURS}"
)


class LockLost(JobsyncError):
    """The lock that protects a write is no longer ours: nothing was written after it went."""

    exit_code = ExitCode.LOCK_LOST


class OldWriter(JobsyncError):
    """The lock is free, but a transaction of the run that had it is still writing."""

    exit_code = ExitCode.LOCKED


def lock_key(name: str, schema: str = DEFAULT) -> int:
    """
    Return the 64-bit advisory key of a lock name; a hash keeps clear of small numbers other programs choose.

    >>> lock_key("stock-sync")
    4758895846196107687
    """
    hashed = name if schema == DEFAULT else f"{schema}/{name}"
    return int.from_bytes(blake2b(b"jobsync:v1:" + hashed.encode(), digest_size=8).digest(), "big", signed=True)


def run_lock_name(run_id: UUID) -> str:
    """Return the name of the lock that a run holds as long as it lives."""
    return f"run:{run_id}"


@dataclass(frozen=True)
class Fence:
    """One held lock: its number grows by one each time somebody takes it."""

    name: str
    number: int
    backend_pid: int
    schema: str = DEFAULT

    @cached_property
    def key(self) -> int:
        return lock_key(self.name, self.schema)


def _array(numbers: Iterable[int]) -> str:
    """Return numbers as the text of an array: the driver would look at each one before it sends it."""
    return f"{{{','.join(map(str, numbers))}}}"


@dataclass(frozen=True)
class Holder:
    """Who holds a lock; fields are None where the server does not know or tell."""

    name: str
    run_id: UUID | None
    holder: str | None
    acquired_at: Any
    pid: int | None
    application_name: str | None

    def __str__(self) -> str:
        since = f" since {self.acquired_at.isoformat(timespec='seconds')}" if self.acquired_at else ""
        run = f"run {self.run_id}" if self.run_id else "an unknown run"
        return f"{run} ({self.holder or self.application_name or 'unknown'}){since}"


class LockSession:
    """
    A dedicated connection, owned by one thread that runs every statement on it; another watches it.

    `lost` is set once and for good when the connection or a lock on it is gone; `on_lost` is called then.
    """

    def __init__(
        self, open_connection: Callable[[], silence.Connection], *, on_lost: Callable[[str], None] | None = None
    ) -> None:
        self._connection = open_connection()
        # Asked, not taken from the handshake: there a pooler in session mode tells a number of its own.
        self.backend_pid: int
        [(self.backend_pid, _)] = self._connection.execute(
            "SELECT pg_backend_pid(), set_config('lock_timeout', %s, false)", [f"{OLD_WRITER_S * 1000:.0f}"]
        ).fetchall()
        self._schema = schema_of(self._connection)
        self.lost = threading.Event()
        self.why_lost = ""
        self._on_lost = on_lost
        self._held: set[str] = set()
        self._owner = ThreadPoolExecutor(1, "jobsync-lock")
        self._watch_end, self._end = os.pipe()
        watched = select.poll()
        watched.register(self._watch_end, 0)  # a hang-up, which needs no asking: `close`
        watched.register(self._connection.fileno(), _HANG_UP)
        self._watcher = threading.Thread(target=self._watch, args=[watched], name="jobsync-lock-watch", daemon=True)
        self._watcher.start()

    # --- what callers ask for; each of these runs on the owner's thread ------------------------------------------

    def try_lock(self, name: str) -> bool:
        """Take the lock without waiting; it must not be held by this session already (session locks stack)."""
        return self._call(lambda: self._try_lock(name))

    def take(self, name: str, *, run_id: UUID, holder: str) -> Fence | None:
        """
        Take the lock and number this possession of it, so that writes of earlier ones are refused; None if it is taken.

        Raises:
            OldWriter: a transaction of an earlier holder is still open; the lock has been given back.
        """
        return self._call(lambda: self._bump(name, run_id, holder) if self._try_lock(name) else None)

    def unlock(self, name: str) -> None:
        """Give the lock back; nothing happens if it is not held."""
        if not self.lost.is_set():
            self._call(lambda: self._release(name))

    def holder(self, name: str) -> Holder:
        return self._call(lambda: read_holder(self._connection, name))

    def check(self) -> None:
        """Raise LockLost if any lock is no longer held."""
        self._call(self._verify)

    def close(self) -> None:
        """Give every lock back and end the connection. Idempotent."""
        with suppress(RuntimeError):  # it is closed
            closed = self._owner.submit(self._hang_up)
            self._owner.shutdown(wait=False)
            os.close(self._end)
            ends_at = time.monotonic() + _CLOSE_WITHIN_S
            with suppress(TimeoutError):
                closed.result(_CLOSE_WITHIN_S)
            self._watcher.join(max(0.0, ends_at - time.monotonic()))

    def _call(self, job: Callable[[], T]) -> T:
        if self.lost.is_set():
            raise LockLost(self.why_lost)
        try:
            future = self._owner.submit(self._attempt, job)
        except RuntimeError:  # after the last job no answer would come
            raise LockLost("the lock connection is closed") from None
        return future.result()

    def _watch(self, watched: select.poll) -> None:
        while not self.lost.is_set():
            if any(place == self._watch_end for place, _ in watched.poll(CHECK_EVERY_S * 1000)):
                break
            with suppress(Exception):  # the next check comes all the same
                self.check()
        os.close(self._watch_end)

    # --- the owner's thread --------------------------------------------------------------------------------------

    def _attempt(self, job: Callable[[], T]) -> T:
        try:
            return job()
        except psycopg.Error as error:
            if not self._answers():
                self._lose(f"the lock connection is gone ({type(error).__name__})")
                raise LockLost(self.why_lost) from None
            raise

    def _answers(self) -> bool:
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def _try_lock(self, name: str) -> bool:
        if name in self._held:
            raise RuntimeError(f"lock {name} taken twice by one session")
        key = lock_key(name, self._schema)
        [(taken,)] = self._connection.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchall()
        if taken:
            self._held.add(name)
        return bool(taken)

    def _bump(self, name: str, run_id: UUID, holder: str) -> Fence:
        table = qualified(self._connection, "run_locks")  # outside of any transaction
        try:
            [(number,)] = self._connection.execute(
                f"INSERT INTO {table} AS l (name, fence, run_id, holder, acquired_at)"
                " VALUES (%s, 1, %s, %s, now()) ON CONFLICT (name) DO UPDATE SET fence = l.fence + 1,"
                " run_id = excluded.run_id, holder = excluded.holder, acquired_at = excluded.acquired_at"
                " RETURNING fence".encode(),
                [name, run_id, holder],
            ).fetchall()
        except _WAITED_TOO_LONG:
            self._release(name)
            who = "an earlier run"
            with suppress(*_WAITED_TOO_LONG):  # somebody may keep even readers out
                old = f"SELECT 'run ' || run_id || ' (' || holder || ')' FROM {table} WHERE name = %s"
                who = next((row[0] or who for row in self._connection.execute(old.encode(), [name])), who)
            raise OldWriter(f"{name}: {who} is still writing; the next tick tries again") from None
        return Fence(name, number, self.backend_pid, self._schema)

    def _verify(self) -> None:
        if held_names(self._connection, self._held, backend_pid=self.backend_pid) != self._held:
            self._lose("a lock was taken from the lock connection")
            raise LockLost(self.why_lost)

    def _release(self, name: str) -> None:
        if name in self._held:
            self._held.remove(name)
            self._connection.execute("SELECT pg_advisory_unlock(%s)", [lock_key(name, self._schema)])

    def _hang_up(self) -> None:
        if not self.lost.is_set():  # the server ends a session after its client: the next run may be faster
            self._connection.patience = silence.Patience(silence.HURRIED_S, asks=False)
            with suppress(Exception):  # the connection is closed in any case
                self._connection.execute("SELECT pg_advisory_unlock_all()")
        self._connection.close()

    def _lose(self, why: str) -> None:
        if not self.lost.is_set():
            self.why_lost = why
            self.lost.set()
            if self._on_lost is not None:
                self._on_lost(why)


def pass_fence(connection: Connection[Any], fences: Sequence[Fence]) -> None:
    """
    Raise LockLost, as the first statement of a write transaction, unless every lock protecting it is still ours.

    The fence rows stay share-locked until the transaction ends, so the next holder waits for this write; and the
    lock connection's own rows must still be in pg_locks, so that no work is done after it went although nobody
    has taken the lock since. `prove_locks` looks there again, behind everything else.

    From here on the transaction waits at most ROWS_WITHIN_S for what others keep locked: a person's forgotten
    transaction must cost one item, not the run.
    """
    rows = connection.execute(
        f"SELECT l.name, ({_HELD}), set_config('idle_in_transaction_session_timeout', %s, true),"
        " set_config('lock_timeout', %s, true)"
        " FROM run_locks l JOIN unnest(%s::text[], %s::bigint[]) AS mine (name, fence)"
        " ON l.name = mine.name AND l.fence = mine.fence FOR SHARE OF l",
        [
            *_held(fences),
            _IDLE_WRITER,
            f"{ROWS_WITHIN_S * 1000:.0f}ms",
            [fence.name for fence in fences],
            _array(fence.number for fence in fences),
        ],
    ).fetchall()
    missing = sorted({fence.name for fence in fences} - {name for name, *_ in rows})
    if missing:
        raise LockLost(f"another run has taken the lock {missing[0]}")
    _require_held(rows[0][1] if rows else 0, fences)


def prove_locks(connection: Connection[Any], fences: Sequence[Fence]) -> None:
    """Raise LockLost unless the lock connection still holds the locks: the last thing before a commit."""
    [(held,)] = connection.execute(_HELD, _held(fences)).fetchall()
    _require_held(held, fences)


def _held(fences: Sequence[Fence]) -> list[str]:
    return [_array(fence.backend_pid for fence in fences), _array(fence.key for fence in fences)]


def _require_held(held: int, fences: Sequence[Fence]) -> None:
    if held < len(fences):
        raise LockLost("the lock connection is gone")


def read_holder(connection: Connection[Any], name: str) -> Holder:
    """Return who holds the lock `name`, as far as an ordinary role may see it."""
    [found] = read_holders(connection, [name])
    return found


def read_holders(connection: Connection[Any], names: Sequence[str]) -> list[Holder]:
    """Return who holds each of the locks, in one question; `pid` is None where it is free."""
    rows = connection.execute(
        "SELECT wanted.name, r.run_id, r.holder, r.acquired_at, l.pid, a.application_name"
        " FROM unnest(%s::text[], %s::bigint[]) WITH ORDINALITY AS wanted (name, key, place)"
        f" LEFT JOIN {qualified(connection, 'run_locks')} r ON r.name = wanted.name"
        f" LEFT JOIN (SELECT {_KEY} AS key, min(pid) AS pid FROM pg_locks WHERE {_OURS} GROUP BY 1) l"
        " ON l.key = wanted.key"
        " LEFT JOIN pg_stat_activity a ON a.pid = l.pid ORDER BY wanted.place".encode(),
        [list(names), [lock_key(name, schema_of(connection)) for name in names]],
    ).fetchall()
    return [_as_signed(Holder(*row)) for row in rows]


def _as_signed(found: Holder) -> Holder:
    ours = found.application_name if found.application_name and found.application_name.startswith("jobsync:") else None
    if ours and f":{str(found.run_id)[:8]}:" not in ours:
        # The new holder has not signed yet: better no run than the one before.
        return Holder(found.name, None, None, None, found.pid, ours)
    return found


def held_names(connection: Connection[Any], names: Iterable[str], *, backend_pid: int | None = None) -> set[str]:
    """Return those of the lock names that somebody, or this backend, holds now."""
    by_key = {lock_key(name, schema_of(connection)): name for name in names}
    rows = connection.execute(
        f"SELECT DISTINCT {_KEY} FROM pg_locks WHERE {_OURS} AND {_KEY} = ANY(%s) AND pid = coalesce(%s::int, pid)",
        [list(by_key), backend_pid],
    ).fetchall()
    return {by_key[key] for (key,) in rows}


def refuse_lock_url(database: Database, *, application_name: str) -> None:
    """Raise ConfigurationProblem where the lock URL leads to another database than the work, or through a pooler."""
    who = "SELECT (SELECT oid FROM pg_database WHERE datname = current_database()), pg_postmaster_start_time()"
    if database.lock_url != database.url:
        with (
            database.direct(application_name=application_name) as work,
            database.lock_connection(application_name=application_name) as locks,
        ):
            if work.execute(who).fetchone() != locks.execute(who).fetchone():
                raise ConfigurationProblem(
                    "JOBSYNC_LOCK_DATABASE_URL and JOBSYNC_DATABASE_URL lead to different databases;"
                    " locks must be taken where the work is done"
                )
    refuse_pooler(lambda: database.lock_connection(application_name=application_name))


@translated()
def refuse_pooler(open_connection: Callable[[], Connection[Any]]) -> None:
    """
    Raise ConfigurationProblem unless session locks mean something here: a second session must not get the same lock.

    Through a pooler in transaction mode both sessions share server connections: each gets the lock, or a session meets
    another server connection than the one that keeps its lock. A pooler that lends them as chance has it may look like
    two direct connections for a while; hence the many turns, each of which would have to be lucky.
    """
    key = int.from_bytes(os.urandom(8), "big", signed=True)
    refused = ConfigurationProblem(
        "the lock connection leads through a pooler in transaction mode, where session locks protect nothing;"
        " set JOBSYNC_LOCK_DATABASE_URL to a direct connection"
    )

    def ask(connection: Connection[Any], function: str) -> tuple[bool, int]:
        [(said, backend)] = connection.execute(f"SELECT {function}(%s), pg_backend_pid()", [key]).fetchall()
        return said, backend

    def backend(connection: Connection[Any]) -> int:
        [(pid,)] = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchall()
        return int(pid)

    with open_connection() as first, open_connection() as second:
        taken, ours = ask(first, "pg_try_advisory_lock")
        taken_twice, theirs = ask(second, "pg_try_advisory_lock")
        turns = ((first, ours) if turn == "1" else (second, theirs) for turn in _PROBE_TURNS)
        if taken and not taken_twice and all(backend(session) == met for session, met in turns):
            return  # the lock goes with its connection
        for connection in (first, second) * 3:  # only our own key: the server session is not ours alone
            ask(connection, "pg_advisory_unlock")
        raise refused
