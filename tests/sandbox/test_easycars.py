"""The stand-in's behaviours, over real HTTP on the loopback."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.validate import validator

import httpx
import pytest
from msgspec.structs import replace

from jobsync.sandbox.easycars import EasyCarsSandbox
from jobsync.sandbox.scenario import Behaviour, Body, Client, Dealer, Night, Scenario
from jobsync.sandbox.serve import serve
from tests.sandbox.differences import expected_differences

CLIENT = Client("client", "client-secret")
DEALER = Dealer("Test Yard", "EC900001", "account-secret", "client", vehicles=12, yards=("100", "200"))
Play = Callable[..., "Caller"]


class Caller:
    """A client that does what the vendor's paper says, and no more."""

    def __init__(self, app: EasyCarsSandbox, http: httpx.Client) -> None:
        self.app = app
        self.http = http

    def ask_token(self, secret: str = CLIENT.client_secret) -> Any:
        return self.http.post("RequestToken", params={"ClientID": "client", "ClientSecret": secret}).json()

    def token(self) -> str:
        return str(self.ask_token()["Token"])

    def ask(self, token: str | None = None, **model: str) -> httpx.Response:
        body = {"AccountNumber": "EC900001", "AccountSecret": "account-secret"} | model
        bearer = f"Bearer {self.token() if token is None else token}"
        return self.http.post("GetAdvertisementStocks", json=body, headers={"Authorization": bearer})

    def stock(self, **model: str) -> dict[str, Any]:
        return {item["StockNumber"]: item for item in self.ask(**model).json()["StockList"]}


@pytest.fixture
def play() -> Iterator[Play]:
    """Serve a scenario of one dealer, who behaves as told, and return a caller."""
    open_things: list[Any] = []

    def start(behaviour: Behaviour | None = None, dealer: Dealer = DEALER, **more: Any) -> Caller:
        clock = {"now": more.pop("now")} if "now" in more else {}
        scenario = Scenario(
            (more.pop("client", CLIENT),), (replace(dealer, behaviour=behaviour or Behaviour()),), **more
        )
        app = EasyCarsSandbox(scenario, **clock)
        served = serve(app)
        http = httpx.Client(base_url=served.url, timeout=5, trust_env=False)
        open_things.extend((http, served))
        return Caller(app, http)

    yield start
    for thing in open_things:
        thing.close()


def test_token_is_a_jwt_with_the_documented_claims(play: Play) -> None:
    """A token is three base64url parts, HS256, with ClientID, nbf, exp and iat, and lives for 600 s."""
    answer = play().ask_token()

    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in answer["Token"].split(".")[:2])
    assert header == {"alg": "HS256", "typ": "JWT"}
    assert set(claims) == {"ClientID", "nbf", "exp", "iat"}
    assert claims["exp"] - claims["iat"] == 600
    assert {"Code": 0, "ErrorMessage": None}.items() <= answer.items()


def test_tokens_of_one_second_differ(play: Play) -> None:
    """Two tokens are never the same text."""
    caller = play(now=lambda: 1000.0)

    assert caller.token() != caller.token()


@pytest.mark.parametrize("token", ["x", "not.a.token"])
def test_unknown_token_is_refused(play: Play, token: str) -> None:
    """A token that was never issued gets the documented envelope."""
    assert play().ask(token).json() == {"Code": 1, "ErrorMessage": "Invalid token."}


def test_wrong_client_secret_is_refused(play: Play) -> None:
    """A wrong pair gets Code 1 and no token."""
    answer = play().ask_token("wrong")

    assert answer["Code"] == 1
    assert "Token" not in answer


