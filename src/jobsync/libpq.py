"""libpq through ctypes: for the idle tick, which imports no driver, and for what the driver does not tell."""

from __future__ import annotations

import os
import select
import sys
import time

TYPE_CHECKING = False  # `typing` is heavy
if TYPE_CHECKING:
    from typing import Any

_OK_STATUS = 0  # CONNECTION_OK
_TUPLES = 2  # PGRES_TUPLES_OK
_POLL_READING, _POLL_WRITING, _POLL_OK = 1, 2, 3
_SQLSTATE_ONLY = 3  # PQERRORS_SQLSTATE: an error is its severity and its code, in no language


class Refusal:
    """Why a server did not let us in."""

    def __init__(self, code: str | None, *, needs_password: bool = False) -> None:
        self.code = code  # SQLSTATE of its answer, None if it gave none
        self.needs_password = needs_password  # it asks for one, and none was given


def find() -> str | None:
    """Return the path of the libpq that psycopg-binary bundles, else the name of the system's."""
    for folder in sys.path:
        bundled = folder + "/psycopg_binary.libs"
        try:
            names = os.listdir(bundled)  # noqa: PTH208 - pathlib is heavy
        except OSError:
            continue
        for name in names:
            if name.startswith("libpq"):
                return bundled + "/" + name
    return "libpq.so.5" if sys.platform == "linux" else None


def ask_row(url: str, question: str, *, parameters: dict[str, str], within_s: float) -> tuple[bytes, bytes] | None:
    """
    Connect, ask, and return the first row's two fields; None if anything went differently, or took too long.

    Args:
        parameters: of the connection; what the URL says wins over them.
        within_s: for the answer. The connection has five seconds a host, whatever the URL says: it may say "for ever".

    Raises:
        OSError, AttributeError: there is no libpq, or one too old.
    """
    import ctypes

    pq = _load()
    # What comes later wins.
    given = {**parameters, "dbname": url, "connect_timeout": "5"}
    strings = ctypes.c_char_p * (len(given) + 1)
    keywords = strings(*(name.encode() for name in given), None)
    values = strings(*(value.encode() for value in given.values()), None)
    connection = pq.PQconnectdbParams(keywords, values, 1)
    try:
        if pq.PQstatus(connection) != _OK_STATUS or not pq.PQsendQuery(connection, question.encode()):
            return None
        deadline = time.monotonic() + within_s
        found = None
        while True:
            while pq.PQisBusy(connection):
                if not _ready(pq, connection, select.POLLIN, deadline) or not pq.PQconsumeInput(connection):
                    return None
            answer = pq.PQgetResult(connection)
            if not answer:
                return found
            plain = pq.PQresultStatus(answer) == _TUPLES and pq.PQntuples(answer) == 1
            found = (pq.PQgetvalue(answer, 0, 0), pq.PQgetvalue(answer, 0, 1)) if plain else None
            pq.PQclear(answer)
    finally:
        pq.PQfinish(connection)


def ask_why(conninfo: str, *, within_s: float) -> Refusal | None:
    """
    Try once more to log in to one host, and return why it refuses by its code; None if it lets us in now.

    The driver shows a refused login in the server's words alone, in whatever language it speaks.
    """
    try:
        pq = _load()
    except (OSError, AttributeError):
        return Refusal(None)
    deadline = time.monotonic() + within_s
    connection = pq.PQconnectStart(conninfo.encode())
    try:
        pq.PQsetErrorVerbosity(connection, _SQLSTATE_ONLY)
        step = _POLL_WRITING
        while step in (_POLL_READING, _POLL_WRITING):
            if pq.PQsocket(connection) < 0:  # it could not even begin
                return Refusal(None)
            event = select.POLLIN if step == _POLL_READING else select.POLLOUT
            if not _ready(pq, connection, event, deadline):
                return Refusal(None)
            step = pq.PQconnectPoll(connection)
        if step == _POLL_OK:
            return None
        code = _code_in(pq.PQerrorMessage(connection).decode(errors="replace"))
        return Refusal(code, needs_password=bool(pq.PQconnectionNeedsPassword(connection)))
    finally:
        pq.PQfinish(connection)


def _code_in(message: str) -> str | None:
    """
    Return the SQLSTATE with which a line of libpq's ends under PQERRORS_SQLSTATE.

    >>> _code_in('connection to server at "h" failed: FATAL:  28P01\\n')
    '28P01'
    >>> _code_in("connection to server failed: Connection refused")
    """
    for line in message.splitlines():
        word = line.rpartition(":  ")[2].strip()
        if len(word) == 5 and word.isascii() and word.isalnum() and word == word.upper():
            return word
    return None


def _ready(pq: Any, connection: Any, event: int, deadline: float) -> bool:
    watch = select.poll()
    watch.register(pq.PQsocket(connection), event)
    return bool(watch.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _load() -> Any:
    import ctypes

    library = find()
    if library is None:
        raise OSError("no libpq")
    pq = ctypes.CDLL(library)
    # c_void_p itself would come back as a number, which an argument of no declared type cuts to 32 bits
    pointer = type("Pointer", (ctypes.c_void_p,), {})
    for name in ("PQconnectdbParams", "PQconnectStart", "PQgetResult"):
        getattr(pq, name).restype = pointer
    for name in ("PQgetvalue", "PQerrorMessage"):
        getattr(pq, name).restype = ctypes.c_char_p
    return pq
