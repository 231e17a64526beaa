"""
What the SRI's message codes mean and what to do about them: one table, for the verdict and for `jobsync sri explain`.

Source: docs/facts/sri.md, "Message codes". The meanings are in our words; the classes and the advice are our reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

_TABLE = "Ficha Técnica v2.32 (October 2025) and v2.34 (July 2026), section 11, the same in both"
_OLD = "a copy of the table as it was in 2016 and 2017; neither in the Ficha Técnica v2.32 nor in v2.34"
_OTHER = "Ficha Técnica v2.32 (October 2025) and v2.34 (July 2026), section 12"
_SEEN = "answers of the service in public sources"
_NUMBER = re.compile(r"\+?(\d+)(?:[.,]0*)?")  # a code is a number, however it is written
_LENGTH_MOST = 40  # of a code that is shown; the SRI's have two to four digits


class CodeClass(StrEnum):
    """What has to be done about a message, in `words`, and as a rule by whom: `who`."""

    words: str
    who: str

    def __new__(cls, value: str, words: str, who: str) -> Self:
        member = str.__new__(cls, value)
        member._value_, member.words, member.who = value, words, who
        return member

    PENDING = "pending", "nothing is decided yet", "nobody"
    QUERY = "query", "the document may be there already, ask for it", "nobody"
    RETRY = "retry", "the SRI's own trouble, later again", "nobody"
    REBUILD = "rebuild", "correct the document, same key", "the issuer's software"
    RESIGN = "resign", "sign anew, same key", "whoever signs"
    TENANT_MUST_ACT = "tenant_must_act", "the taxpayer has to settle something outside", "the taxpayer, with the SRI"
    OUR_BUG = "our_bug", "the sending software is wrong", "the issuer's software"
    HUMAN = "human", "somebody has to read it and decide", "a person"
    WARNING = "warning", "a notice, changes nothing", "nobody"
    STATE_DECIDES = (
        "state_decides",
        "the code decides nothing, the document's state does",
        "whoever the document's state calls for",
    )
    OTHER_SERVICE = "other_service", "a code of another service, it decides nothing", "nobody"


@dataclass(frozen=True)
class Explanation:
    """What a code means."""

    code: str
    stage: str  # which service or check says it
    code_class: CodeClass
    meaning: str
    advice: str
    source: str = _TABLE
    known: bool = True
    certain: bool = True  # the meaning was read in the SRI's own table
    by: str = ""  # who has to act, if others than the class says

    @property
    def who(self) -> str:
        """Who has to act; a plain word for nobody too."""
        return self.by or self.code_class.who

    @property
    def may_decide(self) -> bool:
        """Whether it may decide what a refusal means: one that was read in the SRI's own table of these documents."""
        return self.certain and self.code_class is not CodeClass.OTHER_SERVICE


TOO_OFTEN = "33"  # the one code about whoever asks
NO_DATA = "99"

_R = "reception"
_A = "authorization"
_W = "warning beside an authorization"
_ISSUER = "a check that the issuer's own system has to make"
_OLD_TABLE = "table of 2016-17"
_PORTAL = "the taxpayer, in the SRI's portal"
_MASTER_DATA = "nobody; the master data may be corrected"
_SAME_KEY = "Correct it and send it again with the same access key and number."
_AFTERWARDS = "Then the same document can be sent again with the same key."
_STATE_DECIDES = (
    "Read the SRI's own text beside this code. The document's state decides, not the code: what was refused can as a"
    " rule be corrected and sent again with the same key."
)


def _old(code: str, meaning: str) -> Explanation:
    return Explanation(code, _OLD_TABLE, CodeClass.STATE_DECIDES, meaning, _STATE_DECIDES, source=_OLD, certain=False)


