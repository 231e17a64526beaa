"""The database as commands and jobs open it."""

from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import Engine

from jobsync.db import embedded
from jobsync.db.engine import LOCK_WITHIN_S, Database, driver, passwords_in, translated
from jobsync.db.migrate import HEAD, check_schema, read_version, upgrade
from jobsync.masking import register_secret
from jobsync.settings import Settings


def open_named(url: str, settings: Settings, stack: ExitStack) -> Database:
    """Return the database of a URL, closed with the stack; its passwords are secrets from here on."""
    for password in (*passwords_in(url), *passwords_in(settings.lock_database_url or "")):
        register_secret(password)
    database = Database(url, settings.lock_database_url, schema=settings.database_schema)
    stack.callback(database.close)
    return database


def start_embedded(folder: Path, settings: Settings, stack: ExitStack) -> Database:
    """Start the embedded database, which goes with its last user, and bring its schema up to date."""
    database = Database(stack.enter_context(embedded.acquire(folder)).url, schema=settings.database_schema)
    stack.callback(database.close)
    with database.direct() as connection:
        current = read_version(connection)
    if current is None or current < HEAD:
        upgrade(database.engine(connections=1))
    return database


def make_engine(database: Database) -> Engine:
    """Return an engine for commands that read and change a little; the schema has been checked."""
    return checked(database.engine(connections=2, lock_timeout_s=LOCK_WITHIN_S))


def checked(engine: Engine) -> Engine:
    """Return the engine once its schema has been checked; else close it: the next try, as of --watch, gets new ones."""
    try:
        with translated(), engine.begin() as connection:
            check_schema(driver(connection))
    except BaseException:
        engine.dispose()
        raise
    return engine
