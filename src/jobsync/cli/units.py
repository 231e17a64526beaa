"""jobsync units: the systemd files of this host, rendered from its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobsync.cli.options import Json, Yes, confirm, group, tools_of
from jobsync.cli.output import print_table, say, show, write
from jobsync.deploy import install as disk
from jobsync.deploy.installation import read_installation
from jobsync.deploy.units import render_units
from jobsync.errors import ExitCode, UsageProblem
from jobsync.settings import to_open

if TYPE_CHECKING:
    from jobsync.deploy.installation import Installation

app = group("The systemd files of this host.")

Root = Annotated[Path, typer.Option("--root", metavar="DIR", help="Below this folder instead of the running system.")]
Executable = Annotated[
    Path | None,
    typer.Option(
        "--executable", metavar="FILE", help="The jobsync that timers start; default: this one.", show_default=False
    ),
]
_SYSTEM = Path("/")


@app.command("show")
def show_(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of one file; default: all.", show_default=False)
    ] = None,
    root: Root = _SYSTEM,
    executable: Executable = None,
    as_json: Json = False,
) -> None:
    """Print the files that install would write."""
    files = render_units(_installation(context, root, executable))
    if name is not None:
        files = {path: text for path, text in files.items() if Path(path).name in (name, f"jobsync-{name}")}
        if not files:
            raise UsageProblem(f"no file {name}; jobsync units show prints all of them")

    def tell() -> None:
        for path, text in files.items():
            write(text if name is not None else f"# {path}\n{text}\n")

    show(files, as_json=as_json, otherwise=tell)


@app.command()
def install(
    context: typer.Context,
    enable: Annotated[bool, typer.Option("--enable", help="Enable the timers and start them.")] = False,
    root: Root = _SYSTEM,
    executable: Executable = None,
) -> None:
    """Write the files that differ, remove what is configured no more, create user and folders, reload systemd."""
    root = root.absolute()
    installation = _installation(context, root, executable)
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
        say("JOBSYNC_STORAGE is not set: without it --enable leaves jobsync-generate-ride.timer off")


@app.command()
def uninstall(root: Root = _SYSTEM, yes: Yes = False) -> None:
    """Disable the timers and remove the files; user, state, configuration and secrets stay."""
    root = root.absolute()
    confirm(f"Disable the timers and remove the unit files below {root}?", yes=yes)
    paths = disk.uninstall(root)
    print_table(["file", ""], [[path, "removed"] for path in paths], empty="nothing is installed")
    for path in disk.find_unknown(root):
        say(f"{path} is left: unknown to this version; if it is not yours: {_removal(Path(path).name, path)}")
    disk.reload(root)


@app.command()
def diff(context: typer.Context, root: Root = _SYSTEM, executable: Executable = None, as_json: Json = False) -> None:
    """Show what install would change; exit 1 if that is anything."""
    files = disk.compare(_installation(context, root.absolute(), executable), root.absolute())

    def tell() -> None:
        for file in files:
            if file.state is disk.FileState.DROP_IN:
                say(f"{file.path}: yours, and in force beside ours")
            elif file.state is disk.FileState.UNKNOWN:
                name = Path(file.path).name
                say(f"{file.path}: unknown to this version; if it is not yours: {_removal(name, file.path)}")
            elif file.diff:
                write(file.diff)
            elif file.state is not disk.FileState.SAME:
                say(f"{file.path}: {file.state} (a secret: not shown)")

    show([vars(file) for file in files], as_json=as_json, otherwise=tell)
    if any(file.would_change for file in files):
        raise typer.Exit(int(ExitCode.FAILED))


def _removal(name: str, path: str) -> str:
    return f"systemctl disable --now {name}; rm {path}; systemctl daemon-reload"


def _installation(context: typer.Context, root: Path, executable: Path | None) -> Installation:
    return read_installation(tools_of(context).environ, root=root.absolute(), executable=executable)
