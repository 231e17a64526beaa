"""Files of the repository that the code renders: `python -m tests.generated` writes them, a test compares them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jobsync.cli.completion import Shell, render
from jobsync.cli.manual import render_man
from jobsync.deploy.installation import Installation
from jobsync.deploy.units import render_units
from jobsync.settings import Settings
from tests.reference import render_reference
from tests.tree import read_tree

ROOT = Path(__file__).parents[1]
# The documented server: Postgres by peer on the unix socket, files below /srv.
SERVER = Installation(
    executable=Path("/opt/jobsync/bin/jobsync"),
    environment={"JOBSYNC_DATABASE_URL": "postgresql:///jobsync", "JOBSYNC_STORAGE": "/srv/rides"},
    credentials=("JOBSYNC_ENCRYPTION_KEY",),
    settings=Settings(storage=Path("/srv/rides")),
)


@cache
def render_all() -> dict[str, str]:
    """Return each file's text by its path in the repository."""
    files = {}
    for path, text in render_units(SERVER).items():
        name = Path(path).name
        files[f"systemd/{Path(path).parent.name}/{name}" if name == "jobsync.conf" else f"systemd/{name}"] = text
    tree = read_tree()
    files["man/jobsync.1"] = render_man(tree)
    for shell in Shell:
        files[f"completions/jobsync.{shell}"] = render(shell, tree)
    files.update(render_reference(tree))
    return files


if __name__ == "__main__":
    for path, text in render_all().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)
