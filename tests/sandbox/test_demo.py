"""jobsync demo: what it leaves, and the command that it ends with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobsync.sandbox import demo
from jobsync.sandbox.demo import command_here


def test_demo_leaves_only_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run needs for itself does not stay in the folder that people open."""
    documents = demo.submitted()

    class Shows(demo.Show):
        def command(self, *arguments: str, expect: int = 0) -> None:
            assert expect == 0
            if arguments == ("generate-ride",):
                (tmp_path / "rides" / ".unfinished").mkdir(parents=True)
                for one in documents:
                    (tmp_path / "rides" / f"{one.key}_ride.pdf").touch()

        def ask(self, *arguments: str) -> object:
            return arguments

    monkeypatch.setattr("time.sleep", lambda _seconds: None)

    demo._play_documents(Shows(None, {}), documents, tmp_path / "submitted", tmp_path / "rides")

    assert [path.name for path in (tmp_path / "rides").iterdir() if not path.name.endswith("_ride.pdf")] == []


def test_demo_ends_with_pages_that_are_there() -> None:
    """Each that is named exists, and the folder of the reference has what is said of it."""
    root = Path(__file__).parents[2]
    named = re.findall(r"^    (?!\{)(\S+)", demo._OUTRO, re.MULTILINE)

    assert ["docs/reference", "docs/sandbox.md"] == [name for name in named if (root / name).exists()] == named
    assert {"commands", "settings", "exit-codes"} <= {page.stem for page in (root / "docs/reference").iterdir()}


@pytest.mark.parametrize(("on_path", "shown"), [(True, "jobsync"), (False, ".venv/bin/jobsync")])
def test_demo_ends_with_a_command_that_can_be_typed(
    on_path: bool, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `make demo` nothing is on the PATH."""
    command = tmp_path / ".venv/bin/jobsync"
    command.parent.mkdir(parents=True)
    command.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(command.parent) if on_path else "/nowhere")
    monkeypatch.setattr("sys.argv", [str(command), "demo"])

    assert shown == command_here()
