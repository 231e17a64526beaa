"""The ways in which a message gets to people: mail, webhook, and whatever Apprise knows."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from jobsync.alerts.mail import parse_mail
from jobsync.alerts.message import AlertMessage
from jobsync.alerts.post import NotSent, Webhook, within
from jobsync.errors import ConfigurationProblem
from jobsync.logs import visible
from jobsync.proxies import as_environment
from jobsync.settings import Settings

SERVICE_WITHIN_S = 30.0
for _name in ("apprise", "urllib3"):  # they log URLs; what is wrong is said here, without
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False


class Channel(Protocol):
    """A way out: mail, webhook, or a service that Apprise knows; who was told of an alert is remembered by its name."""

    @property
    def name(self) -> str: ...

    def send(self, message: AlertMessage) -> tuple[str, ...]:
        """Send; returns whom it did not reach although others have it; raises NotSent."""


@dataclass(frozen=True)
class AppriseService:
    """One service as Apprise sends to it."""

    plugin: Any = field(repr=False)  # what Apprise made of its URL, which is a secret
    name: str  # the service and its number, such as `slack #1`
    deadline_s: float = SERVICE_WITHIN_S
    proxies: Mapping[str, str | None] = field(default_factory=dict, repr=False)

    def send(self, message: AlertMessage) -> tuple[str, ...]:
        """Send the message; where the service did not take it, or did not say so in time, it raises NotSent."""
        from apprise import LogCapture  # a second, which only who uses it pays

        def notify() -> tuple[bool, str]:
            with LogCapture(level=logging.WARNING, fmt="%(message)s") as said:  # type: ignore[no-untyped-call]
                return bool(self.plugin.notify(title=message.title, body=message.text())), said.getvalue()

        try:
            with _environment(as_environment(self.proxies)):
                sent, said = within(self.deadline_s, notify)
        except TimeoutError as error:
            raise NotSent(f"{self.name}: {error}", perhaps=True) from None
        except Exception as error:  # noqa: BLE001 - a bug of one plugin keeps no other channel from telling
            raise NotSent(f"{self.name}: {type(error).__name__}: {visible(error, most=200)}", perhaps=True) from None
        if not sent:
            raise NotSent(f"{self.name}: not taken{': ' * bool(said)}{visible(said, most=200)}")
        return ()


@contextmanager
def _environment(proxies: Mapping[str, str]) -> Iterator[None]:
    """Have other libraries go the way that is configured here; they know it from the environment alone."""
    before = {name: os.environ.pop(name) for name in [*os.environ] if name.lower().endswith("_proxy")}
    os.environ.update(proxies)
    try:
        yield
    finally:
        for name in proxies:
            os.environ.pop(name, None)
        os.environ.update(before)


def services_of(urls: str, proxies: Mapping[str, str | None]) -> list[AppriseService]:
    """
    Return the channels of JOBSYNC_ALERT_URLS, which Apprise reads: blanks or commas between.

    Raises ConfigurationProblem where Apprise is not installed, or cannot use one of them; none is shown.
    """
    try:
        from apprise import Apprise, URLBase
        from apprise.utils.parse import parse_urls
    except ImportError:
        raise ConfigurationProblem(
            "JOBSYNC_ALERT_URLS needs Apprise, which is not installed: pip install 'jobsync-runner[notify]', or:"
            " pip install apprise"
        ) from None
    listed = parse_urls(urls) or [urls]  # type: ignore[no-untyped-call]
    plugins = [Apprise.instantiate(url, suppress_exceptions=True) for url in listed]
    wrong = [f"#{number}" for number, plugin in enumerate(plugins, 1) if plugin is None]
    if wrong:
        raise ConfigurationProblem(
            f"JOBSYNC_ALERT_URLS: {', '.join(wrong)} of {len(listed)} cannot be used: no service of Apprise has that"
            " scheme, or something of it is missing (https://appriseit.com)"
        )
    for plugin in filter(None, plugins):
        if plugin.socket_read_timeout == URLBase.socket_read_timeout:  # seconds: what answers later has it nonetheless
            plugin.socket_read_timeout = SERVICE_WITHIN_S
    return [
        AppriseService(plugin, f"{url.partition('://')[0].lower()} #{number}", proxies=proxies)
        for number, (url, plugin) in enumerate(zip(listed, plugins, strict=True), 1)
    ]


def channels_of(settings: Settings) -> tuple[list[Channel], list[str]]:
    """Return the ways out that work as configured, and what is wrong with the others."""
    problems: list[str] = []
    found: list[Channel] = []
    try:
        if settings.smtp_url or settings.alert_to:
            found.append(parse_mail(settings.smtp_url, settings.alert_to))
    except ConfigurationProblem as problem:
        problems.append(str(problem))
    if settings.alert_webhook:
        found.append(Webhook(settings.alert_webhook, proxies=settings.proxies))
    try:
        if settings.alert_urls:
            found += services_of(settings.alert_urls, settings.proxies)
    except ConfigurationProblem as problem:
        problems.append(str(problem))
    return found, problems
