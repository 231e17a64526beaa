"""What it costs to be woken when nothing is due, as a multiple of starting Python."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import environment, measure, postgres
from benchmarks.measure import ROOT, Command, Results, bare_environment, measured

_BASE = "python -c pass"
_OURS = "jobsync stock-sync --scheduled, nothing due"
_CHECK = "jobsync check-authorizations --scheduled, nothing due"
_CONFIGURATION = """
repositories:
    - path: {folder}/repository
source_directories:
    - {folder}
"""


def run(folder: Path, *, runs: int = 15) -> str:
    """Measure and return the report."""
    versions = environment.ensure()
    with postgres.running(folder) as database:
        database.make_jobsync("tick", 50)
        procrastinate_url = database.fresh("procrastinate")
        configuration = folder / "borgmatic.yaml"
        configuration.write_text(_CONFIGURATION.format(folder=folder))
        plain = bare_environment(folder)
        ours = postgres.jobsync_environment(folder, database.url("tick"), "http://127.0.0.1:9/")
        theirs = {**plain, "PYTHONPATH": str(ROOT), "BENCH_DATABASE_URL": procrastinate_url}
        bin_folder = environment.VENV / "bin"
        procrastinate: Command = [bin_folder / "procrastinate", "--app", "benchmarks.peers.procrastinate_app.app"]
        cases: dict[str, tuple[Command, dict[str, str]]] = {
            _BASE: ([sys.executable, "-c", "pass"], plain),
            _OURS: ([ROOT / ".venv" / "bin" / "jobsync", "stock-sync", "--scheduled"], ours),
            _CHECK: ([ROOT / ".venv" / "bin" / "jobsync", "check-authorizations", "--scheduled"], ours),
            "procrastinate healthchecks": ([*procrastinate, "healthchecks"], theirs),
            "procrastinate worker --one-shot, nothing queued": ([*procrastinate, "worker", "--one-shot"], theirs),
            "procrastinate --help": ([bin_folder / "procrastinate", "--help"], plain),
            "borgmatic --version": ([bin_folder / "borgmatic", "--version"], plain),
            "borgmatic config validate": (
                [bin_folder / "borgmatic", "--config", configuration, "config", "validate"],
                plain,
            ),
        }
        measured([*procrastinate, "schema", "--apply"], theirs, folder)
        for command, environ in cases.values():  # bytecode, page cache; ours: the first sight of each dealership
            measured(command, environ, folder)
        started = database.ask("tick", "SELECT count(*) FROM job_runs")
        results = Results()
        for number in range(runs):
            if number % 5 == 0:
                measure.note(f"tick {number + 1} of {runs}")
            for name, (command, environ) in cases.items():
                results.costs.setdefault(name, []).append(measured(command, environ, folder))
        more = database.ask("tick", "SELECT count(*) FROM job_runs")[0][0] - started[0][0]
        shown = {name: versions[name] for name in ("procrastinate", "borgmatic")}
        machine = measure.machine({"PostgreSQL": database.version, **shown})
    lines = ["## Idle tick", "", machine, "", measure.table(_HEADS, _rows(results))]
    if more:
        lines += ["", f"Not idle: {more} of {runs} ticks of jobsync began a run."]
    return "\n".join(lines)


_HEADS = ("case", "wall ms", "least", "CPU ms", "peak MB", f"x {_BASE}", "x jobsync", "runs")


def _rows(results: Results) -> list[list[str]]:
    base, ours = results.median(_BASE), results.median(_OURS)
    return [
        [
            case,
            f"{results.median(case) * 1000:.0f}",
            f"{min(cost.wall_s for cost in costs) * 1000:.0f}",
            f"{results.median(case, measure.cpu) * 1000:.0f}",
            f"{results.median(case, measure.rss):.0f}",
            f"{results.median(case) / base:.1f}",
            f"{results.median(case) / ours:.1f}",
            str(len(costs)),
        ]
        for case, costs in results.costs.items()
    ]
