"""What of an installation is on disk: compare, write, remove, and tell systemd."""

from __future__ import annotations

import difflib
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jobsync.deploy.installation import Installation, below
from jobsync.deploy.units import SYSUSERS, TIMERS, TMPFILES, UNITS_FOLDER, render_units
from jobsync.errors import JobsyncError
from jobsync.logs import visible
from jobsync.settings import CREDENTIALS_FOLDER

SYSTEM = Path("/")
_RUNNING = Path("/run/systemd/system")


class InstallProblem(JobsyncError):
    """A file could not be written or removed, or systemd refused."""


class FileState(StrEnum):
    """How a file on disk stands to the one that would be installed."""

    SAME = "same"
    DIFFERS = "differs"
    MISSING = "missing"
    DROP_IN = "drop-in"


@dataclass(frozen=True)
class Compared:
    """
    One file of an installation.

    Args:
        path: in the installed system.
        diff: what installing would change, as a unified diff; empty for secrets.
    """

    path: str
    state: FileState
    diff: str = ""


def compare(installation: Installation, root: Path = SYSTEM) -> list[Compared]:
    """Return every file with its state, the administrator's drop-ins last; those are theirs and no difference."""
    found = [_compare(path, text, root) for path, text in render_units(installation).items()]
    for name, secret in installation.secrets.items():
        path = f"{CREDENTIALS_FOLDER}/{name.lower()}"
        before = _read(below(root, path))
        state = FileState.MISSING if before is None else FileState.SAME
        found.append(Compared(path, state if before in (None, secret + "\n") else FileState.DIFFERS))
    return [*found, *_drop_ins(root)]


def _compare(path: str, text: str, root: Path) -> Compared:
    before = _read(below(root, path))
    if before == text:
        return Compared(path, FileState.SAME)
    lines = difflib.unified_diff(
        (before or "").splitlines(keepends=True),
        text.splitlines(keepends=True),
        "/dev/null" if before is None else path,
        path,
    )
    return Compared(path, FileState.MISSING if before is None else FileState.DIFFERS, "".join(lines))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InstallProblem(f"{path} cannot be read: {error.strerror}") from error


def _drop_ins(root: Path) -> Iterator[Compared]:
    folder = below(root, UNITS_FOLDER)
    try:
        paths = sorted(folder.glob("jobsync-*.d/*.conf"))
    except OSError as error:
        raise InstallProblem(f"{folder} cannot be read: {error.strerror}") from error
    for path in paths:
        yield Compared(f"/{path.relative_to(root)}", FileState.DROP_IN)


def install(installation: Installation, root: Path = SYSTEM) -> list[Compared]:
    """
    Write what differs; returns what every file was before. The same installation twice writes nothing the second time.

    Raises:
        InstallProblem: a secret that lies there is another one, and nothing was written: the key that it may be is the
            only one that opens what is stored. Or a file could not be written; those before it are.
    """
    before = compare(installation, root)
    for file in before:
        if file.path.startswith(CREDENTIALS_FOLDER) and file.state is FileState.DIFFERS:
            raise InstallProblem(
                f"{below(root, file.path)} holds another secret than the environment; nothing was written:"
                " unset the variable, or change that file by hand"
            )
    changed = {file.path for file in before if file.state in (FileState.DIFFERS, FileState.MISSING)}
    for path, text in render_units(installation).items():
        if path in changed:
            _write(below(root, path), text, mode=0o644, folder_mode=0o755)
    for name, secret in installation.secrets.items():
        path = f"{CREDENTIALS_FOLDER}/{name.lower()}"
        if path in changed:
            _write(below(root, path), secret + "\n", mode=0o600, folder_mode=0o750)
    return before


def _write(path: Path, text: str, *, mode: int, folder_mode: int) -> None:
    """Replace a file as a whole: nobody ever reads half of it, or a secret of the wrong mode."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=folder_mode, parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        temporary.touch(mode=0o600, exist_ok=False)
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        raise InstallProblem(
            f"{path} cannot be written: {error.strerror}; run it as root, or with --root DIR for a folder of your own"
        ) from error


def uninstall(root: Path = SYSTEM) -> list[str]:
    """
    Remove the files of an installation and return those that were there.

    What is not ours to take away stays: the user, the state, the configuration, the secrets, and drop-ins.
    """
    paths = [
        path
        for path in render_units(Installation(executable=Path("/none")))
        if below(root, path).is_file() or below(root, path).is_symlink()
    ]
    for path in paths:
        try:
            below(root, path).unlink()
        except OSError as error:
            raise InstallProblem(f"{below(root, path)} cannot be removed: {error.strerror}") from error
    return paths


# --- systemd ---------------------------------------------------------------------------------------------------------


def is_running() -> bool:
    """Whether systemd runs this host."""
    return _RUNNING.is_dir()


def create_user_and_folders(root: Path = SYSTEM) -> None:
    """Let systemd's own tools do what sysusers.d and tmpfiles.d say, where these tools are; not below another root."""
    if root == SYSTEM:
        _run_if_there("systemd-sysusers", SYSUSERS)
        _run_if_there("systemd-tmpfiles", "--create", TMPFILES)


def reload() -> None:
    """Let systemd read the files again."""
    _run_if_there("systemctl", "daemon-reload")


def enable_timers(installation: Installation, root: Path = SYSTEM) -> None:
    """Enable the timers of all that is configured, and start them where systemd runs this very root."""
    rides = installation.storage is not None  # without it every tick would end with 78
    timers = [name for name in TIMERS if rides or name != "jobsync-generate-ride.timer"]
    if root != SYSTEM:
        _run_if_there("systemctl", f"--root={root}", "enable", *timers)
    elif is_running():
        _run_if_there("systemctl", "enable", "--now", *timers)
    else:
        raise InstallProblem("systemd does not run here: the files are written, no timer was enabled")


def disable_timers(root: Path = SYSTEM) -> None:
    """Stop the timers and take them out of the boot; a run in progress ends by itself."""
    there = [name for name in TIMERS if below(root, f"{UNITS_FOLDER}/{name}").exists()]
    if there and root != SYSTEM:
        _run_if_there("systemctl", f"--root={root}", "disable", *there)
    elif there and is_running():
        _run_if_there("systemctl", "disable", "--now", *there)


def _run_if_there(program: str, *arguments: str) -> None:
    if shutil.which(program) is None:
        return
    ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise InstallProblem(f"{program} {' '.join(arguments)} refused: {visible(ran.stderr or ran.returncode)}")


def count_states(files: Iterable[Compared]) -> Mapping[FileState, int]:
    """Return how many files are in each state."""
    states = [file.state for file in files]
    return {state: states.count(state) for state in FileState}
