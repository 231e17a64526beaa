"""`python -m benchmarks [sync|memory|tick|operate]`: measure one or all, and print markdown tables."""

from __future__ import annotations

import argparse
import compileall
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks import measure, memory, operate, sync, tick

ALL = ("tick", "memory", "sync", "operate")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="sync|memory|tick|operate", help="which to measure (default: all)")
    parser.add_argument("--runs", type=_positive, default=3, help="runs of each case of sync and memory (default 3)")
    parser.add_argument("--dealerships", type=_positive, default=200, help="sync: dealerships (default 200)")
    parser.add_argument("--vehicles", type=_positive, default=500, help="sync: vehicles of each (default 500)")
    parser.add_argument(
        "--script-dealerships", type=_positive, default=20, help="sync: dealerships of the slow script (default 20)"
    )
    parser.add_argument("--large", type=_positive, default=20_000, help="memory: vehicles (default 20000)")
    parser.add_argument("--ticks", type=_positive, default=15, help="tick: runs of each case (default 15)")
    parser.add_argument(
        "--folder", type=Path, help="an existing folder for bodies and database (default: a temporary one)"
    )
    options = parser.parse_args()
    if unknown := set(options.what) - set(ALL):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected sync, memory, tick or operate")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # bodies and database go in any case
    compileall.compile_dir(measure.ROOT / "src", quiet=1)  # an installed program has its bytecode
    size = sync.Size(options.runs, options.dealerships, options.vehicles, options.script_dealerships)
    for what in ALL:
        if what not in (options.what or ALL):
            continue
        with tempfile.TemporaryDirectory(prefix="jobsync-bench-", dir=options.folder) as folder:
            if what == "sync":
                report = sync.run(Path(folder), size)
            elif what == "memory":
                report = memory.run(Path(folder), runs=options.runs, vehicles=options.large)
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
