"""One very large dealership: the peak memory of its first load, of nothing changed, of everything changed."""

from __future__ import annotations

from pathlib import Path

from benchmarks import measure, postgres
from benchmarks.feed import make_feed
from benchmarks.measure import ROOT, Results, measured
from benchmarks.server import serving

NIGHTS = {"first load": "first", "no change": "first", "everything changed": "changed"}


def run(folder: Path, *, runs: int = 3, vehicles: int = 20_000) -> str:
    """Measure and return the report."""
    feed = make_feed(folder / "large-body", 1, vehicles, first=0.0, changed=1.0)
    results = Results()
    with serving(feed.folder, 0.0) as server, postgres.running(folder) as database:
        database.make_jobsync("template_large", 1)
        for _ in range(runs):
            url = database.fresh("large", "template_large")
            for night, version in NIGHTS.items():
                server.version(version)
                environ = postgres.jobsync_environment(folder, url, server.url)
                cost = measured([ROOT / ".venv" / "bin" / "jobsync", "stock-sync"], environ, folder)
                found = database.ask("large", "SELECT count(*), coalesce(sum(price), 0) FROM vehicles")[0]
                rows, price = feed.sums[version]
                assert found[0] == rows, (found, rows)
                assert abs(float(found[1]) - price) < 1, (found, price)
                results.add(night, cost)
        machine = measure.machine({"PostgreSQL": database.version})
    body_mb = feed.body_bytes / 1e6
    rows_shown = [
        [*row, f"{results.median(case, measure.rss) / body_mb:.1f}x"]
        for case, row in zip(results.costs, results.rows(), strict=True)
    ]
    return "\n".join(
        [
            "## Memory",
            "",
            machine,
            "",
            f"One dealership with {vehicles} vehicles in one body of {body_mb:.0f} MB.",
            "",
            measure.table((*measure.CASE_HEADS, "peak / body"), rows_shown),
        ]
    )