def test_token_expires(play: Play) -> None:
    """A token is good until its lifetime has passed, by the injected clock."""
    now = [1000.0]
    caller = play(now=lambda: now[0], token_lifetime_s=60)
    token = caller.token()

    now[0] = 1059.9
    assert caller.ask(token).json()["Code"] == 0
    now[0] = 1060.0
    assert caller.ask(token).json()["Code"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (b"<x/>", "malformed"),
        (b"[]", "Expected `object`"),
        (b'{"AccountSecret":"x"}', "missing required field `AccountNumber`"),
        (b'{"AccountNumber":"EC900001"}', "missing required field `AccountSecret`"),
        (b'{"AccountNumber":"","AccountSecret":"x"}', "AccountNumber"),
        (b'{"AccountNumber":"EC900001","AccountSecret":"x","YardCode":1}', "YardCode"),
    ],
)
def test_invalid_models_get_the_envelope(play: Play, content: bytes, message: str) -> None:
    """A request that is not of the documented form is told so with Code 7."""
    caller = play()
    bearer = {"Authorization": f"Bearer {caller.token()}"}

    answer = caller.http.post("GetAdvertisementStocks", content=content, headers=bearer).json()

    assert answer["Code"] == 7
    assert message in answer["ErrorMessage"]


def test_a_token_request_has_no_body(play: Play) -> None:
    """RequestToken takes its values from the query alone."""
    answer = play().http.post("RequestToken", params={"ClientID": "client", "ClientSecret": "client-secret"}, json={})

    assert answer.json()["Code"] == 7


def test_other_methods_and_paths(play: Play) -> None:
    """Only POST, and only the two operations."""
    caller = play()

    assert caller.http.get("RequestToken").status_code == 405
    assert caller.http.post("GetLeads").status_code == 404


@pytest.mark.parametrize("model", [{"AccountSecret": "wrong"}, {"AccountNumber": "EC999999"}])
def test_wrong_account(play: Play, model: dict[str, str]) -> None:
    """A wrong account gets an empty list."""
    assert play().ask(**model).json() == {"StockList": [], "Code": 0, "ErrorMessage": None}


def test_yard_code_filters(play: Play) -> None:
    """Each yard's items are its own, together they are all; an unknown yard is empty."""
    caller = play()

    first, second = caller.stock(YardCode="100"), caller.stock(YardCode="200")

    assert {item["YardCode"] for item in first.values()} == {"100"}
    assert first | second == caller.stock()
    assert caller.stock(YardCode="300") == {}


def test_wrong_yard_item_ignores_the_filter(play: Play) -> None:
    """The oddity of another yard is sent whatever yard is asked for."""
    caller = play(dealer=replace(DEALER, nights={1: Night(oddities=("wrong_yard",))}))

    assert {item["YardCode"] for item in caller.stock(YardCode="100").values()} == {"100", "ELSEWHERE"}


def test_nights_differ_as_expected(play: Play) -> None:
    """What two nights serve differs exactly by the expected differences."""
    dealer = replace(DEALER, vehicles=150)
    caller = play(dealer=dealer)
    before = caller.stock()
    assert caller.http.post("__control", json={"night": "+1"}).json()["night"] == 2
    after = caller.stock()

    differences = expected_differences(dealer, 1, 2)

    both = before.keys() & after.keys()
    differ = {number for number in both if before[number] != after[number]}
    sold = {number for number in differ if after[number]["StockStatus"] == "Sold"}
    assert sorted(after.keys() - before.keys()) == list(differences.added)
    assert sorted(before.keys() - after.keys()) == list(differences.removed)
    assert sorted(sold) == list(differences.sold)
    assert sorted(differ - sold) == list(differences.changed)
    assert differences.added
    assert differences.changed


def test_control(play: Play) -> None:
    """The control tells the state and turns nights, and refuses what is none."""
    caller = play()

    assert caller.http.post("__control", json={"night": 5}).json()["night"] == 5
    for night in (0, "x", "+x", None):
        assert caller.http.post("__control", json={"night": night}).status_code == 400
    state = caller.http.get("__control").json()
    assert state["night"] == caller.app.night == 5
    assert state["dealers"][0]["credentials"] == caller.app.scenario.credentials(DEALER)
    assert caller.app.requests == []


def test_empty_and_null_list(play: Play) -> None:
    """A feed can be an empty list, and null."""
    assert play(Behaviour("empty")).ask().json() == {"StockList": [], "Code": 0, "ErrorMessage": None}
    assert play(Behaviour("null_list")).ask().json() == {"StockList": None, "Code": 0, "ErrorMessage": None}


