"""Progress outward: systemd's STATUS= and WATCHDOG=1, a terminal's line, a log line now and then, the run's row."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping

from jobsync.logs import get_logger, show_progress, visible

ROW_EVERY_S = 2.0
LOG_EVERY_S = 300.0


def notify_systemd(environ: Mapping[str, str], *lines: str) -> None:
    """
    Send state lines to systemd as UTF-8, each of them one line; nothing happens without a listener.

    Source: sd_notify(3): datagrams of newline-separated assignments to $NOTIFY_SOCKET, "@" for the abstract space.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        text = "\n".join(line.replace("\n", " ") for line in lines)  # a second line would be an assignment of its own
        sock.sendto(text.encode("utf-8", "replace"), address)


class Progress:
    """Counts finished items of one run, tells whoever listens; `write_row` gets (done, failed) at most every 2 s."""

    def __init__(self, *, noun: str, environ: Mapping[str, str], write_row: Callable[[int, int], None]) -> None:
        self._noun = noun
        self._environ = environ
        self._write_row = write_row
        self._watched = "WATCHDOG_USEC" in environ and environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.total = 0
        self.done = 0
        self.failed = 0
        self._told = (0, 0)
        self._row_at = self._log_at = time.monotonic()
        self._one_at_a_time = threading.Lock()  # several lines of items may report at once

    def start(self, total: int) -> None:
        self.total = total
        self._tell(f"0/{total} {self._noun}")

    def advance(self, *, failed: bool) -> None:
        """One item is finished; only this, never the passing of time, feeds the watchdog."""
        with self._one_at_a_time:
            self.done += 1
            self.failed += failed
        tail = f", {self.failed} failed" if self.failed else ""
        text = visible(f"{self.done}/{self.total} {self._noun}{tail}")
        self._tell(text, *(["WATCHDOG=1"] if self._watched else []))

    def _tell(self, text: str, *lines: str) -> None:
        notify_systemd(self._environ, f"STATUS={text}", *lines)
        show_progress(text)

    def beat(self) -> None:
        """Called about once a second while the run waits."""
        now = time.monotonic()
        with self._one_at_a_time:
            row_is_due = (self.done, self.failed) != self._told and now - self._row_at >= ROW_EVERY_S
            line_is_due = now - self._log_at >= LOG_EVERY_S
            if row_is_due:
                self._told, self._row_at = (self.done, self.failed), now
            if line_is_due:
                self._log_at = now
        if row_is_due:
            self._write_row(self.done, self.failed)
        if line_is_due:
            get_logger().info("run.progress", done=self.done, total=self.total, failed=self.failed)
