"""jobsync sri: what the tax authority's words mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from jobsync.cli.options import Json, group
from jobsync.cli.output import print_facts, show
from jobsync.errors import UsageProblem
from jobsync.sri import catalogue
from jobsync.sri.reasons import WORDS

if TYPE_CHECKING:
    from jobsync.sri.catalogue import Explanation

app = group("The SRI, Ecuador's tax authority.")
_CODE = re.compile(r"\+?0*[0-9]{1,5}(?:[.,]0*)?")  # as the SRI may write it


@app.callback()
def sri() -> None:
    """The SRI, Ecuador's tax authority."""


@app.command()
def explain(
    code: Annotated[
        str,
        typer.Argument(
            metavar="CODE", help="The number beside a message, or a word such as in_process.", show_default=False
        ),
    ],
    as_json: Json = False,
) -> None:
    """Say what a code of the SRI, or a word beside a document, means and what to do about it."""
    code = code.strip().lower().removeprefix("code_")  # as `invoice list` shows it
    if word := WORDS.get(code):
        known = {"code": code, "known": True, "stage": "jobsync", "class": None}
        document = {**known, "meaning": word.meaning, "who": None, "advice": word.advice}
        document |= {"source": None, "certain": True}
        facts = {"word": code, "meaning": word.meaning, "what to do": word.advice}
        show(document, as_json=as_json, otherwise=lambda: print_facts(facts))
        return
    if not _CODE.fullmatch(code):
        raise UsageProblem(
            f"{code!r} is no message code of the SRI, and no word of ours about a document;"
            " expected a number such as 43, or a word such as in_process"
        )
    explanation = catalogue.explain(code)
    document = {
        "code": explanation.code,
        "known": explanation.known,
        "stage": explanation.stage,
        "class": explanation.code_class.value,
        "meaning": explanation.meaning,
        "who": explanation.who,
        "advice": explanation.advice,
        "source": explanation.source,
        "certain": explanation.certain,
    }
    show(document, as_json=as_json, otherwise=lambda: print_facts(_for_a_person(explanation)))


def _for_a_person(explanation: Explanation) -> dict[str, object]:
    doubt = " (not confirmed)" if explanation.known and not explanation.certain else ""
    return {
        "code": explanation.code,
        "meaning": explanation.meaning + doubt,
        "said by": explanation.stage,
        "class": f"{explanation.code_class.value}: {explanation.code_class.words}",
        "who acts": explanation.who,
        "what to do": explanation.advice,
        "source": explanation.source,
    }
