"""How a message leaves the house: mail, webhook, ping; each with a total deadline, and no secret in an error."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

from jobsync import __version__
from jobsync.errors import ConfigurationProblem, JobsyncError
from jobsync.logs import visible
from jobsync.masking import register_secret

if TYPE_CHECKING:
    from jobsync.alerts.smtp import Conversation
    from jobsync.settings import Settings

T = TypeVar("T")

MAIL_WITHIN_S = 20.0
# RFC 5321 allows ten minutes from the end of the text on; the units that send may not take that long
MAIL_TAKEN_WITHIN_S = 60.0
_MAIL_TRIES = 3
WEBHOOK_WITHIN_S = 10.0
PING_WITHIN_S = 5.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TLS_WORDS = ("auto", "always", "never")


class NotSent(JobsyncError):
    """
    A message did not get out; it is tried again at the next alert or health run.

    Args:
        perhaps: the other side had all of it and then did not say: a second try may tell it twice, so it comes later.
        passing: it certainly did not arrive, and may well in a moment.
    """

    def __init__(self, text: str, *, perhaps: bool = False, passing: bool = False) -> None:
        super().__init__(text)
        self.perhaps = perhaps
        self.passing = passing


@dataclass(frozen=True)
class Note:
    """
    One thing a message tells.

    Args:
        phase: opened, reminded or closed.
    """

    subject: str
    kind: str
    phase: str
    text: str
    what_to_do: str
    opened_at: datetime
    closed_at: datetime | None = None
    times: int = 1


@dataclass(frozen=True)
class Message:
    """
    What is sent once to one channel.

    Args:
        repeats: the identity of the message that this one says again, because nobody knows whether it arrived.
    """

    host: str
    sent_at: datetime
    notes: tuple[Note, ...]
    repeats: str | None = None

    @property
    def identity(self) -> str:
        """A name for the message that a repeated try shares; two reminders of the same are two messages."""
        if self.repeats:
            return self.repeats
        parts = [f"{n.subject}\0{n.kind}\0{n.phase}\0{n.opened_at.isoformat()}" for n in self.notes]
        words = "\0".join([self.host, self.sent_at.isoformat(), *parts])
        return blake2b(words.encode("utf-8", "replace"), digest_size=10).hexdigest()

    @property
    def title(self) -> str:
        """One line; safe for a header."""
        words = {"opened": "problem", "reminded": "still", "closed": "recovered"}
        if len(self.notes) == 1:
            [note] = self.notes
            return visible(f"[jobsync] {words[note.phase]}: {note.text}", most=160)
        counts = [(sum(1 for note in self.notes if note.phase == phase), word) for phase, word in words.items()]
        parts = [
            f"{number} {word}{'s' if word == 'problem' and number > 1 else ''}" for number, word in counts if number
        ]
        return f"[jobsync] {', '.join(parts)} on {visible(self.host)}"

    def text(self) -> str:
        """The whole message for a person, plain text."""
        lines: list[str] = []
        heads = {"opened": "PROBLEM", "reminded": "STILL THERE", "closed": "RECOVERED"}
        for phase, head in heads.items():
            for note in [note for note in self.notes if note.phase == phase][:50]:
                lines += [f"{head}: {visible(note.text)}"]
                since = f"  noticed {_utc(note.opened_at)}"
                lines += [f"{since}, over at {_utc(note.closed_at)}" if note.closed_at else since]
                if phase != "closed":
                    lines += [f"  what to do: {visible(note.what_to_do)}"]
                lines += [""]
            left_out = sum(1 for note in self.notes if note.phase == phase) - 50
            if left_out > 0:
                lines += [f"... and {left_out} more: jobsync health", ""]
        return "\n".join([*lines, f"-- jobsync {__version__} on {visible(self.host)}; all of it: jobsync status", ""])

    def as_json(self) -> dict[str, Any]:
        """The webhook's document; `text` is what chat services show."""
        states = {"opened": "firing", "reminded": "reminder", "closed": "resolved"}
        return {
            "source": "jobsync",
            "version": __version__,
            "host": visible(self.host),
            "id": self.identity,
            "sent_at": self.sent_at.isoformat(),
            "text": self.title,
            "alerts": [
                {
                    "subject": visible(note.subject),
                    "kind": note.kind,
                    "status": states[note.phase],
                    "text": visible(note.text),
                    "what_to_do": visible(note.what_to_do),
                    "opened_at": note.opened_at.isoformat(),
                    "closed_at": note.closed_at.isoformat() if note.closed_at else None,
                    "times": note.times,
                }
                for note in self.notes
            ],
        }


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


