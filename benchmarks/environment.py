"""The peers' own virtual environment, so that the project's stays clean."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import ROOT, note

VENV = ROOT / ".venv-bench"
PYTHON = VENV / "bin" / "python"
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def ensure() -> dict[str, str]:
    """
    Make `.venv-bench` unless it is there and up to date, and return the versions in it.

    Raises:
        SystemExit: it cannot be made.
    """
    wanted = hashlib.sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    stamp = VENV / ".installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        note(f"installing the peers into {VENV} (a minute)")
        shutil.rmtree(VENV, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(VENV)], "make a virtual environment")
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--requirement", str(_REQUIREMENTS)], f"install {_REQUIREMENTS.relative_to(ROOT)}")
        _run([str(PYTHON), "-m", "compileall", "-q", str(VENV / "lib")], "", may_fail=True)
        stamp.write_text(wanted)
    lines = [line.partition("==") for line in _REQUIREMENTS.read_text().splitlines() if "==" in line]
    return {name.partition("[")[0]: version for name, _, version in lines}


def _run(command: list[str], purpose: str, *, may_fail: bool = False) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 and not may_fail:
        shutil.rmtree(VENV, ignore_errors=True)
        told = (done.stderr or done.stdout).strip()[-2000:]
        raise SystemExit(f"benchmarks: cannot {purpose} for the peers (is the package index reachable?):\n{told}")
