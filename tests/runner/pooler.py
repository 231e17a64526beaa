"""A pooler in transaction mode, small: clients take turns on a few server connections, a transaction at a time."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from psycopg.conninfo import conninfo_to_dict

_SSL_REQUEST, _GSS_REQUEST, _CANCEL_REQUEST = 80877103, 80877104, 80877102
_READY = b"Z"
_ENDS_A_REQUEST = (b"Q", b"S")


def _read(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = sock.recv(length - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def _message(sock: socket.socket) -> tuple[bytes, bytes]:
    """Return the next message as its type and all its bytes."""
    head = _read(sock, 5)
    return head[:1], head + _read(sock, struct.unpack("!I", head[1:])[0] - 4)


class _Server:
    """One server connection and what the server said when it opened."""

    def __init__(self, url: str) -> None:
        given = conninfo_to_dict(url)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(f"{given['host']}/.s.PGSQL.{given['port']}")
        body = b"user\0%s\0database\0%s\0\0" % (str(given["user"]).encode(), str(given["dbname"]).encode())
        self.sock.sendall(struct.pack("!II", len(body) + 8, 196608) + body)
        self.greeting = b""
        kind = b""
        while kind != _READY:
            kind, message = _message(self.sock)
            assert kind != b"E", message
            self.greeting += message


class _Pooler:
    def __init__(self, url: str, servers: int, order: Sequence[int]) -> None:
        self._servers = [_Server(url) for _ in range(servers)]
        self._free = list(self._servers)
        self._order = list(order)
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._clients.append(client)
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, ConnectionError), client:
            while True:
                length, code = struct.unpack("!II", _read(client, 8))
                if code == _CANCEL_REQUEST:
                    return
                if code not in (_SSL_REQUEST, _GSS_REQUEST):
                    break
                client.sendall(b"N")
            _read(client, length - 8)  # user, database and options: ignored
            client.sendall(self._servers[0].greeting)
            while self._transaction(client):
                pass

    def _transaction(self, client: socket.socket) -> bool:
        """Lend the client a server connection until its transaction ends; False when the client leaves."""
        kind, message = _message(client)
        if kind == b"X":
            return False
        with self._changed:
            assert self._changed.wait_for(lambda: self._free, timeout=20)
            wanted = self._servers[self._order.pop(0)] if self._order else None
            if wanted is None:
                server = self._free.pop(0)  # who has waited longest: the server connections take turns
            else:
                assert self._changed.wait_for(lambda: wanted in self._free, timeout=20)
                self._free.remove(server := wanted)
        try:
            while True:
                server.sock.sendall(message)
                if kind in _ENDS_A_REQUEST and self._answer(server, client) == b"I":
                    return True
                kind, message = _message(client)
        finally:
            with self._changed:
                self._free.append(server)
                self._changed.notify()

    def _answer(self, server: _Server, client: socket.socket) -> bytes:
        """Pass on the server's answer; returns the transaction's state after it."""
        while True:
            kind, message = _message(server.sock)
            client.sendall(message)
            if kind == _READY:
                return message[-1:]

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for sock in (self._listener, *self._clients, *(server.sock for server in self._servers)):
            sock.close()


@contextmanager
def transaction_pooler(url: str, *, servers: int = 1, order: Sequence[int] = ()) -> Iterator[str]:
    """
    Run a pooler before the database of `url`; yields the URL that leads through it.

    `order` says which server connection each of the first transactions meets; after that they take turns.
    """
    with ExitStack() as stack:
        pooler = _Pooler(url, servers, order)
        stack.callback(pooler.close)
        given = conninfo_to_dict(url)
        yield (
            f"postgresql://{given['user']}@127.0.0.1:{pooler.port}/{given['dbname']}?sslmode=disable&gssencmode=disable"
        )
