"""The lock connection, its watch, and the fence: every way in which two runs might come to write at once."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from jobsync.db.engine import Database
from jobsync.errors import ConfigurationProblem, ExitCode, Unavailable
from jobsync.runner import lock
from jobsync.runner.lock import (
    Fence,
    LockLost,
    LockSession,
    OldWriter,
    held_names,
    lock_key,
    pass_fence,
    read_holder,
    refuse_pooler,
    run_lock_name,
)
from tests.runner.pooler import transaction_pooler
from tests.runner.support import (
    ask,
    dbname,
    on_lock_connection,
    process,
    role,
    session,
    terminate,
    until,
    with_user,
)

Open = Callable[[], LockSession]
Connection = psycopg.Connection[Any]
NAME = "test-job"


def take(locks: LockSession, name: str = NAME, run_id: UUID | None = None) -> Fence:
    fence = locks.take(name, run_id=run_id or uuid4(), holder="a test")
    assert fence is not None
    return fence


@contextmanager
def writer(url: str) -> Iterator[Connection]:
    """A transaction of a run, rolled back at the end."""
    with psycopg.connect(url) as connection:
        yield connection
        connection.rollback()


# --- the key ---------------------------------------------------------------------------------------------------------


def test_key_is_the_formula_that_other_programs_may_compute() -> None:
    """The key of a name is the signed big-endian blake2b-64 of "jobsync:v1:" and the name."""
    expected = int.from_bytes(blake2b(b"jobsync:v1:stock-sync", digest_size=8).digest(), "big", signed=True)

    assert expected == lock_key("stock-sync")


def test_all_names_have_keys_of_their_own() -> None:
    """No two jobs, dealerships or runs share a key."""
    names = ["stock-sync", "check-authorizations", "generate-ride"]
    names += [f"stock-sync:dealership:{number}" for number in range(1, 2001)]
    names += [run_lock_name(UUID(int=number)) for number in range(2000)]

    assert len(names) == len({lock_key(name) for name in names})


def test_negative_key_comes_back_intact_from_pg_locks(open_session: Open, connection: Connection) -> None:
    """Both halves of a negative key are put together again where locks are read."""
    name = next(name for name in (f"n{number}" for number in range(100)) if lock_key(name) < 0)
    open_session().try_lock(name)

    assert {name} == held_names(connection, [name, "another"])


# --- possession ------------------------------------------------------------------------------------------------------


def test_second_session_is_refused_as_long_as_the_first_lives(open_session: Open) -> None:
    """A held lock is refused to another session, through transactions of the holder, until it is given back."""
    first, second = open_session(), open_session()
    first.try_lock(NAME)
    refused = [second.try_lock(NAME)]
    take(first, "something else")
    refused.append(second.try_lock(NAME))
    first.unlock(NAME)

    assert (refused, second.try_lock(NAME)) == ([False, False], True)


def test_lock_taken_twice_by_one_session_is_refused(open_session: Open) -> None:
    """Session locks stack: a second possession would survive the first unlock, so it is an error."""
    locks = open_session()
    locks.try_lock(NAME)

    with pytest.raises(RuntimeError, match="taken twice"):
        locks.try_lock(NAME)


def test_close_frees_every_lock(open_session: Open) -> None:
    """Whoever closes holds nothing any more."""
    first, second = open_session(), open_session()
    first.try_lock("a")
    first.try_lock("b")
    first.close()
    until(lambda: second.try_lock("a"))

    assert second.try_lock("b")


def test_close_gives_back_before_it_hangs_up(open_session: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who begins in the same moment does not meet the lock of a session that the server has not ended yet."""
    locks = open_session()
    take(locks)
    hang_up = locks._connection.close
    monkeypatch.setattr(locks._connection, "close", lambda: None)
    locks.close()

    taken = open_session().try_lock(NAME)
    hang_up()

    assert taken


