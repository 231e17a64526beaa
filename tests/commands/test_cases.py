"""Stock-sync cases that nobody here wrote, played black box: a fake EasyCars, the real command, a real Postgres."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "easycars" / "cases"
CASES = sorted(path.stem for path in FOLDER.glob("*.json"))


def server_of(url: str) -> str:
    """Return a server's URL without a database, its socket folder percent-encoded in the place of the host."""
    parts = urlsplit(url)
    found = parse_qs(parts.query)
    port = f":{found['port'][0]}" if "port" in found else ""
    return f"postgresql://{parts.username}@{quote(found['host'][0], safe='')}{port}"


@pytest.mark.skipif(not CASES, reason="the folder of outside cases is not beside this checkout")
@pytest.mark.parametrize("case", CASES or ["none"])
def test_a_case_holds(case: str, server_url: str) -> None:
    """After each night of a case everything is as the case says."""
    jobsync = Path(sys.executable).with_name("jobsync")
    done = subprocess.run(
        [sys.executable, FOLDER / "play.py", jobsync, server_of(server_url), FOLDER, case],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        timeout=600,
    )

    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["1 of 1 stock cases hold"]), (
        done.stdout + done.stderr
    )
