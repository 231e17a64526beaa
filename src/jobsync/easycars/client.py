"""The EasyCars Stock API: addresses, token, timeouts, and what deserves a retry."""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from jobsync.easycars.credentials import Credentials
from jobsync.easycars.model import Envelope
from jobsync.easycars.parse import UnreadableAnswer, parse_envelope
from jobsync.errors import JobsyncError
from jobsync.hosts.circuit import LONGEST_REST_S, CircuitChange, HostLine, merged
from jobsync.http import HttpAnswer, HttpClient, NoAnswer
from jobsync.logs import get_logger, visible
from jobsync.masking import register_secret
from jobsync.runner.items import ItemFailure

# Source: docs/facts/easycars.md, "Addresses"; note .com.au and .net.au.
ADDRESSES = {
    "Test": "https://testmy.easycars.com.au/TestECService/StockService/",
    "Production": "https://my.easycars.net.au/ECService/StockService/",
}
SUCCESS, AUTHENTICATION, WARNING, FAILED, SYSTEM_ERROR = 0, 1, 5, 7, 9
DEADLINE_S = 60.0
FIRST_BYTE_WITHIN_S = 20.0
TRIES = 3
_YOUNG_S = 60.0  # a token of less that is refused may be refused for its age
_RIPE_S = 5.0
_TOKEN_LIFE_S = 600.0  # the printed example's; the paper states none
_TOKEN_MARGIN_S = 30.0
_RETRY_AFTER_LEAST_S = 1.0
_RETRY_AFTER_MOST_S = 60.0


class EasyCarsFailure(ItemFailure):
    """The vendor answered no, or not at all; `of_the_host`: the fault is its host's, whoever was asked for."""

    def __init__(
        self, text: str, *, of_the_host: bool = False, retry_after_s: float | None = None, **facts: Any
    ) -> None:
        super().__init__(text, **facts)
        self.of_the_host, self.retry_after_s = of_the_host, retry_after_s
        self.facts = {"of_the_host": of_the_host, "retry_after_s": retry_after_s, **facts}


class NotAsked(JobsyncError):
    """Its host is not to be asked now: its circuit is open, or it wants to rest."""


class _Heard(EasyCarsFailure):
    """What another thread's request met, that this one waited for: no fault of its own."""


class _UnauthorisedPage(EasyCarsFailure):
    """HTTP 401 with a page: perhaps the server's word for an old token, perhaps a firewall's for anything."""


