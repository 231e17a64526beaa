"""
jobsync completion: scripts for shells. What is fixed in one lies in `scripts/`, with marks for what the commands say;
what only the database knows, a script asks of `jobsync values`.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from importlib.resources import files
from typing import Annotated

import typer

from jobsync.cli.command import argument, command
from jobsync.cli.output import write
from jobsync.cli.tree import Command, Option, read_tree


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command("completion bash > /etc/bash_completion.d/jobsync")
def completion(context: typer.Context, shell: Annotated[Shell, argument("SHELL", "bash, zsh or fish.")]) -> None:
    """Print the completion script of a shell."""
    write(render(shell, read_tree(context.find_root().command)))


def render(shell: Shell, tree: Command) -> str:
    """Return the script for a shell; where nothing is known, words are file names."""
    between = " " if shell is Shell.FISH else " | "
    told = list(tree.walk())
    valued = {name for each in told for option in each.options if option.value for name in option.names}
    parts = {
        "paths": between.join(f"'{' '.join(each.path)}'" for each in told if len(each.path) > 1),
        "valued": between.join(sorted(valued)),
        **{mark: "\n".join(lines) for mark, lines in _PARTS[shell](told).items()},
    }
    script = files("jobsync.cli").joinpath("scripts", f"jobsync.{shell}").read_text(encoding="utf-8")
    return re.sub(r"@(\w+)@", lambda mark: parts[mark[1]], script)


def _bash(told: list[Command]) -> dict[str, list[str]]:
    cases, places = [], []
    for each in told:
        path, words = " ".join(each.path), " ".join(word for word, _ in _offered(each))
        cases.append(f"        '{path}') words='{words}' ;;")
        for place, option in _places(each):
            choices = " ".join(option.choices)
            places.append(f"        '{path} '{place}) words='{choices}' asked='{option.asked}' ;;")
    return {"cases": cases, "places": places}


def _zsh(told: list[Command]) -> dict[str, list[str]]:
    cases, places = [], []
    for each in told:
        path = " ".join(each.path)
        lines = [f"            {_quoted(word + ':' + text.replace(':', ' -'))}" for word, text in _offered(each)]
        cases += [f"        ('{path}') found=(", *lines, "        ) ;;"]
        for place, option in _places(each):
            places.append(f"        ('{path} '{place}) asked='{option.asked}' choices=({' '.join(option.choices)}) ;;")
    return {"cases": cases, "places": places}


def _offered(command: Command) -> list[tuple[str, str]]:
    words = [(child.name, child.help) for child in command.commands]
    words += [(name, option.help) for option in command.options for name in option.names]
    return [*words, ("--help", "Show this message and exit.")]


def _places(command: Command) -> Iterator[tuple[str, Option]]:
    """
    Yield what completes at which place of a command: a pattern of the shell, and what stands there.

    A place is an option that takes a value, or the number of an argument; one that repeats takes all that follow.
    """
    told = [(name, option) for option in command.options for name in option.names]
    for number, option in enumerate(command.arguments):
        told.append((f"[{number}-9]" if option.repeats else str(number), option))
    return ((place, option) for place, option in told if option.choices or option.asked)


_REPEATED_MOST = 20  # words of one kind behind each other, as far as fish completes them


def _fish(told: list[Command]) -> dict[str, list[str]]:
    lines = []
    for each in told:
        path = " ".join(each.path)
        at = f"complete -c jobsync -n '__jobsync_at {path}'" if " " not in path else _fish_at(path)
        lines += [f"{at} -f -a {child.name} -d {_quoted(child.help)}" for child in each.commands]
        for number, option in enumerate(each.arguments):
            last = _REPEATED_MOST if option.repeats else number
            places = " ".join(map(str, range(number, last + 1)))
            if offered := _fish_values(option):
                lines.append(f"{_fish_at(path, places)} {offered}")
        for option in each.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            value = f" -r {_fish_values(option)}".rstrip() if option.value else ""
            short = "".join(f" # {name}" for name in option.names if not name.startswith("--"))
            lines.append(f"{at} {names}{value} -d {_quoted(option.help)}{short}")
    return {"lines": lines}


def _fish_at(path: str, places: str = "") -> str:
    return f"complete -c jobsync -n '__jobsync_at \"{path}\"{' ' + places if places else ''}'"


def _fish_values(option: Option) -> str:
    if option.choices:
        return f"-f -a '{' '.join(option.choices)}'"
    return f"-f -a '(__jobsync_values {option.asked})'" if option.asked else ""


_PARTS = {Shell.BASH: _bash, Shell.ZSH: _zsh, Shell.FISH: _fish}


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "").replace("'", "’") + "'"
