"""HTTP for every slice: one total deadline a request, bounded bodies, no cookies, no secret in an error."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import certifi
import httpcore

from jobsync.errors import ConfigurationProblem, JobsyncError
from jobsync.logs import visible
from jobsync.proxies import UNUSABLE, host_of

# Where click is installed (Apprise brings it), httpx would load its own command line for every run, and rich with it.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
import httpx  # noqa: E402

_SMALL_BODY = 16 << 20
_KEPT_S = 60.0  # an idle connection
_PIECE = 64 << 10  # bytes, of what is sent at once
CONNECT_TIMEOUT_S = 10.0  # for address, proxy and TLS together


class NoAnswer(JobsyncError):
    """
    No usable answer came: refused, reset, late, cut off, too large, or a redirect. `kind` is a short stable code:
    `refused`, `tls`, `timeout`, `broken`, `encoding`, `too_large`, `redirect`, `address`, `proxy`.
    """

    def __init__(self, text: str, *, kind: str, status: int | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.status = status


@dataclass(frozen=True)
class HttpAnswer:
    """Status, headers by names of any case, and the whole body (none where only the status was asked for)."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray


class HttpClient:
    """
    A client for one service's hosts; raises ConfigurationProblem where a proxy is not usable.

    Args:
        connections: so many at once, kept for a minute.
        proxies: as `jobsync.proxies.read_proxies` returns them.
        transport: for tests, instead of the network.
    """

    def __init__(
        self,
        *,
        connections: int,
        most_bytes: int = 256 << 20,
        proxies: Mapping[str, str | None] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        mounts = {} if transport else _mounted(proxies or {}, connections)
        try:
            self._client = httpx.Client(
                transport=transport or _Network(connections),
                mounts=mounts,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                event_hooks={"response": [_refuse_redirect]},
                trust_env=False,
            )
        except (httpx.InvalidURL, ValueError):
            raise ConfigurationProblem("NO_PROXY: expected names and addresses of hosts, commas between") from None
        self._client.headers = httpx.Headers({"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": "jobsync"})
        self._most_bytes = most_bytes
        self._large = threading.Lock()

    def post(
        self,
        url: str,
        *,
        deadline_s: float,
        first_byte_s: float | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        sending: AbstractContextManager[None] | None = None,
        status_only: bool = False,
    ) -> HttpAnswer:
        """
        Send one POST and read the whole answer, bodies over 16 MB one after the other.

        Args:
            first_byte_s: once the request has been handed over, the answer must begin within that time.
            sending: entered once the connection stands, left when the request has been handed over; what it waits
                is not counted.
            status_only: the body is not read.

        Raises:
            NoAnswer: nothing usable came within `deadline_s`.
        """
        call = _Call(deadline_s, first_byte_s, sending)
        with _exchange(self._client, "POST", url, call, params=params, headers=headers, content=content) as response:
            return HttpAnswer(response.status_code, response.headers, b"" if status_only else self._read(response))

    def look(self, url: str, *, deadline_s: float) -> Mapping[str, Any] | None:
        """Return a host's certificate as `getpeercert` does, None without TLS; raises NoAnswer if it is silent."""
        with _exchange(self._client, "HEAD", url, _Call(deadline_s)) as response:
            stream = response.extensions.get("network_stream")
            secured = stream.get_extra_info("ssl_object") if stream is not None else None
            return None if secured is None else secured.getpeercert() or {}

    def _read(self, response: httpx.Response) -> bytearray:
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise NoAnswer("the answer comes in an encoding that was not asked for", kind="encoding")
        inflater = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
        parts = bytearray()
        large = False
        try:
            for chunk in response.stream:  # type: ignore[union-attr]  # as it travels: httpx would inflate without limit
                while chunk and len(parts) <= self._most_bytes:
                    if inflater is None:
                        parts += chunk
                        break
                    parts += inflater.decompress(chunk, self._most_bytes + 1 - len(parts))
                    chunk = inflater.unconsumed_tail  # noqa: PLW2901 - the rest of it
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
        self._client.close()


def _refuse_redirect(response: httpx.Response) -> None:
    """A redirect would carry credentials to another place; its host is told, its path may be secret."""
    if not response.has_redirect_location:
        return
    if response.request.method == "HEAD":  # for a check whether a host answers, a status is enough
        del response.headers["location"]
        return
    try:
        where = visible(httpx.URL(response.headers["location"]).host, most=100) or "another page of the same host"
    except httpx.InvalidURL:
        where = "what is no address"
    status = response.status_code
    raise NoAnswer(f"HTTP {status} redirects to {where}, which is not followed", kind="redirect", status=status)


# --- one exchange ----------------------------------------------------------------------------------------------------


class _Call:
    """How far one request is, and until when; its thread's connections ask it how long they may wait."""

    def __init__(
        self, deadline_s: float, first_byte_s: float | None = None, sending: AbstractContextManager[None] | None = None
    ) -> None:
        self.deadline_s = deadline_s
        self.heard = False
        self._whole = self.limit = f"no whole answer within {deadline_s:g} s"  # which of the times comes first
        # while there is no connection to the host itself: until when, and the proxy that we speak to
        self.connect_by: float | None = None
        self.proxy: str | None = None
        self._ends_at = time.monotonic() + deadline_s
        self._first_byte_s = first_byte_s
        self._sent_at: float | None = None
        self._sending = sending or nullcontext()
        self.waiting = ExitStack()

    def left_s(self) -> float:
        """Return how long the next wait may take; raises TimeoutError if no time is left."""
        now = time.monotonic()
        limits = [(self._ends_at, self._whole)]
        if self.connect_by is not None:
            limits.append((self.connect_by, f"no connection within {CONNECT_TIMEOUT_S:g} s"))
        elif self._first_byte_s is not None and self._sent_at is not None and not self.heard:
            limits.append((self._sent_at + self._first_byte_s, f"no answer began within {self._first_byte_s:g} s"))
        ends_at, self.limit = min(limits)
        if ends_at <= now:
            raise TimeoutError
        return ends_at - now

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow the request through httpcore, which tells every step by this name."""
        if event == "http11.send_request_headers.started" and info["request"].method != b"CONNECT":
            self.proxy, self.connect_by, self.heard = None, None, False
            ready_at = time.monotonic()
            sending, self._sending = self._sending, nullcontext()
            self.waiting.enter_context(sending)
            self._ends_at += time.monotonic() - ready_at
        elif event == "http11.send_request_body.complete" and self.connect_by is None:
            self._sent_at = time.monotonic()
            self.waiting.close()
        elif event == "proxy.start_tls.started":  # from here on the host itself speaks
            self.proxy = None


_call: ContextVar[_Call] = ContextVar("call")


@contextmanager
def _exchange(client: httpx.Client, method: str, url: str, call: _Call, **more: Any) -> Iterator[httpx.Response]:
    """Open one exchange, with the answer's body still to be read; what goes wrong until its end is NoAnswer."""
    token = _call.set(call)
    try:
        if not httpx.URL(url).host:
            raise httpx.InvalidURL("no host")
        # what stands in the URL is for those who bring no login of their own
        auth = httpx.Auth() if "Authorization" in (more.get("headers") or {}) else httpx.USE_CLIENT_DEFAULT
        timeout = httpx.Timeout(call.deadline_s, connect=min(call.deadline_s, CONNECT_TIMEOUT_S))
        more |= {"auth": auth, "timeout": timeout, "extensions": {"trace": call.trace}}
        with client.stream(method, url, **more) as response:
            yield response
    except (*_LATE, *_NO_URL, *_BROKEN) as error:
        raise _translated(error, call) from None
    finally:
        call.waiting.close()
        _call.reset(token)


_LATE = (TimeoutError, httpx.TimeoutException)
_NO_URL = (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError)
_BROKEN = (OSError, httpx.HTTPError)


def _translated(error: Exception, call: _Call) -> NoAnswer:
    via = f"the proxy {call.proxy}" if call.proxy else None
    if isinstance(error, _LATE):
        return NoAnswer(f"{via}: {call.limit}" if via else call.limit, kind="proxy" if via else "timeout")
    if isinstance(error, httpx.ProxyError):
        status = int(str(error)[:3])
        login = ": it wants a login, or another one" if status == 407 else ""
        return NoAnswer(f"{via} refuses to connect (HTTP {status}){login}", kind="proxy", status=status)
    if isinstance(error, httpx.ConnectError):
        reason = error.__cause__ and error.__cause__.__context__  # below httpcore's own error
        kind = "proxy" if via else "tls" if isinstance(reason, ssl.SSLError) else "refused"
        return NoAnswer(f"cannot connect{f' to {via}' if via else ''} ({_cause(error)})", kind=kind)
    if isinstance(error, _NO_URL):
        return NoAnswer("the address is not a URL", kind="address")
    if via:
        return NoAnswer(f"{via} broke the connection off ({_cause(error)})", kind="proxy")
    return NoAnswer(f"the connection broke off ({_cause(error)})", kind="broken")


def _cause(error: BaseException) -> str:
    """Name an error without its text, where the whole URL may stand, unless the system itself worded it."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ssl.SSLCertVerificationError):
            return f"its certificate does not hold: {inner.verify_message.rstrip('.')}"
        if isinstance(inner, ssl.SSLError) and inner.reason:
            return inner.reason
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return type(error).__name__


# --- the network -----------------------------------------------------------------------------------------------------


def _mounted(proxies: Mapping[str, str | None], connections: int) -> dict[str, httpx.BaseTransport | None]:
    made: dict[str | None, _Network | None] = {None: None}
    for url in {*proxies.values()} - {None}:
        try:
            proxy = httpx.Proxy(url or "")
        except (httpx.InvalidURL, ValueError):
            raise ConfigurationProblem(UNUSABLE) from None
        if proxy.url.scheme not in ("http", "https") or not proxy.url.host:
            raise ConfigurationProblem(UNUSABLE)
        made[url] = _Network(connections, proxy)
    return {pattern: made[url] for pattern, url in proxies.items()}


class _Network(httpx.HTTPTransport):
    """httpx's own transport, over a pool whose connections know one deadline; 0.28 has its pool in `_pool`."""

    def __init__(self, connections: int, proxy: httpx.Proxy | None = None) -> None:
        self._proxy = host_of(str(proxy.url)) if proxy else None
        secured = tls_context() if proxy and proxy.url.scheme == "https" else None
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls_context(),
            proxy=httpcore.Proxy(str(proxy.url), proxy.raw_auth, proxy.headers.raw, secured) if proxy else None,
            max_connections=connections,
            keepalive_expiry=_KEPT_S,
            network_backend=_Backend(self._proxy),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if not _call.get().heard:  # the answer was there before the request: somebody else's
            response.close()
            response = super().handle_request(request)
        if response.status_code == 407 and self._proxy is not None:
            response.close()
            _call.get().proxy = self._proxy
            raise httpx.ProxyError("407")
        return response


class _Backend(httpcore.SyncBackend):
    """Makes connections whose every wait ends with their call: a server that drips a byte a second gains nothing."""

    def __init__(self, proxy: str | None) -> None:
        self._proxy = proxy

    def connect_tcp(self, host: str, port: int, *_args: Any, **_more: Any) -> httpcore.NetworkStream:
        call = _call.get()
        call.proxy, call.connect_by = self._proxy, time.monotonic() + CONNECT_TIMEOUT_S
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError from error
        *others, last = (str(address[0]) for *_, address in found)
        for tried, address in enumerate(others):  # they share the time that is left
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return _Stream(super().connect_tcp(address, port, call.left_s() / (len(found) - tried)))
        return _Stream(super().connect_tcp(last, port, call.left_s()))


class _Stream(httpcore.NetworkStream):
    """A connection of httpcore's that waits as long as its call may; `layers` of TLS are around what is said."""

    def __init__(self, inner: httpcore.NetworkStream, layers: int = 0) -> None:
        self._inner = inner
        self._layers = layers

    def read(self, max_bytes: int, *_: Any, **_timeout: Any) -> bytes:
        try:
            with self._within(self._layers) as left_s:
                found = self._inner.read(max_bytes, left_s)
        except httpcore.ReadError as error:
            if not isinstance(error.__context__, ssl.SSLEOFError):
                raise
            found = b""  # TLS inside TLS ended without a farewell, which a socket's own TLS takes for an end as well
        _call.get().heard = True
        return found

    def write(self, buffer: bytes, *_: Any, **_timeout: Any) -> None:
        for start in range(0, len(buffer), _PIECE):  # of each, httpcore would wait for every part anew
            with self._within(self._layers) as left_s:
                self._inner.write(buffer[start : start + _PIECE], left_s)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, *_: Any, **_timeout: Any
    ) -> httpcore.NetworkStream:
        with self._within(self._layers + 1) as left_s:
            return _Stream(self._inner.start_tls(ssl_context, server_hostname, left_s), self._layers + 1)

    @contextmanager
    def _within(self, layers: int) -> Iterator[float]:
        call = _call.get()
        left_s = call.left_s()
        if layers < 2:
            yield left_s
            return
        # TLS inside a proxy's TLS waits for each part of a record anew
        timer = threading.Timer(left_s, _shut, [self.get_extra_info("socket")])
        timer.start()
        try:
            yield left_s
        except httpcore.NetworkError:
            call.left_s()
            raise
        finally:
            timer.cancel()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def close(self) -> None:
        self._inner.close()


def _shut(line: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)


@cache
def tls_context() -> ssl.SSLContext:
    """Return the process's one verifying context; the system's hashed CA folder is 100 times faster than a bundle."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    paths = ssl.get_default_verify_paths()
    if paths.cafile and paths.cafile != paths.openssl_cafile:
        context.load_verify_locations(cafile=paths.cafile)  # $SSL_CERT_FILE
    elif paths.capath and any(Path(paths.capath).glob("*.0")):
        context.load_verify_locations(capath=paths.capath)
    else:
        context.load_verify_locations(cafile=certifi.where())
    return context
