"""What is said of each command once, beside its own help: an example to type, and whether it only reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jobsync.jobs import CHECK_AUTHORIZATIONS, GENERATE_RIDE, STOCK_SYNC


class CommandUse(NamedTuple):
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
    STOCK_SYNC.name: CommandUse("stock-sync --dealership 17 --dry-run"),
    CHECK_AUTHORIZATIONS.name: CommandUse("check-authorizations --tenant 1790012345001 --limit 50"),
    GENERATE_RIDE.name: CommandUse("generate-ride --missing --tenant 1790012345001"),
    "status": CommandUse("status --window 24h", reads=True),
    "health": CommandUse("health --json", reads=True, unless=("--act",)),
    "doctor": CommandUse("doctor --offline", reads=True),
    "report": CommandUse("report -o report.html --days 7", reads=True, unless=_FILE),
    "metrics": CommandUse("metrics -o /var/lib/node_exporter/jobsync.prom", reads=True, unless=_FILE),
    "runs list": CommandUse("runs list --failed --since 1d12h", reads=True),
    "runs show": CommandUse("runs show 3f2a", reads=True),
    "runs retry": CommandUse("runs retry 3f2a"),
    "runs prune": CommandUse("runs prune --dry-run"),
    "logs": CommandUse("logs 3f2a"),  # reads the journal as root, and the database as the units' user: cli/logs.py
    "locks": CommandUse("locks", reads=True),
    "schedule show": CommandUse("schedule show", reads=True),
    "audit": CommandUse("audit --limit 10", reads=True),
    "alerts list": CommandUse("alerts list", reads=True),
    "alerts test": CommandUse("alerts test"),
    "alerts silence": CommandUse("alerts silence queue --until 2d12h"),
    "alerts unsilence": CommandUse("alerts unsilence queue"),
    "alert": CommandUse("alert --unit jobsync-stock-sync.service"),
    "dealership add": CommandUse('dealership add "Bilby Creek Motors" --timezone Australia/Sydney'),
    "dealership set": CommandUse("dealership set 17 --name 'Bilby Creek'"),
    "dealership list": CommandUse("dealership list", reads=True),
    "dealership show": CommandUse("dealership show 17", reads=True),
    "dealership pause": CommandUse("dealership pause 17 --until 1d12h --reason 'moving yards'"),
    "dealership resume": CommandUse("dealership resume 17"),
    "dealership schedule": CommandUse("dealership schedule 17 '30 1 * * *'"),
    "credentials set": CommandUse("credentials set 17 --from-stdin < credentials.json"),
    "credentials test": CommandUse("credentials test 17", reads=True),
    "credentials delete": CommandUse("credentials delete 17 --yes"),
    "credentials rotate-key": CommandUse("credentials rotate-key"),
    "stock history": CommandUse("stock history 17 --stock-number A123", reads=True),
    "stock changes": CommandUse("stock changes --since 12h", reads=True),
    "stock refused": CommandUse("stock refused 17", reads=True),
    "stock lock": CommandUse("stock lock 17 A123 price description"),
    "stock unlock": CommandUse("stock unlock 17 A123 price"),
    "stock exclude": CommandUse("stock exclude 17 A123 --reason 'sold at the counter'"),
    "stock include": CommandUse("stock include 17 A123"),
    "holds list": CommandUse("holds list", reads=True),
    "holds show": CommandUse("holds show 4", reads=True),
    "holds approve": CommandUse("holds approve 4"),
    "holds reject": CommandUse("holds reject 4"),
    "tenant add": CommandUse("tenant add 1790012345001 'Comercial Andina S.A.' --logo logo.png"),
    "tenant list": CommandUse("tenant list", reads=True),
    "tenant show": CommandUse("tenant show 1790012345001", reads=True),
    "tenant pause": CommandUse("tenant pause 1790012345001"),
    "tenant resume": CommandUse("tenant resume 1790012345001"),
    "invoice import": CommandUse("invoice import /srv/inbox --tenant 1790012345001 --dry-run"),
    "invoice list": CommandUse("invoice list --status needs_attention", reads=True),
    "invoice show": CommandUse(f"invoice show {_KEY}", reads=True),
    "invoice recheck": CommandUse(f"invoice recheck {_KEY}"),
    "invoice export": CommandUse(f"invoice export {_KEY} --to ."),
    "ride render": CommandUse("ride render invoice.xml -o invoice.pdf --logo logo.png"),
    "storage claim": CommandUse("storage claim --yes"),
    "sri explain": CommandUse("sri explain 39"),
    "settings list": CommandUse("settings list", reads=True),
    "settings get": CommandUse("settings get easycar_sync_cron", reads=True),
    "settings set": CommandUse("settings set easycar_sync_concurrency 4"),
    "db upgrade": CommandUse("db upgrade"),
    "db status": CommandUse("db status --json", reads=True),
    "adopt": CommandUse("adopt --from postgresql://reader@db.example/shop --dry-run"),
    "units show": CommandUse("units show stock-sync.timer"),
    "units install": CommandUse("units install --enable"),
    "units uninstall": CommandUse("units uninstall --yes"),
    "units diff": CommandUse("units diff"),
    "cron show": CommandUse("cron show > /etc/cron.d/jobsync"),
    "cron run": CommandUse("cron run stock-sync"),
    "sandbox serve": CommandUse("sandbox serve --port 8080"),
    "sandbox seed": CommandUse("sandbox seed --documents 20"),
    "sandbox documents": CommandUse("sandbox documents inbox --count 20"),
    "demo": CommandUse("demo"),
    "completion": CommandUse("completion bash > /etc/bash_completion.d/jobsync"),
    "values": CommandUse("values dealership", reads=True),
    "man": CommandUse("man | man -l -"),
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
