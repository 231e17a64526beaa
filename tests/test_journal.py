"""The journal's protocol, as a real socket hears it."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jobsync import journal as module
from jobsync.journal import MESSAGE_IDS, is_journal, send, to_fields
from jobsync.logs import configure_logs, get_logger
from jobsync.masking import register_secret

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the journal is Linux's")
HOSTILE = 'X\nWATCHDOG=1 [red]</script>,"\x1b[31m'
Heard = Callable[[], list[dict[str, str]]]


def parse(data: bytes) -> dict[str, str]:
    """Read the wire format as journald does."""
    fields: dict[str, str] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
        else:
            [length] = struct.unpack_from("<Q", rest)
            name, value = line, rest[8 : 8 + length]
            assert rest[8 + length : 9 + length] == b"\n"
            rest = rest[9 + length :]
        assert re.fullmatch(rb"[A-Z][A-Z0-9_]{0,63}", name), name
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
        data = rest
    return fields


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A bound datagram socket where journald's would be."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(str(tmp_path / "journal"))
        sock.settimeout(5)
        yield sock


@pytest.fixture
def heard(listener: socket.socket) -> Heard:
    """Return the entries that have arrived, whichever way they came."""

    def heard() -> list[dict[str, str]]:
        listener.setblocking(False)
        entries: list[dict[str, str]] = []
        while True:
            try:
                data, ancillary, _, _ = listener.recvmsg(1 << 22, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return entries
            for _, _, descriptors in ancillary:
                assert data == b""
                [descriptor] = struct.unpack("i", descriptors)
                data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
                with pytest.raises(PermissionError):  # sealed
                    os.pwrite(descriptor, b"x", 0)
                os.close(descriptor)
            entries.append(parse(data))

    return heard


@pytest.fixture
def logging(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process's log leads to the listener."""
    monkeypatch.setattr(module, "SOCKET", listener.getsockname())
    found = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    configure_logs("debug")
    yield
    monkeypatch.delenv("JOURNAL_STREAM")
    configure_logs()


