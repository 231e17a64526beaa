"""What the stand-ins share: a WSGI application that counts, waits, misbehaves as told, and has a control address."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.client import responses
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar
from wsgiref.types import StartResponse, WSGIEnvironment

from msgspec import Meta, Struct
from msgspec.structs import fields

BODY_BYTES_MAX = 64 * 1024
_HTML = "text/html; charset=utf-8"
Text = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(ge=0, lt=1e9)]


def words(choices: Iterable[str]) -> Meta:
    """Return the rule that a text of a scenario file is one of these words."""
    return Meta(pattern=f"^({'|'.join(choices)})$")


class Behaviour(Struct, frozen=True, forbid_unknown_fields=True):
    """How a request is answered; `kind` is one of KINDS, `times` None means always."""

    kind: str = "normal"
    times: Annotated[int, Meta(ge=1)] | None = None
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    retry_after: Text | int | None = None
    seconds: Seconds = 30.0
    bytes_per_second: Annotated[float, Meta(gt=0)] = 20.0

    # kind -> the parameters that it takes beside `times` (only the first so many requests)
    KINDS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "normal": (),
        "empty": (),  # an answer with nothing in it
        "html": ("status",),  # a firewall's page, with status 200 or another
        "http_error": ("status", "retry_after"),
        "garbage": (),
        "truncated": (),  # half of the body, then the connection is cut
        "slow": ("seconds",),  # waits before it answers
        "drip": ("bytes_per_second",),
    }

    def __post_init__(self) -> None:
        if self.kind not in self.KINDS:
            raise ValueError(f"kind: expected one of {', '.join(self.KINDS)}, got {self.kind!r}")
        takes = ("kind", "times", *self.KINDS[self.kind])
        for field in fields(self):
            if field.name not in takes and getattr(self, field.name) != field.default:
                raise ValueError(f"{field.name}: unknown key, {self.kind} takes {', '.join(takes[1:])}")


_Kind = TypeVar("_Kind", bound=Behaviour)


class ConnectionDropped(ConnectionError):  # it is what happens, not a fault of ours
    """The connection shall end here; the served stand-in closes the socket, in-process callers see the exception."""


class Reply(NamedTuple):
    body: bytes
    content_type: str
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


def plain(status: int, text: str) -> Reply:
    return Reply(text.encode() + b"\n", "text/plain; charset=utf-8", status)


def read_body(environ: WSGIEnvironment) -> bytes:
    """Return a request's body, as much of it as a stand-in reads."""
    length = environ.get("CONTENT_LENGTH") or "0"
    body: bytes = environ["wsgi.input"].read(min(int(length), BODY_BYTES_MAX) if length.isdigit() else 0)
    return body


@dataclass
class _Body:
    """What goes to the server, piece by piece; `close` says that the request is over."""

    chunks: Iterable[bytes]
    close: Callable[[], None]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)


class StandIn:
    """
    The application; `…/__control` tells its state (GET) and changes it (POST).

    `sleep` is how latency, `slow` and `drip` wait; None waits really, and gives up when the server closes.
    """

    FIREWALL_PAGE: ClassVar[bytes]
    CONTROL: ClassVar[str]  # what its POST expects
    in_flight_max = 0  # requests under way at once, at most; those to the control address do not count

    def __init__(
        self, *, latency_ms: float, now: Callable[[], float] = time.time, sleep: Callable[[float], object] | None = None
    ) -> None:
        self.latency_ms = latency_ms
        self.now = now
        self._sleep = sleep
        self.lock = threading.Lock()
        self._interrupted = threading.Event()
        self._turns = Counter[Hashable]()
        self._in_flight = 0

    def answer(self, operation: str, environ: WSGIEnvironment) -> tuple[Reply, Behaviour]:
        """Return the answer to a request and what shall happen to it."""
        raise NotImplementedError

    def state(self) -> Mapping[str, object]:
        """Return what the control address tells."""
        raise NotImplementedError

    def change(self, asked: Any) -> None:
        """Do what the control address is asked for; ValueError, TypeError or KeyError if it is not of that form."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """End every wait under way by dropping its connection; called when the server closes."""
        with self.lock:
            ended, self._interrupted = self._interrupted, threading.Event()
        ended.set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        operation = str(environ.get("PATH_INFO", "")).rsplit("/", 1)[-1]
        if operation == "__control":
            return self._start(self._control(environ), Behaviour(), start_response, lambda: None)
        with self.lock:
            self._in_flight += 1
            self.in_flight_max = max(self.in_flight_max, self._in_flight)
        try:
            if self.latency_ms:
                self._wait(self.latency_ms / 1000)
            reply, behaviour = self.answer(operation, environ)
            if behaviour.kind in ("drop", "not_listening_drop"):
                raise ConnectionDropped("the scenario closes the connection without an answer")
            if behaviour.kind == "slow":
                self._wait(behaviour.seconds)
            return self._start(reply, behaviour, start_response, self._leave)
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        with self.lock:
            self._in_flight -= 1

    def _start(
        self, reply: Reply, behaviour: Behaviour, start_response: StartResponse, on_close: Callable[[], None]
    ) -> Iterable[bytes]:
        phrase = responses.get(reply.status, "Sandbox")
        headers = [("Content-Type", reply.content_type), ("Content-Length", str(len(reply.body))), *reply.headers]
        start_response(f"{reply.status} {phrase}", headers)
        chunks: Iterable[bytes] = (reply.body,)
        if behaviour.kind == "truncated":
            chunks = (reply.body[: len(reply.body) // 2],)
        elif behaviour.kind == "drip":
            chunks = self._drip(reply.body, behaviour.bytes_per_second)
        return _Body(chunks, on_close)

    def _drip(self, body: bytes, bytes_per_second: float) -> Iterator[bytes]:
        size = max(1, int(bytes_per_second / 5))  # some five pieces a second
        for start in range(0, len(body), size):
            if start:
                self._wait(size / bytes_per_second)
            yield body[start : start + size]

    def _wait(self, seconds: float) -> None:
        if self._sleep is not None:
            self._sleep(seconds)
        elif self._interrupted.wait(seconds):
            raise ConnectionDropped("the stand-in is closing")

    def _control(self, environ: WSGIEnvironment) -> Reply:
        if environ["REQUEST_METHOD"] == "POST":
            try:
                self.change(json.loads(read_body(environ)))
            except (ValueError, TypeError, KeyError):
                return plain(400, f"expected {self.CONTROL}")
        elif environ["REQUEST_METHOD"] != "GET":
            return plain(405, "GET or POST")
        state = {**self.state(), "in_flight": self._in_flight, "in_flight_max": self.in_flight_max}
        return Reply(json.dumps(state).encode(), "application/json")

    def turn(self, who: Hashable, behaviour: _Kind, *, times: int | None = None) -> _Kind:
        """Return the behaviour, or normal once it was played `times` times for somebody (default: as it says)."""
        times = behaviour.times if times is None else times
        if times is None:
            return behaviour
        with self.lock:
            self._turns[who] += 1
            return behaviour if self._turns[who] <= times else type(behaviour)()

    def misbehave(self, behaviour: Behaviour) -> Reply | None:
        """Return what stands in place of any answer; None: nothing does."""
        if behaviour.kind == "html":
            return Reply(self.FIREWALL_PAGE, _HTML, behaviour.status or 200)
        if behaviour.kind == "http_error":
            status = behaviour.status or 503
            retry = (("Retry-After", str(behaviour.retry_after)),) if behaviour.retry_after else ()
            return Reply(b"<html><body><h1>Error %d</h1></body></html>" % status, _HTML, status, retry)
        return None
