"""What the SRI says of a document and what we make of it; frozen values that know no network and no table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from jobsync.fiscal.access_key import Environment

# Source: docs/facts/sri.md, "Web service".
ADDRESSES: dict[Environment, str] = {"test": "https://celcer.sri.gob.ec", "production": "https://cel.sri.gob.ec"}


class DocumentStatus(StrEnum):
    """The column `invoices.status`."""

    PENDING = "pending_authorization"
    AUTHORIZED = "authorized"
    REJECTED = "rejected"
    NEEDS_ATTENTION = "needs_attention"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """What one ask led to; only a fault is a failure of the ask, and it says nothing about the document."""

    AUTHORIZED = "authorized"
    REJECTED = "rejected"
    PENDING = "pending"
    NEEDS_ATTENTION = "needs_attention"
    FAULT = "fault"


@dataclass(frozen=True)
class Message:
    """
    One message of the SRI.

    Args:
        code: `identificador`, stripped; empty if it was not sent.
        severity: `tipo` as it was sent: ERROR, ADVERTENCIA, INFORMATIVO, or None.
    """

    code: str
    text: str = ""
    additional_info: str | None = None
    severity: str | None = None


@dataclass(frozen=True)
class Authorization:
    """
    One `autorizacion` element of an answer.

    Args:
        state: `estado`, stripped, as it was spelled.
        number: `numeroAutorizacion`; None if absent or empty.
        authorized_at: aware, UTC; None if absent or unreadable, never a guess.
        authorized_at_text: `fechaAutorizacion` as it was sent.
        document: the fiscal document inside, encoded as UTF-8, without byte order mark; None if there is none.
        document_key: the `claveAcceso` that the document inside names.
        mended: what XML forbids was in the document and is left out of it here.
    """

    state: str
    number: str | None = None
    authorized_at: datetime | None = None
    authorized_at_text: str | None = None
    environment: Environment | None = None
    document: bytes | None = None
    document_key: str | None = None
    messages: tuple[Message, ...] = ()
    mended: bool = False


@dataclass(frozen=True)
class Answer:
    """
    A readable answer of the authorization service.

    Args:
        access_key: `claveAccesoConsultada`; None if absent.
        declared: `numeroComprobantes`; None if absent or no number.
        messages: those that stand beside the authorizations, in none of them.
        mended: what XML forbids was in it and is left out of what was read.
    """

    access_key: str | None
    declared: int | None
    authorizations: tuple[Authorization, ...]
    messages: tuple[Message, ...] = ()
    mended: bool = False


class FaultKind(StrEnum):
    """Why an ask led to no usable answer."""

    REFUSED = "refused"  # no connection
    TLS = "tls"
    TIMEOUT = "timeout"
    BROKEN = "broken"  # reset, cut off, undecodable
    TOO_LARGE = "too_large"
    ADDRESS = "address"  # the configured URL is none
    PROXY = "proxy"  # ours refuses, or is away
    HTTP_STATUS = "http_status"
    FIREWALL = "firewall"
    SOAP_SERVER = "soap_server"
    SOAP_CLIENT = "soap_client"  # the SRI blames our request
    OTHER_KEY = "other_key"
    UNREADABLE = "unreadable"  # no answer of the service at all
    MALFORMED = "malformed"  # a complete answer with something wrong inside
    TOO_MANY_PARTS = "too_many_parts"
    UNKNOWN_STATE = "unknown_state"


# A complete answer, of which nothing can be made for the document that was asked for.
UNUSABLE = frozenset({FaultKind.OTHER_KEY, FaultKind.MALFORMED, FaultKind.TOO_MANY_PARTS, FaultKind.UNKNOWN_STATE})


@dataclass(frozen=True)
class Fault:
    """
    No usable answer; says nothing about the document.

    Args:
        text: one line for an operator, without anything of a taxpayer.
    """

    kind: FaultKind
    text: str

    @property
    def unreachable(self) -> bool:
        """
        Whether there was no complete answer; such faults in a row open the host's circuit.

        What is wrong inside a complete one is about one document, and the service answers.
        """
        return self.kind not in UNUSABLE and self.kind is not FaultKind.SOAP_CLIENT


@dataclass(frozen=True)
class History:
    """
    What is known of a document before an answer is judged.

    Args:
        access_key: 49 digits, already found correct.
        status: as in DocumentStatus.
        waiting_since: when it was submitted, or came to us.
        attention_since: since when it needs attention; None while it does not.
        empty_since: when the first of the empty answers in a row came; None if the last answer was not empty.
        empty_count: how many empty answers in a row came so far.
        earlier_refusal_at: the SRI's instant of a refusal that was about an earlier submission of the document.
    """

    access_key: str
    waiting_since: datetime
    status: str = DocumentStatus.PENDING
    attention_since: datetime | None = None
    empty_since: datetime | None = None
    empty_count: int = 0
    earlier_refusal_at: datetime | None = None


@dataclass(frozen=True)
class Verdict:
    """
    What one ask means for one document.

    Args:
        reason: a short stable code for why, for example `in_process`, `empty`, `code_39`, or a fault's kind.
        advice: one sentence for the person who has to do something, or None.
        authorization: the element that decided; None for empty answers and faults.
        next_check_in: when to ask again; None: no more.
        empty_since, empty_count: what to remember about empty answers; a fault leaves them as they were.
        warnings: what needs a look although it changes no state, for example `date_unreadable`.
        status_stays: nothing was said about the document; its status and reason stay as they are.
        too_often: the SRI says that we ask too often; the host's circuit opens.
    """

    outcome: Outcome
    reason: str
    advice: str | None = None
    authorization: Authorization | None = None
    messages: tuple[Message, ...] = ()
    next_check_in: timedelta | None = None
    empty_since: datetime | None = None
    empty_count: int = 0
    warnings: tuple[str, ...] = ()
    status_stays: bool = False
    too_often: bool = False

    @property
    def codes(self) -> list[str]:
        """The codes of all messages, in their order, each once."""
        return list(dict.fromkeys(message.code for message in self.messages if message.code))


@dataclass(frozen=True)
class DocumentFile:
    """
    A file that holds a fiscal document, in whatever people call the authorized XML.

    Args:
        document: the fiscal document as UTF-8, without byte order mark.
        authorization: what the element around it says; None for a bare document.
        mended: what XML forbids was in the file and is left out of the document.
    """

    document: bytes
    authorization: Authorization | None = None
    mended: bool = False
