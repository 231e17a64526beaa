"""The vendor's two operations: over the stand-in on the loopback, or a transport where the vendor's paper is silent."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import StringIO
from typing import Any

import httpx
import pytest
from msgspec import structs

from jobsync.easycars.client import ADDRESSES, DEADLINE_S, TRIES, EasyCarsClient, EasyCarsFailure
from jobsync.easycars.credentials import Credentials
from jobsync.easycars.parse import parse_item
from jobsync.http import HttpClient
from jobsync.logs import configure_logs
from jobsync.sandbox.easycars import EasyCarsSandbox
from jobsync.sandbox.scenario import NORMAL, Behaviour, Client, Dealer, Scenario
from jobsync.sandbox.serve import serve

CREDENTIALS = Credentials("quokka-client", "quokka secret+&=", "EC777777", "numbat-secret", "Test")
DEALER = Dealer("Test Yard", "EC777777", "numbat-secret", "quokka-client", vehicles=5, yards=("100", "200"))
OTHER = structs.replace(DEALER, account_number="EC888888", account_secret="bilby-secret")
TOKEN = b'{"Token": "good-token", "Code": 0, "ErrorMessage": null}'
STOCK = b'{"StockList": [], "Code": 0, "ErrorMessage": null}'
SECRETS = ("quokka", "numbat", "good-token", "quokka%20secret", "secret%2B")


class World:
    """A client against a scenario; `waits` are the pauses that it asked for."""

    def __init__(self, url: str, app: EasyCarsSandbox, **more: Any) -> None:
        self.app = app
        self.waits: list[float] = []
        self.http = HttpClient(connections=8, most_bytes=more.pop("most_bytes", 1 << 24))
        self.client = EasyCarsClient(self.http, base_url=url, pause=self.pause, **more)

    def pause(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return True

    def asked(self) -> list[str]:
        """The operations that were asked for, shortly."""
        short = {"RequestToken": "token", "GetAdvertisementStocks": "stock"}
        return [short[seen.operation] for seen in self.app.requests]


Play = Callable[..., World]


@pytest.fixture
def play() -> Iterator[Play]:
    """Serve a scenario and return a client to it."""
    ends: list[Callable[[], None]] = []

    def start(behaviour: Behaviour = NORMAL, *, tokens: Behaviour = NORMAL, scenario: Any = (), **more: Any) -> World:
        played = Scenario(
            (Client("quokka-client", "quokka secret+&=", tokens),),
            (structs.replace(DEALER, behaviour=behaviour), OTHER),
            **dict(scenario),
        )
        app = EasyCarsSandbox(played)
        served = serve(app)
        world = World(served.url, app, **more)
        ends.extend((world.http.close, served.close))
        return world

    yield start
    for end in ends:
        end()


class Vendor(httpx.BaseTransport):
    """Answers in turn what a test says for stock requests, the last one for ever; tokens are always good."""

    def __init__(self, *stock: httpx.Response, tokens: tuple[httpx.Response, ...] = ()) -> None:
        self.stock = list(stock) or [httpx.Response(200, content=STOCK)]
        self.tokens = list(tokens) or [httpx.Response(200, content=TOKEN)]
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        turns = self.tokens if request.url.path.endswith("RequestToken") else self.stock
        answer = turns.pop(0) if len(turns) > 1 else turns[0]
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def over(vendor: Vendor, *, pause: Callable[[float], bool] = lambda _seconds: True, **more: Any) -> EasyCarsClient:
    """A client that talks to a transport."""
    more.setdefault("base_url", "http://vendor.example/StockService/")
    return EasyCarsClient(HttpClient(connections=1, transport=vendor), pause=pause, **more)


def failure(client: EasyCarsClient, credentials: Credentials = CREDENTIALS) -> EasyCarsFailure:
    """Fetch what cannot be fetched."""
    with pytest.raises(EasyCarsFailure) as raised:
        client.fetch_stock(credentials)
    return raised.value


# --- the request -----------------------------------------------------------------------------------------------------


def test_stock_is_fetched(play: Play) -> None:
    """With the right pairs the whole list comes back, each item readable."""
    envelope = play().client.fetch_stock(CREDENTIALS)

    assert [type(parse_item(raw, 1)).__name__ for raw in envelope.items or ()] == ["Car"] * 5


def test_secrets_with_signs_arrive_unchanged(play: Play) -> None:
    """What stands in the query is encoded so that plus, ampersand and blank survive."""
    world = play()
    world.client.fetch_stock(CREDENTIALS)

    assert world.app.requests[0].client_id == "quokka-client"


def test_requests_are_of_the_documented_form() -> None:
    """Query parameters and an empty body for the token, a bearer header and a JSON body for the stock."""
    vendor = Vendor()
    over(vendor).fetch_stock(replace(CREDENTIALS, yard_code="100"))
    token, stock = vendor.requests

    assert (dict(token.url.params), token.content) == (
        {"ClientID": "quokka-client", "ClientSecret": "quokka secret+&="},
        b"",
    )
    assert (stock.headers["authorization"], str(stock.url)) == (
        "Bearer good-token",
        "http://vendor.example/StockService/GetAdvertisementStocks",
    )
    assert json.loads(stock.content) == {
        "AccountNumber": "EC777777",
        "AccountSecret": "numbat-secret",
        "YardCode": "100",
    }


@pytest.mark.parametrize("yard", [None, ""])
def test_no_yard_is_not_mentioned(yard: str | None) -> None:
    """Without a yard the key is absent, which means all yards."""
    vendor = Vendor()
    over(vendor).fetch_stock(replace(CREDENTIALS, yard_code=yard))

    assert "YardCode" not in json.loads(vendor.requests[1].content)


@pytest.mark.parametrize("base", ["http://vendor.example/a/b", "http://vendor.example/a/b/"])
def test_base_address_with_or_without_slash(base: str) -> None:
    """The operation is appended to the address either way."""
    vendor = Vendor()
    over(vendor, base_url=base).fetch_stock(CREDENTIALS)

    assert [request.url.path for request in vendor.requests] == ["/a/b/RequestToken", "/a/b/GetAdvertisementStocks"]


@pytest.mark.parametrize("environment", ["Test", "Production"])
def test_the_environment_tells_the_address(environment: str) -> None:
    """Without an override each environment goes to its own documented address."""
    vendor = Vendor()
    over(vendor, base_url=None).fetch_stock(replace(CREDENTIALS, environment=environment))

    assert str(vendor.requests[1].url) == ADDRESSES[environment] + "GetAdvertisementStocks"


def test_a_request_has_a_minute() -> None:
    """The total deadline of each request is the agreed one."""
    vendor = Vendor()
    over(vendor).fetch_stock(CREDENTIALS)

    assert [request.extensions["timeout"]["read"] for request in vendor.requests] == [DEADLINE_S, DEADLINE_S]


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_token_is_cached(play: Play) -> None:
    """One token serves every dealer of a client pair."""
    world = play()
    for credentials in (CREDENTIALS, replace(CREDENTIALS, account_number="EC888888", account_secret="bilby-secret")):
        world.client.fetch_stock(credentials)

    assert world.asked() == ["token", "stock", "stock"]


@pytest.mark.parametrize(
    "other",
    [{"client_secret": "another"}, {"client_id": "another"}, {"environment": "Production"}],
    ids=["secret", "client", "environment"],
)
def test_token_is_per_environment_client_and_secret(other: dict[str, str]) -> None:
    """A token got with one pair is never used for another, nor the right secret's for a wrong one."""
    vendor = Vendor()
    client = over(vendor)
    client.fetch_stock(CREDENTIALS)
    client.fetch_stock(replace(CREDENTIALS, **other))

    assert sum(request.url.path.endswith("RequestToken") for request in vendor.requests) == 2


