"""One request and its limits, over real sockets where the limit is the socket's, else over a transport."""

from __future__ import annotations

import gzip
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpcore
import httpx
import pytest

from jobsync import http
from jobsync.http import CONNECT_TIMEOUT_S, HttpClient, NoAnswer
from jobsync.proxies import read_proxies, secrets_of
from tests.proxy import DAY, Authority, Proxy

SECRET = "wallaby-secret"
PARAMS = {"ClientSecret": SECRET}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


def read_request(peer: socket.socket, *, body: bool) -> None:
    """Read a whole request: one that closes with unread bytes would reset the connection."""
    read = b""
    while read[:4] in (b"", b"POST") and b"\r\n\r\n" not in read and (more := peer.recv(65536)):
        read += more
    head, _, rest = read.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *([0-9]+)", head)
    while body and length and len(rest) < int(length[1]) and (more := peer.recv(65536)):
        rest += more


@contextmanager
def answering(behave: Callable[[socket.socket], object], *, connections: int = 1, body: bool = True) -> Iterator[str]:
    """Listen for so many connections, read one request from each (its body too), and let `behave` answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        for _ in range(connections):
            try:
                peer, _ = listener.accept()
            except OSError:  # it was closed before anybody called
                return
            with peer:
                peer.settimeout(10)
                try:
                    read_request(peer, body=body)
                    behave(peer)
                except OSError:
                    continue

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/RequestToken"
    finally:
        listener.close()
        thread.join(10)
        assert not thread.is_alive()


@contextmanager
def client(**more: Any) -> Iterator[HttpClient]:
    """A client that is closed."""
    http = HttpClient(connections=2, **more)
    try:
        yield http
    finally:
        http.close()


def failure(url: str, *, deadline_s: float = 5, **more: Any) -> NoAnswer:
    """Send one request that must come to nothing."""
    with client(**more) as http, pytest.raises(NoAnswer) as raised:
        http.post(url, deadline_s=deadline_s, params=PARAMS, headers={"Authorization": SECRET}, content=SECRET.encode())
    return raised.value


# --- answers ---------------------------------------------------------------------------------------------------------


def test_answer_is_status_headers_and_body() -> None:
    """The whole answer comes back, header names in lower case."""
    with (
        answering(
            lambda peer: peer.sendall(b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbody")
        ) as url,
        client() as http,
    ):
        answer = http.post(url, deadline_s=5)

    assert (answer.status, answer.headers["retry-after"], answer.body) == (503, "7", b"body")


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"\r\nbody",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
        HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"body"),
    ],
    ids=["until close", "chunked", "gzip"],
)
def test_body_in_any_framing(answer: bytes) -> None:
    """However a body travels, it is the same body."""
    with answering(lambda peer: peer.sendall(answer)) as url, client() as http:
        body = http.post(url, deadline_s=5).body

    assert body == b"body"


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("http://elsewhere.example/a?ClientSecret=wallaby-secret", "elsewhere.example"),
        ("/login", "another page of the same host"),
        ("//mirror.example/x", "mirror.example"),
        ("http://h:port/", "what is no address"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_told_and_not_followed(status: int, location: str, told: str) -> None:
    """The query with its secret goes nowhere else; the status and the other host are told, the page is not."""
    asked = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(status, headers={"Location": location})

    problem = failure("http://vendor.example/", transport=httpx.MockTransport(redirect))

    assert asked == ["vendor.example"]
    assert (problem.kind, problem.status) == ("redirect", status)
    assert str(problem) == f"HTTP {status} redirects to {told}, which is not followed"


def test_cookies_are_never_sent_back() -> None:
    """A cookie that is offered is not kept, on a connection that is."""
    heads: list[bytes] = []

    def offer(peer: socket.socket) -> None:
        for _ in range(2):
            peer.sendall(HEAD + b"Set-Cookie: ASP.NET_SessionId=x; path=/\r\nContent-Length: 4\r\n\r\nbody")
            heads.append(peer.recv(65536))

    with answering(offer) as url, client() as http:
        http.post(url, deadline_s=5)
        http.post(url, deadline_s=5)

    assert heads[0].startswith(b"POST /RequestToken HTTP/1.1\r\n")
    assert b"cookie" not in heads[0].lower()


def test_a_connection_is_kept() -> None:
    """The second request needs no second connection."""

    def answer_twice(peer: socket.socket) -> None:
        peer.sendall(HEAD + b"Content-Length: 3\r\n\r\none")
        read_request(peer, body=True)
        peer.sendall(HEAD + b"Content-Length: 3\r\n\r\ntwo")

    with answering(answer_twice) as url, client() as http:
        bodies = [bytes(http.post(url, deadline_s=5).body) for _ in range(2)]

    assert bodies == [b"one", b"two"]


@pytest.mark.parametrize("more", [b"", HEAD + b"Content-Length: 6\r\n\r\nforged"], ids=["hung up", "spoke unasked"])
def test_a_connection_that_is_not_quiet_is_not_kept(more: bytes) -> None:
    """What a server sends without being asked is nobody's answer."""

    def answer(peer: socket.socket) -> None:
        peer.sendall(HEAD + b"Content-Length: 4\r\n\r\nbody" + more)

    with answering(answer, connections=2) as url, client() as http:
        http.post(url, deadline_s=5)
        time.sleep(0.1)
        body = http.post(url, deadline_s=5).body

    assert body == b"body"


