"""What a refused login, a standby and a read-only session mean to an operator: by code, in no language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsync.causes import Cause
from jobsync.errors import ConfigurationProblem, JobsyncError, Unavailable
from jobsync.logs import visible

if TYPE_CHECKING:
    from jobsync.db.silence import Connection

# SQLSTATE of a refused login, or its class: what is wrong until somebody changes it
_REFUSALS = {
    "28P01": "wrong password, or no such role",
    "28": "the role may not log in: no such role, NOLOGIN, or pg_hba.conf",
    "3D": "no such database",
    "42501": "the role lacks a right to connect",
    "42": "the server does not know a parameter of the URL",
    "22": "the server does not take a parameter of the URL",
    "55P02": "the server does not take a parameter of the URL",
    "0A": "the server does not speak to this client",
}
_FULL = "53300"
_POOLERS = "08"  # PostgreSQL itself refuses no login with a code of this class, PgBouncer nearly each
_READ_ONLY = {  # where default_transaction_read_only was set, as pg_settings says; else it is the server's own setting
    "database": ("the database {database} is", "ALTER DATABASE {database} RESET default_transaction_read_only"),
    "user": ("the role {role} is", "ALTER ROLE {role} RESET default_transaction_read_only"),
    "database user": (
        "the role {role} in the database {database} is",
        "ALTER ROLE {role} IN DATABASE {database} RESET default_transaction_read_only",
    ),
    "global": ("every role is", "ALTER ROLE ALL RESET default_transaction_read_only"),
    "client": ("this session is", "take default_transaction_read_only out of the URL's options, or PGOPTIONS"),
}
_READ_ONLY_SERVER = ("the server is", "ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()")


class Standby(Unavailable):
    """The server only repeats another's writes. It may be promoted."""

    alert_cause = Cause.DATABASE_STANDBY


class ReadOnly(ConfigurationProblem):
    """A server, a database or a role was set so that nothing can be written."""

    alert_cause = Cause.DATABASE_READ_ONLY


class LoginRefused(ConfigurationProblem):
    """The server knows no such role, or not as this user of the host."""

    advice = ""  # what the command line adds, which knows who typed it

    def __str__(self) -> str:
        return super().__str__() + self.advice


class NoRoom(Unavailable):
    """The server has no room for one more connection: a role's limit, max_connections, a pooler's."""

    alert_cause = Cause.DATABASE_NO_ROOM


class PoolerRefusal(NoRoom):
    """A pooler refuses a login for a reason of its own: it may have no room, or not know the role or the database."""


def meaning_of(code: str, text: str) -> JobsyncError:
    """Return what a refused login means, by the SQLSTATE of the server's answer; `text` is in its language."""
    meaning = _REFUSALS.get(code) or _REFUSALS.get(code[:2])
    if meaning is not None:
        return (LoginRefused if code.startswith("28") else ConfigurationProblem)(
            f"database: {meaning} ({code}): {text}", cause=Cause.DATABASE_LOGIN_REFUSED
        )
    if is_poolers(code):
        return PoolerRefusal(f"database: refused by a pooler ({code}): {text}")
    return (NoRoom if code == _FULL else Unavailable)(f"database: {text} ({code})")


def is_poolers(code: str) -> bool:
    """Whether a pooler, not the server itself, refuses a login with this SQLSTATE."""
    return code.startswith(_POOLERS)


def why_read_only(connection: Connection) -> JobsyncError | None:
    """Return what keeps a session from writing, as the server reports it; None if nothing does."""
    info = connection.info
    standby = info.parameter_status("in_hot_standby")
    read_only = info.parameter_status("default_transaction_read_only")
    if standby is None or read_only is None:  # a pooler passes on neither
        [(standby, read_only)] = connection.execute(
            "SELECT CASE WHEN pg_is_in_recovery() THEN 'on' ELSE 'off' END,"
            " current_setting('default_transaction_read_only')"
        ).fetchall()
    if standby == "on":
        return Standby(
            f"database: the server {_where(connection)} is a standby, which takes no writes until it is promoted;"
            " name the primary in the URL, or every host: postgresql://HOST1,HOST2/DATABASE"
        )
    if read_only != "on":
        return None
    [(source, role, database)] = connection.execute(
        "SELECT source, quote_ident(session_user), quote_ident(current_database())"
        " FROM pg_settings WHERE name = 'default_transaction_read_only'"
    ).fetchall()
    what, remedy = (part.format(role=role, database=database) for part in _READ_ONLY.get(source, _READ_ONLY_SERVER))
    return ReadOnly(f"database: {visible(what)} set read-only (default_transaction_read_only is on); {visible(remedy)}")


def _where(connection: Connection) -> str:
    return visible(f"{connection.info.host}:{connection.info.port}", most=120)


def why_no_writes(session: Connection | None, words: str) -> JobsyncError:
    """Return what a refused write means: set so from the session's start, or changed under it."""
    if session is None:
        return Unavailable(f"database: it takes no writes now: {words}")
    if session.no_writes is not None:
        return session.no_writes
    said = session.info.parameter_status
    why = (
        f"the server {_where(session)} is a standby now"
        if said("in_hot_standby") == "on"
        else "it was set read-only just now, perhaps for its full disk (default_transaction_read_only is on)"
        if said("default_transaction_read_only") == "on"
        else words
    )
    return Unavailable(f"database: it takes no writes now: {why}")
