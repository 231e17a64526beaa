"""The one door to Postgres: SQLAlchemy's engines for jobs and commands, direct connections, what errors mean."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import DataError, errors, generators
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ExecStatus
from psycopg.types.datetime import TimestamptzBinaryLoader, TimestamptzLoader
from psycopg.types.json import set_json_loads
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from jobsync import libpq, schema_name
from jobsync.causes import Cause
from jobsync.db import silence
from jobsync.db.causes import NoRoom, ReadOnly, Standby, is_poolers, meaning_of, why_no_writes, why_read_only
from jobsync.db.jsonb import read_json
from jobsync.db.tables import metadata
from jobsync.errors import ConfigurationProblem, JobsyncError, Unavailable
from jobsync.logs import visible

_PREPARED_AFTER = 3
ROOM_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.2
LOCK_WITHIN_S = 5  # for commands that people wait for; our own transactions hold no lock for that long
_QUOTED = re.compile('"[^"]*"')
# What a value of the URL is wrong in is said by libpq itself, before it asks any server; it has no code for that, and
# no language: this process chooses none.
_WRONG_VALUE = re.compile(r"invalid (\w+ value|port number|integer value)")
_CONNECT_S = 5
# A dead peer is noticed after about 15 s, also with bytes in flight, where keepalives alone would take minutes.
_NETWORK: dict[str, Any] = {
    "connect_timeout": _CONNECT_S,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
}


def connect(
    url: str,
    *,
    application_name: str,
    autocommit: bool = True,
    prepare: bool = False,
    writes: bool = False,
    patience: silence.Patience | None = None,
    schema: str = schema_name.DEFAULT,
    options: str = "",
) -> silence.Connection:
    """
    Open one direct connection; with several hosts in the URL to the one that takes writes, unless the URL says else.

    Args:
        prepare: let the server keep what is asked often; such statements would not survive a transaction pooler.
        writes: refuse a session that cannot write.
        schema: the one that holds our tables. The connection only knows it; the engine's transactions use it.
        options: of the server's session, beside the URL's own.

    Raises:
        Unavailable: there is no answer, or the server takes no connection now; Standby with `writes`.
        ConfigurationProblem: the URL is not one, or the server says that role, password or database are wrong;
            ReadOnly with `writes`.
    """
    given = _read_url(url)
    if options:
        given["options"] = f"{given.get('options') or ''} {options}"
    if len(_each_host(given)) > 1 and "PGTARGETSESSIONATTRS" not in os.environ:
        given = {"target_session_attrs": "read-write", **given}
    if re.fullmatch(r" *(0+|-\d+) *", str(given.get("connect_timeout", ""))):
        given["connect_timeout"] = _CONNECT_S  # to libpq it means for ever
    merged = {**_NETWORK, **given, "application_name": application_name, "client_encoding": "utf8"}
    connection = _log_in(merged)
    connection.prepare_threshold = _PREPARED_AFTER if prepare else None
    connection.patience = patience or silence.Patience()
    connection.schema = schema
    try:
        connection.no_writes = why_read_only(connection)
        if writes and connection.no_writes is not None:
            raise connection.no_writes
        _agree_on_texts(connection)
        connection.commit()  # all this was one transaction: a pooler may stand between
        connection.autocommit = autocommit
        connection.adapters.register_loader("timestamptz", _Instant)
        connection.adapters.register_loader("timestamptz", _BinaryInstant)
        set_json_loads(read_json, connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, psycopg.Error):
            raise problem_of(error) or Unavailable(f"database: {visible(error, most=500)}") from None
        raise
    return connection


def _read_url(url: str) -> dict[str, Any]:
    try:
        given = dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError as error:
        raise ConfigurationProblem(f"database URL: {_unquoted(error)}") from None
    if any("@" in host[1:] for host in str(given.get("host") or "").split(",") if not host.startswith("/")):
        raise ConfigurationProblem("database URL: an @ within user or password must be written as %40")
    if not all(port.isdigit() or not port for port in str(given.get("port") or "").split(",")):
        raise ConfigurationProblem("database URL: the port is no number (a / or : in the password is %2F or %3A)")
    return given


def _unquoted(error: Exception) -> str:
    # what libpq quotes of a URL may be a piece of the password
    return visible(_QUOTED.sub('"…"', str(error)), most=500)


def _each_host(given: dict[str, Any]) -> list[dict[str, Any]]:
    lists = {name: str(given[name]).split(",") for name in ("host", "hostaddr", "port") if given.get(name)}
    number = max((len(lists[name]) for name in ("host", "hostaddr") if name in lists), default=1)
    return [
        {**given, **{name: values[place if len(values) > 1 else 0] for name, values in lists.items()}}
        for place in range(number)
        if all(len(values) in (1, number) for values in lists.values())
    ]


def _log_in(given: dict[str, Any]) -> silence.Connection:
    try:
        conninfo = make_conninfo("", **given)
    except psycopg.ProgrammingError as error:
        raise ConfigurationProblem(f"database URL: {_unquoted(error)}") from None
    try:
        connection = silence.Connection.connect(conninfo, prepare_threshold=None)
    except psycopg.OperationalError as error:
        hosts = _each_host(given)
        raise (_why_no_host(error, hosts) if len(hosts) > 1 else _why_refused(error, conninfo, given)) from None
    connection.conninfo = conninfo
    return connection


def _why_no_host(error: Exception, hosts: list[dict[str, Any]]) -> JobsyncError:
    problems: list[JobsyncError] = []
    for host in hosts:
        alone = {**host, "target_session_attrs": "any", "connect_timeout": 2}
        try:
            with closing(_log_in(alone)) as found:
                problem = why_read_only(found)
        except JobsyncError as refusal:
            problem = refusal
        if problem is not None:
            problems.append(problem)
    for kind in (ReadOnly, ConfigurationProblem, Standby):  # what needs a person first
        for problem in problems:
            if isinstance(problem, kind):
                others = [str(other).removeprefix("database: ") for other in problems if other is not problem]
                return kind("; ".join([str(problem), *others]))
    return Unavailable(f"database: {visible(error, most=500)}")


def _why_refused(error: Exception, conninfo: str, given: dict[str, Any]) -> JobsyncError:
    text = visible(error, most=500)
    if _WRONG_VALUE.search(text):
        return ConfigurationProblem(f"database URL: {_unquoted(error)}")
    if isinstance(error, errors.ConnectionTimeout):
        return Unavailable(f"database: {text}")
    why = libpq.ask_why(conninfo, within_s=_CONNECT_S)
    if why is None:  # now it does
        return NoRoom(f"database: {text}")
    if why.needs_password:
        return ConfigurationProblem(f"database: the server asks for a password, and none is set: {text}")
    if why.code is None:
        if given.get("target_session_attrs", "any") != "any":  # it may be another kind of server
            with suppress(JobsyncError), closing(_log_in({**given, "target_session_attrs": "any"})) as found:
                return why_read_only(found) or Unavailable(f"database: {text}")
        return Unavailable(f"database: {text}")
    bare = make_conninfo(conninfo, options="")
    if is_poolers(why.code) and "options" in given and libpq.ask_why(bare, within_s=_CONNECT_S) is None:
        return ConfigurationProblem(
            f"database: a pooler stands in the way; set JOBSYNC_LOCK_DATABASE_URL to a direct connection ({text})"
        )
    return meaning_of(why.code, text)


def _agree_on_texts(connection: psycopg.Connection[Any]) -> None:
    said = connection.info.parameter_status
    encoding = said("server_encoding") or "UTF8"
    if encoding != "UTF8":
        raise ConfigurationProblem(
            f"database {visible(connection.info.dbname, most=80)}: its encoding is {encoding}, jobsync needs UTF8;"
            " make another: createdb -E UTF8 -T template0 -O ROLE NAME"
        )
    # SET, for poolers refuse these as parameters of the connection; those who ask (pgbouncer does) keep them apart
    for name, style in {"DateStyle": "ISO", "IntervalStyle": "postgres"}.items():
        if not (said(name) or style).startswith(style):
            connection.execute(f"SET {name} TO {style}".encode())


def passwords_in(url: str) -> list[str]:
    """Return what a libpq URL must not show, as libpq reads it (Python's reader knows other rules)."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # connect() will say so; what stands where a password would is hidden all the same
        between = re.search(r"://[^:/@]*:(.*)@", url)
        return [between[1]] if between else []
    return [str(given[name]) for name in ("password", "sslpassword") if given.get(name)]


_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def _nearest(load: Callable[[Any], datetime], data: Any, *, late: bool) -> datetime:
    """Read an instant; one that Python cannot hold (infinity) as the nearest that it can."""
    try:
        return load(data).astimezone(UTC)
    except (DataError, OverflowError, ValueError):
        return _LAST if late else _FIRST


class _Instant(TimestamptzLoader):
    def load(self, data: Any) -> datetime:
        text = bytes(data)
        return _nearest(super().load, data, late=not text.startswith(b"-") and not text.endswith(b"BC"))


class _BinaryInstant(TimestamptzBinaryLoader):
    def load(self, data: Any) -> datetime:
        return _nearest(super().load, data, late=bytes(data)[0] < 128)  # a signed number, highest byte first


class PatientPool(QueuePool):
    """SQLAlchemy's queue of connections; with a role's limit below its size, threads share what the server grants."""

    def connect(self) -> PoolProxiedConnection:
        """Return a connection; raises Unavailable where none was free for half a minute, or none could be opened."""
        try:
            return super().connect()
        except NoRoom:
            # one of ours comes back soon; it is taken then, instead of one more
            waiting = Retrying(
                retry=retry_if_exception(
                    lambda error: isinstance(error, NoRoom) and self.checkedout() + self.checkedin() > 0
                ),
                stop=stop_after_delay(ROOM_WITHIN_S),
                wait=wait_fixed(_LOOK_EVERY_S),
                reraise=True,
            )
            return waiting(super().connect)
        except PoolTimeout:
            raise Unavailable(f"database: no work connection has become free for {self.timeout():g} s") from None


def _begin(connection: silence.Connection, statements: Sequence[str]) -> None:
    """Begin the transaction that the driver would begin by itself, with these statements in the same question."""
    # as all was written for, whatever is set here as default: who waits for another then sees what that one did
    begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
    connection.pgconn.send_query("; ".join((begin, *statements)).encode())
    for result in connection.wait(generators.execute(connection.pgconn)):
        if result.status != ExecStatus.COMMAND_OK:
            raise errors.error_from_result(result, encoding=connection.info.encoding)


@contextmanager
def transaction(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    """
    Lend the driver's own connection for one transaction of the engine: for COPY, pipelines, statements that are kept.

    It commits at the end of the block and rolls back on any exception; what fails, fails with the driver's own error.
    Raises Unavailable where no connection becomes free or can be opened.
    """
    pool = engine.pool
    with engine.begin() as connection:
        lent = driver(connection)
        try:
            yield lent
            lent.commit()  # SQLAlchemy's own, which would wrap the error, finds nothing left to do
        except BaseException:
            with suppress(Exception):
                lent.rollback()
            if lent.closed or lent.info.transaction_status:  # not idle: it is of no more use
                connection.invalidate()
            raise
        finally:
            if engine.pool is not pool and not connection.invalidated:  # disposed of meanwhile: there is no way back
                connection.detach()


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


def _who_blocks(session: silence.Connection) -> Unavailable | None:
    row = None
    with suppress(psycopg.Error), silence.Connection.connect(session.conninfo, autocommit=True) as other:
        other.patience = session.patience
        row = other.execute(_BLOCKER).fetchone()
    if row is None:
        return None
    table, pid, program, role, state, since_s = row
    since = f" since {since_s} s" if since_s is not None else ""
    return Unavailable(
        f"database: table {visible(table, most=80)} is locked{since} by backend {pid} ({visible(program, most=80)},"
        f" role {visible(role, most=80)}, {state}); wait, or end it: SELECT pg_terminate_backend({pid})"
    )


def _refuse_dead(connection: silence.Connection, _record: object, _proxy: object) -> None:
    """
    Have SQLAlchemy's pool replace a connection that the server has ended. Its end shows on the socket: asking the
    server each time would cost every transaction a round trip.
    """
    try:
        if connection.has_word():
            connection.execute("SELECT 1")
            connection.rollback()
    except psycopg.Error:
        raise DisconnectionError from None


def _take_back(connection: psycopg.Connection[Any], record: ConnectionPoolEntry, _state: object) -> None:
    """Roll back as the pool would, without its traceback of a connection that broke: its user has been told already."""
    try:
        connection.rollback()
    except psycopg.Error as error:
        record.invalidate(error)


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
    cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps the driver's
    words = visible(str(cause).partition("\n")[0], most=300)
    session: silence.Connection | None = getattr(cause, "session", None)
    if isinstance(cause, errors.ReadOnlySqlTransaction):
        return why_no_writes(session, words)
    if isinstance(cause, errors.LockNotAvailable):
        if session is not None and session.names_blockers and (problem := _who_blocks(session)) is not None:
            return problem
        where = f" {visible(cause.diag.context, most=200)}" if cause.diag.context else ""
        return Unavailable(
            f"database: another session keeps locked what was to be written{where};"
            " look for an old xact_start in pg_stat_activity",
            cause=Cause.DATABASE_LOCKED,
        )
    if isinstance(cause, errors.InsufficientPrivilege):
        return ConfigurationProblem(
            f"the database role lacks a right: {visible(cause, most=300)} (jobsync reads and writes all of its tables,"
            " and db upgrade must be run by their owner)",
            cause=Cause.DATABASE_RIGHT_MISSING,
        )
    if isinstance(cause, psycopg.Error) and _is_of_the_host(cause):
        context = f" ({visible(cause.diag.context.partition(chr(10))[0], most=200)})" if cause.diag.context else ""
        return ConfigurationProblem(
            f"a trigger, function or constraint that is none of jobsync's refuses what is written: {words}{context};"
            " mend or drop it; nothing of this was written"
        )
    # The version was checked, so the schema had all this once.
    missing = errors.UndefinedTable | errors.UndefinedColumn | errors.UndefinedFunction | errors.UndefinedObject
    altered = errors.DatatypeMismatch | errors.WrongObjectType | errors.InvalidColumnReference
    if isinstance(cause, missing | altered):
        return ConfigurationProblem(
            f"the schema is damaged: {words}; what is missing: jobsync doctor", cause=Cause.SCHEMA_DAMAGED
        )
    # the others end the session too, but are no OperationalError to psycopg
    gone = (psycopg.OperationalError, errors.IdleInTransactionSessionTimeout, errors.TransactionTimeout)
    # what is kept of a statement no longer fits a table that was altered just now; all else was supported before
    replaced = isinstance(cause, errors.FeatureNotSupported)
    if isinstance(cause, gone) or replaced or getattr(error, "connection_invalidated", False):
        full = Cause.DATABASE_DISK_FULL if isinstance(cause, errors.DiskFull) else None
        return Unavailable(f"database: {visible(cause, most=500)}", cause=full)
    return None


def _is_of_the_host(cause: psycopg.Error) -> bool:
    """Whether a rule that somebody else gave our tables refused a write; one of ours that does so is a bug."""
    if isinstance(cause, errors.RaiseException):  # no function of ours raises
        return True
    if not isinstance(cause, errors.IntegrityError):
        return False
    table = metadata.tables.get(cause.diag.table_name or "")
    if table is None:
        return True
    if isinstance(cause, errors.NotNullViolation):
        return str(cause.diag.column_name) not in table.columns
    ours = {*(rule.name for rule in table.constraints), *(index.name for index in table.indexes)}
    return cause.diag.constraint_name not in ours


def driver(connection: Connection) -> silence.Connection:
    """Return psycopg's connection below SQLAlchemy's, for what jobs and commands share."""
    raw: Any = connection.connection.driver_connection
    return raw  # type: ignore[no-any-return]


class Database:
    """
    One Postgres database: `url` may lead through a pooler, `lock_url` must lead to the server itself.

    `schema` holds our tables, whatever the role's search_path says.
    """

    def __init__(self, url: str, lock_url: str | None = None, *, schema: str = schema_name.DEFAULT) -> None:
        self.url = url
        self.lock_url = lock_url or url
        self.schema = schema
        self.patience = silence.Patience()  # of each of its connections
        self._engines: list[Engine] = []

    def engine(
        self, *, application_name: str = "jobsync", connections: int = 5, lock_timeout_s: float | None = None
    ) -> Engine:
        """Return a new engine for a command; what waits for a lock for `lock_timeout_s` is Unavailable, None: never."""
        return self._make_engine(connections, lock_timeout_s, application_name=application_name)

    def job_engine(self, *, application_name: str = "jobsync", connections: int = 2, prepare: bool = False) -> Engine:
        """
        Return a new engine for a job, which must be able to write.

        `prepare`: `lock_url` was proved to lead to the server itself; where work goes the same way, it may keep
        statements.
        """
        prepare = prepare and self.url == self.lock_url
        how = {"application_name": application_name, "prepare": prepare, "writes": True}
        return self._make_engine(connections, None, **how)

    def _make_engine(self, connections: int, lock_timeout_s: float | None, **how: Any) -> Engine:
        def open_connection() -> silence.Connection:
            connection = self.direct(autocommit=False, **how)
            connection.names_blockers = lock_timeout_s is not None
            return connection

        engine = create_engine(
            "postgresql+psycopg://",
            creator=open_connection,
            poolclass=PatientPool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=ROOM_WITHIN_S,
            pool_use_lifo=True,
            pool_reset_on_return=None,  # _take_back does it
            use_native_hstore=False,
        )
        statements = [schema_name.use_schema(self.schema)]  # LOCAL: a pooler lends the session to others
        if lock_timeout_s is not None:
            statements.append(f"SET LOCAL lock_timeout = '{lock_timeout_s}s'")
        event.listen(engine, "checkout", _refuse_dead)
        event.listen(engine, "reset", _take_back)
        # each transaction, of jobs and of commands, begins here
        event.listen(engine, "begin", lambda connection: _begin(driver(connection), statements))
        self._engines.append(engine)
        return engine

    def direct(self, *, application_name: str = "jobsync", **how: Any) -> silence.Connection:
        """Open one connection outside every pool; `how` as `connect` takes it."""
        return connect(self.url, application_name=application_name, patience=self.patience, schema=self.schema, **how)

    def lock_connection(self, *, application_name: str) -> silence.Connection:
        """
        Open the connection whose life is the life of its advisory locks; a session that cannot write is refused.

        Server and role settings that end idle sessions are switched off for it.
        """
        server = (
            "-c statement_timeout=10s -c idle_session_timeout=0"
            " -c idle_in_transaction_session_timeout=0 -c client_connection_check_interval=10s"
            " -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
            " -c tcp_user_timeout=15000"
        )
        known: dict[str, Any] = {"patience": self.patience, "schema": self.schema, "application_name": application_name}
        return connect(self.lock_url, prepare=True, writes=True, options=server, **known)

    def close(self) -> None:
        for engine in self._engines:
            engine.dispose()
        self._engines.clear()
