"""jobsync sri: what the tax authority's words mean."""

import re
from typing import Annotated

from jobsync.cli.command import Answer, argument, command, facts, group
from jobsync.errors import UsageProblem
from jobsync.sri import catalogue
from jobsync.sri.reasons import WORDS

app = group("The SRI, Ecuador's tax authority.")
_CODE = re.compile(r"\+?0*[0-9]{1,5}(?:[.,]0*)?")  # as the SRI may write it


@command("sri explain 39", of=app)
def explain(
    code: Annotated[str, argument("CODE", "The number beside a message, or a word such as in_process.")],
) -> Answer:
    """Say what a code of the SRI, or a word beside a document, means and what to do about it."""
    code = code.strip().lower().removeprefix("code_")  # as `invoice list` shows it
    if word := WORDS.get(code):
        document: dict[str, object] = {"code": code, "known": True, "stage": "jobsync", "class": None}
        document |= {"meaning": word.meaning, "who": None, "advice": word.advice, "source": None, "certain": True}
        return facts(document, {"word": code, "meaning": word.meaning, "what to do": word.advice})
    if not _CODE.fullmatch(code):
        raise UsageProblem(
            f"{code!r} is no message code of the SRI, and no word of ours about a document;"
            " expected a number such as 43, or a word such as in_process"
        )
    found = catalogue.explain(code)
    kind = found.code_class
    document = {"code": found.code, "known": found.known, "stage": found.stage, "class": kind.value}
    document |= {name: getattr(found, name) for name in ("meaning", "who", "advice", "source", "certain")}
    told = {
        "code": found.code,
        "meaning": found.meaning + (" (not confirmed)" if found.known and not found.certain else ""),
        "said by": found.stage,
        "class": f"{kind.value}: {kind.words}",
        "who acts": found.who,
        "what to do": found.advice,
        "source": found.source,
    }
    return facts(document, told)
