"""One conversation with a mail server: it ends, whatever the server does, and says what is known of the mail then."""

from __future__ import annotations

import base64
import hmac
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from jobsync.masking import register_secret

_MOST_BYTES = 1 << 20  # of all that a server says
_MOST_ROUNDS = 5  # of one login
_QUIT_S = 2.0


class Conversation:
    """
    What is known of one mail while it is handed over.

    Args:
        before_s: how long the server may be silent until it has the whole text.
        after_s: the same from then on; some look for viruses before they answer.
    """

    def __init__(self, *, before_s: float, after_s: float) -> None:
        self.before_s = before_s
        self.after_s = after_s
        self.handed_over = False
        self.taken = False
        self.refused: Mapping[str, tuple[int, bytes]] = {}
        self.logged_in_with: list[str] = []
        self._server: smtplib.SMTP | None = None

    def connect(self, host: str, port: int, *, tls: ssl.SSLContext | None) -> smtplib.SMTP:
        """Return the server, once it has greeted us; with `tls`, inside TLS from the first byte on."""
        if tls is None:
            return _Plain(self, host, port, timeout=self.before_s)
        return _Tls(self, host, port, timeout=self.before_s, context=tls)

    def hold(self, server: smtplib.SMTP) -> None:
        """Remember whom to hang up on."""
        self._server = server

    def quit(self) -> None:
        """Say goodbye, if there is time; what was taken is taken."""
        if self._server is not None and self._server.sock is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._server.sock.settimeout(_QUIT_S)
                self._server.quit()

    def hang_up(self) -> None:
        """End it now, from another thread too."""
        sock = getattr(self._server, "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Bounded:
    """The server's answers, up to so many bytes."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = _MOST_BYTES

    def readline(self, most: int) -> bytes:
        line: bytes = self._file.readline(most)
        self._left -= len(line)
        if self._left < 0:
            raise OSError("it says too much")
        return line

    def close(self) -> None:
        self._file.close()


class _Watched(smtplib.SMTP):
    """smtplib's client, which tells its conversation how far it is, and logs in with more than ASCII."""

    def __init__(self, conversation: Conversation, *args: Any, **more: Any) -> None:
        self._conversation = conversation
        super().__init__(*args, **more)

    def connect(self, *args: Any, **more: Any) -> tuple[int, bytes]:
        self._conversation.hold(self)
        return super().connect(*args, **more)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _Bounded(self.sock.makefile("rb"))
        return super().getreply()

    def data(self, msg: Any) -> tuple[int, bytes]:
        code, words = self.docmd("DATA")
        if code != 354:
            raise smtplib.SMTPDataError(code, words)
        lines = re.sub(rb"(?m)^\.", b"..", bytes(msg))
        if self.sock is not None:
            self.sock.settimeout(self._conversation.after_s)
        self._conversation.handed_over = True  # from here on only an answer can say that it was not taken
        self.send(lines + (b".\r\n" if lines.endswith(b"\r\n") else b"\r\n.\r\n"))
        code, words = self.getreply()
        if 400 <= code < 600:
            self._conversation.handed_over = False
            if self.sock is not None:
                self.sock.settimeout(_QUIT_S)  # smtplib says RSET now
        return code, words

    def auth(
        self, mechanism: str, authobject: Callable[..., Any], *, initial_response_ok: bool = True
    ) -> tuple[int, bytes]:
        """Log in as RFC 4616 wants it: user and password in UTF-8."""
        first = authobject() if initial_response_ok else None
        code, words = self.docmd("AUTH", mechanism.upper() if first is None else f"{mechanism} {self._sasl(first)}")
        self._auth_challenge_count = 0 if first is None else 1
        for _ in range(_MOST_ROUNDS):
            if code != 334:
                break
            self._auth_challenge_count += 1
            with suppress(ValueError):  # a challenge that is none: the login fails by itself
                words = base64.b64decode(words)
            code, words = self.docmd(self._sasl(authobject(words)))
        if code in (235, 503):
            return code, words
        raise smtplib.SMTPAuthenticationError(code, words)

    def auth_cram_md5(self, challenge: Any = None) -> Any:
        if challenge is None:
            return None
        return f"{self.user} {hmac.new(_bytes_of(self.password), challenge, 'md5').hexdigest()}"

    def _sasl(self, text: str) -> str:
        """Return the form that goes over the wire; whoever quotes it back quotes the password."""
        form = base64.b64encode(_bytes_of(text)).decode()
        register_secret(form)
        register_secret(form.rstrip("="))
        self._conversation.logged_in_with.append(form)
        return form


class _Plain(_Watched):
    pass


class _Tls(_Watched, smtplib.SMTP_SSL):
    pass


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
