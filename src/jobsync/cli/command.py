"""How a command is declared: a function of its options that returns what it has to say, and how it is used."""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer
import typer.core

from jobsync.cli.output import Columns, Rows, print_facts, print_json, print_table, write
from jobsync.errors import UsageProblem
from jobsync.logs import complain, end_progress, visible
from jobsync.phrases import read_when
from jobsync.wiring import Tools

if TYPE_CHECKING:
    from sqlalchemy import Connection


def option(value: str, words: str, *names: str, **how: Any) -> Any:
    """Return an option as Typer knows it, by what follows it and its help."""
    return typer.Option(..., *names, metavar=value, help=words, **how)


def argument(value: str, words: str) -> Any:
    return typer.Argument(metavar=value, help=words)


def flag(words: str, *names: str) -> Any:
    """Return an option without a value; without names, `register` names one that is off by default by its parameter."""
    return typer.Option(..., *names, help=words)


TO_FILE = ("-o", "--output")  # with either, a command that else reads writes a file
_EXAMPLES_MOST = 4
Function = TypeVar("Function", bound=Callable[..., Any])
Json = Annotated[bool, flag("One JSON document on standard output.", "--json")]
Yes = Annotated[bool, flag("Do not ask; needed without a terminal.", "--yes")]
DealershipId = Annotated[int, argument("ID", "Number of the dealership.")]
Since = Annotated[str | None, option("WHEN", "An instant, a date, or a span such as 12h or 1d6h.", "--since")]


@dataclass(frozen=True)
class Answer:
    """What a command has to say."""

    document: object  # what --json prints
    tell: Callable[[], object]  # prints the same for a person
    code: int = 0
    complaints: Sequence[str] = ()  # for standard error, whichever form is printed


def said(document: object, *lines: str, code: int = 0, complaints: Sequence[str] = ()) -> Answer:
    """Return an answer that is a line or a few for a person."""
    return Answer(document, lambda: write("".join(f"{visible(line)}\n" for line in lines)), code, complaints)


def facts(document: Mapping[str, Any], told: Mapping[str, object] | None = None) -> Answer:
    """Return an answer of names and values; for a person those of `told`, if they differ."""
    return Answer(document, lambda: print_facts(document if told is None else told))


def table(
    document: Sequence[Any], columns: Columns, told: Rows | None = None, *, empty: str = "nothing", **how: Any
) -> Answer:
    """Return an answer that is a table; its rows for a person are `told`, if they differ from the document's."""
    return Answer(document, lambda: print_table(columns, document if told is None else told, empty=empty), **how)


class Use(NamedTuple):
    """How a command is used."""

    example: str  # what a person may type behind the program's name; it begins with the command's own name
    reads: bool = False  # it changes nothing and names no file, so that root may type it as the units' user
    unless: tuple[str, ...] = ()  # options with which it does either after all


def command(
    example: str, *, of: typer.Typer | None = None, reads: bool = False, unless: tuple[str, ...] = ()
) -> Callable[[Function], Function]:
    """
    Declare a command of the root, or `of` a group.

    The function names what it works with: `tools`, `connection` (a short transaction that commits when it returns) or
    `context`; its other parameters are the command's. One that returns an Answer has --json as well, and its answer is
    printed in either form.
    """

    def declare(function: Function) -> Function:
        function.__dict__["use"] = Use(example, reads, unless)
        if of is not None:
            register(of, function, example.split()[1])
        return function

    return declare


def use_of(called: Any) -> Use:
    """Return how a function, or a command of Typer's making, is used; a group is not."""
    return getattr(getattr(called, "callback", called), "use", Use(""))


def register(app: typer.Typer, function: Callable[..., Any], name: str, *, hidden: bool = False) -> None:
    """Add a declared function to a group, as Typer takes it."""
    whole = inspect.signature(function, eval_str=True)
    asked = whole.parameters.keys()

    @wraps(function)
    def call(context: typer.Context, **given: Any) -> None:
        tools = context.find_root().obj
        assert isinstance(tools, Tools)  # noqa: S101 - set in the root callback
        known = {**given, "context": context, "tools": tools}
        with ExitStack() as stack:
            stack.callback(end_progress)
            if "connection" in asked:
                known["connection"] = stack.enter_context(tools.transaction())
            answer = function(**{name: known[name] for name in asked})
        if not isinstance(answer, Answer):
            return
        if given.get("as_json"):
            print_json(answer.document)
        else:
            answer.tell()
        for sentence in answer.complaints:
            complain(f"jobsync: {sentence}")
        if answer.code:
            raise typer.Exit(answer.code)

    options = {name: each for name, each in whole.parameters.items() if name not in ("context", "tools", "connection")}
    if whole.return_annotation is Answer:
        options.setdefault("as_json", inspect.Parameter("as_json", _BY_NAME, default=False, annotation=Json))
    for each in options.values():
        if each.default is False:
            [found] = each.annotation.__metadata__
            found.param_decls = found.param_decls or (f"--{each.name.replace('_', '-')}",)
    context = inspect.Parameter("context", _BY_NAME, annotation=typer.Context)
    parameters = [context, *(each.replace(kind=_BY_NAME) for each in options.values())]
    call.__dict__["__signature__"] = whole.replace(parameters=parameters)
    app.command(name, hidden=hidden, epilog=as_epilog([use_of(function).example]))(call)


_BY_NAME = inspect.Parameter.KEYWORD_ONLY


def as_epilog(examples: Iterable[str]) -> str:
    """Return what may be typed as the end of a help; the mark keeps its lines from being joined."""
    lines = [f"  jobsync {example}" for example in examples if example][:_EXAMPLES_MOST]
    return "\n".join(["\b", f"Example{'s' if len(lines) > 1 else ''}:", *lines]) if lines else ""


class Group(typer.core.TyperGroup):
    """A group of commands whose list says the whole first sentence of each, in as many lines as it takes."""

    def __init__(self, *, commands: Mapping[str, Any], epilog: str | None = None, **how: Any) -> None:
        examples = as_epilog(use_of(each).example for each in commands.values())
        super().__init__(commands=dict(commands), epilog=epilog or examples, **how)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's own would cut them
        shown = {name: each for name, each in self.commands.items() if not each.hidden}
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(limit=10_000)) for name, each in shown.items()])


def group(help_text: str) -> typer.Typer:
    """Return a group of commands of one noun."""
    app = typer.Typer(cls=Group, help=help_text, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
    app.callback()(lambda: None)  # one command alone would else be no group
    return app


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is destroyed; raises UsageProblem where there is nobody to ask, typer.Abort for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageProblem(f"{question} Without a terminal to ask on this needs --yes; nothing was done")
    typer.confirm(question, abort=True, err=True)


def holds(look: Callable[[], bool]) -> bool:
    """Return what a look at a path says; False where it cannot be looked at."""
    try:
        return look()
    except OSError:
        return False


def since_when(words: str | None, connection: "Connection") -> datetime | None:
    """Return what --since means, which looks back; raises UsageProblem."""
    from jobsync.db.statements import read_now  # commands without a database share this file

    return None if words is None else read_when("--since", words, now=read_now(connection), past=True)
