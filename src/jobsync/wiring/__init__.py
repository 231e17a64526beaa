"""
The one place that builds the real tools (database, HTTP, waits) for the commands; each slice's part has its own file.
Many commands need no database: its driver is imported where one is asked for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobsync.errors import ConfigurationProblem, JobsyncError
from jobsync.logs import configure_logs, get_logger
from jobsync.masking import register_secret
from jobsync.proxies import secrets_of
from jobsync.settings import Settings, closed_place, load_alert_settings, load_settings
from jobsync.watch.timers import Waker, read_waker

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg
    from sqlalchemy import Connection, Engine

    from jobsync.db.engine import Database
    from jobsync.easycars.credentials import Cipher

# Not set by the operator: systemd, sudo and shells set them, and a host name or a login may hold any byte.
_SET_BY_OTHERS = ("USER", "LOGNAME", "SUDO_USER", "INVOCATION_ID", "MONITOR_")


class Tools:
    """
    What commands work with; everything is built when it is first asked for, and `stack` gives it back at the end.

    `pause` takes the place, in tests, of waiting between tries.
    """

    def __init__(
        self, environ: Mapping[str, str] | None = None, *, pause: Callable[[float], bool] | None = None
    ) -> None:
        self.environ = {
            name: text.encode(errors="replace").decode() if name.startswith(_SET_BY_OTHERS) else text
            for name, text in (os.environ if environ is None else environ).items()
        }
        self.pause = pause
        self.stack = ExitStack()

    @cached_property
    def settings(self) -> Settings:
        """Raises ConfigurationProblem naming all that is wrong."""
        settings = load_settings(self.environ)
        self._hide(settings)
        asked = (settings.log_level, settings.log_format)
        in_force = [self.environ.get(*pair) for pair in (("JOBSYNC_LOG_LEVEL", "info"), ("JOBSYNC_LOG_FORMAT", "auto"))]
        if asked != tuple(text.strip().lower() for text in in_force):
            configure_logs(*asked)  # the file's; those of the environment are in force from the start
        return settings

    @cached_property
    def alert_settings(self) -> tuple[Settings, tuple[str, ...]]:
        """What an alert needs to get out, whatever else is wrong, and what of it is wrong; raises nothing."""
        settings, problems = load_alert_settings(self.environ)
        self._hide(settings)
        return settings, problems

    def _hide(self, settings: Settings) -> None:
        for proxy in {url for url in settings.proxies.values() if url}:
            for secret in secrets_of(proxy):
                register_secret(secret)
        if settings.smtp_url or settings.alert_webhook or settings.alert_urls or settings.ping_url:
            from jobsync.alerts.post import hide_secrets

            hide_secrets(settings)

    def ping(self, job: str, signal: str, *, run: str | None = None, text: str = "") -> None:
        """Tell a dead-man switch how a job stands, if its address is set; that this fails is only logged."""
        settings, _ = self.alert_settings  # whatever else is wrong
        if not settings.ping_url:
            return
        from jobsync.alerts.post import Ping

        try:
            Ping(settings.ping_url, proxies=settings.proxies).tell(job, signal, run=run, text=text)
        except JobsyncError as error:
            get_logger().warning("ping.not_sent", error=str(error), signal=signal)

    def wait(self, seconds: float) -> None:
        """Wait, outside any run."""
        (self.pause or time.sleep)(seconds)

    @cached_property
    def waker(self) -> Waker:
        return read_waker(embedded=self.settings.database_url is None)

    @property
    def embedded_folder(self) -> Path:
        """Where the embedded database and its files lie, if there is one."""
        from jobsync.db.embedded import default_folder

        return self.settings.embedded_folder or default_folder(self.environ)

    @cached_property
    def database(self) -> Database:
        """The database, started first if it is the embedded one, whose schema keeps itself up to date."""
        from jobsync.wiring import database

        settings = self.settings
        if settings.database_url is None:
            return database.start_embedded(self.embedded_folder, settings, self.stack)
        return database.open_named(settings.database_url, settings, self.stack)

    @cached_property
    def engine(self) -> Engine:
        """For commands that read and change a little; the schema has been checked."""
        from jobsync.wiring.database import make_engine

        return make_engine(self.database)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a short transaction of `engine` that commits at the end of the block."""
        from jobsync.db.engine import translated

        with translated(), self.engine.begin() as connection:
            yield connection

    @cached_property
    def job_engine(self) -> Engine:
        """For jobs before their run begins; the schema has been checked."""
        from jobsync.wiring.database import checked

        return checked(self.database.job_engine())

    @property
    def cipher(self) -> Cipher:
        """Raises ConfigurationProblem where no key is set, or perhaps one that this user may not see."""
        from jobsync.easycars.credentials import require_cipher

        key = self.settings.encryption_key
        if key is None and (closed := closed_place("JOBSYNC_ENCRYPTION_KEY", self.environ)):
            raise ConfigurationProblem(closed)
        return require_cipher(key, self.settings.encryption_key_previous)

    @staticmethod
    def log_unfinished(connection: psycopg.Connection[Any], run_id: UUID) -> None:
        """Keep each slice's own log of a closed run's unfinished items; any job's run may be the one that closes it."""
        from jobsync.easycars.store import log_unfinished

        log_unfinished(connection, run_id)

    def close(self) -> None:
        """Give everything back; the embedded server goes with its last user."""
        self.stack.close()
