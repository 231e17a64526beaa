"""What the stand-ins share on the wire: waits that can be ended, slow bodies, connections that drop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class ConnectionDropped(ConnectionError):  # it is what happens, not a fault of ours
    """The connection shall end here; the served stand-in closes the socket, in-process callers see the exception."""


class Body:
    """What goes to the server, piece by piece; `close` says that the request is over."""

    def __init__(self, chunks: Iterable[bytes], on_close: Callable[[], None]) -> None:
        self._chunks = iter(chunks)
        self._on_close = on_close

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._on_close()


class Waits:
    """
    Waits so many seconds when called.

    Args:
        sleep: how; None waits really, and drops the connection when `interrupt` is called meanwhile.
    """

    def __init__(self, sleep: Callable[[float], object] | None = None) -> None:
        self._sleep = sleep
        self._lock = threading.Lock()
        self._interrupted = threading.Event()

    def __call__(self, seconds: float) -> None:
        if self._sleep is not None:
            self._sleep(seconds)
        elif self._interrupted.wait(seconds):
            raise ConnectionDropped("the stand-in is closing")

    def interrupt(self) -> None:
        """End every wait under way."""
        with self._lock:
            ended, self._interrupted = self._interrupted, threading.Event()
        ended.set()


def drip(body: bytes, bytes_per_second: float, sleep: Callable[[float], object]) -> Iterator[bytes]:
    """Hand a body over in small pieces, some five a second."""
    size = max(1, int(bytes_per_second / 5))
    for start in range(0, len(body), size):
        if start:
            sleep(size / bytes_per_second)
        yield body[start : start + size]