class Channel(Protocol):
    """A way out: mail or webhook."""

    @property
    def name(self) -> str:
        """Its name in what is remembered."""
        ...

    def send(self, message: Message) -> tuple[str, ...]:
        """Send; returns whom it did not reach although others have it; raises NotSent."""
        ...


def within(
    seconds: float,
    do: Callable[[], T],
    *,
    more_s: Callable[[], float] = lambda: 0.0,
    give_up: Callable[[], None] = lambda: None,
) -> T:
    """
    Return what `do` returns, or raise TimeoutError after this many seconds, whatever it waits for.

    Args:
        more_s: asked at the deadline how much longer it may take.
        give_up: called at the deadline to break the wait off; names are resolved by code that knows no deadline.
    """
    outcome: list[T] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(do())
        except BaseException as problem:  # noqa: BLE001 - handed to whoever waits
            problems.append(problem)

    thread = threading.Thread(target=run, daemon=True, name="jobsync-send")
    thread.start()
    thread.join(seconds)
    if thread.is_alive() and (more := more_s()) > 0:
        seconds += more
        thread.join(more)
    if thread.is_alive():
        give_up()
        raise TimeoutError(f"no end within {seconds:g} s")
    if problems:
        raise problems[0]
    return outcome[0]


# --- mail ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mail:
    """
    One mail server and who gets the mail.

    Args:
        tls: `auto` uses STARTTLS where it is offered, `always` insists, `never` does without.
    """

    host: str
    port: int
    to: tuple[str, ...]
    sender: str
    implicit_tls: bool = False
    tls: str = "auto"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    deadline_s: float = MAIL_WITHIN_S
    taken_within_s: float = MAIL_TAKEN_WITHIN_S
    name: str = "mail"

    def send(self, message: Message) -> tuple[str, ...]:
        """
        Hand the message to the server; returns the addresses that it refused, masked, while others have the mail.

        A server that is away or busy is tried again in the same deadline.

        Raises:
            NotSent: it was not taken, or perhaps it was; a second try has the same Message-ID.
        """
        from tenacity import (
            Retrying,
            retry_if_exception,
            stop_after_attempt,
            stop_before_delay,
            wait_exponential,
            wait_random,
        )

        ends_at = time.monotonic() + self.deadline_s
        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, NotSent) and error.passing),
            stop=stop_after_attempt(_MAIL_TRIES) | stop_before_delay(self.deadline_s),
            wait=wait_exponential(multiplier=0.5, max=2) + wait_random(0, 0.5),
            reraise=True,
        )
        return retrying(lambda: self._hand_over(message, ends_at - time.monotonic()))

    def _hand_over(self, message: Message, within_s: float) -> tuple[str, ...]:
        from jobsync.alerts.smtp import Conversation

        talk = Conversation(before_s=within_s, after_s=self.taken_within_s)
        try:
            within(
                within_s,
                lambda: self._deliver(message, talk),
                more_s=lambda: self.taken_within_s if talk.handed_over and not talk.taken else 0.0,
                give_up=talk.hang_up,
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, what is taken is taken; bugs are raised again
            if not talk.taken:
                raise self._not_sent(error, talk) from None
        talk.hang_up()
        return tuple(
            f"mail: {self.host} refuses {_masked_address(address)} of JOBSYNC_ALERT_TO: {_answer(*answer)}"
            for address, answer in talk.refused.items()
        )

    def _not_sent(self, error: Exception, talk: Conversation) -> Exception:
        """Return what the operator is told of an error; a bug stays one."""
        import smtplib

        if isinstance(error, NotSent):
            return error
        if isinstance(error, smtplib.SMTPAuthenticationError):
            words = _answer(error.smtp_code, error.smtp_error)
            # a server that quotes what it got may quote a piece of it
            quoted = [word for word in words.split() if len(word) > 3 and any(word in x for x in talk.logged_in_with)]
            for word in quoted:
                words = words.replace(word, "•••")
            return NotSent(f"mail: {self.host} refuses user or password of JOBSYNC_SMTP_URL: {words}")
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            words = next((f": {_answer(*answer)}" for answer in error.recipients.values()), "")
            return NotSent(f"mail: {self.host} refuses every address of JOBSYNC_ALERT_TO{words}")
        if isinstance(error, smtplib.SMTPResponseException):
            words = _answer(error.smtp_code, error.smtp_error)
            busy = error.smtp_code == 421
            return NotSent(f"mail: {self.host} answers {words}", perhaps=talk.handed_over, passing=busy)
        if isinstance(error, UnicodeError):  # its words would quote what cannot be written
            return NotSent(f"mail: {self.host}: JOBSYNC_SMTP_URL or JOBSYNC_ALERT_TO has letters that cannot be sent")
        if isinstance(error, smtplib.SMTPException | OSError | ValueError):
            words = getattr(error, "strerror", None) or str(error) or type(error).__name__
            after = " after it had the whole mail" if talk.handed_over else ""
            away = isinstance(error, smtplib.SMTPServerDisconnected | OSError) and not isinstance(error, ssl.SSLError)
            return NotSent(
                f"mail: {self.host}:{self.port}: {visible(words, most=200)}{after}",
                perhaps=talk.handed_over,
                passing=away and not talk.handed_over,
            )
        return error

    def _deliver(self, message: Message, talk: Conversation) -> None:
        server = talk.connect(self.host, self.port, tls=self._context() if self.implicit_tls else None)
        try:
            server.ehlo_or_helo_if_needed()
            secure = self.implicit_tls
            if not secure and self.tls != "never" and (self.tls == "always" or server.has_extn("starttls")):
                server.starttls(context=self._context())
                server.ehlo()
                secure = True
            if self.user is not None and self.password is not None:
                if not secure and self.tls != "never" and self.host not in _LOOPBACK:
                    raise NotSent(f"mail: {self.host} offers no STARTTLS: the password is not sent in the clear")
                server.login(self.user, self.password)
            mail = self._written(message)
            talk.refused = server.send_message(mail, from_addr=self.sender, to_addrs=list(self.to))
            talk.taken = True
            talk.quit()
        finally:
            server.close()

    def _context(self) -> ssl.SSLContext:
        if self.host in _LOOPBACK or (self.tls == "auto" and not self.implicit_tls and self.password is None):
            # better than plain text, which is the alternative; there is no secret in it
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        return ssl.create_default_context()

    def _written(self, message: Message) -> Any:
        from email.message import EmailMessage
        from email.policy import SMTP
        from email.utils import format_datetime

        mail = EmailMessage(policy=SMTP)
        mail["Subject"] = message.title
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.to)
        mail["Date"] = format_datetime(message.sent_at)
        mail["Message-ID"] = f"<{message.identity}@jobsync.invalid>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text(), charset="utf-8")
        return mail


