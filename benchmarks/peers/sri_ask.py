"""
Ask about one document after the other with jobsync's client, and judge: `sri_ask.py URL CALLS KEY`.

Prints when the first verdict was there (monotonic clock) and what the calls after it took, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime

from jobsync.fiscal.access_key import parse_access_key
from jobsync.http import HttpClient
from jobsync.sri.client import SriClient
from jobsync.sri.model import DocumentStatus, History, Outcome
from jobsync.sri.verdict import judge


def main() -> None:
    """Ask once, then so many times."""
    url, calls, text = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    client = SriClient(HttpClient(connections=1), base_url=url)
    key = parse_access_key(text)
    now = datetime.now(UTC)
    history = History(
        access_key=text,
        waiting_since=now,
        status=DocumentStatus.PENDING,
        attention_since=None,
        empty_since=None,
        empty_count=0,
    )

    def ask() -> None:
        verdict = judge(client.ask(key).answer, history, now)
        assert verdict.outcome is Outcome.AUTHORIZED, verdict
        assert verdict.authorization is not None
        assert verdict.authorization.number == text
        assert verdict.authorization.document is not None

    ask()
    first, started_cpu = time.monotonic(), time.process_time()
    for _ in range(calls):
        ask()
    took = {"wall_s": time.monotonic() - first, "cpu_s": time.process_time() - started_cpu}
    print(json.dumps({"first": first, **took}))


main()
