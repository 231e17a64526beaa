"""The commands as data: what completion and the manual are rendered from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jobsync.cli.command import use_of
from jobsync.db.system_settings import CATALOGUE
from jobsync.deploy.units import NAMES
from jobsync.easycars.model import FEED_COLUMNS
from jobsync.jobs import BY_NAME
from jobsync.runner.job import RunStatus
from jobsync.sri.model import DocumentStatus


@dataclass(frozen=True)
class Option:
    """One option or argument."""

    names: tuple[str, ...]  # with their dashes; an argument has its metavar only
    help: str
    value: str | None = None  # what follows it, None for a flag
    choices: tuple[str, ...] = ()  # the words that it may be, as far as the program knows them
    asked: str = ""  # what else it may be, as jobsync values calls it
    required: bool = False
    repeats: bool = False


@dataclass(frozen=True)
class Command:
    """One command, or a group of them; `path` begins with the program's name, and so do its `examples`."""

    path: tuple[str, ...]
    help: str
    options: tuple[Option, ...] = ()
    arguments: tuple[Option, ...] = ()
    commands: tuple[Command, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path[-1]

    def walk(self) -> Iterator[Command]:
        """Yield this command and all below it."""
        yield self
        for command in self.commands:
            yield from command.walk()


def read_tree(command: Any, path: tuple[str, ...] = ("jobsync",)) -> Command:
    """Return a program with all its commands, as its root command knows them."""
    told: dict[bool, list[Option]] = {False: [], True: []}  # by whether it is an argument
    for parameter in command.params:
        if not getattr(parameter, "hidden", False):
            told[parameter.param_type_name == "argument"].append(_option(parameter, path))
    children = getattr(command, "commands", {})
    example = use_of(command).example
    return Command(
        path=path,
        help=" ".join((command.help or "").split()),
        options=tuple(told[False]),
        arguments=tuple(told[True]),
        commands=tuple(read_tree(child, (*path, name)) for name, child in children.items() if not child.hidden),
        examples=(f"jobsync {example}",) if example else (),
    )


# What completes an option or argument, by its metavar, or first by its command and metavar.
_WORDS = {
    "JOB": tuple(BY_NAME),
    "FIELD": tuple(FEED_COLUMNS),
    "test|production": ("test", "production"),
    "runs list STATUS": tuple(s for s in RunStatus if s not in (RunStatus.DISABLED, RunStatus.SKIPPED)),  # have no row
    "invoice list S": tuple(DocumentStatus),
    "settings get KEY": tuple(CATALOGUE),
    "settings set KEY": tuple(CATALOGUE),
    "units show NAME": sorted(NAMES),
}
_ASKED = {
    "ID": "dealership",
    "RUC": "tenant",
    "RUN": "run",
    "SUBJECT": "subject",
    "holds show ID": "hold",
    "holds approve ID": "hold",
    "holds reject ID": "hold",
    "tenant add RUC": "",
}


def _option(parameter: Any, path: tuple[str, ...]) -> Option:
    choices = tuple(getattr(parameter.type, "choices", ()))
    is_argument = parameter.param_type_name == "argument"
    metavar = parameter.metavar or ("|".join(choices) if choices else parameter.name.upper())
    noun = metavar.strip("[].")
    of_command = " ".join((*path[1:], noun))
    return Option(
        names=(noun,) if is_argument else (*parameter.opts, *parameter.secondary_opts),
        help=" ".join((getattr(parameter, "help", None) or "").split()),
        value=None if is_argument or getattr(parameter, "is_flag", False) else metavar,
        choices=choices or tuple(map(str, _WORDS.get(of_command) or _WORDS.get(noun, ()))),
        asked=_ASKED.get(of_command, _ASKED.get(noun, "")),
        required=parameter.required,
        repeats=bool(getattr(parameter, "multiple", False)) or parameter.nargs == -1,
    )
