"""The one place that builds the real world (database, HTTP, waits) for the commands."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jobsync.db.engine import LOCK_WITHIN_S, Database, passwords_in
from jobsync.errors import ConfigurationProblem
from jobsync.logs import configure_logs
from jobsync.masking import register_secret
from jobsync.proxies import secrets_of
from jobsync.settings import Settings, closed_place, load_alert_settings, load_settings

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    import sqlalchemy
    from psycopg import Connection
    from sqlalchemy import Engine

    from jobsync.db.system_settings import SystemSettings
    from jobsync.easycars.client import EasyCarsClient
    from jobsync.easycars.credentials import Cipher
    from jobsync.easycars.job import StockSync
    from jobsync.ride.files import Storage
    from jobsync.ride.job import GenerateRide
    from jobsync.sri.client import SriClient
    from jobsync.sri.job import CheckAuthorizations
    from jobsync.upkeep.model import Rule
    from jobsync.watch.model import Snapshot, Watched
    from jobsync.watch.timers import Waker

# Read by nobody's choice: systemd, sudo and shells set them, and a host name or a login may hold any byte.
_SET_BY_OTHERS = ("USER", "LOGNAME", "SUDO_USER", "INVOCATION_ID", "MONITOR_")


class Tools:
    """
    The world as commands use it; everything is built when it is first asked for.

    Args:
        environ: the process's environment.
        pause: for tests, instead of waiting between tries.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self.environ = {
            name: text.encode(errors="replace").decode() if name.startswith(_SET_BY_OTHERS) else text
            for name, text in (os.environ if environ is None else environ).items()
        }
        self._pause = pause
        self._stack = ExitStack()

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

    def wait(self, seconds: float) -> None:
        """Wait, outside any run."""
        if self._pause is None:
            time.sleep(seconds)
        else:
            self._pause(seconds)

    @property
    def watched(self) -> tuple[Watched, ...]:
        """The slices, each of which watches itself."""
        from jobsync.easycars import watch as easycars
        from jobsync.ride import watch as ride
        from jobsync.sri import watch as sri

        return easycars, sri, ride

    @property
    def retention(self) -> tuple[Rule, ...]:
        """How long the rows of each table stay."""
        from jobsync.alerts import memory
        from jobsync.easycars import upkeep as easycars
        from jobsync.sri import upkeep as sri
        from jobsync.upkeep.prune import RULES

        return (*RULES, *easycars.RULES, *sri.RULES, *memory.RULES)

    @cached_property
    def waker(self) -> Waker:
        """What wakes the jobs on this host."""
        from jobsync.watch.timers import read_waker

        return read_waker(embedded=self.settings.database_url is None)

    @cached_property
    def timers_on(self) -> frozenset[str]:
        """The jobs (and `health`) whose timer is active on this host."""
        from jobsync.jobs import BY_NAME
        from jobsync.watch.model import WATCH
        from jobsync.watch.timers import read_timers_on

        return read_timers_on(self.waker, (*BY_NAME, WATCH))

    def look(self, connection: sqlalchemy.Connection, *, window: timedelta | None = None) -> Snapshot:
        """Return how things stand, with what this host is and is configured for; `window` is how far back, 7 days."""
        from jobsync.watch.snapshot import WINDOW, read_snapshot

        return read_snapshot(
            connection,
            self.watched,
            window=window or WINDOW,
            waker=self.waker,
            timers_on=self.timers_on,
            channels=self.settings.channels,
        )

    @cached_property
    def database(self) -> Database:
        """The database, started first if it is the embedded one, whose schema keeps itself up to date."""
        settings = self.settings
        if settings.database_url is not None:
            for url in (settings.database_url, settings.lock_database_url):
                for password in passwords_in(url or ""):
                    register_secret(password)
            return self._keep(
                Database(settings.database_url, settings.lock_database_url, schema=settings.database_schema)
            )
        from jobsync.db import embedded

        lease = self._stack.enter_context(
            embedded.acquire(settings.embedded_folder or embedded.default_folder(self.environ))
        )
        database = self._keep(Database(lease.url, schema=settings.database_schema))
        self._upgrade_embedded(database)
        return database

    def _keep(self, database: Database) -> Database:
        self._stack.callback(database.close)
        return database

    def _upgrade_embedded(self, database: Database) -> None:
        from jobsync.db import migrate

        with database.direct() as connection:
            current = migrate.read_version(connection)
        if current is None or current < migrate.HEAD:
            migrate.upgrade(database.engine(connections=1))

    @cached_property
    def engine(self) -> Engine:
        """For commands that read and change a little; the schema has been checked."""
        from jobsync.db.engine import driver, translated
        from jobsync.db.migrate import check_schema

        engine = self.database.engine(connections=2, lock_timeout_s=LOCK_WITHIN_S)
        with translated(), engine.begin() as connection:
            check_schema(driver(connection))
        return engine

    @cached_property
    def job_engine(self) -> Engine:
        """For jobs before their run begins; the schema has been checked."""
        from jobsync.db.engine import transaction, translated
        from jobsync.db.migrate import check_schema

        engine = self.database.job_engine()
        with translated(), transaction(engine) as connection:
            check_schema(connection)
        return engine

    @property
    def cipher(self) -> Cipher:
        """Raises ConfigurationProblem where no key is set, or perhaps one that this user may not see."""
        from jobsync.easycars.credentials import require_cipher

        key = self.settings.encryption_key
        if key is None and (closed := closed_place("JOBSYNC_ENCRYPTION_KEY", self.environ)):
            raise ConfigurationProblem(closed)
        return require_cipher(key, self.settings.encryption_key_previous)

    def easycars(self, pause: Callable[[float], bool], *, connections: int) -> EasyCarsClient:
        """Return a client for the EasyCars API; `pause` ends with the run."""
        from jobsync.easycars.client import EasyCarsClient
        from jobsync.http import HttpClient

        http = HttpClient(connections=connections, proxies=self.settings.proxies)
        self._stack.callback(http.close)
        return EasyCarsClient(http, base_url=self.settings.easycars_url, pause=self._pause or pause)

    @property
    def easycars_hosts(self) -> dict[str, str]:
        """The vendor's hosts, by environment."""
        from jobsync.easycars.client import ADDRESSES, host_of

        return {environment: host_of(environment, self.settings.easycars_url) for environment in ADDRESSES}

    def sri(self, *, connections: int) -> SriClient:
        """Return a client for the SRI's authorization service."""
        from jobsync.http import HttpClient
        from jobsync.sri.client import MOST_BYTES, SriClient

        http = HttpClient(connections=connections, most_bytes=MOST_BYTES, proxies=self.settings.proxies)
        self._stack.callback(http.close)
        return SriClient(http, base_url=self.settings.sri_url)

    def check_authorizations(
        self,
        settings: SystemSettings,
        *,
        access_keys: tuple[str, ...],
        tenants: tuple[str, ...],
        limit: int | None,
        every: bool,
    ) -> CheckAuthorizations:
        """Return authorization checks' work."""
        from jobsync.sri.job import CheckAuthorizations

        return CheckAuthorizations(
            client=self.sri(connections=2 * settings.number("sri_check_concurrency")),  # two hosts
            settings=settings,
            access_keys=access_keys,
            tenants=tenants,
            limit=limit,
            every=every,
        )

    @property
    def storage(self) -> Storage:
        """
        Where RIDE files lie: JOBSYNC_STORAGE, or beside the embedded database's data.

        Raises:
            ConfigurationProblem: the database is a named one, and the storage is not.
        """
        from jobsync.ride.files import Storage

        settings = self.settings
        if settings.storage is not None:
            return Storage(settings.storage)
        if settings.database_url is not None:
            raise ConfigurationProblem(
                closed_place("JOBSYNC_STORAGE", self.environ)
                or "JOBSYNC_STORAGE is not set: with a database of its own name jobsync must be told where RIDE files"
                " lie"
            )
        from jobsync.db import embedded

        return Storage((settings.embedded_folder or embedded.default_folder(self.environ)) / "storage")

    def generate_ride(
        self,
        settings: SystemSettings,
        *,
        access_keys: tuple[str, ...],
        tenants: tuple[str, ...],
        force: bool,
        missing: bool,
        limit: int | None,
        every: bool,
    ) -> GenerateRide:
        """Return RIDE rendering's work."""
        from jobsync.ride.job import GenerateRide
        from jobsync.sri.parse import open_file

        return GenerateRide(
            storage=self.storage,
            settings=settings,
            open_file=lambda raw: open_file(raw, mend_bare=True).document,
            access_keys=access_keys,
            tenants=tenants,
            force=force,
            missing=missing,
            limit=limit,
            every=every,
        )

    def stock_sync(
        self,
        settings: SystemSettings,
        *,
        named: tuple[int, ...],
        scheduled: bool,
        concurrency: int | None,
    ) -> StockSync:
        """Return stock sync's work."""
        from jobsync.easycars.job import StockSync

        workers = concurrency or settings.number("easycar_sync_concurrency")
        return StockSync(
            cipher=self.cipher,
            make_client=lambda pause: self.easycars(pause, connections=workers),
            hosts=self.easycars_hosts,
            settings=settings,
            named=named,
            scheduled=scheduled,
            concurrency=workers,
        )

    @staticmethod
    def log_unfinished(connection: Connection[Any], run_id: UUID) -> None:
        """Keep each slice's own log of a closed run's unfinished items; any job's run may be the one that closes it."""
        from jobsync.easycars.store import log_unfinished

        log_unfinished(connection, run_id)

    def close(self) -> None:
        """Give everything back; the embedded server goes with its last user."""
        self._stack.close()
