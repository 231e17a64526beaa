"""
What the SRI's message codes mean and what to do about them: one table, for the verdict and for `jobsync sri explain`.

Source: docs/facts/sri.md, "Message codes". The classes and the advice are our reading of it, in our words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Stage = Literal["reception", "authorization", "reception or authorization", "query", "unknown"]

_TABLE = "Ficha Técnica v2.34 (July 2026), table of errors and warnings"
_SEEN = "answers of the service in public sources"


class CodeClass(StrEnum):
    """Who has to do what about a message."""

    PENDING = "pending"  # nobody: the SRI is still at it
    QUERY = "query"  # ask for the authorization: the document may be there
    RETRY = "retry"  # nobody: the same request, later
    REBUILD = "rebuild"  # correct the document, send it again with the same key
    RESIGN = "resign"  # sign it anew, send it again with the same key
    TENANT_MUST_ACT = "tenant_must_act"  # outside, with the SRI or with a certificate authority
    OUR_BUG = "our_bug"  # the sending software is wrong
    HUMAN = "human"  # somebody who knows the rules has to read it
    WARNING = "warning"  # changes nothing


CLASS_WORDS: Mapping[CodeClass, str] = {
    CodeClass.PENDING: "nothing is decided yet",
    CodeClass.QUERY: "the document may be there already, ask for it",
    CodeClass.RETRY: "the SRI's own trouble, later again",
    CodeClass.REBUILD: "correct the document, same key",
    CodeClass.RESIGN: "sign anew, same key",
    CodeClass.TENANT_MUST_ACT: "the taxpayer has to settle something outside",
    CodeClass.OUR_BUG: "the sending software is wrong",
    CodeClass.HUMAN: "somebody has to read it and decide",
    CodeClass.WARNING: "a notice, changes nothing",
}


@dataclass(frozen=True)
class Explanation:
    """
    What a code means.

    Args:
        stage: which service says it.
        certain: whether meaning and wording could be checked in more than one place.
        source: where the meaning comes from.
    """

    code: str
    stage: Stage
    code_class: CodeClass
    meaning: str
    advice: str
    source: str = _TABLE
    known: bool = True
    certain: bool = True


_R: Stage = "reception"
_A: Stage = "authorization"
_RA: Stage = "reception or authorization"
_Q: Stage = "query"
_OPEN_AGAIN = "The taxpayer settles this with the SRI first; a closed establishment cannot issue under the same key."
_SAME_KEY = "Correct it and send it again with the same access key and number."

_KNOWN: tuple[Explanation, ...] = (
    Explanation(
        "2", _A, CodeClass.TENANT_MUST_ACT, "The issuer's RUC is not active.",
        "The taxpayer has to reactivate the RUC with the SRI; nothing can be issued before.",
    ),
    Explanation("10", _A, CodeClass.TENANT_MUST_ACT, "The establishment was closed down by the SRI.", _OPEN_AGAIN),
    Explanation(
        "26", _R, CodeClass.REBUILD, "The file is larger than the SRI takes (320 KB for one document).",
        "Make the document smaller, for example by fewer lines or shorter texts, and send it again with the same key.",
    ),
    Explanation(
        "27", _A, CodeClass.TENANT_MUST_ACT, "A taxpayer of this class may not issue this kind of document.",
        "The taxpayer asks the SRI which documents the class may issue, and issues another kind or changes class.",
    ),
    Explanation(
        "28", _R, CodeClass.TENANT_MUST_ACT, "The issuer's consent to electronic notices is not on file.",
        "The taxpayer signs the agreement on electronic means in the SRI's portal; then send it again, same key.",
    ),
    Explanation(
        "34", _A, CodeClass.HUMAN, "Something about the issuer; the exact wording is not known to us.",
        "Read the SRI's own text beside this code and check the issuer's data; then send it again with the same key.",
        certain=False,
    ),
    Explanation(
        "35", _R, CodeClass.REBUILD, "The document does not have the structure that its version asks for.",
        "Usual causes are line breaks inside a text and optional elements that are there but empty. " + _SAME_KEY,
        source=f"{_TABLE}; {_SEEN}",
    ),
    Explanation(
        "36", _R, CodeClass.REBUILD, "The document's version is one that the SRI has withdrawn.",
        "Issue it in a version that is in force and send it again with the same key.",
    ),
    Explanation(
        "37", _A, CodeClass.TENANT_MUST_ACT, "The RUC is not authorized to issue electronic documents.",
        "The taxpayer applies for it in the SRI's portal, once for the test and once for the production environment.",
    ),
    Explanation(
        "39", _A, CodeClass.RESIGN, "The electronic signature is not valid.",
        "Sign the document anew with a valid certificate and send it again with the same key. It shows only after the "
        "document was received.",
        source=f"{_TABLE}; {_SEEN}",
    ),
    Explanation(
        "40", _A, CodeClass.RESIGN, "There is something wrong with the signing certificate.",
        "Check the certificate, get a new one if need be, sign anew and send it again with the same key.",
    ),
    Explanation(
        "42", _A, CodeClass.RESIGN, "The signing certificate has been revoked.",
        "Get a new certificate, sign anew and send it again with the same key.",
    ),
    Explanation(
        "43", _R, CodeClass.QUERY, "The access key is already registered.",
        "No failure: the document arrived earlier. Ask for its authorization; do not send it again.",
    ),
    Explanation(
        "45", _R, CodeClass.QUERY, "The sequence number is already registered.",
        "Ask for the authorization first: after a send that timed out this can be the very same document. Only if "
        "the SRI knows nothing of the key is the number taken by another document.",
        source=f"{_TABLE}; {_SEEN}",
    ),
    Explanation(
        "46", _A, CodeClass.TENANT_MUST_ACT, "The issuer's RUC does not exist.",
        "Check the RUC with the taxpayer and the SRI; it is part of the key, so another RUC is another document.",
    ),
    Explanation(
        "47", _R, CodeClass.OUR_BUG, "This kind of document does not exist.",
        "The software that issues the document writes a wrong document code: correct the software.",
    ),
    Explanation(
        "48", _R, CodeClass.OUR_BUG, "There is no schema for this document.",
        "The software that issues the document names a schema version that does not exist: correct the software.",
    ),
    Explanation(
        "49", _R, CodeClass.OUR_BUG, "The request came without its content.",
        "The software that sends the document sent nothing: correct the software.",
    ),
    Explanation(
        "50", _R, CodeClass.RETRY, "An internal error of the SRI.",
        "Nothing is wrong with the document; it is asked for again later by itself.",
    ),
    Explanation(
        "52", _A, CodeClass.REBUILD, "The amounts do not add up.",
        "The additional information lists every difference. " + _SAME_KEY,
    ),
    Explanation("56", _A, CodeClass.TENANT_MUST_ACT, "The establishment is closed.", _OPEN_AGAIN),
    Explanation(
        "57", _A, CodeClass.TENANT_MUST_ACT, "The authorization to issue electronic documents was suspended.",
        "The taxpayer clears the cause with the SRI, often overdue declarations; then send it again, same key.",
    ),
    Explanation(
        "58", _A, CodeClass.REBUILD, "The access key does not fit the document around it.",
        "Date, kind, RUC, environment, series and sequence must be those in the key: correct the document.",
    ),
    Explanation(
        "59", _A, CodeClass.WARNING, "A notice about the receiver's identification.",
        "It changes nothing about the authorization; check the receiver's data for the next document.",
        certain=False,
    ),
    Explanation(
        "60", _A, CodeClass.WARNING, "A notice that this is the test environment.",
        "The document has no tax effect.", source=f"{_TABLE}; {_SEEN}",
    ),
    Explanation(
        "62", _A, CodeClass.WARNING, "A notice beside the authorization.",
        "It changes nothing about the authorization; read the SRI's text once.",
        certain=False,
    ),
    Explanation(
        "63", _A, CodeClass.TENANT_MUST_ACT, "The issuer's RUC is closed.",
        "The taxpayer settles it with the SRI; with a closed RUC nothing can be issued, nor corrected under this key.",
    ),
    Explanation(
        "64", _A, CodeClass.TENANT_MUST_ACT, "The state of the issuer's RUC does not allow this document.",
        "The taxpayer settles it with the SRI.", certain=False,
    ),
    Explanation(
        "65", _R, CodeClass.HUMAN, "The day of issue is too long ago; the text names the tolerance in minutes.",
        "Documents are to be sent when they are issued. Somebody decides whether this sale needs a new document with "
        "today's date.",
        source=f"{_TABLE}; the tests of OCA/l10n-ecuador",
    ),
    Explanation(
        "67", _R, CodeClass.REBUILD, "A date in the document is not valid.", _SAME_KEY, certain=False,
    ),
    Explanation(
        "68", _A, CodeClass.WARNING, "A notice about the document that is referred to.",
        "It changes nothing about the authorization; check the reference once.", certain=False,
    ),
    Explanation(
        "69", _A, CodeClass.REBUILD, "The receiver's identification is not valid.", _SAME_KEY, certain=False,
    ),
    Explanation(
        "70", _RA, CodeClass.PENDING, "The SRI is still working on this access key.",
        "Wait. Neither send it again nor make a new key before there is an answer, or 24 hours have gone by.",
        source=f"{_TABLE}; {_SEEN}",
    ),
    Explanation(
        "80", _Q, CodeClass.OUR_BUG, "The access key that was asked for is empty, has letters, or the wrong length.",
        "Such a key is never sent by this program; whoever sent it has to correct the software.",
    ),
    Explanation(
        "82", _R, CodeClass.REBUILD, "A date of the transport is not valid.", _SAME_KEY,
    ),
    Explanation(
        "92", _R, CodeClass.REBUILD, "The data of the IVA refund is not valid.", _SAME_KEY,
    ),
    Explanation(
        "99", _Q, CodeClass.QUERY, "The state of the document was asked outside the range that is served.",
        "It says nothing about the document: ask the authorization service.",
    ),
)  # fmt: skip
CODES: Mapping[str, Explanation] = {entry.code: entry for entry in _KNOWN}
FAMILY = range(2000, 7001)


def explain(code: str) -> Explanation:
    """
    Return what a code means; an unknown one has an honest answer, `known` is False then.

    >>> explain(" 043 ").code_class
    <CodeClass.QUERY: 'query'>
    >>> explain("1234").known
    False
    """
    plain = code.strip()
    if plain.isascii() and plain.isdigit():
        plain = plain.lstrip("0") or "0"
        if int(plain[:6]) in FAMILY and len(plain) <= 4:
            return Explanation(
                plain,
                "unknown",
                CodeClass.HUMAN,
                "One of the SRI's checks numbered 2000 to 7000; its single meaning is not known to us.",
                "Read the SRI's own text beside this code; correct the document and send it again with the same key.",
                certain=False,
            )
    return CODES.get(plain) or Explanation(
        plain,
        "unknown",
        CodeClass.HUMAN,
        "This code is not in our table.",
        "Read the SRI's own text beside this code, and ask the SRI or an accountant. The document's state decides, "
        "not the code: refused documents can as a rule be corrected and sent again with the same key.",
        source="none",
        known=False,
        certain=False,
    )
