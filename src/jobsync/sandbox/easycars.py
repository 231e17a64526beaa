"""
A stand-in for the EasyCars Stock API, from the vendor's document V1.01 (16/09/2025).

Guessed are HTTP status 200 for error envelopes, Code 7 for requests that are not of the documented form, and an empty
list for a wrong account and for an unknown yard.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

import msgspec

from jobsync.sandbox.scenario import NORMAL, Behaviour, Body, Client, Dealer, Scenario
from jobsync.sandbox.stand_in import Reply, StandIn, Text, plain, read_body
from jobsync.sandbox.stock import entries_on

REQUESTS_KEPT = 10_000
_JSON = "application/json; charset=utf-8"


@dataclass
class SeenRequest:
    operation: str
    at: float
    night: int
    client_id: str | None = None
    account_number: str | None = None
    yard_code: str | None = None
    token_use: int = 0  # how often the token was presented, this time included; 0: it was never valid
    status: int = 200  # 0 if none was sent


class _StockRequest(msgspec.Struct):
    AccountNumber: Text
    AccountSecret: Text
    YardCode: str | None = None


@dataclass
class _IssuedToken:
    client: Client
    expires_at: float
    uses: int = 0


class EasyCarsSandbox(StandIn):
    """`POST …/RequestToken`, `…/GetAdvertisementStocks` and `…/__control`, below any prefix; tokens expire by `now`."""

    FIREWALL_PAGE = (
        b"<!DOCTYPE html>\n<html><head><title>One moment, please</title></head>\n<body><h1>Checking your browser</h1>"
        b"<p>Request blocked. Support ID: 0000-SANDBOX</p></body></html>\n"
    )
    CONTROL = '{"night": N} with N from 1, or {"night": "+1"}'

    def __init__(self, scenario: Scenario, **clocks: Callable[..., Any]) -> None:
        super().__init__(latency_ms=scenario.latency_ms, **clocks)
        self.scenario = scenario
        self.night = scenario.night  # from 1
        self._building = threading.Lock()
        self._dealers = {dealer.account_number: dealer for dealer in scenario.dealers}
        self._clients = {client.client_id: client for client in scenario.clients}
        self._tokens: dict[str, _IssuedToken] = {}
        self._tokens_issued = 0
        self._lists: dict[tuple[str, int, str | None], bytes] = {}
        self.requests = deque[SeenRequest](maxlen=REQUESTS_KEPT)  # the last ones answered, oldest first

    def set_night(self, night: int) -> None:
        if night < 1:
            raise ValueError(f"nights count from 1, got {night}")
        with self.lock:
            self.night = night
            self._lists.clear()

    def change(self, asked: Any) -> None:
        night = asked["night"]
        step = isinstance(night, str) and night.startswith("+")
        self.set_night(self.night + int(night) if step else int(night))

    def state(self) -> Mapping[str, object]:
        return {
            "night": self.night,
            "requests": len(self.requests),
            "tokens_issued": self._tokens_issued,
            "dealers": [
                {"name": dealer.name, "credentials": self.scenario.credentials(dealer)}
                for dealer in self.scenario.dealers
            ],
        }

    def answer(self, operation: str, environ: WSGIEnvironment) -> tuple[Reply, Behaviour]:
        seen = SeenRequest(operation, self.now(), self.night)
        reply, behaviour = plain(404, "no such operation"), NORMAL
        operations = {"RequestToken": self._request_token, "GetAdvertisementStocks": self._stocks}
        if operation in operations:
            if environ["REQUEST_METHOD"] == "POST":
                reply, behaviour = operations[operation](seen, environ)
            else:
                reply = plain(405, "POST only")
        seen.status = 0 if behaviour.kind == "not_listening_drop" else reply.status
        self.requests.append(seen)
        return reply, behaviour

    def _request_token(self, seen: SeenRequest, environ: WSGIEnvironment) -> tuple[Reply, Behaviour]:
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        seen.client_id = query.get("ClientID", [None])[0]
        client = self._clients.get(seen.client_id or "")
        if read_body(environ):
            return _envelope(7, "The request body must be empty."), NORMAL
        secret = query.get("ClientSecret", [""])[0]
        if client is None or not hmac.compare_digest(secret.encode(), client.client_secret.encode()):
            return _envelope(1, "Invalid ClientID or ClientSecret."), NORMAL
        behaviour = self.turn((client.client_id, self.night), client.behaviour)
        good = Reply(b'{"Token":"%b","Code":0,"ErrorMessage":null}' % self._issue(client).encode(), _JSON)
        return self._said_instead(behaviour) or good, behaviour

    def _stocks(self, seen: SeenRequest, environ: WSGIEnvironment) -> tuple[Reply, Behaviour]:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        client = self._present(token, seen) if scheme.lower() == "bearer" else None
        if client is None:
            return _INVALID_TOKEN, NORMAL
        try:
            model = msgspec.json.decode(read_body(environ), type=_StockRequest)
        except ValueError as error:
            return _envelope(7, str(error)), NORMAL
        seen.client_id = client.client_id
        seen.account_number, seen.yard_code = model.AccountNumber, model.YardCode
        dealer = self._dealers.get(model.AccountNumber)
        if dealer is None or dealer.client != client.client_id or dealer.account_secret != model.AccountSecret:
            return _listing(b"[]"), NORMAL
        behaviour = dealer.on(seen.night).behaviour or NORMAL
        void_status = {"expired_token_once": 200, "unauthorized_401_once": 401}
        once = 1 if behaviour.kind in void_status else None
        behaviour = self.turn((dealer.account_number, seen.night), behaviour, times=once)
        if behaviour.kind in void_status:
            with self.lock:
                self._tokens.pop(token, None)
            return _INVALID_TOKEN._replace(status=void_status[behaviour.kind]), behaviour
        return self._stock_answer(dealer, seen, behaviour), behaviour

    def _stock_answer(self, dealer: Dealer, seen: SeenRequest, behaviour: Behaviour) -> Reply:
        if behaviour.kind in ("empty", "null_list"):
            return _listing(b"[]" if behaviour.kind == "empty" else b"null")
        if not (behaviour.kind == "code" and behaviour.with_list) and (instead := self._said_instead(behaviour)):
            return instead
        feed = dealer.on(seen.night).feed
        if isinstance(feed, Body):
            return Reply(bytes(feed), _JSON)
        code, message = (behaviour.code, behaviour.message) if behaviour.kind == "code" else (0, None)
        return _listing(self._list(dealer, seen.night, seen.yard_code), code, message)

    def _said_instead(self, behaviour: Behaviour) -> Reply | None:
        if behaviour.kind == "garbage":
            return Reply(bytes.fromhex(behaviour.hex), _JSON)
        if behaviour.kind == "code":
            return _envelope(behaviour.code, behaviour.message)
        return self.misbehave(behaviour)

    def _list(self, dealer: Dealer, night: int, yard: str | None) -> bytes:
        key = (dealer.account_number, night, yard)
        with self._building:
            if key not in self._lists:
                entries = (entry for entry in entries_on(dealer, night) if yard is None or entry.yard in (None, yard))
                made = b"[" + b",".join(entry.text for entry in entries) + b"]"
                if yard is not None and yard not in dealer.yards:
                    return made  # of unknown yards there is no end
                self._lists[key] = made
            return self._lists[key]

    def _issue(self, client: Client) -> str:
        now, lifetime = self.now(), self.scenario.token_lifetime_s
        at = int(now)
        claims = {"ClientID": client.client_id, "nbf": at, "exp": at + int(lifetime), "iat": at}
        unsigned = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        with self.lock:
            self._tokens_issued += 1
            # another key each time: two tokens of one second have the same claims and must still differ
            key = f"sandbox-{self._tokens_issued}".encode()
            token = f"{unsigned}.{_base64url(hmac.digest(key, unsigned.encode(), hashlib.sha256))}"
            self._tokens = {text: held for text, held in self._tokens.items() if held.expires_at > now}
            self._tokens[token] = _IssuedToken(client, now + lifetime)
        return token

    def _present(self, token: str, seen: SeenRequest) -> Client | None:
        with self.lock:
            held = self._tokens.get(token)
            if held is None or held.expires_at <= self.now():
                return None
            held.uses += 1
            seen.token_use, seen.client_id = held.uses, held.client.client_id
            return held.client


def _envelope(code: int, message: str) -> Reply:
    return Reply(json.dumps({"Code": code, "ErrorMessage": message}, separators=(",", ":")).encode(), _JSON)


def _listing(items: bytes, code: int = 0, message: str | None = None) -> Reply:
    said = b'{"StockList":%b,"Code":%d,"ErrorMessage":%b}' % (items, code, json.dumps(message).encode())
    return Reply(said, _JSON)


_INVALID_TOKEN = _envelope(1, "Invalid token.")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