_KNOWN = (
    Explanation("2", _A, CodeClass.TENANT_MUST_ACT, "The issuer's RUC is not in the state active.",
        "The taxpayer has to reactivate the RUC with the SRI; nothing can be issued before."),
    Explanation("10", _A, CodeClass.TENANT_MUST_ACT,
        "The issuing establishment is shut by a sanction, which ends by itself after its time.",
        "Wait for the end of the sanction, or the taxpayer settles it with the SRI. " + _AFTERWARDS),
    Explanation("26", _R, CodeClass.REBUILD, "The file is larger than the SRI takes (320 KB for one document).",
        "Make the document smaller, for example by fewer lines or shorter texts, and send it again with the same"
        " key."),
    Explanation("27", _A, CodeClass.TENANT_MUST_ACT,
        "A taxpayer of this class cannot issue electronic documents at all.",
        "The taxpayer asks the SRI about the class of the RUC; no document can be issued electronically before."),
    Explanation("28", _R, CodeClass.TENANT_MUST_ACT, "The agreement on electronic notices was not accepted.",
        "The taxpayer accepts the agreement in the SRI's portal. " + _AFTERWARDS, by=_PORTAL),
    Explanation(TOO_OFTEN, _OLD_TABLE, CodeClass.PENDING,
        "jobsync asks the SRI too often: the address that calls is sanctioned. It says nothing about the document.",
        "The document stays pending; this host gets one call a run until it answers without. Let fewer calls leave"
        " from this address (jobsync settings set sri_call_delay_ms 2000).",
        by="the operator of jobsync", source=_OLD, certain=False),
    Explanation("34", _ISSUER, CodeClass.TENANT_MUST_ACT,
        "This kind of document is not among those that the taxpayer asked to be allowed to issue.",
        "The taxpayer adds the kind of document in the SRI's portal. " + _AFTERWARDS, by=_PORTAL),
    Explanation("35", _R, CodeClass.REBUILD, "The document does not pass the schema of its version.",
        "Usual causes are line breaks inside a text and optional elements that are there but empty. " + _SAME_KEY,
        source=f"{_TABLE}; {_SEEN}"),
    Explanation("36", _R, CodeClass.REBUILD, "The version of the document's schema is not the right one, or withdrawn.",
        "Issue it in a version that is in force and send it again with the same key."),
    Explanation("37", _A, CodeClass.TENANT_MUST_ACT, "The RUC has no request for electronic issuing on file.",
        "The taxpayer applies for it in the SRI's portal, once for the test and once for the production environment.",
        by=_PORTAL),
    Explanation("39", _A, CodeClass.RESIGN,
        "The electronic signature is not valid: unsigned part, wrong structure, changed content or odd characters, a"
        " signing time in the future, or no RUC in the certificate.",
        "Sign anew and send it again with the same key. If only the signing time lies in the future, set the signer's"
        " clock right and send the same document again as it is, unchanged.",
        source=f"{_TABLE}, and its questions and answers; {_SEEN}"),
    Explanation("40", _A, CodeClass.RESIGN, "The document has no certificate, or one that cannot be read as X.509.",
        "Sign anew with the certificate inside the signature and send it again with the same key."),
    Explanation("42", _ISSUER, CodeClass.RESIGN, "The signing certificate is past its expiry and was not renewed.",
        "Get a new certificate, sign anew and send it again with the same key.",
        by="the taxpayer, with the certificate authority"),
    Explanation("43", _R, CodeClass.QUERY, "The access key is already registered.",
        "No failure: the document arrived earlier. Ask for its authorization; do not send it again.",
        by="nobody: the authorization is asked for"),
    Explanation("45", _R, CodeClass.QUERY, "The sequence number is already registered.",
        "Ask for the authorization first: after a send that timed out this can be the very same document. Only if the"
        " SRI knows nothing of the key is the number taken by another document.",
        by="nobody, until the SRI was asked", source=f"{_TABLE}; {_SEEN}"),
    Explanation("46", _A, CodeClass.TENANT_MUST_ACT,
        "A RUC is not in the register: by the table the issuer's, by the SRI's questions and answers the receiver's.",
        "Look at both. The receiver's is corrected in the document, which is sent again with the same key. The"
        " issuer's is part of the key: another RUC is another document.",
        source=f"{_TABLE}, and its questions and answers"),
    Explanation("47", _R, CodeClass.OUR_BUG, "This kind of document is not in the SRI's catalogue.",
        "The software that issues the document writes a wrong document code: correct the software."),
    Explanation("48", _R, CodeClass.OUR_BUG, "There is no schema for this kind of document.",
        "The software that issues the document names a kind or version that does not exist: correct the software."),
    Explanation("49", _R, CodeClass.OUR_BUG, "The service was called without its arguments.",
        "The software that sends the document sent nothing: correct the software.", by="the sending software"),
    Explanation("50", _R, CodeClass.RETRY, "An unexpected error of the SRI's own server.",
        "Nothing is wrong with the document; it is asked for again later by itself."),
    Explanation("52", "authorization; also " + _ISSUER, CodeClass.REBUILD, "The arithmetic of the document is wrong.",
        "The additional information lists every difference. " + _SAME_KEY),
    _old("53", "The key for a contingency is one that the SRI never gave out."),
    Explanation("56", _A, CodeClass.TENANT_MUST_ACT,
        "The issuing establishment is closed in the register; unlike a sanction (10) this does not end by itself.",
        "The taxpayer settles it with the SRI first; what hangs on a closed establishment cannot be corrected under"
        " the same key."),
    Explanation("57", _A, CodeClass.TENANT_MUST_ACT,
        "The authorization to issue is suspended, or there was none on the document's day of issue.",
        "If it is suspended the taxpayer clears the cause with the SRI, and the same document can be sent again. If"
        " there was none on the day of issue the same key cannot help: the day is part of the key."),
    Explanation("58", _A, CodeClass.REBUILD, "A part of the access key differs from the document around it.",
        "Date, kind, RUC, environment, series and sequence must be those in the key: correct the document."),
    Explanation("59", _W, CodeClass.WARNING, "The buyer's identification does not exist.",
        "It changes nothing about the authorization; correct the buyer's data for the next document.", by=_MASTER_DATA),
    Explanation("60", _W, CodeClass.WARNING,
        "This is the test environment; it comes with the authorization of every test document.",
        "Nothing. The document has no tax effect.", source=f"{_TABLE}; {_SEEN}"),
    Explanation("62", _W, CodeClass.WARNING,
        "The buyer's identification is wrong in itself, for example the check digit of a cédula.",
        "It changes nothing about the authorization; correct the buyer's data for the next document.", by=_MASTER_DATA),
    Explanation("63", _A, CodeClass.TENANT_MUST_ACT, "The issuer's RUC is shut by the SRI.",
        "The taxpayer settles it with the SRI; with such a RUC nothing can be issued, nor corrected under this key."),
    Explanation("64", _ISSUER, CodeClass.REBUILD,
        "The code of the supporting document (such as codDocSustento or codDocModificado) is not in the SRI's"
        " catalogue of documents.",
        _SAME_KEY),
    Explanation("65", "reception; also " + _ISSUER, CodeClass.HUMAN,
        "The document was sent too late for its day of issue; the text names the tolerance in minutes.",
        "Documents are to be sent when they are issued. Somebody decides whether this sale needs a new document with"
        " today's date.", source=f"{_TABLE}; the tests of OCA/l10n-ecuador"),
    _old("66", "One key for a contingency was used for two documents."),
    Explanation("67", _R, CodeClass.REBUILD, "The format of a date in the document is wrong.",
        _SAME_KEY),
    Explanation("68", _W, CodeClass.WARNING, "The document that is referred to does not exist as an electronic one.",
        "It changes nothing about the authorization; check the reference once."),
    Explanation("69", "authorization; also " + _ISSUER, CodeClass.REBUILD,
        "The buyer's identification does not exist, as a rule a RUC that is not in the register.",
        "Correct the receiver's identification and send it again with the same key. A credit note, a debit note or a"
        " withholding needs an identified receiver: one to CONSUMIDOR FINAL cannot be corrected.",
        by="the issuer's data; for a note to CONSUMIDOR FINAL nobody can",
        source=f"{_TABLE}; an answer of the test service in 2026, quoted in public"),
    Explanation("70", "reception; seen at authorization", CodeClass.PENDING,
        "The SRI is still working on this access key.",
        "Wait. Neither send it again nor make a new key before there is an answer, or 24 hours have gone by since it"
        " was received.", source=f"{_TABLE}; {_SEEN}"),
    _old("71", "The RUC in the header of a lot (lote) is another than the document's."),
    _old("72", "The RUC cannot be read from a document of the lot (lote)."),
    _old("74", "The document code in the header of a lot (lote) is another than the document's."),
    _old("75", "The document code of a lot (lote) is none of those that are admitted."),
    _old("77", "The document code or the RUC of a document in a lot (lote) is malformed or unknown."),
    Explanation("80", "authorization, the query of one key", CodeClass.OUR_BUG,
        "The access key that was asked for is longer than 49 digits, has letters, or is empty.",
        "Such a key is never sent by this program; whoever sent it has to correct the software.",
        by="the asking software"),
    Explanation("82", _R, CodeClass.REBUILD,
        "The start of the transport lies before the issue of the delivery note (guía de remisión).",
        _SAME_KEY),
    Explanation("92", _R, CodeClass.REBUILD,
        "The amount of the IVA refund is not the one that the SRI's refund service (DIG) granted; invoices and debit"
        " notes only.",
        _SAME_KEY),
    Explanation(NO_DATA, "the query service (ConsultaComprobante)", CodeClass.QUERY,
        "The query service has no answer: the day of issue lies outside its range, or there is no such data.",
        "It says nothing about the document, not even where RECHAZADA stands beside it: ask the authorization"
        " service."),
)  # fmt: skip
CODES: Mapping[str, Explanation] = {entry.code: entry for entry in _KNOWN}

