"""What of an installation is on disk: compare, write, remove, and tell systemd."""

from __future__ import annotations

import difflib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jobsync.deploy.installation import UNITS_FOLDER, Installation, below
from jobsync.deploy.units import NAMES, SYSUSERS, TMPFILES, render_units, timers_of
from jobsync.errors import JobsyncError
from jobsync.logs import visible
from jobsync.settings import CONFIG_FILE, CREDENTIALS_FOLDER, SERVICE, Rights, read_rights

SYSTEM = Path("/")
_RUNNING = Path("/run/systemd/system")
# Beside the program, where pip puts it: where a default Debian looks for it.
_SHARED = {
    f"share/{path}": f"/usr/local/share/{path}"
    for path in (
        "man/man1/jobsync.1",
        "bash-completion/completions/jobsync",
        "zsh/site-functions/_jobsync",
        "fish/vendor_completions.d/jobsync.fish",
    )
}


class InstallProblem(JobsyncError):
    """A file could not be written or removed, or systemd refused."""


class FileState(StrEnum):
    """How a file on disk stands to the one that would be installed."""

    SAME = "same"
    DIFFERS = "differs"
    MISSING = "missing"
    RIGHTS = "rights"
    DROP_IN = "drop-in"
    UNKNOWN = "unknown"
    SURPLUS = "surplus"


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

    @property
    def would_change(self) -> bool:
        """Whether installing would write or remove it, or let the service read it."""
        return self.state in (FileState.DIFFERS, FileState.MISSING, FileState.SURPLUS, FileState.RIGHTS)


def compare(installation: Installation, root: Path = SYSTEM) -> list[Compared]:
    """
    Return every file with its state, last the administrator's drop-ins and units that are unknown to this version.

    Those two are not ours to change, and no difference. Ours that the configuration asks for no more are surplus.
    """
    wanted = render_units(installation)
    found = [_compare(path, text, root) for path, text in wanted.items()]
    found += [
        _compare(path, "", root, FileState.SURPLUS) for path in _look_up(root, *sorted(NAMES)) if path not in wanted
    ]
    found += [_compare_link(path, target, root) for path, target in _links(installation, root).items()]
    for name, secret in installation.secrets.items():
        path = f"{CREDENTIALS_FOLDER}/{name.lower()}"
        before = _read(below(root, path))
        state = FileState.MISSING if before is None else FileState.SAME
        found.append(Compared(path, state if before in (None, secret + "\n") else FileState.DIFFERS))
    found += [Compared(each.path, FileState.RIGHTS, f"{each}\n") for each in find_wrong_rights(root)]
    found += [Compared(path, FileState.DROP_IN) for path in _look_up(root, "jobsync-*.d/*.conf")]
    return [*found, *(Compared(path, FileState.UNKNOWN) for path in find_unknown(root))]


@dataclass(frozen=True)
class WrongRights:
    """A file of the configuration that the service's user cannot read, or that more than it can."""

    path: str
    found: Rights

    def __str__(self) -> str:
        """Return what installing would change."""
        return f"{self.path}: {self.found} -> root:{SERVICE}, mode 0640"


def find_wrong_rights(root: Path = SYSTEM) -> list[WrongRights]:
    """Return the files that systemd-tmpfiles corrects; below another root it does so when that system starts."""
    if root != SYSTEM:
        return []
    found: list[WrongRights] = []
    for path in (Path(CONFIG_FILE), *sorted(Path(CREDENTIALS_FOLDER).glob("*"))):
        with suppress(OSError):  # a folder that is closed to this user, who can open nothing either
            if path.is_file() and (rights := read_rights(path)) != Rights("root", SERVICE, 0o640):
                found.append(WrongRights(str(path), rights))
    return found


def find_unknown(root: Path = SYSTEM) -> list[str]:
    """Return the units that are named like ours and are none of this version: the administrator's, or left over."""
    return [path for path in _look_up(root, "jobsync-*.service", "jobsync-*.timer") if Path(path).name not in NAMES]


def _compare(path: str, text: str, root: Path, state: FileState = FileState.DIFFERS) -> Compared:
    before = _read(below(root, path))
    if before == text:
        return Compared(path, FileState.SAME)
    lines = difflib.unified_diff(
        (before or "").splitlines(keepends=True),
        text.splitlines(keepends=True),
        "/dev/null" if before is None else path,
        "/dev/null" if state is FileState.SURPLUS else path,
    )
    return Compared(path, FileState.MISSING if before is None else state, "".join(lines))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InstallProblem(f"{path} cannot be read: {error.strerror}") from error


