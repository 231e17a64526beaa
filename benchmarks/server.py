"""
A loopback server with EasyCars' addresses that costs next to no CPU: `python server.py FOLDER LATENCY_S`.

Bodies lie in files and leave by sendfile. It prints its port, then serves until its standard input ends.
`POST /version/NAME` picks the version that is sent, `POST /sent` tells how many bodies were sent since it was last
asked.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

_TOKEN = b'{"Token":"bench-token","Code":0,"ErrorMessage":null}'


class Server:
    """The serving side; one thread a connection."""

    def __init__(self, folder: Path, latency_s: float) -> None:
        self._folder = folder
        self._latency_s = latency_s
        self._version = "first"
        self._sent = 0
        self._lock = threading.Lock()

    def serve(self, line: socket.socket) -> None:
        """Answer one connection's requests until it ends."""
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with line, line.makefile("rb") as requests:
            try:
                while request := requests.readline():
                    length = 0
                    while (head := requests.readline()) not in (b"\r\n", b""):
                        name, _, value = head.partition(b":")
                        if name.lower() == b"content-length":
                            length = int(value)
                    self._answer(line, request.split()[1].decode(), requests.read(length))
            except (ConnectionError, TimeoutError):
                return

    def _answer(self, line: socket.socket, path: str, body: bytes) -> None:
        if path.startswith("/version/"):
            self._version = path.rpartition("/")[2]
            _send(line, b"{}")
        elif path == "/sent":
            with self._lock:
                sent, self._sent = self._sent, 0
            _send(line, str(sent).encode())
        elif "RequestToken" in path:
            time.sleep(self._latency_s)
            _send(line, _TOKEN)
        else:
            time.sleep(self._latency_s)
            file = self._folder / f"{json.loads(body)['AccountNumber']}.{self._version}.json"
            with file.open("rb", buffering=0) as stream:
                line.sendall(_head(os.fstat(stream.fileno()).st_size))
                line.sendfile(stream)
            with self._lock:
                self._sent += 1


def _head(length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length


def _send(line: socket.socket, body: bytes) -> None:
    line.sendall(_head(len(body)) + body)


class Running:
    """The asking side of a server process."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = f"http://127.0.0.1:{port}/StockService"

    def version(self, name: str) -> None:
        """Pick what is sent from now on."""
        self._ask(f"/version/{name}")
        self.sent()

    def sent(self) -> int:
        """Return how many bodies were sent since this was last asked."""
        return int(self._ask("/sent"))

    def _ask(self, path: str) -> bytes:
        line = HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            line.request("POST", path)
            return line.getresponse().read()
        finally:
            line.close()


@contextmanager
def serving(folder: Path, latency_s: float) -> Iterator[Running]:
    """Run a server process over a folder of bodies."""
    command = [sys.executable, __file__, str(folder), str(latency_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield Running(int(process.stdout.readline()))
        process.stdin.close()


def main() -> None:
    """Serve until standard input ends."""
    server = Server(Path(sys.argv[1]), float(sys.argv[2]))
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listening.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            line, _ = listening.accept()
            threading.Thread(target=server.serve, args=(line,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