@dataclass
class _Token:
    """One client pair's token; its lock makes refreshing single-flight."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    text: str | None = None
    good_until: float = 0.0
    failed: EasyCarsFailure | None = None
    failures: int = 0
    born_at: float = 0.0


@dataclass(eq=False, repr=False)  # the tokens' keys are secrets
class EasyCarsClient:
    """The API, as a run's threads share it."""

    http: HttpClient
    pause: Callable[[float], bool]  # seconds; False if cut short: nothing more should be tried
    base_url: str | None = None  # replaces both built-in addresses
    tries: int = TRIES  # for each request while faults are transient
    deadline_s: float = DEADLINE_S
    _tokens: dict[tuple[str, str, str], _Token] = field(default_factory=dict, init=False)
    _tokens_lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _changes: dict[str, CircuitChange] = field(default_factory=dict, init=False)

    def fetch_stock(self, credentials: Credentials, *, item: str = "", line: HostLine | None = None) -> Envelope:
        """
        Return one dealership's feed: Code 0 or 5, with a list. Without a line the host is asked whatever its state.

        Raises:
            EasyCarsFailure: reason `credentials_client` or `credentials_account` (never retried), `token_refused`,
                `vendor_failed`, `vendor_error`, `no_list`, or a transport fault (`unreachable`, retried).
            NotAsked: the host is not to be asked now, and has not been.
        """
        envelope = self._retried(lambda: self._through(line, item, credentials), line=line)
        if envelope.items is None:
            raise EasyCarsFailure(
                "the answer has no list of vehicles (StockList is null or missing); nothing was changed",
                reason="no_list",
            )
        return envelope

    # --- one request -------------------------------------------------------------------------------------------------

    def _through(self, line: HostLine | None, item: str, credentials: Credentials) -> Envelope:
        if line is None:
            return self._ask_for_stock(credentials)
        if not line.may_ask(item):
            raise NotAsked("EasyCars is not asked any more in this run")
        try:
            envelope = self._ask_for_stock(credentials)
        except _Heard:
            raise
        except EasyCarsFailure as failure:
            if failure.retry_after_s is not None:
                line.hold_off(min(max(failure.retry_after_s, _RETRY_AFTER_LEAST_S), LONGEST_REST_S))
            self._note(line, item, unreachable=failure.of_the_host)
            raise
        self._note(line, item, unreachable=False)
        return envelope

    def _note(self, line: HostLine, item: str, *, unreachable: bool) -> None:
        change = line.end(unreachable=unreachable, item=item)
        if change is not None:
            self._changes[item] = merged(self._changes.get(item), change)

    def change_of(self, item: str) -> CircuitChange | None:
        """Return what an item's tries changed of its host's circuit."""
        return self._changes.get(item)

    def _ask_for_stock(self, credentials: Credentials) -> Envelope:
        token, age_s = self._token(credentials, stale=None)
        try:
            envelope, status = self._request_stock(credentials, token)
        except _UnauthorisedPage:
            envelope, status = Envelope(None, None, None), 401
        if _refused(envelope, status) and not _is_too_young(age_s, envelope):
            # Expired or withdrawn: one refresh. A second no is about the account, since the client pair got a token.
            token, age_s = self._token(credentials, stale=token)
            envelope, status = self._request_stock(credentials, token)
        if _refused(envelope, status) and _is_too_young(age_s, envelope):
            # A new token that has become a few seconds old: one machine's clock may be ahead of another's.
            token, age_s = self._token(credentials, stale=token)
            ripe = age_s >= _RIPE_S or self.pause(_RIPE_S - age_s)
            if ripe:
                envelope, status = self._request_stock(credentials, token)
            if not ripe or (_refused(envelope, status) and _speaks_of_a_token(envelope)):
                raise EasyCarsFailure(
                    f"EasyCars refuses a token that it has just issued: {_said(envelope)}",
                    reason="token_refused",
                    transient=True,
                )
        if _refused(envelope, status):
            raise EasyCarsFailure(
                f"EasyCars refuses the account (AccountNumber, AccountSecret): {_said(envelope)}",
                reason="credentials_account",
            )
        _judge(envelope, status)
        return envelope

    def _request_stock(self, credentials: Credentials, token: str) -> tuple[Envelope, int]:
        body: dict[str, Any] = {
            "AccountNumber": credentials.account_number,
            "AccountSecret": credentials.account_secret,
        }
        if credentials.yard_code:
            body["YardCode"] = credentials.yard_code
        answer = self._post(
            credentials,
            "GetAdvertisementStocks",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            content=json.dumps(body).encode(),
        )
        return _read(answer), answer.status

    def _token(self, credentials: Credentials, *, stale: str | None) -> tuple[str, float]:
        """Return a token that is not the stale one, and its age in seconds; other threads wait for the first."""
        with self._tokens_lock:
            pair = credentials.environment, credentials.client_id, credentials.client_secret
            slot = self._tokens.setdefault(pair, _Token())
        failures = slot.failures
        with slot.lock:
            # a thread that waited for a request that failed does not wait for another; a refused pair stays refused
            failed = slot.failed
            if failed is not None and (slot.failures != failures or failed.reason == "credentials_client"):
                raise _Heard(str(failed), **failed.facts)
            if slot.text is None or slot.text == stale or time.monotonic() >= slot.good_until:
                try:
                    slot.text = self._request_token(credentials)
                except EasyCarsFailure as failure:
                    slot.failed, slot.failures = failure, slot.failures + 1
                    raise
                slot.born_at = time.monotonic()
                slot.good_until = slot.born_at + _life_s(slot.text) - _TOKEN_MARGIN_S
            return slot.text, time.monotonic() - slot.born_at

    def _request_token(self, credentials: Credentials) -> str:
        pair = {"ClientID": credentials.client_id, "ClientSecret": credentials.client_secret}
        answer = self._post(credentials, "RequestToken", params=pair)
        envelope = _read(answer)
        if _refused(envelope, answer.status):
            raise EasyCarsFailure(
                f"EasyCars refuses the client (ClientID, ClientSecret): {_said(envelope)}", reason="credentials_client"
            )
        _judge(envelope, answer.status)
        token = envelope.token
        if not token or not token.isascii() or not token.isprintable() or token != token.strip():
            raise EasyCarsFailure("the token answer has no usable Token", reason="vendor_failed")
        register_secret(token)
        return token

    def _post(self, credentials: Credentials, operation: str, **request: Any) -> HttpAnswer:
        base = self.base_url or ADDRESSES[credentials.environment]
        try:
            return self.http.post(
                f"{base.rstrip('/')}/{operation}",
                deadline_s=self.deadline_s,
                first_byte_s=FIRST_BYTE_WITHIN_S,
                **request,
            )
        except NoAnswer as fault:
            raise EasyCarsFailure(
                f"EasyCars {operation}: {fault}",
                reason="unreachable",
                unreachable=True,
                transient=fault.kind != "too_large",
                of_the_host=fault.kind not in ("too_large", "encoding", "address"),
            ) from None

    # --- retries -----------------------------------------------------------------------------------------------------

    def _retried(self, ask: Callable[[], Envelope], *, line: HostLine | None) -> Envelope:
        faults: list[BaseException] = []

        def deserves_another(error: BaseException) -> bool:
            if faults and isinstance(error, NotAsked):
                raise faults[-1] from None
            faults.append(error)
            transient = isinstance(error, ItemFailure) and error.transient and error.reason != "token_refused"
            return transient and (line is None or line.may_go_on())

        def pause(seconds: float) -> None:
            told = {"wait_s": round(seconds, 1), "error": visible(faults[-1])}
            get_logger().warning("easycars.retry", attempt=len(faults), **told)
            if not self.pause(seconds):
                raise faults[-1]

        return Retrying(
            retry=retry_if_exception(deserves_another),
            stop=stop_after_attempt(self.tries),
            wait=_wait_s,
            sleep=pause,
            reraise=True,
        )(ask)


