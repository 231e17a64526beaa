"""Connections to Postgres: a job's pool, a command's engine, and single direct ones; libpq's words end here."""

from __future__ import annotations

import re
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobsync.db.jsonb import read_json
from jobsync.errors import ConfigurationProblem, JobsyncError, Unavailable
from jobsync.logs import visible

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Connection, Engine

_PREPARED_AFTER = 3
_ROOM_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.2
LOCK_WITHIN_S = 5  # for commands that people wait for; our own transactions hold no lock for that long
_QUOTED = re.compile('"[^"]*"')
# What is wrong with role, password, database or server set-up stays wrong until somebody changes it.
_CONFIGURATION = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "permission denied",
    "is not permitted to log in",
    "server does not support SSL",
    "unrecognized configuration parameter",
    "invalid value for parameter",
)
# A dead peer is noticed after about 15 s, also with bytes in flight, where keepalives alone would take minutes.
_NETWORK: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
}


def connect(
    url: str, *, application_name: str, autocommit: bool = True, prepare: bool = False, **parameters: Any
) -> psycopg.Connection[Any]:
    """
    Open one direct connection.

    Args:
        url: a libpq URL.
        application_name: shown in pg_stat_activity; Postgres keeps 63 bytes of it.
        prepare: let the server keep what is asked often; such statements would not survive a transaction pooler.
        parameters: further libpq parameters; they win over the URL's, but `options` joins the URL's own.

    Raises:
        Unavailable: nobody answers, or the server does not let us in now.
        ConfigurationProblem: the URL is not one, or the server says that role, password or database are wrong.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg.types.json import set_json_loads

    try:
        given = conninfo_to_dict(url)
        if "options" in parameters and given.get("options"):
            parameters["options"] = f"{given['options']} {parameters['options']}"
        merged = {**_NETWORK, **given, "application_name": application_name, **parameters, "client_encoding": "utf8"}
        conninfo = make_conninfo("", **merged)
    except psycopg.ProgrammingError as error:
        # What libpq quotes may be a piece of the password.
        text = _QUOTED.sub('"…"', str(error))
        raise ConfigurationProblem(f"database URL: {visible(text)}") from None
    if any("@" in host[1:] for host in str(given.get("host") or "").split(",") if not host.startswith("/")):
        raise ConfigurationProblem("database URL: an @ within user or password must be written as %40")
    if not all(port.isdigit() or not port for port in str(given.get("port") or "").split(",")):
        raise ConfigurationProblem("database URL: the port is no number (a / or : in the password is %2F or %3A)")
    try:
        connection = psycopg.connect(
            conninfo, autocommit=autocommit, prepare_threshold=_PREPARED_AFTER if prepare else None
        )
    except psycopg.OperationalError as error:
        raise _translate(error) from None
    _agree_on_texts(connection)
    _read_every_instant(connection)
    set_json_loads(read_json, connection)
    return connection


def _agree_on_texts(connection: psycopg.Connection[Any]) -> None:
    """
    See to it that texts mean the same here and there, whatever the server, database or role have been set to.

    Raises:
        ConfigurationProblem: the database's own encoding cannot hold what vendors send.
    """
    said = connection.info.parameter_status
    encoding = said("server_encoding") or "UTF8"
    if encoding != "UTF8":
        name = connection.info.dbname
        connection.close()
        raise ConfigurationProblem(
            f"database {visible(name, most=80)}: its encoding is {encoding}, jobsync needs UTF8; make another:"
            " createdb -E UTF8 -T template0 -O ROLE NAME"
        )
    # SET, for poolers refuse these as parameters of the connection; those who ask (pgbouncer does) keep them apart
    styles = {"DateStyle": "ISO", "IntervalStyle": "postgres"}
    for name, style in styles.items():
        if not (said(name) or style).startswith(style):
            connection.execute(f"SET {name} TO {style}".encode())
    if not connection.autocommit:
        connection.commit()


def passwords_in(url: str) -> list[str]:
    """Return what a libpq URL must not show, as libpq reads it (Python's reader knows other rules)."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # connect() will say so; what stands where a password would is hidden all the same
        between = re.search(r"://[^:/@]*:(.*)@", url)
        return [between[1]] if between else []
    return [str(given[name]) for name in ("password", "sslpassword") if given.get(name)]


def _read_every_instant(connection: psycopg.Connection[Any]) -> None:
    """Let an instant that Python cannot hold (infinity, year 20000) be read as the last or first one that it can."""
    from psycopg import DataError
    from psycopg.types.datetime import TimestamptzBinaryLoader, TimestamptzLoader

    ends = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))

    class Text(TimestamptzLoader):
        def load(self, data: Any) -> datetime:
            try:
                return super().load(data).astimezone(UTC)
            except (DataError, OverflowError, ValueError):
                return ends[not bytes(data).startswith(b"-") and not bytes(data).endswith(b"BC")]

    class Binary(TimestamptzBinaryLoader):
        def load(self, data: Any) -> datetime:
            try:
                return super().load(data).astimezone(UTC)
            except (DataError, OverflowError, ValueError):
                return ends[bytes(data)[0] < 128]  # a signed number of microseconds, highest byte first

    connection.adapters.register_loader("timestamptz", Text)
    connection.adapters.register_loader("timestamptz", Binary)


