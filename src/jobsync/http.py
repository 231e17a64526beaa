"""HTTP for every slice: one total deadline a request, bounded bodies, no cookies, no secret in an error."""

from __future__ import annotations

import http.client
import io
import os
import select
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, unquote, urlencode, urlsplit

from jobsync.errors import JobsyncError

if TYPE_CHECKING:
    import httpx

_CHUNK = 1 << 16
_SMALL_BODY = 16 << 20
_KEPT_S = 60.0  # an idle connection
CONNECT_TIMEOUT_S = 10.0
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": "jobsync"}
_PATH_SIGNS = "/%:@!$&'()*+,;=~"


class NoAnswer(JobsyncError):
    """No usable answer came: refused, reset, late, cut off or too large. `kind` is a short stable code."""

    def __init__(self, text: str, *, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Answer:
    """Status, lower-case header names, and the whole body (none where only the status was asked for)."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray


@dataclass(frozen=True)
class _Request:
    url: str
    deadline_s: float
    params: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes
    ends_at: float
    sending: AbstractContextManager[None]
    status_only: bool


@dataclass(frozen=True)
class _Opened:
    """An answer whose body is still to be read; `read` returns b"" at its end."""

    status: int
    headers: Mapping[str, str]
    read: Callable[[], bytes]


class _Sender(Protocol):
    def exchange(self, request: _Request) -> AbstractContextManager[_Opened]: ...

    def close(self) -> None: ...


class HttpClient:
    """
    A client for one service's hosts.

    Args:
        most_bytes: a body larger than this is refused.
        transport: for tests, instead of the network.
    """

    def __init__(
        self, *, connections: int, most_bytes: int = 256 << 20, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._sender: _Sender = _Network(connections) if transport is None else _Handed(transport)
        self._most_bytes = most_bytes
        self._large = threading.Lock()

    def post(
        self,
        url: str,
        *,
        deadline_s: float,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        sending: AbstractContextManager[None] | None = None,
        status_only: bool = False,
    ) -> Answer:
        """
        Send one POST and read the whole answer.

        Bodies over 16 MB are read one after the other. A compressed body is inflated in bounded steps, so that a few
        bytes can never become more than the largest body.

        Args:
            sending: entered once the connection stands, left when the request has been handed over; what it waits
                is not counted.
            status_only: the status says it all; the body, however long, is not read.

        Raises:
            NoAnswer: nothing usable came within `deadline_s`.
        """
        request = _Request(
            url,
            deadline_s,
            params or {},
            {**_HEADERS, **(headers or {})},
            content,
            time.monotonic() + deadline_s,
            sending or nullcontext(),
            status_only,
        )
        try:
            with self._sender.exchange(request) as opened:
                return Answer(opened.status, opened.headers, b"" if status_only else self._read(opened))
        except TimeoutError:
            raise NoAnswer(f"no whole answer within {deadline_s:g} s", kind="timeout") from None
        except _NotConnected as error:
            kind = "tls" if isinstance(error.why, ssl.SSLError) else "refused"
            raise NoAnswer(f"cannot connect ({_cause(error.why)})", kind=kind) from None
        except (http.client.InvalidURL, _NoAddress, UnicodeError):
            raise NoAnswer("the address is not a URL", kind="address") from None
        except (http.client.HTTPException, OSError) as error:
            raise NoAnswer(f"the connection broke off ({_cause(error)})", kind="broken") from None

    def _read(self, opened: _Opened) -> bytearray:
        encoding = opened.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise NoAnswer("the answer comes in an encoding that was not asked for", kind="encoding")
        inflater = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
        parts = bytearray()
        large = False
        try:
            while chunk := opened.read():
                while chunk and len(parts) <= self._most_bytes:
                    if inflater is None:
                        parts += chunk
                        break
                    parts += inflater.decompress(chunk, self._most_bytes + 1 - len(parts))
                    chunk = inflater.unconsumed_tail
                if len(parts) > self._most_bytes:
                    raise NoAnswer(f"the answer is larger than {self._most_bytes >> 20} MB", kind="too_large")
                if not large and len(parts) > _SMALL_BODY:
                    self._large.acquire()
                    large = True
        except zlib.error:
            raise NoAnswer("the compressed answer cannot be read", kind="broken") from None
        finally:
            if large:
                self._large.release()
        if inflater is not None and not inflater.eof:
            raise NoAnswer("the compressed answer was cut off", kind="broken")
        return parts

    def close(self) -> None:
        """Close every connection."""
        self._sender.close()


# --- the network -----------------------------------------------------------------------------------------------------


class _NoAddress(ValueError):
    """The URL names nothing that can be connected to."""


class _NotConnected(Exception):
    def __init__(self, why: OSError) -> None:
        super().__init__()
        self.why = why


class _Line(io.RawIOBase):
    """A socket whose every wait ends at the request's deadline: a server that drips a byte a second gains nothing."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._unsent: list[bytes] = []
        self.ends_at = 0.0

    def _wait(self) -> None:
        left_s = self.ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._inner.settimeout(left_s)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._wait()
        return self._inner.recv_into(buffer)

    def sendall(self, content: bytes) -> None:
        """Keep it: http.client hands over head and body one after the other, and they leave as one."""
        self._unsent.append(content)

    def send_kept(self) -> None:
        """Send what was handed over."""
        rest = memoryview(b"".join(self._unsent))
        self._unsent = []
        while rest:
            self._wait()
            rest = rest[self._inner.send(rest) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return _Reader(self, _CHUNK)

    def close(self) -> None:
        """End of one answer: http.client closes what it read from, while the connection stays."""

    def hang_up(self) -> None:
        self._inner.close()

    def is_quiet(self) -> bool:
        """Whether nothing came since the last answer; a server that hung up is not quiet."""
        poll = select.poll()
        poll.register(self._inner, select.POLLIN)
        return not poll.poll(0)


class _Reader(io.BufferedReader):
    """What http.client reads from. It takes a chunk's length as it comes: below nothing, it would read without end."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size < 0:
            raise http.client.IncompleteRead(b"")
        return super().read(size)


class _Connection(http.client.HTTPConnection):
    """http.client's connection over a `_Line`."""

    def __init__(self, scheme: str, host: str, port: int) -> None:
        super().__init__(host, port)
        self._tls = scheme == "https"
        self.used_at = 0.0
        self.line: _Line

    def open(self, ends_at: float) -> None:
        """
        Connect.

        Raises:
            TimeoutError: not in time.
            _NotConnected: nobody is there, or it is nobody we trust.
        """
        try:
            timeout_s = min(CONNECT_TIMEOUT_S, max(0.001, ends_at - time.monotonic()))
            plain = socket.create_connection((self.host, self.port), timeout_s)
            try:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls:
                    plain.settimeout(min(CONNECT_TIMEOUT_S, max(0.001, ends_at - time.monotonic())))
                    plain = one_context().wrap_socket(plain, server_hostname=self.host)
            except BaseException:
                plain.close()
                raise
        except TimeoutError:
            raise
        except OSError as error:
            raise _NotConnected(error) from None
        self.line = _Line(plain)
        self.sock = self.line


class _Network:
    """Connections that are kept for a while, at most so many at once."""

    def __init__(self, connections: int) -> None:
        self._free = threading.BoundedSemaphore(connections)
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str, int], list[_Connection]] = {}

    @contextmanager
    def exchange(self, request: _Request) -> Iterator[_Opened]:
        place, target, headers = _read_url(request)
        if not self._free.acquire(timeout=max(0.0, request.ends_at - time.monotonic())):
            raise TimeoutError
        try:
            connection = self._take(place, request.ends_at)
            try:
                response = _send(connection, request, target, headers)
                yield _Opened(response.status, _headers_of(response), lambda: response.read(_CHUNK))
                if response.length and not request.status_only:
                    raise http.client.IncompleteRead(b"")
                kept = response.isclosed() and not response.will_close
            except BaseException:
                connection.line.hang_up()
                raise
            if kept:
                self._give_back(place, connection)
            else:
                connection.line.hang_up()
        finally:
            self._free.release()

    def _take(self, place: tuple[str, str, int], ends_at: float) -> _Connection:
        while True:
            with self._lock:
                idle = self._idle.get(place)
                connection = idle.pop() if idle else None
            if connection is None:
                connection = _Connection(*place)
                connection.open(ends_at)
                return connection
            if time.monotonic() - connection.used_at < _KEPT_S and connection.line.is_quiet():
                return connection
            connection.line.hang_up()

    def _give_back(self, place: tuple[str, str, int], connection: _Connection) -> None:
        connection.used_at = time.monotonic()
        with self._lock:
            self._idle.setdefault(place, []).append(connection)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.line.hang_up()


