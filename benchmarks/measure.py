"""Run a program, keep what it cost, and print tables."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LAUNCH = Path(__file__).with_name("launch.py")


Command = Sequence[str | Path]


@dataclass(frozen=True)
class Cost:
    """One process from spawn (an instant of the monotonic clock) to exit; memory is its peak resident set."""

    wall_s: float
    cpu_s: float
    rss_mb: float
    output: str = field(repr=False)
    started: float = 0.0


def measured(command: Command, environ: Mapping[str, str], folder: Path, *, may_fail: bool = False) -> Cost:
    """
    Run a program to its end.

    Raises:
        SystemExit: it failed; its last lines are in the message.
    """
    log = folder / "output.log"
    arguments = [str(part) for part in command]
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(_LAUNCH), str(log), *arguments],
        env=dict(environ),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    cost = json.loads(done.stdout)
    output = log.read_text(errors="replace")
    if cost["code"] != 0 and not may_fail:
        raise SystemExit(f"benchmarks: {' '.join(arguments)} ended with {cost['code']}:\n{output[-3000:]}")
    return Cost(cost["wall_s"], cost["cpu_s"], cost["rss_mb"], output, cost["started"])


def bare_environment(home: Path) -> dict[str, str]:
    """Return an environment with no setting of whoever runs this."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8"}


class Results:
    """Costs by case, in the order in which cases were first measured."""

    def __init__(self) -> None:
        self.costs: dict[str, list[Cost]] = {}

    def add(self, case: str, cost: Cost) -> None:
        """Keep a measurement and say so, for whoever waits."""
        self.costs.setdefault(case, []).append(cost)
        note(f"{case}: {cost.wall_s:.2f} s, {cost.cpu_s:.2f} s CPU, {cost.rss_mb:.0f} MB")

    def median(self, case: str, of: Callable[[Cost], float] = lambda cost: cost.wall_s) -> float:
        """Return a case's median; wall seconds if nothing else is asked for."""
        return statistics.median(of(cost) for cost in self.costs[case])

    def rows(self) -> list[list[str]]:
        """Return a row for each case: wall median, its range, CPU, memory, number of runs."""
        return [
            [
                case,
                f"{self.median(case):.2f}",
                f"{min(c.wall_s for c in costs):.2f}–{max(c.wall_s for c in costs):.2f}",
                f"{self.median(case, cpu):.2f}",
                f"{self.median(case, rss):.0f}",
                str(len(costs)),
            ]
            for case, costs in self.costs.items()
        ]


def cpu(cost: Cost) -> float:
    """CPU seconds, user and system."""
    return cost.cpu_s


def rss(cost: Cost) -> float:
    """Peak memory in MB."""
    return cost.rss_mb


CASE_HEADS = ("case", "wall s", "range", "CPU s", "peak MB", "runs")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def note(text: str) -> None:
    """Say on standard error what goes on."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def machine(versions: Mapping[str, str]) -> str:
    """Return one line on when, on what and with what this was measured."""
    cpu_name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        cpu_name = named[0] if named else cpu_name
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [
        time.strftime("%Y-%m-%d"),
        cpu_name,
        f"{os.cpu_count()} cores",
        f"{memory:.0f} GiB",
        f"{platform.system()} {platform.release()}",
        f"load {os.getloadavg()[0]:.1f} at the end",
        f"Python {platform.python_version()}",
        *(f"{name} {version}" for name, version in versions.items()),
    ]
    return "; ".join(parts)
