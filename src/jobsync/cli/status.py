"""jobsync status: the whole system on one screen, what is wrong first, each with the next step."""

import shutil
import sys
from datetime import timedelta
from typing import Annotated

from jobsync.cli.command import Answer, Json, command, flag, option
from jobsync.cli.health import with_remedy
from jobsync.cli.output import is_deaf, write
from jobsync.errors import JobsyncError, UsageProblem
from jobsync.logs import visible
from jobsync.phrases import SPANS, parse_span
from jobsync.watch.health import Health
from jobsync.watch.model import Snapshot
from jobsync.watch.views.json_ import as_json as document
from jobsync.watch.views.screen import BAD, DIM, WARN, Line, fold, screen
from jobsync.wiring import Tools
from jobsync.wiring.watched import look


@command("status --window 24h", reads=True)
def status(
    tools: Tools,
    watch: Annotated[bool, flag("Show it again and again until interrupted.")] = False,
    every: Annotated[float, option("SEC", "With --watch.", min=0.5, max=3600)] = 2.0,
    window: Annotated[str, option("SPAN", "How far rates and failures look back, such as 24h or 1d12h.")] = "7d",
    as_json: Json = False,
) -> Answer:
    """Show what is wrong, why, and what to do. Every job, dealership and tenant is in it."""
    span = parse_span(window)
    if not span:
        raise UsageProblem(f"--window: {visible(window, most=40)!r} is not understood, expected {SPANS}")
    if watch and as_json:
        raise UsageProblem("--json prints one document; it cannot go with --watch")
    if watch:
        return Answer(None, lambda: _watch(tools, span, every))
    try:
        seen, verdict = _look(tools, span)
    except JobsyncError as error:
        raise with_remedy(error) from None
    return Answer(document(seen, verdict), lambda: _paint(list(screen(seen, verdict)), clear=False))


def _watch(tools: Tools, window: timedelta, every: float) -> None:
    try:
        while not is_deaf():
            try:
                lines = list(screen(*_look(tools, window)))
            except JobsyncError as error:  # a server that restarts is there again in a moment
                lines = [(BAD, visible(error)), (DIM, f"tried again every {every:g} s; jobsync doctor")]
            _paint(lines, clear=sys.stdout.isatty())
            tools.wait(every)
    except KeyboardInterrupt:
        write("\n")


def _look(tools: Tools, window: timedelta) -> tuple[Snapshot, Health]:
    with tools.transaction() as connection:
        return look(tools, connection, window=window)


def _paint(lines: list[Line], *, clear: bool) -> None:
    if not sys.stdout.isatty():
        write("".join(f"{text}\n" for _, text in lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    size = shutil.get_terminal_size()
    lines = [part for line in lines for part in fold(line, size.columns)]
    if clear:
        lines = [(style, text[: size.columns]) for style, text in _first(lines, max(4, size.lines - 1))]
        write("\x1b[H\x1b[2J")
    console.print(Text("\n").join(Text(text, style=style) for style, text in lines))


def _first(lines: list[Line], most: int) -> list[Line]:
    if len(lines) <= most:
        return lines
    hidden = len(lines) - most + 1
    return [*lines[: most - 1], (WARN, f"... {hidden} more lines; enlarge the terminal or run jobsync status")]
