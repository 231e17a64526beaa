"""What of an installation is on disk: compare, write, remove, and tell systemd."""

import difflib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jobsync.deploy.installation import UNITS_FOLDER, Installation, below
from jobsync.deploy.units import CATALOG, NAMES, SYSUSERS, TMPFILES, render_units, timers_of
from jobsync.errors import JobsyncError
from jobsync.logs import visible
from jobsync.settings import CONFIG_FILE, CREDENTIALS_FOLDER, SERVICE, Rights, read_rights

SYSTEM = Path("/")
_RUNNING = Path("/run/systemd/system")
_RIGHTS = Rights("root", SERVICE, 0o640)
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
    """One file of an installation, by its path in the installed system."""

    path: str
    state: FileState
    diff: str = ""  # what installing would change, as a unified diff; empty for secrets

    @property
    def would_change(self) -> bool:
        """Whether installing would write or remove it, or let the service read it."""
        return self.state in (FileState.DIFFERS, FileState.MISSING, FileState.SURPLUS, FileState.RIGHTS)


def compare(installation: Installation, root: Path = SYSTEM) -> list[Compared]:
    """
    Return every file with its state, last the administrator's drop-ins and units that are unknown to this version.

    Those two are not ours to change, and no difference. Ours that the configuration asks for no more are surplus.
    """
    wanted = _wanted(installation, root)
    surplus = [path for path in _look_up(root, *sorted(NAMES)) if path not in wanted]
    wrong = find_wrong_rights(root).items()
    return [
        *(_compare(path, content, root) for path, content in wanted.items()),
        *(Compared(path, FileState.SURPLUS, _diff(path, _read(below(root, path)), None)) for path in surplus),
        *(Compared(path, FileState.RIGHTS, f"{path}: {rights} -> {_RIGHTS}\n") for path, rights in wrong),
        *(Compared(path, FileState.DROP_IN) for path in _look_up(root, "jobsync-*.d/*.conf")),
        *(Compared(path, FileState.UNKNOWN) for path in find_unknown(root)),
    ]


def _wanted(installation: Installation, root: Path) -> dict[str, str | Path]:
    """Return what a file holds, or where a link leads; secrets first: a unit that is there finds what it loads."""
    secrets = {f"{CREDENTIALS_FOLDER}/{name.lower()}": f"{text}\n" for name, text in installation.secrets.items()}
    program = installation.executable.resolve() if root == SYSTEM else installation.executable
    links = {path: program.parent.parent / shared for shared, path in _SHARED.items()}
    there = {path: to for path, to in links.items() if path != str(to) and below(root, to).is_file()}
    return {**secrets, **render_units(installation), **there}


def find_wrong_rights(root: Path = SYSTEM) -> dict[str, Rights]:
    """
    Return files that the service's user cannot read, or others can, by path; none below another root.

    systemd-tmpfiles mends them.
    """
    found: dict[str, Rights] = {}
    for path in (Path(CONFIG_FILE), *sorted(Path(CREDENTIALS_FOLDER).glob("*"))) if root == SYSTEM else ():
        with suppress(OSError):  # a folder that is closed to this user, who can open nothing either
            if path.is_file() and (rights := read_rights(path)) != _RIGHTS:
                found[str(path)] = rights
    return found


def find_unknown(root: Path = SYSTEM) -> list[str]:
    """Return the units that are named like ours and are none of this version: the administrator's, or left over."""
    return [path for path in _look_up(root, "jobsync-*.service", "jobsync-*.timer") if Path(path).name not in NAMES]


def _compare(path: str, content: str | Path, root: Path) -> Compared:
    place = below(root, path)
    if isinstance(content, Path):
        before = _target(place) if place.is_symlink() or place.exists() else None
        diff = f"{path} -> {content}\n"
    else:
        before = _read(place)
        diff = "" if path.startswith(CREDENTIALS_FOLDER) else _diff(path, before, content)
    if before == str(content):
        return Compared(path, FileState.SAME)
    return Compared(path, FileState.MISSING if before is None else FileState.DIFFERS, diff)


