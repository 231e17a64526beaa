"""HTTP for every slice: one total deadline a request, bounded bodies, no cookies, no secret in an error."""

from __future__ import annotations

import ssl
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpcore
import httpx

from jobsync.errors import JobsyncError

_SMALL_BODY = 16 << 20
CONNECT_TIMEOUT_S = 10.0


class NoAnswer(JobsyncError):
    """No usable answer came: refused, reset, late, cut off or too large. `kind` is a short stable code."""

    def __init__(self, text: str, *, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Answer:
    """Status, lower-case header names, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray


class _Deadline(threading.local):
    at: float | None = None

    def left(self, timeout: float | None) -> float:
        if self.at is None:
            return timeout if timeout is not None else CONNECT_TIMEOUT_S
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("deadline")
        return left if timeout is None else min(left, timeout)


_deadline = _Deadline()


class _Stream(httpcore.NetworkStream):
    """A socket whose every wait ends at the request's deadline: a server that drips a byte a second gains nothing."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _deadline.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _deadline.left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.connect_tcp(host, port, _deadline.left(timeout), local_address, socket_options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


def tls_context() -> ssl.SSLContext:
    """Return a verifying context; the system's hashed CA folder is read on demand, 100 times faster than a bundle."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath) if paths.capath else None
    if paths.cafile and paths.cafile != paths.openssl_cafile:
        context.load_verify_locations(cafile=paths.cafile)  # $SSL_CERT_FILE
    elif folder and any(folder.glob("*.0")):
        context.load_verify_locations(capath=folder)
    else:
        import certifi

        context.load_verify_locations(cafile=certifi.where())
    return context


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
        if transport is None:
            network = httpx.HTTPTransport(verify=_lazy_context())
            # httpx offers no way to hand over a network backend; the pool is httpcore's public class.
            network._pool = httpcore.ConnectionPool(  # noqa: SLF001
                ssl_context=_lazy_context(),
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=60.0,
                network_backend=_Backend(),
            )
            transport = network
        # A jar that takes nothing: emptying one between requests would race with other threads' answers.
        nothing = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._client = httpx.Client(transport=transport, cookies=nothing, trust_env=False, follow_redirects=False)
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
    ) -> Answer:
        """
        Send one POST and read the whole answer.

        Bodies over 16 MB are read one after the other. A compressed body is inflated in bounded steps, so that a few
        bytes can never become more than the largest body.

        Raises:
            NoAnswer: nothing usable came within `deadline_s`.
        """
        _deadline.at = time.monotonic() + deadline_s
        # httpx would give up after 5 s of silence.
        timeout = httpx.Timeout(deadline_s, connect=min(deadline_s, CONNECT_TIMEOUT_S))
        try:
            with self._client.stream(
                "POST",
                url,
                params=params,
                headers={"Accept-Encoding": "gzip", **(headers or {})},
                content=content,
                timeout=timeout,
            ) as response:
                body = self._read(response)
                return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)
        except (httpx.TimeoutException, TimeoutError):
            raise NoAnswer(f"no whole answer within {deadline_s:g} s", kind="timeout") from None
        except httpx.ConnectError as error:
            kind = "tls" if _has_cause(error, ssl.SSLError) else "refused"
            raise NoAnswer(f"cannot connect ({_cause(error)})", kind=kind) from None
        except (httpx.InvalidURL, UnicodeError):
            raise NoAnswer("the address is not a URL", kind="address") from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise NoAnswer(f"the connection broke off ({_cause(error)})", kind="broken") from None
        finally:
            _deadline.at = None

    def _read(self, response: httpx.Response) -> bytearray:
        if response.is_stream_consumed:  # a transport that hands over a whole body, as those of tests do
            return bytearray(response.content)
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise NoAnswer("the answer comes in an encoding that was not asked for", kind="encoding")
        inflater = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
        parts = bytearray()
        large = False
        try:
            for chunk in response.iter_raw():  # as they come: to cut them to one size copies each twice more
                while chunk and len(parts) <= self._most_bytes:
                    if inflater is None:
                        parts += chunk
                        break
                    parts += inflater.decompress(chunk, self._most_bytes + 1 - len(parts))
                    chunk = inflater.unconsumed_tail  # noqa: PLW2901 - the rest of the same chunk
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
        self._client.close()


_context: ssl.SSLContext | None = None


def _lazy_context() -> ssl.SSLContext:
    """Return the process's one context: making one costs more than most requests."""
    global _context
    if _context is None:
        _context = tls_context()
    return _context


def _causes(error: BaseException) -> Iterator[BaseException]:
    inner: BaseException | None = error
    while inner is not None:
        yield inner
        inner = inner.__cause__ or inner.__context__


def _has_cause(error: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(inner, kind) for inner in _causes(error))


def _cause(error: BaseException) -> str:
    """Name an error without its text, where the whole URL may stand, unless the system itself worded it."""
    for inner in _causes(error):
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        if isinstance(inner, ssl.SSLError) and inner.reason:
            return inner.reason
    return type(error).__name__