def test_close_asks_nothing_where_the_lock_is_lost(open_session: Open, connection: Connection) -> None:
    """The server may be silent, and the locks are gone."""
    locks = open_session()
    take(locks)
    terminate(connection, locks.backend_pid)
    until(locks.lost.is_set)
    locks._connection = Mock(wraps=locks._connection)
    locks.close()

    assert ["close"] == [name for name, *_ in locks._connection.mock_calls]


def test_closed_session_answers_instead_of_waiting_for_ever(open_session: Open) -> None:
    """What is asked of a closed session ends at once, in an error."""
    locks = open_session()
    locks.close()

    with pytest.raises(LockLost, match="closed"):
        locks.try_lock(NAME)


def test_close_waits_once_for_a_server_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the statement without an answer nor the watcher that asked for it keeps a run from its end longer."""
    monkeypatch.setattr(lock, "CHECK_EVERY_S", 0.01)
    monkeypatch.setattr(lock, "_CLOSE_WITHIN_S", 0.4)
    asked, answered = threading.Event(), threading.Event()

    def execute(statement: str, *_: object) -> Mock:
        if "pg_locks" in statement:
            asked.set()
            answered.wait(10)
            raise psycopg.OperationalError
        return Mock(fetchall=lambda: [(1, "")])

    with socket.create_server(("127.0.0.1", 0)) as silent:
        locks = LockSession(lambda: Mock(execute=execute, fileno=silent.fileno, schema="public"))
        assert asked.wait(5)
        started = time.monotonic()
        locks.close()
        took_s = time.monotonic() - started
        answered.set()

    assert 0.4 <= took_s < 0.7


def test_sigkill_of_the_holder_frees_at_once(open_session: Open, database_url: str) -> None:
    """A killed process leaves no lock behind, without any time-out."""
    locks = open_session()
    script = f"""
locks = LockSession(lambda: database.lock_connection(application_name="other"))
assert locks.try_lock({NAME!r})
forever()
"""
    with process(database_url, script) as holder:
        before = locks.try_lock(NAME)
        holder.kill()
        until(lambda: locks.try_lock(NAME), timeout_s=2.0)

    assert before is False


def test_holder_is_named_with_run_and_process(open_session: Open, connection: Connection) -> None:
    """Whoever meets the lock learns the run, the words of its holder and the backend."""
    locks, run_id = open_session(), uuid4()
    take(locks, run_id=run_id)
    holder = read_holder(connection, NAME)

    assert (run_id, "a test", locks.backend_pid, "test") == (
        holder.run_id,
        holder.holder,
        holder.pid,
        holder.application_name,
    )


def test_holder_that_has_not_signed_yet_is_not_taken_for_the_one_before(
    open_session: Open, database: Database, connection: Connection
) -> None:
    """Between lock and fence the row still names the last holder; the new one is named by its connection."""
    first = open_session()
    take(first)
    first.unlock(NAME)
    second = session(database, "jobsync:test-job:0a1b2c3d:host")
    second.try_lock(NAME)
    holder = read_holder(connection, NAME)
    second.close()

    assert (holder.run_id, holder.pid) == (None, second.backend_pid)
    assert "0a1b2c3d" in str(holder)


# --- the watch -------------------------------------------------------------------------------------------------------


def test_terminated_backend_is_noticed_without_any_traffic(open_session: Open, connection: Connection) -> None:
    """The end of the lock connection is noticed long before the next check, though nobody asks it anything."""
    locks = open_session()
    locks.try_lock(NAME)
    began = time.monotonic()
    terminate(connection, locks.backend_pid)

    assert locks.lost.wait(5)
    assert time.monotonic() - began < lock.CHECK_EVERY_S / 2


def test_take_is_lock_and_fence_in_one(open_session: Open) -> None:
    """A lock taken in one go carries the next number; somebody else's is no answer, and ours once it is free."""
    first, second = open_session(), open_session()
    one = first.take(NAME, run_id=uuid4(), holder="one")
    refused = second.take(NAME, run_id=uuid4(), holder="two")
    first.unlock(NAME)
    two = second.take(NAME, run_id=uuid4(), holder="two")

    assert one is not None
    assert two is not None
    assert (None, one.number + 1, second.backend_pid) == (refused, two.number, two.backend_pid)