def test_a_header_cannot_become_two() -> None:
    """A line break in a value, as a token from elsewhere might have, is never sent."""
    with (
        answering(hang_up) as url,
        client() as http,
        pytest.raises(NoAnswer) as raised,
    ):
        http.post(url, deadline_s=5, headers={"Authorization": "Bearer x\r\nEvil: yes"})

    assert raised.value.kind == "broken"


def test_what_waits_before_sending_has_its_time_for_itself() -> None:
    """`sending` is entered once the connection stands, and the deadline counts from where it ends."""
    seen: list[str] = []

    @contextmanager
    def sending() -> Iterator[None]:
        time.sleep(0.3)
        seen.append("entered")
        yield
        seen.append("left")

    with answering(lambda peer: peer.sendall(HEAD + b"\r\nbody")) as url, client() as http:
        http.post(url, deadline_s=0.25, sending=sending())

    assert seen == ["entered", "left"]


def test_one_tls_context_a_process() -> None:
    """Making one costs more than most requests: clients and connections share it."""
    http.tls_context.cache_clear()
    with answering(lambda peer: peer.sendall(b"no TLS"), connections=4) as url:
        for _ in range(2):
            with client() as asking:
                for _ in range(2):
                    with pytest.raises(NoAnswer):
                        asking.post(url.replace("http:", "https:"), deadline_s=5)

    assert http.tls_context.cache_info().misses == 1


# --- limits ----------------------------------------------------------------------------------------------------------


def test_the_deadline_is_the_only_limit_of_a_silence() -> None:
    """A vendor that thinks for half a minute before it answers is within a deadline of a minute."""
    seen: list[dict[str, float]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        return httpx.Response(200)

    with client(transport=httpx.MockTransport(handler)) as http:
        http.post("http://vendor.example/", deadline_s=60)

    assert seen == [{"connect": CONNECT_TIMEOUT_S, "read": 60, "write": 60, "pool": 60}]


def drip(peer: socket.socket) -> None:
    """Send a byte now and then, for longer than anybody waits."""
    peer.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
    done = threading.Event()
    for _ in range(200):
        peer.sendall(b"x")
        done.wait(0.02)


def drip_headers(peer: socket.socket) -> None:
    """Send headers a byte at a time."""
    done = threading.Event()
    for byte in HEAD * 4:
        peer.sendall(bytes([byte]))
        done.wait(0.02)


@pytest.mark.parametrize("behave", [drip, drip_headers, lambda peer: peer.recv(1)], ids=["body", "headers", "silence"])
def test_the_deadline_is_total(behave: Callable[[socket.socket], object]) -> None:
    """A server that drips a byte at a time gains nothing by it."""
    started = time.monotonic()
    with answering(behave) as url:
        problem = failure(url, deadline_s=0.25)

    assert problem.kind == "timeout"
    assert time.monotonic() - started < 2


def wait(_peer: socket.socket) -> None:
    """Read nothing more for a while."""
    threading.Event().wait(0.5)


def hang_up(_peer: socket.socket) -> None:
    """Answer nothing."""


def test_a_request_that_cannot_be_sent_in_time() -> None:
    """A peer that reads nothing cannot hold the sender either."""
    with (
        answering(wait, body=False) as url,
        client() as http,
        pytest.raises(NoAnswer) as raised,
    ):
        http.post(url, deadline_s=0.25, content=bytes(64 << 20))

    assert raised.value.kind == "timeout"


def test_a_deadline_ends_with_its_request() -> None:
    """A thread whose last request was late has the whole time for the next."""
    with client() as http:
        with answering(lambda peer: peer.recv(1)) as url, pytest.raises(NoAnswer):
            http.post(url, deadline_s=0.1)
        with answering(lambda peer: peer.sendall(HEAD + b"\r\nbody")) as url:
            body = http.post(url, deadline_s=5).body

    assert body == b"body"


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 2000000\r\n\r\n" + b"x" * 2_000_000,
        HEAD + b"\r\n" + b"x" * 2_000_000,
        HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 2_000_000),
    ],
    ids=["declared", "undeclared", "compressed"],
)
def test_a_body_too_large_is_refused(answer: bytes) -> None:
    """What counts is the size unpacked, declared or not."""
    with answering(lambda peer: peer.sendall(answer)) as url:
        problem = failure(url, most_bytes=1 << 20)

    assert (problem.kind, str(problem)) == ("too_large", "the answer is larger than 1 MB")


