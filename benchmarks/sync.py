"""Three nights of many dealerships: the first load, nothing changed, 2 % changed; beside what others would use."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks import environment, measure, postgres
from benchmarks.feed import Feed, make_feed
from benchmarks.measure import ROOT, Command, Cost, Results, bare_environment, measured
from benchmarks.postgres import WRITTEN_TABLES, Postgres
from benchmarks.server import Running, serving

WORKERS = 4
LATENCY_S = 0.05
CHANGED = 0.02
NIGHTS = {"first load": "first", "no change": "first", "2 % changed": "changed"}
DLT_STRATEGIES = ("delete-insert", "upsert")
DLT_FILE_FORMAT = "csv"  # loaded with COPY: less CPU and memory here than its default
_PEERS = Path(__file__).with_name("peers")


@dataclass(frozen=True)
class Size:
    """How much of it; `script_dealerships` is what the slow script works on before it is scaled."""

    runs: int = 3
    dealerships: int = 200
    vehicles: int = 500
    script_dealerships: int = 20


def run(folder: Path, size: Size) -> str:
    """Measure everything and return the report."""
    versions = environment.ensure()
    measure.note(f"writing {size.dealerships} x {size.vehicles} vehicles")
    feed = make_feed(folder / "bodies", size.dealerships, size.vehicles, first=0.0, changed=CHANGED)
    with serving(feed.folder, LATENCY_S) as server:
        bench = _Bench(folder, size, feed, server)
        for number in range(size.runs):
            measure.note(f"run {number + 1} of {size.runs}")
            bench.round()
        shown = {name: versions[name] for name in ("dlt", "requests", "SQLAlchemy")}
        machine = measure.machine({"PostgreSQL": bench.postgres_version, **shown})
    return bench.report(machine)


class _Bench:
    """
    One run of everything after another.

    Each contender has a database server of its own, with the same programs and settings, that runs only while that
    contender works: what one leaves behind (dead rows for autovacuum, pages to be written) costs no other anything.
    Between two nights lies a day, in which autovacuum has done its work for each.
    """

    def __init__(self, folder: Path, size: Size, feed: Feed, server: Running) -> None:
        self.folder, self.size, self.feed, self.server = folder, size, feed, server
        self.results = Results()
        self.scaled: dict[str, list[Cost]] = {}
        self.written: dict[str, int] = {}
        self.strategies = list(DLT_STRATEGIES)
        self.environ = bare_environment(folder)
        for contender in ("jobsync", "script"):
            with self._server(contender) as database:
                database.make_jobsync("template_jobsync", size.dealerships)
                self.postgres_version = database.version

    @contextmanager
    def _server(self, contender: str) -> Iterator[Postgres]:
        home = self.folder / "servers" / contender
        home.mkdir(parents=True, exist_ok=True)
        with postgres.running(home) as database:
            yield database
        os.sync()  # what it left to be written

    def round(self) -> None:
        """Measure every case once; after the first round dlt goes on with the faster of its strategies."""
        contenders = ["jobsync", "script", *(f"dlt-{strategy}" for strategy in self.strategies)]
        for contender in contenders:
            with self._server(contender) as database:
                database.fresh("stock", "template1" if contender.startswith("dlt") else "template_jobsync")
        state = {strategy: self._new_folder(f"dlt-{strategy}") for strategy in self.strategies}
        for night, version in NIGHTS.items():
            self.server.version(version)
            self._ours(night, version)
            if night == "first load":
                self._copy(connections=1)
                self._copy(connections=WORKERS)
            self._fetch(night)
            for strategy in self.strategies:
                self._dlt(night, version, strategy, state[strategy])
            self._script(night)
            for contender in contenders:
                with self._server(contender) as database:
                    database.vacuum("stock")
        if len(self.strategies) > 1:
            self.strategies = [min(self.strategies, key=self._dlt_total)]

    def _dlt_total(self, strategy: str) -> float:
        return sum(self.results.median(f"dlt {strategy}, {night}") for night in NIGHTS)

    def _new_folder(self, name: str) -> Path:
        number = len(list(self.folder.glob(f"{name}-*")))
        path = self.folder / f"{name}-{number}"
        path.mkdir()
        return path

    # --- the cases ---------------------------------------------------------------------------------------------------

    def _ours(self, night: str, version: str) -> None:
        command: Command = [ROOT / ".venv" / "bin" / "jobsync", "stock-sync", "--concurrency", str(WORKERS)]
        with self._server("jobsync") as database:
            environ = postgres.jobsync_environment(self.folder, database.url("stock"), self.server.url)
            before = database.rows_written("stock")
            cost = self._measured(command, environ)
            self.written[f"jobsync, {night}"] = database.rows_written("stock") - before
            found = database.ask(
                "stock", "SELECT count(*), coalesce(sum(price), 0) FROM vehicles WHERE status <> 'removed'"
            )
        self._check(f"jobsync, {night}", found[0], version)
        self.results.add(f"jobsync, {night}", cost)

    def _fetch(self, night: str) -> None:
        if night == "2 % changed":
            return
        arguments = [self.server.url, str(self.size.dealerships), str(WORKERS)]
        cost = self._measured([sys.executable, _PEERS / "fetch_only.py", *arguments], self.environ)
        self.results.add("only fetching", cost)

    def _dlt(self, night: str, version: str, strategy: str, state: Path) -> None:
        with self._server(f"dlt-{strategy}") as database:
            arguments = [self.server.url, str(self.size.dealerships), str(WORKERS)]
            arguments += ["stock", database.libpq_host(), str(state), strategy, DLT_FILE_FORMAT]
            cost = self._measured([environment.PYTHON, _PEERS / "dlt_merge.py", *arguments], self.environ)
            found = database.ask("stock", "SELECT count(*), coalesce(sum(price), 0) FROM bench.stock")
        self._check(f"dlt {strategy}, {night}", found[0], version)
        self.results.add(f"dlt {strategy}, {night}", cost)

    def _script(self, night: str) -> None:
        part = min(self.size.script_dealerships, self.size.dealerships)
        with self._server("script") as database:
            arguments = [self.server.url, database.url("stock"), str(part)]
            cost = self._measured([environment.PYTHON, _PEERS / "orm_script.py", *arguments], self.environ, bodies=part)
            found = database.ask("stock", "SELECT count(*) FROM vehicles")
        assert found[0][0] == part * self.size.vehicles, found
        name = f"requests + ORM script, {part} dealerships, {night}"
        self.results.add(name, cost)
        loop = json.loads(cost.output.splitlines()[-1])
        more = self.size.dealerships / part - 1
        scaled = replace(cost, wall_s=cost.wall_s + loop["wall_s"] * more, cpu_s=cost.cpu_s + loop["cpu_s"] * more)
        self.scaled.setdefault(night, []).append(scaled)

    def _copy(self, *, connections: int) -> None:
        with self._server("jobsync") as database:
            parts = self._prepared(database, connections)
            database.fresh("raw", "template_jobsync")
        with self._server("jobsync") as database:
            command: Command = [sys.executable, _PEERS / "raw_copy.py", database.url("raw"), parts]
            cost = measured(command, self.environ, self.folder)
            found = database.ask("raw", "SELECT count(*), coalesce(sum(price), 0) FROM vehicles")
        self._check("raw COPY", found[0], "first")
        self.results.add(f"raw COPY, {connections} connection{'s' if connections > 1 else ''}", cost)

    def _prepared(self, database: Postgres, connections: int) -> Path:
        """Write what jobsync has just loaded as COPY text, in as many parts as there will be connections."""
        folder = self.folder / f"copy-{connections}"
        if folder.exists():
            return folder
        folder.mkdir()
        with psycopg.connect(database.url("stock")) as connection:
            of = {
                "vehicles": sql.SQL("FROM vehicles t WHERE dealership_id = {} ORDER BY id"),
                "easycar_stock_data": sql.SQL(
                    "FROM easycar_stock_data t JOIN vehicles v ON v.id = t.vehicle_id WHERE v.dealership_id = {}"
                    " ORDER BY t.id"
                ),
            }
            columns = {table: _stored_columns(connection, table) for table in WRITTEN_TABLES}
            for (dealership,) in connection.execute("SELECT id FROM dealerships ORDER BY id").fetchall():
                part = folder / str(dealership % connections)
                part.mkdir(exist_ok=True)
                for table in WRITTEN_TABLES:
                    query = sql.SQL("COPY (SELECT {} {}) TO STDOUT").format(
                        columns[table], of[table].format(sql.Literal(dealership))
                    )
                    with (
                        (part / f"{dealership:06}.{table}").open("wb") as stream,
                        connection.cursor().copy(query) as copy,
                    ):
                        for block in copy:
                            stream.write(block)
        return folder

    def _measured(self, command: Command, environ: dict[str, str], *, bodies: int | None = None) -> Cost:
        """Measure a program and make sure that it fetched every body exactly once."""
        self.server.sent()
        cost = measured(command, {**environ, "PYTHONPATH": str(ROOT)}, self.folder)
        sent, expected = self.server.sent(), bodies or self.size.dealerships
        if sent != expected:
            raise SystemExit(
                f"benchmarks: {command[1]} fetched {sent} bodies, expected {expected}:\n{cost.output[-3000:]}"
            )
        return cost

    def _check(self, case: str, found: tuple[object, ...], version: str) -> None:
        """Every way must leave the same vehicles at the same prices."""
        rows, price = self.feed.sums[version]
        if found[0] != rows or abs(float(str(found[1])) - price) > 1:
            raise SystemExit(f"benchmarks: {case} left {found}, expected {rows} vehicles, prices {price}")

    # --- the report --------------------------------------------------------------------------------------------------

    def report(self, machine: str) -> str:
        """Return the tables."""
        size, megabytes = self.size, self.feed.body_bytes / 1e6
        part = min(size.script_dealerships, size.dealerships)
        shape = (
            f"{size.dealerships} dealerships x {size.vehicles} vehicles ({megabytes:.0f} MB of JSON), "
            f"{LATENCY_S * 1000:.0f} ms latency, {WORKERS} fetchers (the script: 1). Whole processes; medians."
        )
        lines = [
            "## Stock sync",
            "",
            machine,
            "",
            shape,
            "",
            measure.table(measure.CASE_HEADS, self.results.rows()),
            "",
            f"The script was run on {part} dealerships; its ratios are scaled to {size.dealerships}.",
            "",
            measure.table(("peer against jobsync", "wall", "CPU", "peak memory"), self._ratios()),
            "",
            measure.table(
                ("rows written to the two tables of stock", "rows"),
                [[case, str(rows)] for case, rows in self.written.items()],
            ),
        ]
        return "\n".join(lines)

    def _ratios(self) -> list[list[str]]:
        strategy = self.strategies[0]
        rows = []
        for night in NIGHTS:
            ours = f"jobsync, {night}"
            rows.append(self._ratio(f"dlt ({strategy}), {night}", self.results.costs[f"dlt {strategy}, {night}"], ours))
            rows.append(self._ratio(f"requests + ORM script, {night}", self.scaled[night], ours))
        raw = [case for case in self.results.costs if case.startswith("raw COPY")]
        rows += [self._ratio(case, self.results.costs[case], "jobsync, first load") for case in raw]
        rows.append(
            self._ratio("only fetching, against no change", self.results.costs["only fetching"], "jobsync, no change")
        )
        return rows

    def _ratio(self, label: str, peer: list[Cost], ours: str) -> list[str]:
        each = Results()
        each.costs = {"peer": peer, "ours": self.results.costs[ours]}
        kinds: list[Callable[[Cost], float]] = [lambda cost: cost.wall_s, measure.cpu, measure.rss]
        return [label, *(f"{each.median('peer', of) / each.median('ours', of):.2f}x" for of in kinds)]


def _stored_columns(connection: psycopg.Connection[tuple[str]], table: str) -> sql.Composed:
    """Return the columns that COPY takes: what the database generates is not given to it."""
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' ORDER BY attnum",
        [table],
    ).fetchall()
    return sql.SQL(", ").join(sql.Identifier("t", name) for (name,) in rows)