def _translate(error: Exception) -> Exception:
    text = visible(error, most=500)
    if re.search(r"invalid \w+ value", text) or "invalid port number" in text:
        return ConfigurationProblem(f"database URL: {_QUOTED.sub('…', text)}")
    if "unsupported startup parameter" in text:
        return ConfigurationProblem(
            f"database: a pooler stands in the way; set JOBSYNC_LOCK_DATABASE_URL to a direct connection ({text})"
        )
    if any(words in text for words in _CONFIGURATION):
        return ConfigurationProblem(f"database: {text}")
    if "session is read-only" in text or "server is in hot standby mode" in text:
        return ConfigurationProblem(f"database: this server is read-only (a standby?); connect to the primary ({text})")
    return Unavailable(f"database: {text}")


def make_engine(
    url: str, *, application_name: str, connections: int = 5, lock_timeout_s: float | None = None
) -> Engine:
    """
    Return a pool of at most `connections` work connections; it opens the first when asked for it.

    Args:
        lock_timeout_s: how long a statement waits for a lock before it is Unavailable, None: for ever.
    """
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import QueuePool

    def open_connection() -> psycopg.Connection[Any]:
        connection = connect(url, application_name=application_name, autocommit=False)
        if lock_timeout_s is not None:
            _name_blockers(connection, lambda: connect(url, application_name=application_name))
        return connection

    def limit_wait(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{lock_timeout_s}s'")  # LOCAL: a pooler may stand between

    engine = create_engine(
        "postgresql+psycopg://", creator=open_connection, poolclass=QueuePool, pool_size=connections, max_overflow=0
    )
    event.listen(engine, "checkout", _refuse_dead)
    if lock_timeout_s is not None:
        event.listen(engine, "begin", limit_wait)
    return engine


def _name_blockers(connection: psycopg.Connection[Any], open_another: Callable[[], psycopg.Connection[Any]]) -> None:
    """Have a statement that waited too long for a lock say who holds it; ours is broken by then, another one asks."""
    import psycopg

    class Cursor(psycopg.Cursor[Any]):
        def execute(self, *arguments: Any, **more: Any) -> Any:
            try:
                return super().execute(*arguments, **more)
            except psycopg.errors.LockNotAvailable as error:
                row = None
                with suppress(psycopg.Error, JobsyncError), open_another() as other:
                    row = other.execute(_BLOCKER).fetchone()
                if row is None:
                    raise
                raise Unavailable(_blocked(*row)) from error

    connection.cursor_factory = Cursor


# Who keeps even readers, then who keeps writers from a table; the longest transaction first.
_BLOCKER = """
    SELECT c.relname, l.pid, coalesce(nullif(a.application_name, ''), 'a program without a name'),
           coalesce(a.usename, 'another role'), coalesce(a.state, 'state unknown'),
           extract(epoch FROM clock_timestamp() - a.xact_start)::bigint
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')
      AND c.relkind IN ('r', 'p') AND c.relnamespace <> 'pg_catalog'::regnamespace
    ORDER BY l.mode <> 'AccessExclusiveLock', a.xact_start LIMIT 1
"""


def _blocked(table: str, pid: int, program: str, role: str, state: str, since_s: int | None) -> str:
    since = f" since {since_s} s" if since_s is not None else ""
    return (
        f"database: table {visible(table, most=80)} is locked{since} by backend {pid} ({visible(program, most=80)},"
        f" role {visible(role, most=80)}, {state}); wait, or end it: SELECT pg_terminate_backend({pid})"
    )


def _refuse_dead(connection: psycopg.Connection[Any], _record: object, _proxy: object) -> None:
    """Have SQLAlchemy's pool replace a connection that the server has ended meanwhile."""
    from sqlalchemy.exc import DisconnectionError

    if not _lives(connection):
        raise DisconnectionError


def _lives(connection: psycopg.Connection[Any]) -> bool:
    """
    Whether the server has not ended an idle connection, while its item was out in the network for example.

    The end shows on the socket, be it the server's farewell or the kernel's keepalive; asking the server each time
    would cost every transaction a round trip.
    """
    import psycopg

    try:
        watch = select.poll()
        watch.register(connection.fileno(), select.POLLIN)  # and a hang-up, unasked
        if watch.poll(0):
            connection.execute("SELECT 1")
            connection.rollback()
    except psycopg.Error:
        return False
    return True


class Pool:
    """
    A job's connections: opened when they are needed, each lent for one transaction at a time, the last one used first.

    Not SQLAlchemy's: to import that takes as long as a whole tick that asks about one document.
    """

    def __init__(self, open_connection: Callable[[], psycopg.Connection[Any]], most: int) -> None:
        self._open = open_connection
        self._room = threading.BoundedSemaphore(most)
        self._idle: list[psycopg.Connection[Any]] = []
        self._lent: set[psycopg.Connection[Any]] = set()
        self._closed = False

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """
        Lend a connection for one transaction; it commits at the end of the block, rolls back on any exception.

        Raises:
            Unavailable: none has become free for half a minute, or none could be opened.
        """
        with self._lend() as connection:
            try:
                yield connection
                connection.commit()
            except BaseException:
                with suppress(Exception):  # a broken one is closed, and dropped below
                    connection.rollback()
                raise

    @contextmanager
    def autocommit(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection on which each statement is a transaction."""
        with self._lend() as connection:
            connection.autocommit = True
            try:
                yield connection
            finally:
                with suppress(Exception):
                    connection.autocommit = False

    @contextmanager
    def _lend(self) -> Iterator[psycopg.Connection[Any]]:
        if not self._room.acquire(timeout=_ROOM_WITHIN_S):
            raise Unavailable(f"database: no work connection has become free for {_ROOM_WITHIN_S:g} s")
        try:
            connection = self._take()
            self._lent.add(connection)
            try:
                yield connection
            finally:
                self._lent.discard(connection)
                if self._closed or connection.closed or connection.info.transaction_status:  # not idle
                    connection.close()
                else:
                    self._idle.append(connection)
        finally:
            self._room.release()

    def _take(self) -> psycopg.Connection[Any]:
        deadline = time.monotonic() + _ROOM_WITHIN_S
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                try:
                    return self._open()
                except Unavailable:
                    # the server has no room for one more (a role's limit, max_connections): one of ours comes back soon
                    if not (self._lent or self._idle) or time.monotonic() >= deadline:
                        raise
                    time.sleep(_LOOK_EVERY_S)
                    continue
            if _lives(connection):
                return connection
            connection.close()

    def close(self) -> None:
        """Close what is idle now, and the others when they come back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


@contextmanager
def translated() -> Iterator[None]:
    """Turn database errors that a server or its administrator causes into ours; the others are bugs and pass."""
    try:
        yield
    except JobsyncError:
        raise
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        raise problem from error


def problem_of(error: Exception) -> JobsyncError | None:
    """Return what a database error means to an operator, None if it is no such error or a bug."""
    import psycopg
    from psycopg import errors

    cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps the driver's
    words = visible(str(cause).partition("\n")[0], most=300)
    if isinstance(cause, errors.ReadOnlySqlTransaction):
        return Unavailable(f"database: it takes no writes now (a full disk, a standby?): {words}")
    if isinstance(cause, errors.LockNotAvailable):
        where = f" {visible(cause.diag.context, most=200)}" if cause.diag.context else ""
        return Unavailable(
            f"database: another session keeps locked what was to be written{where};"
            " look for an old xact_start in pg_stat_activity"
        )
    if isinstance(cause, errors.InsufficientPrivilege):
        return ConfigurationProblem(
            f"the database role lacks a right: {visible(cause, most=300)} (jobsync reads and writes all of its tables,"
            " and db upgrade must be run by their owner)"
        )
    # The version was checked, so the schema had all this once.
    missing = errors.UndefinedTable | errors.UndefinedColumn | errors.UndefinedFunction | errors.UndefinedObject
    altered = errors.DatatypeMismatch | errors.WrongObjectType | errors.InvalidColumnReference
    if isinstance(cause, missing | altered):
        return ConfigurationProblem(f"the schema is damaged: {words}; what is missing: jobsync doctor")
    # the others end the session too, but are no OperationalError to psycopg
    gone = (psycopg.OperationalError, errors.IdleInTransactionSessionTimeout, errors.TransactionTimeout)
    replaced = isinstance(cause, errors.FeatureNotSupported) and "cached plan" in words  # a table was altered just now
    if isinstance(cause, gone) or replaced or getattr(error, "connection_invalidated", False):
        return Unavailable(f"database: {visible(cause, most=500)}")
    return None


def driver(connection: Connection) -> psycopg.Connection[Any]:
    """Return psycopg's connection below SQLAlchemy's, for what jobs and commands share."""
    raw: Any = connection.connection.driver_connection
    return raw  # type: ignore[no-any-return]


class Database:
    """
    One Postgres database as a command sees it.

    Args:
        url: libpq URL for work; may lead through a pooler.
        lock_url: libpq URL for locks; must lead to the server itself.
    """

    def __init__(self, url: str, lock_url: str | None = None) -> None:
        self.url = url
        self.lock_url = lock_url or url
        self._engines: list[Engine] = []
        self._pools: list[Pool] = []

    def engine(
        self, *, application_name: str = "jobsync", connections: int = 5, lock_timeout_s: float | None = None
    ) -> Engine:
        """Return a new SQLAlchemy engine; it is closed with the database."""
        engine = make_engine(
            self.url, application_name=application_name, connections=connections, lock_timeout_s=lock_timeout_s
        )
        self._engines.append(engine)
        return engine

    def pool(self, *, application_name: str = "jobsync", connections: int = 2, prepare: bool = False) -> Pool:
        """
        Return a new pool; it is closed with the database.

        Args:
            prepare: the caller has proved that `lock_url` leads to the server itself; where work goes the same way, the
                server may keep statements.
        """
        prepare = prepare and self.url == self.lock_url

        def open_connection() -> psycopg.Connection[Any]:
            from psycopg import IsolationLevel

            connection = connect(self.url, application_name=application_name, autocommit=False, prepare=prepare)
            connection.isolation_level = IsolationLevel.READ_COMMITTED  # what jobs were written for, whatever is set
            return connection

        pool = Pool(open_connection, connections)
        self._pools.append(pool)
        return pool

    def direct(self, *, application_name: str = "jobsync") -> psycopg.Connection[Any]:
        """Open one connection outside every pool, in autocommit."""
        return connect(self.url, application_name=application_name)

    def lock_connection(self, *, application_name: str) -> psycopg.Connection[Any]:
        """
        Open the connection whose life is the life of its advisory locks.

        Server and role settings that end idle sessions are switched off for it, a standby is refused.
        """
        server = (
            "-c statement_timeout=10s -c idle_session_timeout=0"
            " -c idle_in_transaction_session_timeout=0 -c client_connection_check_interval=10s"
            " -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
            " -c tcp_user_timeout=15000"
        )
        return connect(
            self.lock_url,
            application_name=application_name,
            prepare=True,
            target_session_attrs="read-write",
            options=server,
        )

    def close(self) -> None:
        """Close every pool."""
        for engine in self._engines:
            engine.dispose()
        for pool in self._pools:
            pool.close()
        self._engines.clear()
        self._pools.clear()
