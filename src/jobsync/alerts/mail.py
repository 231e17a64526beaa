"""Mail, through smtplib: who took it, who refused it, and no word of a password."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import parse_qs, unquote, urlsplit

from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_before_delay, wait_exponential, wait_random

from jobsync.alerts.message import AlertMessage
from jobsync.alerts.post import NotSent, within
from jobsync.errors import ConfigurationProblem
from jobsync.logs import visible
from jobsync.masking import register_secret

# RFC 5321 allows ten minutes from the end of the text on; the units that send may not take that long
MAIL_ANSWER_S = 30.0
MAIL_WITHIN_S = 75.0
_TRIES = 3
_BUSY = 421  # instead of any answer; the server hangs up then
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TLS_WORDS = ("auto", "always", "never")


@dataclass(frozen=True)
class Mail:
    """One mail server and who gets the mail."""

    host: str
    port: int
    to: tuple[str, ...]
    sender: str
    implicit_tls: bool = False
    tls: str = "auto"  # STARTTLS where it is offered; `always` insists on it, `never` does without
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    answer_s: float = MAIL_ANSWER_S  # for one answer; some look for viruses before they take a text
    deadline_s: float = MAIL_WITHIN_S  # for the whole
    name: str = "mail"

    def send(self, message: AlertMessage) -> tuple[str, ...]:
        """
        Hand the message to the server; returns the addresses that it refused, masked, while others have the mail.

        A server that is away or busy is tried again in the same deadline. Raises NotSent where the mail was not taken,
        or perhaps was: a second try has the same Message-ID.
        """
        ends_at = time.monotonic() + self.deadline_s
        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, NotSent) and error.passing),
            stop=stop_after_attempt(_TRIES) | stop_before_delay(self.deadline_s),
            wait=wait_exponential(multiplier=0.5, max=2) + wait_random(0, 0.5),
            reraise=True,
        )
        refused = retrying(lambda: self._hand_over(message, ends_at - time.monotonic()))
        return tuple(
            f"mail: {self.host} refuses {address[:1]}•••@{visible(address.rpartition('@')[2], most=100)}"
            f" of JOBSYNC_ALERT_TO: {_answer(*answer)}"
            for address, answer in refused.items()
        )

    def _hand_over(self, message: AlertMessage, within_s: float) -> Mapping[str, tuple[int, bytes]]:
        talk = _Talk()
        try:
            return within(within_s, lambda: self._deliver(message, talk), give_up=talk.hang_up)
        except Exception as error:  # noqa: BLE001 - what is no error of the conversation is raised again
            raise self._not_sent(error, sending=talk.sending) from None

    def _deliver(self, message: AlertMessage, talk: _Talk) -> Mapping[str, tuple[int, bytes]]:
        if self.implicit_tls:
            talk.server = smtplib.SMTP_SSL(self.host, self.port, timeout=self.answer_s, context=self._context())
        else:
            talk.server = smtplib.SMTP(self.host, self.port, timeout=self.answer_s)
        server = talk.server
        try:
            server.ehlo_or_helo_if_needed()
            secure = self.implicit_tls
            if not secure and self.tls != "never" and (self.tls == "always" or server.has_extn("starttls")):
                server.starttls(context=self._context())
                secure = True
            if self.user is not None and self.password is not None:
                if not secure and self.tls != "never" and self.host not in _LOOPBACK:
                    raise NotSent(f"mail: {self.host} offers no STARTTLS: the password is not sent in the clear")
                self._log_in(server)
            talk.sending = True
            refused = server.send_message(self._written(message), from_addr=self.sender, to_addrs=list(self.to))
            with suppress(OSError):
                server.putcmd("QUIT")  # taken is taken: what it says to that is not waited for
            return refused
        finally:
            server.close()

    def _log_in(self, server: smtplib.SMTP) -> None:
        user, password = self.user or "", self.password or ""
        plain = b64encode(f"\0{user}\0{password}".encode()).decode()
        register_secret(plain.rstrip("="))  # a server may quote what it got; a short password is not found within it
        if f"{user}{password}".isascii():
            server.login(user, password)
            return
        code, words = server.docmd("AUTH", f"PLAIN {plain}")  # RFC 4616: UTF-8, which smtplib's own login has not
        if code not in (235, 503):
            raise smtplib.SMTPAuthenticationError(code, words)

    def _not_sent(self, error: Exception, *, sending: bool) -> Exception:
        """Return what the operator is told of an error; a bug stays one, and what is told already."""
        if not isinstance(error, OSError | ValueError):
            return error
        perhaps = passing = False
        if isinstance(error, smtplib.SMTPAuthenticationError):  # its words may quote a piece of what it got
            words = f" refuses user or password of JOBSYNC_SMTP_URL ({error.smtp_code})"
        elif isinstance(error, smtplib.SMTPRecipientsRefused):
            busy = [answer for answer in error.recipients.values() if answer[0] == _BUSY]
            answer = next(iter(busy or error.recipients.values()))
            words = f" {'answers' if busy else 'refuses every address of JOBSYNC_ALERT_TO:'} {_answer(*answer)}"
            passing = bool(busy)
        elif isinstance(error, smtplib.SMTPResponseException):
            words = f" answers {_answer(error.smtp_code, error.smtp_error)}"
            # a code with words that are no bytes is smtplib's own, for an answer that it could not read
            perhaps = sending and (isinstance(error.smtp_error, str) or not 400 <= error.smtp_code < 600)
            passing = error.smtp_code == _BUSY
        elif isinstance(error, UnicodeError):  # its words would quote what cannot be written
            words = ": JOBSYNC_SMTP_URL or JOBSYNC_ALERT_TO has letters that cannot be sent"
        else:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            words = f":{self.port}: {visible(said, most=200)}{' while it was handed over' * sending}"
            perhaps = sending
            lasts = isinstance(error, smtplib.SMTPException) and not isinstance(error, smtplib.SMTPServerDisconnected)
            passing = not (sending or lasts or isinstance(error, ssl.SSLError | ValueError))
        return NotSent(f"mail: {self.host}{words}", perhaps=perhaps, passing=passing)

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.host in _LOOPBACK or (self.tls == "auto" and not self.implicit_tls and self.password is None):
            # better than plain text, which is the alternative; there is no secret in it
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def _written(self, message: AlertMessage) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        mail["Subject"] = message.title
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.to)
        mail["Date"] = format_datetime(message.sent_at)
        mail["Message-ID"] = f"<{message.identity}@jobsync.invalid>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text(), charset="utf-8")
        return mail


@dataclass
class _Talk:
    """One conversation with a mail server."""

    server: smtplib.SMTP | None = None
    sending: bool = False  # the message is being handed over

    def hang_up(self) -> None:
        if self.server is not None:
            self.server.close()


def _answer(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return visible(f"{code} {text}", most=200)


def parse_mail(url: str | None, to: str | None) -> Mail:
    """
    Return the mail channel of JOBSYNC_SMTP_URL and JOBSYNC_ALERT_TO (addresses, commas between).

    `smtp[s]://[user:password@]host[:port][?starttls=auto|always|never][&from=address]`

    Raises ConfigurationProblem, which names all that is wrong, without the password.
    """
    if not url or not to:
        missing = "JOBSYNC_ALERT_TO" if url else "JOBSYNC_SMTP_URL"
        raise ConfigurationProblem(f"mail alerts need JOBSYNC_SMTP_URL and JOBSYNC_ALERT_TO; {missing} is not set")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationProblem("JOBSYNC_SMTP_URL: its port is no number") from None
    query = parse_qs(parts.query)
    tls = query.get("starttls", ["auto"])[-1].lower()
    problems = []
    if not parts.hostname:
        problems.append("JOBSYNC_SMTP_URL: no host")
    if tls not in _TLS_WORDS:
        problems.append("JOBSYNC_SMTP_URL: starttls is one of auto, always, never")
    addresses = tuple(part.strip() for part in to.split(",") if part.strip())
    wrong = [address for address in addresses if not _is_address(address)]
    if wrong or not addresses:
        problems.append(f"JOBSYNC_ALERT_TO: {visible(', '.join(wrong)) or 'nobody'} is no mail address")
    host = re.sub("[^A-Za-z0-9.-]", "", socket.gethostname()) or "localhost"
    sender = query.get("from", [f"jobsync@{host}" if "." in host else f"jobsync@{host}.localdomain"])[-1]
    if not _is_address(sender):
        problems.append("JOBSYNC_SMTP_URL: from is no mail address")
    if problems:
        raise ConfigurationProblem("; ".join(problems))
    implicit = parts.scheme == "smtps"
    return Mail(
        host=parts.hostname or "",
        port=port or (465 if implicit else 587 if parts.username else 25),
        to=addresses,
        sender=sender,
        implicit_tls=implicit,
        tls=tls,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password is not None else None,
    )


def _is_address(text: str) -> bool:
    """Whether a text can stand in a header and an envelope as one address."""
    name, at, domain = text.rpartition("@")
    plain = all(sign.isprintable() and sign not in ' ,;:<>()[]"\\' for sign in text)
    return bool(name and at and domain) and plain and "@" not in name and text.isascii() and len(text) <= 254
