"""
A loopback stand-in for the SRI's authorization service that costs next to no CPU: `python sri_server.py TEMPLATE WSDL`.

Every answer is the template with the access key that was asked for in it. It prints its port, then serves until its
standard input ends. `GET …?wsdl` sends the WSDL, `POST /latency/SECONDS` sets how long an answer takes from then on,
`POST /arrivals` tells when which key was asked for since that was last asked, in seconds of the machine's monotonic
clock, taken as a request's first byte is read.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

PATH = "/comprobantes-electronicos-ws/AutorizacionComprobantesOffline"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
_OPENING, _KEY_LENGTH = b"<claveAccesoComprobante>", 49


class State:
    """What all connections share."""

    def __init__(self, template: bytes, wsdl: bytes) -> None:
        self.parts = template.split(b"@KEY@")
        length = sum(map(len, self.parts)) + _KEY_LENGTH * (len(self.parts) - 1)
        self.parts[0] = _HEAD % length + self.parts[0]
        self.wsdl = wsdl
        self.latency_s = 0.0
        self.arrivals: list[tuple[float, str]] = []


class Line(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._read = b""
        self._arrived = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._line = transport

    def data_received(self, data: bytes) -> None:
        if not self._read:
            self._arrived = time.monotonic()
        self._read += data
        head, blank, body = self._read.partition(b"\r\n\r\n")
        if not blank:
            return
        lower = head.lower()
        at = lower.find(b"\r\ncontent-length:")
        if at >= 0 and len(body) < int(lower[at + 17 :].split(b"\r\n", 1)[0]):
            return
        self._read = b""
        self._answer(head.split(b" ", 2)[1].decode(), body)

    def _answer(self, path: str, body: bytes) -> None:
        state = self._state
        if path.startswith("/latency/"):
            state.latency_s = float(path.rpartition("/")[2])
            self._send(b"{}")
        elif path == "/arrivals":
            self._send(json.dumps(state.arrivals).encode())
            state.arrivals = []
        elif not body:
            self._send(state.wsdl)
        else:
            at = body.index(_OPENING) + len(_OPENING) if _OPENING in body else body.index(b"Comprobante>") + 12
            key = body[at : at + _KEY_LENGTH]
            state.arrivals.append((self._arrived, key.decode()))
            answer = key.join(state.parts)
            if state.latency_s:
                due = self._arrived + state.latency_s
                asyncio.get_running_loop().call_at(due, self._line.write, answer)
            else:
                self._line.write(answer)

    def _send(self, body: bytes) -> None:
        self._line.write(_HEAD % len(body) + body)


@dataclass(frozen=True)
class Running:
    """The asking side of a server process."""

    port: int

    @property
    def url(self) -> str:
        """What JOBSYNC_SRI_URL is set to."""
        return f"http://127.0.0.1:{self.port}"

    def latency(self, seconds: float) -> None:
        """Set how long an answer takes, and forget what was asked so far."""
        self._ask(f"/latency/{seconds}")
        self.arrivals()

    def arrivals(self) -> list[tuple[float, str]]:
        """Return the calls since this was last asked: monotonic seconds and access key, in their order."""
        return sorted((at, key) for at, key in json.loads(self._ask("/arrivals")))

    def _ask(self, path: str) -> bytes:
        line = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            line.request("POST", path)
            return line.getresponse().read()
        finally:
            line.close()


@contextmanager
def serving(template: Path, wsdl: Path) -> Iterator[Running]:
    """Run a server process."""
    command = [sys.executable, __file__, str(template), str(wsdl)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield Running(int(process.stdout.readline()))
        process.stdin.close()


async def serve(template: bytes, wsdl: bytes) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    state = State(template, wsdl)
    server = await loop.create_server(lambda: Line(state), "127.0.0.1", 0, backlog=256)
    port = server.sockets[0].getsockname()[1]
    state.wsdl = state.wsdl.replace(b"@ADDRESS@", f"http://127.0.0.1:{port}{PATH}".encode())
    print(port, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]).read_bytes()))
