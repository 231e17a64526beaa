"""Running whole commands, in this process or in one of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

import psycopg
import pytest

from jobsync.cli.main import run
from jobsync.easycars.parse import DOCUMENTED_KEYS
from jobsync.wiring import Tools

Rows = Callable[[str], list[tuple[Any, ...]]]
Add = Callable[..., int]

CREDENTIALS = {
    "client_id": "test-client",
    "client_secret": "test-client-secret",
    "account_number": "EC000001",
    "account_secret": "test-account-secret",
    "environment": "Test",
}


@dataclass
class Ran:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


class Cli:
    """Runs commands in this process against one environment."""

    def __init__(self, environ: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        self.environ = dict(environ)
        self._capsys = capsys

    def __call__(self, *arguments: str, **more: str) -> Ran:
        self._capsys.readouterr()
        code = run(arguments, Tools({**self.environ, **more}, pause=lambda _seconds: True))
        captured = self._capsys.readouterr()
        return Ran(code, captured.out, captured.err)


def command(
    environ: Mapping[str, str], *arguments: str, stdin: str | None = None, before: str | None = None
) -> subprocess.Popen[str]:
    """Start a command as a process of its own; `before` is Python that it runs first, to shorten its waits."""
    program = ["-m", "jobsync"] if before is None else ["-c", f"{before}\nfrom jobsync.__main__ import main\nmain()"]
    process = subprocess.Popen(
        [sys.executable, *program, *arguments],
        env=dict(environ),
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if stdin is not None and process.stdin is not None:
        process.stdin.write(stdin)
        process.stdin.close()
    return process


def finish(process: subprocess.Popen[str], *, timeout_s: float = 60.0) -> Ran:
    """Wait for a command of its own process and return what it left."""
    if process.stdin is not None and process.stdin.closed:
        process.stdin = None
    out, err = process.communicate(timeout=timeout_s)
    return Ran(process.returncode, out, err)


def until(condition: Callable[[], object], *, timeout_s: float = 20.0) -> None:
    """Poll until the condition holds; fails if it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def car(stock_number: object, **values: object) -> dict[str, object]:
    """Return one item of a feed with every documented key."""
    plain = {
        "StockNumber": stock_number,
        "Make": "Toyota",
        "Model": "Corolla",
        "Price": 20000,
        "StockStatus": "In Stock",
    }
    return {**dict.fromkeys(sorted(DOCUMENTED_KEYS)), **plain, **values}


def cars(*stock_numbers: object) -> list[dict[str, object]]:
    """Return a feed of plain items."""
    return [car(number) for number in stock_numbers]


def envelope(code: int, *, stock: object = None, message: str | None = None, token: str | None = None) -> bytes:
    """Return a whole answer."""
    return json.dumps({"StockList": stock, "Token": token, "Code": code, "ErrorMessage": message}).encode()


def contents(database_url: str) -> dict[str, list[str]]:
    """Return every table's rows as text."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT relname FROM pg_class WHERE relkind IN ('r', 'S') AND relnamespace = 'public'::regnamespace"
            )
        ]
        return {
            name: sorted(str(row) for row in connection.execute(f'SELECT * FROM "{name}"'.encode()))
            for name in sorted(names)
        }


class Feed:
    """
    A stand-in EasyCars whose every answer a test holds in its hand, by account number.

    An answer is bytes (a whole body), a list of items (Code 0), a pair of HTTP status and body, or a function that
    returns one of these.
    `gate`, when set up, holds every stock request until it is opened; `tokens` replaces token answers by client id.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.tokens: dict[str, bytes] = {}
        self.status = "200 OK"
        self.asked: list[str] = []
        self.arrived = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Sequence[bytes]:
        if environ["PATH_INFO"].endswith("RequestToken"):
            start_response(self.status, [("Content-Type", "application/json")])
            [client] = parse_qs(environ["QUERY_STRING"])["ClientID"]
            if client in self.tokens:
                return [self.tokens[client]]
            return [b'{"Token": "a.b.c-token", "Code": 0, "ErrorMessage": null}']
        body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        account = body["AccountNumber"]
        self.asked.append(account)
        self.arrived.set()
        self.gate.wait(30)
        answer = self.answers[account]
        if callable(answer):
            answer = answer()
        if isinstance(answer, tuple):
            status, answer = answer
            start_response(status, [("Content-Type", "text/plain")])
        else:
            start_response(self.status, [("Content-Type", "application/json")])
        if isinstance(answer, bytes):
            return [answer]
        return [json.dumps({"StockList": answer, "Code": 0, "ErrorMessage": None}).encode()]


def plain(ran: Ran, code: int, *words: str) -> None:
    """One sentence and the code that was promised."""
    assert "Traceback" not in ran.err
    assert code == ran.code, ran.err
    for word in words:
        assert word in ran.err + ran.out
