"""The commands as data: what completion and the manual are rendered from."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args, get_type_hints

from jobsync.commands import examples_of


@dataclass(frozen=True)
class Option:
    """
    One option or argument.

    Args:
        names: with their dashes; an argument has its metavar only.
        value: what follows it, None for a flag.
        repeats: it may be given several times.
    """

    names: tuple[str, ...]
    help: str
    value: str | None = None
    choices: tuple[str, ...] = ()
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
        """The last word."""
        return self.path[-1]

    def walk(self) -> Iterator[Command]:
        """Yield this command and all below it."""
        yield self
        for command in self.commands:
            yield from command.walk()


def read_tree(program: Any) -> Command:
    """Return a program with all its commands, as its root command knows them."""
    return _read(program, ("jobsync",))


def _read(command: Any, path: tuple[str, ...]) -> Command:
    options: list[Option] = []
    arguments: list[Option] = []
    # of ours, the functions behind the commands: how Typer keeps a parameter's type is its own affair
    types = get_type_hints(inspect.unwrap(command.callback)) if command.callback else {}
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        option = _option(parameter, choices=_choices(types.get(parameter.name)))
        (arguments if parameter.param_type_name == "argument" else options).append(option)
    children = getattr(command, "commands", {})
    return Command(
        path=path,
        help=" ".join((command.help or "").split()),
        options=tuple(options),
        arguments=tuple(arguments),
        commands=tuple(_read(child, (*path, name)) for name, child in children.items() if not child.hidden),
        examples=tuple(examples_of(path[1:])) if len(path) > 1 else (),
    )


def _choices(annotation: Any) -> tuple[str, ...]:
    """
    Return the words that a parameter may be: those of an enumeration, also of an optional or repeated one.

    >>> from collections.abc import Sequence
    >>> from http import HTTPMethod
    >>> _choices(Sequence[HTTPMethod] | None)[:2], _choices(int)
    (('CONNECT', 'DELETE'), ())
    """
    if inspect.isclass(annotation) and issubclass(annotation, Enum):
        return tuple(str(member.value) for member in annotation)
    return next(filter(None, map(_choices, get_args(annotation))), ())


def _option(parameter: Any, *, choices: tuple[str, ...]) -> Option:
    is_argument = parameter.param_type_name == "argument"
    metavar = parameter.metavar or ("|".join(choices) if choices else parameter.name.upper())
    return Option(
        names=(metavar.strip("[]"),) if is_argument else (*parameter.opts, *parameter.secondary_opts),
        help=" ".join((getattr(parameter, "help", None) or "").split()),
        value=None if is_argument or getattr(parameter, "is_flag", False) else metavar,
        choices=choices,
        required=parameter.required,
        repeats=bool(getattr(parameter, "multiple", False)) or parameter.nargs == -1,
    )
