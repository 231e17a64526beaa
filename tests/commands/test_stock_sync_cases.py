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
PARTS = 3  # for as many processors


def server_of(url: str) -> str:
    """Return a server's URL without a database, its socket folder percent-encoded in the place of the host."""
    parts = urlsplit(url)
    found = parse_qs(parts.query)
    port = f":{found['port'][0]}" if "port" in found else ""
    return f"postgresql://{parts.username}@{quote(found['host'][0], safe='')}{port}"


@pytest.mark.skipif(not CASES, reason="the folder of outside cases is not beside this checkout")
@pytest.mark.parametrize("part", range(PARTS))
def test_the_cases_hold(part: int, server_url: str) -> None:
    """After each night of a case everything is as the case says."""
    cases = CASES[part::PARTS]
    jobsync = Path(sys.executable).with_name("jobsync")
    done = subprocess.run(
        [sys.executable, FOLDER / "play.py", jobsync, server_of(server_url), FOLDER, *cases],
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "ACC_FORKD": f"{sys.executable} {Path(__file__).with_name('forks.py')}",
        },
        capture_output=True,
        text=True,
        timeout=600,
    )

    said = done.stdout + done.stderr
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (
        0,
        [f"{len(cases)} of {len(cases)} stock cases hold"],
    ), said
