"""
jobsync completion: scripts for shells, which know every command and option, and each word that the program knows.

What only the database knows (dealerships, tenants, runs) they ask of `jobsync values`, and leave out without an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from jobsync.cli.command import command
from jobsync.cli.output import write
from jobsync.suggestions import QUESTIONS, suggest
from jobsync.wiring import Tools

if TYPE_CHECKING:
    from jobsync.cli.tree import Command, Option

# With the start of the program a person waits for less than a second, whatever the database does.
_ANSWER_WITHIN_S = 0.5


class Shell(StrEnum):
    """Shells that we know."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command("completion bash > /etc/bash_completion.d/jobsync")
def completion(
    context: typer.Context, shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]
) -> None:
    """Print the completion script of a shell."""
    from jobsync.cli.tree import read_tree  # brings every command, which `values` is too quick for

    write(RENDER[shell](read_tree(context.find_root().command)))


@command("values dealership", reads=True)
def values(
    tools: Tools, kind: Annotated[str, typer.Argument(metavar="WHAT", help="What is typed, such as dealership.")]
) -> None:
    """Print what may be typed, a line each with what it is behind a tab. Nothing, in time, where anything is wrong."""
    found: list[tuple[str, str]] = []

    def ask() -> None:
        with suppress(Exception):  # somebody is in the middle of typing
            found.extend(suggest(kind, tools.environ, within_s=_ANSWER_WITHIN_S))

    if kind in QUESTIONS:
        asking = threading.Thread(target=ask, daemon=True)  # a name that does not resolve would keep it for a minute
        asking.start()
        asking.join(_ANSWER_WITHIN_S)
        write("".join(f"{value}\t{about}\n" for value, about in tuple(found)))


def render_bash(tree: Command) -> str:
    """Return the script for bash; where nothing is known, words are file names."""
    cases = "\n".join(
        f"        '{' '.join(command.path)}') words='{' '.join(_words(command))}' ;;" for command in tree.walk()
    )
    places = "\n".join(
        f"        '{path} '{place}) words='{' '.join(option.choices)}' asked='{option.asked}' ;;"
        for path, place, option in _places(tree)
    )
    return f"""\
# bash completion for jobsync; generated, and asks jobsync itself for what only the database knows
_jobsync() {{
    local at=jobsync words='' options asked='' word about i n=0 skip=''
    local typed=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        if [[ -n $skip ]]; then
            skip=''
            continue
        fi
        case "$at $word" in
        {_paths(tree, " | ")})
            at="$at $word"
            continue
            ;;
        esac
        case "$word" in
        {_valued(tree, " | ")}) skip=1 ;;
        -*) ;;
        *) n=$((n + 1)) ;;
        esac
    done
    case "$at" in
{cases}
    esac
    options=$words words=''
    if [[ -n $skip ]]; then
        options=''
    else
        before=$n
    fi
    case "$at $before" in
{places}
    esac
    COMPREPLY=()
    if [[ $typed != -* && -n $asked ]]; then
        # compared as they are: a name from the database must never be read as a word of the shell
        while IFS=$'\\t' read -r word about; do
            [[ $word == "$typed"* ]] && COMPREPLY+=("$word${{about:+  $about}}")
        done < <(jobsync values "$asked" 2>/dev/null </dev/null)
        if ((${{#COMPREPLY[@]}} == 1)) || [[ ${{COMP_TYPE:-9}} == 37 || ${{COMP_TYPE:-9}} == 42 ]]; then
            COMPREPLY=("${{COMPREPLY[@]%%  *}}") # to be put into the line, where its name has no place
        fi
    fi
    if ((${{#COMPREPLY[@]}} == 0)); then
        mapfile -t COMPREPLY < <(compgen -W "$words $options" -- "$typed")
    fi
}}
complete -o default -F _jobsync jobsync
"""


