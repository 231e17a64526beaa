"""What shells and man are given: every command in it, no program started to ask, nothing that a shell would run."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from jobsync.cli.completion import RENDER
from jobsync.cli.manual import render_man
from jobsync.cli.tree import Command, Option
from jobsync.errors import ExitCode
from tests.commands.support import Cli
from tests.tree import read_tree

HOSTILE = Command(
    path=("jobsync",),
    help="It's a $(touch /tmp/owned) `trap`: \\ .dot 'quote'",
    commands=(
        Command(
            ("jobsync", "sub"), "", options=(Option(names=("--it",), help=".leading 'quotes' $HOME \\fB", value="X"),)
        ),
    ),
)


def complete(*words: str) -> list[str]:
    """Ask the script for bash, as bash does."""
    script = (
        RENDER["bash"](read_tree())
        + f"""
COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
COMP_CWORD={len(words) - 1}
_jobsync
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    )
    ran = subprocess.run(["/bin/bash", "--norc", "-c", script], capture_output=True, text=True, env={"PATH": ""})
    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("jobsync", "units", ""), {"show", "install", "uninstall", "diff", "--help"}),
        (("jobsync", "stock-sync", "--d"), {"--dealership", "--dry-run"}),
        (("jobsync", "stock-sync", "--json", "--dr"), {"--dry-run"}),
        (("jobsync", "units", "install", "--root", ""), set()),
        (("jobsync", "completion", "z"), {"zsh"}),
        (("jobsync", "nonsense", "x"), set()),
    ],
)
def test_bash_completes(words: tuple[str, ...], found: set[str]) -> None:
    """Commands of the group, options of the command; after an option with a value, file names."""
    assert set(complete(*words)) == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_option_is_known(shell: str) -> None:
    """Nothing of the command line is missing in a script."""
    tree = read_tree()
    text = RENDER[shell](tree)
    names = {child.name for command in tree.walk() for child in command.commands}
    options = {name for command in tree.walk() for option in command.options for name in option.names}
    spelled = {f"-l {name[2:]}" if shell == "fish" and name.startswith("--") else name for name in options}

    assert [name for name in sorted(names | spelled) if name not in text] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_can_read_its_script(shell: str) -> None:
    """The script has no mistake, also for a help text full of quotes."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    for tree in (read_tree(), HOSTILE):
        script = RENDER[shell](tree)
        ran = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (0, "")


def test_help_texts_cannot_leave_their_quotes() -> None:
    """A single quote or backslash in a help text becomes something harmless."""
    text = RENDER["fish"](HOSTILE) + RENDER["zsh"](HOSTILE)

    assert "It's" not in text
    assert "\\fB" not in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_command_prints_the_script(lookup: Cli, shell: str) -> None:
    """`jobsync completion SHELL` prints exactly it."""
    ran = lookup("completion", shell)

    assert (ran.code, ran.out) == (0, RENDER[shell](read_tree()))


def test_unknown_shell_is_a_usage_error(lookup: Cli) -> None:
    """It names what it knows."""
    ran = lookup("completion", "tcsh")

    assert ran.code == 2
    assert "fish" in ran.err


def test_manual_has_every_command_and_exit_code(lookup: Cli) -> None:
    """The page is complete, and what `jobsync man` prints."""
    page = lookup("man").out
    plain = page.replace("\\-", "-")

    assert page == render_man(read_tree())
    assert all(f"\\fB{' '.join(c.path)}\\fR" in plain for c in read_tree().walk() if not c.commands)
    assert all(f".B {int(code)}\n" in page for code in ExitCode)
    assert all(f".SH {title}\n" in page for title in ("EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"))


def test_no_text_is_a_request_of_the_formatter() -> None:
    """A help text that begins with a dot or a quote is text."""
    page = render_man(HOSTILE)

    assert "\n.leading" not in page
    assert "\\&.leading" in page


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_has_no_complaint() -> None:
    """The formatter warns of nothing."""
    ran = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "-"],
        input=render_man(read_tree()),
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80"},
    )

    assert (ran.returncode, ran.stderr) == (0, "")