def test_html_is_a_page_with_status_200(play: Play) -> None:
    """A firewall's page looks like success until it is read."""
    answer = play(Behaviour("html")).ask()

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<html>" in answer.text


def test_http_error_for_the_first_requests_only(play: Play) -> None:
    """An error with its Retry-After ends after the given number of requests, and comes again the next night."""
    caller = play(Behaviour("http_error", status=429, retry_after="7", times=2))

    answers = [caller.ask() for _ in range(3)]
    caller.app.set_night(2)

    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert caller.ask().status_code == 429


def test_truncated_body_is_cut_on_the_wire(play: Play) -> None:
    """Fewer bytes come than were declared, and the connection is closed."""
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection without sending complete message body"):
        play(Behaviour("truncated")).ask()


def test_dropped_connection_has_no_answer(play: Play) -> None:
    """The connection is closed before a single byte."""
    caller = play(Behaviour("not_listening_drop", times=1))
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        caller.ask()

    assert caller.app.requests[-1].status == 0
    assert caller.ask().status_code == 200


def test_garbage_is_sent_as_it_is(play: Play) -> None:
    """The given bytes come, declared as JSON."""
    answer = play(Behaviour("garbage", hex=b"\xff\x00{".hex())).ask()

    assert answer.content == b"\xff\x00{"
    assert answer.headers["Content-Type"].startswith("application/json")


def test_code_with_and_without_a_list(play: Play) -> None:
    """An error code comes alone, or beside the list."""
    alone = play(Behaviour("code", code=9, message="System error.")).ask().json()
    beside = play(Behaviour("code", code=5, message="Warning.", with_list=True)).ask().json()

    assert alone == {"Code": 9, "ErrorMessage": "System error."}
    assert (beside["Code"], beside["ErrorMessage"], len(beside["StockList"])) == (5, "Warning.", 12)


def test_slow_answers_late(play: Play) -> None:
    """A slow dealer answers after its time; a shorter time-out sees nothing."""
    caller = play(Behaviour("slow", seconds=0.3))
    started = time.monotonic()
    assert len(caller.stock()) == 12
    assert time.monotonic() - started >= 0.3

    caller.http.timeout = httpx.Timeout(0.1)
    with pytest.raises(httpx.ReadTimeout):
        caller.ask()


def test_drip_comes_piece_by_piece(play: Play) -> None:
    """A dripping body arrives in small pieces over time, complete at the end."""
    feed = Body(b'{"StockList":[],"Code":0,"ErrorMessage":null}')
    caller = play(Behaviour("drip", bytes_per_second=150), dealer=replace(DEALER, vehicles=None, body_file=feed))
    body = {"AccountNumber": "EC900001", "AccountSecret": "account-secret"}
    bearer = {"Authorization": f"Bearer {caller.token()}"}
    started = time.monotonic()

    with caller.http.stream("POST", "GetAdvertisementStocks", json=body, headers=bearer) as answer:
        pieces = list(answer.iter_raw())

    assert len(pieces) >= 2
    assert time.monotonic() - started > 0.15
    assert b"".join(pieces) == feed


@pytest.mark.parametrize(("kind", "status"), [("expired_token_once", 200), ("unauthorized_401_once", 401)])
def test_token_is_void_once(play: Play, kind: str, status: int) -> None:
    """The first request voids its token for good; with a new one all is well."""
    caller = play(Behaviour(kind, times=1))
    token = caller.token()

    first, again, renewed = caller.ask(token), caller.ask(token), caller.ask()

    assert (first.status_code, first.json()) == (status, {"Code": 1, "ErrorMessage": "Invalid token."})
    assert again.json()["Code"] == 1
    assert renewed.json()["Code"] == 0