def _is_too_young(age_s: float, envelope: Envelope) -> bool:
    return age_s < _YOUNG_S and _speaks_of_a_token(envelope)


def _speaks_of_a_token(envelope: Envelope) -> bool:
    return "token" in (envelope.message or "").lower()


def host_of(environment: str, base_url: str | None) -> str:
    """Return the name under which an environment's host is remembered."""
    return urlsplit(base_url or ADDRESSES[environment]).netloc.rpartition("@")[2].lower()


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = getattr(error, "retry_after_s", None)
    if asked is not None:
        return float(min(max(asked, _RETRY_AFTER_LEAST_S), _RETRY_AFTER_MOST_S))
    return float(wait_exponential_jitter(initial=1, max=30, jitter=1)(state))


def _read(answer: HttpAnswer) -> Envelope:
    """Read the body first and the HTTP status second: the vendor's paper does not say which it uses for errors."""
    problem: UnreadableAnswer | None = None
    envelope = Envelope(None, None, None)
    try:
        envelope = parse_envelope(answer.body)
    except UnreadableAnswer as unreadable:
        problem = unreadable
    if envelope.code is None and (answer.status == 429 or answer.status >= 500):
        raise EasyCarsFailure(
            f"EasyCars answers HTTP {answer.status}",
            reason="unreachable",
            unreachable=True,
            transient=True,
            of_the_host=True,
            retry_after_s=_retry_after_s(answer),
        )
    if problem is None or (answer.status == 401 and problem.reason == "empty_answer"):
        return envelope
    kind = _UnauthorisedPage if answer.status == 401 else EasyCarsFailure
    status = "" if answer.status == 200 else f" answers HTTP {answer.status}"
    raise kind(
        f"EasyCars{status}: {problem}",
        reason=problem.reason,
        unreachable=True,
        transient=True,
        of_the_host=problem.reason == "html",
    )


def _refused(envelope: Envelope, status: int) -> bool:
    """Whether the answer says that whoever asked is not let in; the body's word counts before the status."""
    return envelope.code == AUTHENTICATION or (status == 401 and envelope.code is None)


def _judge(envelope: Envelope, status: int) -> None:
    """Raise for every code but success and warning; Code 9 deserves another try, Code 7 does not."""
    if envelope.code in (SUCCESS, WARNING):
        return
    if envelope.code == SYSTEM_ERROR:
        raise EasyCarsFailure(
            f"EasyCars reports a system error (Code 9): {_said(envelope)}", reason="vendor_error", transient=True
        )
    if envelope.code is None:
        raise EasyCarsFailure(
            f"EasyCars answers HTTP {status} with JSON that has no Code",
            reason="unreadable",
            unreachable=True,
            transient=status >= 300,  # a gateway's error; gateways send JSON, too
        )
    raise EasyCarsFailure(
        f"EasyCars reports a failure (Code {envelope.code}): {_said(envelope)}", reason="vendor_failed"
    )


def _said(envelope: Envelope) -> str:
    return f"“{visible(envelope.message, most=300)}”" if envelope.message else "without an explanation"


def _retry_after_s(answer: HttpAnswer) -> float | None:
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


def _life_s(token: str) -> float:
    """Return the token's own lifetime, exp - iat, so that our clock need not agree with theirs."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        life = float(claims["exp"]) - float(claims["iat"])
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, binascii.Error, RecursionError):
        return _TOKEN_LIFE_S
    return life if life > 0 else _TOKEN_LIFE_S