def test_token_is_single_flight(play: Play) -> None:
    """However many dealers start at once, one asks and the others wait."""
    world = play(scenario={"latency_ms": 30})
    start = threading.Barrier(8)

    def fetch(_number: int) -> None:
        start.wait(10)
        world.client.fetch_stock(CREDENTIALS)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fetch, range(8)))

    assert sorted(world.asked()) == ["stock"] * 8 + ["token"]


@pytest.mark.parametrize("kind", ["expired_token_once", "unauthorized_401_once"])
def test_token_is_refreshed_once(play: Play, kind: str) -> None:
    """An expired token, said as Code 1 or as 401, costs one refresh and no pause."""
    world = play(Behaviour(kind, times=1))
    world.client._token(CREDENTIALS, stale=None)
    for token in world.client._tokens.values():
        token.born_at -= 61

    world.client.fetch_stock(CREDENTIALS)

    assert (world.asked(), world.waits) == (["token", "stock", "token", "stock"], [])


@pytest.mark.parametrize("kind", ["expired_token_once", "unauthorized_401_once"])
def test_a_young_token_that_is_refused_is_replaced_by_one_that_may_ripen(play: Play, kind: str) -> None:
    """One of the vendor's machines may be seconds behind the one that issued it."""
    world = play(Behaviour(kind, times=1))
    world.client.fetch_stock(CREDENTIALS)

    assert world.asked() == ["token", "stock", "token", "stock"]
    assert world.waits == [pytest.approx(5, abs=0.5)]


