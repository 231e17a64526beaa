"""What a person reads at a terminal: keys that can be copied whole, quiet runs, help that is not cut."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync import logs
from jobsync.cli.main import run
from jobsync.cli.output import print_facts, print_table
from jobsync.sandbox.serve import serve
from jobsync.wiring import Tools
from tests.commands.sri import Sri
from tests.commands.support import Cli
from tests.sri import documents
from tests.sri.documents import OTHER_RUC, RUC, invoice, make_key
from tests.tree import read_tree

Connection = psycopg.Connection[tuple[object, ...]]
WIDTHS = (60, 80, 97, 100, 120, 200)
WAITS, REFUSED, GRANTED, FAULTY = (make_key(number) for number in range(1, 5))
KEY = re.compile(r"(?<!\d)\d{49}(?!\d)")


class Terminal(io.StringIO):
    """A stream that calls itself a terminal."""

    def isatty(self) -> bool:
        """It does."""
        return True


Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Typed]:
    """Run a command as somebody does at a terminal of so many columns; returns exit code and both streams."""
    monkeypatch.delenv("JOBSYNC_LOG_FORMAT", raising=False)
    plain = {name: value for name, value in cli.environ.items() if name != "JOBSYNC_LOG_FORMAT"}

    def typed(*arguments: str, columns: int = 100, **more: str) -> tuple[int, str, str]:
        out, err = Terminal(), Terminal()
        with monkeypatch.context() as patch:
            patch.setenv("COLUMNS", str(columns))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            environ = {**plain, "TERM": "xterm-256color", **more}
            code = run(arguments, Tools(environ, pause=lambda _seconds: True))
        return code, out.getvalue(), re.sub(r"\x1b\[[0-9;]*m", "", err.getvalue())

    yield typed
    logs.end_progress()


@pytest.fixture
def cli(environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Commands with a tenant and four documents: the SRI has one in process, refuses one, grants one, chokes on one."""
    sri = Sri()
    sri.answers = {
        WAITS: documents.in_process(WAITS),
        REFUSED: documents.refused(REFUSED, 39),
        GRANTED: documents.authorized(GRANTED),
        FAULTY: ("200 OK", b"<html>maintenance, for as long as it takes</html>"),
    }
    environ["JOBSYNC_STORAGE"] = str(tmp_path / "rides")
    with serve(sri, path="") as served:
        cli = Cli({**environ, "JOBSYNC_SRI_URL": served.url}, capsys)
        assert cli("settings", "set", "sri_call_delay_ms", "0").code == 0
        assert cli("tenant", "add", RUC, "Emisora Inventada de Nombre Largo", "--environment", "test").code == 0
        for key in (WAITS, REFUSED, GRANTED, FAULTY):
            (tmp_path / f"{key}.xml").write_bytes(invoice(key))
        assert cli("invoice", "import", str(tmp_path)).code == 0
        yield cli


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", WIDTHS)
def test_no_access_key_is_folded_or_cut(typed: Typed, columns: int) -> None:
    """In every table that holds one, at every width: 49 digits, all of them in one row of the screen."""
    shown = {
        "check": typed("check-authorizations", columns=columns),
        "list": typed("invoice", "list", columns=columns),
        "show": typed("invoice", "show", REFUSED, columns=columns),
        "recheck": typed("invoice", "recheck", REFUSED, columns=columns),
        "audit": typed("audit", columns=columns),
        "ride": typed("generate-ride", columns=columns),
        "not yet": typed("generate-ride", "--access-key", WAITS, columns=columns),
        "runs": typed("runs", "show", run_id(typed), columns=columns),
    }

    for name, (_, out, _) in shown.items():
        lines = [line for line in out.splitlines() if not line.endswith("_ride.pdf")]
        found = [(line, match) for line in lines for match in KEY.finditer(line)]
        assert found, name
        for line, match in found:
            assert match.start() // columns == (match.end() - 1) // columns, f"{name}: {line}"
    assert {WAITS, REFUSED, GRANTED, FAULTY} == set(KEY.findall(shown["list"][1]))


def run_id(typed: Typed) -> str:
    """Return the id of the first check of authorizations, one of whose items failed."""
    _, out, _ = typed("runs", "list", "--job", "check-authorizations", columns=200)
    found = re.findall(r"^[0-9a-f]{8}", out, re.MULTILINE)
    return str(found[-1])


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Terminal]:
    """Make standard output a terminal of so many columns."""

    def screen(columns: int) -> Terminal:
        terminal = Terminal()
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "stdout", terminal)
        return terminal

    return screen


ROW = ["rejected", 7, "2026-06-14 10:00:00Z", make_key(1), "ñandú " * 30]
HEADS = ["status", "number", "at", "key", "error"]


@pytest.mark.parametrize("columns", WIDTHS)
def test_no_line_of_a_table_is_longer_than_the_screen(screen: Callable[[int], Terminal], columns: int) -> None:
    """The last columns move below their row, each with its name; nothing is lost."""
    terminal = screen(columns)

    print_table(HEADS, [ROW, ["pending", 12, None, make_key(2), None]])

    lines = terminal.getvalue().splitlines()
    assert max(len(line) for line in lines) <= columns
    assert terminal.getvalue().count("ñandú") == 30
    assert f"key: {make_key(2)}" in terminal.getvalue() or columns >= 97
    assert "error: -" not in terminal.getvalue()


