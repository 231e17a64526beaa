"""jobsync doctor: can this installation work, and what to do where it cannot."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from jobsync.cli.command import Answer, command, flag
from jobsync.cli.output import say, write
from jobsync.db.engine import translated
from jobsync.deploy.cron import FILES, file_of
from jobsync.deploy.install import SYSTEM, compare
from jobsync.deploy.installation import read_installation
from jobsync.easycars import upkeep as easycars
from jobsync.easycars.client import ADDRESSES as EASYCARS
from jobsync.easycars.credentials import Cipher
from jobsync.easycars.registry import find_shared_accounts
from jobsync.errors import ConfigurationProblem
from jobsync.logs import visible
from jobsync.phrases import many
from jobsync.ride.upkeep import check_storage
from jobsync.settings import Settings
from jobsync.sri import upkeep as sri
from jobsync.sri.model import ADDRESSES as SRI
from jobsync.upkeep import doctor as ask
from jobsync.upkeep.doctor import exit_code_of
from jobsync.upkeep.model import Finding, Level
from jobsync.watch.timers import Waker, read_waker
from jobsync.wiring import Tools
from jobsync.wiring.ride import storage_of
from jobsync.wiring.watched import WATCHED


@command("doctor --offline", reads=True)
def doctor(
    tools: Tools,
    offline: Annotated[bool, flag("Do not try to reach EasyCars and the SRI.")] = False,
    every: Annotated[bool, flag("Check every RIDE file, not only the latest.", "--all")] = False,
) -> Answer:
    """Check settings, database, key, hosts, files, timers. Exit 0 if nothing is wrong."""
    found = list(_check(tools, offline=offline, every=every))
    code = exit_code_of(found)
    worst = "problem" if code else "warning" if any(each.level == "warning" for each in found) else "ok"
    findings = [{name: value and visible(value) for name, value in each.as_json().items()} for each in found]
    document = {"status": worst, "exit_code": int(code), "findings": findings}

    def tell() -> None:
        for finding in found:
            mark = "PROBLEM" if finding.level is Level.PROBLEM else finding.level.ljust(7)
            write(f"{mark}  {visible(f'{finding.name}: {finding.text}')}\n")
            if finding.what_to_do:
                write(f"           what to do: {visible(finding.what_to_do)}\n")
        counts = Counter(finding.level for finding in found)
        say(f"{many(counts[Level.PROBLEM], 'problem')}, {many(counts[Level.WARNING], 'warning')}")

    return Answer(document, tell, code)


def _check(tools: Tools, *, offline: bool, every: bool) -> Iterator[Finding]:
    settings, findings = ask.check_configuration(lambda: tools.settings)
    yield from findings
    waker = read_waker(embedded=settings is not None and settings.database_url is None)
    also = [name for name in FILES if settings and file_of(name, settings)]
    yield from ask.check_timers(waker, renders=settings is None or settings.storage is not None, also=also)
    if waker is Waker.UNITS:
        yield ask.check_units(lambda: _changed_units(tools))
    yield ask.check_bytecode(Path(__file__).parents[1])
    if settings is None:
        return
    yield from ask.check_names(tools.environ)
    yield from ask.check_alerts(settings, tools.environ)
    engine, findings = ask.check_database(settings, lambda: tools.database)
    yield from findings
    used: set[str] = set()
    if engine is not None:
        cipher: Cipher | None = None
        with suppress(ConfigurationProblem):  # one of the findings
            cipher = tools.cipher
        key, previous = settings.encryption_key, settings.encryption_key_previous
        current = Cipher(key).decrypt if key and previous else None
        with translated(), engine.connect() as connection:
            yield from easycars.check_key(connection, cipher.decrypt if cipher else None, current)
            yield from easycars.check_accounts(find_shared_accounts(connection, cipher) if cipher else ())
            yield from ask.check_upkeep(connection)
            yield from ask.check_settings(connection, WATCHED)
            used = easycars.environments_in_use(connection) | sri.environments_in_use(connection)
    root: Path | None = None
    with suppress(ConfigurationProblem):
        root = storage_of(tools).root
    yield from check_storage(root, engine, every=every, named=settings.storage is not None)
    folders = {"system": SYSTEM, "RIDE files": root, "database": settings.embedded_folder}
    yield from ask.check_disk({name: folder for name, folder in folders.items() if folder is not None})
    yield from ask.check_proxy(settings)
    for name, url in () if offline else _services(settings, used):
        yield ask.check_reach(name, url, settings.proxies)


def _changed_units(tools: Tools) -> list[str]:
    files = compare(read_installation(tools.environ, root=SYSTEM), SYSTEM)
    return [file.path for file in files if file.would_change]


def _services(settings: Settings, used: set[str]) -> Iterator[tuple[str, str]]:
    """Return the services to reach; of the built-in addresses those in use, or all if none is in use yet."""
    for vendor, override, addresses in (("EasyCars", settings.easycars_url, EASYCARS), ("SRI", settings.sri_url, SRI)):
        if override:
            yield vendor, override
        else:
            yield from [(f"{vendor} ({name})", url) for name, url in addresses.items() if name in used or not used]
