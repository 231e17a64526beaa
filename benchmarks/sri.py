"""
Authorization checks: documents settled a minute, the client beside zeep, calls in flight, the question what is due.

Every case runs against a stand-in SRI in a process of its own, which tells when each call arrived.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from benchmarks import documents, environment, measure, postgres, sri_server
from benchmarks.measure import ROOT, Command, Cost, bare_environment, measured
from benchmarks.postgres import Postgres
from benchmarks.sri_server import Running
from jobsync.sri import store

DOCUMENT_BYTES = 30_000
ANSWER_S = 3.0  # settled: how long an answer takes
DELAY_S = 0.5
AT_ONCE = 8
TICK_S = 30.0
FLIGHTS = (4, 8, 16, 32)
FLIGHT_ANSWER_S = 0.3
FLIGHT_S = 8.0  # how long each number in flight is held
_PEERS = Path(__file__).with_name("peers")
_JOBSYNC = ROOT / ".venv" / "bin" / "jobsync"
_CHECK = "check-authorizations"


@dataclass(frozen=True)
class Size:
    """How much of it."""

    runs: int = 3
    pending: int = 600
    minutes: float = 3.0
    calls: int = 1000
    invoices: int = 1_000_000
    due: int = 2000


def run(folder: Path, size: Size) -> str:
    """Measure everything and return the report."""
    versions = environment.ensure()
    template = folder / "answer.xml"
    template.write_bytes(documents.answer_template(DOCUMENT_BYTES))
    with sri_server.serving(template, _PEERS / "authorization.wsdl") as server, postgres.running(folder) as database:
        database.make_jobsync("template_sri", 0)
        bench = _Bench(folder, size, server, database)
        parts = [bench.calls(), bench.flights(), bench.due(), bench.settled()]
        shown = {name: versions[name] for name in ("requests", "lxml", "zeep")}
        machine = measure.machine({"PostgreSQL": database.version, **shown})
    return "\n\n".join(["## Authorization checks", machine, *parts])


class _Bench:
    def __init__(self, folder: Path, size: Size, server: Running, database: Postgres) -> None:
        self.folder, self.size, self.server, self.database = folder, size, server, database
        self.environ = {**bare_environment(folder), "PYTHONPATH": str(ROOT)}

    # --- one client beside another -----------------------------------------------------------------------------------

    def calls(self) -> str:
        """Measure one process of each client: to its first verdict, and each call after it."""
        self.server.latency(0.0)
        key = documents.access_key(1, 1)
        clients: dict[str, Command] = {
            "jobsync's client": [sys.executable, _PEERS / "sri_ask.py"],
            "zeep": [environment.PYTHON, _PEERS / "zeep_ask.py"],
        }
        numbers: dict[str, list[tuple[float, float, float, float]]] = {}
        for number in range(self.size.runs * 3 + 1):
            for name, command in clients.items():
                cost = measured([*command, self.server.url, str(self.size.calls), key], self.environ, self.folder)
                told = json.loads(cost.output)
                asked = [one for _, one in self.server.arrivals()]
                assert asked == [key] * (self.size.calls + 1), (len(asked), name)
                if number:  # the first one warms caches
                    each = (told["wall_s"] / self.size.calls, told["cpu_s"] / self.size.calls)
                    numbers.setdefault(name, []).append((told["first"] - cost.started, *each, cost.rss_mb))
                    measure.note(
                        f"{name}: {told['first'] - cost.started:.3f} s to the first, {each[0] * 1e3:.2f} ms each"
                    )
        medians = {
            name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in numbers.items()
        }
        base = medians["jobsync's client"]
        rows = [
            [
                name,
                f"{1 / each:.0f}",
                f"{each * 1e3:.2f}",
                f"{cpu * 1e3:.2f}",
                f"{first * 1e3:.0f}",
                f"{rss:.0f}",
                f"{each / base[1]:.2f}x",
                f"{cpu / base[2]:.2f}x",
                f"{first / base[0]:.2f}x",
            ]
            for name, (first, each, cpu, rss) in medians.items()
        ]
        heads = ["client", "calls/s", "ms a call", "CPU ms a call", "first answer ms", "peak MB"]
        return "\n".join(
            [
                "### One client, one call after the other",
                "",
                (
                    f"A document of {DOCUMENT_BYTES // 1000} KB in each answer, no latency, no database;"
                    f" {self.size.calls} calls a process, {self.size.runs * 3} processes each, interleaved; medians."
                ),
                "",
                measure.table([*heads, "time a call, x", "CPU a call, x", "to the first, x"], rows),
            ]
        )

    # --- calls in flight ---------------------------------------------------------------------------------------------

    def flights(self) -> str:
        """Measure the whole command with so many calls in flight."""
        self.server.latency(FLIGHT_ANSWER_S)
        found: dict[int, list[tuple[float, float, Cost]]] = {}
        for _ in range(self.size.runs):
            for at_once in FLIGHTS:
                pending = _pending_for(at_once)
                url = self._fresh("flight", pending, delay_ms=0, at_once=at_once)
                cost = measured([_JOBSYNC, _CHECK], self._ours(url), self.folder)
                arrivals = self._check_settled("flight", expected=pending)
                steady = (len(arrivals) - at_once) / (arrivals[-1] - arrivals[at_once - 1])
                found.setdefault(at_once, []).append((steady, pending / cost.wall_s, cost))
                measure.note(
                    f"{at_once} in flight: {steady:.1f} calls/s steady, {pending / cost.wall_s:.1f} with start-up"
                )
        rows = []
        for at_once, several in found.items():
            possible = at_once / FLIGHT_ANSWER_S
            steady, whole = (statistics.median(one[place] for one in several) for place in (0, 1))
            rows.append(
                [
                    str(at_once),
                    str(_pending_for(at_once)),
                    f"{possible:.1f}",
                    f"{steady:.1f}",
                    f"{100 * steady / possible:.0f} %",
                    f"{100 * min(one[0] for one in several) / possible:.0f} %",
                    f"{whole:.1f}",
                    f"{statistics.median(one[2].cpu_s for one in several) / _pending_for(at_once) * 1e3:.1f}",
                    str(len(several)),
                ]
            )
        heads = [
            "in flight",
            "documents",
            "possible calls/s",
            "calls/s",
            "of possible",
            "least",
            "with start-up and end",
        ]
        return "\n".join(
            [
                "### Calls in flight",
                "",
                (
                    f"`jobsync {_CHECK}`, no delay between starts, answers of {DOCUMENT_BYTES // 1000} KB after"
                    f" {FLIGHT_ANSWER_S * 1000:.0f} ms; possible = in flight / latency. Arrivals at the server, after"
                    " the first so many."
                ),
                "",
                measure.table([*heads, "CPU ms a document", "runs"], rows),
            ]
        )

    # --- what is due -------------------------------------------------------------------------------------------------

    def due(self) -> str:
        """Measure the queries that ask what is due, in a large table."""
        url = self._large()
        parameters = {"tenants": None, "limit": self.size.due}
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            plan = _explain(connection, store.QUEUE.statement(), parameters)
            found, total = store.QUEUE.read_due(connection, limit=self.size.due)
            assert (len(found), total) == (self.size.due, self.size.due), (len(found), total)
            read_ms = _median_ms(lambda: _read_due(connection, self.size.due), self.size.runs * 5)
            due_ms = _median_ms(lambda: _tick(connection, due=True), self.size.runs * 10)
            connection.execute(
                "UPDATE invoices SET next_check_at = now() + interval '1 hour' WHERE next_check_at <= now()"
            )
            connection.execute("VACUUM ANALYZE invoices")
            idle_ms = _median_ms(lambda: _tick(connection, due=False), self.size.runs * 10)
            idle_plan = _explain(connection, store.QUEUE.statement(), parameters)
        rows = [
            [f"the due query, {self.size.due} due: in the server", f"{plan.ms:.2f}"],
            ["the same and the documents, read into Python", f"{read_ms:.2f}"],
            ["the due query, nothing due: in the server", f"{idle_plan.ms:.2f}"],
            [f"jobsync_tick('{_CHECK}'), {self.size.due} due, with its commit", f"{due_ms:.2f}"],
            [f"jobsync_tick('{_CHECK}'), nothing due, with its commit", f"{idle_ms:.2f}"],
        ]
        measure.note("; ".join(": ".join(row) for row in rows))
        return "\n".join(
            [
                f"### What is due, in {self.size.invoices} invoices",
                "",
                f"{self.size.due} pending ones, spread over {_TENANTS} tenants; warm; medians, ms.",
                "",
                measure.table(["", "ms"], rows),
                "",
                "The plan of the due query:",
                "",
                *(f"{'  ' * depth}- {text}" for depth, text in plan.nodes),
            ]
        )

    def _large(self) -> str:
        measure.note(f"making {self.size.invoices} invoices")
        url = self.database.fresh("large_sri", "template_sri")
        with psycopg.connect(url, autocommit=True) as connection:
            _add_tenants(connection)
            step = self.size.invoices // self.size.due
            connection.execute(_LARGE, {"invoices": self.size.invoices, "step": step, "tenants": _TENANTS})
            connection.execute("VACUUM ANALYZE invoices")
            connection.execute("VACUUM ANALYZE tenants")
        self.database.settle()
        return url

    # --- settled a minute --------------------------------------------------------------------------------------------

    def settled(self) -> str:
        """Measure ticks as the timer would make them beside the loop, for as long."""
        self.server.latency(ANSWER_S)
        ours_url = self._fresh("settled", self.size.pending, delay_ms=round(DELAY_S * 1000), at_once=AT_ONCE)
        loop_url = self._fresh("settled_loop", self.size.pending, delay_ms=0, at_once=1)
        seconds = round(self.size.minutes * 60 / TICK_S) * TICK_S
        costs = self._ticks(ours_url, seconds)
        arrivals = self._check_settled("settled")
        ours, least = len(arrivals), _least_gap(arrivals)
        measure.note(f"jobsync: {ours} in {seconds:.0f} s, starts at least {least * 1000:.1f} ms apart")
        command: Command = [environment.PYTHON, _PEERS / "sri_loop.py", self.server.url, loop_url]
        loop_cost = measured([*command, str(DELAY_S), str(seconds)], self.environ, self.folder)
        loop_arrivals = self._check_settled("settled_loop")
        loop = len(loop_arrivals)
        across = self._across_runs()
        rows = [
            [
                f"`jobsync {_CHECK} --scheduled` every {TICK_S:.0f} s",
                str(ours),
                f"{ours / seconds * 60:.0f}",
                f"{ours / loop:.1f}x",
                f"{least * 1000:.1f}",
                f"{sum(cost.cpu_s for cost in costs) / ours * 1e3:.1f}",
            ],
            [
                "the loop",
                str(loop),
                f"{loop / seconds * 60:.0f}",
                "1.0x",
                f"{_least_gap(loop_arrivals) * 1000:.1f}",
                f"{loop_cost.cpu_s / loop * 1e3:.1f}",
            ],
        ]
        heads = ["", f"settled in {seconds:.0f} s", "a minute", "against the loop", "least ms between starts"]
        return "\n".join(
            [
                "### Settled a minute",
                "",
                (
                    f"{self.size.pending} pending documents, answers take {ANSWER_S:g} s, {DELAY_S * 1000:.0f} ms"
                    f" between starts, {AT_ONCE} in flight, {DOCUMENT_BYTES // 1000} KB each. Distances are between"
                    " arrivals at the server."
                ),
                "",
                measure.table([*heads, "CPU ms a document"], rows),
                "",
                (
                    f"Runs one right after the other ({_ACROSS_RUNS} at once, {_ACROSS_LIMIT} documents each, answered"
                    f" at once, the lock passed on): least distance {across * 1000:.1f} ms."
                ),
            ]
        )

    def _ticks(self, url: str, seconds: float) -> list[Cost]:
        """Run a scheduled check every TICK_S, as the timer would."""
        costs = []
        started = time.monotonic()
        for number in range(round(seconds / TICK_S)):
            time.sleep(max(0.0, started + number * TICK_S - time.monotonic()))
            costs.append(measured([_JOBSYNC, _CHECK, "--scheduled"], self._ours(url), self.folder))
            measure.note(f"tick {number + 1}: {costs[-1].wall_s:.1f} s, {costs[-1].cpu_s:.2f} s CPU")
        return costs

    def _across_runs(self) -> float:
        """Return the least distance of calls made by runs that wait for each other's lock."""
        self.server.latency(0.0)
        url = self._fresh("across", _ACROSS_RUNS * _ACROSS_LIMIT, delay_ms=round(DELAY_S * 1000), at_once=AT_ONCE)
        command = [str(_JOBSYNC), _CHECK, "--wait", "60", "--limit", str(_ACROSS_LIMIT)]
        with (self.folder / "across.log").open("wb") as log:
            processes = [
                subprocess.Popen(command, env=self._ours(url), cwd=ROOT, stdout=log, stderr=log)
                for _ in range(_ACROSS_RUNS)
            ]
            codes = [process.wait() for process in processes]
        assert codes == [0] * _ACROSS_RUNS, (codes, (self.folder / "across.log").read_text()[-3000:])
        return _least_gap(self._check_settled("across", expected=_ACROSS_RUNS * _ACROSS_LIMIT))

    # --- what the cases share ----------------------------------------------------------------------------------------

    def _ours(self, url: str) -> dict[str, str]:
        return {**postgres.jobsync_environment(self.folder, url, self.server.url), "JOBSYNC_SRI_URL": self.server.url}

    def _fresh(self, name: str, pending: int, *, delay_ms: int, at_once: int) -> str:
        """Return the URL of a database with so many pending documents of ten tenants, and forget earlier calls."""
        url = self.database.fresh(name, "template_sri")
        with psycopg.connect(url, autocommit=True) as connection:
            _add_tenants(connection)
            with connection.cursor().copy("COPY invoices (tenant_id, access_key, submitted_at) FROM STDIN") as copy:
                for number in range(pending):
                    tenant = number % 10 + 1
                    copy.write_row((tenant, documents.access_key(tenant, number + 1), "now"))
            for key, value in (("sri_call_delay_ms", delay_ms), ("sri_check_concurrency", at_once)):
                connection.execute(
                    "INSERT INTO system_settings (key, value) VALUES (%s, %s)"
                    " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    [key, str(value)],
                )
            connection.execute("ANALYZE")
        self.database.settle()
        self.server.arrivals()
        return url

    def _check_settled(self, database: str, *, expected: int | None = None) -> list[float]:
        """Return when calls arrived, once each of them is known to have left an authorized document behind."""
        calls = self.server.arrivals()
        keys = [key for _, key in calls]
        length = len(documents.answer_template(DOCUMENT_BYTES).replace(b"@KEY@", keys[0].encode()))
        authorized = {
            key
            for (key,) in self.database.ask(
                database,
                "SELECT i.access_key FROM invoices i JOIN invoice_documents d ON d.invoice_id = i.id"
                " WHERE i.status = 'authorized' AND i.sri_authorization = i.access_key"
                " AND length(d.authorized_answer) = %s AND position(i.access_key::bytea in d.authorized_xml) > 0",
                length,
            )
        }
        if len(set(keys)) != len(keys) or set(keys) != authorized or (expected and len(keys) != expected):
            raise SystemExit(
                f"benchmarks: {len(keys)} calls about {len(set(keys))} documents, {len(authorized)} of them authorized,"
                f" expected {expected or 'as many'}:\n{(self.folder / 'output.log').read_text()[-3000:]}"
            )
        return [at for at, _ in calls]


