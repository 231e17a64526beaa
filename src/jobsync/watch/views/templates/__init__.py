"""The page's templates: whatever is put into one is made visible and escaped, unless a template has drawn it."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from jobsync.logs import visible
from jobsync.phrases import ago, many, percent, span, stamp

# a command in a sentence ends at a sign, or at the word that goes on with the sentence
_COMMAND = re.compile(
    r"(\b(?:jobsync|systemctl|journalctl)"
    r"(?: (?!(?:says|shows|has|then|tests|lets|and|or|on|to|draws)\b)[^\s;:,()]+)+)"
)


def render(template: str, **values: Any) -> Markup:
    """Return a template with its values, which may be text from anywhere."""
    return Markup(_environment().get_template(template).render(values))  # noqa: S704 - it escapes what is put into it


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_cut,
    )
    environment.filters |= {"ago": _ago, "cut": _cut, "many": many, "pieces": _pieces, "span": span, "stamp": stamp}
    environment.globals |= {"percent": percent}
    return environment


def _cut(value: object, most: int = 400) -> str:
    return value if isinstance(value, Markup) else visible("" if value is None else value, most=most)


@pass_context
def _ago(context: Context, then: datetime | None) -> str:
    return ago(context["now"], then)


def _pieces(words: str) -> list[tuple[str, bool]]:
    """
    Return advice in pieces, each with whether it is a command.

    >>> _pieces("jobsync db status says it; then psql")
    [('jobsync db status', True), (' says it; then psql', False)]
    """
    return [(piece, bool(at % 2)) for at, piece in enumerate(_COMMAND.split(words)) if piece]
