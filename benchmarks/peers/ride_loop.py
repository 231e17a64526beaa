"""What every way of printing is put through: one document, then many, in one process. Standard library only."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def rss_mb() -> float:
    """Peak resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(name: str, prepare: Callable[[Path, dict[str, Any]], Callable[[], bytes]]) -> None:
    """
    Run `FOLDER COUNT` and print what it took as JSON.

    Args:
        prepare: takes the folder and the document as plain data, returns what prints it once.
    """
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    draw = prepare(folder, json.loads((folder / "document.json").read_text()))
    data = draw()
    (folder / f"{name}.pdf").write_bytes(data)
    times, early = [], 0.0
    for number in range(count):
        start = time.perf_counter()
        draw()
        times.append(time.perf_counter() - start)
        if number == min(99, count - 1):
            early = rss_mb()
    print(json.dumps({"times": times, "bytes": len(data), "early_mb": early, "late_mb": rss_mb()}))