def _answer(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return visible(f"{code} {text}", most=200)


def _masked_address(address: str) -> str:
    """
    Return enough of an address for whoever wrote it.

    >>> _masked_address("oncall@example.org")
    'o•••@example.org'
    """
    name, _, domain = address.rpartition("@")
    return f"{name[:1]}•••@{visible(domain, most=100)}"


def parse_mail(url: str, to: str) -> Mail:
    """
    Return the mail channel of JOBSYNC_SMTP_URL and JOBSYNC_ALERT_TO.

    `smtp[s]://[user:password@]host[:port][?starttls=auto|always|never][&from=address]`; addresses are separated by
    commas.

    Raises:
        ConfigurationProblem: naming what is wrong, without the password.
    """
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
    sender = query.get("from", [f"jobsync@{_domain()}"])[-1]
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


def _domain() -> str:
    name = "".join(sign for sign in socket.gethostname() if sign.isascii() and (sign.isalnum() or sign in ".-"))
    return name if "." in name else f"{name or 'localhost'}.localdomain"


# --- webhook and ping ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Webhook:
    """An address that takes a JSON document by POST."""

    url: str = field(repr=False)
    deadline_s: float = WEBHOOK_WITHIN_S
    name: str = "webhook"
    proxies: Mapping[str, str | None] = field(default_factory=dict, repr=False)

    def send(self, message: Message) -> tuple[str, ...]:
        """
        Post the message.

        Raises:
            NotSent: nobody answered, or not with 2xx.
        """
        body = json.dumps(message.as_json(), ensure_ascii=False).encode("utf-8", "replace")
        _post(self, body, "application/json; charset=utf-8", name="webhook")
        return ()


def _post(to: Webhook | Ping, body: bytes, content_type: str, *, name: str, url: str | None = None) -> None:
    """Post with one deadline over name, connection and status line; only the host is ever named."""
    from jobsync.http import HttpClient, NoAnswer

    url, deadline_s = url or to.url, to.deadline_s
    host = urlsplit(url).hostname or "its host"
    try:
        client = HttpClient(connections=1, proxies=to.proxies)
    except ConfigurationProblem as problem:
        raise NotSent(f"{name}: {problem}") from None
    headers = {"Content-Type": content_type, "User-Agent": f"jobsync/{__version__}"}
    handed_over = threading.Event()

    @contextmanager
    def sending() -> Iterator[None]:
        yield
        handed_over.set()

    def post() -> int:
        return client.post(
            url, deadline_s=deadline_s, headers=headers, content=body, sending=sending(), status_only=True
        ).status

    try:
        status = within(deadline_s, post)
    except (NoAnswer, TimeoutError) as error:
        refused = isinstance(error, NoAnswer) and error.kind in ("redirect", "proxy")
        raise NotSent(
            f"{name}: {host}: {visible(error, most=200)}", perhaps=handed_over.is_set() and not refused
        ) from None
    finally:
        client.close()
    if not 200 <= status < 300:
        raise NotSent(f"{name}: {host} answers HTTP {status}")


def channels_of(settings: Settings) -> list[Channel]:
    """
    Return the ways out that are configured.

    Raises:
        ConfigurationProblem: mail is half configured, or its URL is not usable.
    """
    found: list[Channel] = []
    if bool(settings.smtp_url) != bool(settings.alert_to):
        missing = "JOBSYNC_ALERT_TO" if settings.smtp_url else "JOBSYNC_SMTP_URL"
        raise ConfigurationProblem(f"mail alerts need JOBSYNC_SMTP_URL and JOBSYNC_ALERT_TO; {missing} is not set")
    if settings.smtp_url and settings.alert_to:
        found.append(parse_mail(settings.smtp_url, settings.alert_to))
    if settings.alert_webhook:
        found.append(Webhook(settings.alert_webhook, proxies=settings.proxies))
    return found


def usable_channels(settings: Settings) -> tuple[list[Channel], list[str]]:
    """Return the ways out that work as configured, and what is wrong with the others."""
    problems: list[str] = []
    found: list[Channel] = []
    if settings.alert_webhook:
        found.append(Webhook(settings.alert_webhook, proxies=settings.proxies))
    try:
        found = channels_of(settings)
    except ConfigurationProblem as problem:
        problems.append(str(problem))
    return found, problems


def hide_secrets(settings: Settings) -> None:
    """Mask, wherever text is made visible, what the alerting addresses hold."""
    for url in (settings.smtp_url, settings.alert_webhook, settings.ping_url):
        if not url:
            continue
        try:
            parts = urlsplit(url)
        except ValueError:
            register_secret(url)
            continue
        register_secret(unquote(parts.password or ""))
        register_secret(parts.password or "")
        if parts.scheme.startswith("http"):
            register_secret(url)
            # tokens are long; short pieces such as "alerts" would be masked in ordinary sentences
            pieces = [*parts.path.split("/"), *(value for values in parse_qs(parts.query).values() for value in values)]
            for piece in pieces:
                if len(piece) >= 12:
                    register_secret(piece, whole=True)


@dataclass(frozen=True)
class Ping:
    """
    The dead-man switch: somebody outside is told how each run went, and raises the alarm when nothing comes.

    The address is used in the manner of healthchecks.io: with `/start`, with the exit code of what ended, or, of what
    has none, as it stands for a success and with `/fail` else.
    `{job}` in it is replaced by the job's name, so that each job can have a switch of its own.
    """

    url: str = field(repr=False)
    deadline_s: float = PING_WITHIN_S
    proxies: Mapping[str, str | None] = field(default_factory=dict, repr=False)

    def tell(self, job: str, signal: str, *, run: str | None = None, text: str = "") -> None:
        """
        Send one signal: `start`, an exit code, `success` or `fail`, with a text of which 5000 characters are kept.

        Raises:
            NotSent: nobody took it; the run's verdict and exit code stand.
        """
        address = ping_address(self.url, job, signal, run=run)
        body = visible(text, most=5000).encode("utf-8", "replace")
        _post(self, body, "text/plain; charset=utf-8", name="ping", url=address)


def ping_address(url: str, job: str, signal: str, *, run: str | None = None) -> str:
    """
    Return where a signal goes.

    >>> ping_address("https://ping.example/k/{job}?create=1", "stock-sync", "3", run="r1")
    'https://ping.example/k/stock-sync/3?create=1&rid=r1'
    """
    parts = urlsplit(url.replace("{job}", quote(job, safe="")).replace("%7Bjob%7D", quote(job, safe="")))
    path = parts.path.rstrip("/") + ("" if signal == "success" else f"/{signal}")
    query = "&".join(filter(None, (parts.query, f"rid={quote(run, safe='')}" if run else "")))
    return parts._replace(path=path, query=query, fragment="").geturl()
