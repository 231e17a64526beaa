"""jobsync completion: scripts for shells that know every command by themselves and start nothing to ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from jobsync.cli.output import write

if TYPE_CHECKING:
    from jobsync.cli.tree import Command


class Shell(StrEnum):
    """Shells that we know."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False)],
) -> None:
    """Print the completion script of a shell."""
    from jobsync.cli.tree import read_tree

    write(RENDER[shell](read_tree(context.find_root().command)))


def render_bash(tree: Command) -> str:
    """Return the script for bash; words after an option with a value are file names."""
    cases = "\n".join(
        f"        '{' '.join(command.path)}') words='{' '.join(_words(command))}' ;;" for command in tree.walk()
    )
    return f"""\
# bash completion for jobsync; generated, starts no program
_jobsync() {{
    local at=jobsync words='' word i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        case "$at $word" in
        {_paths(tree, " | ")}) at="$at $word" ;;
        esac
    done
    case "$at" in
{cases}
    esac
    case "${{COMP_WORDS[COMP_CWORD - 1]}}" in
    {_valued(tree, " | ")}) words='' ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}")
}}
complete -o default -F _jobsync jobsync
"""


def render_zsh(tree: Command) -> str:
    """Return the script for zsh."""
    cases = "\n".join(
        f"        ('{' '.join(command.path)}') found=(\n{_described(command)}        ) ;;" for command in tree.walk()
    )
    return f"""\
#compdef jobsync
# zsh completion for jobsync; generated, starts no program
_jobsync() {{
    local at=jobsync word
    local -a found
    for word in ${{words[2,CURRENT-1]}}; do
        case "$at $word" in
        ({_paths(tree, " | ")}) at="$at $word" ;;
        esac
    done
    case "${{words[CURRENT-1]}}" in
    ({_valued(tree, " | ")}) _files; return ;;
    esac
    case "$at" in
{cases}
    esac
    _describe 'jobsync' found || _files
}}
if [[ $funcstack[1] == _jobsync ]]; then
    _jobsync "$@"
else
    compdef _jobsync jobsync
fi
"""


def render_fish(tree: Command) -> str:
    """Return the script for fish."""
    lines = [
        "# fish completion for jobsync; generated, starts no program",
        "function __jobsync_at",
        "    set -l at jobsync",
        "    for word in (commandline -opc)[2..]",
        '        switch "$at $word"',
        f"            case {_paths(tree, ' ')}",
        '                set at "$at $word"',
        "        end",
        "    end",
        '    test "$at" = "$argv"',
        "end",
    ]
    for command in tree.walk():
        at = f"complete -c jobsync -n '__jobsync_at {' '.join(command.path)}'"
        lines += [f"{at} -f -a {child.name} -d {_quoted(child.help)}" for child in command.commands]
        if choices := _choices(command):
            lines.append(f"{at} -f -a '{' '.join(choices)}'")
        for option in command.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            value = f" -r -a '{' '.join(option.choices)}'" if option.choices else " -r" if option.value else ""
            lines.append(f"{at} {names}{value} -d {_quoted(option.help)}")
    return "\n".join(lines) + "\n"


RENDER: Mapping[str, Callable[[Command], str]] = {"bash": render_bash, "zsh": render_zsh, "fish": render_fish}


def _words(command: Command) -> list[str]:
    names = [child.name for child in command.commands] + _choices(command)
    return [*names, *(name for option in command.options for name in option.names), "--help"]


def _choices(command: Command) -> list[str]:
    return [choice for argument in command.arguments for choice in argument.choices]


def _described(command: Command) -> str:
    lines = [(child.name, child.help) for child in command.commands]
    lines += [(choice, "") for choice in _choices(command)]
    lines += [(name, option.help) for option in command.options for name in option.names]
    lines.append(("--help", "Show this message and exit."))
    return "".join(f"            {_quoted(name + ':' + text.replace(':', ' -'))}\n" for name, text in lines)


def _paths(tree: Command, between: str) -> str:
    """Return every command of more than one word, as patterns of the shell."""
    return between.join(f"'{' '.join(command.path)}'" for command in tree.walk() if len(command.path) > 1)


def _valued(tree: Command, between: str) -> str:
    names = {name for command in tree.walk() for option in command.options if option.value for name in option.names}
    return between.join(sorted(names))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "").replace("'", "’") + "'"