def render_zsh(tree: Command) -> str:
    """Return the script for zsh."""
    cases = "\n".join(
        f"        ('{' '.join(command.path)}') found=(\n{_described(command)}        ) ;;" for command in tree.walk()
    )
    places = "\n".join(
        f"        ('{path} '{place}) asked='{option.asked}' choices=({' '.join(option.choices)}) ;;"
        for path, place, option in _places(tree)
    )
    return f"""\
#compdef jobsync
# zsh completion for jobsync; generated, and asks jobsync itself for what only the database knows
_jobsync() {{
    local at=jobsync word asked='' skip='' before=${{words[CURRENT-1]}}
    local -i n=0
    local -a found choices values
    for word in ${{words[2,CURRENT-1]}}; do
        if [[ -n $skip ]]; then
            skip=''
            continue
        fi
        case "$at $word" in
        ({_paths(tree, " | ")})
            at="$at $word"
            continue
            ;;
        esac
        case "$word" in
        ({_valued(tree, " | ")}) skip=1 ;;
        (-*) ;;
        (*) n=n+1 ;;
        esac
    done
    case "$at" in
{cases}
    esac
    [[ -n $skip ]] && found=() || before=$n
    case "$at $before" in
{places}
    esac
    if [[ -n $asked && ${{words[CURRENT]}} != -* ]]; then
        for word in "${{(@f)$(jobsync values $asked 2>/dev/null </dev/null)}}"; do
            [[ -n $word ]] && values+=("${{word%%$'\\t'*}}:${{word#*$'\\t'}}")
        done
    fi
    if (( $#values )); then
        _describe "$asked" values
    else
        found+=($choices)
        _describe 'jobsync' found || _files
    fi
}}
if [[ $funcstack[1] == _jobsync ]]; then
    _jobsync "$@"
else
    compdef _jobsync jobsync
fi
"""


_REPEATED_MOST = 20  # words of one kind behind each other, as far as fish completes them


def render_fish(tree: Command) -> str:
    """Return the script for fish."""
    lines = [
        "# fish completion for jobsync; generated, and asks jobsync itself for what only the database knows",
        "function __jobsync_at",
        "    set -l at jobsync",
        "    set -l n 0",
        "    set -l skip ''",
        "    for word in (commandline -opc)[2..]",
        '        if test -n "$skip"',
        "            set skip ''",
        "            continue",
        "        end",
        '        switch "$at $word"',
        f"            case {_paths(tree, ' ')}",
        '                set at "$at $word"',
        "                continue",
        "        end",
        '        switch "$word"',
        f"            case {_valued(tree, ' ')}",
        "                set skip 1",
        "            case '-*'",
        "            case '*'",
        "                set n (math $n + 1)",
        "        end",
        "    end",
        '    test "$at" = "$argv[1]"; or return 1',
        "    test (count $argv) -eq 1; or contains -- $n $argv[2..]",
        "end",
        "function __jobsync_values",
        "    jobsync values $argv[1] 2>/dev/null </dev/null",
        "end",
    ]
    for each in tree.walk():
        path = " ".join(each.path)
        at = f"complete -c jobsync -n '__jobsync_at {path}'" if " " not in path else _fish_at(path)
        lines += [f"{at} -f -a {child.name} -d {_quoted(child.help)}" for child in each.commands]
        for number, argument in enumerate(each.arguments):
            last = _REPEATED_MOST if argument.repeats else number
            places = " ".join(map(str, range(number, last + 1)))
            if offered := _fish_values(argument):
                lines.append(f"{_fish_at(path, places)} {offered}")
        for option in each.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            value = f" -r {_fish_values(option)}".rstrip() if option.value else ""
            short = "".join(f" # {name}" for name in option.names if not name.startswith("--"))
            lines.append(f"{at} {names}{value} -d {_quoted(option.help)}{short}")
    return "\n".join(lines) + "\n"


def _fish_at(path: str, places: str = "") -> str:
    return f"complete -c jobsync -n '__jobsync_at \"{path}\"{' ' + places if places else ''}'"


def _fish_values(option: Option) -> str:
    if option.choices:
        return f"-f -a '{' '.join(option.choices)}'"
    return f"-f -a '(__jobsync_values {option.asked})'" if option.asked else ""


RENDER: Mapping[str, Callable[[Command], str]] = {"bash": render_bash, "zsh": render_zsh, "fish": render_fish}


def _places(tree: Command) -> Iterator[tuple[str, str, Option]]:
    """
    Yield what completes at which place: the command, the place as a pattern of the shell, what stands there.

    A place is an option that takes a value, or the number of an argument; one that repeats takes all that follow.
    """
    for each in tree.walk():
        path = " ".join(each.path)
        told = [(name, option) for option in each.options for name in option.names]
        told += [
            (f"[{number}-9]" if argument.repeats else str(number), argument)
            for number, argument in enumerate(each.arguments)
        ]
        yield from ((path, place, option) for place, option in told if option.choices or option.asked)


def _words(command: Command) -> list[str]:
    names = [child.name for child in command.commands]
    return [*names, *(name for option in command.options for name in option.names), "--help"]


def _described(command: Command) -> str:
    lines = [(child.name, child.help) for child in command.commands]
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
