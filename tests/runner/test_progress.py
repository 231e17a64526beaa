"""Progress outward, as systemd would hear it on a real socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from jobsync.runner import progress as module
from jobsync.runner.progress import Progress, notify_systemd


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """A bound datagram socket, as $NOTIFY_SOCKET names it."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


def messages(sock: socket.socket) -> list[str]:
    """Return what has arrived."""
    sock.setblocking(False)
    found = []
    while True:
        try:
            found.append(sock.recv(65536).decode())
        except BlockingIOError:
            return found


def reporting(environ: dict[str, str], rows: list[tuple[int, int]] | None = None) -> Progress:
    written = rows if rows is not None else []
    return Progress(noun="things", environ=environ, write_row=lambda done, failed: written.append((done, failed)))


def test_status_text_is_utf8(heard: socket.socket) -> None:
    """Letters beyond ASCII arrive as UTF-8, whatever the process's own encoding."""
    notify_systemd({"NOTIFY_SOCKET": heard.getsockname()}, "STATUS=El Niño — ¡bien!", "WATCHDOG=1")

    assert "STATUS=El Niño — ¡bien!\nWATCHDOG=1".encode() == heard.recv(4096)


def test_address_in_the_abstract_space() -> None:
    """An address with @ is the abstract name without it."""
    name = f"jobsync-test-{uuid4()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(f"\0{name}")
        sock.settimeout(5)
        notify_systemd({"NOTIFY_SOCKET": f"@{name}"}, "STATUS=here")

        assert sock.recv(4096) == b"STATUS=here"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "vsock:2:1234", "relative"])
def test_nobody_listening_is_nothing(address: str) -> None:
    """A missing, stale or foreign address never disturbs the run."""
    notify_systemd({"NOTIFY_SOCKET": address}, "STATUS=hello")


def test_hostile_text_feeds_no_watchdog(heard: socket.socket) -> None:
    """Whatever stands in a status, it is one line: no assignment can hide in it."""
    hostile = 'X\nWATCHDOG=1 [red]</script>,"\x1b[31m'
    notify_systemd({"NOTIFY_SOCKET": heard.getsockname()}, f"STATUS={hostile}")
    progress = Progress(
        noun=hostile, environ={"NOTIFY_SOCKET": heard.getsockname()}, write_row=lambda _done, _failed: None
    )
    progress.start(1)
    progress.advance(failed=False)
    lines = [line for text in messages(heard) for line in text.split("\n")]

    assert [line.partition("=")[0] for line in lines] == ["STATUS"] * 3
    assert lines[2] == 'STATUS=1/1 X WATCHDOG=1 [red]</script>," [31m'


def test_lone_surrogate_does_not_stop_the_message(heard: socket.socket) -> None:
    """What UTF-8 cannot say is replaced; the message goes out all the same."""
    notify_systemd({"NOTIFY_SOCKET": heard.getsockname()}, "STATUS=a\ud800b")

    assert heard.recv(4096) == b"STATUS=a?b"


def test_status_says_how_far_and_how_many_failed(heard: socket.socket) -> None:
    """Each finished item updates one line; failures are named once there are any."""
    progress = reporting({"NOTIFY_SOCKET": heard.getsockname()})
    progress.start(3)
    progress.advance(failed=False)
    progress.advance(failed=True)

    assert messages(heard) == ["STATUS=0/3 things", "STATUS=1/3 things", "STATUS=2/3 things, 1 failed"]


def test_watchdog_is_fed_by_progress_only(heard: socket.socket) -> None:
    """A finished item feeds the watchdog; the passing of time and the start do not."""
    progress = reporting({"NOTIFY_SOCKET": heard.getsockname(), "WATCHDOG_USEC": "1000000"})
    progress.start(2)
    progress.beat()
    progress.beat()
    before = [text for text in messages(heard) if "WATCHDOG" in text]
    progress.advance(failed=False)
    progress.beat()

    assert (before, messages(heard)) == ([], ["STATUS=1/2 things\nWATCHDOG=1"])


@pytest.mark.parametrize(
    ("environ", "fed"),
    [
        ({}, False),
        ({"WATCHDOG_USEC": "1000000"}, True),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, False),
    ],
)
def test_watchdog_is_fed_where_it_watches_us(heard: socket.socket, environ: dict[str, str], fed: bool) -> None:
    """No watchdog, or one that watches another process, gets nothing from us."""
    reporting({"NOTIFY_SOCKET": heard.getsockname(), **environ}).advance(failed=False)

    assert fed is ("WATCHDOG=1" in messages(heard)[0])


def test_row_is_written_after_a_change_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is written once for each change that somebody could see, not at every beat."""
    monkeypatch.setattr(module, "ROW_EVERY_S", 0.0)
    rows: list[tuple[int, int]] = []
    progress = reporting({}, rows)
    progress.beat()
    progress.advance(failed=True)
    progress.beat()
    progress.beat()

    assert rows == [(1, 1)]


def test_row_is_written_at_most_every_two_seconds() -> None:
    """Fast items do not turn into a write each."""
    rows: list[tuple[int, int]] = []
    progress = reporting({}, rows)
    for _ in range(100):
        progress.advance(failed=False)
        progress.beat()

    assert (rows, module.ROW_EVERY_S) == ([], 2.0)