@pytest.mark.parametrize(
    ("words", "reason", "asked"),
    [
        ("Invalid token.", "token_refused", 2),
        ("The TOKEN has expired", "token_refused", 2),
        ("Invalid account", "credentials_account", 2),
        (None, "credentials_account", 2),
    ],
)
def test_whom_a_young_token_s_refusal_blames(words: str | None, reason: str, asked: int) -> None:
    """Words about the token pass with time, others are about the account; neither is tried again in this attempt."""
    no = httpx.Response(200, json={"Code": 1, "ErrorMessage": words})
    vendor = Vendor(no)
    problem = failure(over(vendor))

    assert (problem.reason, problem.transient) == (reason, reason == "token_refused")
    assert sum(request.url.path.endswith("GetAdvertisementStocks") for request in vendor.requests) == asked


def test_an_expired_token_is_refreshed_by_one_of_many() -> None:
    """Eight dealers who hold the same dead token get one new one between them."""
    vendor = Vendor(*[httpx.Response(200, content=b'{"Code": 1}')] * 8, httpx.Response(200, content=STOCK))
    numbers = iter(range(100))
    lock = threading.Lock()
    barrier = threading.Barrier(8)

    class Holding(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("RequestToken"):
                with lock:
                    vendor.requests.append(request)
                    return httpx.Response(200, json={"Token": f"token-{next(numbers)}", "Code": 0})
            if request.headers["authorization"] == "Bearer token-0":
                barrier.wait(10)
                return httpx.Response(200, content=b'{"Code": 1}')
            return httpx.Response(200, content=STOCK)

    client = EasyCarsClient(HttpClient(connections=8, transport=Holding()), base_url="http://v/", pause=lambda _: True)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.fetch_stock(CREDENTIALS), range(8)))

    assert len(vendor.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b'{"Code": 1}'),
        httpx.Response(403, content=b'{"Code": 1}'),
        httpx.Response(401, json={"Message": "Authorization has been denied for this request."}),
        httpx.Response(401),
    ],
)
def test_a_second_no_is_about_the_account(answer: httpx.Response) -> None:
    """A client pair that gets tokens whose stock request is refused twice has a wrong account pair; no third try."""
    vendor = Vendor(answer)
    problem = failure(over(vendor))

    assert (problem.reason, problem.transient, problem.unreachable) == ("credentials_account", False, False)
    assert len(vendor.requests) == 4


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(401, content=b"<html>"), "EasyCars answers HTTP 401: the answer is a web page, not JSON"),
        (httpx.Response(403, content=b"<html>"), "EasyCars answers HTTP 403: the answer is a web page, not JSON"),
        (httpx.Response(404, content=b"Not here"), "EasyCars answers HTTP 404: the answer is not JSON"),
        (httpx.Response(400), "EasyCars answers HTTP 400: the answer is empty"),
        (httpx.Response(302), "EasyCars answers HTTP 302: the answer is empty"),
        (httpx.Response(403, json={"message": "Forbidden"}), "EasyCars answers HTTP 403 with JSON that has no Code"),
    ],
)
def test_a_page_is_no_word_about_the_account(answer: httpx.Response, words: str) -> None:
    """What is not the vendor's JSON comes from something in between and may pass; the status is named."""
    problem = failure(over(Vendor(answer)))

    assert (str(problem).startswith(words), problem.transient, problem.unreachable) == (True, True, True)