def test_a_body_of_the_very_limit_is_taken() -> None:
    """The limit itself is allowed."""
    with answering(lambda peer: peer.sendall(HEAD + b"\r\n" + bytes(1000))) as url, client(most_bytes=1000) as http:
        body = http.post(url, deadline_s=5).body

    assert len(body) == 1000


def test_large_bodies_come_one_at_a_time_and_all_come() -> None:
    """Two threads with large bodies at once both get theirs, also after one that was refused in between."""
    large = HEAD + b"\r\n" + bytes(17 << 20)
    sizes: list[int] = []
    with answering(lambda peer: peer.sendall(large), connections=3) as url, client(most_bytes=18 << 20) as http:
        http._most_bytes = 16 << 20
        with pytest.raises(NoAnswer):
            http.post(url, deadline_s=10)
        http._most_bytes = 18 << 20
        threads = [
            threading.Thread(target=lambda: sizes.append(len(http.post(url, deadline_s=10).body))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sizes == [17 << 20, 17 << 20]


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "broken"),
        (HEAD + b"Content-Length: 100\r\n\r\nhalf", "broken"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhal", "broken"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", "broken"),
        (HEAD + b"Content-Encoding: gzip\r\n\r\nnot gzip", "broken"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "broken"),
        (HEAD + b"X: " + b"x" * 200_000, "broken"),
    ],
    ids=["nothing", "cut", "cut chunk", "negative chunk", "bad gzip", "other protocol", "endless header"],
)
def test_a_broken_answer(answer: bytes, kind: str) -> None:
    """What is no whole HTTP answer is named as such, and never as a shorter answer."""
    with answering(lambda peer: peer.sendall(answer)) as url:
        assert failure(url).kind == kind


def test_a_chunk_of_less_than_nothing_is_not_read_to_the_end() -> None:
    """A length of -1 would mean all that ever comes, past every limit."""

    def endless(peer: socket.socket) -> None:
        peer.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nhello")
        while peer.recv(1 << 16):
            pass

    with answering(endless) as url:
        assert failure(url).kind == "broken"


def test_a_reset_connection() -> None:
    """A peer that resets leaves the system's own words."""

    def reset(peer: socket.socket) -> None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        peer.close()

    with answering(reset) as url:
        problem = failure(url)

    assert (problem.kind, str(problem)) == ("broken", "the connection broke off (Connection reset by peer)")


def test_nobody_listens() -> None:
    """A refused connection is told from a broken one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    problem = failure(f"http://127.0.0.1:{port}/")

    assert (problem.kind, str(problem)) == ("refused", "cannot connect (Connection refused)")


@pytest.mark.parametrize("url", ["http://host:port/", "http://\x00/", "http://" + "x" * 70_000])
def test_what_is_no_url(url: str) -> None:
    """An address that is none is a fault of the configuration, not of the network."""
    assert failure(url).kind == "address"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "/RequestToken", "127.0.0.1"])
def test_an_address_of_another_kind(url: str) -> None:
    """Only http and https are spoken, and anything else is a foreseen failure."""
    assert failure(url).kind in ("address", "broken")


def test_a_tls_client_on_a_plain_port() -> None:
    """A server that does not speak TLS is told from one that is away."""
    with answering(lambda peer: peer.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")) as url:
        problem = failure(url.replace("http:", "https:"))

    assert problem.kind == "tls"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """The only one that this process believes."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    http.tls_context.cache_clear()
    yield made
    http.tls_context.cache_clear()


