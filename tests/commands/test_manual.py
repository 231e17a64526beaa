"""The manual page: every command and exit code in it, and no text that the formatter obeys."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from jobsync.cli.manual import render_man
from jobsync.errors import ExitCode
from tests.commands.support import Cli
from tests.tree import HOSTILE, read_tree


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
