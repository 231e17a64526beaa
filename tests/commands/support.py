"""Running whole commands, in this process or in one of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from jobsync.__main__ import run
from jobsync.wiring import Tools

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


def command(environ: Mapping[str, str], *arguments: str, stdin: str | None = None) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jobsync", *arguments],
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


class Feed:
    """
    A stand-in EasyCars whose every answer a test holds in its hand, by account number.

    An answer is bytes (a whole body), a list of items (Code 0), or a function that returns bytes.
    `gate`, when set up, holds every stock request until it is opened.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.arrived = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Sequence[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        if environ["PATH_INFO"].endswith("RequestToken"):
            return [b'{"Token": "a.b.c-token", "Code": 0, "ErrorMessage": null}']
        body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        account = body["AccountNumber"]
        self.asked.append(account)
        self.arrived.set()
        self.gate.wait(30)
        answer = self.answers[account]
        if callable(answer):
            answer = answer()
        if isinstance(answer, bytes):
            return [answer]
        return [json.dumps({"StockList": answer, "Code": 0, "ErrorMessage": None}).encode()]