@contextmanager
def secured(context: ssl.SSLContext) -> Iterator[str]:
    """Listen for one connection that speaks TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            with suppress(OSError):
                peer = context.wrap_socket(listener.accept()[0], server_side=True)
                with peer:
                    read_request(peer, body=True)
                    peer.sendall(HEAD + b"\r\nbody")

        threading.Thread(target=run, daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda made: made.server("127.0.0.1", ends_in=-DAY), "certificate has expired"),
        (lambda made: made.server("127.0.0.1", self_signed=True), "self-signed certificate"),
        (lambda made: made.server("other.example"), "certificate is not valid for '127.0.0.1'"),
        (lambda made: Authority(made.file.parent).server("127.0.0.1"), "certificate"),
    ],
    ids=["expired", "self-signed", "another host's", "another authority's"],
)
def test_what_is_wrong_with_a_certificate(
    authority: Authority, make: Callable[[Authority], ssl.SSLContext], words: str
) -> None:
    """Each fault is told in words of its own, so that the right one is mended."""
    http.tls_context()  # another authority would take the file's place
    with secured(make(authority)) as url:
        problem = failure(url)

    assert problem.kind == "tls"
    assert words in str(problem)
    assert str(problem).startswith("cannot connect (its certificate does not hold: ")


def test_an_answer_over_tls(authority: Authority) -> None:
    """A certificate of an authority that $SSL_CERT_FILE names is believed."""
    with secured(authority.server("127.0.0.1")) as url, client() as http:
        body = http.post(url, deadline_s=5).body

    assert body == b"body"


def test_the_first_byte_has_a_time_of_its_own() -> None:
    """A service that accepts and then says nothing is given up long before the deadline; one that drips is not."""
    started = time.monotonic()
    with answering(lambda peer: peer.recv(1)) as url, client() as http, pytest.raises(NoAnswer) as raised:
        http.post(url, deadline_s=30, first_byte_s=0.2)

    assert (raised.value.kind, str(raised.value)) == ("timeout", "no answer began within 0.2 s")
    assert time.monotonic() - started < 5

    def slowly(peer: socket.socket) -> None:
        peer.sendall(HEAD[:9])
        threading.Event().wait(0.6)
        peer.sendall(HEAD[9:] + b"\r\nbody")

    with answering(slowly) as url, client() as http:
        body = http.post(url, deadline_s=30, first_byte_s=0.4).body

    assert body == b"body"


def test_a_connection_that_never_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Address and TLS together have ten seconds, whatever the deadline."""
    monkeypatch.setattr("jobsync.http.CONNECT_TIMEOUT_S", 0.3)
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        problem = failure(f"https://127.0.0.1:{silent.getsockname()[1]}/", deadline_s=30)

    assert (problem.kind, str(problem)) == ("timeout", "no connection within 0.3 s")
    assert time.monotonic() - started < 5


def test_a_proxy_that_never_answers(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    """It is the proxy that is slow, and no connection stands yet."""
    monkeypatch.setattr("jobsync.http.CONNECT_TIMEOUT_S", 0.3)
    with Proxy(authority, mute=True).running() as proxy:
        problem = failure("https://vendor.example/", deadline_s=30, proxies={"all://": proxy.url})

    assert problem.kind == "proxy"
    assert str(problem) == f"the proxy {proxy.url.removeprefix('http://')}: no connection within 0.3 s"


def test_a_proxy_whose_own_certificate_does_not_hold(authority: Authority, tmp_path: Path) -> None:
    """The fault is the proxy's, not the vendor's."""
    (tmp_path / "other").mkdir()
    with Proxy(Authority(tmp_path / "other"), secure=True).running() as proxy:
        problem = failure("https://vendor.example/", proxies={"all://": proxy.url})

    assert problem.kind == "proxy"
    assert "certificate" in str(problem)


def test_the_deadline_is_total_within_a_proxys_tls(authority: Authority) -> None:
    """Also a record that drips a byte at a time through TLS inside TLS gains nothing by it."""

    def drip_record(peer: socket.socket) -> None:
        peer.settimeout(10)
        with suppress(OSError), authority.server("127.0.0.1").wrap_socket(peer, server_side=True) as outer:
            outer.recv(65536)
            outer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for byte in b"\x16\x03\x03\x3f\xff" + bytes(1000):
                outer.sendall(bytes([byte]))
                threading.Event().wait(0.01)

    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: drip_record(listener.accept()[0]), daemon=True).start()
        proxy = f"https://127.0.0.1:{listener.getsockname()[1]}"
        problem = failure("https://vendor.example/", deadline_s=0.4, proxies={"all://": proxy})

    assert (problem.kind, str(problem)) == ("timeout", "no whole answer within 0.4 s")
    assert time.monotonic() - started < 2