def test_a_401_page_costs_one_refresh_first() -> None:
    """An expired token may be answered by the web server's own page: a fresh one is asked for at once."""
    vendor = Vendor(httpx.Response(401, content=b"<html>"), httpx.Response(200, content=STOCK))

    assert over(vendor).fetch_stock(CREDENTIALS).code == 0
    assert [request.url.path.rsplit("/", 1)[1] for request in vendor.requests] == [
        "RequestToken",
        "GetAdvertisementStocks",
    ] * 2


def test_a_401_page_at_the_token_is_no_word_about_the_client() -> None:
    """A firewall in front of the token request has not looked at ClientID and ClientSecret."""
    vendor = Vendor(tokens=(httpx.Response(401, content=b"<html>"),))
    problem = failure(over(vendor))

    assert (problem.reason, problem.transient) == ("html", True)


@pytest.mark.parametrize(("code", "reason"), [(7, "vendor_failed"), (9, "vendor_error")])
def test_the_code_counts_before_the_status(code: int, reason: str) -> None:
    """A 401 whose body says failed or system error is that, and not a wrong account."""
    problem = failure(over(Vendor(httpx.Response(401, json={"Code": code}))))

    assert problem.reason == reason


def test_wrong_client_pair(play: Play) -> None:
    """A client pair without a token is told from a wrong account pair, and is asked once in a run."""
    world = play()
    wrong = replace(CREDENTIALS, client_secret="quokka-mistyped")
    reasons = [failure(world.client, credentials).reason for credentials in (wrong, replace(wrong, account_number="X"))]

    assert (reasons, world.asked()) == (["credentials_client"] * 2, ["token"])


def test_wrong_client_pair_spares_the_right_one(play: Play) -> None:
    """One dealership's mistyped secret costs the others nothing."""
    world = play()
    failure(world.client, replace(CREDENTIALS, client_secret="quokka-mistyped"))

    assert world.client.fetch_stock(CREDENTIALS).code == 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"Code": 0}',
        b'{"Code": 0, "Token": ""}',
        b'{"Code": 0, "Token": 5}',
        '{"Code": 0, "Token": "tökän"}'.encode(),
        b'{"Code": 0, "Token": "a\\r\\nX-Evil: 1"}',
        rb'{"Code": 0, "Token": "a\ud800"}',
    ],
)
def test_a_token_that_is_none(body: bytes) -> None:
    """A token that cannot stand in a header is a failure of the vendor's, and nothing is asked with it."""
    vendor = Vendor(tokens=(httpx.Response(200, content=body),))
    problem = failure(over(vendor))

    assert (problem.reason, len(vendor.requests)) == ("vendor_failed", 1)


