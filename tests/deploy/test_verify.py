"""What systemd itself says of the files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jobsync.deploy.installation import read_installation
from jobsync.deploy.units import render_units

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")

CONFIGURATIONS = {
    "socket": {"JOBSYNC_DATABASE_URL": "postgresql:///jobsync", "JOBSYNC_STORAGE": "/srv/a %b"},
    "TCP": {
        "JOBSYNC_DATABASE_URL": "postgresql://u:pw@10.0.0.5/d",
        "JOBSYNC_STORAGE": "/srv/rides",
        "JOBSYNC_REPORT_FILE": "/srv/a $b %c/r.html",
        "JOBSYNC_METRICS_FILE": "/srv/m/m.prom",
    },
    "name": {"JOBSYNC_DATABASE_URL": "postgresql://u:pw@db.example/d", "JOBSYNC_PING_URL": "https://h/p"},
}


@pytest.fixture(params=CONFIGURATIONS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit files of one configuration, with a program that exists and a user that this machine has."""
    program = Path("/bin/true")
    installation = read_installation(CONFIGURATIONS[request.param], root=tmp_path, executable=program)
    for path, text in render_units(installation).items():
        known = re.sub("(?m)^(User|Group)=jobsync$", r"\1=root", text)
        (tmp_path / Path(path).name).write_text(known)
    return tmp_path


def analyze(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:/usr/lib/systemd/system", "SYSTEMD_LOG_LEVEL": "warning"}
    return subprocess.run(["systemd-analyze", *arguments], env=environ, capture_output=True, text=True, timeout=60)


def test_verify_has_no_complaint(folder: Path) -> None:
    """Every unit can be loaded, and each directive is known."""
    names = sorted(path.name for path in folder.glob("jobsync-*"))
    for name in ("alert", "now"):
        (folder / f"jobsync-{name}@x.service").write_text((folder / f"jobsync-{name}@.service").read_text())
    files = [str(folder / name.replace("@.", "@x.")) for name in names]
    ran = analyze("verify", "--man=no", *files, folder=folder)
    ours = [line for line in ran.stderr.splitlines() if "jobsync" in line]

    assert len(files) == (14 if "jobsync-report.timer" in names else 10)
    assert (ran.returncode, ours) == (0, [])


def test_exposure_is_at_most_1_5(folder: Path) -> None:
    """The sandbox of every service scores 1.5 or better."""
    scores = {}
    for path in sorted(folder.glob("jobsync-*.service")):
        path.write_text(re.sub("(?m)^(User|Group)=root$", r"\1=jobsync", path.read_text()))
        ran = analyze("--offline=true", "--threshold=15", "security", str(path), folder=folder)
        [scores[path.name]] = re.findall(r"exposure level for \S+: ([\d.]+)", ran.stdout) or ["none"]
        assert ran.returncode == 0, ran.stdout[-500:] + ran.stderr
    print(scores)  # noqa: T201 - for the record, with -s


def test_every_timer_below_an_hour_says_its_accuracy(folder: Path) -> None:
    """With the default accuracy of a minute, a timer of 30 s starts once a minute."""
    for path in folder.glob("jobsync-*.timer"):
        text = path.read_text()
        [calendar] = re.findall("(?m)^OnCalendar=(.*)$", text)
        ran = analyze("calendar", "--iterations=2", calendar, folder=folder)
        assert ran.returncode == 0, ran.stderr
        assert re.search("(?m)^AccuracySec=(1s|100ms)$", text)