def _look_up(root: Path, *patterns: str) -> list[str]:
    """Return the paths in the installed system of what the units' folder has by these patterns."""
    folder = below(root, UNITS_FOLDER)
    try:
        return [f"/{path.relative_to(root)}" for pattern in patterns for path in sorted(folder.glob(pattern))]
    except OSError as error:
        raise InstallProblem(f"{folder} cannot be read: {error.strerror}") from error


def _links(installation: Installation, root: Path) -> dict[str, str]:
    """Return the links to the manual page and the completions, with their targets, as far as the program has them."""
    program = installation.executable.resolve() if root == SYSTEM else installation.executable
    prefix = program.parent.parent
    targets = {path: f"{prefix}/{shared}" for shared, path in _SHARED.items()}
    return {path: target for path, target in targets.items() if path != target and below(root, target).is_file()}


def _compare_link(path: str, target: str, root: Path) -> Compared:
    link = below(root, path)
    if _target(link) == target:
        return Compared(path, FileState.SAME)
    there = link.is_symlink() or link.exists()
    return Compared(path, FileState.DIFFERS if there else FileState.MISSING, f"{path} -> {target}\n")


def _target(link: Path) -> str:
    """Return where a link leads, "" for what is none: a file in its place came with pip."""
    return str(link.readlink()) if link.is_symlink() else ""


def install(installation: Installation, root: Path = SYSTEM) -> list[Compared]:
    """
    Write what differs; returns what every file was before. The same installation twice writes nothing the second time.

    Raises:
        InstallProblem: a secret that lies there is another one, and nothing was written: the key that it may be is the
            only one that opens what is stored. Or a folder cannot be written, or the program not be started: nothing
            was written either. Or the disk failed in between; what was written before is whole.
    """
    before = compare(installation, root)
    for file in before:
        if file.path.startswith(CREDENTIALS_FOLDER) and file.state is FileState.DIFFERS:
            raise InstallProblem(
                f"{below(root, file.path)} holds another secret than the environment; nothing was written:"
                " unset the variable, or change that file by hand"
            )
    changed = {file.path for file in before if file.state in (FileState.DIFFERS, FileState.MISSING)}
    surplus = [file.path for file in before if file.state is FileState.SURPLUS]
    _require_writable([below(root, path) for path in (*changed, *surplus)])
    if changed and root == SYSTEM:
        _require_program(installation.executable)
    # secrets first: a unit that is there finds what it loads
    for name, secret in installation.secrets.items():
        path = f"{CREDENTIALS_FOLDER}/{name.lower()}"
        if path in changed:
            _replace(below(root, path), secret + "\n", mode=0o600, closed=below(root, CREDENTIALS_FOLDER).parent)
    for path, text in render_units(installation).items():
        if path in changed:
            _replace(below(root, path), text, mode=0o644)
    for path, target in _links(installation, root).items():
        if path in changed:
            _replace(below(root, path), Path(target))
    _disable(root, [Path(path).name for path in surplus if path.endswith(".timer")])
    _remove(root, surplus)
    return before


def _require_writable(paths: Iterable[Path]) -> None:
    """Look before anything is written: an installation is all there, or as it was."""
    folders = {next(folder for folder in path.parents if folder.exists()) for path in paths}
    closed = sorted(str(folder) for folder in folders if not os.access(folder, os.W_OK | os.X_OK))
    if closed:
        raise InstallProblem(
            f"nothing was changed: {', '.join(closed)} cannot be written (not as this user, mounted"
            " read-only, or no folder); run it as root, or with --root DIR for a folder of your own"
        )


def _require_program(program: Path) -> None:
    """Let the service's user, or somebody as strange, start the program once: no timer tells that it cannot."""
    try:
        user = pwd.getpwnam("jobsync").pw_name
    except KeyError:  # its first installation
        user = "nobody"
    try:
        _run_if_there("runuser", "-u", user, "--", str(program), "--version")
    except InstallProblem as error:
        raise InstallProblem(
            f"nothing was changed: the service's user cannot start {program} ({error}); is it there, and are its"
            " folders open to others (chmod -R go+rX)?"
        ) from error


