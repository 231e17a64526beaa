"""What wakes the jobs on this host, and the command that mends it: advice is only what works here."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

SYSTEMD = Path("/run/systemd/system")
UNITS = Path("/etc/systemd/system")
CRON_FILE = Path("/etc/cron.d/jobsync")


class Waker(StrEnum):
    """What wakes the jobs, or could; the first that holds, in this order."""

    UNITS = "units"  # systemd runs, and our timers are installed
    CRON = "cron"  # no systemd, and our lines are installed
    NOBODY = "nobody"  # the private database is its user's own: no timer of another user would reach it
    SYSTEMD = "systemd"  # it runs, our timers are not installed
    ABSENT = "absent"  # no systemd, and no lines for cron


BY_SYSTEMD = (Waker.UNITS, Waker.SYSTEMD)


def read_waker(*, embedded: bool, systemd: Path = SYSTEMD, units: Path = UNITS, cron_file: Path = CRON_FILE) -> Waker:
    """Return what wakes the jobs here; for a private (`embedded`) database neither timers nor cron lines are made."""
    runs = systemd.is_dir()
    if runs and any(units.glob("jobsync-*.timer")):
        return Waker.UNITS
    if not runs and cron_file.exists():
        return Waker.CRON
    if embedded:
        return Waker.NOBODY
    return Waker.SYSTEMD if runs else Waker.ABSENT


def read_timers_on(waker: Waker, names: Sequence[str]) -> frozenset[str]:
    """Return the jobs whose timer is active on this host; none where systemd cannot be asked."""
    if waker is not Waker.UNITS:
        return frozenset()
    command = ["systemctl", "is-active", *(f"jobsync-{name}.timer" for name in names)]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.split()
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(name for name, state in zip(names, said, strict=False) if state == "active")


def how_to_wake(waker: Waker, name: str, *, is_on: bool = False) -> str:
    """
    Return the commands that let this host wake a job (or `health`) again.

    `is_on` says that its timer is active, so it is its service that fails.

    >>> how_to_wake(Waker.NOBODY, "stock-sync")
    'by hand: jobsync stock-sync; timers and cron lines need JOBSYNC_DATABASE_URL=postgresql://…'
    """
    if is_on:
        return f"systemctl status jobsync-{name}.service; journalctl -u jobsync-{name}.service -n 50"
    return _ADVICE[waker].format(name=name, command="health --act" if name == "health" else name)


_ADVICE = {
    Waker.UNITS: "systemctl status jobsync-{name}.timer; systemctl enable --now jobsync-{name}.timer",
    Waker.CRON: f"is cron running? jobsync cron show has the lines that belong into {CRON_FILE}",
    Waker.NOBODY: "by hand: jobsync {command}; timers and cron lines need JOBSYNC_DATABASE_URL=postgresql://…",
    Waker.SYSTEMD: "as root: jobsync units install --enable",
    Waker.ABSENT: f"as root: jobsync cron show > {CRON_FILE}",
}
