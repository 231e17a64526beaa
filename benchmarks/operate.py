"""What it costs to ask how things stand, over a long history."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import measure, postgres
from benchmarks.measure import ROOT, Command, Results, measured


@dataclass(frozen=True)
class History:
    """How much history there is; spread over `days`, up to now."""

    runs: int = 100_000
    dealerships: int = 200
    invoices: int = 50_000
    tenants: int = 40
    days: int = 60


_SEED = """
INSERT INTO dealerships (name, timezone) SELECT 'Dealer ' || n, 'Australia/Sydney' FROM generate_series(1, {dealerships}) n;
INSERT INTO easycar_credentials (dealership_id, client_id_encrypted, client_secret_encrypted, account_number_encrypted,
    account_secret_encrypted, environment) SELECT id, '', '', '', '', 'Test' FROM dealerships;
INSERT INTO sync_schedule (dealership_id, cron, timezone, seen, first_seen_at, next_at, last_success_at, attempt)
SELECT id, '0 2 * * *', 'Australia/Sydney', '0 2 * * * @ Australia/Sydney', now() - interval '{days} days',
    date_trunc('day', now()) + interval '1 day 2 hours',
    CASE WHEN id % 40 = 0 THEN now() - interval '5 days' ELSE now() - interval '5 hours' END, 0 FROM dealerships;

-- nights: one run of all dealerships each, then the frequent jobs
INSERT INTO job_runs (id, job, trigger, host, pid, version, status, exit_code, started_at, finished_at, counts)
SELECT gen_random_uuid(), 'stock-sync', 'timer', 'app1', 100, '0.1.0', CASE WHEN n % 9 = 0 THEN 'partial' ELSE 'succeeded' END,
    CASE WHEN n % 9 = 0 THEN 3 ELSE 0 END, night, night + make_interval(secs => 40 + n % 50),
    '{{"eligible": {dealerships}, "succeeded": {dealerships}}}'
FROM (SELECT n, now() - n * interval '1 day' - interval '5 hours' AS night FROM generate_series(0, {days} - 1) n) nights;
INSERT INTO job_items (run_id, item_key, label, status, started_at, duration_ms, error)
SELECT r.id, d.id::text, d.name, CASE WHEN bad THEN 'failed' ELSE 'success' END, r.started_at, 200 + d.id,
    CASE WHEN bad THEN 'EasyCars: no whole answer within ' || (d.id % 50) || ' s' END
FROM job_runs r CROSS JOIN dealerships d CROSS JOIN LATERAL (
    SELECT d.id % 40 = 0 AND r.started_at > now() - interval '5 days' OR (hashtext(r.id::text || d.id) % 97 = 0) AS bad) b
WHERE r.job = 'stock-sync';
INSERT INTO easycar_sync_logs (dealership_id, run_id, status, started_at, synced_at, duration_ms, items_processed,
    error_messages)
SELECT i.item_key::bigint, i.run_id, CASE WHEN i.status = 'failed' THEN 'Failed' ELSE 'Success' END, i.started_at,
    i.started_at, i.duration_ms, 300, CASE WHEN i.error IS NULL THEN '[]' ELSE jsonb_build_array(i.error) END
FROM job_items i;
INSERT INTO job_runs (id, job, trigger, host, pid, version, status, exit_code, started_at, finished_at, counts, error)
SELECT gen_random_uuid(), CASE WHEN n % 6 = 0 THEN 'generate-ride' ELSE 'check-authorizations' END, 'timer', 'app1', n % 30000,
    '0.1.0', CASE WHEN n % 61 = 0 THEN 'failed' WHEN n % 29 = 0 THEN 'partial' ELSE 'succeeded' END,
    CASE WHEN n % 61 = 0 THEN 1 WHEN n % 29 = 0 THEN 3 ELSE 0 END, began, began + make_interval(secs => 0.4 + (n % 100) / 20.0),
    '{{"eligible": 5, "succeeded": 5}}', CASE WHEN n % 61 = 0 THEN 'SRI: HTTP 503 after ' || n || ' ms' END
FROM (SELECT n, now() - n * ({days} * interval '1 day' / ({runs} - {days})) AS began
      FROM generate_series(1, {runs} - {days}) n) frequent;
INSERT INTO job_items (run_id, item_key, label, status, started_at, duration_ms, error)
SELECT id, lpad(pid::text, 49, '0'), NULL, 'failed', started_at, 15000, 'cel.sri.gob.ec: no whole answer within 15 s'
FROM job_runs WHERE job <> 'stock-sync' AND status IN ('failed', 'partial');

INSERT INTO tenants (ruc, name) SELECT lpad(n::text, 13, '0'), 'Tenant ' || n FROM generate_series(1, {tenants}) n;
INSERT INTO invoices (tenant_id, document_type, access_key, status, submitted_at, next_check_at, check_count, authorized_at,
    ride_path, ride_sha256, ride_generated_at, ride_next_at, attention_since, created_at)
