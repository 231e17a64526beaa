"""
Promotions at random moments: two hosts run all three jobs without a pause while their primary is lost.

Ten with a synchronous standby, which has whatever its primary said was committed: nothing that a run reported may be
lost. Ten with an asynchronous one that had been cut off up to two seconds before: what it never got is done again. In
both, nothing is there twice at the end.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from benchmarks.measure import ROOT, bare_environment, note, table
from benchmarks.postgres import KEY
from jobsync.db import migrate
from jobsync.db.engine import Database
from jobsync.easycars.credentials import Cipher
from jobsync.sandbox.easycars import EasyCarsSandbox
from jobsync.sandbox.scenario import Scenario, load_scenario
from jobsync.sandbox.seed import seed
from jobsync.sandbox.serve import BothVendors, serve
from jobsync.sandbox.sri import SriSandbox
from tests.db.servers import Pair, commit_on_both, crash, cut_off, pair_of_servers, promote

_DEALERSHIPS, _VEHICLES, _DOCUMENTS = 12, 40, 60
_JOBS = ("stock-sync", "check-authorizations", "generate-ride")
_PACE = {"sri_call_delay_ms": "50", "ride_delay_ms": "20", "easycar_sync_concurrency": "2"}
_FALSE_AFTER_S = 90.0  # from a promotion on: so long may the rest take


@dataclass
class Round:
    """What one promotion met and left."""

    run_codes: Counter[int] = field(default_factory=Counter)
    reported: dict[str, set[str]] = field(default_factory=lambda: {job: set() for job in _JOBS})
    lost: int = 0  # items that a run had reported, and that the promoted server did not have
    twice: list[str] = field(default_factory=list)
    settled_s: float = 0.0  # from the promotion until everything was done


def run(folder: Path, *, rounds: int) -> str:
    """Return a table of both kinds of standby; raises SystemExit where something was lost or done twice."""
    scenario = _scenario(folder)
    lines, wrong = [], []
    for standby in ("synchronous", "asynchronous"):
        played = [_round(folder / f"{standby}-{number}", scenario, standby) for number in range(1, rounds + 1)]
        codes = sum((each.run_codes for each in played), Counter[int]())
        lost, settled = [each.lost for each in played], [each.settled_s for each in played]
        lines.append(
            [
                standby,
                str(rounds),
                str(sum(codes.values())),
                ", ".join(f"{number}× {code}" for code, number in sorted(codes.items())),
                str(sum(lost)),
                str(sum(len(each.twice) for each in played)),
                f"{max(settled):.0f}",
            ]
        )
        wrong += [words for each in played for words in each.twice]
        if standby == "synchronous" and any(lost):
            wrong.append(f"{sum(lost)} items were lost")
    heads = ("standby", "promotions", "runs", "exit codes", "reported, then lost", "twice", "longest until done, s")
    if wrong:
        raise SystemExit(f"benchmarks: failover: {'; '.join(wrong)}\n{table(heads, lines)}")
    return f"### Failover\n\n{table(heads, lines)}"


def _scenario(folder: Path) -> Scenario:
    dealers = [
        {
            "name": f"Yard {number}",
            "account_number": f"EC9{number:05}",
            "account_secret": f"sandbox-account-secret-{number}",
            "vehicles": _VEHICLES,
        }
        for number in range(1, _DEALERSHIPS + 1)
    ]
    client = {"client_id": "sandbox-client", "client_secret": "sandbox-client-secret"}
    sri = {"received_s": 0, "in_process_s": [0, 0], "latency_ms": 20}
    file = folder / "scenario.json"
    file.write_text(json.dumps({"latency_ms": 30, "clients": [client], "dealers": dealers, "sri": sri}))
    return load_scenario(file)


def _round(folder: Path, scenario: Scenario, standby: str) -> Round:
    folder.mkdir()
    played = Round()
    app = BothVendors(EasyCarsSandbox(scenario), SriSandbox(scenario.sri))
    with pair_of_servers(folder) as pair, serve(app) as served:
        database = Database(pair.url(pair.primary))
        migrate.upgrade(database.engine())
        with database.engine().begin() as connection:
            seed(connection, Cipher(KEY), scenario, invented=_DOCUMENTS, environment="test", add=False)
        database.close()
        with psycopg.connect(pair.url(pair.primary)) as primary:
            for key, value in _PACE.items():
                primary.execute("UPDATE system_settings SET value = %s WHERE key = %s", [value, key])
        if standby == "synchronous":
            commit_on_both(pair.url(pair.primary))
        environ = {
            **bare_environment(folder),
            "JOBSYNC_DATABASE_URL": pair.url(pair.primary, pair.standby),
            "JOBSYNC_EASYCARS_URL": served.url,
            "JOBSYNC_SRI_URL": served.origin,
            "JOBSYNC_ENCRYPTION_KEY": base64.b64encode(KEY).decode(),
            "JOBSYNC_STORAGE": str(folder / "rides"),
            "JOBSYNC_LOG_LEVEL": "error",
        }
        (folder / "rides").mkdir()
        with _hosts(environ, played):
            time.sleep(random.uniform(1, 8))
            if standby == "asynchronous":
                cut_off(pair.url(pair.standby))
                time.sleep(random.uniform(0, 2))
            crash(folder / "primary")
            promote(pair.url(pair.standby))
            promoted = time.monotonic()
            reported = {job: set(items) for job, items in played.reported.items()}
            played.lost = _lost(pair, reported)
            while _left(pair):
                if time.monotonic() > promoted + _FALSE_AFTER_S:
                    raise SystemExit(f"benchmarks: failover: {_left(pair)} not done after {_FALSE_AFTER_S:.0f} s")
                time.sleep(0.2)
            played.settled_s = time.monotonic() - promoted
        played.twice = _twice(pair, folder / "rides")
    note(f"failover, {standby}: lost {played.lost}, twice {played.twice}, done after {played.settled_s:.1f} s")
    shutil.rmtree(folder)
    return played


@contextmanager
def _hosts(environ: dict[str, str], played: Round) -> Iterator[None]:
    """Run the jobs in turn on two host names until the block is left."""
    stop = threading.Event()
    threads = [threading.Thread(target=_host, args=(name, environ, played, stop)) for name in ("host-a", "host-b")]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _host(name: str, environ: dict[str, str], played: Round, stop: threading.Event) -> None:
    named = ["unshare", "--uts", "sh", "-c", f'hostname {name}; exec "$@"', "sh"] if os.geteuid() == 0 else []
    while True:
        for job in _JOBS:
            if stop.is_set():
                return
            command = [*named, sys.executable, "-m", "jobsync", job, "--json"]
            done = subprocess.run(command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            played.run_codes[done.returncode] += 1
            if done.returncode in (0, 3):
                played.reported[job].update(_done(job, json.loads(done.stdout)["items"]))


def _done(job: str, items: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what a run's report says is done: names of dealerships, access keys."""
    for item in items:
        if job == "stock-sync" and item["status"] == "success":
            yield item["name"]
        elif item["status"] in ("authorized", "rendered"):
            yield item["access_key"]


