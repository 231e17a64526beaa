"""The pages of docs/reference, rendered from the commands, the settings and the tables of the manual."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jobsync.causes import Cause
from jobsync.cli.manual import ENVIRONMENT, EXIT_STATUS, FILES
from jobsync.cli.tree import Command, Option
from jobsync.db.system_settings import CATALOGUE

NOTE = "Written from the code by `make generated`; to change it, change the code."
EXIT_CODES_MORE = """\
A verdict of the SRI, also a refusal, is a success of the check; only no usable answer is a failure. A run that only
tried a host whose circuit is open exits with 0. What the two frequent jobs leave for their next tick is no failure.
`doctor` exits with 0 where there are warnings at most.

SIGTERM: dealerships and documents in work finish, the run ends as `cancelled`, exit 0; SIGINT (Ctrl-C) does the same
with 130. A process that is killed leaves a run that the next one, and `runs list` at once, show as `crashed`; its
half-done transaction is gone with it."""


def render_reference(tree: Command) -> dict[str, str]:
    """Return each page's text by its path in the repository."""
    pages = {
        "commands": _commands(tree),
        "settings": _settings(),
        "environment": _environment(),
        "causes": _causes(),
        "exit-codes": ["# Exit codes", "", NOTE, "", *_table(("code", "meaning"), EXIT_STATUS), "", EXIT_CODES_MORE],
    }
    return {f"docs/reference/{name}.md": "\n".join(lines) + "\n" for name, lines in pages.items()}


def _commands(tree: Command) -> list[str]:
    lines = [
        "# Commands",
        "",
        NOTE,
        "",
        "Every reading command takes `--json`: exactly one JSON document on standard output. Logs go to standard",
        "error.",
    ]
    for command in tree.walk():
        if command.commands:
            continue
        arguments = [
            (option.names[0] if option.required else f"[{option.names[0]}]") + ("..." if option.repeats else "")
            for option in command.arguments
        ]
        lines += ["", f"## {' '.join(command.path[1:])}", "", f"    {' '.join([*command.path, *arguments])}", ""]
        lines.append(_plain(command.help))
        for example in command.examples:
            lines += ["", f"Example: `{example}`"]
        told = [
            (_names(option), _plain(option.help)) for option in (*command.arguments, *command.options) if option.help
        ]
        if told:
            lines += ["", *_table(("option", "meaning"), told)]
    return lines


def _names(option: Option) -> str:
    value = f" {option.value}" if option.value else ""
    return ", ".join(f"`{name}{value}`".replace("|", "\\|") for name in option.names)


def _settings() -> list[str]:
    rows = [
        (
            f"`{key}`",
            _plain(kind.description),
            f"`{_default(kind.default)}`" if kind.default != "" else "empty",
            _plain(kind.expected),
        )
        for key, kind in CATALOGUE.items()
    ]
    return [
        "# Settings in the database",
        "",
        NOTE,
        "",
        "Table `system_settings (key, value)`; `jobsync settings list | get | set`, or plain SQL. A change counts at",
        "the next tick. A value that cannot be read is reported, and counts as off (switches), as the last good one",
        "(cron, map of words), or as its default.",
        "",
        *_table(("key", "meaning", "default", "expected"), rows),
    ]


def _default(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _environment() -> list[str]:
    return [
        "# Environment and files",
        "",
        NOTE,
        "",
        "The environment wins, then a systemd credential of the lower-case name, then `/etc/jobsync/config.toml`,",
        "whose keys are the lower-case names without `jobsync_`.",
        "",
        *_table(("name", "meaning"), [(f"`{name}`".replace(", ", "`, `"), _plain(text)) for name, text in ENVIRONMENT]),
        "",
        *_table(("file", "holds"), [(f"`{name}`", _plain(text)) for name, text in FILES]),
    ]


def _causes() -> list[str]:
    rows = [
        (f"`{cause}`", f"`{cause.kind}`", _plain(cause.meaning), _plain(cause.remedy), "at once" if cause.lasts else "")
        for cause in Cause
    ]
    return [
        "# Causes of alerts",
        "",
        NOTE,
        "",
        "An alert is known by its kind, its subject and its cause. Words in capitals stand for what it is about.",
        "At once: no retry mends it, so it is told when it is first seen; what one host meets of the others is told",
        "after `alert_after_failures` times in a row.",
        "",
        *_table(("cause", "kind", "meaning", "remedy", ""), rows),
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