@pytest.mark.usefixtures("logging")
def test_event_is_an_entry_with_fields(heard: Heard, capfd: pytest.CaptureFixture[str]) -> None:
    """Every value can be asked for by its name, the message says it all, and standard error stays empty."""
    get_logger().info(
        "check_authorizations.asked",
        job="check-authorizations",
        run_id="6f0c9a3e-0000-4000-8000-000000000001",
        access_key="1" * 49,
        tenant_id=7,
        tenant_ruc="1790012345001",
        outcome="authorized",
        codes=["43"],
        nothing=None,
    )
    [entry] = heard()

    assert "timestamp" not in str(entry).lower()
    assert entry == {
        "MESSAGE": f"check_authorizations.asked: access_key={'1' * 49} tenant_ruc=1790012345001 outcome=authorized"
        ' codes=["43"]',
        "MESSAGE_ID": MESSAGE_IDS["check_authorizations.asked"],
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "jobsync",
        "JOBSYNC_EVENT": "check_authorizations.asked",
        "JOBSYNC_JOB": "check-authorizations",
        "JOBSYNC_RUN_ID": "6f0c9a3e-0000-4000-8000-000000000001",
        "JOBSYNC_ACCESS_KEY": "1" * 49,
        "JOBSYNC_TENANT_ID": "7",
        "JOBSYNC_TENANT_RUC": "1790012345001",
        "JOBSYNC_OUTCOME": "authorized",
        "JOBSYNC_CODES": '["43"]',
    }
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("logging")
@pytest.mark.parametrize(
    ("level", "priority"), [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2")]
)
def test_priority(heard: Heard, level: str, priority: str) -> None:
    """Critical is 2: 0 would be written to every terminal of the host."""
    getattr(get_logger(), level)("x")

    assert [entry["PRIORITY"] for entry in heard()] == [priority]


@pytest.mark.usefixtures("logging")
def test_status_of_a_run_is_its_outcome(heard: Heard) -> None:
    """Verdicts of runs and of items are asked for by one name."""
    get_logger().info("run.finished", status="held", summary="3 dealerships, 2 succeeded", job="stock-sync")
    [entry] = heard()

    assert entry["JOBSYNC_OUTCOME"] == "held"
    assert entry["MESSAGE"] == "run.finished stock-sync: 3 dealerships, 2 succeeded status=held"


@pytest.mark.usefixtures("logging")
def test_hostile_text_forges_nothing(heard: Heard) -> None:
    """A name with line breaks, escapes and markup is one value on one line."""
    get_logger().info("stock_sync.dealership_started", dealership_id=2, name=HOSTILE, error="a\nPRIORITY=0")
    [entry] = heard()

    assert entry["JOBSYNC_NAME"] == 'X WATCHDOG=1 [red]</script>," [31m'
    assert entry["PRIORITY"] == "6"
    assert "\n" not in entry["MESSAGE"]


@pytest.mark.usefixtures("logging")
def test_secret_is_masked_in_every_field(heard: Heard) -> None:
    """Known secrets reach neither message nor fields nor traceback."""
    register_secret("hunter2-hunter2")
    try:
        raise ValueError("hunter2-hunter2")
    except ValueError:
        get_logger().exception("item.bug", error="hunter2-hunter2", also=["hunter2-hunter2"])

    assert "hunter2" not in str(heard())


@pytest.mark.usefixtures("logging")
def test_traceback_is_one_entry(heard: Heard) -> None:
    """A text of several lines stays together."""
    try:
        raise ValueError("broken")
    except ValueError:
        get_logger().exception("run.bug")
    [entry] = heard()

    assert entry["MESSAGE"].startswith("run.bug\nTraceback (most recent call last):\n")
    assert entry["JOBSYNC_TRACEBACK"].endswith("ValueError: broken")


@pytest.mark.parametrize("length", [10, 200_000, 12 << 20], ids=["small", "larger than a datagram", "12 MB"])
def test_large_entry_arrives_whole(
    listener: socket.socket, heard: Heard, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no datagram holds goes as a sealed file in memory."""
    monkeypatch.setattr(module, "SOCKET", listener.getsockname())
    send([("MESSAGE", "Ñ" * (length // 2)), ("PRIORITY", "6")])
    [entry] = heard()

    assert (len(entry["MESSAGE"]), entry["PRIORITY"]) == (length // 2, "6")


def test_names_are_made_to_fit() -> None:
    """journald drops names that it does not like without a word: none of ours is such a name."""
    fields = to_fields({"event": "x", "Señor-1 é": 1, "a" * 100: 2, "1": 3})

    assert all(re.fullmatch("[A-Z][A-Z0-9_]{0,63}", name) for name, _ in fields)
    assert {"1", "2", "3"} <= {text for _, text in fields}


def test_no_two_kinds_share_an_id() -> None:
    """One id, 128 bits, per kind of event."""
    assert len(set(MESSAGE_IDS.values())) == len(MESSAGE_IDS)
    assert all(re.fullmatch("[0-9a-f]{32}", text) for text in MESSAGE_IDS.values())


@pytest.mark.parametrize("stream", ["", "1:2", "nonsense"])
def test_other_streams_are_not_the_journal(stream: str) -> None:
    """Output that was redirected elsewhere stays there."""
    assert not is_journal({"JOURNAL_STREAM": stream} if stream else {})


@pytest.mark.usefixtures("logging")
def test_gone_journal_costs_a_line_on_standard_error(
    listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    """While journald is away its stream gets a JSON line, and the run goes on."""
    configure_logs("debug")  # standard error as it is now
    listener.close()
    Path(module.SOCKET).unlink()
    get_logger().info("run.finished", status="succeeded")

    assert '"event": "run.finished"' in capsys.readouterr().err


@pytest.mark.parametrize(("style", "native"), [("auto", True), ("json", False)])
def test_a_command_under_systemd_speaks_to_the_journal(tmp_path: Path, style: str, native: bool) -> None:
    """A whole process whose standard error is the journal's stream: its complaint has priority err."""
    script = (
        "import os, sys, jobsync.journal as j\n"
        "found = os.fstat(2)\n"
        "os.environ['JOURNAL_STREAM'] = f'{found.st_dev}:{found.st_ino}'\n"
        "j.SOCKET = sys.argv[1]\n"
        "sys.argv = ['jobsync', 'db', 'status']\n"
        "from jobsync.__main__ import main\n"
        "main()\n"
    )
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(str(tmp_path / "journal"))
        sock.setblocking(False)
        environ = {
            "PATH": os.environ["PATH"],
            "JOBSYNC_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
            "JOBSYNC_LOG_FORMAT": style,
        }
        command = [sys.executable, "-c", script, str(tmp_path / "journal")]
        ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 69
        if native:
            entry = parse(sock.recv(65536))
            assert (entry["PRIORITY"], entry["JOBSYNC_EVENT"], ran.stderr) == ("3", "command.failed", "")
        else:
            assert ran.stderr.startswith("jobsync: ")
            with pytest.raises(BlockingIOError):
                sock.recv(65536)
