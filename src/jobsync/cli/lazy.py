"""A root of commands that imports a command's file when the command is called, and lists them without any import."""

import ast
from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, cast

import typer
from typer.main import get_command

from jobsync.cli.command import Group, group, register


class CommandPlace(NamedTuple):
    """Where a command is: a function, or a group of commands, of a module; under which heading the help lists it."""

    module: str
    name: str
    hidden: bool = False
    panel: str = "More"


class Commands(UserDict[str, Any]):
    """The commands by name; to ask for one imports its file, to ask for their names imports nothing."""

    def __getitem__(self, name: str) -> Any:
        found = self.data[name]
        if isinstance(found, CommandPlace):
            found = self.data[name] = load(name, found)
        return found


def load(name: str, place: CommandPlace) -> Any:
    """Import a command and return it as Typer makes it."""
    found = getattr(import_module(place.module), place.name)
    holder = group("")
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name, hidden=place.hidden)
    else:
        register(holder, found, name, hidden=place.hidden)
    return cast("Any", get_command(holder)).commands[name]


def summary_of(place: CommandPlace) -> str:
    """Return the first sentence of a command's help, read from its file: to import them all takes most of a second."""
    spec: Any = find_spec(place.module)
    text: str | None = None
    for node in ast.parse(spec.loader.get_source(place.module) or "").body:
        match node:
            case ast.FunctionDef(name=place.name):
                text = ast.get_docstring(node)
            case ast.Assign(targets=[ast.Name(id=place.name)], value=ast.Call(args=[ast.Constant(value=str(text))])):
                pass
    return typer.core.TyperCommand(None, help=text).get_short_help_str(limit=10_000)


def lazy_root(places: Mapping[str, CommandPlace]) -> type[Group]:
    """Return the class of a root group that has these commands."""

    class Root(Group):
        """The root of the command line."""

        def __init__(self, **how: Any) -> None:
            super().__init__(**how)
            self.commands = cast("Any", Commands(places))  # it is never added to

        def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's name for it
            shown = {name: place for name, place in places.items() if not place.hidden}
            width = max(map(len, shown))  # one for all panels, so that their columns stand below each other
            with formatter.section("Commands"):
                for panel in dict.fromkeys(place.panel for place in shown.values()):
                    with formatter.section(panel):
                        rows = [(name, summary_of(place)) for name, place in shown.items() if place.panel == panel]
                        formatter.write_dl([(name.ljust(width), summary) for name, summary in rows])

    return Root
