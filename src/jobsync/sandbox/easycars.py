"""
A stand-in for the EasyCars Stock API, as a WSGI application.

Written from the vendor's Stock API document V1.01 (16/09/2025). What that document leaves open is guessed here: HTTP
status 200 for error envelopes, Code 7 for requests that are not of the documented form, an empty list for a wrong
account and for an unknown yard.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec

from jobsync.sandbox.scenario import NORMAL, Behaviour, Client, Dealer, Scenario
from jobsync.sandbox.stock import entries_on
from jobsync.sandbox.wire import REASONS, Body, ConnectionDropped, Waits, drip

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

REQUESTS_KEPT = 10_000
BODY_BYTES_MAX = 64 * 1024
_JSON = "application/json; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_FIREWALL_PAGE = b"""<!DOCTYPE html>
<html><head><title>One moment, please</title></head>
<body><h1>Checking your browser</h1><p>Request blocked. Support ID: 0000-SANDBOX</p></body></html>
"""


@dataclass(frozen=True)
class SeenRequest:
    """
    A request as the stand-in saw it.

    `token_use` counts how often the token was presented, this time included (0: it was never valid). `behaviour` is
    what was played; `status` the HTTP status, 0 if none was sent.
    """

    operation: str
    at: float
    night: int
    client_id: str | None = None
    account_number: str | None = None
    yard_code: str | None = None
    token_use: int = 0
    behaviour: str = "normal"
    status: int = 200


@dataclass
class _IssuedToken:
    client: Client
    expires_at: float
    uses: int = 0


@dataclass(frozen=True)
class _StandInAnswer:
    chunks: tuple[bytes, ...]
    status: int = 200
    content_type: str = _JSON
    headers: tuple[tuple[str, str], ...] = ()


class EasyCarsSandbox:
    """
    The application: `POST …/RequestToken`, `POST …/GetAdvertisementStocks` and `…/__control`, below any prefix.

    `GET …/__control` tells the state, `POST …/__control` with `{"night": 2}` or `{"night": "+1"}` turns to a night.

    Args:
        scenario: what is played.
        now: seconds since the epoch; tokens expire by it.
        sleep: how latency, `slow` and `drip` wait; None waits really, and gives up when the server closes.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.scenario = scenario
        self._now = now
        self._sleep = Waits(sleep)
        self._lock = threading.Lock()
        self._building = threading.Lock()
        self._night = scenario.night
        self._dealers = {dealer.account_number: dealer for dealer in scenario.dealers}
        self._clients = {client.client_id: client for client in scenario.clients}
        self._tokens: dict[str, _IssuedToken] = {}
        self._tokens_issued = 0
        self._turns: dict[tuple[str, int], int] = {}
        self._lists: dict[tuple[str, int, str | None], bytes] = {}
        self._seen: deque[SeenRequest] = deque(maxlen=REQUESTS_KEPT)
        self._in_flight = 0
        self._in_flight_max = 0

    @property
    def requests(self) -> list[SeenRequest]:
        """The last requests answered, oldest first (at most REQUESTS_KEPT)."""
        with self._lock:
            return list(self._seen)

    @property
    def in_flight_max(self) -> int:
        """How many requests were under way at once, at most (those to `__control` do not count)."""
        return self._in_flight_max

    @property
    def night(self) -> int:
        """The night that is played, from 1."""
        return self._night

    def set_night(self, night: int) -> None:
        """Turn to a night; requests under way are answered by either."""
        if night < 1:
            raise ValueError(f"nights count from 1, got {night}")
        with self._lock:
            self._night = night
            self._lists.clear()

    def prepare(self) -> None:
        """Serialise every dealer's list of this night now instead of at its first request."""
        for dealer in self.scenario.dealers:
            self._list(dealer, self._night, None)

    def interrupt(self) -> None:
        """End every wait under way by dropping its connection; called when the server closes."""
        self._sleep.interrupt()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        operation = str(environ.get("PATH_INFO", "")).rsplit("/", 1)[-1]
        if operation == "__control":
            return self._start(self._control(environ), NORMAL, start_response, lambda: None)
        with self._lock:
            self._in_flight += 1
            self._in_flight_max = max(self._in_flight_max, self._in_flight)
        try:
            return self._serve(operation, environ, start_response)
        except BaseException:
            self._leave()
            raise

    def _serve(self, operation: str, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen = SeenRequest(operation, self._now(), self._night)
        if self.scenario.latency_ms:
            self._sleep(self.scenario.latency_ms / 1000)
        answer, behaviour = _text(404, "no such operation"), NORMAL
        if operation in {"RequestToken", "GetAdvertisementStocks"}:
            if environ["REQUEST_METHOD"] != "POST":
                answer = _text(405, "POST only")
            elif operation == "RequestToken":
                seen, behaviour, answer = self._request_token(seen, environ)
            else:
                seen, behaviour, answer = self._stocks(seen, environ)
        dropped = behaviour.kind == "not_listening_drop"
        with self._lock:
            self._seen.append(replace(seen, behaviour=behaviour.kind, status=0 if dropped else answer.status))
        if dropped:
            raise ConnectionDropped("the scenario closes the connection without an answer")
        if behaviour.kind == "slow":
            self._sleep(behaviour.seconds)
        return self._start(answer, behaviour, start_response, self._leave)

    def _start(
        self, answer: _StandInAnswer, behaviour: Behaviour, start_response: StartResponse, on_close: Callable[[], None]
    ) -> Iterable[bytes]:
        length = sum(map(len, answer.chunks))
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(length)), *answer.headers]
        start_response(f"{answer.status} {REASONS.get(answer.status, 'Sandbox')}", headers)
        chunks: Iterable[bytes] = answer.chunks
        if behaviour.kind == "truncated":
            chunks = (b"".join(answer.chunks)[: length // 2],)
        elif behaviour.kind == "drip":
            chunks = drip(b"".join(answer.chunks), behaviour.bytes_per_second, self._sleep)
        return Body(chunks, on_close)

    def _leave(self) -> None:
        with self._lock:
            self._in_flight -= 1

    # The two operations

    def _request_token(self, seen: SeenRequest, environ: WSGIEnvironment) -> _Turn:
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        seen = replace(seen, client_id=query.get("ClientID", [None])[0])
        client = self._clients.get(seen.client_id or "")
        if _read_body(environ):
            return seen, NORMAL, _envelope(7, "The request body must be empty.")
        secret = query.get("ClientSecret", [""])[0]
        if client is None or not hmac.compare_digest(secret.encode(), client.client_secret.encode()):
            return seen, NORMAL, _envelope(1, "Invalid ClientID or ClientSecret.")
        behaviour = self._turn(client.client_id, client.behaviour)
        token = self._issue(client)
        good = _StandInAnswer((b'{"Token":"%b","Code":0,"ErrorMessage":null}' % token.encode(),))
        return seen, behaviour, _misbehaving(behaviour, good)

    def _stocks(self, seen: SeenRequest, environ: WSGIEnvironment) -> _Turn:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        held = self._present(token) if scheme.lower() == "bearer" else None
        if held is None:
            return seen, NORMAL, _INVALID_TOKEN
        seen = replace(seen, client_id=held.client.client_id, token_use=held.uses)
        model = _read_model(_read_body(environ))
        if isinstance(model, str):
            return seen, NORMAL, _envelope(7, model)
        yard = model.get("YardCode")
        seen = replace(seen, account_number=model["AccountNumber"], yard_code=yard)
        dealer = self._dealers.get(str(model["AccountNumber"]))
        if dealer is None or dealer.client != held.client.client_id or dealer.account_secret != model["AccountSecret"]:
            if self.scenario.wrong_account == "code":
                return seen, NORMAL, _envelope(7, "Invalid AccountNumber or AccountSecret.")
            return seen, NORMAL, _listing(b"[]")
        behaviour = self._turn(dealer.account_number, dealer.on(seen.night).behaviour or NORMAL)
        if behaviour.kind in {"expired_token_once", "unauthorized_401_once"}:
            with self._lock:
                self._tokens.pop(token, None)
            status = 401 if behaviour.kind == "unauthorized_401_once" else 200
            return seen, behaviour, replace(_INVALID_TOKEN, status=status)
        return seen, behaviour, self._stock_answer(dealer, seen.night, yard, behaviour)

    def _stock_answer(self, dealer: Dealer, night: int, yard: str | None, behaviour: Behaviour) -> _StandInAnswer:
        if behaviour.kind == "empty":
            return _listing(b"[]")
        if behaviour.kind == "null_list":
            return _listing(b"null")
        if behaviour.kind == "code" and behaviour.with_list:
            return _listing(self._list(dealer, night, yard), behaviour.code, behaviour.message)
        if behaviour.kind in {"html", "http_error", "garbage", "code", "not_listening_drop"}:
            return _misbehaving(behaviour, _listing(b"[]"))
        feed = dealer.on(night).feed
        if feed is not None and feed.body is not None:
            return _StandInAnswer((feed.body,))
        return _listing(self._list(dealer, night, yard))

    def _list(self, dealer: Dealer, night: int, yard: str | None) -> bytes:
        """Return the JSON array of a dealer's items; kept until the night turns."""
        if yard is not None and yard not in dealer.yards:
            return _array(entry.text for entry in entries_on(dealer, night) if entry.yard in {None, yard})
        key = (dealer.account_number, night, yard)
        made = self._lists.get(key)
        if made is None:
            with self._building:
                made = self._lists.get(key)
                if made is None:
                    entries = entries_on(dealer, night)
                    made = _array(entry.text for entry in entries if yard is None or entry.yard in {None, yard})
                    self._lists[key] = made
        return made

    def _turn(self, key: str, behaviour: Behaviour) -> Behaviour:
        """Return the behaviour, or normal once it was played `times` times in this night."""
        if behaviour.times is None:
            return behaviour
        with self._lock:
            turn = (key, self._night)
            self._turns[turn] = self._turns.get(turn, 0) + 1
            return behaviour if self._turns[turn] <= behaviour.times else NORMAL

    # Tokens

    def _issue(self, client: Client) -> str:
        issued_at = int(self._now())
        lifetime = self.scenario.token_lifetime_s
        claims = {
            "ClientID": client.client_id,
            "nbf": issued_at,
            "exp": issued_at + int(lifetime),
            "iat": issued_at,
        }
        unsigned = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        with self._lock:
            self._tokens_issued += 1
            # another key each time: two tokens of one second have the same claims and must still differ
            key = f"sandbox-{self._tokens_issued}".encode()
            token = f"{unsigned}.{_base64url(hmac.digest(key, unsigned.encode(), hashlib.sha256))}"
            now = self._now()
            self._tokens = {text: held for text, held in self._tokens.items() if held.expires_at > now}
            self._tokens[token] = _IssuedToken(client, now + lifetime)
        return token

    def _present(self, token: str) -> _IssuedToken | None:
        """Return a copy of what is known about a token that is valid now."""
        with self._lock:
            held = self._tokens.get(token)
            if held is None or held.expires_at <= self._now():
                return None
            held.uses += 1
            return replace(held)

    # Control

    def _control(self, environ: WSGIEnvironment) -> _StandInAnswer:
        if environ["REQUEST_METHOD"] == "POST":
            try:
                asked = msgspec.json.decode(_read_body(environ))["night"]
                step = isinstance(asked, str) and asked.startswith("+")
                self.set_night(self._night + int(asked) if step else int(asked))
            except (ValueError, TypeError, KeyError, msgspec.MsgspecError):
                return _text(400, 'expected {"night": N} with N from 1, or {"night": "+1"}')
        elif environ["REQUEST_METHOD"] != "GET":
            return _text(405, "GET or POST")
        state = {
            "night": self._night,
            "requests": len(self._seen),
            "in_flight": self._in_flight,
            "in_flight_max": self._in_flight_max,
            "tokens_issued": self._tokens_issued,
            "dealers": [
                {"name": dealer.name, "credentials": self.scenario.credentials(dealer)}
                for dealer in self.scenario.dealers
            ],
        }
        return _StandInAnswer((json.dumps(state).encode(),))


_Turn = tuple[SeenRequest, Behaviour, _StandInAnswer]


def _read_body(environ: WSGIEnvironment) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    body: bytes = environ["wsgi.input"].read(min(int(length), BODY_BYTES_MAX) if length.isdigit() else 0)
    return body


def _read_model(body: bytes) -> Mapping[str, str | None] | str:
    """Return the request's fields, or what is wrong with it."""
    try:
        model: object = json.loads(body)
    except ValueError:
        return "The request body must be JSON."
    if not isinstance(model, dict):
        return "The request body must be an object."
    for key in ("AccountNumber", "AccountSecret"):
        if not isinstance(model.get(key), str) or not model[key]:
            return f"{key} is required."
    if not isinstance(model.get("YardCode"), str | None):
        return "YardCode must be a string."
    return model


def _misbehaving(behaviour: Behaviour, good: _StandInAnswer) -> _StandInAnswer:
    """Return what a behaviour says in place of any answer, else `good`."""
    if behaviour.kind == "html":
        return _StandInAnswer((_FIREWALL_PAGE,), content_type=_HTML)
    if behaviour.kind == "http_error":
        retry = (("Retry-After", behaviour.retry_after),) if behaviour.retry_after else ()
        page = b"<html><body><h1>Error %d</h1></body></html>" % behaviour.status
        return _StandInAnswer((page,), behaviour.status, _HTML, retry)
    if behaviour.kind == "garbage":
        return _StandInAnswer((behaviour.raw,))
    if behaviour.kind == "code":
        return _envelope(behaviour.code, behaviour.message)
    return good


def _envelope(code: int, message: str) -> _StandInAnswer:
    return _StandInAnswer((json.dumps({"Code": code, "ErrorMessage": message}, separators=(",", ":")).encode(),))


def _listing(items: bytes, code: int = 0, message: str | None = None) -> _StandInAnswer:
    return _StandInAnswer(
        (b'{"StockList":', items, b',"Code":%d,"ErrorMessage":%b}' % (code, json.dumps(message).encode()))
    )


def _text(status: int, text: str) -> _StandInAnswer:
    return _StandInAnswer((text.encode() + b"\n",), status, "text/plain; charset=utf-8")


def _array(items: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


_INVALID_TOKEN = _envelope(1, "Invalid token.")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