def test_table_off_a_terminal_has_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever its width: programs cut columns, not screens."""
    print_table(HEADS, [ROW, ROW])

    assert len(capsys.readouterr().out.splitlines()) == 3


def test_wide_signs_keep_columns_straight(capsys: pytest.CaptureFixture[str]) -> None:
    """A sign of two columns counts as two, a combining one as none."""
    print_table(["name", "key"], [["自動車", "a"], ["nandu\u0301", "b"]])

    assert capsys.readouterr().out.splitlines()[1:] == ["自動車  a", "nandu\u0301   b"]


def test_numbers_stand_to_the_right_and_keys_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    """Digits without end are names; a column without any value is no number."""
    print_table(["bytes", "none", "key"], [[5, None, make_key(1)], [33128, None, make_key(2)]])

    assert capsys.readouterr().out.splitlines() == [
        "bytes  none  key",
        f"    5  -     {make_key(1)}",
        f"33128  -     {make_key(2)}",
    ]


def test_facts_are_not_broken_in_mid_word(screen: Callable[[int], Terminal]) -> None:
    """Long values go on below their beginning; one long word has its own line."""
    terminal = screen(60)

    print_facts({"what to do": "Sign the document anew with a valid certificate and send it again", "sha256": "f" * 58})

    assert terminal.getvalue().splitlines() == [
        "what to do  Sign the document anew with a valid certificate",
        "            and send it again",
        "sha256",
        "  " + "f" * 58,
    ]


def test_a_real_terminal_is_measured() -> None:
    """A command in a pseudo-terminal of 60 columns keeps to them."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 60, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    words = [sys.executable, "-m", "jobsync", "sri", "explain", "39"]
    ran = subprocess.run(words, stdout=theirs, env=environ, timeout=60)
    said = os.read(ours, 65536).decode()
    os.close(theirs)
    os.close(ours)

    assert ran.returncode == 0
    assert "Sign anew and send it" in said
    assert max(len(line) for line in said.splitlines()) <= 60


def test_list_is_short_at_80_and_120(typed: Typed) -> None:
    """No line of invoice list or generate-ride is longer than the screen; the file's own path aside."""
    for columns in (80, 120):
        typed("check-authorizations")
        for words in (("invoice", "list"), ("generate-ride",)):
            _, out, _ = typed(*words, columns=columns)
            lines = [line for line in out.splitlines() if "rides" not in line and not line.endswith("_ride.pdf")]
            assert max(len(line) for line in lines) <= columns


def test_refused_document_shows_nothing_of_printing(typed: Typed) -> None:
    """ride_attempts and ride_next_at are about authorized documents; the machine's form keeps them."""
    typed("check-authorizations")

    assert "ride_" not in typed("invoice", "show", REFUSED)[1]
    assert "ride_attempts" in typed("invoice", "show", GRANTED)[1]
    assert "ride_attempts" in typed("invoice", "show", REFUSED, "--json")[1]


# --- runs typed at a terminal ----------------------------------------------------------------------------------------


def test_hand_run_shows_progress_warnings_and_a_table(typed: Typed) -> None:
    """No line for what is in order; what is not is told once more; the verdict is the last line of the table."""
    code, out, err = typed("check-authorizations")

    assert code == 3
    assert "4/4 documents, 1 failed" in err
    assert "reason=firewall" in err
    assert "reason=in_process" not in err
    assert "run.finished" not in err
    assert out.splitlines()[-1].startswith("partial: 4 eligible")
    assert err.endswith("\r\x1b[K")


def test_a_warning_at_a_terminal_is_brief(typed: Typed) -> None:
    """Time of day and what is wrong: who waits for this one run needs no ids of it."""
    _, _, err = typed("check-authorizations", columns=80)
    [line] = [line for line in err.replace("\r\x1b[K", "\n").splitlines() if "reason=firewall" in line]

    assert re.match(r"\d\d:\d\d:\d\d \[", line)
    assert ("run_id=" in line, "job=" in line, FAULTY in line) == (False, False, True)


def test_hand_run_says_how_many_of_each_outcome(typed: Typed) -> None:
    """A document that is refused, and one that waits, were checked with success: the sum alone says little."""
    _, out, _ = typed("check-authorizations")

    verdict = "partial: 4 eligible, 3 succeeded, 1 failed; 1 authorized, 1 fault, 1 pending, 1 rejected"
    assert verdict == out.splitlines()[-1]


