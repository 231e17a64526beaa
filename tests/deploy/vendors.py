"""Services of the test's machine: a stand-in SRI, and a mail server that keeps what it is given in a folder."""

from __future__ import annotations

import signal
import socketserver
import sys
from collections import Counter
from pathlib import Path

from jobsync.sandbox.serve import serve
from tests.commands.sri import Sri
from tests.sri import documents


def serve_sri(port: int) -> None:
    """In process at the first question about a document, then authorized; until SIGTERM."""
    asked: Counter[str] = Counter()

    def answer(key: str) -> bytes:
        asked[key] += 1
        return documents.in_process(key) if asked[key] < 2 else documents.authorized(key)

    sri = Sri()
    sri.default = answer
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    with serve(sri, port=port, path=""):
        signal.sigwait([signal.SIGTERM])


class _Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP as handing over a message takes (RFC 5321)."""

    folder = Path("/srv/mails")

    def handle(self) -> None:
        self._say("220 mailbox")
        while line := self.rfile.readline():
            word = line.split(maxsplit=1)[0].upper() if line.strip() else b""
            if word == b"DATA":
                self._say("354 go on")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                path = self.folder / f"{len(list(self.folder.glob('*.eml')))}.part"
                path.write_bytes(text)
                path.rename(path.with_suffix(".eml"))
            self._say("221 bye" if word == b"QUIT" else "250 mailbox")
            if word == b"QUIT":
                return

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


def serve_mail(port: int) -> None:
    """Take mail until the process is ended."""
    _Mailbox.folder.mkdir(exist_ok=True)
    with socketserver.ThreadingTCPServer(("127.0.0.1", port), _Mailbox) as server:
        server.serve_forever()


if __name__ == "__main__":
    {"sri": serve_sri, "mail": serve_mail}[sys.argv[1]](int(sys.argv[2]))