def test_tls_inside_tls_that_ends_without_a_farewell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body as long as its connection ends there as within a socket's own TLS, unless the time is over."""

    def read(_max_bytes: int, _timeout: float) -> bytes:
        try:
            raise ssl.SSLEOFError
        except ssl.SSLEOFError as error:
            raise httpcore.ReadError from error

    def read_late(*_: object) -> bytes:
        time.sleep(0.1)
        return read(1, 0)

    call = http._Call(5)
    token = http._call.set(call)
    try:
        with socket.socket() as line:
            inner = Mock(read=read, get_extra_info=lambda _info: line)
            assert http._Stream(inner, layers=2).read(100) == b""
            inner.read = read_late
            monkeypatch.setattr(call, "_ends_at", time.monotonic() + 0.05)
            with pytest.raises(TimeoutError):
                http._Stream(inner, layers=2).read(100)
    finally:
        http._call.reset(token)


def test_a_plain_request_that_the_proxy_wants_a_login_for(authority: Authority) -> None:
    """407 is the proxy's word, whoever was asked for."""
    with Proxy(authority, login="x").running() as proxy:
        problem = failure("http://vendor.example/", proxies={"all://": proxy.url})

    assert (problem.kind, problem.status) == ("proxy", 407)


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_no_url_in_any_log(caplog: pytest.LogCaptureFixture, level: str) -> None:
    """What httpx would log, at INFO already, holds the query with its secret."""
    caplog.set_level(level)
    with answering(lambda peer: peer.sendall(HEAD + b"\r\nbody")) as url, client() as http:
        http.post(url, deadline_s=5, params=PARAMS)

    assert caplog.records == []


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com, .sub.example ,10.0.0.0/8,::1,localhost,http://x:8"},
        {"ALL_PROXY": "p:1", "https_proxy": "http://q", "HTTPS_PROXY": "http://r"},
        {"http_proxy": "http://p", "https_proxy": "", "HTTPS_PROXY": "http://r"},
        {"HTTP_PROXY": "http://p", "REQUEST_METHOD": "GET"},
        {"HTTPS_PROXY": "http://p", "NO_PROXY": "a,*"},
        {"NO_PROXY": "a"},
        {"No_Proxy": "a", "Https_Proxy": "http://mixed"},
        {},
    ],
)
def test_proxies_are_read_as_httpx_reads_them(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    """The same rules, from an environment that is handed in."""
    from httpx._utils import get_environment_proxies

    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    expected = get_environment_proxies()

    found = read_proxies(environ, None)

    assert found == (expected if any(expected.values()) else {})


@pytest.mark.parametrize(
    "behave",
    [
        hang_up,
        lambda peer: peer.recv(1),
        lambda peer: peer.sendall(HEAD + b"\r\n" + bytes(3000)),
        lambda peer: peer.sendall(SECRET.encode() * 3 + b"\r\n\r\n"),
    ],
    ids=["dropped", "late", "large", "echo"],
)
def test_no_secret_in_any_error(behave: Callable[[socket.socket], object]) -> None:
    """Neither the error's text nor anything chained to it shows the query, the header or the body."""
    with answering(behave) as url:
        problem = failure(url, deadline_s=0.25, most_bytes=2000)

    assert SECRET not in f"{problem} {problem!r} {problem.kind}"
    assert problem.__context__ is None or problem.__suppress_context__


def test_a_proxys_password_is_secret_as_it_stands_in_the_url() -> None:
    """Bytes that are no UTF-8 come out of a URL as marks of replacement: both forms may be quoted."""
    assert {"contrase%F1a-1", "contrase\ufffda-1"} < {*secrets_of("http://u:contrase%F1a-1@proxy:3128")}
    assert secrets_of("http://u@proxy") == ["http://u@proxy"]