def _read_url(request: _Request) -> tuple[tuple[str, str, int], str, Mapping[str, str]]:
    """
    Return where to connect to, what to ask for there, and with which headers.

    Raises:
        _NoAddress, UnicodeError: the URL is none, or of another kind.
    """
    try:
        parts = urlsplit(request.url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _NoAddress from None
    if parts.scheme not in ("http", "https") or not host:
        raise _NoAddress
    if not host.isascii():
        host = host.encode("idna").decode()
    target = quote(parts.path or "/", safe=_PATH_SIGNS)
    query = "&".join(filter(None, [quote(parts.query, safe=_PATH_SIGNS + "?"), urlencode(request.params)]))
    headers = request.headers
    if parts.username is not None and "Authorization" not in headers:
        import base64

        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = {**headers, "Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
    place = (parts.scheme, host, port or (443 if parts.scheme == "https" else 80))
    return place, f"{target}?{query}" if query else target, headers


def _send(
    connection: _Connection, request: _Request, target: str, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    line = connection.line
    ready_at = time.monotonic()
    with request.sending:
        line.ends_at = request.ends_at + time.monotonic() - ready_at
        try:
            connection.request("POST", target, request.content, headers)
        except ValueError as error:  # a header that would be two
            raise http.client.HTTPException from error
        line.send_kept()
    return connection.getresponse()


def _headers_of(response: http.client.HTTPResponse) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in response.getheaders():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def tls_context() -> ssl.SSLContext:
    """Return a verifying context; the system's hashed CA folder is read on demand, 100 times faster than a bundle."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    paths = ssl.get_default_verify_paths()
    if paths.cafile and paths.cafile != paths.openssl_cafile:
        context.load_verify_locations(cafile=paths.cafile)  # $SSL_CERT_FILE
    elif paths.capath and _has_hashed(paths.capath):
        context.load_verify_locations(capath=paths.capath)
    else:
        import certifi

        context.load_verify_locations(cafile=certifi.where())
    return context


def _has_hashed(folder: str) -> bool:
    try:
        return any(name.endswith(".0") for name in os.listdir(folder))  # noqa: PTH208 - pathlib is heavy
    except OSError:
        return False


_context: ssl.SSLContext | None = None
_context_lock = threading.Lock()


def one_context() -> ssl.SSLContext:
    """Return the process's one context: making one costs more than most requests."""
    global _context
    with _context_lock:
        if _context is None:
            _context = tls_context()
        return _context


def _cause(error: BaseException) -> str:
    """Name an error without its text, where the whole URL may stand, unless the system itself worded it."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ssl.SSLError) and inner.reason:
            return inner.reason
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return type(error).__name__


# --- for tests -------------------------------------------------------------------------------------------------------


class _Handed:
    """Requests go to a transport of httpx, in this process."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    @contextmanager
    def exchange(self, request: _Request) -> Iterator[_Opened]:
        import httpx

        timeout = httpx.Timeout(request.deadline_s, connect=min(request.deadline_s, CONNECT_TIMEOUT_S))
        asked = httpx.Request(
            "POST",
            request.url,
            params=request.params,
            headers=request.headers,
            content=request.content,
            extensions={"timeout": timeout.as_dict()},
        )
        with request.sending:
            pass
        try:
            response = self._transport.handle_request(asked)
            body = [response.read()]
        except httpx.TimeoutException:
            raise TimeoutError from None
        except httpx.ConnectError as error:
            raise _NotConnected(OSError(0, str(error))) from None
        except httpx.HTTPError as error:
            raise http.client.HTTPException from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        headers.pop("content-encoding", None)  # httpx has unpacked it
        yield _Opened(response.status_code, headers, lambda: body.pop() if body else b"")

    def close(self) -> None:
        self._transport.close()
