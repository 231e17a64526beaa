"""A root of commands that imports a command's file when the command is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple, cast

import typer
from typer.main import get_command

from jobsync.cli.options import Group


class Place(NamedTuple):
    """Where a command is: a function, or a group of commands, of a module."""

    module: str
    name: str
    hidden: bool = False


class Commands(Mapping[str, Any]):
    """The commands by name; to ask for one imports its file, to ask for their names imports nothing."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = load(name, self._places[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def load(name: str, place: Place) -> Any:
    """Import a command and return it as Typer makes it."""
    found = getattr(import_module(place.module), place.name)
    holder = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name, hidden=place.hidden)
    else:
        holder.command(name, hidden=place.hidden)(found)
        holder.callback()(_nothing)  # one command alone would else be no group
    group: Any = get_command(holder)
    return group.commands[name]


def _nothing() -> None:
    return


def lazy_root(places: Mapping[str, Place]) -> type[Group]:
    """Return the class of a root group that has these commands."""

    class Root(Group):
        """The root of the command line."""

        def __init__(self, **how: Any) -> None:
            super().__init__(**how)
            self.commands = cast("Any", Commands(places))  # nobody adds to it

    return Root