def _diff(path: str, *texts: str | None) -> str:
    before, after = ((text or "").splitlines(keepends=True) for text in texts)
    old, new = ("/dev/null" if text is None else path for text in texts)
    return "".join(difflib.unified_diff(before, after, old, new))


@contextmanager
def _handling(what: str, path: Path, more: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InstallProblem(f"{path} cannot be {what}: {error.strerror}{more}") from error


def _read(path: Path) -> str | None:
    with _handling("read", path), suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8", errors="replace")
    return None


def _look_up(root: Path, *patterns: str) -> list[str]:
    folder = below(root, UNITS_FOLDER)
    with _handling("read", folder):
        return [f"/{path.relative_to(root)}" for pattern in patterns for path in sorted(folder.glob(pattern))]


def _target(link: Path) -> str:
    """Return where a link leads, "" for what is none: a file in its place came with pip."""
    return str(link.readlink()) if link.is_symlink() else ""


def install(installation: Installation, root: Path = SYSTEM) -> list[Compared]:
    """
    Write what differs; returns what every file was before. The same installation twice writes nothing the second time.

    Raises:
        InstallProblem: nothing was written: a folder is closed, the program does not start, or another secret lies
            there, perhaps the only key that opens what is stored. Or the disk failed; what was written is whole.
    """
    before = compare(installation, root)
    for file in before:
        if file.path.startswith(CREDENTIALS_FOLDER) and file.state is FileState.DIFFERS:
            raise InstallProblem(
                f"{below(root, file.path)} holds another secret than the environment; nothing was written:"
                " unset the variable, or change that file by hand"
            )
    changed = [file.path for file in before if file.state in (FileState.DIFFERS, FileState.MISSING)]
    surplus = [file.path for file in before if file.state is FileState.SURPLUS]
    _require_writable([below(root, path) for path in (*changed, *surplus)])
    if changed and root == SYSTEM:
        _require_program(installation.executable)
    wanted = _wanted(installation, root)
    for path in changed:
        _replace(root, path, wanted[path])
    _switch("disable", [Path(path).name for path in surplus if path.endswith(".timer")], root)
    _remove(root, surplus)
    return before


def _require_writable(paths: Iterable[Path]) -> None:
    folders = {next(folder for folder in path.parents if folder.exists()) for path in paths}
    if closed := sorted(str(folder) for folder in folders if not os.access(folder, os.W_OK | os.X_OK)):
        raise InstallProblem(
            f"nothing was changed: {', '.join(closed)} cannot be written (not as this user, mounted"
            " read-only, or no folder); run it as root, or with --root DIR for a folder of your own"
        )


def _require_program(program: Path) -> None:
    """Let the service's user, or somebody as strange, start the program once: no timer tells that it cannot."""
    user = "nobody"  # at its first installation
    with suppress(KeyError):
        user = pwd.getpwnam("jobsync").pw_name
    try:
        _run_if_there("runuser", "-u", user, "--", str(program), "--version")
    except InstallProblem as error:
        raise InstallProblem(
            f"nothing was changed: the service's user cannot start {program} ({error}); is it there, and are its"
            " folders open to others (chmod -R go+rX)?"
        ) from error


def _replace(root: Path, where: str, content: str | Path) -> None:
    """Put a text, or a link to a path, in its place as a whole: no reader sees half, or a secret of a wrong mode."""
    path = below(root, where)
    temporary = path.with_name(f".{path.name}.new")
    secret = where.startswith(CREDENTIALS_FOLDER)
    with _handling("written", path, "; mend that and run it again: it goes on there"):
        for folder in [folder for folder in path.parents if not folder.exists()][::-1]:
            folder.mkdir()
            # whatever the administrator's umask: systemd and man have to get there
            folder.chmod(0o750 if secret and folder in (path.parent, path.parent.parent) else 0o755)
        temporary.unlink(missing_ok=True)
        if isinstance(content, Path):
            temporary.symlink_to(content)
        else:
            temporary.touch(mode=0o600, exist_ok=False)
            temporary.write_text(content, encoding="utf-8")
            temporary.chmod(0o600 if secret else 0o644)
        temporary.replace(path)


def uninstall(root: Path = SYSTEM) -> list[str]:
    """
    Disable the timers, remove our files and return those that were there.

    A run in progress ends by itself; user, state, configuration, secrets and drop-ins stay.

    Raises:
        InstallProblem: a folder cannot be written, and nothing was stopped; or a file could not be removed.
    """
    paths = _installed(root)
    _require_writable([below(root, path) for path in paths])
    _switch("disable", _timers(root), root)
    if root == SYSTEM and _RUNNING.is_dir():
        _run_if_there("systemctl", "reset-failed", "jobsync-*")  # or what is gone would stay in systemctl --failed
    _remove(root, paths)
    return paths


def _remove(root: Path, paths: Iterable[str]) -> None:
    for path in paths:
        with _handling("removed", below(root, path)):
            below(root, path).unlink()


def _installed(root: Path) -> list[str]:
    ours = [*(f"{UNITS_FOLDER}/{name}" for name in sorted(NAMES)), SYSUSERS, TMPFILES, CATALOG]
    paths = [path for path in ours if below(root, path).is_file() or below(root, path).is_symlink()]
    return paths + [path for shared, path in _SHARED.items() if _target(below(root, path)).endswith(f"/{shared}")]


def create_user_and_folders(installation: Installation, root: Path = SYSTEM) -> None:
    """
    Let systemd's tools do what sysusers.d and tmpfiles.d say; not below another root.

    A missing folder of the report or the metrics is made; one that is there may be shared, which tmpfiles.d ignores.
    """
    if root == SYSTEM:
        _run_if_there("systemd-sysusers", SYSUSERS)
        _run_if_there("systemd-tmpfiles", "--create", TMPFILES)
        for file, mode in ((installation.settings.report_file, "0750"), (installation.settings.metrics_file, "0755")):
            if file is not None and not file.parent.exists():
                _run_if_there("install", "-d", "-o", "jobsync", "-g", "jobsync", "-m", mode, str(file.parent))


def reload(root: Path = SYSTEM) -> None:
    """Let systemd and the journal read the files again; not below another root."""
    if root == SYSTEM:
        _run_if_there("journalctl", "--update-catalog")
        if _RUNNING.is_dir():
            _run_if_there("systemctl", "daemon-reload")


def enable_timers(installation: Installation, root: Path = SYSTEM) -> None:
    """Enable the timers of all that is configured, and no others; start them where systemd runs this very root."""
    on = timers_of(installation)
    _switch("enable", on, root)
    _switch("disable", [name for name in _timers(root) if name not in on], root)


def join_timers(installation: Installation, before: Iterable[Compared], root: Path = SYSTEM) -> list[str]:
    """Enable the timers that were written for the first time, if others are on; returns their names."""
    missing = {Path(file.path).name for file in before if file.state is FileState.MISSING}
    new = [name for name in timers_of(installation) if name in missing]
    wants = below(root, f"{UNITS_FOLDER}/timers.target.wants")
    if not new or not any((wants / name).is_symlink() for name in NAMES):
        return []
    _switch("enable", new, root)
    return new


def _timers(root: Path) -> list[str]:
    return [Path(path).name for path in _look_up(root, "jobsync-*.timer") if Path(path).name in NAMES]


def _switch(verb: str, timers: Sequence[str], root: Path) -> None:
    runs = root != SYSTEM or _RUNNING.is_dir()
    if not runs and verb == "enable":
        raise InstallProblem("systemd does not run here: the files are written, no timer was enabled")
    if timers and runs:
        _run_if_there("systemctl", verb, "--now" if root == SYSTEM else f"--root={root}", *timers)


def _run_if_there(program: str, *arguments: str) -> None:
    if shutil.which(program) is None:
        return
    ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise InstallProblem(f"{program} {' '.join(arguments)} refused: {visible(ran.stderr or ran.returncode)}")
