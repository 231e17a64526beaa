"""jobsync: from the XML's bytes to the PDF's, reading the document anew each time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.peers.ride_loop import main


def prepare(folder: Path, _document: dict[str, Any]) -> Callable[[], bytes]:
    """Return what prints the document once."""
    from jobsync.fiscal.read import read_document
    from jobsync.ride.model import Logo, Stamp
    from jobsync.ride.render import render

    xml, picture = (folder / "document.xml").read_bytes(), (folder / "logo.png").read_bytes()
    stamp = Stamp("AUTORIZADO", None, datetime(2026, 3, 16, 14, 5, 9, tzinfo=UTC))
    return lambda: render(read_document(xml), stamp, logo=Logo(picture)).data


if __name__ == "__main__":
    main("jobsync", prepare)