_TENANTS = 50
_ACROSS_RUNS, _ACROSS_LIMIT = 4, 2
# One in `step` is pending and due; the others were authorized and printed long ago, but for a few refused ones.
_LARGE: LiteralString = """
    INSERT INTO invoices (tenant_id, document_type, access_key, series_number, issue_date, customer_name, customer_id,
                          total, status, submitted_at, next_check_at, check_count, sri_authorization, authorized_at,
                          ride_path, ride_sha256, ride_generated_at, ride_next_at)
    SELECT 1 + (CASE WHEN pending THEN n / %(step)s ELSE n END) %% %(tenants)s, '01', key, '001-001-' ||
           lpad(n::text, 9, '0'),
           date '2026-01-01' + n %% 300, 'Cliente inventado ' || n %% 5000, '1710034065', 14.66,
           CASE WHEN pending THEN 'pending_authorization' WHEN n %% 100 = 0 THEN 'rejected' ELSE 'authorized' END,
           now() - interval '1 hour', CASE WHEN pending THEN now() - interval '1 second' * (n %% 1000) END, n %% 7,
           CASE WHEN NOT pending THEN key END, CASE WHEN NOT pending THEN now() - interval '1 day' END,
           CASE WHEN NOT pending THEN 'tenant-1/invoices/2026/01/' || key || '_ride.pdf' END,
           CASE WHEN NOT pending THEN repeat('0', 64) END,
           CASE WHEN NOT pending THEN now() - interval '1 day' END, NULL
    FROM (SELECT n, n %% %(step)s = 1 AS pending, lpad(n::text, 49, '0') AS key
          FROM generate_series(1, %(invoices)s) n) made
"""