def test_runs_take_a_line_each_at_80_columns(typed: Typed) -> None:
    """Longest job and status; an error below; on a wide screen, and off it, every column."""
    typed("check-authorizations")
    _, out, _ = typed("runs", "list", columns=80)
    heads, rule, run, *more = out.splitlines()

    assert ["run", "job", "trigger", "status", "started", "succeeded"] == heads.split()[:6]
    assert ("3/4", []) == (run[: len(heads)].split()[6], more)
    assert max(map(len, (heads, rule, run))) <= 80
    assert {"seconds", "eligible", "exit"} < set(typed("runs", "list", columns=200)[1].split())


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (("check-authorizations",), {"JOBSYNC_LOG_LEVEL": "info"}),
        (("check-authorizations",), {"JOBSYNC_LOG_FORMAT": "json"}),
        (("check-authorizations", "--scheduled"), {}),
    ],
    ids=["level", "json", "scheduled"],
)
def test_every_line_comes_back_where_it_is_wanted(typed: Typed, words: tuple[str, ...], more: dict[str, str]) -> None:
    """Whoever asks for a level or a format gets it; a tick says what ticks say."""
    _, _, err = typed(*words, **more)

    assert "in_process" in err
    assert "run.finished" in err
    assert "4/4 documents" not in err


def test_off_a_terminal_nothing_changes(cli: Cli) -> None:
    """Pipes, cron and the journal get each line, with both fields that the journal is asked by."""
    ran = cli("check-authorizations")

    assert '"event": "run.finished"' in ran.err
    assert f'"item": "{WAITS}"' in ran.err
    assert f'"access_key": "{WAITS}"' in ran.err


def test_line_at_a_terminal_says_the_key_once(typed: Typed) -> None:
    """`item` is left out where it repeats the access key."""
    _, _, err = typed("check-authorizations", JOBSYNC_LOG_LEVEL="info")

    [line] = [line for line in err.splitlines() if "in_process" in line]
    assert line.count(WAITS) == 1


def test_dumb_terminal_has_no_progress(typed: Typed) -> None:
    """Where a line cannot be taken back none is written."""
    _, _, err = typed("check-authorizations", TERM="dumb")

    assert "documents" not in err
    assert "\x1b[K" not in err


# --- what is asked for by name and cannot be printed -----------------------------------------------------------------


STATES = {
    "pending_authorization": "jobsync check-authorizations --access-key",
    "rejected": "jobsync invoice show",
    "needs_attention": "jobsync invoice show",
    "cancelled": "cancelled here",
}


@pytest.mark.parametrize(("status", "words"), STATES.items(), ids=STATES)
def test_ride_of_an_unauthorized_document_says_why_and_what_to_do(
    cli: Cli, connection: Connection, status: str, words: str
) -> None:
    """Exit 3: somebody asked for it and does not have it."""
    connection.execute("UPDATE invoices SET status = %s WHERE access_key = %s", [status, WAITS])

    ran = cli("generate-ride", "--access-key", WAITS, "--json")

    [item] = ran.json["items"]
    assert (ran.code, item["status"], item["reason"]) == (3, "skipped", "not_authorized")
    assert words in item["error"]


def test_ride_that_is_there_says_how_to_print_it_anew(cli: Cli) -> None:
    """Nothing is wrong: exit 0."""
    cli("check-authorizations")
    cli("generate-ride")

    ran = cli("generate-ride", "--access-key", GRANTED, "--json")

    assert (ran.code, ran.json["items"][0]["reason"]) == (0, "already_rendered")
    assert f"--force --access-key {GRANTED}" in ran.json["items"][0]["error"]


# --- files of nobody -------------------------------------------------------------------------------------------------


def test_files_of_an_unknown_tenant_are_told_once(cli: Cli, tmp_path: Path) -> None:
    """A line for each RUC: how many, and the command that adds it, name and environment with it."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    for number in range(3):
        key = make_key(number, ruc=OTHER_RUC)
        (folder / f"{number}.xml").write_bytes(invoice(key, ruc=OTHER_RUC))
    (folder / "empty.xml").write_bytes(b"")

    ran = cli("invoice", "import", str(folder))

    about = [line for line in ran.err.splitlines() if OTHER_RUC in line]
    assert (ran.code, len(about)) == (1, 1)
    assert f"3 files: no tenant has the RUC {OTHER_RUC}; add it: jobsync tenant add {OTHER_RUC} '" in about[0]
    assert about[0].endswith("--environment test")
    assert "empty.xml" in ran.err


def test_one_file_is_one_file(cli: Cli, tmp_path: Path) -> None:
    """No plural of one."""
    assert cli("invoice", "import", str(tmp_path / f"{WAITS}.xml")).out == "1 file: 1 unchanged\n"


# --- help --------------------------------------------------------------------------------------------


def test_no_summary_of_a_command_is_cut_at_80(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """Every list of commands says each command's first sentence whole."""
    monkeypatch.setenv("COLUMNS", "80")
    for group in [command for command in read_tree().walk() if command.commands]:
        listed = Cli({}, capsys)(*group.path[1:], "--help").out.partition("Commands:\n")[2]
        for command in group.commands:
            assert command.help.partition(". ")[0].rstrip(".") in " ".join(listed.split())
        assert "..." not in listed
        assert max(len(line) for line in listed.splitlines()) <= 80


def test_every_argument_and_option_has_its_help() -> None:
    """Nobody has to guess."""
    silent = {
        (*command.path[1:], option.names[-1])
        for command in read_tree().walk()
        for option in (*command.arguments, *command.options)
        if not option.help
    }

    assert silent == set()
