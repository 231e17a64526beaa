"""What is said of each command once, beside its own help: an example to type, and whether it only reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jobsync.jobs import CHECK_AUTHORIZATIONS, GENERATE_RIDE, STOCK_SYNC


class About(NamedTuple):
    """
    One command.

    Args:
        example: what follows the program's name.
        reads: it changes nothing and names no file, so that root may type it as the units' user.
        unless: options with which it does either after all.
    """

    example: str
    reads: bool = False
    unless: tuple[str, ...] = ()


_FILE = ("-o", "--output")
_KEY = "2011202601179001234500120010010000000421234567811"

ABOUT = {
    STOCK_SYNC.name: About("stock-sync --dealership 17 --dry-run"),
    CHECK_AUTHORIZATIONS.name: About("check-authorizations --tenant 1790012345001 --limit 50"),
    GENERATE_RIDE.name: About("generate-ride --missing --tenant 1790012345001"),
    "status": About("status --window 24h", reads=True),
    "health": About("health --json", reads=True, unless=("--act",)),
    "doctor": About("doctor --offline", reads=True),
    "report": About("report -o report.html --days 7", reads=True, unless=_FILE),
    "metrics": About("metrics -o /var/lib/node_exporter/jobsync.prom", reads=True, unless=_FILE),
    "runs list": About("runs list --failed --since 1d12h", reads=True),
    "runs show": About("runs show 3f2a", reads=True),
    "runs retry": About("runs retry 3f2a"),
    "runs prune": About("runs prune --dry-run"),
    "logs": About("logs 3f2a"),  # reads the journal as root, and the database as the units' user: cli/logs.py
    "locks": About("locks", reads=True),
    "schedule show": About("schedule show", reads=True),
    "audit": About("audit --limit 10", reads=True),
    "alerts list": About("alerts list", reads=True),
    "alerts test": About("alerts test"),
    "alerts silence": About("alerts silence queue --until 2d12h"),
    "alerts unsilence": About("alerts unsilence queue"),
    "alert": About("alert --unit jobsync-stock-sync.service"),
    "dealership add": About('dealership add "Bilby Creek Motors" --timezone Australia/Sydney'),
    "dealership set": About("dealership set 17 --name 'Bilby Creek'"),
    "dealership list": About("dealership list", reads=True),
    "dealership show": About("dealership show 17", reads=True),
    "dealership pause": About("dealership pause 17 --until 1d12h --reason 'moving yards'"),
    "dealership resume": About("dealership resume 17"),
    "dealership schedule": About("dealership schedule 17 '30 1 * * *'"),
    "credentials set": About("credentials set 17 --from-stdin < credentials.json"),
    "credentials test": About("credentials test 17", reads=True),
    "credentials delete": About("credentials delete 17 --yes"),
    "credentials rotate-key": About("credentials rotate-key"),
    "stock history": About("stock history 17 --stock-number A123", reads=True),
    "stock changes": About("stock changes --since 12h", reads=True),
    "stock refused": About("stock refused 17", reads=True),
    "stock lock": About("stock lock 17 A123 price description"),
    "stock unlock": About("stock unlock 17 A123 price"),
    "stock exclude": About("stock exclude 17 A123 --reason 'sold at the counter'"),
    "stock include": About("stock include 17 A123"),
    "holds list": About("holds list", reads=True),
    "holds show": About("holds show 4", reads=True),
    "holds approve": About("holds approve 4"),
    "holds reject": About("holds reject 4"),
    "tenant add": About("tenant add 1790012345001 'Comercial Andina S.A.' --logo logo.png"),
    "tenant list": About("tenant list", reads=True),
    "tenant show": About("tenant show 1790012345001", reads=True),
    "tenant pause": About("tenant pause 1790012345001"),
    "tenant resume": About("tenant resume 1790012345001"),
    "invoice import": About("invoice import /srv/inbox --tenant 1790012345001 --dry-run"),
    "invoice list": About("invoice list --status needs_attention", reads=True),
    "invoice show": About(f"invoice show {_KEY}", reads=True),
    "invoice recheck": About(f"invoice recheck {_KEY}"),
    "invoice export": About(f"invoice export {_KEY} --to ."),
    "storage claim": About("storage claim"),
    "ride render": About("ride render invoice.xml -o invoice.pdf --logo logo.png"),
    "sri explain": About("sri explain 39"),
    "settings list": About("settings list", reads=True),
    "settings get": About("settings get easycar_sync_cron", reads=True),
    "settings set": About("settings set easycar_sync_concurrency 4"),
    "db upgrade": About("db upgrade"),
    "db status": About("db status --json", reads=True),
    "adopt": About("adopt --from postgresql://reader@db.example/shop --dry-run"),
    "units show": About("units show stock-sync.timer"),
    "units install": About("units install --enable"),
    "units uninstall": About("units uninstall --yes"),
    "units diff": About("units diff"),
    "cron show": About("cron show > /etc/cron.d/jobsync"),
    "cron run": About("cron run stock-sync"),
    "sandbox serve": About("sandbox serve --port 8080"),
    "sandbox seed": About("sandbox seed --documents 20"),
    "sandbox documents": About("sandbox documents inbox --count 20"),
    "demo": About("demo"),
    "completion": About("completion bash > /etc/bash_completion.d/jobsync"),
    "values": About("values dealership", reads=True),
    "man": About("man | man -l -"),
}
_OTHER_NAMES = {"removals": "holds"}
_EXAMPLES_MOST = 4


def only_reads(arguments: Sequence[str]) -> bool:
    """
    Whether a command line changes nothing and names no file.

    >>> [only_reads(line.split()) for line in ("-q runs list", "health", "health --act", "report -ox", "--help")]
    [True, True, False, False, False]
    """
    words = [word for word in arguments if not word.startswith("-")]
    names = [" ".join([_OTHER_NAMES.get(words[0], words[0]), *words[1:count]]) for count in (2, 1)] if words else []
    about = next((ABOUT[name] for name in names if name in ABOUT), None)
    return about is not None and about.reads and not any(word.startswith(about.unless) for word in arguments)


def examples_of(path: Sequence[str], commands: Iterable[str] = ()) -> list[str]:
    """Return what to type: of a command its example, of a group those of its first commands."""
    name = " ".join([_OTHER_NAMES.get(path[0], path[0]), *path[1:]])
    names = [f"{name} {command}" for command in commands] or [name]
    return [f"jobsync {ABOUT[name].example}" for name in names if name in ABOUT][:_EXAMPLES_MOST]


def as_epilog(lines: Sequence[str]) -> str:
    """Return examples as the end of a command's help; the mark keeps its lines from being joined."""
    return (
        ""
        if not lines
        else "\b\n" + "\n".join([f"Example{'s' if len(lines) > 1 else ''}:", *(f"  {line}" for line in lines)])
    )