def _pending_for(at_once: int) -> int:
    return round(FLIGHT_S / FLIGHT_ANSWER_S) * at_once


def _add_tenants(connection: psycopg.Connection[Any]) -> None:
    connection.cursor().executemany(
        "INSERT INTO tenants (id, ruc, name, environment) VALUES (%s, %s, %s, 'test')",
        [(number, documents.ruc(number), f"Tenant {number}") for number in range(1, _TENANTS + 1)],
    )


def _read_due(connection: psycopg.Connection[Any], limit: int) -> None:
    store.QUEUE.read_due_of(connection, store.QUEUE.read_due(connection, limit=limit)[0])


def _tick(connection: psycopg.Connection[Any], *, due: bool) -> None:
    row = connection.execute("SELECT jobsync_tick(%s)", [_CHECK]).fetchone()
    assert row == (due,), row


def _median_ms(call: Callable[[], object], times: int) -> float:
    took = []
    for _ in range(times + 2):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return statistics.median(took[2:]) * 1000


@dataclass(frozen=True)
class _Plan:
    """Median execution time in the server, and the nodes with their depth."""

    ms: float
    nodes: list[tuple[int, str]]


def _explain(connection: psycopg.Connection[Any], query: str, parameters: dict[str, Any], times: int = 15) -> _Plan:
    took, top = [], {}
    for number in range(times + 2):
        row = connection.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}".encode(), parameters).fetchone()
        assert row is not None
        top = row[0][0]
        if number >= 2:
            took.append(top["Execution Time"])
    return _Plan(statistics.median(took), list(_nodes(top["Plan"], 0)))


def _nodes(node: dict[str, Any], depth: int) -> Iterator[tuple[int, str]]:
    by = f" by {node['Index Name']}" if "Index Name" in node else ""
    on = f" on {node['Relation Name']}" if "Relation Name" in node else ""
    yield depth, f"{node['Node Type']}{on}{by}: {node['Actual Rows']:g} rows"
    for child in node.get("Plans", ()):
        yield from _nodes(child, depth + 1)


def _least_gap(arrivals: Iterable[float]) -> float:
    ordered = sorted(arrivals)
    return min(later - earlier for earlier, later in itertools.pairwise(ordered))