@pytest.mark.parametrize(
    ("claims", "kept"),
    [
        (b'{"iat": 100, "exp": 700}', True),
        (b'{"iat": 100, "exp": 110}', False),
        (b'{"iat": 100, "exp": 100}', True),
        (b'{"iat": 100}', True),
        (b"[]", True),
        (b"\xff", True),
        (b'{"iat": 0, "exp": ' + b"9" * 400 + b"}", True),
    ],
)
def test_a_token_lives_as_long_as_it_says(claims: bytes, kept: bool) -> None:
    """A token is used until shortly before its own end; one that does not tell is good for the usual time."""
    import base64

    token = b"h." + base64.urlsafe_b64encode(claims).rstrip(b"=") + b".s"
    vendor = Vendor(tokens=(httpx.Response(200, content=b'{"Code": 0, "Token": "' + token + b'"}'),))
    client = over(vendor)
    client.fetch_stock(CREDENTIALS)
    client.fetch_stock(CREDENTIALS)

    assert (sum(request.url.path.endswith("RequestToken") for request in vendor.requests) == 1) is kept


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "reason", "unreachable", "tries"),
    [
        (Behaviour("code", code=7, message="Nope"), "vendor_failed", False, 1),
        (Behaviour("code", code=9, message="Oops"), "vendor_error", False, TRIES),
        (Behaviour("code", code=42), "vendor_failed", False, 1),
        (Behaviour("null_list"), "no_list", False, 1),
        (Behaviour("html"), "html", True, TRIES),
        (Behaviour("garbage"), "unreadable", True, TRIES),
        (Behaviour("garbage", hex=b"".hex()), "empty_answer", True, TRIES),
        (Behaviour("garbage", hex=b'{"StockList": []}'.hex()), "unreadable", True, 1),
        (Behaviour("garbage", hex=b'{"Code": "--5"}'.hex()), "unreadable", True, 1),
        (Behaviour("http_error", status=503), "unreachable", True, TRIES),
        (Behaviour("http_error", status=500), "unreachable", True, TRIES),
        (Behaviour("http_error", status=429), "unreachable", True, TRIES),
        (Behaviour("http_error", status=404), "html", True, TRIES),
        (Behaviour("http_error", status=403), "html", True, TRIES),
        (Behaviour("truncated"), "unreachable", True, TRIES),
        (Behaviour("not_listening_drop"), "unreachable", True, TRIES),
    ],
    ids=lambda value: value.kind if isinstance(value, Behaviour) else None,
)
def test_no_usable_answer(play: Play, behaviour: Behaviour, reason: str, unreachable: bool, tries: int) -> None:
    """Each kind of answer has its reason, and only what may pass is tried again."""
    world = play(behaviour)
    problem = failure(world.client)

    assert (problem.reason, problem.unreachable) == (reason, unreachable)
    assert world.asked().count("stock") == tries


@pytest.mark.parametrize("kind", ["http_error", "html", "garbage", "truncated", "not_listening_drop", "code"])
def test_a_fault_that_passes(play: Play, kind: str) -> None:
    """After one bad answer the next try succeeds."""
    world = play(Behaviour(kind, times=1, code=9 if kind == "code" else NORMAL.code))

    assert world.client.fetch_stock(CREDENTIALS).code == 0


@pytest.mark.parametrize("kind", ["http_error", "html", "truncated", "not_listening_drop"])
def test_a_fault_at_the_token_passes_too(play: Play, kind: str) -> None:
    """A bad answer to the token request is retried as well."""
    world = play(tokens=Behaviour(kind, times=1))

    assert world.client.fetch_stock(CREDENTIALS).code == 0


def test_code_5_is_an_answer(play: Play) -> None:
    """A warning comes with its list and its message."""
    envelope = play(Behaviour("code", code=5, message="Careful", with_list=True)).client.fetch_stock(CREDENTIALS)

    assert (envelope.code, envelope.message, len(envelope.items or ())) == (5, "Careful", 5)


def test_empty_list_is_an_answer(play: Play) -> None:
    """No vehicles is something other than no list."""
    assert play(Behaviour("empty")).client.fetch_stock(CREDENTIALS).items == []


@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_a_code_0_counts_whatever_the_status(status: int) -> None:
    """The paper says nothing about statuses: the body's code is the word that counts."""
    assert over(Vendor(httpx.Response(status, content=STOCK))).fetch_stock(CREDENTIALS).code == 0


def test_redirect_is_not_followed() -> None:
    """The account's secret is not carried to wherever an answer points."""
    vendor = Vendor(httpx.Response(307, headers={"Location": "http://elsewhere.example/x"}))
    failure(over(vendor))

    assert {request.url.host for request in vendor.requests} == {"vendor.example"}


def test_no_cookie_is_sent_back() -> None:
    """The session cookie of the vendor's examples is not kept."""
    vendor = Vendor(httpx.Response(200, headers={"Set-Cookie": "ASP.NET_SessionId=x"}, content=STOCK))
    client = over(vendor)
    client.fetch_stock(CREDENTIALS)
    client.fetch_stock(CREDENTIALS)

    assert [request.headers.get("cookie") for request in vendor.requests] == [None] * 3


def test_a_drip_ends_at_the_deadline(play: Play) -> None:
    """A vendor that sends a few bytes a second is given up in time."""
    problem = failure(play(Behaviour("drip", bytes_per_second=100), deadline_s=0.3, tries=1).client)

    assert (problem.reason, "no whole answer within 0.3 s" in str(problem)) == ("unreachable", True)