def test_loss_is_told_once(database: Database, connection: Connection) -> None:
    """`on_lost` is called exactly once, however often the loss is met again."""
    told: list[str] = []
    locks = LockSession(lambda: database.lock_connection(application_name="test"), on_lost=told.append)
    terminate(connection, locks.backend_pid)
    locks.lost.wait(5)
    for _ in range(3):
        with pytest.raises(LockLost):
            locks.check()
    locks.close()

    assert len(told) == 1


def test_silently_unlocked_lock_is_found_by_the_check(open_session: Open) -> None:
    """A lock that somebody released on the lock connection itself is found by the next check."""
    locks = open_session()
    locks.try_lock(NAME)
    locks.try_lock("another")
    on_lock_connection(locks, "SELECT pg_advisory_unlock(%s)", lock_key(NAME))

    with pytest.raises(LockLost):
        locks.check()
    assert locks.lost.is_set()


def test_check_comes_by_itself(open_session: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch repeats the check on its own; nobody has to ask."""
    monkeypatch.setattr(lock, "CHECK_EVERY_S", 0.1)
    locks = open_session()
    locks.try_lock(NAME)
    on_lock_connection(locks, "SELECT pg_advisory_unlock_all()")

    assert locks.lost.wait(5)


def test_watch_goes_on_after_a_check_that_met_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the watcher's answer: what it meets must not be the end of it, or no loss is noticed."""
    monkeypatch.setattr(lock, "CHECK_EVERY_S", 0.01)
    checks = Mock(side_effect=[ValueError, ValueError, set(), set()])
    monkeypatch.setattr(lock, "held_names", lambda *_args, **_more: checks())

    def execute(*_: object) -> Mock:
        return Mock(fetchall=lambda: [(1, "")])

    with socket.create_server(("127.0.0.1", 0)) as server:
        locks = LockSession(lambda: Mock(execute=execute, fileno=server.fileno, schema="public"))
        until(lambda: checks.call_count >= 4)
        locks.close()


def test_check_passes_while_all_is_held(open_session: Open) -> None:
    """A check of living locks says nothing."""
    locks = open_session()
    locks.try_lock(NAME)
    locks.try_lock("another")
    locks.check()

    assert not locks.lost.is_set()


def test_failed_statement_is_not_taken_for_a_lost_connection(open_session: Open) -> None:
    """A statement that fails on a living connection costs its asker an error, not the run its locks."""
    locks = open_session()
    with pytest.raises(psycopg.errors.DivisionByZero):
        on_lock_connection(locks, "SELECT 1/0")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        on_lock_connection(locks, "DO $$BEGIN RAISE lock_not_available; END$$")

    assert not locks.lost.is_set()


# --- the fence -------------------------------------------------------------------------------------------------------


def test_fence_lets_the_holder_write(open_session: Open, database_url: str) -> None:
    """While the locks are held, the fence is open."""
    locks = open_session()
    fences = [take(locks), take(locks, "another")]

    with writer(database_url) as connection:
        pass_fence(connection, fences)


def test_fence_is_one_question(open_session: Open, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write passes it: fence rows and locks are asked after in one go."""
    locks = open_session()
    fences = [take(locks), take(locks, "another")]

    with writer(database_url) as connection:
        asked = Mock(wraps=connection.execute)
        monkeypatch.setattr(connection, "execute", asked)
        pass_fence(connection, fences)

    assert asked.call_count == 1


def test_number_raised_while_the_write_waits_for_its_row_is_seen(
    open_session: Open, connection: Connection, database_url: str
) -> None:
    """A write that meets the next holder's open number waits for it, and is refused by what that commits."""
    fence = take(open_session())
    refused: list[str] = []

    with psycopg.connect(database_url) as next_holder, writer(database_url) as writing:

        def write() -> None:
            with pytest.raises(LockLost) as lost:
                pass_fence(writing, [fence])
            refused.append(str(lost.value))

        next_holder.execute("UPDATE run_locks SET fence = fence + 1 WHERE name = %s", [NAME])
        thread = threading.Thread(target=write)
        thread.start()
        until(
            lambda: ask(connection, "SELECT 1 FROM pg_locks WHERE NOT granted AND pid = %s", writing.info.backend_pid)
        )
        next_holder.commit()
        thread.join(10)

    assert refused == [f"another run has taken the lock {NAME}"]


def test_number_grows_with_every_possession(open_session: Open) -> None:
    """Each possession of a lock has a higher number than all before it, whoever takes it."""
    first, second = open_session(), open_session()
    numbers = []
    for locks in (first, second, first):
        numbers.append(take(locks).number)
        locks.unlock(NAME)

    assert numbers == [1, 2, 3]


def test_stale_number_is_refused(open_session: Open, database_url: str) -> None:
    """Once another run has taken the lock, no write of the earlier one passes."""
    first, second = open_session(), open_session()
    old = take(first)
    first.unlock(NAME)
    take(second)

    with writer(database_url) as connection, pytest.raises(LockLost, match="another run") as lost:
        pass_fence(connection, [old])
    assert ExitCode.LOCK_LOST is lost.value.exit_code


def test_one_stale_fence_among_several_refuses_the_write(open_session: Open, database_url: str) -> None:
    """A write is protected by all its locks: losing the item's is enough, though the job's is held."""
    first, second = open_session(), open_session()
    job, item = take(first), take(first, "item")
    first.unlock("item")
    take(second, "item")

    with writer(database_url) as connection, pytest.raises(LockLost, match="item"):
        pass_fence(connection, [job, item])


def test_nothing_is_written_after_the_lock_connection_died(
    open_session: Open, connection: Connection, database_url: str
) -> None:
    """The fence closes with the lock connection, though nobody has taken the lock since."""
    locks = open_session()
    fence = take(locks)
    terminate(connection, locks.backend_pid)

    with writer(database_url) as writing, pytest.raises(LockLost, match="connection is gone"):
        pass_fence(writing, [fence])


def test_nothing_is_written_after_one_of_two_locks_was_unlocked(open_session: Open, database_url: str) -> None:
    """Each lock counts by itself: the other one being held does not open the fence."""
    locks = open_session()
    fences = [take(locks), take(locks, "another")]
    on_lock_connection(locks, "SELECT pg_advisory_unlock(%s)", lock_key(NAME))

    with writer(database_url) as connection, pytest.raises(LockLost):
        pass_fence(connection, fences)


def test_lock_of_another_database_does_not_open_the_fence(
    open_session: Open, connection: Connection, server_url: str, database_url: str
) -> None:
    """The same key held in another database of the server is not our lock."""
    locks = open_session()
    fence = take(locks)
    with psycopg.connect(server_url, autocommit=True) as elsewhere:
        elsewhere.execute("SELECT pg_advisory_lock(%s)", [lock_key(NAME)])
        on_lock_connection(locks, "SELECT pg_advisory_unlock_all()")
        forged = Fence(NAME, fence.number, elsewhere.info.backend_pid)

        with writer(database_url) as writing, pytest.raises(LockLost):
            pass_fence(writing, [forged])


def test_parallel_writers_of_one_run_do_not_wait_for_each_other(open_session: Open, database_url: str) -> None:
    """The fence is shared: workers of one run have write transactions open side by side."""
    fences = [take(open_session())]

    with writer(database_url) as first, writer(database_url) as second:
        second.execute("SET statement_timeout = '5s'")
        pass_fence(first, fences)
        pass_fence(second, fences)


def test_next_holder_waits_for_a_write_that_is_past_the_fence(
    open_session: Open, connection: Connection, database_url: str
) -> None:
    """A write past the fence commits before the next holder gets its number, and so before it does anything."""
    first, second = open_session(), open_session()
    fence = take(first)
    order: list[str] = []

    def next_holder() -> None:
        take(second)
        order.append("next holder")

    with writer(database_url) as writing:
        pass_fence(writing, [fence])
        terminate(connection, first.backend_pid)
        thread = threading.Thread(target=next_holder)
        thread.start()
        until(lambda: ask(connection, "SELECT 1 FROM pg_locks WHERE NOT granted AND pid = %s", second.backend_pid))
        order.append("old write")
        writing.commit()
        thread.join(10)

    assert order == ["old write", "next holder"]


def test_old_writer_that_does_not_end_is_given_way(
    open_session: Open, connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that stays open makes the next holder give up with 75 and a word on whose write it is."""
    monkeypatch.setattr(lock, "OLD_WRITER_S", 0.2)
    first, second, run_id = open_session(), open_session(), uuid4()
    fence = take(first, run_id=run_id)

    with writer(database_url) as writing:
        pass_fence(writing, [fence])
        terminate(connection, first.backend_pid)
        with pytest.raises(OldWriter, match=str(run_id)) as refused:
            take(second)

    assert ExitCode.LOCKED is refused.value.exit_code


def test_lock_is_given_back_to_an_old_writer(
    open_session: Open, connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gave way to an old writer holds nothing: the next try may have it."""
    monkeypatch.setattr(lock, "OLD_WRITER_S", 0.2)
    first, second, third = open_session(), open_session(), open_session()
    fence = take(first)
    with writer(database_url) as writing:
        pass_fence(writing, [fence])
        terminate(connection, first.backend_pid)
        with pytest.raises(OldWriter):
            take(second)

    assert take(third).number == 2


def test_writer_that_vanished_between_two_statements_is_ended_by_the_server(
    open_session: Open, connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that is gone in the middle of a write does not keep its fence row for ever."""
    monkeypatch.setattr(lock, "_IDLE_WRITER", "100ms")
    fence = take(open_session())

    writing = psycopg.connect(database_url)
    pass_fence(writing, [fence])
    until(lambda: not ask(connection, "SELECT 1 FROM pg_stat_activity WHERE pid = %s", writing.info.backend_pid))
    writing.close()


# --- what stands between us and the server ---------------------------------------------------------------------------


def test_idle_session_timeout_of_the_role_does_not_end_the_lock(
    database_url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role whose idle sessions are ended keeps its lock connection all the same."""
    with role(connection, "SET idle_session_timeout = '150ms'") as name:
        url = with_user(database_url, name)
        locks = session(Database(url))
        locks.try_lock(NAME)
        ordinary = psycopg.connect(url, autocommit=True)
        pid = ordinary.info.backend_pid
        until(lambda: not ask(connection, "SELECT 1 FROM pg_stat_activity WHERE pid = %s", pid))
        until(lambda: not locks.lost.wait(0.2))
        locks.check()
        ordinary.close()
        locks.close()

    assert not locks.lost.is_set()


def test_read_only_server_is_refused(database_url: str, connection: Connection) -> None:
    """Where nothing can be written by a setting of the role, the lock means nothing: configuration, 78."""
    with (
        role(connection, "SET default_transaction_read_only = on") as name,
        pytest.raises(ConfigurationProblem, match="read-only"),
    ):
        Database(with_user(database_url, name)).lock_connection(application_name="test")


def test_direct_connection_passes_the_probe(database: Database, connection: Connection) -> None:
    """A direct connection is accepted, and the probe leaves no lock behind."""
    refuse_pooler(lambda: database.lock_connection(application_name="test"))
    until(lambda: not ask(connection, "SELECT 1 FROM pg_stat_activity WHERE application_name = 'test'"))

    assert ask(connection, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") == []


@pytest.mark.parametrize("servers", [1, 2, 3, 4])
def test_pooler_in_transaction_mode_is_refused(database_url: str, servers: int) -> None:
    """Behind a transaction pooler, however many server connections take turns, no run begins: 78."""
    with transaction_pooler(database_url, servers=servers) as url:
        database = Database(url)

        with pytest.raises(ConfigurationProblem, match="JOBSYNC_LOCK_DATABASE_URL"):
            refuse_pooler(lambda: database.lock_connection(application_name="test"))


@pytest.mark.parametrize("order", [[0, 1, 0, 0], [0, 1, 0, 0, 1, 1, 0], [1, 0, 1], [2, 0, 2, 2, 0, 0, 2, 0]])
def test_pooler_whose_turns_look_like_two_sessions_is_refused(database_url: str, order: list[int]) -> None:
    """A pooler that by chance lends each session its own server connection for a while is found out all the same."""
    with (
        transaction_pooler(database_url, servers=3, order=order) as url,
        pytest.raises(ConfigurationProblem, match="JOBSYNC_LOCK_DATABASE_URL"),
    ):
        refuse_pooler(lambda: Database(url).lock_connection(application_name="test"))


def test_probe_releases_only_its_own_key(database_url: str) -> None:
    """Locks that somebody else holds on the pooled server connection survive the probe."""
    with transaction_pooler(database_url) as url, psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(1)")
        with pytest.raises(ConfigurationProblem):
            refuse_pooler(lambda: Database(url).lock_connection(application_name="test"))

        assert ask(other, "SELECT objid::int FROM pg_locks WHERE locktype = 'advisory'") == [(1,)]


def test_database_that_goes_away_under_the_probe_is_unavailable(database: Database, connection: Connection) -> None:
    """A connection that dies while it is probed is an outage, not a wrong configuration."""

    def doomed() -> Connection:
        opened = database.lock_connection(application_name="test")
        terminate(connection, opened.info.backend_pid)
        return opened

    with pytest.raises(Unavailable):
        refuse_pooler(doomed)


@contextmanager
def pgbouncer(url: str, folder: Path, *settings: str) -> Iterator[str]:
    """The real thing, if it is installed."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    given = conninfo_to_dict(url)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "pgbouncer.ini").write_text(
        "\n".join(
            [
                "[databases]",
                f"{given['dbname']} = host={given['host']} port={given['port']} user={given['user']}",
                "[pgbouncer]",
                f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =",
                "auth_type = any\nserver_tls_sslmode = disable",
                *settings,
            ]
        )
    )
    # It refuses to be root; in a user namespace it is nobody and can read this folder all the same.
    wrapper = ["unshare", "--user", "--map-user=65534"] if Path("/proc/self").stat().st_uid == 0 else []
    log = (folder / "pgbouncer.log").open("wb")
    running = subprocess.Popen([*wrapper, program, str(folder / "pgbouncer.ini")], stdout=log, stderr=log)
    through = f"postgresql://{given['user']}@127.0.0.1:{port}/{dbname(url)}?sslmode=disable&gssencmode=disable"

    def answers() -> bool:
        if running.poll() is not None:
            pytest.skip(f"pgbouncer does not start here: {(folder / 'pgbouncer.log').read_text()[-300:]}")
        try:
            psycopg.connect(through, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        until(answers)
        yield through
    finally:
        running.terminate()
        running.wait(10)
        log.close()


@pytest.mark.parametrize(
    "settings",
    [
        ["pool_mode = transaction"],
        ["pool_mode = transaction", "ignore_startup_parameters = options"],
        ["pool_mode = statement", "ignore_startup_parameters = options"],
        ["pool_mode = transaction", "ignore_startup_parameters = options", "server_round_robin = 1"],
    ],
)
def test_pgbouncer_in_transaction_mode_is_refused(database_url: str, tmp_path: Path, settings: list[str]) -> None:
    """The real pooler is refused with 78, whether it swallows our start-up options or refuses them itself."""
    with pgbouncer(database_url, tmp_path, *settings) as url, pytest.raises(ConfigurationProblem, match="pooler"):
        refuse_pooler(lambda: Database(url).lock_connection(application_name="test"))


def test_pgbouncer_in_session_mode_keeps_the_fence_open(database_url: str, tmp_path: Path) -> None:
    """Session pooling is safe: the fence knows the real backend, though the pooler told another number."""
    with pgbouncer(
        database_url, tmp_path, "pool_mode = session", "ignore_startup_parameters = options, extra_float_digits"
    ) as url:
        database = Database(url)
        refuse_pooler(lambda: database.lock_connection(application_name="test"))
        locks = session(database)
        fence = take(locks)

        with writer(database_url) as connection:
            pass_fence(connection, [fence])
        locks.close()
