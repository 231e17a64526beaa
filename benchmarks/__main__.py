"""`python -m benchmarks [PART...]`: measure all or those named (`--help` lists them), and print markdown tables."""

from __future__ import annotations

import argparse
import compileall
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks import failover, measure, memory, operate, ride, sri, sync, tick

ALL = ("tick", "ride", "memory", "operate", "sri", "sync")
BESIDE = ("failover",)  # only where it is named: it measures nothing but proves something


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="PART", help="which to measure (default: all)")
    parser.add_argument("--runs", type=_positive, default=3, help="runs of each case (default 3)")
    parser.add_argument("--dealerships", type=_positive, default=200, help="sync: dealerships (default 200)")
    parser.add_argument("--vehicles", type=_positive, default=500, help="sync: vehicles of each (default 500)")
    parser.add_argument(
        "--script-dealerships", type=_positive, default=20, help="sync: dealerships of the slow script (default 20)"
    )
    parser.add_argument("--large", type=_positive, default=20_000, help="memory: vehicles (default 20000)")
    parser.add_argument("--ticks", type=_positive, default=15, help="tick: runs of each case (default 15)")
    parser.add_argument("--pages", type=_positive, default=10, help="ride: pages of a slow case's batch (default 10)")
    parser.add_argument("--lines", type=_positive, default=20, help="ride: lines of the invoice (default 20)")
    parser.add_argument("--documents", type=_positive, default=1000, help="ride: of the memory run (default 1000)")
    parser.add_argument("--minutes", type=float, default=3.0, help="sri: how long ticks and loop settle (default 3)")
    parser.add_argument("--calls", type=_positive, default=1000, help="sri: calls a client makes (default 1000)")
    parser.add_argument("--invoices", type=_positive, default=1_000_000, help="sri: invoices (default 1000000)")
    parser.add_argument(
        "--promotions", type=_positive, default=10, help="failover: of each kind of standby (default 10)"
    )
    parser.add_argument(
        "--folder", type=Path, help="an existing folder for bodies and database (default: a temporary one)"
    )
    options = parser.parse_args()
    if unknown := set(options.what) - {*ALL, *BESIDE}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected {', '.join((*ALL, *BESIDE))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # bodies and database go in any case
    compileall.compile_dir(measure.ROOT / "src", quiet=1)  # an installed program has its bytecode
    size = sync.Size(options.runs, options.dealerships, options.vehicles, options.script_dealerships)
    for what in (*ALL, *BESIDE):
        if what not in (options.what or ALL):
            continue
        with tempfile.TemporaryDirectory(prefix="jobsync-bench-", dir=options.folder) as folder:
            if what == "sync":
                report = sync.run(Path(folder), size)
            elif what == "ride":
                pages = ride.Size(max(options.runs, 3), options.pages, options.lines, options.documents)
                report = ride.run(Path(folder), pages)
            elif what == "memory":
                report = memory.run(Path(folder), runs=options.runs, vehicles=options.large)
            elif what == "sri":
                report = sri.run(
                    Path(folder),
                    sri.Size(options.runs, minutes=options.minutes, calls=options.calls, invoices=options.invoices),
                )
            elif what == "failover":
                report = failover.run(Path(folder), rounds=options.promotions)
            elif what == "operate":
                report = operate.run(Path(folder), runs=options.runs)
            else:
                report = tick.run(Path(folder), runs=options.ticks)
        print(report, end="\n\n", flush=True)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected at least 1")
    return number


if __name__ == "__main__":
    main()
