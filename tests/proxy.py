"""A proxy on loopback, and an authority whose certificates nobody outside of these tests believes."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """A certificate authority; `file` is what SSL_CERT_FILE names to believe it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        ca = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0), ends_in=DAY)
        self.file = folder / "authority.pem"
        self.file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))

    def server(self, host: str, *, ends_in: timedelta = DAY, self_signed: bool = False) -> ssl.SSLContext:
        """Return a server's side of TLS with a certificate for that host."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        try:
            alternative: x509.GeneralName = x509.IPAddress(ip_address(host))
        except ValueError:
            alternative = x509.DNSName(host)
        signed = self._signed(
            name,
            key,
            x509.SubjectAlternativeName([alternative]),
            ends_in=ends_in,
            by=(name, key) if self_signed else None,
        )
        path = self._folder / f"{host}-{key.public_key().public_numbers().x}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _signed(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
        *,
        ends_in: timedelta,
        by: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None = None,
    ) -> x509.Certificate:
        issuer, signer = by or (self._name, self._key)
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + ends_in)
            .add_extension(extension, critical=True)
            .sign(signer, hashes.SHA256())
        )


@dataclass
class Proxy:
    """
    Tunnels to vendors that nobody else can reach, and speaks TLS in their place.

    Args:
        vendors: port of a plain stand-in by the host's name; one of another name is refused with 502.
        login: the credentials that it wants, as they travel.
        refusal: a status with which it refuses every CONNECT.
        mute: it never answers a CONNECT.
        secure: it is itself spoken to over TLS.
    """

    authority: Authority
    vendors: Mapping[str, int] = field(default_factory=dict)
    login: str | None = None
    refusal: int | None = None
    mute: bool = False
    secure: bool = False
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def _serve(self, peer: socket.socket) -> None:
        if self.secure:
            peer = self.authority.server("127.0.0.1").wrap_socket(peer, server_side=True)
        with peer, peer.makefile("rb") as lines:
            line, headers, body = _read_message(lines)
            method, target = line.split()[:2]
            self.asked.append(target)
            if self.login is not None and headers.get("proxy-authorization") != f"Basic {self.login}":
                peer.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            elif self.mute:
                peer.recv(1)
            elif self.refusal is not None:
                peer.sendall(f"HTTP/1.1 {self.refusal} No\r\nContent-Length: 0\r\n\r\n".encode())
            elif method == "CONNECT":
                self._tunnel(peer, target.rpartition(":")[0])
            else:
                peer.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def _tunnel(self, peer: socket.socket, host: str) -> None:
        if host not in self.vendors:
            peer.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        peer.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        context = self.authority.server(host)
        if isinstance(peer, ssl.SSLSocket):
            _relay_nested(peer, context, self.vendors[host])
            return
        with context.wrap_socket(peer, server_side=True) as inner, inner.makefile("rwb") as stream:
            while _relay(stream, stream, self.vendors[host]):
                stream.flush()

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """Listen until the end of the block."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if self.secure else 'http'}://127.0.0.1:{listener.getsockname()[1]}"

        def run() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                peer.settimeout(20)
                threading.Thread(target=self._quietly, args=[peer], daemon=True).start()

        threading.Thread(target=run, daemon=True).start()
        try:
            yield self
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _quietly(self, peer: socket.socket) -> None:
        with suppress(OSError, ValueError):
            self._serve(peer)


def _read_message(lines: object) -> tuple[str, dict[str, str], bytes]:
    """Return a request's first line, its headers in lower case, its body; raises ValueError at the end."""
    line = lines.readline().decode()  # type: ignore[attr-defined]
    if not line:
        raise ValueError("the end")
    headers: dict[str, str] = {}
    while (header := lines.readline().decode().strip()) != "":  # type: ignore[attr-defined]
        name, _, text = header.partition(":")
        headers[name.lower()] = text.strip()
    return line, headers, lines.read(int(headers.get("content-length", 0)))  # type: ignore[attr-defined]


def _relay(lines: object, out: object, port: int) -> bool:
    line, headers, body = _read_message(lines)
    method, path = line.split()[:2]
    plain = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    passed = {name: text for name, text in headers.items() if name not in ("host", "content-length", "connection")}
    plain.request(method, path, body, passed)
    answer = plain.getresponse()
    content = answer.read()
    kept = "".join(
        f"{name}: {text}\r\n"
        for name, text in answer.getheaders()
        if not re.fullmatch("(?i)content-length|transfer-encoding|connection", name)
    )
    head = f"HTTP/1.1 {answer.status} {answer.reason}\r\n{kept}Content-Length: {len(content)}\r\n\r\n"
    out.write(head.encode() + content)  # type: ignore[attr-defined]
    plain.close()
    return True


def _relay_nested(peer: ssl.SSLSocket, context: ssl.SSLContext, port: int) -> None:
    """Answer one request inside TLS inside TLS."""
    import io

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    inner = context.wrap_bio(incoming, outgoing, server_side=True)

    def move(step: object, *arguments: object) -> object:
        while True:
            try:
                done, wants = step(*arguments), False  # type: ignore[operator]
            except ssl.SSLWantReadError:
                done, wants = None, True
            if outgoing.pending:
                peer.sendall(outgoing.read())
            if not wants:
                return done
            incoming.write(peer.recv(65536))

    move(inner.do_handshake)
    read = b""
    while b"\r\n\r\n" not in read:
        read += move(inner.read, 65536)  # type: ignore[operator]
    length = re.search(rb"(?i)content-length: *([0-9]+)", read)
    head, _, body = read.partition(b"\r\n\r\n")
    while length and len(body) < int(length[1]):
        body += move(inner.read, 65536)  # type: ignore[operator]
    out = io.BytesIO()
    _relay(io.BytesIO(head + b"\r\n\r\n" + body), out, port)
    move(inner.write, out.getvalue())