def _replace(path: Path, content: str | Path, *, mode: int = 0o644, closed: Path | None = None) -> None:
    """
    Put a text, or a link to a path, in its place as a whole, so that no reader sees half, or a secret of a wrong mode.

    Args:
        closed: this folder and those below it, where they have to be made, are for no others.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        for folder in [folder for folder in path.parents if not folder.exists()][::-1]:
            folder.mkdir()
            # whatever the administrator's umask: systemd and man have to get there
            folder.chmod(0o750 if closed and folder.is_relative_to(closed) else 0o755)
        temporary.unlink(missing_ok=True)
        if isinstance(content, Path):
            temporary.symlink_to(content)
        else:
            temporary.touch(mode=0o600, exist_ok=False)
            temporary.write_text(content, encoding="utf-8")
            temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        raise InstallProblem(
            f"{path} cannot be written: {error.strerror}; mend that and run it again: it goes on there"
        ) from error


def uninstall(root: Path = SYSTEM) -> list[str]:
    """
    Remove the files of an installation and return those that were there.

    What is not ours to take away stays: the user, the state, the configuration, the secrets, and drop-ins.
    """
    paths = _installed(root)
    _remove(root, paths)
    return paths


def _remove(root: Path, paths: Iterable[str]) -> None:
    for path in paths:
        try:
            below(root, path).unlink()
        except OSError as error:
            raise InstallProblem(f"{below(root, path)} cannot be removed: {error.strerror}") from error


def _installed(root: Path) -> list[str]:
    others = [path for path in render_units(Installation(executable=Path("/none"))) if Path(path).name not in NAMES]
    ours = [*(f"{UNITS_FOLDER}/{name}" for name in sorted(NAMES)), *others]
    paths = [path for path in ours if below(root, path).is_file() or below(root, path).is_symlink()]
    return paths + [path for shared, path in _SHARED.items() if _target(below(root, path)).endswith(f"/{shared}")]


# --- systemd ---------------------------------------------------------------------------------------------------------


def is_running() -> bool:
    """Whether systemd runs this host."""
    return _RUNNING.is_dir()


def create_user_and_folders(installation: Installation, root: Path = SYSTEM) -> None:
    """
    Let systemd's own tools do what sysusers.d and tmpfiles.d say, where these tools are; not below another root.

    A folder for the report or the metrics is made if it is missing; one that is there is somebody else's too, as
    tmpfiles.d would not respect.
    """
    if root == SYSTEM:
        _run_if_there("systemd-sysusers", SYSUSERS)
        _run_if_there("systemd-tmpfiles", "--create", TMPFILES)
        for file, mode in ((installation.report_file, "0750"), (installation.metrics_file, "0755")):
            if file is not None and not file.parent.exists():
                _run_if_there("install", "-d", "-o", "jobsync", "-g", "jobsync", "-m", mode, str(file.parent))


def reload(root: Path = SYSTEM) -> None:
    """Let systemd and the journal read the files again; not below another root."""
    if root == SYSTEM:
        _run_if_there("journalctl", "--update-catalog")
        if is_running():
            _run_if_there("systemctl", "daemon-reload")


def enable_timers(installation: Installation, root: Path = SYSTEM) -> None:
    """
    Enable the timers of all that is configured, and start them where systemd runs this very root.

    One that is not, but was, is taken out.
    """
    on = timers_of(installation)
    _enable(root, on)
    _disable(root, [name for name in _timers(root) if name not in on])


def join_timers(installation: Installation, before: Iterable[Compared], root: Path = SYSTEM) -> list[str]:
    """
    Enable the timers that an installation has written for the first time, if others are on; returns their names.

    Those that an administrator has switched off stay off.
    """
    missing = {Path(file.path).name for file in before if file.state is FileState.MISSING}
    new = [name for name in timers_of(installation) if name in missing]
    wants = below(root, f"{UNITS_FOLDER}/timers.target.wants")
    if not new or not any((wants / name).is_symlink() for name in NAMES):
        return []
    _enable(root, new)
    return new


def _enable(root: Path, timers: Sequence[str]) -> None:
    if root == SYSTEM and not is_running():
        raise InstallProblem("systemd does not run here: the files are written, no timer was enabled")
    _run_if_there("systemctl", "enable", "--now" if root == SYSTEM else f"--root={root}", *timers)


def disable_timers(root: Path = SYSTEM) -> None:
    """
    Stop the timers and take them out of the boot; a run in progress ends by itself.

    Raises:
        InstallProblem: the folder of units cannot be written; nothing was stopped.
    """
    _require_writable([below(root, path) for path in _installed(root)])
    _disable(root, _timers(root))
    if root == SYSTEM and is_running():
        _run_if_there("systemctl", "reset-failed", "jobsync-*")  # or what is gone would stay in systemctl --failed


def _timers(root: Path) -> list[str]:
    """Return the timers of ours that are installed."""
    return [Path(path).name for path in _look_up(root, "jobsync-*.timer") if Path(path).name in NAMES]


def _disable(root: Path, timers: Sequence[str]) -> None:
    if timers and root != SYSTEM:
        _run_if_there("systemctl", "disable", f"--root={root}", *timers)
    elif timers and is_running():
        _run_if_there("systemctl", "disable", "--now", *timers)


def _run_if_there(program: str, *arguments: str) -> None:
    if shutil.which(program) is None:
        return
    ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise InstallProblem(f"{program} {' '.join(arguments)} refused: {visible(ran.stderr or ran.returncode)}")