def test_token_requests_misbehave_too(play: Play) -> None:
    """A client's behaviour is that of its token requests."""
    caller = play(client=replace(CLIENT, behaviour=Behaviour("http_error", times=1)))

    statuses = [caller.http.post("RequestToken", params={"ClientID": "client"}).status_code for _ in range(2)]
    assert statuses == [200, 200]  # a wrong secret is no turn
    params = {"ClientID": "client", "ClientSecret": "client-secret"}
    assert [caller.http.post("RequestToken", params=params).status_code for _ in range(2)] == [503, 200]


def test_odd_text_reaches_the_wire(play: Play) -> None:
    """NaN, a lone surrogate's escape and a NUL's escape come through unaltered."""
    odd = Night(oddities=("nan_price", "lone_surrogate", "nul_character"))
    content = play(dealer=replace(DEALER, nights={1: odd})).ask().content

    assert all(text in content for text in (b'"Price":NaN', rb"\ud83d", rb"\u0000"))


def test_requests_are_recorded(play: Play) -> None:
    """What was asked can be read afterwards: operation, account, yard, and how often a token was used."""
    caller = play(now=lambda: 1000.0)
    token = caller.token()
    caller.ask(token)
    caller.ask(token, YardCode="100")

    seen = [(it.operation, it.account_number, it.yard_code, it.token_use, it.at) for it in caller.app.requests]
    assert seen == [
        ("RequestToken", None, None, 0, 1000.0),
        ("GetAdvertisementStocks", "EC900001", None, 1, 1000.0),
        ("GetAdvertisementStocks", "EC900001", "100", 2, 1000.0),
    ]


def test_concurrent_requests_are_counted(play: Play) -> None:
    """Eight callers at once are eight in flight, each gets its own answer, and none is left over."""
    caller = play(latency_ms=150, dealer=replace(DEALER, vehicles=50))
    token = caller.token()
    barrier = threading.Barrier(8)

    def one(index: int) -> set[str]:
        barrier.wait()
        items = caller.ask(token, YardCode=("100", "200")[index % 2]).json()["StockList"]
        return {item["YardCode"] for item in items}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))

    assert answers == [{"100"}, {"200"}] * 4
    assert caller.app.in_flight_max == 8
    assert sorted(it.token_use for it in caller.app.requests[1:]) == list(range(1, 9))
    assert caller.http.get("__control").json()["in_flight"] == 0


def test_in_process_and_by_the_book() -> None:
    """The application keeps to WSGI and works without a socket."""
    app = EasyCarsSandbox(Scenario((CLIENT,), (DEALER,)))
    with httpx.Client(transport=httpx.WSGITransport(validator(app)), base_url="http://sandbox/x/") as http:
        caller = Caller(app, http)

        assert len(caller.stock()) == 12


def test_demo_over_two_nights() -> None:
    """The demo's six dealers show what they are there for, with the credentials that are to be stored."""
    scenario = Scenario()
    app = EasyCarsSandbox(scenario)
    outcome: dict[int, list[object]] = {}
    with serve(app) as served, httpx.Client(base_url=served.url, trust_env=False) as http:
        for night in (1, 2):
            app.set_night(night)
            for dealer in scenario.dealers:
                stored = scenario.credentials_to_store(dealer)
                pair = {"ClientID": stored["client_id"], "ClientSecret": stored["client_secret"]}
                token = http.post("RequestToken", params=pair).json().get("Token")
                account = {"AccountNumber": stored["account_number"], "AccountSecret": stored["account_secret"]}
                answer = http.post("GetAdvertisementStocks", json=account, headers={"Authorization": f"Bearer {token}"})
                if answer.status_code != 200 or not answer.headers["Content-Type"].startswith("application/json"):
                    seen: object = (answer.status_code, answer.headers["Content-Type"].split(";")[0])
                else:
                    parsed = answer.json()
                    seen = len(parsed["StockList"]) if parsed["Code"] == 0 else parsed["ErrorMessage"]
                outcome.setdefault(night, []).append(seen)

    assert outcome == {
        1: [48, 32, "Invalid token.", (200, "text/html"), 36, (503, "text/html")],
        2: [48, 34, "Invalid token.", (200, "text/html"), 0, (503, "text/html")],
    }
