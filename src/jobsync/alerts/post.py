"""Posts that leave by HTTP, webhook and ping, each with a total deadline; and no secret of an address in an error."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from jobsync import __version__
from jobsync.errors import ConfigurationProblem, JobsyncError
from jobsync.logs import visible
from jobsync.masking import register_secret

if TYPE_CHECKING:
    from jobsync.alerts.message import AlertMessage
    from jobsync.settings import Settings

T = TypeVar("T")

WEBHOOK_WITHIN_S = 10.0
PING_WITHIN_S = 5.0


class NotSent(JobsyncError):
    """A message did not get out; it is tried again at the next alert or health run."""

    def __init__(self, text: str, *, perhaps: bool = False, passing: bool = False) -> None:
        super().__init__(text)
        self.perhaps = perhaps  # the other side had all of it, and did not say: a second try comes later
        self.passing = passing  # it certainly did not arrive, and may well in a moment


def within(seconds: float, do: Callable[[], T], *, give_up: Callable[[], None] = lambda: None) -> T:
    """
    Return what `do` returns, or raise TimeoutError after this many seconds, whatever it waits for.

    `give_up` is called then, to break the wait off; names are resolved by code that knows no deadline.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(do())
        except BaseException as problem:  # noqa: BLE001 - handed to whoever waits
            outcome.set_exception(problem)

    threading.Thread(target=run, daemon=True, name="jobsync-send").start()  # no pool's: those are waited for at the end
    wait([outcome], seconds)
    if not outcome.done():
        give_up()
        raise TimeoutError(f"no end within {seconds:g} s")
    return outcome.result()


@dataclass(frozen=True)
class Webhook:
    """An address that takes a JSON document by POST."""

    url: str = field(repr=False)
    deadline_s: float = WEBHOOK_WITHIN_S
    name: str = "webhook"
    proxies: Mapping[str, str | None] = field(default_factory=dict, repr=False)

    def send(self, message: AlertMessage) -> tuple[str, ...]:
        """Post the message; without an answer, or at one without 2xx, it raises NotSent."""
        body = json.dumps(message.as_json(), ensure_ascii=False).encode("utf-8", "replace")
        _post(self, self.url, body, "application/json")
        return ()


def _post(to: Webhook | Ping, url: str, body: bytes, content_type: str) -> None:
    """Post with one deadline over name, connection and status line; only the host is ever named."""
    from jobsync.http import HttpClient, NoAnswer  # a run without a ping does not import it

    name, deadline_s = to.name, to.deadline_s
    host = urlsplit(url).hostname or "its host"
    try:
        client = HttpClient(connections=1, proxies=to.proxies)
    except ConfigurationProblem as problem:
        raise NotSent(f"{name}: {problem}") from None
    headers = {"Content-Type": f"{content_type}; charset=utf-8", "User-Agent": f"jobsync/{__version__}"}
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
        perhaps = handed_over.is_set() and not refused
        raise NotSent(f"{name}: {host}: {visible(error, most=200)}", perhaps=perhaps) from None
    finally:
        client.close()
    if not 200 <= status < 300:
        raise NotSent(f"{name}: {host} answers HTTP {status}")


@dataclass(frozen=True)
class Ping:
    """
    The dead-man switch: somebody outside is told how each run went, and raises the alarm when nothing comes.

    The address is used in the manner of healthchecks.io: with `/start`, with the exit code of what ended, or, of what
    has none, as it stands for a success and with `/fail` else. `{job}` in it is replaced by the job's name.
    """

    url: str = field(repr=False)
    deadline_s: float = PING_WITHIN_S
    name: str = "ping"
    proxies: Mapping[str, str | None] = field(default_factory=dict, repr=False)

    def tell(self, job: str, signal: str, *, run: str | None = None, text: str = "") -> None:
        """
        Send one signal: `start`, an exit code, `success` or `fail`, with a text of which 5000 characters are kept.

        Raises NotSent where the service did not take it; the run's verdict and exit code stay.
        """
        body = visible(text, most=5000).encode("utf-8", "replace")
        _post(self, ping_address(self.url, job, signal, run=run), body, "text/plain")


def ping_address(url: str, job: str, signal: str, *, run: str | None = None) -> str:
    """
    Return where a signal goes.

    >>> ping_address("https://ping.example/k/{job}?create=1", "stock-sync", "3", run="r1")
    'https://ping.example/k/stock-sync/3?create=1&rid=r1'
    """
    parts = urlsplit(re.sub("{job}|%7Bjob%7D", quote(job, safe=""), url))
    path = parts.path.rstrip("/") + ("" if signal == "success" else f"/{signal}")
    query = "&".join(filter(None, (parts.query, f"rid={quote(run, safe='')}" if run else "")))
    return parts._replace(path=path, query=query, fragment="").geturl()


def hide_secrets(settings: Settings) -> None:
    """Mask, wherever text is made visible, what the alerting addresses hold."""
    for piece in re.split(r"[\s,/:@?&=]+", settings.alert_urls or ""):
        # tokens are long or hold digits; a host's name is no secret
        if len(piece) >= 8 and "." not in piece and (len(piece) >= 12 or re.search("[0-9]", piece)):
            register_secret(piece)  # as it stands: escapes that are no UTF-8 are not undone where it is quoted
            register_secret(unquote(piece))
    for url in filter(None, (settings.smtp_url, settings.alert_webhook, settings.ping_url)):
        try:
            parts = urlsplit(url)
        except ValueError:
            register_secret(url)
            continue
        register_secret(parts.password or "")
        register_secret(unquote(parts.password or ""))
        if parts.scheme.startswith("http"):
            register_secret(url)
            # tokens are long; short pieces such as "alerts" would be masked in ordinary sentences
            for piece in (*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))):
                if len(piece) >= 12:
                    register_secret(piece, whole=True)
