"""jobsync units: the systemd files of this host, rendered from its configuration."""

from pathlib import Path
from typing import Annotated

from jobsync.cli.command import Answer, Yes, argument, command, confirm, flag, group, option
from jobsync.cli.output import print_table, say, write
from jobsync.deploy import install as disk
from jobsync.deploy.installation import read_installation
from jobsync.deploy.units import render_units
from jobsync.errors import ExitCode, UsageProblem
from jobsync.settings import to_open
from jobsync.wiring import Tools

app = group("The systemd files of this host.")

Root = Annotated[Path, option("DIR", "Below this folder instead of the running system.")]
Executable = Annotated[Path | None, option("FILE", "The jobsync that timers start; default: this one.")]


@command("units show stock-sync.timer", of=app)
def show(
    tools: Tools,
    name: Annotated[str | None, argument("[NAME]", "Of one file; default: all.")] = None,
    root: Root = disk.SYSTEM,
    executable: Executable = None,
) -> Answer:
    """Print the files that install would write."""
    files = render_units(read_installation(tools.environ, root=root.absolute(), executable=executable))
    if name is None:
        return Answer(files, lambda: write("".join(f"# {path}\n{text}\n" for path, text in files.items())))
    files = {path: text for path, text in files.items() if Path(path).name in (name, f"jobsync-{name}")}
    if not files:
        raise UsageProblem(f"no file {name}; jobsync units show prints all of them")
    return Answer(files, lambda: write("".join(files.values())))


@command("units install --enable", of=app)
def install(
    tools: Tools,
    enable: Annotated[bool, flag("Enable the timers and start them.")] = False,
    root: Root = disk.SYSTEM,
    executable: Executable = None,
) -> None:
    """Write the files that differ, remove what is configured no more, create user and folders, reload systemd."""
    root = root.absolute()
    installation = read_installation(tools.environ, root=root, executable=executable)
    files = disk.install(installation, root)
    done = {
        disk.FileState.MISSING: "written",
        disk.FileState.DIFFERS: "replaced",
        disk.FileState.SAME: "unchanged",
        disk.FileState.DROP_IN: "yours",
        disk.FileState.UNKNOWN: "unknown to this version; jobsync units diff says how to remove it",
        disk.FileState.SURPLUS: "removed",
    }
    print_table(["file", ""], [[file.path, done[file.state]] for file in files if file.state in done])
    disk.create_user_and_folders(installation, root)
    left = disk.find_wrong_rights(root)
    for file in files:
        if rights := left.get(file.path):
            say(f"{file.path}: {rights}, which the service cannot use; as root: {to_open(Path(file.path))}")
        elif file.state is disk.FileState.RIGHTS:
            say(file.diff.strip())
    disk.reload(root)
    if enable:
        disk.enable_timers(installation, root)
        say("timers enabled: systemctl list-timers 'jobsync-*'")
    elif joined := disk.join_timers(installation, files, root):
        say(f"enabled, as the others are: {', '.join(joined)}")
    if installation.settings.storage is None:
        say("JOBSYNC_STORAGE is not set: without it jobsync-generate-ride.timer is off")


@command("units uninstall --yes", of=app)
def uninstall(root: Root = disk.SYSTEM, yes: Yes = False) -> None:
    """Disable the timers and remove the files; user, state, configuration and secrets stay."""
    root = root.absolute()
    confirm(f"Disable the timers and remove the unit files below {root}?", yes=yes)
    paths = disk.uninstall(root)
    print_table(["file", ""], [[path, "removed"] for path in paths], empty="nothing is installed")
    for path in disk.find_unknown(root):
        say(f"{path} is left: {_unknown(path)}")
    disk.reload(root)


@command("units diff", of=app)
def diff(tools: Tools, root: Root = disk.SYSTEM, executable: Executable = None) -> Answer:
    """Show what install would change; exit 1 if that is anything."""
    root = root.absolute()
    files = disk.compare(read_installation(tools.environ, root=root, executable=executable), root)

    def tell() -> None:
        for file in files:
            if file.state is disk.FileState.DROP_IN:
                say(f"{file.path}: yours, and in force beside ours")
            elif file.state is disk.FileState.UNKNOWN:
                say(f"{file.path}: {_unknown(file.path)}")
            elif file.diff:
                write(file.diff)
            elif file.state is not disk.FileState.SAME:
                say(f"{file.path}: {file.state} (a secret: not shown)")

    code = ExitCode.FAILED if any(file.would_change for file in files) else ExitCode.DONE
    return Answer([vars(file) for file in files], tell, code)


def _unknown(path: str) -> str:
    removal = f"systemctl disable --now {Path(path).name}; rm {path}; systemctl daemon-reload"
    return f"unknown to this version; if it is not yours: {removal}"
