"""A stand-in SRI whose every answer a test holds in its hand."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from tests.sri import documents


class Sri:
    """
    Answers by access key, else by `default`.

    An answer is bytes (a whole body), a pair of HTTP status and body, or a function of the key that returns one of
    these. `gate`, when cleared, holds every call until it is opened; `asked` and `times` say what came when.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.default: Any = documents.empty
        self.asked: list[str] = []
        self.times: list[float] = []
        self.arrived = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Sequence[bytes]:
        now = time.monotonic()
        assert environ["PATH_INFO"] == "/comprobantes-electronicos-ws/AutorizacionComprobantesOffline"
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        [key] = re.findall(rb"<claveAccesoComprobante>(\d{49})</claveAccesoComprobante>", body)
        self.asked.append(key.decode())
        self.times.append(now)
        self.arrived.set()
        self.gate.wait(30)
        answer = self.answers.get(key.decode(), self.default)
        if callable(answer):
            answer = answer(key.decode())
        status, content = answer if isinstance(answer, tuple) else ("200 OK", answer)
        start_response(status, [("Content-Type", "text/xml; charset=utf-8")])
        return [content]