# The results of the service for the automatic refund of IVA to older people (DIG); never about a fiscal document.
_REFUND_SERVICE: tuple[tuple[range, str], ...] = (
    (range(2000, 3000), "a success of that service"),
    (range(3000, 4000), "an error of that service"),
    (range(4000, 5000), "the state of a batch of that service"),
    (range(5000, 6000), "that service is not set up for the pilot"),
    (range(6000, 7000), "the annulment of a refund"),
    (range(7000, 7001), "there is no file of beneficiaries"),
)
_REFUND = (
    "It decides nothing about the document, whose state counts. Read the SRI's own text beside it; what a document gets"
    " for a wrong refund is code 92."
)


def explain(code: str) -> Explanation:
    """
    Return what a code means; codes are compared as numbers. An unknown one has an honest answer, `known` is False then.

    >>> explain(" 043 ").code_class.value, explain("33.0").code, explain("1234").known
    ('query', '33', False)
    """
    plain = code.strip()[:_LENGTH_MOST]
    if found := _NUMBER.fullmatch(plain):
        plain = str(int(found[1]))
        if words := next((words for numbers, words in _REFUND_SERVICE if int(plain) in numbers), None):
            meaning = (
                "A code of another service, the automatic refund of IVA to older people (DIG), not of fiscal documents:"
                f" {words}."
            )
            return Explanation(plain, "another service", CodeClass.OTHER_SERVICE, meaning, _REFUND, _OTHER)
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