def _ask(pair: Pair, question: LiteralString) -> list[tuple[Any, ...]]:
    with psycopg.connect(pair.url(pair.standby)) as connection:
        return connection.execute(question).fetchall()


def _lost(pair: Pair, reported: dict[str, set[str]]) -> int:
    """Count what was reported as done and is not there: asked before the next run can have made it good."""
    there = {
        "stock-sync": "SELECT d.name FROM dealerships d JOIN vehicles v ON v.dealership_id = d.id GROUP BY d.name",
        "check-authorizations": "SELECT access_key FROM invoices WHERE status = 'authorized'",
        "generate-ride": "SELECT access_key FROM invoices WHERE ride_path IS NOT NULL",
    }
    return sum(len(items - {row[0] for row in _ask(pair, there[job])}) for job, items in reported.items())  # type: ignore[arg-type]


def _left(pair: Pair) -> list[tuple[Any, ...]]:
    """Return what is not done: vehicles, documents not authorized, forms not printed; nothing if all is."""
    vehicles, pending, forms = _ask(
        pair,
        "SELECT (SELECT count(*) FROM vehicles), count(*) FILTER (WHERE status <> 'authorized'),"
        " count(*) FILTER (WHERE ride_path IS NULL) FROM invoices",
    )[0]
    done = (vehicles, pending, forms) == (_DEALERSHIPS * _VEHICLES, 0, 0)
    return [] if done else [(vehicles, pending, forms)]


def _twice(pair: Pair, rides: Path) -> list[str]:
    """Name what was done twice, or half."""
    found = []
    doubled = {
        "vehicles": "SELECT dealership_id, stock_key FROM vehicles GROUP BY 1, 2 HAVING count(*) > 1",
        "verdicts": "SELECT invoice_id FROM sri_events WHERE kind = 'authorized' GROUP BY 1 HAVING count(*) > 1",
        "nights": "SELECT dealership_id FROM easycar_sync_logs GROUP BY 1 HAVING sum(created) <> 40",
        "changes": "SELECT vehicle_id FROM vehicle_changes GROUP BY vehicle_id, field, new HAVING count(*) > 1",
    }
    for what, question in doubled.items():
        if rows := _ask(pair, question):  # type: ignore[arg-type]
            found.append(f"{what}: {rows[:3]}")
    named = dict(_ask(pair, "SELECT ride_path, ride_sha256 FROM invoices"))
    files = {str(file.relative_to(rides)): file for file in rides.rglob("*_ride.pdf")}
    if set(named) != set(files):
        found.append(f"files: {sorted(set(named) ^ set(files))[:3]}")
    found += [
        f"file {path} is not what its row says"
        for path, sha in named.items()
        if path in files and hashlib.sha256(files[path].read_bytes()).hexdigest() != sha
    ]
    return found
