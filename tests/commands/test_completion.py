"""jobsync completion: every command in it, values in time, and nothing that a shell would run."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from jobsync.cli.completion import Shell, render
from tests.commands.support import Cli
from tests.tree import HOSTILE, read_tree


def complete(*words: str, path: str = "") -> list[str]:
    """Ask the script for bash, as bash does; with a program `jobsync` on its path, its answers too."""
    script = (
        render(Shell.BASH, read_tree())
        + f"""
COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
COMP_CWORD={len(words) - 1}
_jobsync
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    )
    ran = subprocess.run(["/bin/bash", "--norc", "-c", script], capture_output=True, text=True, env={"PATH": path})
    assert ran.stderr == ""
    return ran.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("jobsync", "units", ""), {"show", "install", "uninstall", "diff", "--help"}),
        (("jobsync", "stock-sync", "--d"), {"--dealership", "--dry-run"}),
        (("jobsync", "stock-sync", "--json", "--dr"), {"--dry-run"}),
        (("jobsync", "units", "install", "--root", ""), set()),
        (("jobsync", "completion", "z"), {"zsh"}),
        (("jobsync", "nonsense", "x"), set()),
        (("jobsync", "-q", "run"), {"runs"}),
        (("jobsync", "settings", "set", "easycar_sync_c"), {"easycar_sync_cron", "easycar_sync_concurrency"}),
        (("jobsync", "settings", "set", "easycar_sync_cron", "e"), set()),
        (("jobsync", "runs", "list", "--limit", "3", "--job", "s"), {"stock-sync"}),
        (("jobsync", "runs", "list", "--status", "s"), {"succeeded"}),
        (("jobsync", "invoice", "list", "--status", "r"), {"rejected"}),
        (("jobsync", "stock", "lock", "1", "p"), set()),
        (("jobsync", "stock", "lock", "1", "A1", "vin", "pri"), {"price"}),
    ],
)
def test_bash_completes(words: tuple[str, ...], found: set[str]) -> None:
    """Commands of the group, options of the command, the words of its place; else file names."""
    assert set(complete(*words)) - {""} == found


@pytest.fixture
def answering(tmp_path: Path) -> Path:
    """A folder with a program that answers what `jobsync values` would."""
    program = tmp_path / "jobsync"
    program.write_text("#!/bin/bash\nprintf '1\\tBilby $(touch owned) `id`\\n12\\tWattle\\n2\\t*\\n'\n")
    program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("dealership", "show", ""), ["1  Bilby $(touch owned) `id`", "12  Wattle", "2  *"]),
        (("stock-sync", "--dealership", "1"), ["1  Bilby $(touch owned) `id`", "12  Wattle"]),
        (("stock-sync", "--dealership", "12"), ["12"]),
        (("dealership", "show", "--j"), ["--json"]),
        (("tenant", "add", "1"), [""]),
    ],
)
def test_bash_offers_what_the_database_has(answering: Path, words: tuple[str, ...], found: list[str]) -> None:
    """Several with their names, which no shell reads as its own words; one alone as it is typed."""
    assert complete("jobsync", *words, path=str(answering)) == found
    assert not (answering / "owned").exists()


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("dealership", "1\tBilby [31m Creek\n"),
        ("tenant", "1790012345001\tAndina\n"),
        ("run", "aaaaaaaa\tstock-sync partial 2026-11-22 07:34Z\n"),
        ("hold", "1\tremovals of Bilby [31m Creek\n"),
        ("subject", "generate-ride\tstorage\n"),
        ("nonsense", ""),
    ],
)
def test_values_are_those_of_the_database(
    cli: Cli, connection: psycopg.Connection[object], kind: str, found: str
) -> None:
    """A line each, with what it is behind a tab; what a name holds cannot act on a terminal."""
    for statement in (
        "INSERT INTO dealerships (name) VALUES (E'Bilby\x1b[31m\nCreek')",
        "INSERT INTO tenants (ruc, name) VALUES ('1790012345001', 'Andina')",
        (
            "INSERT INTO job_runs (id, job, trigger, host, pid, version, status, started_at) VALUES"
            " ('aaaaaaaa-0000-4000-8000-000000000000', 'stock-sync', 'timer', 'h', 1, '0', 'partial',"
            " '2026-11-22 07:34Z')"
        ),
        (
            "INSERT INTO holds (dealership_id, stock_numbers, listed_before, listed_now, reason)"
            " VALUES (1, '{A}', 2, 1, 'limit')"
        ),
        "INSERT INTO alerts (kind, subject) VALUES ('storage', 'generate-ride'), ('storage', 'two words')",
    ):
        connection.execute(statement.encode())

    assert (cli("values", kind).out, cli("values", kind).err) == (found, "")


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://x@127.0.0.1:{server.getsockname()[1]}/x"


@pytest.mark.parametrize("url", ["{silent}", "postgresql://x@127.0.0.1:1/x", "nonsense", ""])
def test_values_are_silent_and_in_time(lookup: Cli, silent: str, url: str, tmp_path: Path) -> None:
    """Whatever is wrong, a person in the middle of typing reads nothing of it, and waits for less than a second."""
    began = time.monotonic()
    ran = lookup("values", "dealership", JOBSYNC_DATABASE_URL=url.format(silent=silent), HOME=str(tmp_path))

    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("shell", Shell)
def test_every_command_and_option_is_known(shell: Shell) -> None:
    """Nothing of the command line is missing in a script."""
    tree = read_tree()
    text = render(shell, tree)
    names = {child.name for command in tree.walk() for child in command.commands}
    options = {name for command in tree.walk() for option in command.options for name in option.names}
    spelled = {f"-l {name[2:]}" if shell == "fish" and name.startswith("--") else name for name in options}

    assert [name for name in sorted(names | spelled) if name not in text] == []


@pytest.mark.parametrize("shell", Shell)
def test_shell_can_read_its_script(shell: Shell) -> None:
    """The script has no mistake, also for a help text full of quotes."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    for tree in (read_tree(), HOSTILE):
        script = render(shell, tree)
        ran = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (0, "")


def test_help_texts_cannot_leave_their_quotes() -> None:
    """A single quote or backslash in a help text becomes something harmless."""
    text = render(Shell.FISH, HOSTILE) + render(Shell.ZSH, HOSTILE)

    assert "It's" not in text
    assert "\\fB" not in text


@pytest.mark.parametrize("shell", Shell)
def test_command_prints_the_script(lookup: Cli, shell: Shell) -> None:
    """`jobsync completion SHELL` prints exactly it."""
    ran = lookup("completion", shell)

    assert (ran.code, ran.out) == (0, render(shell, read_tree()))


def test_unknown_shell_is_a_usage_error(lookup: Cli) -> None:
    """It names what it knows."""
    ran = lookup("completion", "tcsh")

    assert ran.code == 2
    assert "fish" in ran.err