SELECT 1 + n % {tenants}, '01', lpad(n::text, 49, '0'), state, sent,
    CASE WHEN state = 'pending_authorization' THEN now() + make_interval(secs => n % 900 - 450) END, 2,
    CASE WHEN state = 'authorized' THEN sent + make_interval(secs => 20 + n % 290) END,
    CASE WHEN drawn THEN 'x.pdf' END, CASE WHEN drawn THEN 'x' END,
    CASE WHEN drawn THEN sent + make_interval(secs => 80 + n % 320) END, sent + interval '1 minute',
    CASE WHEN state = 'needs_attention' THEN sent + interval '1 day' END, sent
FROM (SELECT n, state, sent, state = 'authorized' AND n % 50 <> 0 AS drawn FROM (
    SELECT n, now() - n * ({days} * interval '1 day' / {invoices}) AS sent,
        CASE WHEN n % 200 = 0 THEN 'needs_attention' WHEN n % 70 = 0 THEN 'rejected' WHEN n < {invoices} / 100
             THEN 'pending_authorization' ELSE 'authorized' END AS state
    FROM generate_series(1, {invoices}) n) made) known;
INSERT INTO sri_events (tenant_id, invoice_id, at, kind, code, http_status, duration_ms)
SELECT i.tenant_id, i.id, i.submitted_at + make_interval(secs => turn * 20 + i.id % 30),
    CASE WHEN turn < 2 THEN CASE WHEN i.id % 90 = 0 THEN 'fault' ELSE 'pending' END
         WHEN i.status = 'pending_authorization' THEN 'pending' ELSE i.status END,
    'in_process', 200, 180 + (i.id * 7 + turn * 31) % 900
FROM invoices i CROSS JOIN generate_series(0, 2) turn;
INSERT INTO jobs (name, last_tick_at, last_started_at, last_finished_at, last_success_at, last_status)
SELECT name, now() - interval '10 seconds', now() - interval '60 seconds', now() - interval '50 seconds',
    now() - interval '50 seconds', 'succeeded' FROM unnest(ARRAY['stock-sync', 'check-authorizations', 'generate-ride']) name;
INSERT INTO run_locks (name, fence) SELECT 'stock-sync:dealership:' || id, 60 FROM dealerships;
ANALYZE;
"""


def seed(url: str, size: History) -> None:
    """Fill a database that has the schema and nothing else with a history."""
    script = _SEED.format(**vars(size))
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())


_HEADS = ("command", "wall ms", "least", "CPU ms", "peak MB", "runs")


def run(folder: Path, *, runs: int = 5, size: History | None = None) -> str:
    """Measure and return the report."""
    size = size or History()
    with postgres.running(folder) as database:
        database.make_jobsync("operate", 0)
        seed(database.url("operate"), size)
        database.settle()
        environ = {
            **postgres.jobsync_environment(folder, database.url("operate"), "http://127.0.0.1:9/"),
            "STATE_DIRECTORY": str(folder),
        }
        jobsync = ROOT / ".venv" / "bin" / "jobsync"
        cases: dict[str, Command] = {
            "jobsync --version": [jobsync, "--version"],
            "jobsync status": [jobsync, "status"],
            "jobsync health": [jobsync, "health"],
            "jobsync health --act": [jobsync, "health", "--act"],
            "jobsync metrics -o FILE": [jobsync, "metrics", "-o", folder / "jobsync.prom"],
            "jobsync report -o FILE (30 days)": [jobsync, "report", "-o", folder / "report.html"],
            "jobsync runs list --failed": [jobsync, "runs", "list", "--failed"],
        }
        results = Results()
        for _ in range(runs + 1):
            for name, command in cases.items():
                cost = measured(command, environ, folder, may_fail=True)
                results.costs.setdefault(name, []).append(cost)
        machine = measure.machine({"PostgreSQL": database.version})
        page = (folder / "report.html").stat().st_size
    for costs in results.costs.values():
        del costs[0]  # bytecode, page cache
    rows = [
        [
            name,
            f"{results.median(name) * 1000:.0f}",
            f"{min(cost.wall_s for cost in costs) * 1000:.0f}",
            f"{results.median(name, measure.cpu) * 1000:.0f}",
            f"{results.median(name, measure.rss):.0f}",
            str(len(costs)),
        ]
        for name, costs in results.costs.items()
    ]
    words = (
        f"{size.runs} runs, {size.dealerships} dealerships, {size.invoices} documents with {3 * size.invoices} events,"
        f" over {size.days} days; the page has {page // 1024} kB."
    )
    return "\n".join(["## How things stand", "", machine, "", words, "", measure.table(_HEADS, rows)])