def test_a_body_too_large_is_not_asked_for_again(play: Play) -> None:
    """What is too large today is too large in a second."""
    world = play(most_bytes=5000)
    problem = failure(world.client)

    assert (problem.unreachable, world.asked().count("stock")) == (True, 1)


# --- waits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 1, 1),
        ("-5", 1, 2),
        ("99999999999999999999", 60, 60),
        ("9" * 400, 60, 60),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 60, 60),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1, 1),
        ("soon", 1, 2),
        ("²", 1, 2),
        ("Mon, 99 Foo 2026 99:99:99 GMT", 1, 2),
        ("Mon, 01 Jan 2026 00:00:00 +" + "9" * 30, 1, 2),
        ("", 1, 2),
        (None, 1, 2),
    ],
)
@pytest.mark.parametrize("body", [b"<html>", b'{"message": "Too many requests"}'], ids=["html", "json"])
def test_retry_after(asked: str | None, least: float, most: float, body: bytes) -> None:
    """The vendor's wish is heard within reason, in seconds or as a date; nonsense means the usual wait."""
    headers = {} if asked is None else {b"Retry-After": asked.encode("latin-1")}
    vendor = Vendor(httpx.Response(503, headers=headers, content=body), httpx.Response(200, content=STOCK))
    waits: list[float] = []

    def pause(seconds: float) -> bool:
        waits.append(seconds)
        return True

    over(vendor, pause=pause).fetch_stock(CREDENTIALS)

    assert [least <= wait <= most for wait in waits] == [True]


def test_waits_grow(play: Play) -> None:
    """The second wait is longer than the first, and after the last try there is none."""
    world = play(Behaviour("html"))
    failure(world.client)

    assert [1 <= world.waits[0] <= 2, 2 <= world.waits[1] <= 3, len(world.waits)] == [True, True, TRIES - 1]


def test_a_pause_cut_short_ends_at_once() -> None:
    """When the run is told to stop, the fault at hand is the result and nothing more is sent."""
    vendor = Vendor(httpx.Response(503))
    problem = failure(over(vendor, pause=lambda _seconds: False))

    assert (problem.reason, len(vendor.requests)) == ("unreachable", 2)  # a token and one try


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stock",
    [
        Behaviour("code", code=7, message="No numbat-secret for EC777777, quokka secret+&= or quokka-client"),
        Behaviour("code", code=9, message="numbat-secret\x1b[31m"),
        Behaviour("http_error", status=404),
        Behaviour("http_error", status=503),
        Behaviour("html"),
        Behaviour("truncated"),
        Behaviour("not_listening_drop"),
        Behaviour("garbage", hex=b'{"Code": 1, "ErrorMessage": "numbat-secret of quokka-client"}'.hex()),
    ],
    ids=lambda behaviour: f"{behaviour.kind}-{behaviour.code}-{behaviour.status}",
)
@pytest.mark.parametrize("where", ["stock", "token"])
def test_no_secret_in_any_error_or_log_line(
    play: Play, stock: Behaviour, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong, neither our error, nor our log, nor a library's shows a secret, a token or a query."""
    lines = StringIO()
    configure_logs("debug", "json", lines)
    caplog.set_level(logging.DEBUG)
    replace(CREDENTIALS)  # as whoever reads them does: from then on they are masked
    world = play(stock) if where == "stock" else play(tokens=stock)
    problem = failure(world.client)
    shown = f"{problem} {problem!r} {lines.getvalue()} {caplog.text}"

    assert [secret for secret in (*SECRETS, "EC777777", "RequestToken?") if secret in shown] == []


def test_a_client_that_is_shown_shows_no_secret(play: Play) -> None:
    """A log line or a report of a crash may show any object: what tokens are known by is of nobody's business."""
    world = play()
    world.client.fetch_stock(CREDENTIALS)

    assert [secret for secret in SECRETS if secret in repr(world.client)] == []


def test_a_good_run_logs_no_secret(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    """Nor does anything when all is well."""
    lines = StringIO()
    configure_logs("debug", "json", lines)
    caplog.set_level(logging.DEBUG)
    play().client.fetch_stock(CREDENTIALS)

    assert [secret for secret in SECRETS if secret in lines.getvalue() + caplog.text] == []
